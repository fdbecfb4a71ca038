"""Many links of one folder, each to the file of its name in another: where they are, what stands there. Changes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from shipway.action import ActionFailed, PlanWork, Work
from shipway.canonical import Json, object_of
from shipway.file_placing import confine, leads_alike, link_to, policy_of, refuse_other, stands_there
from shipway.file_records import FILE, normalised
from shipway.file_state import (
    LOOK,
    Kind,
    Real,
    fingerprint,
    kind_of,
    link_at,
    link_fingerprint,
    place_held,
    place_of,
    target_place,
)
from shipway.nodes import Change
from shipway.records import REPLACES_EACH, SPARED, Record


class Look(Struct, frozen=True):
    """What stands under each name: `linked` says what the link will, `alike` leads there in other words, by what it says.

    `others` are whatever else stands there.
    """

    linked: tuple[str, ...]
    alike: Mapping[str, str]
    missing: tuple[str, ...]
    others: Mapping[str, Kind]

    @property
    def is_done(self) -> bool:
        """Whether every link is there."""
        return not self.missing and not self.others

    @property
    def change(self) -> Change:
        """What making the links does, by the worst that it does to one of them."""
        if self.is_done:
            return Change.NOOP
        if any(kind is not Kind.LINK for kind in self.others.values()):
            return Change.REPLACE
        return Change.UPDATE if self.linked or self.alike or self.others else Change.CREATE


class Linking(Struct, frozen=True):
    """The links `names` of the normalised absolute `folder`, each to the file of its name in `source`, as absolute.

    Their texts are `target` with the name behind it. `path` and `origin` are the two folders as slots have them.
    """

    folder: str
    source: str
    target: str
    names: Sequence[str]
    path: str
    origin: str

    def at(self, name: str) -> str:
        """Where a link stands."""
        return f"{self.folder}/{name}"

    def text(self, name: str) -> str:
        """What a link says."""
        return f"{self.target}/{name}"

    def after(self, name: str) -> str:
        """The fingerprint of a link."""
        return link_fingerprint(self.text(name))

    def look(self) -> Look:
        """What stands there now. Raises OSError where that cannot be seen."""
        there = kinds_below(self.folder, self.names)
        linked, missing = [], []
        alike: dict[str, str] = {}
        others: dict[str, Kind] = {}
        for name in self.names:
            kind = there.get(name)
            led = link_at(f"{self.folder}/{name}") if kind is Kind.LINK else None
            if kind is None:
                missing.append(name)
            elif led == f"{self.target}/{name}":
                linked.append(name)
            elif led is not None and leads_alike(self.at(name), led, self.text(name)):
                alike[name] = led
            else:
                others[name] = kind
        return Look(tuple(linked), alike, tuple(missing), others)

    def without_source(self) -> str:
        """The first name that there is nothing to link to for; empty where there is none."""
        there = kinds_below(self.source, self.names)
        return next((name for name in self.names if name not in there), "")

    def refuse(self, others: Mapping[str, Kind], work: Work, restored: Callable[[str], str]) -> None:
        """Raises ActionFailed for what stands there and is neither to be replaced nor known to be ours.

        `restored` gives the fingerprint of what an attempt that was killed had replaced at a path: a plan that was made since
        found the link there, and knows nothing of it.
        """
        known = object_of(work.node.facts.get(REPLACES_EACH, {}))
        for name, kind in others.items():
            refuse_other(self.at(name), kind)
            ours = (known.get(name), restored(self.at(name)))
            is_ours = kind is not Kind.DIRECTORY and fingerprint(Path(self.at(name))) in ours
            if not is_ours and policy_of(work) != "overwrite":
                raise ActionFailed(
                    f"{stands_there(self.at(name), kind)}, which was not there when this was planned: plan again"
                )

    @contextmanager
    def opened(self, real: Real) -> Iterator[int]:
        """The folder, which is there, held by a descriptor: what is made by it is made there, whatever its path leads to by then.

        Raises ActionFailed where the path leads elsewhere by now than `real` said when it was found confined.
        """
        descriptor = os.open(self.folder, LOOK)
        try:
            if place_held(descriptor, self.folder) != real(self.folder):
                raise ActionFailed(f"`{self.folder}` was put in another place just now; nothing is linked there")
            yield descriptor
        finally:
            os.close(descriptor)

    def records(self, look: Look) -> tuple[Record, ...]:
        """That each link is there; those that were before `look` saw others missing are `spared`.

        In the words of `file_records.here`, which is asked for one thing at a time and takes longer than making a link.
        """
        folder, origin = named(self.path, ""), f"{self.origin}/"
        spared = frozenset() if look.is_done else {*look.linked, *look.alike}
        return tuple(
            Record(
                FILE,
                f"{folder}{name}",
                fingerprint=link_fingerprint(look.alike.get(name) or f"{self.target}/{name}"),
                facts={"how": "link", "source": f"{origin}{name}", **(_SPARED if name in spared else {})},
            )
            for name in self.names
        )


_SPARED: Mapping[str, Json] = {SPARED: True}


def named(folder: str, name: str) -> str:
    """How records name what is in a folder, which is given as a slot has it."""
    above = normalised(folder)
    return name if above == "." else f"{above.rstrip('/')}/{name}"


def linking_of(work: PlanWork | Work, real: Real) -> Linking:
    """The links of a node with slots `path`, `source`, `names` and `within`. Raises ActionFailed where one is refused."""
    inputs = work.inputs
    return linking_between(
        work.root, (inputs["path"], inputs["source"]), _names(inputs["names"]), real, inputs.get("within")
    )


def linking_between(
    root: Path, ends: tuple[Json, Json], names: Sequence[str], real: Real, within: Json = None
) -> Linking:
    """The links of one folder to what is in another, `ends` as slots have them. Raises ActionFailed where one is refused.

    All are in one folder: what is asked of the way to the first holds for each of them.
    """
    path, source = (f"{end}/{names[0]}" for end in ends)
    place = target_place(root, path, "path", real)
    if within is not None:
        confine(place, path, place_of(root, within, "within", real), within, real)
    there = place_of(root, source, "source", real)
    text = link_to(there, place, ends[1], real)
    behind = len(names[0]) + 1
    if not text.endswith(f"/{names[0]}"):
        raise ActionFailed(f"the links and what they lead to are in one folder: `{ends[1]}`")
    return Linking(place[:-behind], there[:-behind], text[:-behind], names, str(ends[0]), str(ends[1]))


def _names(value: Json) -> Sequence[str]:
    if not isinstance(value, list) or not value:
        raise ActionFailed("`names` is not set: it takes a list of names")
    for name in value:
        if not isinstance(name, str) or name in ("", ".", "..") or "/" in name or "\0" in name:
            raise ActionFailed(f"`names` holds `{name}`, which is no name of a file")
    if len(set(value)) < len(value):
        raise ActionFailed("`names` holds a name twice")
    return [str(name) for name in value]


def kinds_below(folder: str, names: Collection[str]) -> dict[str, Kind]:
    """What stands under those of `names` in a folder where anything does: it is read once, whatever it holds besides."""
    found: dict[str, Kind] = {}
    wanted = frozenset(names)
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name in wanted:
                    found[entry.name] = _kind(entry)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except PermissionError:  # who may not list it may still see what he can name
        kinds = {name: kind_of(f"{folder}/{name}") for name in names}
        return {name: kind for name, kind in kinds.items() if kind is not Kind.ABSENT}
    return found


def _kind(entry: os.DirEntry[str]) -> Kind:
    if entry.is_symlink():
        return Kind.LINK
    if entry.is_dir(follow_symlinks=False):
        return Kind.DIRECTORY
    return Kind.FILE if entry.is_file(follow_symlinks=False) else Kind.OTHER
