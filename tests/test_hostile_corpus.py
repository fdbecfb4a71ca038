"""Every text of tests/hostile_strings.json through every way in, into every place where anything is shown or handed on."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from shipway.canonical import canonical_bytes
from shipway.commands.documents import read_document
from shipway.errors import DeclarationError, Position, Problem
from shipway.events import (
    CleanupFailed,
    Event,
    NodeFinished,
    NodeOutput,
    NodeRetrying,
    NodeStarted,
    NodeUndone,
    PhaseFinished,
    RollbackStarted,
    StageFinished,
    Stopping,
    Warned,
)
from shipway.nodes import Change, Computed, Fidelity, Immediate, Need, Node, Outcome
from shipway.plan import Plan
from shipway.receipt import Attempt, NodeResult, RanBy, Receipt, RollbackEntry, RunOutcome, StageResult
from shipway.redaction import Redactor, strip_control, trusted
from shipway.render import failure
from shipway.render.check import check_summary, check_title
from shipway.render.mermaid import flowchart, stage_flowchart
from shipway.render.plan_comment import plan_comment
from shipway.render.plan_text import render_plan
from shipway.render.receipt_comment import receipt_comment
from shipway.render.receipt_text import render_receipt
from shipway.render.terminal import Terminal, Verbosity
from shipway.render.workflow import Level, WorkflowLog
from shipway.view import View
from tests.forge.server import GitHubServer
from tests.hostile import obeyed
from tests.markdown_page import Page, read_page
from tests.render_samples import WHERE, plan_of, stage
from tests.runs import Setting, run
from tests.test_action_command import PUSH, Job, git, pull_request
from tests.test_render_markdown import ALLOWED_TAGS, COMMENT_BUDGET, LINKS, NASTY, OURS, REFERENCE, SUMMARY_BUDGET
from tests.test_render_mermaid import LINE
from tests.test_workflow_output import log_to, read_outputs
from tests.tools.make_hostile_strings import FILE, content

CORPUS: dict[str, list[str]] = json.loads(FILE.read_text(encoding="utf-8"))
ALL = [string for strings in CORPUS.values() for string in strings]
WRITABLE = [string for string in ALL if not re.search("[\ud800-\udfff]", string)]
BIDI = re.compile("[\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]")
PER_PLAN = 25


def test_the_corpus_is_what_its_script_makes_and_large_enough() -> None:
    assert FILE.read_text(encoding="utf-8") == content()
    assert len(ALL) >= 300
    assert len(set(ALL)) == len(ALL)


# From documents into what is drawn of them.


@cache
def plans() -> list[tuple[Plan, Receipt]]:
    """A plan and its receipt of every few texts."""
    return [*_plans()]


def _plans() -> Iterator[tuple[Plan, Receipt]]:
    for start in range(0, len(WRITABLE), PER_PLAN):
        plan = plan_of_strings(WRITABLE[start : start + PER_PLAN])
        yield plan, receipt_of(plan, WRITABLE[start : start + PER_PLAN])


def plan_of_strings(strings: list[str]) -> Plan:
    nodes: list[Node] = []
    for place, string in enumerate(strings):
        nodes.append(
            Node(
                f"main/step{place}{string.replace('/', '')}",
                "main",
                string,
                WHERE,
                title=string,
                slots={"run": Immediate(string), "undo": Immediate(string), string: Immediate(string)},
                env={string: Immediate(string), "COMPUTED": Computed(string)},
                env_from=(string,),
                needs=(Need(nodes[-1].id),) if nodes and place % 3 == 0 else (),
                condition=string,
                change=list(Change)[place % len(Change)],
                fidelity=list(Fidelity)[place % len(Fidelity)],
                why=string,
                before={string: string},
                after={string: [string, string]},
                predicted={string: string},
                limits=(string,),
                reversible=place % 2 == 0,
            )
        )
    return plan_of((stage("main"),), tuple(nodes), strings[0], strings[-1])


def receipt_of(plan: Plan, strings: list[str]) -> Receipt:
    outcomes = [Outcome.FAILED, Outcome.SUCCEEDED, Outcome.SKIPPED, Outcome.UNDO_FAILED, Outcome.UNKNOWN]
    results = tuple(
        NodeResult(
            node.id,
            outcomes[place % len(outcomes)],
            (Attempt(1, Outcome.FAILED, 1, 2, string, 1),),
            started_ms=1,
            ended_ms=2,
            cause=string,
            error=string,
            warning=string,
            outputs={string: string},
            tail=f"{string}\n{string}",
            log=string,
        )
        for place, (node, string) in enumerate(zip(plan.nodes, strings, strict=True))
    )
    return Receipt(
        lifecycle=plan.lifecycle,
        target=plan.target,
        run=strings[0],
        plan_digest=None,
        effect=None,
        started="2026-11-22T10:15:00Z",
        ended="2026-11-22T10:16:00Z",
        duration_ms=60_000,
        outcome=RunOutcome.NOT_UNDONE,
        nodes=results,
        stages=(StageResult("main", Outcome.FAILED),),
        rollback=tuple(
            RollbackEntry(node.id, "main", Outcome.UNDO_FAILED, 1, 2, string, tail=string)
            for node, string in zip(plan.nodes, strings, strict=True)
        ),
        by=RanBy("ci", actor=strings[0], commit=strings[-1]),
        shipway="1.0.0",
        platform="linux-x86_64",
        warnings=tuple(strings),
        error=strings[0],
    )


def check_body(body: str, budget: int) -> None:
    """What is shown as Markdown, as far as it may go."""
    assert len(body.encode()) <= budget
    assert set(check_page(body).links) <= OURS


def check_page(body: str) -> Page:
    """Whatever is not our own word is code, and nothing of it is left open."""
    assert not NASTY.search(body)
    assert "<!-" not in body
    page = read_page(body)
    assert page.faults == []
    assert page.tags <= ALLOWED_TAGS
    assert [link for link in page.links if not link.startswith("https://github.com/")] == []
    assert [text for text in page.text if REFERENCE.search(text)] == []
    assert [heading for heading in page.headings if "Shipway " in heading] == page.headings[:1]
    return page


def check_plain(shown: str, *, colour: bool = False) -> None:
    """What stands in a log or on a terminal: no command, nothing unseen, no sequence but a colour of ours."""
    if colour:
        shown = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert obeyed(shown) == []
    assert not NASTY.search(shown)
    assert not BIDI.search(shown)
    assert "\r" not in shown


def test_case_59_no_comment_check_or_summary_is_more_than_its_own_words() -> None:
    for plan, receipt in plans():
        previous = plan_of_strings(ALL[:3])
        view = View(plan.lifecycle, plan.target, plan=plan, previous=previous, needed="", notes=(plan.target,))
        check_body(plan_comment(plan, budget=COMMENT_BUDGET, links=LINKS, previous=previous), COMMENT_BUDGET)
        check_body(receipt_comment(receipt, plan, budget=SUMMARY_BUDGET, links=LINKS), SUMMARY_BUDGET)
        check_body(check_summary(view, LINKS, 65_535), 65_535)
        for each in (view, View(plan.lifecycle, plan.target, plan=plan, receipt=receipt)):
            title = check_title(each)
            assert "\n" not in title and not NASTY.search(title)
            for annotation in each.annotations():
                assert not NASTY.search(annotation.title + annotation.text)


def test_case_59_no_chart_has_syntax_of_others_in_it() -> None:
    for plan, receipt in plans():
        for chart in (flowchart(plan), flowchart(plan, receipt), stage_flowchart(plan)):
            assert [line for line in chart.rstrip("\n").split("\n") if not LINE.fullmatch(line)] == []
            assert not NASTY.search(chart)


def test_case_3_no_text_for_a_terminal_or_a_log_has_a_command_or_a_sequence_of_others_in_it() -> None:
    for plan, receipt in plans():
        check_plain(render_plan(plan, colour=False, columns=40))
        check_plain(render_receipt(receipt, plan, colour=True, columns=80), colour=True)


def test_case_59_an_error_about_anything_is_only_text() -> None:
    for string in ALL:
        where = Position(string, 1, 1)
        error = DeclarationError(string, next=string, problems=[Problem(string, where, string, string)], where=where)
        check_plain(failure.as_text(error))
        assert json.loads(failure.as_json(error))["error"]["message"] is not None
        view = View("shop", "prod", error=error)
        body = check_summary(view, LINKS, 65_535)
        assert not NASTY.search(body)
        assert "<!-" not in body


def events_of(string: str) -> list[Event]:
    node = f"main/{string}"
    return [
        PhaseFinished("load", 1, string),
        NodeStarted(node, 1, 1),
        NodeOutput(node, Redactor({}).clean(f"{string}\n")),
        NodeRetrying(node, 1, string, 5),
        NodeFinished(node, "failed", 1, 2, string, string, string, tail=Redactor({}).clean(string)),
        StageFinished("main", "failed"),
        Stopping(string, (node,), 5),
        RollbackStarted((node,)),
        NodeUndone(node, "undo_failed", 1, string, tail=Redactor({}).clean(string)),
        CleanupFailed(string, string),
        Warned(string, Problem(string, WHERE, string, string)),
    ]


def test_case_3_what_is_told_of_a_run_is_obeyed_by_no_runner_and_no_terminal() -> None:
    stream = io.StringIO()
    log = WorkflowLog({}, stream, lambda count: "0f" * count)
    for workflow in (log, None):
        with Terminal(
            stream,
            columns=80,
            is_tty=False,
            colour=False,
            verbosity=Verbosity.VERBOSE,
            now_ms=lambda: 1,
            workflow=workflow,
        ) as view:
            for string in ALL:
                for event in events_of(string):
                    view(event)
        shown = stream.getvalue()
        assert not NASTY.search(shown) and "\r" not in shown
        assert obeyed(shown) == [] or workflow is None  # at a terminal nobody obeys anything


def test_case_3_a_group_and_what_stands_in_it_is_obeyed_by_no_runner(tmp_path: Path) -> None:
    for string in WRITABLE:
        log, stream = log_to(tmp_path)
        with log.group(trusted(string)), log.stopped_commands() as write:
            write(Redactor({}).clean(string))
        log.annotate(Level.ERROR, trusted(string), file=string, line=1, title=string)
        word = f"shipway-{'0f' * 16}"
        outside = re.sub(rf"(?s)::stop-commands::{word}\n.*?\n::{word}::", "", stream.getvalue())
        assert obeyed(outside) == ["group", "endgroup", "error"], string


def test_case_57_no_output_becomes_another_one(tmp_path: Path) -> None:
    log, _ = log_to(tmp_path, GITHUB_OUTPUT="")
    written = {}
    for place, string in enumerate(WRITABLE):
        log.set_output(f"o{place}", trusted(string))
        written[f"o{place}"] = string
    with Path(log.env["GITHUB_OUTPUT"]).open(encoding="utf-8", newline="") as file:
        assert read_outputs(file.read()) == written


# From what the world says, through a real run, into all of it.


def test_case_59_what_steps_print_and_hand_on_is_obeyed_nowhere(tmp_path: Path, github: GitHubServer) -> None:
    job = Job(tmp_path / "job", github, "push", PUSH)
    printed = [string.encode("utf-8", "surrogatepass") for string in ALL]
    (job.checkout / "printed").write_bytes(b"\n".join(printed) + b"\n")
    outputs = [
        f"x<<~{place}~\n{string}\n~{place}~\n" for place, string in enumerate(WRITABLE[:200]) if "~" not in string
    ]
    (job.checkout / "outputs").write_text("".join(outputs).replace("x<<", "it<<"), encoding="utf-8", newline="")
    (job.checkout / "shipway.yml").write_text(
        "version: 1\nname: shop\nsteps:\n"
        '  - {id: hand-on, run: cat outputs >> "$SHIPWAY_OUTPUT"; cat printed, outputs: {it: string}, undo: cat printed; exit 1}\n'
        '  - {id: skip, run: "(printf skipped:; head -c 3000 printed) > $SHIPWAY_STATUS"}\n'
        "  - {id: fail, run: tail -n 200 printed; exit 3}\n"
    )
    git(job.checkout, "add", "-A")
    git(job.checkout, "commit", "-qm", "second")
    commit = git(job.checkout, "rev-parse", "HEAD").strip()
    job.env |= {"GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch"}
    github.world.pulls[7].merge_commit = job.env["GITHUB_SHA"] = commit
    done = job.part("run", SHIPWAY_INPUT_COMMAND="run")
    assert done.returncode == 4, done.stderr
    assert job.report().returncode == 0
    assert set(obeyed(done.stdout)) == {"stop-commands", "group", "endgroup", "error"}
    assert obeyed(done.stderr) == []
    assert not NASTY.search(done.stdout.replace("\r", ""))
    (comment,) = github.world.pulls[7].comments
    for body in (comment.body.rpartition("\n<!-- shipway:v1")[0], job.summary):
        check_page(body)
    assert comment.body.count("<!-- shipway:v1") == 1
    receipt = read_document(Path(job.outputs["receipt-path"]))
    assert Path(job.outputs["receipt-path"]).read_bytes() == canonical_bytes(receipt.document)
    for log in (job.checkout / ".shipway/runs").rglob("*.log"):
        assert strip_control(log.read_text(encoding="utf-8")) == log.read_text(encoding="utf-8")


def test_case_59_titles_and_branch_names_stay_text(tmp_path: Path, github: GitHubServer) -> None:
    payload = pull_request()
    title = "\n".join(string for string in WRITABLE if "\0" not in string)
    payload["pull_request"] |= {"title": title, "body": title}  # type: ignore[operator]
    payload["pull_request"]["head"]["ref"] = title  # type: ignore[index]
    job = Job(tmp_path / "job", github, "pull_request", payload)
    job.env["GITHUB_HEAD_REF"] = title
    (job.checkout / "shipway.yml").write_text(
        'version: 1\nname: shop\nsteps:\n  - id: a\n    run: echo\n    plan: printf %s "$TITLE"\n'
        '    env: {TITLE: "${{ github.head_ref }}", BODY: "${{ github.event.pull_request.body }}"}\n'
    )
    done = job.part("run")
    assert done.returncode == 0, done.stderr
    assert job.report().returncode == 0
    assert obeyed(done.stdout + done.stderr) == []
    assert not NASTY.search(done.stdout)
    (comment,) = github.world.pulls[7].comments
    assert "evil.example" not in comment.body
    assert not (job.checkout / "p").exists()


def test_case_59_an_environment_and_a_file_name_reach_a_script_as_they_are(tmp_path: Path) -> None:
    """Names of files and items of a gather, each once, as a variable: nothing of it is ever part of a script."""
    names = [name for name in WRITABLE if "/" not in name and "\0" not in name and 0 < len(name.encode()) < 120]
    names = [name for name in names if name.strip(".")][:120]
    (tmp_path / "names.json").write_text(json.dumps(names))
    for place, name in enumerate(names):
        (tmp_path / name).write_text(str(place))
    listed = json.dumps([f"x{place}" for place in range(len(names))])
    ran = run(
        tmp_path,
        """
        steps:
          list: {run: 'printf "names=%s\\n" "$(cat names.json)" >> "$SHIPWAY_OUTPUT"', outputs: {names: list}}
          read:
            gather: {items: "${{ steps.list.outputs.names }}", max: 200}
            env: {NAME: "${{ item }}"}
            run: cat -- "./$NAME" > /dev/null && printf '%s\\0' "$NAME" >> read.bin
        """,
        Setting(env={"LISTED": listed}),
    )
    assert ran.finished.error is None
    assert ran.receipt.outcome is RunOutcome.SUCCEEDED, ran.outcomes
    assert sorted((tmp_path / "read.bin").read_bytes().decode().split("\0")[:-1]) == sorted(names)
    assert not (tmp_path / "p").exists()
    body = receipt_comment(ran.receipt, ran.finished.plan, budget=COMMENT_BUDGET, links=LINKS)
    check_body(body, COMMENT_BUDGET)
    check_plain(render_receipt(ran.receipt, ran.finished.plan, colour=False, columns=80))
