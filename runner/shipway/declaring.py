"""A declaration's data as values, once it passed every check. Texts keep the spelling they have in its source."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from shipway.approvals import approval_rule
from shipway.canonical import Json, mapping
from shipway.declaration import (
    Backoff,
    Body,
    Declaration,
    Defaults,
    InputRule,
    OnCancel,
    OnFailure,
    OutputRule,
    PlanCommand,
    Retry,
    Rollback,
    Stage,
    StateRule,
    StateStore,
    Step,
    TargetRule,
    UndoCommand,
)
from shipway.durations import parse_ms
from shipway.flow_rules import DEFAULT_EMITS, DEFAULT_EVERY, gather_rule
from shipway.hooks import declared_hooks
from shipway.limits import Limit, Rate, parse_rate
from shipway.outline import StageOutline, StepOutline, outline, texts
from shipway.policies import Policy, declared_policy
from shipway.signing import signing_rule
from shipway.source import Path_, SourceTree

_Word = TypeVar("_Word", bound=StrEnum)


def declaration_of(tree: SourceTree) -> Declaration:
    """The declaration that `tree` holds, which has no problem left."""
    return _Builder(tree).declaration()


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
            state=state_rule(self._data.get("state")),
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
            oidc=_names(data, "oidc"),
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
    return tuple(dict.fromkeys(text for _, text in texts(data, (), key))) if key in data else ()


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


def state_rule(written: Json) -> StateRule:
    """What `state` says. Raises ValueError for what it cannot say."""
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
