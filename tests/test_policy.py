"""Policies: programs that read the plan, the rules that are built in, and that everything but a clear yes is a no."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipway.commands.documents import read_document, read_plan
from shipway.errors import Position, Reason
from shipway.freezing import parse_window
from shipway.nodes import Change, Fidelity, Node
from shipway.plan import Plan, PlannedSource, PlannedStage
from shipway.policies import Decision, Policy, Verdict
from shipway.policy import Labels, judge, refusal
from shipway.policy_answers import MAX_ANSWER_BYTES, NoVerdict, read_answer
from shipway.receipt import Receipt
from shipway.render.check import check_title
from shipway.view import Conclusion, View
from tests.command_line import Done, Project, make_project

SHOP = """
    version: 1
    name: shop
    secrets: [TOKEN, OTHER]
    values: {level: 3}
    policy:
      company: {run: ./policy, timeout: 90s, env: {LEVEL: "${{ values.level }}", TOKEN: "${{ secrets.TOKEN }}"}}
    stages:
      release: {steps: [{id: up, run: touch shipped, undo: rm shipped}]}
    """
AT = Position("shipway.yml", 1, 1)


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    project = make_project(tmp_path)
    project.env |= {"TOKEN": "tok-4f1c9a", "OTHER": "oth-77aa31", "GITHUB_TOKEN": "ghs-secret", "UNDECLARED": "x"}
    project.write({"shipway.yml": SHOP, ".gitignore": ".shipway/\n"})
    project.commit()
    return project


def policy(project: Project, script: str) -> None:
    """The program that the policy `company` runs."""
    file = project.root / "policy"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def receipt(project: Project) -> Receipt:
    [path] = (project.root / ".shipway/receipts").iterdir()
    document = read_document(path)
    assert isinstance(document, Receipt)
    return document


def refused(project: Project) -> Done:
    """The end of a run that was refused, and before which nothing was started."""
    done = project.call("run", "--yes", "--json", code=5)
    assert not (project.root / "shipped").exists()
    assert receipt(project).nodes == ()
    return done


# Programs.


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 1", "exit 1"),
        ("echo why not >&2; exit 3", "exit 3: why not"),
        ("""echo '{"verdict": "allow"}'; exit 1""", "exit 1"),
        ("true", "it printed nothing"),
        ("echo; echo", "it printed nothing"),
        ("kill -SEGV $$", "SIGSEGV"),
        ("echo yes", "what it printed is not JSON"),
        ("""echo '{"verdict": "allow"}{}'""", "what it printed is not JSON"),
        ("echo '{}'", "the JSON that it printed is no verdict"),
        ("echo 'true'", "the JSON that it printed is no verdict"),
        ("echo '[]'", "conftest tested nothing"),
        ("""echo '{"verdict": "yes"}'""", "not `allow`, `deny` or `warn`"),
        ("exec sleep 600", "its time of 90s was over"),
        ("head -c 2000000 /dev/zero", "more than 1048576 bytes"),
    ],
)
def test_case_39_a_policy_without_a_clear_verdict_refuses_the_plan(shop: Project, script: str, said: str) -> None:
    policy(shop, script)
    if "sleep" in script:
        (shop.root / "shipway.yml").write_text(shop.text("shipway.yml").replace("90s", "200ms"))
        said = said.replace("90s", "200ms")
    done = refused(shop)
    assert "policy-error" in done.out + done.err
    [verdict] = receipt(shop).verdicts
    assert (verdict.policy, verdict.decision) == ("company", Decision.ERROR)
    assert said in verdict.messages[0]


def test_case_39_a_program_that_is_not_there_refuses_the_plan(shop: Project) -> None:
    assert "policy-error" in (done := refused(shop)).out + done.err


def test_case_39_a_policy_whose_secret_is_not_set_refuses_the_plan(shop: Project) -> None:
    policy(shop, """echo '{"verdict": "allow"}'""")
    del shop.env["TOKEN"]
    refused(shop)
    assert "secret `TOKEN` is not set" in receipt(shop).verdicts[0].messages[0]


def test_a_denial_is_a_reason_of_its_own_and_its_messages_are_told_everywhere(shop: Project) -> None:
    policy(shop, """cat > ../seen; echo '{"verdict": "deny", "messages": ["not on a Friday", "ask @ana"]}'""")
    plan = shop.call("plan").out
    assert "  `company` denies it: not on a Friday; ask @ana\n" in plan
    assert "policy `company` denies it: not on a Friday; ask `@ana`" in shop.call("plan", "--format", "markdown").out
    done = refused(shop)
    assert "policy-denied" in done.out + done.err
    assert receipt(shop).verdicts == (Verdict("company", "", Decision.DENY, ("not on a Friday", "ask @ana")),)
    assert "policy     `company` denies it: not on a Friday; ask @ana" in shop.call("show").out
    seen = json.loads((shop.root / "../seen").read_bytes())
    assert (seen["kind"], seen["verdicts"], seen["nodes"][0]["id"]) == ("plan", [], "release/up")


def test_a_program_that_allows_lets_the_run_go_and_its_warning_is_kept(shop: Project) -> None:
    policy(shop, """echo '{"verdict": "warn", "messages": ["soon too late"]}'""")
    assert "company` warns: soon too late" in shop.call("run", "--yes").out
    assert (shop.root / "shipped").exists()
    assert receipt(shop).verdicts == (Verdict("company", "", Decision.WARN, ("soon too late",)),)


def test_a_program_gets_the_declared_environment_and_nothing_else(shop: Project) -> None:
    policy(shop, """env > ../env; echo '{"verdict": "allow"}'""")
    shop.call("plan", "--target", "prod")
    names = dict(line.split("=", 1) for line in (shop.root / "../env").read_text().splitlines() if "=" in line)
    assert (names["LEVEL"], names["TOKEN"]) == ("3", "tok-4f1c9a")
    assert (names["SHIPWAY_POLICY"], names["SHIPWAY_STAGE"], names["SHIPWAY_TARGET"]) == ("company", "", "prod")
    assert not {"OTHER", "GITHUB_TOKEN", "UNDECLARED"} & set(names)


def test_a_secret_in_a_message_is_masked_before_it_enters_plan_and_receipt(shop: Project) -> None:
    policy(shop, """echo '{"verdict": "deny", "messages": ["token '$TOKEN' is bad"]}'""")
    refused(shop)
    assert receipt(shop).verdicts[0].messages == ("token *** is bad",)
    assert "tok-4f1c9a" not in shop.call("plan", "--json").out


def test_a_program_is_asked_again_right_before_the_run(shop: Project) -> None:
    policy(shop, """echo x >> ../asked; test $(wc -l < ../asked) -lt 2 && echo '{"verdict": "allow"}'""")
    refused(shop)
    assert receipt(shop).verdicts[0].decision is Decision.ERROR
    assert (shop.root / "../asked").read_text() == "x\nx\n"


def test_what_a_policy_asks_is_part_of_the_effect_and_what_it_said_is_not(shop: Project) -> None:
    policy(shop, """echo '{"verdict": "allow"}'""")
    one = shop.call("plan", "--json").json
    policy(shop, """echo '{"verdict": "deny", "messages": []}'""")
    other = shop.call("plan", "--json").json
    assert one["verdicts"] != other["verdicts"]
    assert (one["effect"], one["digest"] == other["digest"]) == (other["effect"], False)
    (shop.root / "shipway.yml").write_text(shop.text("shipway.yml").replace("./policy", "./policy --lax"))
    assert shop.call("plan", "--json").json["effect"] != one["effect"]


def test_a_kept_plan_is_judged_anew_when_it_is_applied(shop: Project) -> None:
    (shop.root / "shipway.yml").write_text(shop.text("shipway.yml").replace("{id: up,", "{id: up, reads: [src/**],"))
    policy(shop, """echo '{"verdict": "allow"}'""")
    shop.call("plan", "-q", "-o", "../plan.json")
    assert read_plan(shop.root / "../plan.json").verdicts[0].decision is Decision.ALLOW
    policy(shop, """echo '{"verdict": "deny", "messages": ["too late"]}'""")
    assert "too late" in shop.call("apply", "../plan.json", "--yes", code=5).err
    assert not (shop.root / "shipped").exists()


def test_an_undo_needs_no_policy(shop: Project) -> None:
    policy(shop, """echo '{"verdict": "allow"}'""")
    shop.call("run", "--yes")
    policy(shop, "exit 1")
    shop.call("rollback", "--yes")
    assert not (shop.root / "shipped").exists()


def test_a_check_of_a_denied_plan_fails(shop: Project) -> None:
    policy(shop, "exit 1")
    shop.call("plan", "-q", "-o", "../plan.json")
    plan = read_plan(shop.root / "../plan.json")
    view = View("shop", "default", plan=plan)
    assert view.conclusion is Conclusion.FAILURE
    assert check_title(view) == "not let through by policy company; 1 run, 1 opaque"
    assert View("shop", "default", plan=replace(plan, verdicts=())).conclusion is Conclusion.SUCCESS


# What a program may answer.


@pytest.mark.parametrize(
    ("printed", "decision", "messages"),
    [
        ({"verdict": "allow"}, "allow", ()),
        ({"verdict": "deny", "messages": ["a", {"msg": "b"}]}, "deny", ("a", "b")),
        ([{"filename": "", "successes": 3}], "allow", ()),
        ([{"successes": 0, "failures": [{"msg": "no"}], "warnings": [{"msg": "hm"}]}], "deny", ("no", "hm")),
        ([{"successes": 1, "warnings": [{"msg": "hm"}]}], "warn", ("hm",)),
        ({"result": [{"expressions": [{"value": True, "text": "data.shop.allow"}]}]}, "allow", ()),
        ({"result": [{"expressions": [{"value": False}]}]}, "deny", ()),
        ({"result": [{"expressions": [{"value": []}]}]}, "allow", ()),
        ({"result": [{"expressions": [{"value": ["no", "never"]}]}]}, "deny", ("no", "never")),
        ({"result": [{"expressions": [{"value": {"deny": [], "warn": ["hm"]}}]}]}, "warn", ("hm",)),
    ],
)
def test_verdicts_of_scripts_conftest_and_opa(printed: object, decision: str, messages: tuple[str, ...]) -> None:
    answer = read_answer(json.dumps(printed).encode())
    assert (answer.decision.value, answer.messages) == (decision, messages)


@pytest.mark.parametrize(
    "printed",
    [
        {"result": []},
        {"result": [{"expressions": []}]},
        {"result": [{"expressions": [{"value": True}, {"value": True}]}]},
        {"result": [{"expressions": [{"value": {"allow": True}}]}]},
        {"result": [{"expressions": [{"value": None}]}]},
        {"verdict": True},
        {"verdict": "allow", "messages": "x"},
        {"verdict": "allow", "messages": [1]},
        [{"failures": []}],
        [{"successes": 0}],
        None,
        "allow",
    ],
)
def test_what_is_not_clearly_a_verdict_is_none(printed: object) -> None:
    with pytest.raises(NoVerdict):
        read_answer(json.dumps(printed).encode())
    with pytest.raises(NoVerdict):
        read_answer(b" " * (MAX_ANSWER_BYTES + 1))


# Rules that are built in.


def plan_of(*nodes: Node) -> Plan:
    stages = tuple(PlannedStage(name, "steps", "shell", 1, AT) for name in dict.fromkeys(node.stage for node in nodes))
    return Plan("shop", "prod", "linux/amd64", PlannedSource("x", ("x",), "sha256:0"), "0", stages, nodes)


def node(name: str, **facts: object) -> Node:
    stage = name.partition("/")[0]
    return replace(Node(name, stage, "file.write", AT, fidelity=Fidelity.EXACT, change=Change.CREATE), **facts)


NOBODY = Labels()


def test_deletes_and_replacements_are_denied_unless_the_label_is_there() -> None:
    plan = plan_of(node("a/new"), node("a/gone", change=Change.DELETE), node("b/other", change=Change.REPLACE))
    rule = Policy("deletes", AT, deny_delete=True, unless_label="allow-delete")
    unknown = judge(rule, plan, None, lambda: NOBODY)
    assert unknown.decision is Decision.DENY
    assert unknown.messages[:2] == ("`a/gone` deletes or replaces", "`b/other` deletes or replaces")
    assert "there is none here" in unknown.messages[2]
    assert judge(rule, plan, None, lambda: Labels(frozenset({"bug"}))).decision is Decision.DENY
    allowed = judge(rule, plan, None, lambda: Labels(frozenset({"bug", "allow-delete"})))
    assert (allowed.decision, allowed.messages[-1]) == (Decision.WARN, "allowed by label `allow-delete`")
    assert judge(replace(rule, unless_label=None), plan, None, lambda: NOBODY).decision is Decision.DENY
    assert judge(replace(rule, stage="b"), plan, None, lambda: NOBODY).messages[0] == "`b/other` deletes or replaces"


def test_labels_are_only_asked_for_where_something_is_deleted() -> None:
    def ask() -> Labels:
        raise AssertionError("nothing is deleted")

    rule = Policy("deletes", AT, deny_delete=True, unless_label="allow-delete")
    assert judge(rule, plan_of(node("a/new")), None, ask).decision is Decision.ALLOW


def test_only_some_actions_also_in_templates_and_compensations() -> None:
    inner = node("a/each[?]", action="shell.exec")
    plan = plan_of(
        node("a/each", action="flow.gather", templates={"step": (inner,)}), node("a/copy", action="file.copy")
    )
    sorry = node("a.compensate/sorry", stage="a.compensate", action="shell.exec")
    plan = replace(plan, stages=(replace(plan.stages[0], compensation=(sorry,)),))
    told = judge(Policy("tools", AT, only_actions=("file.*",)), plan, None, lambda: NOBODY)
    assert told.messages == (
        "`a/each[?]` does not use an allowed action (`shell.exec`)",
        "`a.compensate/sorry` does not use an allowed action (`shell.exec`)",
    )
    assert judge(Policy("t", AT, only_actions=("file.*", "shell.exec")), plan, None, lambda: NOBODY).messages == ()


def test_no_opaque_node_but_one_that_never_runs() -> None:
    plan = plan_of(
        node("a/known"),
        node("a/dark", fidelity=Fidelity.OPAQUE),
        node("a/never", fidelity=Fidelity.OPAQUE, condition="false"),
        node("a/some", fidelity=Fidelity.PREDICTED),
    )
    told = judge(Policy("sure", AT, deny_opaque=True), plan, None, lambda: NOBODY)
    assert (told.decision, told.messages) == (Decision.DENY, ("`a/dark` cannot be foretold",))


def test_a_freeze_is_told_when_planned_and_decided_by_the_clock_of_its_zone() -> None:
    rule = Policy("quiet", AT, freeze=("fri 16:00..mon 08:00", "2026-12-24"), timezone="Europe/Berlin")

    def at(year: int, month: int, day: int, hour: int, minute: int) -> Verdict:
        return judge(rule, plan_of(node("a/x")), datetime(year, month, day, hour, minute, tzinfo=UTC), lambda: NOBODY)

    planned = judge(rule, plan_of(node("a/x")), None, lambda: NOBODY)
    assert planned.decision is Decision.LATER
    assert planned.messages == ("not in fri 16:00..mon 08:00, 2026-12-24 (Europe/Berlin)",)
    assert at(2026, 11, 20, 14, 59).decision is Decision.ALLOW
    assert at(2026, 11, 20, 15, 0).messages == (
        "Fri 2026-11-20 16:00 Europe/Berlin is in the freeze fri 16:00..mon 08:00",
    )
    assert at(2026, 11, 22, 3, 0).decision is Decision.DENY
    assert at(2026, 11, 23, 6, 59).decision is Decision.DENY
    assert at(2026, 11, 23, 7, 0).decision is Decision.ALLOW
    assert at(2026, 12, 23, 23, 0).decision is Decision.DENY, "it is the 24th in Berlin already"
    nowhere = replace(rule, timezone="Nowhere/Land")
    assert judge(nowhere, plan_of(), datetime.now(UTC), Labels).decision is Decision.ERROR
    assert judge(nowhere, plan_of(), None, Labels).decision is Decision.ERROR, "a slip is told before the merge"


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("sat..sun", (2026, 11, 21, 0, 0), (2026, 11, 23, 0, 0)),
        ("sat..sun", (2026, 11, 22, 23, 59), (2026, 11, 20, 23, 59)),
        ("wed", (2026, 11, 18, 12, 0), (2026, 11, 19, 0, 0)),
        ("mon 09:00..mon 10:00", (2026, 11, 16, 9, 0), (2026, 11, 16, 10, 0)),
        ("2026-12-20..2027-01-02", (2027, 1, 2, 23, 59), (2027, 1, 3, 0, 0)),
        ("2026-12-20 18:00..2026-12-21 06:00", (2026, 12, 21, 5, 59), (2026, 12, 20, 17, 59)),
    ],
)
def test_windows(text: str, inside: tuple[int, int, int, int, int], outside: tuple[int, int, int, int, int]) -> None:
    window = parse_window(text)
    assert window.holds(datetime(*inside))
    assert not window.holds(datetime(*outside))


def test_a_policy_holds_for_its_targets_only(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.write(
        {
            "shipway.yml": """
                version: 1
                name: shop
                targets: {prod: {}, pr-*: {}}
                policy: {sure: {deny_opaque: true, targets: [prod]}}
                steps: [{run: 'true'}]
                """
        }
    )
    assert project.call("plan", "-t", "pr-7", "--json").json["policies"] == []
    assert project.call("plan", "-t", "prod", "--json").json["verdicts"][0]["decision"] == "deny"
    project.call("run", "-t", "pr-7", "--yes")
    assert "`main/true` cannot be foretold" in project.call("run", "-t", "prod", "--yes", code=5).err


def test_one_without_a_verdict_counts_before_one_that_denies() -> None:
    verdicts = (
        Verdict("a", "", Decision.ALLOW),
        Verdict("b", "", Decision.DENY, ("no",)),
        Verdict("c", "release", Decision.ERROR, ("broken",)),
        Verdict("d", "", Decision.LATER),
    )
    error = refusal(verdicts)
    assert error is not None
    assert (error.exit_code, error.reason) == (5, Reason.POLICY_ERROR)
    assert "`b`: no\n  `c` of stage `release`: broken" in error.message
    denied = refusal(verdicts[:2])
    assert denied is not None
    assert denied.reason is Reason.POLICY_DENIED
    assert refusal((verdicts[0], verdicts[3])) is None


def test_a_program_is_not_handed_a_secret_that_only_the_change_names_while_that_is_looked_at(shop: Project) -> None:
    policy(shop, """echo "got $OTHER" >> ../got; echo '{"verdict": "allow"}'""")
    base = shop.git("rev-parse", "HEAD").strip()
    text = shop.text("shipway.yml").replace("TOKEN: ", 'OTHER: "${{ secrets.OTHER }}", TOKEN: ')
    (shop.root / "shipway.yml").write_text(text)
    shop.commit()
    repository = {"id": 1, "full_name": "o/r", "default_branch": "trunk"}
    pull = {"number": 7, "head": {"sha": base, "repo": repository}, "base": {"sha": base, "repo": repository}}
    event = {"action": "opened", "pull_request": pull, "repository": repository}
    (shop.root / "../event.json").write_text(json.dumps(event))
    shop.env |= {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request", "GITHUB_REPOSITORY": "o/r"}
    told = shop.call("plan", "--json", env={"GITHUB_EVENT_PATH": str(shop.root / "../event.json")}).json
    assert (shop.root / "../got").read_text() == "got \n", "the policy as it was is asked, and has it not"
    assert "it is handed `OTHER` once the change that adds it is there" in str(told["verdicts"])
    assert "would be handed the secret `OTHER` as well" in str(told["weakens"])


def test_a_plan_that_its_policies_refuse_does_not_say_to_run_it(shop: Project) -> None:
    policy(shop, 'echo \'{"verdict": "deny", "messages": ["not today"]}\'')
    told = shop.call("plan").out
    assert "shipway run" not in told and "shipway apply" not in told
    assert "not before its policies let it" in " ".join(told.split())
    policy(shop, 'echo \'{"verdict": "allow"}\'')
    assert "shipway run" in shop.call("plan").out
