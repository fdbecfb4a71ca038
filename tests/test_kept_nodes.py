"""Checkpoints in whole runs: what is planned as kept is kept, what changed runs again and says why, and how all of it stands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pytest
from msgspec.structs import replace

from shipway.action import ActionFailed, Done, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.checkpoints import Made, checkpointed, foretold, undone, verified
from shipway.declaration import OutputRule
from shipway.drift import Answer
from shipway.environment_record import Checkpoint, EnvironmentRecord, marked_stale
from shipway.environment_sight import sighted
from shipway.environments import Environments
from shipway.events import Events
from shipway.execution import ExecutionTools
from shipway.interruption import Interruption
from shipway.nodes import Change, Fidelity, Verified
from shipway.redaction import Redactor
from shipway.registry import Extension, Registry
from shipway.shelf import Shelf
from shipway.stores.local_files import LocalFiles
from shipway.workspace import Workspace
from tests.runs import GRACE, Ran, Setting, context_of, environment, run

AWAY = "away"


class Thing:
    """Writes a file that lasts beyond the run; a file that says `away` stands for a host that does not answer."""

    runs_in: Literal["thread"] = "thread"
    name = "test.thing"
    contract = 1
    slots: Mapping[str, SlotRule] = {
        "path": SlotRule(SlotType.STRING, required=True, description="the file"),
        "text": SlotRule(SlotType.STRING, default="", description="what is in it"),
        "after": SlotRule(SlotType.LIST, description="what opens it again"),
        "fails": SlotRule(SlotType.BOOLEAN, default=False, description="whether it fails half-way"),
    }
    outputs: Mapping[str, OutputRule] = {"path": OutputRule("string"), "made": OutputRule("integer")}

    def plan(self, work: PlanWork) -> Prediction:
        return foretold(work, contract=1, verify=_verify, change_when_made=Change.CREATE, reversible=True)

    def do(self, work: Work) -> Done:
        return checkpointed(work, contract=1, verify=_verify, make=_make)

    def undo(self, work: Work) -> None:
        undone(work, remove=_remove)

    def verify(self, work: Work) -> Verified:
        return verified(work, verify=_verify)


def _make(work: Work, before: Checkpoint | None) -> Made:
    path = work.root.parent / str(work.inputs["path"])
    path.write_text(str(work.inputs["text"]))
    if work.inputs["fails"]:
        raise ActionFailed("it broke")
    return Made({"path": str(path)})


def _verify(work: Work | PlanWork, checkpoint: Checkpoint) -> Verified:
    path = Path(str(checkpoint.outputs["path"]))
    if path.exists() and path.read_text() == AWAY:
        raise ActionFailed("no route to host")
    return Verified.HOLDS if path.exists() else Verified.GONE


def _remove(work: Work, checkpoint: Checkpoint | None) -> bool:
    (work.root.parent / str(work.inputs["path"])).unlink(missing_ok=True)
    return checkpoint is not None


SETTING = Setting(
    registry=Registry(lambda group: [Extension("test.thing", f"{__name__}:Thing", "tests 1.0")]), target="pr-1"
)
TEXT = """\
stages:
  main:
    steps:
      a: {uses: test.thing, with: {path: a, text: TEXT_A}}
      b: {uses: test.thing, with: {path: b, text: TEXT_B, after: ["${{ steps.a.outputs.made }}"]}}
      c:
        uses: test.thing
        with: {path: c, text: "${{ steps.a.outputs.path }}", after: ["${{ steps.b.outputs.made }}"], fails: FAILS}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    made.mkdir()
    return made


def up(root: Path, a: str = "x", b: str = "y", *, fails: bool = False, execute: bool = True) -> Ran:
    text = TEXT.replace("TEXT_A", a).replace("TEXT_B", b).replace("FAILS", str(fails).lower())
    return run(root, text, SETTING, execute=execute)


def planned(ran: Ran) -> dict[str, tuple[str, str]]:
    assert ran.finished.plan is not None, ran.finished.error
    return {node.step: (node.change.value, node.why) for node in ran.finished.plan.nodes}


def environments(root: Path) -> Environments:
    return Environments(LocalFiles(Workspace(root).make_records()), "test")


def record(root: Path) -> EnvironmentRecord:
    found = environments(root).read("pr-1")
    assert found is not None
    return found


KEPT = ("noop", "inputs unchanged, verified")


def test_p32_what_is_unchanged_is_planned_as_kept_and_kept(root: Path) -> None:
    first = up(root)
    assert [change for change, _ in planned(first).values()] == ["create"] * 3
    assert first.outcomes == dict.fromkeys("abc", "succeeded")
    second = up(root)
    assert planned(second) == dict.fromkeys("abc", KEPT)
    assert second.outcomes == dict.fromkeys("abc", "unchanged")
    assert second["main/c"].outputs == first["main/c"].outputs
    assert second.finished.plan is not None
    assert {node.fidelity for node in second.finished.plan.nodes} == {Fidelity.PREDICTED}


def test_p36_what_changed_and_what_depends_on_it_runs_again_with_the_reason(root: Path) -> None:
    up(root)
    again = up(root, b="z")
    assert planned(again) == {
        "a": KEPT,
        "b": ("update", "`text` changed"),
        "c": ("update", "`main/b` runs before it"),
    }
    assert again.outcomes == {"a": "unchanged", "b": "succeeded", "c": "succeeded"}
    whys = {node: [entry.facts["why"] for entry in again[f"main/{node}"].records] for node in "abc"}
    assert whys == {"a": [], "b": ["`text` changed"], "c": ["`main/b` was made anew"]}


def test_p36_only_what_runs_is_named_of_what_a_node_depends_on(root: Path) -> None:
    both = TEXT.replace(
        'after: ["${{ steps.b.outputs.made }}"]',
        'after: ["${{ steps.a.outputs.made }}", "${{ steps.b.outputs.made }}"]',
    )
    text = both.replace("TEXT_A", "x").replace("FAILS", "false")
    run(root, text.replace("TEXT_B", "y"), SETTING)
    again = run(root, text.replace("TEXT_B", "z"), SETTING)
    assert planned(again)["c"] == ("update", "`main/b` runs before it")


def test_p38_p40_what_is_gone_is_made_again_with_what_depends_on_it_and_both_facts_are_told(root: Path) -> None:
    up(root)
    (root.parent / "a").unlink()
    again = up(root)
    assert planned(again)["a"] == ("create", "inputs unchanged; verify says gone")
    assert again.outcomes == dict.fromkeys("abc", "succeeded")
    assert again["main/a"].records[0].facts == {"why": "inputs unchanged; verify says gone", "made": 4}


def test_p39_what_cannot_be_asked_fails_the_run_and_is_made_no_second_time(root: Path) -> None:
    up(root)
    (root.parent / "a").write_text(AWAY)
    again = up(root)
    assert planned(again)["a"] == ("create", "inputs unchanged; whether it is there cannot be told: no route to host")
    assert again.outcomes == {"a": "failed", "b": "blocked", "c": "blocked"}
    assert "whether it is still there cannot be told: no route to host" in again["main/a"].error
    assert (root.parent / "a").read_text() == AWAY
    (root.parent / "a").write_text("x")
    assert up(root).outcomes == dict.fromkeys("abc", "unchanged")


def test_p34_marked_nodes_run_again_and_say_so(root: Path) -> None:
    up(root)
    environments(root).change(
        "pr-1", lambda before: marked_stale(record(root), ["main/b", "main/c"], "`--from main/b`")
    )
    again = up(root)
    assert planned(again)["a"] == KEPT
    assert [planned(again)[node][1] for node in "bc"] == ["`--from main/b`"] * 2
    assert again.outcomes == {"a": "unchanged", "b": "succeeded", "c": "succeeded"}


def test_p43_p44_a_failed_first_up_leaves_nothing_and_a_later_one_keeps_what_it_had_not_begun(root: Path) -> None:
    failed = up(root, fails=True)
    assert failed.outcomes == dict.fromkeys("abc", "undone")
    assert "it broke" in failed["main/c"].error
    assert record(root).checkpoints == {}
    assert [path.name for path in root.parent.iterdir()] == ["root"]
    assert up(root).outcomes == dict.fromkeys("abc", "succeeded")
    later = up(root, b="z", fails=True)
    assert later.outcomes == {"a": "unchanged", "b": "undone", "c": "undone"}
    assert list(record(root).checkpoints) == ["main/a"]
    assert up(root, b="z").outcomes == {"a": "unchanged", "b": "succeeded", "c": "succeeded"}


def test_p83_how_an_environment_stands_is_asked_of_each_node(root: Path) -> None:
    ran = up(root)
    plan = ran.finished.plan
    assert plan is not None
    (root.parent / "b").unlink()
    (root.parent / "c").write_text(AWAY)
    context = context_of(root, environment())
    shelf = Shelf("test", "pr-1", lambda: LocalFiles(Workspace(root).make_records()), is_private=True)
    tools = ExecutionTools(
        context=context,
        registry=SETTING.registry,
        events=Events(),
        redactor=Redactor({}),
        interruption=Interruption(),
        grace=GRACE,
        secrets={},
        root=root,
        directory=root,
        recovery=root,
        processors=1,
        shelf=shelf,
    )
    seen = sighted(plan, record(root), tools)
    assert seen == {
        "main/a": Answer(Verified.HOLDS),
        "main/b": Answer(Verified.GONE),
        "main/c": Answer(Verified.UNKNOWN, "`verify` cannot tell: no route to host"),
    }
    marked = marked_stale(record(root), ["main/a"], "`--no-cache`")
    marked = replace(marked, checkpoints={**marked.checkpoints, "main/old": Checkpoint("k")})
    seen = sighted(plan, marked, tools)
    assert seen["main/a"] == Answer(Verified.UNKNOWN, "it is to run again: `--no-cache`")
    assert seen["main/old"] == Answer(Verified.UNKNOWN, "it is not declared any more")
    assert (root.parent / "c").read_text() == AWAY
    sealed = replace(marked.checkpoints["main/a"], stale="", sealed="c2VhbGVk")
    seen = sighted(plan, replace(marked, checkpoints={**record(root).checkpoints, "main/a": sealed}), tools)
    assert {seen[node].why for node in ("main/a", "main/b")} == {
        "its secret outputs are encrypted, and `state` names no key"
    }, "what is made of what cannot be read is not held against something else"
