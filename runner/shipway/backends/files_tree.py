"""Backend `files/tree`: trees of files in layers become one node for each target, and what its content needs before it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from shipway.backend import Capability, Cleanups, StagePlace
from shipway.builder import GraphBuilder, NodeHandle, NodeOptions
from shipway.canonical import Json
from shipway.collisions import Candidate, Settlement, settle
from shipway.declaration import Declaration, Stage
from shipway.errors import Position, Problem
from shipway.file_names import Making
from shipway.file_placing import REPLACES
from shipway.file_settings import FileSettings, How, OnConflict, RootRule, faults, settings_of
from shipway.file_trees import Found, Sorting, layers_json, walk
from shipway.node_ids import named_by_path
from shipway.nodes import Promise
from shipway.segments import Machine, UnknownSegment, platform_words, settled
from shipway.state import Entry, Prior

SECRET_MODE = "0600"
"""Of a file whose source is encrypted, where `modes` says nothing else."""


class FilesTree:
    """Answers mode `files`."""

    mode = "files"
    name = "tree"
    contract = 1
    capabilities = frozenset({Capability.PLAN_EXECUTE, Capability.DRY_RUN, Capability.ROLLBACK, Capability.RECONCILE})

    def validate(self, stage: Stage, lifecycle: Declaration) -> list[Problem]:
        """What is wrong with `with` as written."""
        return faults(stage, lifecycle)

    def prepare(self, stage: Stage, place: StagePlace, cleanups: Cleanups) -> None:
        """Files need nothing made beforehand."""

    def plan(self, stage: Stage, lifecycle: Declaration, builder: GraphBuilder, prior: Prior) -> Mapping[str, Json]:
        """A node for each target, in the order of roots and paths, under an id that its path decides."""
        known = {key: builder.folded(value, _at(lifecycle, stage, key)) for key, value in stage.with_.items()}
        if not builder.problems:
            builder.problems += faults(replace(stage, with_=known), lifecycle)
        return {} if builder.problems else _Deployment(stage, lifecycle, builder, settings_of(known), prior).plan()


class _Place(Struct, frozen=True):
    """A target root: as slots have it, and where it is."""

    shown: str
    path: Path


class _Deployment:
    def __init__(
        self, stage: Stage, lifecycle: Declaration, builder: GraphBuilder, settings: FileSettings, prior: Prior
    ) -> None:
        self._stage = stage
        self._lifecycle = lifecycle
        self._builder = builder
        self._settings = settings
        self._site = builder.site
        self._prior = prior
        self._entries: dict[str, Entry] | None = None
        self._wheres = {layer: _at(lifecycle, stage, "sources", layer) for layer in settings.sources}
        self._timeout_ms = stage.timeout_ms if stage.timeout_ms is not None else lifecycle.defaults.timeout_ms

    def plan(self) -> Mapping[str, Json]:
        machine = self._machine()
        roots = {name: self._root(rule) for name, rule in self._settings.roots.items()}
        if machine is None:
            return {}
        found = self._found(machine)
        settlement = settle(found.candidates)
        for text in settlement.undecided:
            self._problem("sources", text, "give one of them a suffix, or put it into another layer")
        dirty = self._dirty(settlement)
        self._refuse_worktree(roots)
        if self._builder.problems:
            return {}
        self._builder.reading(self._patterns())
        folders = {name: self._folders(name, place) for name, place in roots.items()}
        for winner in settlement.winners:
            self._add(winner, roots[winner.root], folders[winner.root])
        return {
            "layers": layers_json(self._settings),
            "roots": {name: place.shown for name, place in roots.items()},
            "segments": dict(sorted(machine.custom.items())),
            "words": sorted(machine.words),
            "collisions": [collision.to_json() for collision in settlement.collisions],
            "left_out": [one.to_json() for one in found.left_out],
            "dirty": list(dirty),
        }

    # What is looked at.

    def _machine(self) -> Machine | None:
        platform = self._site.platform
        system, distribution = platform_words(platform.os, platform.distribution)
        try:
            custom = settled(self._settings.segments, {}, self._site.env)
        except UnknownSegment as error:
            self._problem("segments", str(error), error.hint)
            return None
        return Machine(system, platform.arch, distribution, custom)

    def _root(self, rule: RootRule) -> _Place:
        text = rule.path
        if text == "~" or text.startswith("~/"):
            text = str(self._site.home / text[2:])
        shown = os.path.normpath(text)
        place = Path(os.path.normpath(self._site.root / text))
        if not os.path.isabs(text) and not place.is_relative_to(self._site.root):
            self._problem("roots", f"root `{rule.path}` leads out of the workspace", "write an absolute path")
        return _Place(shown, place)

    def _found(self, machine: Machine) -> Found:
        tracked = None if self._settings.takes_dirty else self._site.tracked()
        sorting = Sorting(machine.words, tracked, self._settings.plain, self._settings.projects)
        found = walk(self._site.root, self._settings, sorting)
        for fault in found.faults:
            self._builder.problem(fault.text, fault.hint, self._wheres[fault.layer])
        return found

    def _dirty(self, settlement: Settlement) -> Sequence[str]:
        """The sources that differ from the commit; refused unless they are allowed."""
        sources = {winner.source for winner in settlement.winners}
        dirty = sorted(sources.intersection(self._site.changed()))
        if dirty and not self._settings.takes_dirty:
            shown = ", ".join(f"`{name}`" for name in dirty[:5]) + (" …" if len(dirty) > 5 else "")
            text = f"{len(dirty)} of the sources of stage `{self._stage.id}` differ from the commit: {shown}"
            self._problem("sources", text, "commit them, or write `dirty: allow`: the plan then says so")
        return dirty

    def _refuse_worktree(self, roots: Mapping[str, _Place]) -> None:
        """A link into a linked worktree leads nowhere once that is removed."""
        root = self._site.root
        if self._settings.how is not How.LINK or not (root / ".git").is_file():
            return
        outside = [name for name, place in roots.items() if not place.path.is_relative_to(root)]
        if outside:
            text = f"links of root `{outside[0]}` would lead into `{root}`, a linked worktree, which may be removed"
            self._problem(
                "how" if "how" in self._stage.with_ else "roots", text, "write `how: copy`, or run it in the main one"
            )

    def _patterns(self) -> tuple[str, ...] | None:
        folders = [os.path.normpath(folder) for folder in self._settings.sources.values()]
        if any(os.path.isabs(folder) or folder.startswith("..") or folder == "." for folder in folders):
            return None
        return tuple(f"{folder}/**" for folder in folders)

    # What is built.

    def _folders(self, root: str, place: _Place) -> Mapping[str, NodeHandle]:
        """Nodes for the folders of a root that `modes` names, `.ssh/`, by path."""
        made = {}
        for pattern, mode in self._settings.modes.items():
            if not pattern.endswith("/"):
                continue
            path = os.path.normpath(pattern)
            slots = {"path": _below(place, path), "mode": mode}
            options = self._options(_at(self._lifecycle, self._stage, "modes", pattern))
            made[path] = self._builder.add("file.mkdir", named_by_path(root, path), slots, options=options)
        return made

    def _add(self, one: Candidate, place: _Place, folders: Mapping[str, NodeHandle]) -> None:
        where = self._wheres[one.layer]
        name = named_by_path(one.root, one.path)
        mode, owner = self._chosen(self._settings.modes, one.path), self._chosen(self._settings.owners, one.path)
        is_link = not one.destined.makings and (
            one.is_link or (self._settings.how is How.LINK and mode is None and owner is None)
        )
        slots: dict[str, object] = {
            "path": _below(place, one.path),
            "within": place.shown,
            "on_conflict": self._settings.on_conflict.value,
        }
        content = self._content(one, name, str(slots["path"]), where)
        spares: dict[str, object]
        if is_link:
            action, slots["source"], spares = "file.link", one.source, {"unless_link_to": one.source}
        else:
            slots["mode"] = mode or (SECRET_MODE if one.destined.is_secret else f"{one.mode:04o}")
            slots["owner"] = owner
            if content is None:
                action, slots["source"], spares = "file.copy", one.source, {"unless_copy_of": one.source}
            else:
                action, slots["content"], spares = "file.write", content, {"unless_content": content}
        facts = self._facts(one, str(slots["path"]), is_link)
        needs = [folders[above] for above in _above(one.path) if above in folders]
        if self._settings.on_conflict is OnConflict.BACKUP:
            moved = self._builder.add(
                "file.backup",
                f"{name}=backup",
                {"path": slots["path"], "within": place.shown, **spares},
                options=self._options(where, facts),
            )
            needs.append(moved)
        options = self._options(where, facts, privileged=owner is not None)
        self._builder.add(action, name, slots, needs=needs, options=options)

    def _content(self, one: Candidate, name: str, path: str, where: Position) -> Promise | None:
        """The chain that makes the content of a target, wired by promises from its source on; None where nothing is made."""
        content: Promise | None = None
        for making in one.destined.makings:
            slots: dict[str, object] = {"source": one.source, "content": content}
            action = "encryption.decrypt"
            if making is Making.RENDER:
                action = "template.render"
                slots |= {"template_data": self._settings.data, "path": path, "project": one.project}
            made = self._builder.add(action, f"{name}={making.value}", slots, options=self._options(where))
            content = made.output("content")
        return content

    def _facts(self, one: Candidate, path: str, is_link: bool) -> Mapping[str, Json]:
        makings = "+".join(making.value for making in one.destined.makings)
        facts: dict[str, Json] = {
            "layer": one.layer,
            "project": one.project,
            "how": "link" if is_link else makings or "copy",
            "source": one.source,
        }
        if one.specificity:
            facts["specificity"] = one.specificity
        known = self._known(path)
        if known is not None and known.fingerprint:
            facts[REPLACES] = known.fingerprint
        return facts

    def _known(self, path: str) -> Entry | None:
        """What the state says of a target; it is asked only where something stands there that has to be told apart."""
        try:
            if not os.path.lexists(self._site.root / path):
                return None
        except OSError:
            return None
        if self._entries is None:
            self._entries = {entry.name: entry for entry in self._prior().existing("file")}
        return self._entries.get(os.path.normpath(path))

    def _options(
        self, where: Position, facts: Mapping[str, Json] | None = None, *, privileged: bool = False
    ) -> NodeOptions:
        return NodeOptions(
            position=where,
            lasting=self._stage.lasting is not False,
            timeout_ms=self._timeout_ms or 0,
            facts=facts or {},
            privileged=privileged,
        )

    def _chosen(self, patterns: Mapping[str, str], path: str) -> str | None:
        """What the last pattern that matches says."""
        found = [text for pattern, text in patterns.items() if fnmatchcase(path, pattern)]
        return found[-1] if found else None

    def _problem(self, key: str, text: str, hint: str) -> None:
        self._builder.problem(text, hint, _at(self._lifecycle, self._stage, key))


def _at(lifecycle: Declaration, stage: Stage, *keys: str) -> Position:
    return lifecycle.source.locate((*stage.path, "with", *keys), key=True)


def _below(place: _Place, path: str) -> str:
    return path if place.shown == "." else f"{place.shown}/{path}"


def _above(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]
