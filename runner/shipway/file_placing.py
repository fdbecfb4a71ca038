"""Where a file may be put, in whose place, and for whom: what the actions that write a file ask first. Changes nothing."""

from __future__ import annotations

import os
import stat
from functools import lru_cache
from pathlib import Path

from shipway.action import ActionFailed, Done, Drifted, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.canonical import Json, object_of
from shipway.file_state import (
    Kind,
    Real,
    above_of,
    describe,
    fingerprint,
    is_inside,
    kind_of,
    link_at,
    place_of,
    real_end,
    real_folder,
    target_place,
)
from shipway.nodes import Change, Fidelity, Node

WITHIN = SlotRule(
    SlotType.STRING, description="the folder that `path` must not lead out of, by `..` or by a link on its way"
)
ON_CONFLICT = SlotRule(
    SlotType.STRING,
    description="what is done about something that stands at `path`: `overwrite` (the default) `stop` `backup` `skip`",
)
OWNER = SlotRule(SlotType.STRING, description="whose the file will be: `user` or `user:group`; needs privilege")

REPLACES = "replaces"
"""A node's fact: the fingerprint of what the state says stands at its path; that is ours, and no conflict."""

_POLICIES = ("overwrite", "stop", "backup", "skip")


def target_of(work: PlanWork | Work, real: Real = real_folder) -> Path:
    """The place that slot `path` names, for a change of what stands there. Raises ActionFailed where it leads out of `within`."""
    return confined_target(work, "path", "within", real)


def confined_target(work: PlanWork | Work, slot: str, within: str, real: Real = real_folder) -> Path:
    """As `confined_place`, whose text it makes a path of."""
    return Path(confined_place(work, slot, within, real))


def confined_place(work: PlanWork | Work, slot: str, within: str, real: Real) -> str:
    """The place that a slot names, inside the folder that the slot `within` names, if it does. Raises ActionFailed."""
    text, folder = work.inputs[slot], work.inputs.get(within)
    place = target_place(work.root, text, slot, real)
    if folder is not None:
        confine(place, text, place_of(work.root, folder, within, real), folder, real, slot)
    return place


def confine(place: str, text: Json, folder: str, shown: Json, real: Real = real_folder, slot: str = "path") -> None:
    """Raises ActionFailed where `place` is not below `folder`, links on its way followed; its last part is not."""
    if place == folder or not is_inside(place, folder):
        raise ActionFailed(f"`{slot}` `{text}` leads out of `{shown}`")
    above = above_of(place)
    if (led := real(above)) != above and not is_inside(led, bound := real(folder)):
        link = next(above for above in reversed(Path(place).parents) if above.is_symlink() and _leads_out(above, bound))
        raise ActionFailed(f"`{slot}` `{text}` leads out of `{shown}`: `{link}` is a link to `{link.readlink()}`")


def refuse_led_away(work: Work) -> None:
    """Raises Drifted where the way to what a node changed leads out of its root by now: what stands there is somebody else's."""
    inputs, names = work.inputs, work.inputs.get("names")
    inside = {"path": f"/{names[0]}" if isinstance(names, list) and names else "", "prefix": "/member"}
    for slot, within in (("path", "within"), ("prefix", "within"), ("source", "source_within")):
        text, folder = inputs.get(slot), inputs.get(within)
        if not isinstance(text, str) or (slot == "source" and folder is None):
            continue
        try:
            place = place_of(work.root, f"{text}{inside.get(slot, '')}", slot)
            if folder is not None:
                confine(place, text, place_of(work.root, folder, within), folder, slot=slot)
        except ActionFailed as error:
            where = str(error).partition("; ")[0]
            raise Drifted(f"{where} by now; what is there is left alone") from error


def _leads_out(link: Path, real: str) -> bool:
    return not is_inside(os.path.realpath(link), real)


def refuse_other(path: Path | str, kind: Kind) -> None:
    """Raises ActionFailed for a pipe, a socket or a device."""
    if kind is Kind.OTHER:
        raise ActionFailed(f"`{path}` is a pipe, a socket or a device, which is not replaced")


def seen(path: Path | str) -> Kind | Prediction:
    """What stands at a node's place; the node's prediction where that cannot be looked at."""
    try:
        return kind_of(path)
    except PermissionError as error:
        why = f"what stands there cannot be seen: permission denied: `{error.filename}`"
        return Prediction(Change.REPLACE, Fidelity.OPAQUE, why=why, before={"kind": "unreadable"}, reversible=True)


def link_text(root: Path, path: Path | str, source: Json, real: Real = real_folder) -> str:
    """What a link at `path` to slot `source` says: relative for a relative one, so that the workspace can be moved."""
    return link_to(place_of(root, source, "source", real), str(path), source, real)


def link_to(place: str, path: str, source: Json, real: Real = real_folder) -> str:
    """As `link_text`, where it is known at which place slot `source` is."""
    if path == place:
        raise ActionFailed(f"the link and what it leads to are the same: `{source}`")
    if str(source).startswith("/"):
        return place
    end, start = real_end(place, real), real(above_of(path))
    if is_inside(start, end):
        return _relative(end, start)
    above, _, name = end.rpartition("/")
    there = _relative(above or "/", start)
    return name if there == "." else f"{there}/{name}"


@lru_cache(maxsize=256)
def _relative(path: str, start: str) -> str:
    """As `os.path.relpath` of two paths that are absolute and normalised, which thousands of links ask for."""
    there, here = (text.strip("/").split("/") if text.strip("/") else [] for text in (path, start))
    shared = next((at for at, (one, other) in enumerate(zip(there, here, strict=False)) if one != other), None)
    shared = min(len(there), len(here)) if shared is None else shared
    return "/".join([*[".."] * (len(here) - shared), *there[shared:]]) or "."


def leads_to(path: Path | str, target: str) -> bool:
    """Whether `path` is a link to where a link there with this text would lead, in whatever words."""
    led = link_at(path)
    return led is not None and leads_alike(path, led, target)


def leads_alike(path: Path | str, led: str, target: str) -> bool:
    """Whether two texts of a link at `path` lead to one place."""
    return led == target or _led_to(path, led) == _led_to(path, target)


def _led_to(path: Path | str, target: str) -> str:
    return os.path.normpath(os.path.join(real_folder(os.path.dirname(path)), target))


def policy_of(work: PlanWork | Work) -> str:
    """The word in slot `on_conflict`. Raises ActionFailed for one that is none."""
    word = str(work.inputs.get("on_conflict", "overwrite"))
    if word not in _POLICIES:
        raise ActionFailed(f"`on_conflict` is `{word}`: it is one of " + ", ".join(f"`{known}`" for known in _POLICIES))
    return word


def is_ours(node: Node, path: Path | str) -> bool:
    """Whether what stands at `path` is what the state says that we put there.

    A folder never is: its fingerprint says nothing of what is in it.
    """
    known = node.facts.get(REPLACES)
    try:
        return known is not None and kind_of(path) is not Kind.DIRECTORY and known == fingerprint(Path(path))
    except PermissionError:
        return False


def left_alone(work: PlanWork, path: Path | str, kind: Kind) -> Prediction | None:
    """The prediction of a node that leaves what stands in its place alone, as `on_conflict: skip` says; else None.

    Asked where something has to be done. `before` then holds `left_alone`.
    """
    if policy_of(work) != "skip" or kind is Kind.ABSENT or is_ours(work.node, path):
        return None
    before = {**object_of(describe(path, kind=kind)), "left_alone": True}
    return Prediction(Change.NOOP, Fidelity.EXACT, why=f"left alone: {stands_there(path, kind)}", before=before)


def decided(work: Work, path: Path | str, kind: Kind) -> Done | None:
    """How a node ends that finds something else in its place: skipped; None where it may go on.

    Raises ActionFailed where the policy is to stop, or where a backup should have moved it: it came there since the plan was made.
    """
    policy = policy_of(work)
    if policy == "overwrite" or kind is Kind.ABSENT or is_ours(work.node, path):
        return None
    if policy == "skip":
        return Done(skipped=stands_there(path, kind), change=Change.NOOP)
    raise ActionFailed(f"{stands_there(path, kind)}, which was not there when this was planned: plan again")


def stands_there(path: Path | str, kind: Kind | None = None) -> str:
    """What stands at a path, in words: "a file of 8 bytes stands at `/a/b`"."""
    kind = kind_of(path) if kind is None else kind
    match kind:
        case Kind.FILE:
            what = f"a file of {os.lstat(path).st_size} bytes"
        case Kind.LINK:
            what = f"a link to `{os.readlink(path)}`"
        case Kind.DIRECTORY:
            what = "a directory"
        case _:
            what = "something that is no file"
    return f"{what} stands at `{path}`"


def owner_ids(work: PlanWork | Work) -> tuple[int, int] | None:
    """The numbers of user and group in slot `owner`, the group -1 where none is named; None where the slot is not set.

    Raises ActionFailed for a name that this machine does not know.
    """
    text = work.inputs.get("owner")
    if text is None:
        return None
    import grp  # late: few files have an owner
    import pwd

    user, _, group = str(text).partition(":")
    try:
        uid = int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid
        gid = -1 if not group else int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise ActionFailed(f"`owner` is `{text}`, which this machine does not know") from error
    return uid, gid


def is_owned(path: Path, owner: tuple[int, int] | None) -> bool:
    """Whether a file is as `owner_ids` says; any is where that is None."""
    if owner is None:
        return True
    found = path.lstat()
    return found.st_uid == owner[0] and owner[1] in (-1, found.st_gid)


def give(path: Path, owner: tuple[int, int] | None, mode: str) -> None:
    """Give a new file to its owner. Raises ActionFailed where the system does not permit it.

    Whoever owns the folder can put something else in its place meanwhile: neither a link is followed nor a second name given.
    """
    if owner is None or is_owned(path, owner):
        return
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ActionFailed(f"`{path}` is not what was put there: {(error.strerror or '').lower()}") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise ActionFailed(f"`{path}` is not what was put there")
        os.fchown(descriptor, *owner)
        os.fchmod(descriptor, int(mode, 8))
    except PermissionError as error:
        who = f"user {owner[0]}" + ("" if owner[1] < 0 else f", group {owner[1]}")
        text = f"`{path}` cannot be given to {who}: run it as root, or leave its owner out"
        raise ActionFailed(text, is_permanent=True) from error
    finally:
        os.close(descriptor)
