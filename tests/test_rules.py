"""Case 77: a change cannot loosen the rules it is judged by. The base commit's approval, locks and secrets hold as well."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from shipway.canonical import Json, canonical_bytes, digest
from shipway.plan import Plan
from shipway.plan_file import load_plan
from shipway.render.blocks import Links
from shipway.render.plan_comment import plan_comment
from tests.command_line import Done, Project, make_project

BASE = """\
version: 1
name: shop
secrets: [TOKEN, OTHER]
locks: {db: run, table: step, host: step}
stages:
  build:
    steps:
      image: {run: 'true', reads: []}
  release:
    needs: [build]
    approval: {reviews: 2, fresh: 7d}
    steps:
      migrate: {run: 'true', env: {TOKEN: "${{ secrets.TOKEN }}"}, locks: [table], reads: []}
      each:
        gather: {items: [a, b], limit: 1}
        run: 'true'
        locks: [host]
        reads: []
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = make_project(tmp_path)
    made.env |= {"TOKEN": "correct-horse", "OTHER": "battery-staple"}
    made.write({"shipway.yml": BASE, ".gitignore": ".shipway\nevent.json\nlog\n"})
    made.commit()
    return made


def changed(project: Project, old: str, new: str) -> str:
    """The declaration with one thing changed, as another commit; the commit before it."""
    before = project.git("rev-parse", "HEAD").strip()
    text = project.text("shipway.yml")
    assert text.count(old) == 1
    project.write({"shipway.yml": text.replace(old, new)})
    project.commit()
    return before


def pull_request(project: Project, base: str) -> dict[str, str]:
    """The environment of a job of a pull request onto `base`."""
    repository: Json = {"id": 1, "full_name": "o/r", "default_branch": "trunk"}
    head = project.git("rev-parse", "HEAD").strip()
    pull: Json = {"number": 7, "head": {"sha": head, "repo": repository}, "base": {"sha": base, "repo": repository}}
    return job(project, "pull_request", {"action": "opened", "pull_request": pull, "repository": repository})


def push(project: Project, before: str) -> dict[str, str]:
    """The environment of a job of a push that put the checkout upon `before`."""
    repository: Json = {"id": 1, "full_name": "o/r", "default_branch": "trunk"}
    return job(project, "push", {"before": before, "ref": "refs/heads/trunk", "repository": repository})


def job(project: Project, event: str, payload: Json) -> dict[str, str]:
    (project.root / "event.json").write_text(json.dumps(payload))
    env = {"GITHUB_ACTIONS": "true", "CI": "true", "GITHUB_EVENT_NAME": event, "GITHUB_REPOSITORY": "o/r"}
    return env | {"GITHUB_EVENT_PATH": str(project.root / "event.json"), "GITHUB_REF": "refs/heads/trunk"}


def planned(project: Project, env: dict[str, str], *arguments: str) -> Plan:
    done = project.call("plan", "--json", *arguments, env=env)
    return load_plan(done.out.rstrip("\n").encode(), lambda data: None)


def first_lines(project: Project, plan: Plan, env: dict[str, str]) -> tuple[str, str]:
    """The first line of the plan as text, and of its comment."""
    text = project.call("plan", env=env | {"COLUMNS": "400"}).out
    return text.splitlines()[0], plan_comment(plan, budget=60_000, links=Links()).splitlines()[0]


def check_weakens(project: Project, old: str, new: str, subject: str, said: str) -> tuple[Plan, dict[str, str]]:
    """Make the change on a pull request: what is weakened is named, said first, and the effect is the same after the push."""
    base = changed(project, old, new)
    env = pull_request(project, base)
    plan = planned(project, env)
    assert subject in {weakening.subject for weakening in plan.weakens}
    for line in first_lines(project, plan, env):
        assert "weakens" in line and said in line, line
    assert planned(project, push(project, base)).effect == plan.effect
    assert planned(project, {}).effect != plan.effect or not said.startswith(("stage", "lock"))
    return plan, pull_request(project, base)


def test_case_77_approval_that_is_dropped_is_needed_all_the_same(project: Project) -> None:
    base = project.git("rev-parse", "HEAD").strip()
    plan, _ = check_weakens(
        project, "    approval: {reviews: 2, fresh: 7d}\n", "", "release", "stage `release` would need no approval"
    )
    assert plan.approval_rules["release"].reviews == 2
    refused = project.call("run", "--yes", env=push(project, base), code=5)
    assert "needs approval" in refused.err
    # Upon a commit that has the change already, it is the rule.
    head = project.git("rev-parse", "HEAD").strip()
    project.call("run", "--yes", env=push(project, head))


def test_case_77_of_two_approvals_each_part_is_the_stricter(project: Project) -> None:
    changes = "approval: {reviews: 1, from: [maintain]}"
    plan, _ = check_weakens(project, "approval: {reviews: 2, fresh: 7d}", changes, "release", "less approval")
    rule = plan.approval_rules["release"]
    assert (rule.reviews, rule.permission.value, rule.fresh_ms) == (2, "maintain", 7 * 24 * 3_600_000)


def test_case_77_a_stage_under_another_name_does_not_lose_its_approval(project: Project) -> None:
    text = "  ship:\n    needs: [build]\n"
    old = "  release:\n    needs: [build]\n    approval: {reviews: 2, fresh: 7d}\n"
    plan, _ = check_weakens(project, old, text, "release", "stage `release` needed approval and is gone")
    assert set(plan.approval_rules) == {"build", "ship"}


@pytest.mark.parametrize(
    ("old", "new", "subject", "said"),
    [
        ("db: run, ", "", "db", "lock `db` would not be held"),
        ("db: run, ", "db: step, ", "db", "lock `db` would not be held by the run any more"),
        ("locks: {db: run, table: step, host: step}\n", "lock: none\n", "run", "the run would hold no lock at all"),
        (", locks: [table]", "", "release/migrate", "`release/migrate` would not hold lock `table`"),
        ("        locks: [host]\n", "", "release/each[?]", "would not hold lock `host`"),
        ("      migrate:", "      migration:", "table", "handed the secret"),
    ],
    ids=["of the run", "of the run, by steps now", "all", "of a step", "in a gather", "of a step under another name"],
)
def test_case_77_a_lock_that_is_dropped_is_held_all_the_same(
    project: Project, old: str, new: str, subject: str, said: str
) -> None:
    if subject == "table":
        new = "      migration:"
        text = project.text("shipway.yml").replace(", locks: [table]", "").replace(old, new)
        base = project.git("rev-parse", "HEAD").strip()
        project.write({"shipway.yml": text})
        project.commit()
        plan = planned(project, pull_request(project, base))
        assert "table" in plan.locks
        return
    if subject == "run":  # no step may name a lock then
        text = project.text("shipway.yml").replace(", locks: [table]", "").replace("        locks: [host]\n", "")
        old, new = project.text("shipway.yml"), text.replace(old, new)
    plan, _ = check_weakens(project, old, new, subject, said)
    assert plan.is_locked
    held = {name for node in plan.nodes for name in node.locks} | set(plan.locks)
    assert held >= {"db", "table", "host"}


def test_case_77_a_lock_of_the_base_is_taken_by_the_run(project: Project) -> None:
    text = BASE.replace("    approval: {reviews: 2, fresh: 7d}\n", "")
    project.write({"shipway.yml": text})
    project.commit()
    base = changed(project, "db: run, ", "")
    project.call("lock", "db", "--reason", "held by hand", env={})
    refused = project.call("run", "--yes", env=push(project, base), code=6)
    assert "db" in refused.err
    project.call("run", "--yes", env={})


def test_case_77_a_secret_for_one_more_step_is_said_first_and_not_handed_to_a_plan_command(project: Project) -> None:
    old = "      image: {run: 'true', reads: []}\n"
    new = (
        "      image:\n        run: 'true'\n        plan: test -z \"$TOKEN\" || echo got it >> log\n        reads: []\n"
        '        env: {TOKEN: "${{ secrets.TOKEN }}"}\n'
    )
    _, env = check_weakens(project, old, new, "build/image", "`build/image` would be handed the secret `TOKEN` as well")
    (project.root / "log").unlink(missing_ok=True)
    planned(project, env)
    assert not (project.root / "log").exists()
    # What the base hands a secret to is handed it still, on a pull request too.
    planned(project, pull_request(project, project.git("rev-parse", "HEAD").strip()))
    assert (project.root / "log").exists()


def test_case_77_what_is_no_secret_any_more_is_masked_and_not_passed_through(project: Project) -> None:
    base = changed(project, "secrets: [TOKEN, OTHER]", "secrets: [TOKEN]")
    text = project.text("shipway.yml").replace(
        "image: {run: 'true', reads: []}",
        "image: {run: 'true', plan: 'echo \"<$OTHER>\" > log; echo battery-${0:+staple}', env_from: [OTHER], reads: []}",
    )
    project.write({"shipway.yml": text})
    project.commit()
    env = pull_request(project, base)
    done: Done = project.call("plan", "--json", env=env)
    assert project.text("log") == "<>\n"
    assert "battery-staple" not in done.out
    plan = planned(project, env)
    assert "OTHER" in plan.secrets and [w.subject for w in plan.weakens] == ["OTHER"]


def test_case_77_what_loosens_nothing_says_nothing(project: Project) -> None:
    base = changed(project, "image: {run: 'true'", "image: {run: 'exit 0'")
    plan = planned(project, pull_request(project, base))
    assert plan.weakens == ()
    assert plan.effect == planned(project, {}).effect
    base = changed(project, "{db: run", "{more: run, db: run")
    assert planned(project, pull_request(project, base)).weakens == ()


def test_case_77_an_overlay_cannot_loosen_a_rule_either(project: Project) -> None:
    project.write({"shipway.prod.yml": "stages: {release: {approval: null}}\n"})
    base = project.git("rev-parse", "HEAD").strip()
    project.commit()
    plan = planned(project, pull_request(project, base), "--target", "prod")
    assert [weakening.subject for weakening in plan.weakens] == ["release"]
    assert plan.approval_rules["release"].reviews == 2


def test_case_77_a_base_that_is_not_in_the_clone_is_said_when_planned_and_refused_when_run(project: Project) -> None:
    gone = "1" * 40
    plan = planned(project, pull_request(project, gone))
    assert [weakening.rule.value for weakening in plan.weakens] == ["base"]
    text = project.call("plan", env=pull_request(project, gone)).out
    assert "it is not in this clone" in " ".join(text.split("Plan:")[0].split())
    refused = project.call("run", "--yes", "--json", env=push(project, gone), code=5).json["error"]
    assert refused["reason"] == "base-unknown"
    assert "fetch-depth: 0" in refused["next"]


def test_case_77_a_new_branch_has_no_base_and_a_broken_one_no_rules(project: Project) -> None:
    assert planned(project, push(project, "0" * 40)).weakens == ()
    broken = changed(project, "version: 1", "version: 7")
    broken = project.git("rev-parse", "HEAD").strip()
    changed(project, "version: 7", "version: 1")
    plan = planned(project, pull_request(project, broken))
    assert "its declaration cannot be planned" in plan.weakens[0].text


def test_case_77_a_target_that_came_first_still_has_to(project: Project) -> None:
    text = BASE.replace("    approval: {reviews: 2, fresh: 7d}\n", "")
    project.write({"shipway.yml": text + "targets: {staging: {}, prod: {after: [staging]}}\n"})
    project.commit()
    base = changed(project, "prod: {after: [staging]}", "prod: {}")
    plan = planned(project, pull_request(project, base), "--target", "prod")
    assert [(weakening.rule.value, weakening.subject) for weakening in plan.weakens] == [("promotion", "prod")]
    arguments = ("run", "--yes", "--json", "--target")
    refused = project.call(*arguments, "prod", env=push(project, base), code=5).json["error"]
    assert refused["reason"] == "not-promoted"
    project.call(*arguments, "staging", env=push(project, base))
    project.call(*arguments, "prod", env=push(project, base))


LOOSE = "version: 1\nname: shop\nstages: {ship: {steps: [{run: 'true', reads: []}]}}\n"
APPROVED = LOOSE.replace("ship: {", "ship: {approval: required, ")
NAMED = "targets: {NAME: {}}\n"


def check_refused(project: Project, base: str, *arguments: str, cwd: str = "") -> None:
    """A push of what is checked out, upon `base`, needs the approval that stood there; so does the plan of it."""
    refused = project.call("run", "--yes", "--json", *arguments, cwd=cwd, env=push(project, base), code=5)
    assert refused.json["error"]["reason"] == "approval-missing"
    shown = project.call("plan", "--json", *arguments, cwd=cwd, env=pull_request(project, base))
    plan = load_plan(shown.out.rstrip("\n").encode(), lambda data: None)
    assert [*plan.approval_rules] and plan.weakens


def test_case_77_the_only_target_under_another_name_does_not_lose_its_rules(project: Project) -> None:
    project.write(
        {
            "shipway.yml": LOOSE + NAMED.replace("NAME", "prod"),
            "shipway.prod.yml": "stages: {ship: {approval: required}}\n",
        }
    )
    project.commit()
    base = project.git("rev-parse", "HEAD").strip()
    project.write({"shipway.yml": LOOSE + NAMED.replace("NAME", "live")})
    (project.root / "shipway.prod.yml").unlink()
    project.commit()
    check_refused(project, base)


@pytest.mark.parametrize("link", ["shipway.yml", "ops"])
def test_case_77_a_declaration_behind_a_link_has_its_rules(project: Project, link: str) -> None:
    (project.root / "shipway.yml").unlink()
    file = "kept/shipway.yml"
    project.write({file: APPROVED})
    (project.root / link).symlink_to(file if link == "shipway.yml" else "kept")
    project.commit()
    base = project.git("rev-parse", "HEAD").strip()
    project.write({file: LOOSE})
    project.commit()
    check_refused(project, base, "-f", "shipway.yml" if link == "shipway.yml" else "ops/shipway.yml")


@pytest.mark.parametrize(
    ("moved", "name", "given"),
    [("ops/shipway.yml", "other", ()), ("ops/ship.yml", "shop", ("-f", "ship.yml"))],
    ids=["one that is nearer", "the lifecycle in another file"],
)
def test_case_77_a_declaration_in_another_place_does_not_lose_its_rules(
    project: Project, moved: str, name: str, given: tuple[str, ...]
) -> None:
    project.write({"shipway.yml": APPROVED, "ops/README": "where the workflow works\n"})
    project.commit()
    base = project.git("rev-parse", "HEAD").strip()
    (project.root / "shipway.yml").unlink()
    project.write({moved: LOOSE.replace("name: shop", f"name: {name}")})
    project.commit()
    check_refused(project, base, *given, cwd="ops")


@pytest.mark.parametrize(("now", "said"), [("local", True), ("{store: git, remote: other}", True), ("git", False)])
def test_case_77_that_locks_would_be_kept_elsewhere_is_said_first(project: Project, now: str, said: bool) -> None:
    project.write({"shipway.yml": LOOSE + "state: git\n"})
    project.commit()
    base = changed(project, "state: git", f"state: {now} # now")
    weakens = planned(project, pull_request(project, base)).weakens
    assert [(weakening.rule.value, weakening.subject) for weakening in weakens] == [("lock", "state")] * said


def test_case_77_a_change_that_moves_the_locks_takes_those_where_they_were(project: Project, tmp_path: Path) -> None:
    origin = tmp_path / "origin.git"
    project.git("init", "-q", "--bare", str(origin))
    project.git("remote", "add", "origin", str(origin))
    project.write({"shipway.yml": LOOSE + "locks: [db]\nstate: git\n"})
    project.commit()
    project.call("lock", "db", "--reason", "held by hand")
    base = changed(project, "state: git", "state: local")
    refused = project.call("run", "--yes", "--json", env=push(project, base), code=6).json["error"]
    assert (refused["reason"], "db" in refused["message"]) == ("lock-held", True)
    # The next one is put upon it, and finds them where it put them.
    head = project.git("rev-parse", "HEAD").strip()
    project.call("run", "--yes", env=push(project, head))


def test_case_77_where_locks_are_is_part_of_what_is_approved(project: Project) -> None:
    project.write({"shipway.yml": LOOSE})
    project.commit()
    base = changed(project, "version: 1\n", "version: 1\nstate: git\n")
    plan = planned(project, pull_request(project, base))
    assert plan.weakens == ()
    head = project.git("rev-parse", "HEAD").strip()
    changed(project, "state: git\n", "")
    assert planned(project, pull_request(project, head)).effect != plan.effect


def test_case_77_an_overlay_that_is_removed_does_not_take_its_rules_along(project: Project) -> None:
    project.write({"shipway.yml": LOOSE, "shipway.default.yml": "stages: {ship: {approval: required}}\n"})
    project.commit()
    base = project.git("rev-parse", "HEAD").strip()
    (project.root / "shipway.default.yml").unlink()
    project.commit()
    check_refused(project, base)


def test_case_77_where_the_base_cannot_be_planned_by_now_its_approval_is_needed(project: Project) -> None:
    project.write({"shipway.yml": APPROVED + "inputs: {tag: {required: true}}\n"})
    project.commit()
    base = project.git("rev-parse", "HEAD").strip()
    project.write({"shipway.yml": LOOSE + "inputs: {version: {required: true}}\n"})
    project.commit()
    check_refused(project, base, "--input", "version=1")


POLICED = BASE.replace("    approval: {reviews: 2, fresh: 7d}\n", "    policy: {no-delete: {deny_delete: true}}\n")
POLICY = "policy: {only: {only_actions: [file.write]}}\n"


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        (POLICY, "", "only"),
        ("only_actions: [file.write]", "only_actions: [file.write, shell.exec]", "only-before"),
        ("    policy: {no-delete: {deny_delete: true}}\n", "", "no-delete"),
        ("  release:\n", "  ship:\n", "no-delete"),
    ],
    ids=["gone", "another", "of a stage", "of a stage that is gone"],
)
def test_case_77_a_policy_that_is_dropped_is_asked_all_the_same(
    project: Project, old: str, new: str, name: str
) -> None:
    project.write({"shipway.yml": POLICED + POLICY})
    project.commit()
    plan, _ = check_weakens(project, old, new, name, f"policy `{name}` would not be asked as it was")
    assert name in {policy.name for policy in plan.all_policies}
    verdicts = {verdict.policy: verdict.decision.value for verdict in plan.verdicts}
    assert verdicts[name] == ("allow" if name == "no-delete" else "deny")


def test_case_77_a_plan_is_refused_by_the_policy_that_it_drops(project: Project) -> None:
    project.write({"shipway.yml": POLICED + POLICY})
    project.commit()
    base = changed(project, POLICY, "")
    refused = project.call("run", "--yes", "--json", env=push(project, base), code=5).json["error"]
    assert refused["reason"] == "policy-denied"
    project.call("run", "--yes", env=push(project, project.git("rev-parse", "HEAD").strip()))


def ran_once(project: Project, state: str = "") -> str:
    """A commit with approval that was approved and run in a job; the commit."""
    project.write({"shipway.yml": APPROVED + state})
    project.commit()
    head = project.git("rev-parse", "HEAD").strip()
    plan = planned(project, push(project, head))
    project.call("run", "--yes", "--approve", plan.effect, env=push(project, head))
    return head


def then_loosened(project: Project, state: str = "") -> str:
    """A commit that drops the approval, whose run was refused, as `main` is at then."""
    base = project.git("rev-parse", "HEAD").strip()
    project.write({"shipway.yml": LOOSE + state})
    project.commit()
    refused = project.call("run", "--yes", "--json", env=push(project, base), code=5)
    assert refused.json["error"]["reason"] == "approval-missing"
    return project.git("rev-parse", "HEAD").strip()


def test_case_77_a_second_push_does_not_rid_itself_of_the_rule_that_refused_the_first(project: Project) -> None:
    ran_once(project)
    loosened = then_loosened(project)
    project.write({"README": "another change\n"})
    project.commit()
    check_refused(project, loosened)
    # Once it was approved and run so, the new rules are the only ones.
    project.call(
        "run", "--yes", "--approve", planned(project, push(project, loosened)).effect, env=push(project, loosened)
    )
    head = project.git("rev-parse", "HEAD").strip()
    project.write({"README": "and another one\n"})
    project.commit()
    assert planned(project, push(project, head)).weakens == ()
    project.call("run", "--yes", env=push(project, head))


@pytest.mark.parametrize(
    "moved",
    [
        ("state: git\n", ""),
        ("name: shop\n", "name: other\n"),
        ("name: shop\n", "name: other\n", "state: git\n", "state: local\n"),
    ],
    ids=["to where nothing is kept", "by another name", "both"],
)
def test_case_77_a_second_push_is_held_to_the_rule_also_where_the_first_moved_what_was_recorded(
    moved: tuple[str, ...], project: Project, tmp_path: Path
) -> None:
    origin = tmp_path / "origin.git"
    project.git("init", "-q", "--bare", str(origin))
    project.git("remote", "add", "origin", str(origin))
    base = ran_once(project, "state: git\n")
    text = LOOSE + "state: git\n"
    for before, after in zip(moved[::2], moved[1::2], strict=True):
        text = text.replace(before, after)
    project.write({"shipway.yml": text})
    project.commit()
    check_refused(project, base)
    loosened = project.git("rev-parse", "HEAD").strip()
    for number in range(2):
        shutil.rmtree(project.root / ".shipway")  # another runner
        project.write({"README": f"another change, {number}\n"})
        project.commit()
        check_refused(project, loosened)
    # Once it was approved and run so, where its receipts are kept says nothing more against it.
    head = push(project, loosened)
    project.call("run", "--yes", "--approve", planned(project, head).effect, env=head)
    if "state: git" in text:
        project.write({"README": "and another one\n"})
        project.commit()
        assert planned(project, push(project, loosened)).weakens == ()


def test_case_77_a_second_push_is_held_to_the_rule_also_where_the_first_renamed_the_target(
    project: Project, tmp_path: Path
) -> None:
    project.write({"shipway.yml": APPROVED + "targets:\n  prod: {}\n"})
    project.commit()
    base = project.git("rev-parse", "HEAD").strip()
    plan = planned(project, push(project, base), "--target", "prod")
    project.call("run", "--yes", "--target", "prod", "--approve", plan.effect, env=push(project, base))
    project.write({"shipway.yml": LOOSE + "targets:\n  live: {}\n"})
    project.commit()
    check_refused(project, base, "--target", "live")
    loosened = project.git("rev-parse", "HEAD").strip()
    project.write({"README": "another change\n"})
    project.commit()
    check_refused(project, loosened, "--target", "live")


def test_a_store_that_was_given_up_long_ago_keeps_nothing_from_being_run(project: Project) -> None:
    project.write({"shipway.yml": LOOSE + "state: {store: git, remote: gone}\n"})
    project.commit()
    project.write({"shipway.yml": LOOSE})
    project.commit()
    base = project.git("rev-parse", "HEAD").strip()
    project.write({"README": "another change\n"})
    project.commit()
    done = project.call("run", "--yes", env=push(project, base))
    assert "the rules of the last run that was let through are not known" in done.out + done.err


def test_case_77_what_is_started_by_hand_has_the_rules_of_the_last_run_too(project: Project) -> None:
    ran_once(project)
    then_loosened(project)
    repository: Json = {"id": 1, "full_name": "o/r", "default_branch": "trunk"}
    env = job(project, "workflow_dispatch", {"ref": "refs/heads/trunk", "repository": repository})
    refused = project.call("run", "--yes", "--json", env=env, code=5).json["error"]
    assert refused["reason"] == "approval-missing"


def test_case_77_a_last_run_whose_commit_is_not_in_the_clone_is_refused(project: Project) -> None:
    commit = ran_once(project)
    then_loosened(project)
    project.git("checkout", "-q", "--orphan", "anew")
    project.commit()
    head = project.git("rev-parse", "HEAD").strip()
    for branch in project.git("branch", "--format=%(refname:short)").split():
        if branch != "anew":
            project.git("branch", "-q", "-D", branch)
    project.git("reflog", "expire", "--expire=now", "--all")
    project.git("gc", "-q", "--prune=now")
    refused = project.call("run", "--yes", "--json", env=push(project, head), code=5).json["error"]
    assert refused["reason"] == "base-unknown"
    assert commit[:12] in refused["message"]
    assert "fetch-depth: 0" in refused["next"] and f"git fetch origin {commit}" in refused["next"]
    plan = planned(project, push(project, head))
    assert [weakening.rule.value for weakening in plan.weakens] == ["base"]


def test_case_77_a_forged_receipt_in_the_checkout_can_only_add_a_rule(project: Project, tmp_path: Path) -> None:
    origin = tmp_path / "origin.git"
    project.git("init", "-q", "--bare", str(origin))
    project.git("remote", "add", "origin", str(origin))
    ran_once(project, "state: git\n")
    loosened = then_loosened(project, "state: git\n")
    [kept] = [
        path for path in (project.root / ".shipway" / "receipts").glob("*.json") if b'"succeeded"' in path.read_bytes()
    ]
    receipt = json.loads(kept.read_bytes())
    receipt["source"] |= {"commit": loosened, "tree": project.git("rev-parse", f"{loosened}^{{tree}}").strip()}
    body = {name: value for name, value in receipt.items() if name != "digest"}
    kept.write_bytes(canonical_bytes({**body, "digest": digest(body)}))
    project.write({"README": "another change\n"})
    project.commit()
    check_refused(project, loosened)


def test_a_part_in_a_job_needs_the_approval_of_the_stages_that_it_leaves_out(project: Project) -> None:
    base = project.git("rev-parse", "HEAD").strip()
    whole = planned(project, push(project, base))
    part = planned(project, push(project, base), "--stage", "build")
    assert [*part.approval_rules] == ["build"] and part.approval_rules["build"].reviews == 2
    assert part.effect != whole.effect
    refused = project.call("run", "--yes", "--json", "--stage", "build", env=push(project, base), code=5)
    assert refused.json["error"]["reason"] == "approval-missing"
    refused = project.call("run", "--yes", "--json", "--skip", "release", env=push(project, base), code=5)
    assert refused.json["error"]["reason"] == "approval-missing"
    # The approval of the whole is of another effect.
    arguments = ("run", "--yes", "--json", "--stage", "build", "--approve")
    assert (
        project.call(*arguments, whole.effect, env=push(project, base), code=5).json["error"]["reason"]
        == "plan-differs"
    )
    project.call(*arguments, part.effect, env=push(project, base))
    # At a terminal it is the part that is asked about, and nobody else is there.
    assert planned(project, {}, "--stage", "build").approval_rules == {}


def test_a_part_of_a_plan_that_was_approved_needs_no_more_than_that_plan(project: Project) -> None:
    base = project.git("rev-parse", "HEAD").strip()
    for arguments in ((), ("--stage", "build")):
        project.call("plan", "-o", "../plan.json", *arguments, env=push(project, base))
        plan = load_plan((project.root.parent / "plan.json").read_bytes(), lambda data: None)
        assert plan.approval_rules
        approving = ("apply", "../plan.json", "--yes", "--approve", plan.effect)
        project.call(*approving, *arguments, env=push(project, base))
