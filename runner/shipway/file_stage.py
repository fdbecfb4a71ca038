"""One `files` stage being planned: its settings, roots and what the state says of it; what all of its actions share."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from shipway.action import ActionFailed
from shipway.builder import GraphBuilder
from shipway.builder_options import NodeHandle, NodeOptions
from shipway.canonical import Json
from shipway.declaration import Declaration, Stage
from shipway.errors import Position
from shipway.file_placing import confine, link_text
from shipway.file_settings import FileSettings, RootRule
from shipway.file_state import place_of, remembering
from shipway.nodes import Immediate, Promise
from shipway.state import Entry, Prior

_MADE = frozenset({"link", "copy", "write", "render", "decrypt"})
"""What fact `how` says of a file that a stage put there; it may say several, `decrypt+render`."""


class Place(Struct, frozen=True):
    """A target root: as slots have it, and where it is."""

    shown: str
    path: Path

    def below(self, path: str) -> str:
        """A path below it, as slots have it."""
        return path if self.shown == "." else f"{self.shown}/{path}"

    def inside(self, name: str) -> str | None:
        """The path below it of a file that records call `name`; None for any other."""
        if self.shown == ".":
            return None if os.path.isabs(name) else name
        return name.removeprefix(f"{self.shown}/") if name.startswith(f"{self.shown}/") else None


class FileStage:
    """What the actions of a stage know and may do: problems get a place, nodes get options, targets a root."""

    def __init__(
        self, stage: Stage, lifecycle: Declaration, builder: GraphBuilder, settings: FileSettings, prior: Prior
    ) -> None:
        self.stage = stage
        self.lifecycle = lifecycle
        self.builder = builder
        self.settings = settings
        self.site = builder.site
        self.roots = {name: self._root(rule) for name, rule in settings.roots.items()}
        self._prior = prior
        self._entries: dict[str, Entry] | None = None
        self.real = remembering()
        self._timeout_ms = stage.timeout_ms if stage.timeout_ms is not None else lifecycle.defaults.timeout_ms

    def at(self, *keys: str) -> Position:
        """Where a key of `with` stands."""
        return self.lifecycle.source.locate((*self.stage.path, "with", *keys), key=True)

    def problem(self, key: str, text: str, hint: str) -> None:
        """Report a mistake at a key of `with`."""
        self.builder.problem(text, hint, self.at(key))

    def options(
        self, where: Position, facts: Mapping[str, Json] | None = None, *, privileged: bool = False
    ) -> NodeOptions:
        """How every node of the stage is run."""
        return NodeOptions(
            position=where,
            lasting=self.stage.lasting is not False,
            timeout_ms=self._timeout_ms or 0,
            facts=facts or {},
            privileged=privileged,
        )

    def add(
        self,
        action: str,
        name: str,
        slots: Mapping[str, Json | Promise],
        *,
        needs: Iterable[NodeHandle] = (),
        options: NodeOptions,
    ) -> NodeHandle:
        """Add a node whose slots are values: a `${{` in the name of a file, or in an input, is nothing to be evaluated."""
        given = {
            slot: value if value is None or isinstance(value, Promise) else Immediate(value)
            for slot, value in slots.items()
        }
        return self.builder.add(action, name, given, needs=needs, options=options)

    @property
    def entries(self) -> Mapping[str, Entry]:
        """The files that the state says are there, by name."""
        if self._entries is None:
            self._entries = {entry.name: entry for entry in self._prior().existing("file")}
        return self._entries

    def known(self, path: str, source: str | None = None) -> Entry | None:
        """What the state says of a target; it is asked only where something stands there that has to be told apart.

        That is not so of a link to `source`, where that is what the target is to be.
        """
        try:
            if self._stands_as(path, source):
                return None
        except (OSError, ActionFailed):
            return None
        return self.entries.get(os.path.normpath(path))

    def _stands_as(self, path: str, source: str | None) -> bool:
        """Whether nothing stands at a target, or a link to `source`."""
        place = os.path.join(self.site.root, path)
        if source is None:
            return not os.path.lexists(place)
        try:
            text = os.readlink(place)
        except FileNotFoundError:
            return True
        except OSError:
            return not os.path.lexists(place)
        where = place_of(self.site.root, path, "path", self.real)
        return text == link_text(self.site.root, where, source, self.real)

    def own(self) -> dict[tuple[str, str], Entry]:
        """What this stage put below its roots and is there, by root and path, in that order; of the projects asked for."""
        found: dict[tuple[str, str], Entry] = {}
        wanted = self.settings.projects
        for entry in self.entries.values():
            made = set(str(entry.facts.get("how", "")).split("+"))
            node = entry.by.node if entry.by else ""
            if not node.startswith(f"{self.stage.id}/") or not made <= _MADE:
                continue
            if wanted is not None and entry.facts.get("project") not in wanted:
                continue
            for name, place in self.roots.items():
                path = place.inside(entry.name)
                if path is not None:
                    found[name, path] = entry
        return dict(sorted(found.items()))

    def confine(self, key: str, path: str, place: Place) -> bool:
        """Report at `key` a path that leads out of its root; whether it does not."""
        try:
            confine(os.path.normpath(self.site.root / path), path, str(place.path), place.shown)
        except ActionFailed as error:
            self.problem(key, str(error), "")
            return False
        return True

    def _root(self, rule: RootRule) -> Place:
        text = rule.path
        if text == "~" or text.startswith("~/"):
            text = str(self.site.home / text[2:])
        place = Path(os.path.normpath(self.site.root / text))
        if not os.path.isabs(text) and not place.is_relative_to(self.site.root):
            self.problem("roots", f"root `{rule.path}` leads out of the workspace", "write an absolute path")
        return Place(os.path.normpath(text), place)
