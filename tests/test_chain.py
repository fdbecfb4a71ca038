"""Each receipt names the one before it: here, in a store, after crashes, and where nobody knows of one."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Thread

import pytest

from shipway.canonical import Json, canonical_bytes
from shipway.chain import Chain, claimed_digest
from shipway.receipt import RanBy, Receipt, RunOutcome, file_name
from shipway.shared_state import SharedState
from shipway.store import Last, StoreError
from shipway.stores.local_files import LocalFiles
from shipway.workspace import Workspace
from tests.command_line import Project, make_project
from tests.git_remotes import git, make_remote
from tests.runs import Lifeline, begin, call, declare, run, stage

ENDLESS = "while :; do sleep 0.05; done"


def draft(run: str, **more: Receipt) -> Receipt:
    return Receipt(
        lifecycle="shop",
        target="prod",
        run=run,
        plan_digest=None,
        effect=None,
        started="2026-01-02T03:04:05.000Z",
        ended="2026-01-02T03:04:06.000Z",
        duration_ms=1000,
        outcome=RunOutcome.SUCCEEDED,
        nodes=(),
        stages=(),
        rollback=(),
        by=RanBy("local"),
        shipway="0",
        platform="linux/amd64",
    )


def as_it_is(receipt: Receipt) -> Receipt:
    return receipt


class Keeper:
    """Keeps receipts as the command line does, but for the one at which it is `killed`."""

    def __init__(self, root: Path) -> None:
        self.workspace = Workspace(root)
        self.kept: list[Receipt] = []

    def __call__(self, receipt: Receipt) -> None:
        name = file_name(receipt.lifecycle, receipt.target, receipt.started, receipt.run)
        self.workspace.write_receipt(self.workspace.free_name(name), canonical_bytes(receipt.document))
        self.kept.append(receipt)


class KilledError(BaseException):
    """Ends a test's process where it stands, as far as the files are concerned."""


def documents(root: Path) -> list[Mapping[str, Json]]:
    """The receipts of a checkout."""
    return [json.loads(path.read_bytes()) for path in sorted((root / ".shipway/receipts").glob("*.json"))]


def is_a_line(found: list[Mapping[str, Json]]) -> bool:
    """Whether they all hang together: one begins, and each of the others names another one, none of them twice."""
    named = [receipt["previous"] for receipt in found]
    digests = {receipt["digest"] for receipt in found}
    return named.count(None) == 1 and len(set(named)) == len(found) and set(named) - {None} < digests


def test_each_run_names_the_receipt_before_it_of_its_own_target(tmp_path: Path) -> None:
    declare(tmp_path, "targets: {prod: {}, staging: {}}\nsteps: [{run: 'true'}]")
    told = [
        json.loads(call(tmp_path, "run", "--yes", "--json", "--target", target).out)
        for target in ("prod", "staging", "prod", "prod", "staging")
    ]
    digests = [receipt["digest"] for receipt in told]
    assert [receipt["previous"] for receipt in told] == [None, None, digests[0], digests[2], digests[1]]


def test_a_run_that_is_gone_on_with_and_one_that_fails_before_a_step_are_in_the_chain(tmp_path: Path) -> None:
    declare(tmp_path, stage("- run: test -e mended", more="defaults: {rollback: none}\nsecrets: [TOKEN]"))
    assert call(tmp_path, "run", "--yes").exit_code == 1
    (tmp_path / "mended").touch()
    assert call(tmp_path, "resume").exit_code == 0
    declare(tmp_path, stage("- {run: 'true', env: {T: '${{ secrets.TOKEN }}'}}", more="secrets: [TOKEN]"))
    assert call(tmp_path, "run", "--yes").exit_code == 2
    assert len(documents(tmp_path)) == 3 and is_a_line(documents(tmp_path))


@pytest.mark.parametrize("then", ["repair", "resume"])
def test_a_killed_run_is_in_the_chain_once_it_is_sealed(then: str, tmp_path: Path) -> None:
    declare(tmp_path, stage("- run: 'true'"))
    call(tmp_path, "run", "--yes")
    ready = Lifeline(tmp_path / "ready")
    steps = f'- {{id: a, run: "test -e mended && exit; exec 9> ready; echo go >&9; {ENDLESS}", verify: exit 3}}'
    declare(tmp_path, stage(steps, lasting=True))
    process = begin(tmp_path, "run", "--yes")
    ready.wait()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (tmp_path / "mended").touch()
    assert call(tmp_path, *(["runs", "repair"] if then == "repair" else ["resume"])).exit_code == 0
    declare(tmp_path, stage("- run: 'true'"))
    call(tmp_path, "run", "--yes")
    assert len(documents(tmp_path)) == 3 and is_a_line(documents(tmp_path))


def _before(keeper: Keeper, receipt: Receipt) -> None:
    raise KilledError


def _after(keeper: Keeper, receipt: Receipt) -> None:
    keeper(receipt)
    raise KilledError


@pytest.mark.parametrize(("killed", "names"), [(_before, "one"), (_after, "two")])
def test_whoever_is_killed_around_the_write_leaves_no_doubt_which_is_last(
    killed: Callable[[Keeper, Receipt], None], names: str, tmp_path: Path
) -> None:
    keeper = Keeper(tmp_path)
    chain = Chain(keeper.workspace, "shop", "prod")
    chain.add(draft("one"), as_it_is, keeper)
    with pytest.raises(KilledError):
        chain.add(draft("two"), as_it_is, lambda receipt: killed(keeper, receipt))
    chain.add(draft("three"), as_it_is, keeper)
    before = {receipt.digest: receipt.run for receipt in keeper.kept}
    assert before[str(keeper.kept[-1].previous)] == names and is_a_line(documents(tmp_path))


def test_a_last_receipt_that_was_removed_is_still_named(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path)
    chain = Chain(keeper.workspace, "shop", "prod")
    chain.add(draft("one"), as_it_is, keeper)
    [path] = keeper.workspace.kept_receipts()
    path.unlink()
    chain.add(draft("two"), as_it_is, keeper)
    assert keeper.kept[1].previous == keeper.kept[0].digest


def test_receipts_that_were_kept_without_a_note_are_gone_on_with(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path)
    chain = Chain(keeper.workspace, "shop", "prod")
    chain.add(draft("one"), as_it_is, keeper)
    for content in (None, b"", b"[]", b'{"digest": 1}'):
        note = keeper.workspace.head("shop", "prod")
        note.unlink() if content is None else note.write_bytes(content)
        assert chain.last() == keeper.kept[0].digest


def test_many_who_seal_at_once_make_one_line(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path)

    def seal(number: int) -> None:
        for turn in range(5):
            Chain(keeper.workspace, "shop", "prod").add(draft(f"{number}-{turn}"), as_it_is, keeper)

    threads = [Thread(target=seal, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(documents(tmp_path)) == 20 and is_a_line(documents(tmp_path))


# In a store.


class Overtaken(SharedState):
    """A state in which somebody else adds a receipt right after the last one was asked for, once."""

    intruder: Receipt | None = None

    def last_receipt(self) -> Last | None:
        last = super().last_receipt()
        if self.intruder is not None:
            intruder, self.intruder = self.intruder, None
            assert self.add_receipt("intruder.json", canonical_bytes(intruder.document), last)
        return last


class Gone(SharedState):
    """A state whose store has gone away."""

    def last_receipt(self) -> Last | None:
        raise StoreError("gone")


def test_whoever_is_overtaken_names_the_one_that_was_faster(tmp_path: Path) -> None:
    state = Overtaken(LocalFiles(tmp_path), "shop", "prod")
    state.intruder = draft("faster")
    faster = state.intruder.digest
    keeper = Keeper(tmp_path)
    Chain(keeper.workspace, "shop", "prod", state).add(draft("slower"), as_it_is, keeper)
    assert [receipt.previous for receipt in keeper.kept] == [faster]
    assert [claimed_digest(content) for _, content in state.receipts()] == [keeper.kept[0].digest, faster]


def test_a_store_that_is_gone_leaves_the_receipt_here_behind_the_last_one_known(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path)
    state = SharedState(LocalFiles(tmp_path), "shop", "prod")
    Chain(keeper.workspace, "shop", "prod", state).add(draft("one"), as_it_is, keeper)
    with pytest.raises(StoreError):
        Chain(keeper.workspace, "shop", "prod", Gone(LocalFiles(tmp_path), "shop", "prod")).add(
            draft("two"), as_it_is, keeper
        )
    assert keeper.kept[1].previous == keeper.kept[0].digest


def test_what_is_no_receipt_is_named_by_its_bytes() -> None:
    for content in (b"", b"x", b"[]", b'{"digest":"sha256:12"}', b"[" * 100_000):
        assert claimed_digest(content).startswith("sha256:") and len(claimed_digest(content)) == 71


STATES = """
    version: 1
    name: shop
    state: git
    steps:
      - {id: a, env_from: [MENDED], run: test -e $MENDED}
"""


def test_two_machines_make_one_chain_and_each_execution_of_a_run_is_in_it(tmp_path: Path) -> None:
    bare, clones = make_remote(tmp_path, clones=2)
    env = make_project(tmp_path / "env").env | {"MENDED": str(tmp_path / "mended")}
    first, second = (Project(clone, env | {"USER": name}) for clone, name in zip(clones, ("ada", "bob"), strict=True))
    first.write({"shipway.yml": STATES})
    first.commit()
    first.git("push", "-q", "origin", "HEAD:main")
    second.git("pull", "-q", "origin", "main")
    first.call("run", "--yes", "-q", code=1)
    (tmp_path / "mended").touch()
    second.call("resume", "--yes", "-q")
    first.call("run", "--yes", "-q")
    commits = git(bare, "rev-list", "--reverse", "refs/shipway/receipts/shop/default").split()
    kept = [
        json.loads(git(bare, "show", f"{commit}:{git(bare, 'ls-tree', '--name-only', commit).strip()}"))
        for commit in commits
    ]
    assert [receipt["previous"] for receipt in kept] == [None, kept[0]["digest"], kept[1]["digest"]]
    assert [receipt["outcome"] for receipt in kept] == ["failed", "succeeded", "succeeded"]
    assert kept[0]["run"] == kept[1]["run"] != kept[2]["run"]


def test_a_runner_without_earlier_receipts_begins_a_chain_and_says_so(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        assert run(tmp_path / name, stage("- run: 'true'")).receipt.document["previous"] is None


def test_a_killed_run_that_is_repaired_is_in_the_chain_of_the_store_as_well(tmp_path: Path) -> None:
    _, [clone] = make_remote(tmp_path)
    project = Project(clone, make_project(tmp_path / "env").env | {"MENDED": str(tmp_path / "mended")})
    project.write({"shipway.yml": STATES.replace("test -e $MENDED", "test -e $MENDED || kill -9 $PPID")})
    project.commit()
    project.call("run", "--yes", "-q", code=-9)
    project.call("runs", "repair")
    (tmp_path / "mended").touch()
    project.call("unlock", "--force", "-q")
    project.call("run", "--yes", "-q")
    told = project.call("verify", "--json").json
    assert told["valid"] and [each["outcome"] for each in told["documents"]] == ["failed", "succeeded"]
    assert told["documents"][1]["previous"] == told["documents"][0]["digest"]
