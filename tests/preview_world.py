"""A preview for tests: a real repository, a store, and the actions of mode `preview` called as a run calls them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipway.action import Completed, Done, PlanWork, Prediction, ThreadAction, Work
from shipway.canonical import Json
from shipway.declaration import OutputRule
from shipway.environment_record import Checkpoint, EnvironmentRecord, marked_stale
from shipway.environments import Environments
from shipway.errors import Position
from shipway.nodes import Computed, Immediate, Node, Outcome, Reads
from shipway.registry import Registry
from shipway.shelf import Shelf
from shipway.stores.local_files import LocalFiles
from tests.git_remotes import git
from tests.remote_host import RemoteHost

BASE = {"PATH": os.environ["PATH"], "HOME": "/dev/null/home", "CI": "true"}
LIFECYCLE, TARGET = "shop", "pr-1"


class PreviewWorld:
    """A repository `root` with one commit, and an environment of `shop` on `pr-1` that lives here or, with `host`, there."""

    def __init__(self, folder: Path, host: RemoteHost | None = None) -> None:
        self.root = folder / "repository"
        self.host = host
        self.root.mkdir(parents=True)
        git(self.root, "init", "-q", "-b", "main")
        (self.root / "tracked").write_text("1\n")
        (self.root / "services/api").mkdir(parents=True)
        (self.root / "services/api/main").write_text("api\n")
        self.commit("first")
        self.log: list[str] = []
        self.place = folder / "place"
        store = folder / "store"
        store.mkdir()
        self._store = store
        self.compute: Mapping[str, Json] = {}

    @property
    def shelf(self) -> Shelf:
        """That of another run each time: a run reads the record once."""
        return Shelf(LIFECYCLE, TARGET, lambda: LocalFiles(self._store), is_private=True)

    @property
    def ssh(self) -> Mapping[str, Json] | None:
        return None if self.host is None else self.host.ssh(self.root)

    def commit(self, subject: str) -> str:
        git(self.root, "add", "-A", ":!known_hosts")
        git(self.root, "commit", "-q", "--allow-empty", "-m", subject)
        return git(self.root, "rev-parse", "HEAD").strip()

    def node(
        self,
        action: str,
        id_: str,
        inputs: Mapping[str, Json],
        env: Mapping[str, str] | None = None,
        outputs: Mapping[str, OutputRule] | None = None,
    ) -> Work:
        """What `do` of a node is given. The place is told to those who take one, once it is there."""
        found = Registry().require_action(action)
        given: dict[str, Json] = {name: rule.default for name, rule in found.slots.items() if rule.default is not None}
        given |= {"lifecycle": LIFECYCLE, "target": TARGET, **inputs}
        if "compute" in found.slots and self.compute and "compute" not in given:
            given["compute"] = self.compute
        if "ssh" in found.slots and self.ssh is not None and "ssh" not in given:
            given["ssh"] = self.ssh
        node = Node(
            id_,
            id_.partition("/")[0],
            action,
            Position("shipway.yml", 1, 1),
            slots={name: Immediate(value) for name, value in given.items()},
            env={name: Computed(value) for name, value in (env or {}).items()},
            outputs={**found.outputs, **(outputs or {})},
            reads=Reads(("**",), "r1"),
        )
        scratch = self.root / ".shipway/scratch" / id_.replace("/", ".")
        whole = {**BASE, **(env or {})}
        return Work(node, given, whole, self.root, scratch, log=self.log.append, started_ms=1_000, shelf=self.shelf)

    def do(self, action: str, id_: str, inputs: Mapping[str, Json], **more: Mapping[str, object]) -> Done:
        return self.action(action).do(self.node(action, id_, inputs, **more))  # type: ignore[arg-type]

    def killed(self, action: str, id_: str, inputs: Mapping[str, Json], **more: Mapping[str, object]) -> None:
        """Another process does it, and is killed once a file `began` is there, in the repository or the place."""
        places = [self.root / "began", self.place / "began"]
        for began in places:
            began.unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            try:
                self.do(action, id_, inputs, **more)
            finally:
                os._exit(1)
        while not any(began.exists() for began in places):
            assert os.waitpid(child, os.WNOHANG) == (0, 0), "it ended by itself"
            time.sleep(0.01)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    def plan(self, work: Work, *unknown: str) -> Prediction:
        known = {name: value for name, value in work.inputs.items() if name not in unknown}
        waits = dict.fromkeys(unknown, "`secrets.KEY`")
        planned = PlanWork(
            work.node, known, waits, work.env, {}, work.root, lambda command: Completed(0), shelf=work.shelf
        )
        return self.action(work.node.action).plan(planned)

    def undo(self, work: Work, done: Done | None, outcome: Outcome = Outcome.SUCCEEDED) -> None:
        given = replace(work, outcome=outcome, outputs=done.outputs if done else {}, state=done.undo if done else None)
        self.action(work.node.action).undo(given)

    def make_compute(self, **more: Json) -> Done:
        """Make the place, and tell it to all nodes from now on."""
        there: dict[str, Json] = {}
        if self.host is not None:
            there = {**self.host.address, "root": str(self.host.root / self.root.parent.name)}
        done = self.do("preview.compute", "runner/compute", {**there, **more})
        self.compute = {name: value for name, value in done.outputs.items() if name != "made"}
        self.place = Path(str(done.outputs["root"]))
        return done

    def action(self, name: str) -> ThreadAction:
        found = Registry().require_action(name)
        assert found.runs_in == "thread"
        return found

    @property
    def record(self) -> EnvironmentRecord:
        found = Environments(self.shelf.store, LIFECYCLE).read(TARGET)
        assert found is not None
        return found

    def checkpoint(self, id_: str) -> Checkpoint | None:
        found = Environments(self.shelf.store, LIFECYCLE).read(TARGET)
        return found.checkpoints.get(id_) if found else None

    def mark_stale(self, id_: str, why: str = "--no-cache") -> None:
        def change(record: EnvironmentRecord | None) -> EnvironmentRecord:
            assert record is not None
            return marked_stale(record, [id_], why)

        Environments(self.shelf.store, LIFECYCLE).change(TARGET, change)


@pytest.fixture
def world(where: RemoteHost | None, tmp_path: Path) -> PreviewWorld:
    """A preview whose place is made, here or on a host."""
    found = PreviewWorld(tmp_path, where)
    found.make_compute()
    return found
