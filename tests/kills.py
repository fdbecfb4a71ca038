"""Runs that die: a process of its own takes a lifecycle through its phases and kills itself at a chosen fault point.

Fault points are those that the journal names (before, within and after each of its transactions) and those of the action
`test.work` around its effect. They are counted: a run that is told the number of one dies there, and one that is not told any
says how many it passed.
The real command line dies at those of the journal. Started as `python -m tests.kills`, this serves requests, one JSON
document a line; each is carried out by a child that is forked when everything is imported, so that a kill costs
milliseconds.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import shipway.commands.resume
import shipway.commands.rollback
import shipway.commands.run  # noqa: F401 - all of them here, so that no child has to import them
from shipway import cli, journal_file
from shipway.action import ActionFailed, Done, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.commands.clearing import seal_killed
from shipway.declaration import OutputRule
from shipway.nodes import Change, Fidelity, Verified
from shipway.registry import Registry
from shipway.reopening import Wish
from shipway.takeover import GoOn
from tests.runs import PATIENCE_S, Ran, Setting, context_of, environment, journal_of, run

KILLED = -signal.SIGKILL


class Points:
    """Counts fault points; kills this process at number `deadly` (from 1, 0: at none), or of those named `at`, if that is said.

    Which number a point has differs from run to run: some are passed when a time is over.
    """

    def __init__(self, deadly: int, at: str = "") -> None:
        self._deadly = deadly
        self._at = at
        self.names: list[str] = []

    def __call__(self, name: str) -> None:
        self.names.append(name)
        passed = self.names.count(self._at) if self._at else len(self.names)
        if passed == self._deadly and self._at in ("", name):
            os.kill(os.getpid(), signal.SIGKILL)


class Worldly:
    """Makes the file `world/<name>` and says so in `told`: what was done twice, or undone without being there, shows."""

    runs_in: Literal["thread"] = "thread"
    name = "test.work"
    contract = 1
    slots: Mapping[str, SlotRule] = {
        "name": SlotRule(SlotType.STRING, required=True),
        "fails": SlotRule(SlotType.BOOLEAN, default=False),
    }
    outputs: Mapping[str, OutputRule] = {}

    def __init__(self, points: Points) -> None:
        self._points = points

    def plan(self, work: PlanWork) -> Prediction:
        return Prediction(Change.CREATE, Fidelity.EXACT, reversible=True)

    def do(self, work: Work) -> Done:
        name = str(work.inputs["name"])
        self._points(f"{name}.before")
        fails = work.inputs.get("fails") and not (work.root / "mended").exists()
        if fails or (work.root / f"fails-{name}").exists():
            raise ActionFailed("it was told to")
        made = self._make(work.root / "world" / name)
        self._tell(work.root, f"{'do' if made else 'again'} {name}")
        self._points(f"{name}.after")
        return Done(undo={"made": name})

    def undo(self, work: Work) -> None:
        name = str(work.inputs["name"])
        self._points(f"{name}.before undo")
        gone = self._remove(work.root / "world" / name)
        self._tell(work.root, f"{'undo' if gone else 'nothing'} {name}")
        self._points(f"{name}.after undo")

    def verify(self, work: Work) -> Verified:
        name = str(work.inputs["name"])
        if (work.root / f"fails-{name}").exists():
            return Verified.GONE  # what stands is of an earlier execution; this one ends the same, killed or not
        return Verified.HOLDS if (work.root / "world" / name).exists() else Verified.GONE

    def _make(self, path: Path) -> bool:
        path.parent.mkdir(exist_ok=True)
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def _remove(self, path: Path) -> bool:
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        return True

    def _tell(self, root: Path, text: str) -> None:
        descriptor = os.open(root / "told", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, text.encode() + b"\n")
        os.close(descriptor)


@dataclass(frozen=True)
class Ended:
    """How one process ended: its exit code (negative: the signal), the fault points it passed, outcomes by node, and more."""

    code: int
    points: tuple[str, ...] = ()
    outcomes: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    reason: str = ""

    @property
    def was_killed(self) -> bool:
        return self.code == KILLED


class Mortals:
    """The process that forks one child for each request."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.kills"],
            cwd=Path(__file__).resolve().parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Mortals:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=PATIENCE_S)
        assert self._process.returncode == 0

    def run(self, root: Path, deadly: int = 0, *, at: str = "") -> Ended:
        """Begin a run in `root`, and die at fault point number `deadly`, of those named `at` if that is said."""
        return self._ask({"root": str(root), "deadly": deadly, "at": at})

    def cancel(self, root: Path, name: str) -> Ended:
        """Give up a run that was killed, as `shipway cancel` does."""
        return self._ask({"root": str(root), "deadly": 0, "cancel": name})

    def resume(
        self,
        root: Path,
        name: str,
        deadly: int = 0,
        *,
        at: str = "",
        assumed: Mapping[str, bool] | None = None,
        start: str = "",
    ) -> Ended:
        """Go on with the run `name`, and die as `run` does."""
        wish = {"assumed": dict(assumed or {}), "start": start}
        return self._ask({"root": str(root), "deadly": deadly, "at": at, "run": name, **wish})

    def roll_back(self, root: Path, name: str, deadly: int = 0) -> Ended:
        """Undo the run `name` later, as `shipway rollback` does, and die as `run` does."""
        return self._ask({"root": str(root), "deadly": deadly, "run": name, "undo": True})

    def command(self, root: Path, *arguments: str, deadly: int = 0) -> Ended:
        """The real command line in `root`; it dies at fault point number `deadly` of the journal."""
        return self._ask({"root": str(root), "deadly": deadly, "command": arguments})

    def _ask(self, request: Mapping[str, object]) -> Ended:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return Ended(**{**answer, "points": tuple(answer.get("points", ()))})


def _carried_out(request: Mapping[str, Any]) -> dict[str, object]:
    points = Points(request["deadly"], request.get("at", ""))
    if "command" in request:
        return _commanded(Path(request["root"]), request["command"], points)
    if "cancel" in request:
        root = Path(request["root"])
        context, journal = context_of(root, environment()), journal_of(root)
        seal_killed(journal, journal.find(request["cancel"]), root, context, cancelled=True)
        return {"code": 0}
    registry = Registry()
    registry.register_action(Worldly(points), "tests")
    go_on = None
    if "run" in request:
        wish = Wish(request.get("assumed", {}), request.get("start") or None)
        go_on = GoOn(request["run"], wish, undo=request.get("undo", False))
    ran: Ran = run(Path(request["root"]), None, Setting(registry=registry, strike=points, go_on=go_on))
    receipt, error = ran.finished.receipt, ran.finished.error
    return {
        "code": receipt.exit_code if receipt else error.exit_code if error else 0,
        "points": points.names,
        "outcomes": {result.node.removeprefix("main/"): result.outcome.value for result in receipt.nodes}
        if receipt
        else {},
        "error": error.message if error else "",
        "reason": error.reason.value if error else "",
    }


def _commanded(root: Path, arguments: list[str], points: Points) -> dict[str, object]:
    """Carry out a command as it is. The journal's fault points are functions that do nothing: that they are called is seen."""

    def see(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code is journal_file._pass.__code__:
            points(str(frame.f_locals["name"]))

    os.chdir(root)
    kept = environment()
    os.environ.clear()
    os.environ |= kept
    with (root / "shown").open("ab") as shown:
        os.dup2(shown.fileno(), 1)
        os.dup2(shown.fileno(), 2)
    threading.setprofile(see)  # what executes is on a thread of its own
    sys.setprofile(see)
    code = cli.run(arguments)
    sys.setprofile(None)
    return {"code": code, "points": points.names}


def _serve() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        read_end, write_end = os.pipe()
        child = os.fork()
        if not child:
            os.close(read_end)
            try:
                answer = json.dumps(_carried_out(request)).encode()
            except BaseException as error:  # noqa: BLE001 - whatever it is, the test has to see it
                answer = json.dumps({"code": 99, "error": f"{type(error).__name__}: {error}"}).encode()
            with os.fdopen(write_end, "wb") as stream:
                stream.write(answer)
            os._exit(0)
        os.close(write_end)
        with os.fdopen(read_end, "rb") as stream:
            told = stream.read()
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        sys.stdout.write((told.decode() if not code else json.dumps({"code": code})) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
