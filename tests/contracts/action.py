"""What every action must do, as checks that anyone may run over their own. Needs Shipway and the standard library only.

Each check takes an ActionCase and raises AssertionError. `CHECKS` lists them.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from shipway.action import (
    Action,
    ActionFailed,
    Command,
    Completed,
    Done,
    Drifted,
    PlanWork,
    Recognizing,
    ThreadAction,
    Verb,
    Work,
)
from shipway.canonical import Json, canonical_bytes
from shipway.errors import Position
from shipway.file_state import fingerprint
from shipway.nodes import Change, Fidelity, Immediate, Node, Outcome, Verified
from shipway.slot_types import fits

_OUTPUT_TYPES = frozenset({"string", "integer", "number", "boolean", "list", "object", "secret", "file"})


class ActionCase(Struct, frozen=True):
    """One way to use an action. `make` gives it afresh; `inputs` fill its slots, those with a default may be left out.

    `prepare` makes what the action finds in an empty workspace. `disturb`, where `undo` must refuse to run over a later change,
    makes one. `breaks` are inputs with which `do` fails.
    """

    name: str
    make: Callable[[], Action]
    inputs: Mapping[str, Json]
    prepare: Callable[[Path], None] = lambda root: None
    disturb: Callable[[Path], None] | None = None
    breaks: Mapping[str, Json] | None = None
    env: Mapping[str, str] = field(default_factory=dict)


def check_description(case: ActionCase) -> None:
    """Name, contract, slots and outputs are what a plan can be checked against."""
    action = case.make()
    assert action.runs_in in ("thread", "process")
    assert "." in action.name and action.name == action.name.lower() and not action.name.startswith("flow.")
    assert isinstance(action.contract, int) and action.contract >= 1
    for name, rule in action.slots.items():
        assert name.isidentifier(), f"slot `{name}` is no name"
        assert rule.description, f"slot `{name}` is not described"
        assert not (rule.required and rule.default is not None), f"slot `{name}` is required and has a default"
        assert rule.default is None or fits(rule.default, rule.type), f"the default of `{name}` is of another type"
    for name, output in action.outputs.items():
        assert output.type in _OUTPUT_TYPES, f"output `{name}` has the unknown type `{output.type}`"
    assert set(case.inputs) <= set(action.slots)
    assert {name for name, rule in action.slots.items() if rule.required} <= set(case.inputs)


def check_plan_is_read_only(case: ActionCase) -> None:
    """`plan` changes nothing in the workspace."""
    with _workspace(case) as (root, _):
        before = tree(root)
        case.make().plan(plan_work(case, root))
        assert tree(root) == before


def check_plan_is_deterministic(case: ActionCase) -> None:
    """`plan` says the same each time, in JSON, of whatever instance."""
    with _workspace(case) as (root, _):
        first, second = (case.make().plan(plan_work(case, root)) for _ in range(2))
        assert first == second
        for part in (first.before, first.after, dict(first.outputs)):
            canonical_bytes(part)


def check_plan_foretells(case: ActionCase) -> None:
    """What `plan` foretells of change and outputs is what `do` gives; an `exact` noop leaves everything as it was."""
    action = case.make()
    if action.runs_in == "process":
        return
    with _workspace(case) as (root, recovery):
        said = action.plan(plan_work(case, root))
        before = tree(root)
        done = action.do(work(case, root, recovery))
        for name, value in said.outputs.items():
            assert done.outputs[name] == value, f"output `{name}` was foretold otherwise"
        if said.fidelity is Fidelity.EXACT and done.change is not None:
            assert said.change is done.change
        if said.fidelity is Fidelity.EXACT and said.change in (Change.NOOP, Change.READ):
            assert tree(root) == before
        assert set(done.outputs) <= set(action.outputs)
        assert {name for name, rule in action.outputs.items() if rule.required} <= set(done.outputs)
        canonical_bytes(dict(done.outputs))


def check_plan_bears_unknown(case: ActionCase) -> None:
    """With no slot known yet, `plan` still answers, and is not `exact`."""
    action = case.make()
    with _workspace(case) as (root, _):
        whole = plan_work(case, root)
        unknown = dict.fromkeys(whole.inputs, "`build/image`")
        said = action.plan(replace(whole, inputs={}, unknown=unknown))
        assert said.fidelity is not Fidelity.EXACT
        assert said.why, "why it is not exact is not said"


def check_plan_shows_no_secret(case: ActionCase) -> None:
    """The text of a slot that holds a secret stands nowhere in what `plan` says of the world to come."""
    with _workspace(case) as (root, _):
        whole = plan_work(case, root)
        for name, value in case.inputs.items():
            if isinstance(value, str) and value not in whole.node.action and len(value) > 3:
                said = case.make().plan(replace(whole, secret=frozenset({name})))
                shown = (said.why, said.after, dict(said.outputs))
                assert json.dumps(value, ensure_ascii=False)[1:-1] not in json.dumps(shown, ensure_ascii=False), name


def check_undo(case: ActionCase) -> None:
    """`undo` in a process that knows only what was kept leaves the workspace as it was before `do`, a second one too."""
    with _workspace(case) as (root, recovery):
        action = case.make()
        if action.runs_in == "process" or not action.plan(plan_work(case, root)).reversible:
            return
        before = tree(root)
        undone = undo_work(case, root, recovery, _do(action, case, root, recovery))
        _thread(case).undo(undone)
        assert tree(root) == before
        _thread(case).undo(undone)
        assert tree(root) == before


def check_verify(case: ActionCase) -> None:
    """`verify` says that the work holds after `do`, and that it is gone before, where `do` changes anything."""
    action = case.make()
    if action.runs_in == "process":
        return
    with _workspace(case) as (root, recovery):
        given = work(case, root, recovery)
        if action.plan(plan_work(case, root)).change not in (Change.NOOP, Change.READ):
            assert action.verify(given) is not Verified.HOLDS
        done = _do(action, case, root, recovery)
        before = tree(root)
        assert _thread(case).verify(replace(given, outputs=done.outputs)) is Verified.HOLDS
        assert tree(root) == before


def check_records(case: ActionCase) -> None:
    """What `do` says of files is so: there with this fingerprint, or gone; each thing is told of once."""
    with _workspace(case) as (root, recovery):
        if case.make().runs_in == "process":
            return
        action = _thread(case)
        records = _do(action, case, root, recovery).records
        assert len({(record.kind, record.name) for record in records}) == len(records)
        for record in records:
            canonical_bytes(dict(record.facts))
            if record.kind == "file":
                found = fingerprint(root / record.name)
                assert found == (record.fingerprint if record.present else "absent"), record.name


def check_drift(case: ActionCase) -> None:
    """What changed since `do` is left alone by `undo`."""
    if case.disturb is None:
        return
    with _workspace(case) as (root, recovery):
        action = _thread(case)
        done = _do(action, case, root, recovery)
        case.disturb(root)
        before = tree(root)
        assert _refusal(Drifted, lambda: action.undo(undo_work(case, root, recovery, done))), (
            "it does not say what changed"
        )
        assert tree(root) == before


def check_failure_leaves_nothing(case: ActionCase) -> None:
    """A `do` that fails raises ActionFailed with a text and leaves the workspace as it was."""
    if case.breaks is None:
        return
    broken = replace(case, inputs={**case.inputs, **case.breaks})
    with _workspace(case) as (root, recovery):
        before = tree(root)
        assert _refusal(ActionFailed, lambda: _thread(broken).do(work(broken, root, recovery))), "it does not say why"
        assert tree(root) == before


def check_recognized(case: ActionCase) -> None:
    """An action that recognizes that nothing has to be done says what `do` then says, and changes nothing."""
    action = case.make()
    if not isinstance(action, Recognizing):
        return
    with _workspace(case) as (root, recovery):
        for place in (recovery, recovery.parent / "later"):
            place.mkdir(exist_ok=True)
            before = tree(root)
            found = _recognized(action, work(case, root, place))
            assert tree(root) == before, "`recognized` changed something"
            try:
                done = _do(_thread(case), case, root, place)
            except ActionFailed:
                assert found is None, "`recognized` says that all is done, and `do` fails"
            else:
                assert found is None or found == done, "`recognized` says otherwise than `do`"


def _recognized(action: Recognizing, asked: Work) -> Done | None:
    return action.recognized(asked, os.path.realpath)


def check_leaves_process_alone(case: ActionCase) -> None:
    """Environment, working directory, open files, stdout and stderr are as before."""
    with _workspace(case) as (root, recovery), unchanged_process():
        action = case.make()
        action.plan(plan_work(case, root))
        if action.runs_in == "process":
            for verb in Verb:
                action.command(verb, work(case, root, recovery))
            return
        done = _do(action, case, root, recovery)
        action.verify(work(case, root, recovery))
        action.undo(undo_work(case, root, recovery, done))


def check_command(case: ActionCase) -> None:
    """The child process for `do` is there, absolute in its directory, and gets no more than the declared environment."""
    action = case.make()
    if action.runs_in != "process":
        return
    with _workspace(case) as (root, recovery):
        before = tree(root)
        command = action.command(Verb.DO, work(case, root, recovery))
        assert command is not None and command.argv and command.cwd.is_absolute()
        assert set(command.env.items()) <= set(case.env.items())
        assert command == action.command(Verb.DO, work(case, root, recovery))
        assert tree(root) == before


def _refusal(kind: type[Exception], call: Callable[[], object]) -> str:
    """The text of the error of `kind` that `call` must raise."""
    try:
        call()
    except kind as error:
        return str(error)
    raise AssertionError(f"it raised no {kind.__name__}")


CHECKS: tuple[Callable[[ActionCase], None], ...] = (
    check_description,
    check_plan_is_read_only,
    check_plan_is_deterministic,
    check_plan_foretells,
    check_plan_bears_unknown,
    check_plan_shows_no_secret,
    check_undo,
    check_verify,
    check_records,
    check_drift,
    check_failure_leaves_nothing,
    check_recognized,
    check_leaves_process_alone,
    check_command,
)


def tree(root: Path) -> dict[str, tuple[str, ...]]:
    """Everything below `root`, by relative path: kind, mode and digest of a file, target of a link, mode of a directory."""
    found: dict[str, tuple[str, ...]] = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            mode = f"{path.lstat().st_mode:o}"
            if path.is_symlink():
                found[str(path.relative_to(root))] = ("link", os.readlink(path))
            elif path.is_dir():
                found[str(path.relative_to(root))] = ("directory", mode)
            else:
                found[str(path.relative_to(root))] = ("file", mode, hashlib.sha256(path.read_bytes()).hexdigest())
    return found


@contextlib.contextmanager
def unchanged_process() -> Iterator[None]:
    """Fails where the body changes environment, working directory or open files, or writes to stdout or stderr."""
    before = dict(os.environ), Path.cwd(), _open_files()
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        yield
    assert dict(os.environ) == before[0], "it changed the environment"
    assert Path.cwd() == before[1], "it changed the working directory"
    assert _open_files() <= before[2], "it left files open"  # fewer: what an earlier test left was collected
    assert not out.getvalue() and not errors.getvalue(), "it wrote to stdout or stderr"


def _open_files() -> int:
    listing = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")
    return len(os.listdir(listing))


@contextlib.contextmanager
def _workspace(case: ActionCase) -> Iterator[tuple[Path, Path]]:
    """A workspace that the case has prepared, and what is to be put back beside it."""
    with tempfile.TemporaryDirectory() as folder:
        root, recovery = Path(folder, "work"), Path(folder, "recovery")
        root.mkdir()
        recovery.mkdir()
        case.prepare(root)
        yield root, recovery


def _node(case: ActionCase) -> Node:
    slots = {name: Immediate(value) for name, value in _filled(case).items()}
    return Node("stage/step", "stage", case.make().name, Position("shipway.yml", 1, 1), slots=slots)


def _filled(case: ActionCase) -> dict[str, Json]:
    defaults = {name: rule.default for name, rule in case.make().slots.items() if rule.default is not None}
    return {**defaults, **case.inputs}


def plan_work(case: ActionCase, root: Path) -> PlanWork:
    """What `plan` is given where every slot is known. Commands are not executed: they end with 0 and say nothing."""
    return PlanWork(
        node=_node(case),
        inputs=_filled(case),
        unknown={},
        env=case.env,
        unknown_env={},
        root=root,
        execute=_execute_nothing,
    )


def _execute_nothing(command: Command) -> Completed:
    return Completed(0)


def work(case: ActionCase, root: Path, recovery: Path) -> Work:
    """What `do` and `verify` are given."""
    return Work(
        node=_node(case),
        inputs=_filled(case),
        env=case.env,
        root=root,
        recovery=recovery,
        cancelled=lambda: False,
        log=lambda text: None,
        started_ms=1_792_000_000_000,
    )


def undo_work(case: ActionCase, root: Path, recovery: Path, done: Done) -> Work:
    """What `undo` is given after `done`, as another process reads it from the journal."""
    kept: Json = json.loads(json.dumps(done.undo))
    outcome = Outcome.UNCHANGED if done.unchanged else Outcome.SUCCEEDED
    return replace(work(case, root, recovery), outcome=outcome, outputs=done.outputs, state=kept)


def _thread(case: ActionCase) -> ThreadAction:
    action = case.make()
    assert action.runs_in == "thread", "only an action that runs in a thread can be disturbed or broken here"
    return action


def _do(action: ThreadAction, case: ActionCase, root: Path, recovery: Path) -> Done:
    return action.do(work(case, root, recovery))
