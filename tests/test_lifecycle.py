"""Shows the eight phases: their order, what an error in each leads to, what is cleaned up, and that a plan can travel."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from shipway.action import Action
from shipway.backend import Capability, Cleanups, StagePlace
from shipway.builder import GraphBuilder
from shipway.builder_options import NodeOptions
from shipway.canonical import Json, canonical_bytes
from shipway.declaration import Declaration, Stage
from shipway.errors import Problem, Reason, UnreachableError, VerificationError
from shipway.events import CleanupFailed, Event, NodeFinished, PhaseFinished, PhaseStarted
from shipway.nodes import Change, Fidelity, Outcome
from shipway.plan import Plan
from shipway.plan_file import load_plan
from shipway.registry import Registry
from shipway.render.blocks import Links
from shipway.render.mermaid import flowchart
from shipway.render.plan_comment import plan_comment
from shipway.render.plan_text import render_plan
from shipway.render.plan_words import plan_counts
from shipway.render.receipt_comment import receipt_comment
from shipway.render.receipt_text import render_receipt
from shipway.state import Entry, Identity, Prior, Standing, State
from tests.runs import Kept, Setting, call, declare, environment, run, stage

PHASES = ["load", "resolve", "validate", "prepare", "plan", "execute", "report", "cleanup"]
FINE = stage('- {id: a, run: "true"}')
SHELVES = "stages: {main: {mode: shelves, with: {books: [one, two]}}}"
TWO_SHELVES = (
    "stages: {main: {mode: shelves, with: {books: [one]}}, upper: {mode: shelves, needs: [main], with: {books: [two]}}}"
)


@dataclass
class Shelves:
    """A backend of a mode that nothing in Shipway knows: a node per book. Fails in the phase `breaks_in`."""

    breaks_in: str = ""
    removals: tuple[tuple[str, Callable[[], None]], ...] = ()
    calls: list[str] = field(default_factory=list)
    looks_back: bool = False
    mode: str = "shelves"
    name: str = "oak"
    contract: int = 1
    capabilities: frozenset[Capability] = frozenset({Capability.PLAN_EXECUTE, Capability.DRY_RUN})

    def validate(self, stage: Stage, lifecycle: Declaration) -> list[Problem]:
        self._called("validate")
        return []

    def prepare(self, stage: Stage, place: StagePlace, cleanups: Cleanups) -> None:
        for name, remove in self.removals:
            cleanups.register(name, remove)
        self._called("prepare")

    def plan(self, stage: Stage, lifecycle: Declaration, builder: GraphBuilder, prior: Prior) -> Mapping[str, Json]:
        self._called("plan")
        books = stage.with_["books"]
        assert isinstance(books, list)
        for book in books:
            slots = {"path": f"shelf/{book}", "content": str(book)}
            builder.add("file.write", str(book), slots, options=NodeOptions(lasting=False))
        if self.looks_back:
            for entry in prior().existing("book"):
                if entry.name not in books:
                    builder.add("file.remove", f"no-{entry.name}", {"path": f"{stage.id}/{entry.name}"})
        return {"books": len(books)}

    def _called(self, phase: str) -> None:
        self.calls.append(phase)
        if phase == self.breaks_in:
            raise RuntimeError("the shelf fell down")


def with_shelves(**facts: object) -> Setting:
    registry = Registry()
    registry.register_backend(lambda: Shelves(**facts), "test")  # type: ignore[arg-type]
    return Setting(registry=registry)


def phases(events: list[Event]) -> list[str]:
    return [event.phase for event in events if isinstance(event, PhaseStarted)]


# Phases.


def test_a_backend_is_told_what_exists_only_when_it_asks(tmp_path: Path) -> None:
    asked: list[str] = []
    entry = Entry(Identity("test", "default", "book", "z"), Standing.EXISTS)

    def prior(declaration: Declaration, target: str) -> State:
        asked.append(f"{declaration.name} {target}")
        return State((entry,))

    run(tmp_path, SHELVES, replace(with_shelves(), prior=prior), execute=False)
    assert asked == []
    ran = run(tmp_path, TWO_SHELVES, replace(with_shelves(looks_back=True), prior=prior), execute=False)
    assert asked == ["test default"]
    assert ran.finished.plan is not None and {"main/no-z", "upper/no-z"} <= set(ran.finished.plan.by_id)


def test_case_32_nodes_of_a_backend_that_cannot_dry_run_are_opaque_and_never_nothing_to_do(tmp_path: Path) -> None:
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "one").write_text("one")
    follows = "  then: {needs: [main], steps: [{run: 'true'}]}\n"

    def planned(*more: Capability) -> Plan:
        setting = with_shelves(capabilities=frozenset({Capability.PLAN_EXECUTE, *more}))
        text = f"stages:\n  main: {{mode: shelves, with: {{books: [one, two]}}}}\n{follows}"
        finished = run(tmp_path, text, setting, execute=False).finished
        assert finished.plan is not None, finished.error
        return finished.plan

    told = planned(Capability.DRY_RUN)
    assert [told.by_id[f"main/{book}"].fidelity for book in ("one", "two")] == [Fidelity.EXACT] * 2
    assert told.by_id["main/one"].change is Change.NOOP
    plan = planned()
    for book in ("one", "two"):
        node = plan.by_id[f"main/{book}"]
        assert (node.fidelity, node.before, node.after, node.predicted) == (Fidelity.OPAQUE, None, None, {})
        assert node.why == "backend `shelves/oak` cannot tell before what it will do"
        assert node.change is not Change.NOOP
    assert plan.by_id["main/two"].reversible is told.by_id["main/two"].reversible
    assert "3 opaque" in plan_counts(plan)


def test_what_exists_and_cannot_be_verified_refuses_the_plan(tmp_path: Path) -> None:
    def prior(declaration: Declaration, target: str) -> State:
        raise VerificationError("a receipt was altered", reason=Reason.RECEIPT_DIGEST)

    ran = run(tmp_path, SHELVES, replace(with_shelves(looks_back=True), prior=prior), execute=False)
    assert isinstance(ran.error, VerificationError) and ran.error.reason is Reason.RECEIPT_DIGEST
    assert ran.error.phase == "plan" and ran.error.stage == "main"


def test_l1_l2_each_phase_runs_once_in_order_and_says_how_long_it_took(tmp_path: Path) -> None:
    ran = run(tmp_path, FINE)
    assert phases(ran.events) == PHASES
    finished = [event for event in ran.events if isinstance(event, PhaseFinished)]
    assert [event.phase for event in finished] == PHASES
    assert all(type(event.duration_ms) is int and not event.error for event in finished)


def test_l2_l9_l11_a_dry_run_skips_execute_and_nothing_else_and_leaves_nothing(tmp_path: Path) -> None:
    removed: list[str] = []
    setting = with_shelves(removals=(("shelf", lambda: removed.append("shelf")),))
    ran = run(tmp_path, SHELVES, setting, execute=False)
    assert phases(ran.events) == [phase for phase in PHASES if phase != "execute"]
    assert ran.finished.plan is not None and ran.finished.receipt is None
    assert removed == ["shelf"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shipway.yml"]


@pytest.mark.parametrize("phase", ["validate", "prepare", "plan"])
def test_l3_an_exception_names_its_phase_and_only_report_and_cleanup_follow(tmp_path: Path, phase: str) -> None:
    ran = run(tmp_path, SHELVES, with_shelves(breaks_in=phase))
    assert ran.error.phase == phase and ran.error.stage == "main" and ran.error.backend == "shelves/oak"
    assert phases(ran.events) == [*PHASES[: PHASES.index(phase) + 1], "report", "cleanup"]
    [failed] = [event for event in ran.events if isinstance(event, PhaseFinished) and event.error]
    assert failed.phase == phase and "the shelf fell down" in failed.error


def test_l3_an_exception_in_resolve_and_in_execute(tmp_path: Path) -> None:
    ran = run(tmp_path, "stages: {main: {mode: nothing-like-it, with: {}}}")
    assert ran.error.phase == "resolve" and phases(ran.events) == ["load", "resolve", "report", "cleanup"]
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / ".shipway").touch()
    ran = run(blocked, FINE)
    assert ran.error.phase == "execute" and phases(ran.events) == PHASES
    assert ran.error.reason is Reason.UNWRITABLE


def test_l4_a_declaration_that_does_not_parse_ends_in_load(tmp_path: Path) -> None:
    declare(tmp_path, "stages: {main: {steps: [{id: a, rum: x}]}}\n")
    ran = run(tmp_path)
    assert phases(ran.events) == ["load", "report", "cleanup"]
    assert ran.finished.receipt is None and ran.error.exit_code == 2
    called = call(tmp_path, "run", "--yes")
    assert called.exit_code == 2
    assert "shipway.yml:3:" in called.err and "^" in called.err and "did you mean `run`" in called.err


def test_l4_no_backend_is_imported_for_a_declaration_that_does_not_parse(tmp_path: Path) -> None:
    declare(tmp_path, "stages: {main: {steps: [{id: a, rum: x}]}}\n")
    script = "import sys\nfrom shipway.cli import run\nrun(['run', '--yes'])\nprint([m for m in sys.modules if '.backends.' in m])"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("[]\n"), done.stdout


def test_l5_an_error_in_plan_leaves_a_receipt_without_nodes_that_says_so(tmp_path: Path) -> None:
    ran = run(tmp_path, SHELVES, with_shelves(breaks_in="plan"))
    assert ran.receipt.nodes == () and "the shelf fell down" in ran.receipt.error
    assert ran.receipt.outcome.value == "failed"


def test_l6_when_the_report_cannot_be_delivered_the_receipt_still_lists_every_node(tmp_path: Path) -> None:
    reporter = Kept(UnreachableError("the store is gone", reason=Reason.UNWRITABLE))
    ran = run(tmp_path, FINE, Setting(reporter=reporter))
    assert ran.outcomes == {"a": "succeeded"}
    assert reporter.receipt is ran.receipt
    assert ran.error.exit_code == 6 and ran.error.phase == "report"
    assert phases(ran.events) == PHASES


@pytest.mark.parametrize(("undo", "code"), [('undo: "true"', 1), ("undo: exit 1", 4)])
def test_l7_a_failing_node_is_a_failing_command(tmp_path: Path, undo: str, code: int) -> None:
    declare(tmp_path, f"steps: [{{id: a, run: exit 1, {undo}}}]")
    assert call(tmp_path, "run", "--yes").exit_code == code


def test_l8_each_finished_event_comes_when_its_node_ends(tmp_path: Path) -> None:
    seen: list[tuple[str, bool]] = []

    def watch(event: Event) -> None:
        if isinstance(event, NodeFinished):
            seen.append((event.node, (tmp_path / "last").exists()))

    steps = "\n".join([*(f"- {{id: n{n}, run: 'true'}}" for n in range(11)), "- {id: last, run: touch last}"])
    run(tmp_path, stage(steps), Setting(subscribers=[watch]))
    assert [is_over for _, is_over in seen] == [False] * 11 + [True]


def test_l10_a_dry_run_and_a_run_make_the_same_plan_byte_by_byte(tmp_path: Path) -> None:
    dry, real = run(tmp_path, FINE, execute=False).finished.plan, run(tmp_path, FINE).finished.plan
    assert dry is not None and real is not None
    assert canonical_bytes(dry.document) == canonical_bytes(real.document)


def test_l12_a_plan_without_nodes_is_nothing_to_do(tmp_path: Path) -> None:
    ran = run(tmp_path, "stages: {main: {mode: shelves, with: {books: []}}}", with_shelves())
    assert ran.receipt.nodes == () and ran.exit_code == 0


# Cleanup.


def test_l13_l14_l15_removals_run_last_in_first_out_also_after_a_failure_and_past_one_that_fails(
    tmp_path: Path,
) -> None:
    done: list[str] = []

    def fail() -> None:
        done.append("b")
        raise OSError("it is stuck")

    removals = (("a", lambda: done.append("a")), ("b", fail), ("c", lambda: done.append("c")))
    ran = run(tmp_path, SHELVES, with_shelves(removals=removals, breaks_in="prepare"))
    assert done == ["c", "b", "a"]
    assert ran.error.phase == "prepare"
    assert ran.finished.cleanup_failures == (("b", "OSError: it is stuck"),)
    assert [event for event in ran.events if isinstance(event, CleanupFailed)] == [CleanupFailed("b", "it is stuck")]


def test_l18_two_lifecycles_in_one_process_leave_it_as_it_was(tmp_path: Path) -> None:
    def state() -> tuple[dict[str, str], str, set[str]]:
        return dict(os.environ), os.getcwd(), {os.readlink(f"/proc/self/fd/{fd}") for fd in _descriptors()}

    def _descriptors() -> list[str]:
        return [fd for fd in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{fd}")]

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("NOT SHOWN: open files are listed under /proc only")
    before = state()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        run(tmp_path / name, stage("- {id: a, run: 'echo hi; exit 1', plan: 'true'}\n- {id: b, run: 'true'}"))
    assert state() == before


# Errors, plan and receipt.


def test_l30_an_error_of_a_backend_names_phase_stage_backend_and_place_and_keeps_its_cause(tmp_path: Path) -> None:
    ran = run(tmp_path, SHELVES, with_shelves(breaks_in="validate"))
    assert ran.error.message == 'validate: stage "main" (shelves/oak): the shelf fell down'
    assert isinstance(ran.error.__cause__, RuntimeError)
    assert ran.error.where is not None and ran.error.where.line == 3
    assert ran.error.line.startswith("stages:")


def test_l31_two_processes_make_the_same_plan_whatever_order_files_are_listed_in(tmp_path: Path) -> None:
    plans: list[str] = []
    for name, files in (("one", "abc"), ("two", "cba")):
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).write_text(file)
        declare(tmp_path / name, stage('b: {run: "true", env: {Z: "1", A: "2"}}\na: {run: "true", needs: [b]}'))
        called = call(tmp_path / name, "plan", "--json", env={"PYTHONHASHSEED": str(len(plans))})
        assert called.exit_code == 0, called
        plans.append(called.out)
    assert plans[0] == plans[1]


def test_l32_a_plan_holds_the_names_of_secrets_and_never_their_values(tmp_path: Path) -> None:
    text = 'secrets: [KEY]\nsteps: [{id: a, uses: file.write, with: {path: p, content: "${{ secrets.KEY }}"}}]'
    ran = run(tmp_path, text, Setting(env={"KEY": "hunter2-hunter2"}), execute=False)
    assert ran.finished.plan is not None
    content = canonical_bytes(ran.finished.plan.document)
    assert b"hunter2" not in content and b"secrets.KEY" in content


def test_l33_results_belong_to_nodes_by_id(tmp_path: Path) -> None:
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf/one").write_text("one")
    ran = run(tmp_path, SHELVES, with_shelves())
    assert ran.finished.plan is not None
    assert ran.finished.plan.by_id["main/one"].change.value == "noop"
    assert ran.outcomes == {"one": "unchanged", "two": "succeeded"}


def commit(root: Path) -> None:
    for arguments in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "x"],
    ):
        subprocess.run(["git", *arguments], cwd=root, check=True, env=environment(), capture_output=True)


def test_l34_a_plan_is_applied_by_another_process_in_another_clone(tmp_path: Path) -> None:
    one = tmp_path / "one"
    one.mkdir()
    declare(one, stage("- {id: a, run: 'echo applied > result', env: {WHO: me}}"))
    commit(one)
    assert call(one, "plan", "-o", str(tmp_path / "plan.json")).exit_code == 0
    subprocess.run(["git", "clone", "-q", str(one), str(tmp_path / "two")], check=True, capture_output=True)
    called = call(tmp_path / "two", "apply", str(tmp_path / "plan.json"), "--yes")
    assert called.exit_code == 0, called
    assert (tmp_path / "two/result").exists() and not (one / "result").exists()
    plan = load_plan((tmp_path / "plan.json").read_bytes(), lambda data: None)
    [path] = (tmp_path / "two/.shipway/receipts").glob("*.json")
    assert json.loads(path.read_text())["plan"] == plan.digest


@pytest.mark.parametrize(
    ("change", "reason"), [("declaration", "declaration-changed"), ("commit", "base-moved"), ("file", "plan-differs")]
)
def test_l35_what_is_not_what_was_planned_is_refused_with_the_nodes_that_differ(
    tmp_path: Path, change: str, reason: str
) -> None:
    root = tmp_path / "r"
    root.mkdir()
    (root / "data").write_text("1")
    steps = "- {id: a, run: touch ran, reads: [data]}\n- {id: same, run: 'true', reads: [none]}"
    declare(root, stage(steps))
    commit(root)
    assert call(root, "plan", "-o", str(tmp_path / "plan.json")).exit_code == 0
    if change == "declaration":
        declare(root, stage(steps.replace("touch ran", "touch ran other")))
    else:
        (root / "data").write_text("2")
    if change == "commit":
        commit(root)
    called = call(root, "apply", str(tmp_path / "plan.json"), "--yes", "--json")
    assert called.exit_code == 5, called
    told = json.loads(called.out)["error"]
    assert told["reason"] == reason
    assert "main/a" in told["message"] and "main/same" not in told["message"]
    assert not (root / "ran").exists()


def test_l35_a_plan_that_was_tampered_with_is_refused(tmp_path: Path) -> None:
    declare(tmp_path, FINE)
    assert call(tmp_path, "plan", "-o", "plan.json").exit_code == 0
    file = tmp_path / "plan.json"
    file.write_bytes(file.read_bytes().replace(b'"true"', b'"false"'))
    assert call(tmp_path, "apply", "plan.json", "--yes").exit_code == 5


def test_l36_plan_and_receipt_of_an_unknown_mode_are_shown_like_any_other(tmp_path: Path) -> None:
    ran = run(tmp_path, SHELVES, with_shelves())
    plan, receipt = ran.finished.plan, ran.receipt
    assert plan is not None
    for text in (
        render_plan(plan, colour=False, columns=100),
        render_receipt(receipt, plan, colour=False, columns=100),
        plan_comment(plan, budget=60_000, links=Links()),
        receipt_comment(receipt, plan, budget=60_000, links=Links()),
        flowchart(plan),
    ):
        assert "one" in text and "two" in text
    shutil.rmtree(tmp_path / "shelf")


def test_l37_the_receipt_says_who_ran_it(tmp_path: Path) -> None:
    assert run(tmp_path, FINE, Setting(env={"USER": "ada"})).receipt.by.invoker == "local"
    env = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_REPOSITORY": "o/r",
        "GITHUB_RUN_ID": "77",
        "GITHUB_RUN_ATTEMPT": "2",
        "GITHUB_ACTOR": "ada",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_API_URL": "https://api.github.com",
    }
    by = run(tmp_path, FINE, Setting(env=env)).receipt.by
    assert (by.invoker, by.run, by.attempt, by.actor, by.repository) == ("ci", "77", 2, "ada", "o/r")


def test_g030_a_receipt_cannot_be_executed(tmp_path: Path) -> None:
    declare(tmp_path, FINE)
    assert call(tmp_path, "run", "--yes").exit_code == 0
    [path] = (tmp_path / ".shipway/receipts").glob("*.json")
    called = call(tmp_path, "apply", str(path), "--yes")
    assert called.exit_code in (2, 5), called
    assert "receipt" in called.err


class _BreaksOnce(Registry):
    """A registry that fails once, as a journal that cannot be written would: the first time it is asked when `made` is there."""

    def __init__(self, made: Path) -> None:
        super().__init__()
        self._made = made
        self._is_broken = False

    def require_action(self, name: str) -> Action:
        if self._made.exists() and not self._is_broken:
            self._is_broken = True
            raise UnreachableError("the journal cannot be written")
        return super().require_action(name)


def test_an_execution_that_breaks_is_ended_undone_and_told(tmp_path: Path) -> None:
    text = """
        steps:
          - {id: a, run: echo done > made, undo: rm made}
          - {id: b, run: "true", undo: touch b-undone}
          - {id: c, run: touch never}
    """
    ran = run(tmp_path, text, Setting(registry=_BreaksOnce(tmp_path / "made")))
    assert ran.error.message == "the journal cannot be written"
    assert ran.error.exit_code == 6
    assert ran.outcomes == {"a": "undone", "b": "undone", "c": "not_started"}
    assert ran["main/b"].attempts[0].outcome is Outcome.UNKNOWN
    assert not (tmp_path / "made").exists()
    assert (tmp_path / "b-undone").exists()
    assert not (tmp_path / "never").exists()
