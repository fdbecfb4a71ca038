"""Services as systemd knows them: asks systemctl, changes by it, puts back. Decides nothing about nodes.

Source of states and exit codes: https://www.freedesktop.org/software/systemd/man/latest/systemctl.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from shipway.action import ActionFailed, Done, PlanWork, SlotRule, SlotType, Work
from shipway.canonical import Json, object_of
from shipway.file_state import locate
from shipway.nodes import Change
from shipway.privilege import elevated, is_root
from shipway.program import Missing, Stopped, Written, run_program
from shipway.records import Record

NAME = SlotRule(SlotType.STRING, required=True, description="the service, such as `nginx` or `backup@home.service`")
ROOT = SlotRule(SlotType.STRING, description="the root of another system, which need not run; default: this one")

_NAME = re.compile(r"[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]*")
_RUNNING = frozenset({"active", "reloading", "refreshing"})
"""What `systemctl is-active` calls active."""
_ENABLED = frozenset({"enabled", "enabled-runtime", "alias", "static", "indirect", "generated"})
"""What `systemctl is-enabled` exits 0 for."""
_NO_UNIT = ("No such file or directory", "does not exist", "not-found")
_BEFORE = "service.json"


class ServiceState(Struct, frozen=True):
    """Whether a service is known, runs, and starts with the system; `running` None where its system does not run."""

    exists: bool
    running: bool | None
    enabled: bool

    def as_json(self) -> dict[str, Json]:
        """`{"running", "enabled"}`, without `running` where that cannot be known."""
        known: dict[str, Json] = {} if self.running is None else {"running": self.running}
        return {**known, "enabled": self.enabled}


def read_shown(out: str) -> ServiceState:
    """What `systemctl show --property=LoadState,ActiveState,UnitFileState` says."""
    found = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
    if "LoadState" not in found:
        raise ValueError(f"systemctl show did not say what was asked for: {out.strip()[:200]}")
    exists = found["LoadState"] != "not-found"
    return ServiceState(exists, found.get("ActiveState") in _RUNNING, found.get("UnitFileState") in _ENABLED)


class ServiceWork:
    """One service, as a node uses it. Methods raise ActionFailed where systemctl cannot do it, or is not there."""

    def __init__(
        self,
        inputs: Mapping[str, Json],
        env: Mapping[str, str],
        root: Path,
        *,
        privileged: bool = False,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self.name = str(inputs["name"])
        if not _NAME.fullmatch(self.name):
            raise ActionFailed(f"`name` `{self.name}` is no name of a service", is_permanent=True)
        self._shown_root = str(inputs.get("root") or "")
        self._root = (f"--root={locate(root, self._shown_root, 'root')}",) if self._shown_root else ()
        self._env = {**env, "LC_ALL": "C.UTF-8", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"}
        self._cwd = root
        self._privileged = privileged
        self._cancelled = cancelled

    @classmethod
    def of(cls, work: PlanWork | Work) -> ServiceWork:
        """The service of a node."""
        if isinstance(work, PlanWork):
            return cls(work.inputs, work.env, work.root)
        return cls(work.inputs, work.env, work.root, privileged=work.node.privileged, cancelled=work.cancelled)

    def state(self) -> ServiceState:
        """How it is now."""
        if self._root:
            return self._offline_state()
        done = self._run("show", "--property=LoadState,ActiveState,UnitFileState", "--", self.name)
        try:
            return read_shown(done.out)
        except ValueError as error:
            raise ActionFailed(str(error)) from None

    def call(self, verb: str) -> None:
        """`systemctl VERB NAME`; returns when it is done."""
        self._run(verb, "--", self.name, change=True)

    def record(self, state: ServiceState) -> Record:
        """The service as it is now. Its name is the one given, behind the root of another system."""
        name = f"{self._shown_root}:{self.name}" if self._shown_root else self.name
        running = {None: "", True: "running", False: "stopped"}[state.running]
        fingerprint = f"{running} {'enabled' if state.enabled else 'disabled'}".strip()
        facts = {"service": self.name, **state.as_json()}
        if self._shown_root:
            facts["root"] = self._shown_root
        return Record("service", name, state.exists, fingerprint, facts)

    def _offline_state(self) -> ServiceState:
        done = self._run("is-enabled", "--", self.name, fine=(0, 1, 4))
        word = done.out.strip()
        if not word and not any(text in done.err for text in _NO_UNIT):
            raise ActionFailed(f"`systemctl is-enabled {self.name}`: {done.said()}")
        return ServiceState(bool(word) and word != "not-found", None, word in _ENABLED)

    def _run(self, verb: str, *arguments: str, change: bool = False, fine: tuple[int, ...] = (0,)) -> Written:
        argv: tuple[str, ...] = (
            "systemctl",
            "--no-pager",
            *(["--no-ask-password"] if change else []),
            *self._root,
            verb,
            *arguments,
        )
        if change and self._privileged:
            argv = elevated(argv, self._env, is_root=is_root())
        try:
            done = run_program(argv, env=self._env, cwd=self._cwd, cancelled=self._cancelled)
        except Missing as missing:
            raise ActionFailed(
                f"`{missing}` is not on the PATH: services are those of systemd, which this machine does not have",
                is_permanent=True,
                code="start",
            ) from None
        except Stopped:
            raise ActionFailed(
                f"`systemctl {verb} {self.name}` was ended before it was done", code="cancelled"
            ) from None
        if "not been booted with systemd" in done.err:
            raise ActionFailed(
                f"systemd does not run here, so that there is no service `{self.name}` to {verb}", is_permanent=True
            )
        if done.exit_code not in fine:
            raise ActionFailed(f"`systemctl {verb} {self.name}` failed (exit {done.exit_code}): {done.said()}")
        return done


def observe_service(record: Record, root: Path, env: Mapping[str, str]) -> str | None:
    """How a recorded service is now, None where it is not known any more. Raises ActionFailed."""
    service = ServiceWork(
        {"name": record.facts.get("service", record.name), "root": record.facts.get("root")}, env, root
    )
    now = service.record(service.state())
    return now.fingerprint if now.present else None


def change_service(work: Work, verb: str, inverse: str, is_so: Callable[[ServiceState], bool]) -> Done:
    """Call `verb` unless `is_so` holds already, noted before so that `undo_service` knows. A start that fails is stopped again."""
    service = ServiceWork.of(work)
    before = service.state()
    if not before.exists:
        raise ActionFailed(f"there is no service `{service.name}`", is_permanent=True)
    outputs: dict[str, Json] = {"name": service.name}
    if is_so(before):
        return Done(outputs, unchanged=True, change=Change.NOOP, records=(service.record(before),))
    work.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    (work.scratch / _BEFORE).write_text(json.dumps(before.as_json()))
    try:
        service.call(verb)
    except ActionFailed:
        if not work.cancelled() and is_so(service.state()):
            service.call(inverse)
        raise
    after = service.state()
    if not is_so(after):
        if after == before:
            return Done(outputs, unchanged=True, change=Change.NOOP, records=(service.record(after),))
        raise ActionFailed(f"`systemctl {verb} {service.name}` succeeded, and it is not so: {_shown(after)}")
    return Done(outputs, undo={"changed": True}, change=Change.UPDATE, records=(service.record(after),))


def undo_service(work: Work, inverse: str, is_so: Callable[[ServiceState], bool]) -> None:
    """Call `inverse` where `do` changed something, or was ended while it did, and it is still so."""
    began = (work.scratch / _BEFORE).exists()
    if not began and not object_of(work.state or {}).get("changed"):
        return
    service = ServiceWork.of(work)
    if is_so(service.state()):
        service.call(inverse)
    (work.scratch / _BEFORE).unlink(missing_ok=True)


def _shown(state: ServiceState) -> str:
    running = {None: "", True: "it runs, ", False: "it does not run, "}[state.running]
    return f"{running}{'it is enabled' if state.enabled else 'it is not enabled'}"
