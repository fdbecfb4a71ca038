"""The state that was worked out before: the same as from all receipts, used only where each of them is as it was."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from shipway.canonical import canonical_bytes
from shipway.commands.kept_receipts import Archive, Source
from shipway.commands.state_cache import current_state
from shipway.nodes import Outcome
from shipway.receipt import Receipt, file_name
from shipway.receipt_file import load_receipt
from shipway.repository import open_repository
from shipway.state import Entry, State
from shipway.state_fold import Telling, fold, in_chain_order
from shipway.workspace import Workspace
from tests.runs import context_of, environment
from tests.test_state import NOON, file, node, told


class Counting(Archive):
    """An archive that counts the receipts it was asked to read."""

    reads = 0

    def read(self, source: Source) -> object:  # type: ignore[override]
        self.reads += 1
        return super().read(source)


def keep(root: Path, receipt: Receipt) -> Path:
    """Keep a receipt as a run does, behind the last one; the file."""
    workspace = Workspace(root)
    before = sorted(workspace.kept_receipts())
    previous = load_receipt(before[-1].read_bytes(), lambda data: None).digest if before else None
    run = f"20260301T120000-{len(before):06x}" if receipt.run.startswith("run-") else receipt.run
    linked = replace(receipt, previous=previous, run=run)
    name = file_name("dots", "prod", receipt.started, run)
    return workspace.write_receipt(workspace.free_name(name), canonical_bytes(linked.document))


def seen(root: Path, *, keep: bool = True) -> tuple[State, int]:
    """What exists, and how many receipts were read for it."""
    archive = Counting(None, None, context_of(root, environment()), open_repository(root, environment()))
    state, findings = current_state(archive, keep=keep)
    assert findings == ()
    return state, archive.reads


def bare(entries: Sequence[Entry]) -> list[Entry]:
    return [replace(entry, history=()) for entry in entries]


def anew(root: Path) -> State:
    """What all receipts come to."""
    receipts = [load_receipt(path.read_bytes(), lambda data: None) for path in Workspace(root).kept_receipts()]
    return fold(in_chain_order(Telling(receipt.digest, receipt) for receipt in receipts))


def a_run(number: int, *names: str, how: str = "link", present: bool = True) -> Receipt:
    nodes = [node(f"main/{name}", file(name, how, present=present)) for name in names]
    return told(number, *nodes, at=NOON + timedelta(hours=number)).receipt


def test_one_more_receipt_is_the_only_one_that_is_read(tmp_path: Path) -> None:
    for number in range(5):
        keep(tmp_path, a_run(number, "a", "b"))
    assert seen(tmp_path)[1] == 5
    assert seen(tmp_path)[1] == 0
    keep(tmp_path, a_run(6, "b", "c", how="copy"))
    keep(tmp_path, a_run(7, "a", present=False))
    state, reads = seen(tmp_path)
    assert reads == 2
    assert bare(state.entries) == bare(anew(tmp_path).entries) and state.receipts == 7
    assert {entry.name: entry.standing for entry in state.entries} == {"a": "gone", "b": "exists", "c": "exists"}


def test_it_may_be_removed_or_damaged_at_any_time(tmp_path: Path) -> None:
    keep(tmp_path, a_run(1, "a"))
    state, _ = seen(tmp_path)
    [cache] = (tmp_path / ".shipway/cache").iterdir()
    for content in (b"", b"\x93\x01", cache.read_bytes()[:-3], cache.read_bytes().replace(b"a", b"b")[:40]):
        cache.write_bytes(content)
        assert bare(seen(tmp_path)[0].entries) == bare(state.entries)
    cache.unlink()
    assert seen(tmp_path)[1] == 1


def test_looking_only_keeps_nothing(tmp_path: Path) -> None:
    keep(tmp_path, a_run(1, "a"))
    seen(tmp_path, keep=False)
    assert not (tmp_path / ".shipway/cache").exists()


@pytest.mark.parametrize("what", ["altered", "removed"])
def test_a_receipt_that_is_not_as_it_was_is_looked_at_again(tmp_path: Path, what: str) -> None:
    paths = [keep(tmp_path, a_run(number, "a")) for number in range(3)]
    seen(tmp_path)
    if what == "removed":
        paths[1].unlink()
    else:
        paths[1].write_bytes(paths[1].read_bytes().replace(b"main/a", b"main/b"))
    archive = Counting(None, None, context_of(tmp_path, environment()), open_repository(tmp_path, environment()))
    _, findings = current_state(archive, keep=True)
    assert findings[0].reason.value in ("receipt-digest", "receipt-chain")


def test_an_undo_is_folded_with_all_that_was_before(tmp_path: Path) -> None:
    keep(tmp_path, a_run(1, "a"))
    keep(tmp_path, a_run(2, "a", how="copy"))
    seen(tmp_path)
    undone = told(3, node("main/a", file("a", "copy"), outcome=Outcome.UNDONE), at=NOON + timedelta(hours=2))
    keep(tmp_path, replace(undone.receipt, run="20260301T120000-000001"))
    state, reads = seen(tmp_path)
    assert reads > 1 and state.entries[0].is_linked


@pytest.mark.parametrize("seed", range(12))
def test_what_is_kept_is_what_all_receipts_come_to(tmp_path: Path, seed: int) -> None:
    """Runs that make, remove, fail and are undone, in any order of time, looked at after each of them."""
    random = Random(seed)
    for number in range(12):
        outcome = random.choice([Outcome.SUCCEEDED] * 5 + [Outcome.FAILED, Outcome.UNDONE, Outcome.UNDO_FAILED])
        nodes = [
            node(
                f"main/{name}",
                file(name, random.choice(["link", "copy"]), present=random.random() < 0.7),
                outcome=outcome,
            )
            for name in random.sample("abc", random.randint(1, 3))
        ]
        at = NOON + timedelta(hours=number if random.random() < 0.8 else random.randint(0, 12), seconds=number)
        keep(tmp_path, told(number, *nodes, at=at).receipt)
        assert bare(seen(tmp_path)[0].entries) == bare(anew(tmp_path).entries)
