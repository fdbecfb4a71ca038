"""What `with` of a `files` stage says, checked key by key with its place, and as values. Looks at no file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum

from msgspec import Struct, field

from shipway.canonical import Json, mapping
from shipway.declaration import Declaration, Stage
from shipway.errors import Problem, did_you_mean

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_SEGMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MODE = re.compile(r"[0-7]{3,4}")
_OWNER = re.compile(r"[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)?")


class Doing(StrEnum):
    """What the stage does: put files there; that, and take back what no tree has any more; take all back; take files in."""

    DEPLOY = "deploy"
    RECONCILE = "reconcile"
    DECOMMISSION = "decommission"
    ADOPT = "adopt"


class OnConflict(StrEnum):
    """What happens where something stands in a target's place that the stage did not put there."""

    STOP = "stop"
    BACKUP = "backup"
    OVERWRITE = "overwrite"
    SKIP = "skip"


class How(StrEnum):
    """How a source that needs nothing done to it gets to its target."""

    LINK = "link"
    COPY = "copy"


class RootRule(Struct, frozen=True):
    """A folder that targets are in; `from_` is where in each layer its projects are: empty, the layer itself."""

    path: str
    from_: str = ""


class FileSettings(Struct, frozen=True):
    """A `files` stage as written. `sources` are the layers by name, the lowest first; `roots` the target roots by name.

    `projects` None takes every one. `modes` and `owners` are by pattern of the target's path below its root. `plain` are
    patterns of names that are taken as they are. `takes_dirty`: what is not committed is deployed too.
    `adopt` are files to take in, and `into` is where to: `layer/project`.
    """

    sources: Mapping[str, str]
    roots: Mapping[str, RootRule]
    projects: tuple[str, ...] | None = None
    segments: Mapping[str, str | None] = field(default_factory=dict)
    on_conflict: OnConflict = OnConflict.STOP
    how: How = How.LINK
    modes: Mapping[str, str] = field(default_factory=dict)
    owners: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, Json] = field(default_factory=dict)
    plain: tuple[str, ...] = ()
    takes_dirty: bool = False
    action: Doing = Doing.DEPLOY
    adopt: tuple[str, ...] = ()
    into: str = ""


def settings_of(with_: Mapping[str, Json]) -> FileSettings:
    """The settings that checked and folded data amounts to; all of it has passed `faults`."""
    projects = with_.get("projects")
    roots = mapping(with_["roots"])
    return FileSettings(
        sources={name: str(folder) for name, folder in mapping(with_["sources"]).items()},
        roots={name: _root(name, rule, is_only=len(roots) == 1) for name, rule in roots.items()},
        projects=_texts(projects) if projects is not None else None,
        segments={
            name: None if value is None else str(value) for name, value in mapping(with_.get("segments")).items()
        },
        on_conflict=OnConflict(str(with_.get("on_conflict", "stop"))),
        how=How(str(with_.get("how", "link"))),
        modes={pattern: str(mode) for pattern, mode in mapping(with_.get("modes")).items()},
        owners={pattern: str(owner) for pattern, owner in mapping(with_.get("owners")).items()},
        data=mapping(with_.get("data")),
        plain=_texts(with_.get("plain", [])),
        takes_dirty=with_.get("dirty") == "allow",
        action=Doing(str(with_.get("action", "deploy"))),
        adopt=_texts(with_.get("adopt", [])),
        into=str(with_.get("into", "")),
    )


def faults(stage: Stage, lifecycle: Declaration) -> list[Problem]:
    """Everything wrong with `with` as written, each with its place. Texts with `${{ }}` pass: they are checked once known."""
    return _Check(stage, lifecycle).whole(stage.with_)


class _Check:
    def __init__(self, stage: Stage, lifecycle: Declaration) -> None:
        self._stage = stage
        self._source = lifecycle.source
        self._path = (*stage.path, "with")
        self._found: list[Problem] = []

    def whole(self, data: Mapping[str, Json]) -> list[Problem]:
        checks: Mapping[str, Callable[[str, Json], None]] = {
            "sources": self._sources,
            "roots": self._roots,
            "projects": self._list,
            "segments": self._segments,
            "on_conflict": lambda key, value: self._word(key, value, [word.value for word in OnConflict]),
            "how": lambda key, value: self._word(key, value, [word.value for word in How]),
            "modes": lambda key, value: self._forms(key, value, _MODE, 'octal digits in quotes, such as "0600"'),
            "owners": lambda key, value: self._forms(key, value, _OWNER, "a user, or `user:group`"),
            "data": self._data,
            "plain": self._list,
            "action": lambda key, value: self._word(key, value, [word.value for word in Doing]),
            "adopt": self._list,
            "into": lambda key, value: self._is_text((key,), value),
            "dirty": lambda key, value: self._word(key, value, ["refuse", "allow"]),
        }
        for key, value in data.items():
            if key not in checks:
                hint = did_you_mean(key, checks) or "known keys: " + ", ".join(f"`{name}`" for name in checks)
                self._report((key,), f"unknown key `{key}` in `with` of stage `{self._stage.id}`", hint, key=True)
            elif not (isinstance(value, str) and "${{" in value):
                checks[key](key, value)
        for key, example in (("sources", "{base: config/base}"), ("roots", '{home: "~"}')):
            if key not in data:
                text = f"`with` of stage `{self._stage.id}` needs `{key}`"
                where = self._path if data else (*self._stage.path, "mode")
                self._found.append(self._source.problem(where, text, f"write `{key}: {example}`", key=True))
        if data.get("action") == "adopt":
            for key, example in (("adopt", "[.zshrc]"), ("into", "personal/zsh")):
                if key not in data:
                    self._report(("action",), f"`action: adopt` needs `{key}`", f"write `{key}: {example}`", key=True)
        return self._found

    def _sources(self, key: str, value: Json) -> None:
        if self._is_mapping(key, value, filled=True):
            for name, folder in mapping(value).items():
                self._name((key, name), name)
                self._is_text((key, name), folder)

    def _roots(self, key: str, value: Json) -> None:
        if not self._is_mapping(key, value, filled=True):
            return
        for name, rule in mapping(value).items():
            self._name((key, name), name)
            if not isinstance(rule, Mapping):
                self._is_text((key, name), rule)
                continue
            for inner, text in rule.items():
                if inner in ("path", "from"):
                    self._is_text((key, name, inner), text)
                else:
                    hint = did_you_mean(inner, ("path", "from")) or "known keys: `path`, `from`"
                    self._report((key, name, inner), f"unknown key `{inner}` in root `{name}`", hint, key=True)
            if "path" not in rule:
                self._report((key, name), f"root `{name}` needs `path`", "say which folder it is")

    def _data(self, key: str, value: Json) -> None:
        self._is_mapping(key, value)

    def _segments(self, key: str, value: Json) -> None:
        if not self._is_mapping(key, value):
            return
        for name, word in mapping(value).items():
            if not _SEGMENT.fullmatch(name):
                self._report((key, name), f"`{name}` is no name of a segment", "use letters, digits and `_`", key=True)
            if word is not None and not isinstance(word, str):
                self._report((key, name), f"segment `{name}` must be a text", "quote it, or leave it empty: `~`")
            elif isinstance(word, str) and "${{" not in word and "." in word:
                self._report((key, name), f"segment `{name}` holds a dot", "it is one suffix of a folder's name")

    def _list(self, key: str, value: Json) -> None:
        if not isinstance(value, list):
            self._report((key,), f"`{key}` of stage `{self._stage.id}` must be a list", f"write `{key}: [{value}]`")
            return
        for at, item in enumerate(value):
            self._is_text((key, at), item)

    def _word(self, key: str, value: Json, allowed: list[str]) -> None:
        if value in allowed or (isinstance(value, str) and "${{" in value):
            return
        listed = ", ".join(f"`{word}`" for word in allowed)
        hint = did_you_mean(value, allowed) if isinstance(value, str) else ""
        self._report((key,), f"`{key}` of stage `{self._stage.id}` must be one of {listed}, not `{value}`", hint)

    def _forms(self, key: str, value: Json, form: re.Pattern[str], wanted: str) -> None:
        if not self._is_mapping(key, value):
            return
        for pattern, text in mapping(value).items():
            if not isinstance(text, str) or not ("${{" in text or form.fullmatch(text)):
                self._report((key, pattern), f"`{key}` of `{pattern}` must be {wanted}")

    def _is_mapping(self, key: str, value: Json, *, filled: bool = False) -> bool:
        is_one = isinstance(value, Mapping) and (bool(value) or not filled)
        if not is_one:
            what = "a mapping with at least one entry" if filled else "a mapping"
            self._report((key,), f"`{key}` of stage `{self._stage.id}` must be {what}")
        return is_one

    def _is_text(self, path: tuple[str | int, ...], value: Json) -> None:
        if not isinstance(value, str) or not value:
            hint = f'quote it: `"{value}"`' if isinstance(value, (int, float)) else ""
            if value is None and path[0] == "roots":
                hint = 'for the home folder quote it, since YAML reads a bare `~` as nothing: `"~"`'
            self._report(path, f"`{path[-1]}` in `{path[0]}` of stage `{self._stage.id}` must be a text", hint)

    def _name(self, path: tuple[str | int, ...], name: str) -> None:
        if not _NAME.fullmatch(name):
            self._report(path, f"`{name}` is not a name", "use lower-case letters, digits and `-`", key=True)

    def _report(self, path: tuple[str | int, ...], text: str, hint: str = "", *, key: bool = False) -> None:
        self._found.append(self._source.problem((*self._path, *path), text, hint, key=key))


def _root(name: str, rule: Json, *, is_only: bool) -> RootRule:
    if not isinstance(rule, Mapping):
        return RootRule(str(rule), "" if is_only else name)
    return RootRule(str(rule["path"]), str(rule.get("from", "" if is_only else name)))


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()
