"""What an action keeps between runs, through the phases of real runs, in the store of a workspace."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Barrier, Thread
from typing import Literal

from shipway.action import Done, PlanWork, Prediction, SlotRule, Work
from shipway.declaration import OutputRule
from shipway.nodes import Change, Fidelity, Verified
from shipway.registry import Registry
from shipway.shelf import Shelf
from shipway.stores.local_files import LocalFiles
from shipway.workspace import Workspace
from tests.runs import Setting, run


class Count:
    """Counts how often it was carried out on a target."""

    runs_in: Literal["thread"] = "thread"
    name = "test.count"
    contract = 1
    slots: Mapping[str, SlotRule] = {}
    outputs: Mapping[str, OutputRule] = {"n": OutputRule("integer")}

    def plan(self, work: PlanWork) -> Prediction:
        assert work.shelf is not None
        return Prediction(Change.RUN, Fidelity.PREDICTED, why=f"{_count(work.shelf)} so far", reversible=True)

    def do(self, work: Work) -> Done:
        assert work.shelf is not None
        kept = work.shelf.store.read(_key(work.shelf))
        count = _count(work.shelf) + 1
        assert work.shelf.store.swap(_key(work.shelf), kept.version if kept else None, str(count).encode()) is not None
        return Done({"n": count})

    def undo(self, work: Work) -> None:
        assert work.shelf is not None
        kept = work.shelf.store.read(_key(work.shelf))
        assert kept is not None
        work.shelf.store.swap(_key(work.shelf), kept.version, b"0")

    def verify(self, work: Work) -> Verified:
        assert work.shelf is not None
        return Verified.HOLDS if _count(work.shelf) else Verified.GONE


def _key(shelf: Shelf) -> str:
    return f"counts/{shelf.lifecycle}/{shelf.target}"


def _count(shelf: Shelf) -> int:
    kept = shelf.store.read(_key(shelf))
    return int(kept.content) if kept else 0


def _setting(target: str = "default") -> Setting:
    registry = Registry()
    registry.register_action(Count(), "tests")
    return Setting(registry=registry, target=target)


def test_what_an_action_keeps_is_there_in_the_next_run_of_that_target_only(tmp_path: Path) -> None:
    steps = "steps: [{id: count, uses: test.count}]"
    assert [run(tmp_path, steps, _setting())["main/count"].outputs["n"] for _ in range(2)] == [1, 2]
    assert run(tmp_path, steps, _setting("staging"))["main/count"].outputs["n"] == 1


def test_the_plan_sees_what_was_kept(tmp_path: Path) -> None:
    steps = "steps: [{id: count, uses: test.count}]"
    run(tmp_path, steps, _setting())
    plan = run(tmp_path, steps, _setting()).finished.plan
    assert plan is not None and plan.by_id["main/count"].why == "1 so far"


def test_an_undo_finds_it(tmp_path: Path) -> None:
    steps = "steps: [{id: count, uses: test.count}, {run: exit 1, lasting: false}]"
    assert run(tmp_path, steps, _setting())["main/count"].outcome == "undone"
    ran = run(tmp_path, steps, _setting())
    assert ran.finished.plan is not None and ran.finished.plan.by_id["main/count"].why == "0 so far"


def test_threads_take_turns_and_nothing_is_opened_before(tmp_path: Path) -> None:
    opened: list[int] = []

    def open_store() -> LocalFiles:
        opened.append(1)
        return LocalFiles(Workspace(tmp_path).make_records())

    shelf = Shelf("shop", "default", open_store)
    assert not opened
    together = Barrier(8)

    def keep(number: int) -> None:
        together.wait()
        assert shelf.store.swap(f"counts/{number}", None, b"1") is not None

    threads = [Thread(target=keep, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(shelf.store.entries("counts/")) == 8
    assert len(opened) == 1
    shelf.close()
