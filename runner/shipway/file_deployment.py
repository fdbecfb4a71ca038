"""A `files` stage that deploys: the layers' winners become one node for each target, and what its content needs before it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from msgspec.structs import replace

from shipway.action import ActionFailed
from shipway.builder_options import NodeHandle
from shipway.canonical import Json
from shipway.collisions import Candidate, Settlement, settle
from shipway.declaration import OutputRule
from shipway.errors import Position, did_you_mean
from shipway.file_groups import Group, grouped
from shipway.file_linking import linking_between, named
from shipway.file_names import Making
from shipway.file_placing import REPLACES
from shipway.file_retirement import retire
from shipway.file_settings import Doing, How, OnConflict
from shipway.file_stage import FileStage, Place
from shipway.file_trees import UNTRACKED, Found, Sorting, layers_json, walk
from shipway.node_ids import named_by_path
from shipway.nodes import Promise
from shipway.records import REPLACES_EACH
from shipway.segments import Machine, UnknownSegment, platform_words, settled

SECRET_MODE = "0600"
"""Of a file whose source is encrypted, where `modes` says nothing else."""


class Deployment:
    """Plans the nodes that put files where they belong."""

    def __init__(self, on: FileStage) -> None:
        self._on = on
        self._wheres = {layer: on.at("sources", layer) for layer in on.settings.sources}

    def plan(self) -> Mapping[str, Json]:
        """Add the nodes. Returns the stage's context; nothing of either where there are problems."""
        machine = self._machine()
        roots = self._on.roots
        if machine is None:
            return {}
        found = self._found(machine)
        settlement = settle(found.candidates)
        for text in settlement.undecided:
            self._on.problem("sources", text, "give one of them a suffix, or put it into another layer")
        dirty = self._dirty(settlement)
        self._refuse_worktree()
        if self._on.builder.problems:
            return {}
        self._on.builder.reading(self._patterns())
        added = self._added(settlement.winners)
        retired = []
        if self._on.settings.action is Doing.RECONCILE:
            retired = retire(self._on, added, {one.source for one in found.left_out if one.why == UNTRACKED})
        return {
            "retired": list(retired),
            "layers": layers_json(self._on.settings),
            "roots": {name: place.shown for name, place in roots.items()},
            "segments": dict(sorted(machine.custom.items())),
            "words": sorted(machine.words),
            "collisions": [collision.to_json() for collision in settlement.collisions],
            "left_out": [one.to_json() for one in found.left_out],
            "dirty": list(dirty),
        }

    # What is looked at.

    def _machine(self) -> Machine | None:
        platform = self._on.site.platform
        system, distribution = platform_words(platform.os, platform.distribution)
        try:
            custom = settled(self._on.settings.segments, {}, self._on.site.env)
        except UnknownSegment as error:
            self._on.problem("segments", str(error), error.hint)
            return None
        return Machine(system, platform.arch, distribution, custom)

    def _found(self, machine: Machine) -> Found:
        tracked = None if self._on.settings.takes_dirty else self._on.site.tracked()
        sorting = Sorting(machine.words, tracked, self._on.settings.plain, self._on.settings.projects)
        found = walk(self._on.site.root, self._on.settings, sorting)
        for fault in found.faults:
            self._on.builder.problem(fault.text, fault.hint, self._wheres[fault.layer])
        for name in self._on.settings.projects or ():
            if name not in found.projects:
                guess = did_you_mean(name, found.projects) or "write the name of a folder in a layer, without suffixes"
                self._on.problem("projects", f"no layer has a project `{name}`", guess)
        return found

    def _dirty(self, settlement: Settlement) -> Sequence[str]:
        """The sources that differ from the commit; refused unless they are allowed."""
        sources = {winner.source for winner in settlement.winners}
        dirty = sorted(sources.intersection(self._on.site.changed()))
        if dirty and not self._on.settings.takes_dirty:
            shown = ", ".join(f"`{name}`" for name in dirty[:5]) + (" …" if len(dirty) > 5 else "")
            text = f"{len(dirty)} of the sources of stage `{self._on.stage.id}` differ from the commit: {shown}"
            self._on.problem("sources", text, "commit them, or write `dirty: allow`: the plan then says so")
        return dirty

    def _refuse_worktree(self) -> None:
        """A link into a linked worktree leads nowhere once that is removed."""
        root = self._on.site.root
        if self._on.settings.how is not How.LINK or not (root / ".git").is_file():
            return
        outside = [name for name, place in self._on.roots.items() if not place.path.is_relative_to(root)]
        if outside:
            text = f"links of root `{outside[0]}` would lead into `{root}`, a linked worktree, which may be removed"
            self._on.problem(
                "how" if "how" in self._on.stage.with_ else "roots",
                text,
                "write `how: copy`, or run it in the main one",
            )

    def _patterns(self) -> tuple[str, ...] | None:
        folders = [os.path.normpath(folder) for folder in self._on.settings.sources.values()]
        if any(os.path.isabs(folder) or folder.startswith("..") or folder == "." for folder in folders):
            return None
        return tuple(f"{folder}/**" for folder in folders)

    # What is built.

    def _folders(self, root: str, place: Place) -> Mapping[str, NodeHandle]:
        """Nodes for the folders of a root that `modes` names, `.ssh/`, by path."""
        made = {}
        for pattern, mode in self._on.settings.modes.items():
            if not pattern.endswith("/"):
                continue
            path = os.path.normpath(pattern)
            slots = {"path": place.below(path), "mode": mode}
            options = self._on.options(self._on.at("modes", pattern))
            made[path] = self._on.add("file.mkdir", named_by_path(root, path), slots, options=options)
        return made

    def _added(self, winners: Sequence[Candidate]) -> Mapping[tuple[str, str], NodeHandle]:
        """The nodes that put the winners there, by root and path: one for many links of a folder, else one for each."""
        roots = self._on.roots
        folders = {name: self._folders(name, place) for name, place in roots.items()}
        groups, others = grouped(winners, self._is_plain)
        added: dict[tuple[str, str], NodeHandle] = {}
        for group in groups:
            root = group.first.root
            made = self._add_group(group, roots[root], folders[root])
            added |= {(root, path): made for path in group.paths}
        return added | {(one.root, one.path): self._add(one, roots[one.root], folders[one.root]) for one in others}

    def _is_plain(self, one: Candidate) -> bool:
        """Whether it is a link that nothing is special about. What is moved aside, or left alone, has a node to say so."""
        return self._on.settings.on_conflict is OnConflict.STOP and self._is_link(one)

    def _is_link(self, one: Candidate) -> bool:
        settings = self._on.settings
        if one.destined.makings or one.is_link:
            return not one.destined.makings
        return (
            settings.how is How.LINK
            and self._chosen(settings.modes, one.path) is None
            and self._chosen(settings.owners, one.path) is None
        )

    def _add_group(self, group: Group, place: Place, folders: Mapping[str, NodeHandle]) -> NodeHandle:
        first = group.first
        path = place.below(group.folder) if group.folder else place.shown
        slots: dict[str, Json | Promise] = {
            "path": path,
            "source": group.source,
            "names": list(group.names),
            "within": place.shown,
            "on_conflict": self._on.settings.on_conflict.value,
        }
        facts: dict[str, Json] = {"layer": first.layer, "project": first.project, "how": "link"}
        if first.specificity:
            facts["specificity"] = first.specificity
        if known := self._replaced(group, path):
            facts[REPLACES_EACH] = known
        needs = [folders[above] for above in _above(first.path) if above in folders]
        title = f"{len(group.names)} links in {path}"
        options = replace(self._on.options(self._wheres[first.layer], facts), title=title)
        return self._on.add("file.links", group.node_name, slots, needs=needs, options=options)

    def _replaced(self, group: Group, path: str) -> dict[str, Json]:
        """What the state says of those in whose places something else stands: their fingerprints by name."""
        if not os.path.isdir(os.path.join(self._on.site.root, path)):
            return {}
        try:
            ends = (path, group.source)
            look = linking_between(self._on.site.root, ends, group.names, self._on.real).look()
        except (OSError, ActionFailed):
            return {}
        entries = {name: self._on.entries.get(named(path, name)) for name in look.others}
        return {name: entry.fingerprint for name, entry in entries.items() if entry is not None and entry.fingerprint}

    def _add(self, one: Candidate, place: Place, folders: Mapping[str, NodeHandle]) -> NodeHandle:
        where = self._wheres[one.layer]
        name = named_by_path(one.root, one.path)
        mode, owner = self._chosen(self._on.settings.modes, one.path), self._chosen(self._on.settings.owners, one.path)
        is_link = self._is_link(one)
        slots: dict[str, Json | Promise] = {
            "path": place.below(one.path),
            "within": place.shown,
            "on_conflict": self._on.settings.on_conflict.value,
        }
        content = self._content(one, name, str(slots["path"]), where)
        spares: dict[str, Json | Promise]
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
        if self._on.settings.on_conflict is OnConflict.BACKUP:
            moved = self._on.add(
                "file.backup",
                f"{name}=backup",
                {"path": slots["path"], "within": place.shown, **spares},
                options=self._on.options(where, facts),
            )
            needs.append(moved)
        options = self._on.options(where, facts, privileged=owner is not None)
        return self._on.add(action, name, slots, needs=needs, options=options)

    def _content(self, one: Candidate, name: str, path: str, where: Position) -> Promise | None:
        """The chain that makes the content of a target, wired by promises from its source on; None where nothing is made."""
        content: Promise | None = None
        for making in one.destined.makings:
            slots: dict[str, Json | Promise] = {"source": one.source, "content": content}
            action = "encryption.decrypt"
            if making is Making.RENDER:
                action = "template.render"
                slots |= {"template_data": self._on.settings.data, "path": path, "project": one.project}
            options = self._on.options(where)
            if one.destined.is_secret:
                # What is rendered out of something decrypted is as secret as that.
                options = replace(options, outputs={"content": OutputRule("secret")})
            made = self._on.add(action, f"{name}={making.value}", slots, options=options)
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
        known = self._on.known(path, one.source if is_link else None)
        if known is not None and known.fingerprint:
            facts[REPLACES] = known.fingerprint
        return facts

    def _chosen(self, patterns: Mapping[str, str], path: str) -> str | None:
        """What the last pattern that matches says."""
        if not patterns:
            return None  # thousands of files ask
        found = [text for pattern, text in patterns.items() if fnmatchcase(path, pattern)]
        return found[-1] if found else None


def _above(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]
