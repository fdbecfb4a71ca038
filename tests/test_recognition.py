"""Shows which nodes have ended before a run begins anything: those that were planned to find all done, and find it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import pytest

from shipway.action import Action, ActionFailed, Done, PlanWork, Prediction, Recognizing, SlotRule, Work
from shipway.actions.file_backup import FileBackup
from shipway.actions.file_link import FileLink
from shipway.actions.file_mkdir import FileMkdir
from shipway.declaration import OutputRule
from shipway.nodes import Change, Fidelity, Outcome, Verified
from shipway.registry import Registry
from tests.kills import Mortals
from tests.runs import Ran, Setting, declare, journal_of, run, stage
from tests.test_files_mode import deploy, lay

LINKS = "\n".join(f"{name}: {{uses: file.link, with: {{path: to/{name}, source: from}}}}" for name in "abc")


class There:
    """Finds all done when it is planned and when it is recognized; whoever asks it to do something is told so."""

    runs_in: Literal["thread"] = "thread"
    name = "test.there"
    contract = 1
    slots: Mapping[str, SlotRule] = {}
    outputs: Mapping[str, OutputRule] = {"k": OutputRule("string")}

    def __init__(self, change: Change = Change.NOOP, recognized: Done | Exception | None = None) -> None:
        self.done: list[str] = []
        self._change = change
        self._recognized = recognized or Done({"k": "v"}, unchanged=True, change=Change.NOOP)

    def plan(self, work: PlanWork) -> Prediction:
        return Prediction(self._change, Fidelity.EXACT, outputs={"k": "v"}, reversible=True)

    def recognized(self, work: Work, real: Callable[[str], str]) -> Done | None:
        if isinstance(self._recognized, Exception):
            raise self._recognized
        return self._recognized

    def do(self, work: Work) -> Done:
        self.done.append(work.node.step)
        return Done({"k": "v"}, unchanged=True, change=Change.NOOP)

    def undo(self, work: Work) -> None:
        pass

    def verify(self, work: Work) -> Verified:
        return Verified.HOLDS


def ran(root: Path, there: There, steps: str, more: str = "") -> Ran:
    registry = Registry()
    registry.register_action(there, "test")
    return run(root, stage(steps, more=more), Setting(registry=registry))


def linked(root: Path, steps: str = LINKS) -> Ran:
    (root / "from").touch()
    return run(root, stage(steps, lasting=True))


def test_what_is_there_as_planned_has_ended_before_anything_begins(tmp_path: Path) -> None:
    there = There()
    found = ran(
        tmp_path,
        there,
        """
        step: {run: 'true'}
        a: {uses: test.there}
        b: {uses: test.there, needs: [a]}
        c: {run: 'test "$K" = v', env: {K: "${{ steps.b.outputs.k }}"}}
        """,
    )
    assert found.outcomes == {"step": "succeeded", "a": "unchanged", "b": "unchanged", "c": "succeeded"}
    assert found.started[:2] == ["a", "b"]
    assert not there.done
    assert [(each.number, each.outcome) for each in found["main/b"].attempts] == [(1, Outcome.UNCHANGED)]
    assert found["main/b"].outputs == {"k": "v"}


@pytest.mark.parametrize(
    "there",
    [
        There(Change.CREATE),
        There(recognized=ActionFailed("no")),
        There(recognized=PermissionError(13, "no")),
        There(recognized=Done({"k": "other"}, unchanged=True)),
    ],
    ids=["makes-something", "cannot-tell", "must-not-look", "came-out-otherwise"],
)
def test_any_other_one_has_an_attempt(there: There, tmp_path: Path) -> None:
    found = ran(tmp_path, there, "a: {uses: test.there}")
    assert (found.outcomes, there.done) == ({"a": "unchanged"}, ["a"])


@pytest.mark.parametrize(
    ("step", "more"),
    [
        ("a: {uses: test.there, limits: [one]}", "limits: {one: {parallel: 1}}"),
        ("a: {uses: test.there, locks: [world]}", "locks: {world: step}"),
        ("a: {uses: test.there, exclusive: true}", ""),
        ("a: {uses: test.there, if: success()}", ""),
    ],
)
def test_what_more_than_its_needs_decides_about_waits_for_its_turn(step: str, more: str, tmp_path: Path) -> None:
    there = There()
    assert ran(tmp_path, there, step, more).outcomes == {"a": "unchanged"}
    assert there.done == ["a"]


def test_what_a_step_before_it_breaks_is_mended(tmp_path: Path) -> None:
    steps = """
        - {id: before, run: 'test -e first && rm to/a; touch first'}
        - {id: a, uses: file.link, with: {path: to/a, source: from}}
    """
    linked(tmp_path, steps)
    assert linked(tmp_path, steps).outcomes == {"before": "succeeded", "a": "succeeded"}
    assert (tmp_path / "to/a").readlink() == Path("../from")


def test_links_that_are_there_say_what_they_said_when_they_were_made(tmp_path: Path) -> None:
    first, again = linked(tmp_path), linked(tmp_path)
    assert again.outcomes == dict.fromkeys("abc", "unchanged")
    assert [node.records for node in again.receipt.nodes] == [node.records for node in first.receipt.nodes]
    [told] = again["main/a"].records
    assert told.fingerprint.startswith("link ")


@pytest.mark.parametrize("action", [FileLink(), FileMkdir(), FileBackup()])
def test_what_stands_in_every_tree_is_recognized(action: Action) -> None:
    assert isinstance(action, Recognizing)


def test_a_tree_with_backups_is_recognized_link_by_link_behind_them(tmp_path: Path) -> None:
    lay(tmp_path, {"config/base/all/.ssh/config": "x", "config/base/all/b": "x"})
    more = 'on_conflict: backup\nmodes: {".ssh/": "0700"}'
    deploy(tmp_path, more)
    again = deploy(tmp_path, more)
    names = [".ssh", ".ssh+config=backup", ".ssh+config", "b=backup", "b"]
    assert again.outcomes == {f"dots/home+{name}": "unchanged" for name in names}
    assert [result.change for result in again.receipt.nodes] == [Change.NOOP] * 5
    assert again.started.index("dots/home+b=backup") < again.started.index("dots/home+b")


def test_a_link_that_leads_to_what_is_gone_fails_as_it_always_did(tmp_path: Path) -> None:
    linked(tmp_path)
    (tmp_path / "from").unlink()
    found = run(tmp_path, stage(LINKS, lasting=True))
    assert set(found.outcomes.values()) <= {"failed", "not_started", "blocked"}
    assert "is not there" in found["main/a"].error


@pytest.mark.parametrize("point", ["commit.begin", "commit.written", "commit.done"])
def test_killed_around_the_commit_of_all_that_was_found_the_run_goes_on(point: str, tmp_path: Path) -> None:
    linked(tmp_path)
    declare(tmp_path, stage(LINKS, lasting=True))
    with Mortals() as mortals:
        assert mortals.run(tmp_path, 1, at=point).was_killed
        name = journal_of(tmp_path).runs()[0].run
        assert mortals.resume(tmp_path, name).outcomes == dict.fromkeys("abc", "unchanged")
    assert {(entry.node, entry.outcome) for entry in journal_of(tmp_path).read(name).history} == {
        (f"main/{node}", Outcome.UNCHANGED) for node in "abc"
    }
