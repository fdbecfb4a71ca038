"""The declaration as values: what a person wrote, checked and merged with its overlay. Reads files, starts nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

from msgspec import Struct, field

from shipway import __version__, schema
from shipway.approvals import ApprovalRule, approval_rule
from shipway.canonical import Json, mapping
from shipway.cross_checks import cross_findings
from shipway.declaration_files import overlay_of, read_merged, shown_name
from shipway.durations import parse_ms
from shipway.errors import DeclarationError, Position, Problem, UsageError, did_you_mean
from shipway.flow_rules import DEFAULT_EMITS, DEFAULT_EVERY, GatherRule, gather_rule
from shipway.hooks import HookRule, declared_hooks
from shipway.limits import Limit, Rate, parse_rate
from shipway.outline import StageOutline, StepOutline, outline, texts
from shipway.places import Finding, about
from shipway.policies import Policy, declared_policy
from shipway.signing import SigningRule, signing_rule
from shipway.source import MAX_PROBLEMS, Path_, SourceTree, load_failed

_Word = TypeVar("_Word", bound=StrEnum)
_TARGET_NAME = re.compile("[a-z0-9][a-z0-9.-]{0,63}")


class OnFailure(StrEnum):
    """What happens to the other nodes when one fails: let started ones finish, stop them, or go on."""

    DRAIN = "drain"
    CANCEL = "cancel"
    CONTINUE = "continue"


class Rollback(StrEnum):
    """What is undone when a run fails: everything begun, only the failed stages, or nothing."""

    RUN = "run"
    STAGE = "stage"
    NONE = "none"


class OnCancel(StrEnum):
    """What happens to begun work when a person or CI stops the run."""

    LEAVE = "leave"
    UNDO = "undo"


class Backoff(StrEnum):
    """How the delay between attempts grows; see `retry.delay_ms`."""

    CONSTANT = "constant"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"


class Retry(Struct, frozen=True):
    """`attempts` counts the first try and is at least 1; delays are integer milliseconds; `jitter_percent` is 0 to 100."""

    attempts: int = 1
    backoff: Backoff = Backoff.EXPONENTIAL
    initial_ms: int = 1000
    max_ms: int | None = None
    jitter_percent: int = 0


class OutputRule(Struct, frozen=True):
    """A declared output: its type word (string integer number boolean list object secret file) and whether it must be written."""

    type: str
    required: bool = True


class InputRule(Struct, frozen=True):
    """A declared input of a run: type word (string integer number boolean list object), default (None: none), required."""

    type: str = "string"
    default: Json = None
    required: bool = False
    description: str = ""


class TargetRule(Struct, frozen=True):
    """One entry of `targets`; `on` holds patterns of branches and tags that may execute (empty: the default branch).

    `drill`: it is there to be broken. `after` are targets on which the same tree has to have succeeded before.
    """

    on: tuple[str, ...] = ()
    drill: bool = False
    after: tuple[str, ...] = ()


class StateStore(StrEnum):
    """Where state that outlives a run is kept: files of this machine, refs of a git remote, or a database."""

    LOCAL = "local"
    GIT = "git"
    POSTGRES = "postgres"


class StateRule(Struct, frozen=True):
    """`state:` of the declaration. `remote` is git's (empty: `origin`), `url` the name of the secret with the address.

    `key` is the name of the secret with the key to which what is secret in the journal is encrypted; empty: it is left out.
    """

    store: StateStore = StateStore.LOCAL
    remote: str = ""
    url: str = ""
    key: str = ""


class PlanCommand(Struct, frozen=True):
    """A step's read-only `plan` command; unless every name in `requires` is known when planned, the node is opaque."""

    run: str
    requires: tuple[str, ...] = ()


class UndoCommand(Struct, frozen=True):
    """A step's `undo`; `timeout_ms` and `retry` None: those of the step."""

    run: str
    timeout_ms: int | None = None
    retry: Retry | None = None


class Defaults(Struct, frozen=True):
    """`defaults:` of the declaration; None means that the built-in default of design applies."""

    timeout_ms: int | None = None
    parallel: int | None = None
    on_failure: OnFailure | None = None
    rollback: Rollback | None = None
    on_cancel: OnCancel | None = None


class Step(Struct, frozen=True):
    """One step as written. Texts may hold `${{ }}` in `condition`, `env` and `with_` only; `path` locates it in the source.

    `action` is the dotted name (`run:` is short for `shell.exec`; its script is in `run`, else `run` is None).
    `needs` and `optional_needs` are step ids of the same stage. In a list of steps each needs the one before it: that
    edge is NOT in `needs`; see `Stage.ordered`. `reads` None means: the stage's, else the whole tree. A step with a `body`
    has no action. `every_ms` above 0: it is an `until`. `templates` are what it may emit, at most `emits` of them.
    """

    id: str
    action: str
    path: Path_
    where: Position
    name: str = ""
    tags: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    optional_needs: tuple[str, ...] = ()
    condition: str | None = None
    run: str | None = None
    shell: str | None = None
    working_directory: str | None = None
    plan: PlanCommand | None = None
    undo: UndoCommand | None = None
    verify: str | None = None
    outputs: Mapping[str, OutputRule] = field(default_factory=dict)
    with_: Mapping[str, Json] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    env_from: tuple[str, ...] = ()
    reads: tuple[str, ...] | None = None
    writes: tuple[str, ...] = ()
    lasting: bool | None = None
    retry: Retry | None = None
    timeout_ms: int | None = None
    limits: tuple[str, ...] = ()
    locks: tuple[str, ...] = ()
    exclusive: bool = False
    allow_failure: bool = False
    gather: GatherRule | None = None
    body: Body | None = None
    every_ms: int = 0
    emits: int = 0
    templates: tuple[Step, ...] = ()
    privileged: bool = False
    dedup: str | None = None


class Body(Struct, frozen=True):
    """Steps inside a step, or those of `compensate`. `ordered` is True where they were a list."""

    steps: tuple[Step, ...]
    ordered: bool


class Stage(Struct, frozen=True):
    """One stage as written: `steps` (mode `steps`) or another `mode` with its `with_`. `needs` are stage ids.

    `ordered` is True where `steps` was a list: each step then needs the one before it.
    """

    id: str
    path: Path_
    where: Position
    mode: str = "steps"
    backend: str | None = None
    requires: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    condition: str | None = None
    with_: Mapping[str, Json] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    env_from: tuple[str, ...] = ()
    lasting: bool | None = None
    on_failure: OnFailure | None = None
    rollback: Rollback | None = None
    parallel: int | None = None
    timeout_ms: int | None = None
    reads: tuple[str, ...] | None = None
    ordered: bool = False
    steps: tuple[Step, ...] = ()
    compensation: Body | None = None
    retry: Retry | None = None
    approval: ApprovalRule | None = None
    policies: tuple[Policy, ...] = ()


class Declaration(Struct, frozen=True):
    """A whole lifecycle for one target, overlay merged in. `file` is relative to the repository root, `files` all that were read.

    `source` finds positions and spellings by path (`("stages", "build", "steps", 0, "run")`).
    `targets` is None where the declaration gives no closed list. `locks` are held for the whole run, as is that of lifecycle
    and target unless `is_locked` is False; `step_locks` by the steps that name them.
    """

    name: str
    file: str
    files: tuple[str, ...]
    source: SourceTree
    stages: tuple[Stage, ...]
    targets: Mapping[str, TargetRule] | None = None
    inputs: Mapping[str, InputRule] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    values: Mapping[str, Json] = field(default_factory=dict)
    defaults: Defaults = field(default_factory=Defaults)
    limits: Mapping[str, Limit] = field(default_factory=dict)
    locks: tuple[str, ...] = ()
    step_locks: tuple[str, ...] = ()
    is_locked: bool = True
    state: StateRule = field(default_factory=StateRule)
    policies: tuple[Policy, ...] = ()
    hooks: tuple[HookRule, ...] = ()
    signing: SigningRule = field(default_factory=SigningRule)

    def target_rule(self, target: str) -> TargetRule:
        """What is declared of a target: under its name, else under the first pattern that matches it."""
        rules = self.targets or {}
        name = target if target in rules else next((name for name in rules if fnmatchcase(target, name)), None)
        return TargetRule() if name is None else rules[name]


def load(
    file: Path, *, root: Path, target: str | None = None, more: Callable[[SourceTree], Iterable[Problem]] | None = None
) -> Declaration:
    """The declaration in `file`, with its overlay for `target` merged in; file names are shown relative to `root`.

    The overlay of `shipway.yml` for the target `pr-42` is `shipway.pr-42.yml`, else `shipway.pr.yml`, where there is one.
    Raises DeclarationError with every problem found, in the order of the files, and UsageError where `target` is no name. What
    is refused is looked through by `more` too, so that nobody is told of the rest only when this is put right.
    """
    if target is not None and not _TARGET_NAME.fullmatch(target):
        text = f"`{target}` is not the name of a target"
        raise UsageError(text, phase="load", next="use lower-case letters, digits, `-` and `.`, at most 64 of them")
    tree = read_merged(file, root, target)
    found = [*schema.findings("declaration", tree.data), *cross_findings(tree.data, MAX_PROBLEMS)]
    found += [*_version_findings(tree), *_target_findings(tree, target)]
    if found or tree.problems:
        raise _refusal(tree, found, more(tree) if more is not None else ())
    return _Builder(tree).declaration()


def is_same_for(declared: Declaration, file: Path, *, root: Path, target: str) -> bool:
    """Whether `load` would give this same declaration for these: one file, without an overlay, that allows the target."""
    is_one = declared.files == (shown_name(file, root),) and overlay_of(file, target) is None
    return is_one and next(_target_findings(declared.source, target), None) is None


def _refusal(tree: SourceTree, found: list[Finding], more: Iterable[Problem]) -> DeclarationError:
    """All problems once each, in the order of the files; of two at one place that of reading says enough."""
    unreadable = {problem.where for problem in tree.problems}
    problems = dict.fromkeys(tree.problems)
    problems |= dict.fromkeys(
        problem for problem in (_problem(tree, one) for one in found) if problem.where not in unreadable
    )
    told = {problem.where for problem in problems}
    problems |= dict.fromkeys(problem for problem in more if problem.where not in told)
    anchors = {finding.anchor for finding in found} | ({"yaml"} if tree.problems else set())
    anchor = anchors.pop() if len(anchors) == 1 else ""
    return load_failed(sorted(problems, key=tree.order)[:MAX_PROBLEMS], anchor, about(anchor))


def _problem(tree: SourceTree, finding: Finding) -> Problem:
    if finding.span is None:
        return tree.problem(finding.path, finding.text, finding.hint, key=finding.is_key)
    return tree.problem_at(tree.locate_within(finding.path, *finding.span), finding.text, finding.hint)


def _version_findings(tree: SourceTree) -> Iterator[Finding]:
    wanted = str(mapping(tree.data).get("shipway", ""))
    if not re.fullmatch("[0-9.]+", wanted):
        return
    wanted = tree.spelling(("shipway",))
    if _version(wanted) > _version(__version__):
        text = f"the declaration needs Shipway `{wanted}` or later; this is `{__version__}`"
        yield Finding(("shipway",), text, "update Shipway, or lower the number", anchor="top-level")


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall("[0-9]{1,9}", text)[:3])


def _target_findings(tree: SourceTree, target: str | None) -> Iterator[Finding]:
    rules = mapping(mapping(tree.data).get("targets"))
    if target is None or not rules or any(fnmatchcase(target, pattern) for pattern in rules):
        return
    hint = did_you_mean(target, rules) or "known targets: " + ", ".join(f"`{name}`" for name in rules)
    yield Finding(("targets",), f"the target `{target}` is not one of `targets`", hint, is_key=True, anchor="targets")


class _Builder:
    """Turns data that passed every check into values. Texts keep their spelling, so they are asked of the source tree."""

    def __init__(self, tree: SourceTree) -> None:
        self._tree = tree
        self._data = mapping(tree.data)

    def declaration(self) -> Declaration:
        files = self._tree.files
        return Declaration(
            name=str(self._data["name"]),
            file=files[0],
            files=files,
            source=self._tree,
            stages=tuple(self._stage(stage) for stage in outline(self._data)),
            targets=self._targets(),
            inputs={name: self._input(name) for name in mapping(self._data.get("inputs"))},
            secrets=_names(self._data, "secrets"),
            values=mapping(self._data.get("values")),
            defaults=self._defaults(mapping(self._data.get("defaults"))),
            limits={name: _limit(mapping(rule)) for name, rule in mapping(self._data.get("limits")).items()},
            locks=_names(self._data, "locks") or _held_by(self._data, "run"),
            step_locks=_held_by(self._data, "step"),
            is_locked=self._data.get("lock") != "none",
            state=_state(self._data.get("state")),
            policies=self._policies(self._data, (), ""),
            hooks=declared_hooks(self._tree),
            signing=signing_rule(self._data.get("signing")),
        )

    def _policies(self, data: Mapping[str, Json], path: Path_, stage: str) -> tuple[Policy, ...]:
        """The policies of the declaration, or of one of its stages."""
        found = []
        for name, rule in mapping(data.get("policy")).items():
            at: Path_ = (*path, "policy", name)
            env = self._env(mapping(rule), at)
            found.append(declared_policy(name, mapping(rule), env, self._tree.locate(at, key=True), stage))
        return tuple(found)

    def _targets(self) -> Mapping[str, TargetRule] | None:
        if "targets" not in self._data:
            return None
        return {
            name: TargetRule(
                _names(mapping(rule), "on"), _flag(mapping(rule), "drill") or False, _names(mapping(rule), "after")
            )
            for name, rule in mapping(self._data["targets"]).items()
        }

    def _input(self, name: str) -> InputRule:
        rule = mapping(mapping(self._data["inputs"])[name])
        path: Path_ = ("inputs", name)
        kind = str(rule.get("type", "string"))
        default = rule.get("default")
        if kind == "string" and default is not None:
            default = self._tree.spelling((*path, "default"))
        elif kind == "integer" and isinstance(default, float):
            default = int(default)
        return InputRule(kind, default, rule.get("required") is True, self._text(rule, path, "description") or "")

    def _defaults(self, data: Mapping[str, Json]) -> Defaults:
        return Defaults(
            timeout_ms=_duration(data, "timeout"),
            parallel=_count(data, "parallel"),
            on_failure=_choice(OnFailure, data, "on_failure"),
            rollback=_choice(Rollback, data, "rollback"),
            on_cancel=_choice(OnCancel, data, "on_cancel"),
        )

    def _stage(self, stage: StageOutline) -> Stage:
        data, path = stage.data, stage.path
        backend = data.get("backend")
        return Stage(
            id=stage.id,
            path=path,
            where=self._tree.locate(path or ("steps",), key=True),
            mode=str(data.get("mode", "steps")),
            backend=str(backend) if backend is not None else None,
            requires=_names(data, "requires"),
            needs=_names(data, "needs"),
            condition=self._text(data, path, "if"),
            with_=mapping(data.get("with")),
            env=self._env(data, path),
            env_from=_names(data, "env_from"),
            lasting=_flag(data, "lasting"),
            on_failure=_choice(OnFailure, data, "on_failure"),
            rollback=_choice(Rollback, data, "rollback"),
            parallel=_count(data, "parallel"),
            timeout_ms=_duration(data, "timeout"),
            reads=_names(data, "reads") if "reads" in data else None,
            ordered=stage.is_ordered,
            steps=tuple(self._step(step) for step in stage.steps),
            compensation=self._body(stage.compensation) if stage.compensation else None,
            retry=_retry(data["retry"]) if "retry" in data else None,
            approval=approval_rule(data.get("approval")),
            policies=self._policies(data, path, stage.id),
        )

    def _body(self, written: StageOutline) -> Body:
        return Body(tuple(self._step(step) for step in written.steps), written.is_ordered)

    def _step(self, step: StepOutline) -> Step:
        data, path = step.data, step.path
        until = data.get("until")
        asked = mapping(until)
        script = "run" if "run" in data else "until" if not asked else ""
        emits = mapping(data.get("emits"))
        return Step(
            id=step.id,
            action=str(data.get("uses") or asked.get("uses", "shell.exec")),
            path=path,
            where=self._tree.locate(path, key=True),
            name=self._text(data, path, "name") or "",
            tags=_names(data, "tags"),
            needs=_names(data, "needs"),
            optional_needs=_names(data, "optional_needs"),
            condition=self._text(data, path, "if"),
            run=self._text(data, path, script),
            shell=self._text(data, path, "shell"),
            working_directory=self._text(data, path, "working_directory"),
            plan=self._plan(data, path),
            undo=self._undo(data, path),
            verify=self._text(data, path, "verify"),
            outputs={name: _output(rule) for name, rule in mapping(data.get("outputs")).items()},
            with_=mapping(data.get("with")) or mapping(asked.get("with")),
            env=self._env(data, path),
            env_from=_names(data, "env_from"),
            reads=_names(data, "reads") if "reads" in data else None,
            writes=_names(data, "writes"),
            lasting=_flag(data, "lasting"),
            retry=_retry(data["retry"]) if "retry" in data else None,
            timeout_ms=_duration(data, "timeout"),
            limits=_names(data, "limits"),
            locks=_names(data, "locks"),
            exclusive=_flag(data, "exclusive") or False,
            allow_failure=_flag(data, "allow_failure") or False,
            gather=gather_rule(data["gather"], self._tree, (*path, "gather")) if "gather" in data else None,
            body=self._body(step.body) if step.body else None,
            every_ms=parse_ms(str(data.get("every", DEFAULT_EVERY))) if "until" in data else 0,
            emits=_count(emits, "max") or DEFAULT_EMITS if emits else 0,
            templates=tuple(self._step(each) for each in step.templates.steps) if step.templates else (),
            privileged=_flag(data, "privileged") or False,
            dedup=self._text(data, path, "dedup"),
        )

    def _plan(self, data: Mapping[str, Json], path: Path_) -> PlanCommand | None:
        written = data.get("plan")
        if isinstance(written, Mapping):
            return PlanCommand(self._tree.spelling((*path, "plan", "run")), _names(written, "requires"))
        text = self._text(data, path, "plan")
        return None if text is None else PlanCommand(text)

    def _undo(self, data: Mapping[str, Json], path: Path_) -> UndoCommand | None:
        written = data.get("undo")
        if isinstance(written, Mapping):
            return UndoCommand(
                self._tree.spelling((*path, "undo", "run")),
                _duration(written, "timeout"),
                _retry(written["retry"]) if "retry" in written else None,
            )
        text = self._text(data, path, "undo")
        return None if text is None else UndoCommand(text)

    def _env(self, data: Mapping[str, Json], path: Path_) -> Mapping[str, str]:
        return {name: self._tree.spelling((*path, "env", name)) for name in mapping(data.get("env"))}

    def _text(self, data: Mapping[str, Json], path: Path_, key: str) -> str | None:
        return self._tree.spelling((*path, key)) if key in data else None


def _names(data: Mapping[str, Json], key: str) -> tuple[str, ...]:
    """The texts of the list under `key`, each once."""
    return tuple(dict.fromkeys(text for _, text in texts(data, (), key)))


def _held_by(data: Mapping[str, Json], holder: str) -> tuple[str, ...]:
    """The locks of a mapping that `run` or `step` holds; none of a list, which the run holds."""
    return tuple(name for name, word in mapping(data.get("locks")).items() if word == holder)


def _output(rule: Json) -> OutputRule:
    if isinstance(rule, Mapping):
        return OutputRule(str(rule["type"]), rule.get("required") is not False)
    return OutputRule(str(rule))


def _limit(rule: Mapping[str, Json]) -> Limit:
    rate = Rate(*parse_rate(str(rule["rate"])), _count(rule, "burst") or 1) if "rate" in rule else None
    return Limit(_count(rule, "parallel") or 1, rate)


def _state(written: Json) -> StateRule:
    if not isinstance(written, Mapping):
        return StateRule(StateStore(str(written))) if written is not None else StateRule()
    texts = {key: str(written.get(key, "")) for key in ("remote", "url", "key")}
    return StateRule(StateStore(str(written.get("store", "local"))), **texts)


def _retry(written: Json) -> Retry:
    if not isinstance(written, Mapping):
        return Retry(attempts=_whole(written))
    return Retry(
        attempts=_whole(written.get("attempts", 1)),
        backoff=_choice(Backoff, written, "backoff") or Backoff.EXPONENTIAL,
        initial_ms=parse_ms(str(written.get("initial", "1s"))),
        max_ms=_duration(written, "max"),
        jitter_percent=int(str(written.get("jitter", "0%")).removesuffix("%")),
    )


def _choice(kind: type[_Word], data: Mapping[str, Json], key: str) -> _Word | None:
    return kind(str(data[key])) if key in data else None


def _duration(data: Mapping[str, Json], key: str) -> int | None:
    return parse_ms(str(data[key])) if key in data else None


def _count(data: Mapping[str, Json], key: str) -> int | None:
    """A number of things at once; 0 says the same as nothing."""
    return (_whole(data[key]) or None) if key in data else None


def _flag(data: Mapping[str, Json], key: str) -> bool | None:
    value = data.get(key)
    return value if isinstance(value, bool) else None


def _whole(value: Json) -> int:
    return int(value) if isinstance(value, (int, float)) else 0
