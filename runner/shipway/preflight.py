"""What stands where a plan writes, as values: found when planned, shown, and looked for again before it is executed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from shipway.canonical import Json, integer_of, integer_or_none, items_of, object_of, text_or_none
from shipway.errors import Reason, VerificationError


class Stands(StrEnum):
    """What stands at a path. `our-link` is one that the plan makes, or that the state says we made."""

    NONE = "none"
    FILE = "file"
    DIRECTORY = "directory"
    OTHER_LINK = "other-link"
    OUR_LINK = "our-link"
    UNREADABLE = "unreadable"
    OTHER = "other"


class Status(StrEnum):
    """How a target stands to its source and to what was put there before.

    `linked`, `copied`: as it is to be. `missing`: nothing is there. `stale`: as we left it, and the source is another by now.
    `modified`: changed since we left it, and the source is the same. `both-changed`: that, and the source is another.
    `conflict`: we never put it there. `orphan`: we did, and no tree has it any more. `to-adopt`: it becomes a source.
    """

    LINKED = "linked"
    COPIED = "copied"
    MISSING = "missing"
    STALE = "stale"
    MODIFIED = "modified"
    BOTH_CHANGED = "both-changed"
    CONFLICT = "conflict"
    ORPHAN = "orphan"
    TO_ADOPT = "to-adopt"


IN_THE_WAY = frozenset({Status.CONFLICT, Status.MODIFIED, Status.BOTH_CHANGED})
"""What is not ours to replace, unless the policy says so."""


class Finding(Struct, frozen=True):
    """What stands at one path that one node writes. `policy` is the word of its `on_conflict`, empty where it has none.

    `size` is that of a file in bytes, `target` where a link points. `fingerprint` is of what stands there, empty for nothing or
    where it cannot be read. A node that puts nothing there has no `status`.

    With `names` it is told of each of those in the folder `path` at once: nothing stands at any, or at each a link to the one of
    its name in the folder `target`.
    """

    node: str
    path: str
    stands: Stands
    status: Status | None = None
    policy: str = ""
    size: int | None = None
    target: str | None = None
    fingerprint: str = ""
    names: tuple[str, ...] = ()

    def each(self) -> Iterator[Finding]:
        """What is told of each path by itself."""
        if not self.names:
            yield self
        for name in self.names:
            target = None if self.target is None else f"{self.target}/{name}"
            path = name if self.path == "." else f"{self.path}/{name}"
            yield replace(self, path=path, target=target, names=())

    @property
    def count(self) -> int:
        """Of how many paths it tells."""
        return len(self.names) or 1

    @property
    def is_in_the_way(self) -> bool:
        """Whether something stands there that somebody else put or changed."""
        return self.status in IN_THE_WAY or self.stands is Stands.UNREADABLE

    @property
    def stops(self) -> bool:
        """Whether nothing may be run because of it."""
        return self.is_in_the_way and self.policy == "stop"

    @property
    def words(self) -> str:
        """What stands there: `a file of 8 bytes`."""
        match self.stands:
            case Stands.FILE:
                return f"a file of {self.size} bytes"
            case Stands.OTHER_LINK | Stands.OUR_LINK:
                return f"a link to {self.target}"
            case Stands.DIRECTORY:
                return "a directory"
            case Stands.NONE:
                return "nothing"
            case Stands.UNREADABLE:
                return "something that cannot be read"
        return "something that is no file"


def finding_json(finding: Finding) -> Json:
    """`{"node", "path", "stands", "status", "policy", "size", "target", "fingerprint", "names"}`."""
    return {
        "fingerprint": finding.fingerprint,
        "names": list(finding.names),
        "node": finding.node,
        "path": finding.path,
        "policy": finding.policy,
        "size": finding.size,
        "stands": finding.stands.value,
        "status": None if finding.status is None else finding.status.value,
        "target": finding.target,
    }


def finding_from_json(data: Mapping[str, Json]) -> Finding:
    """What `finding_json` wrote."""
    status = data["status"]
    return Finding(
        node=str(data["node"]),
        path=str(data["path"]),
        stands=Stands(str(data["stands"])),
        status=None if status is None else Status(str(status)),
        policy=str(data["policy"]),
        size=integer_or_none(data["size"]),
        target=text_or_none(data["target"]),
        fingerprint=str(data["fingerprint"]),
        names=tuple(map(str, items_of(data["names"]))),
    )


def refuse_conflicts(findings: Iterable[Finding]) -> None:
    """Raises VerificationError with every conflict where one of them stops the run."""
    stopping = [finding for finding in findings if finding.stops]
    if not stopping:
        return
    listed = "\n".join(f"  {each.node}: {each.words} stands at `{each.path}`" for each in stopping)
    raise VerificationError(
        f"something else stands in the place of {len(stopping)} of what is to be put there; nothing was started\n{listed}",
        reason=Reason.CONFLICT,
        next="move it away, adopt it, or say in `on_conflict` what to do: `backup`, `overwrite` or `skip`",
    )


def refuse_changed(before: Iterable[Finding], now: Iterable[Finding]) -> None:
    """Raises VerificationError where something else stands at a target than was planned with, unless it is done by now."""
    found, looked = list(before), list(now)
    same = set(found).intersection(looked)  # thousands of which no two words differ
    current = {(one.node, one.path): one for each in looked if each not in same for one in each.each()}
    changed = []
    for one in (one for each in found if each not in same for one in each.each()):
        other = current.get((one.node, one.path))
        if other is None or _same(one, other) or other.status in (Status.LINKED, Status.COPIED):
            continue
        changed.append(f"  {one.node}: {one.words} stood at `{one.path}`, and now {other.words}")
    if changed:
        listed = "\n".join(changed)
        raise VerificationError(
            f"what stands where the plan writes has changed since it was made; nothing was started\n{listed}",
            reason=Reason.TARGET_CHANGED,
            next="look at a new plan: `shipway plan`",
        )


def _same(one: Finding, other: Finding) -> bool:
    return (one.stands, one.size, one.target, one.fingerprint) == (
        other.stands,
        other.size,
        other.target,
        other.fingerprint,
    )


def described(before: Json) -> tuple[Stands, int | None, str | None, str]:
    """What an action's `before` says stands there: what, size, target and fingerprint; a link is `other-link`.

    The fingerprints are those of `file_state`.
    """
    if before is None:
        return Stands.NONE, None, None, ""
    said = object_of(before)
    match said.get("kind"):
        case "file":
            size = integer_of(said["size"])
            if "digest" not in said:
                return Stands.UNREADABLE, size, None, ""
            return Stands.FILE, size, None, f"file {said['mode']} {str(said['digest']).removeprefix('sha256:')}"
        case "link":
            return Stands.OTHER_LINK, None, str(said["target"]), ""
        case "directory":
            return Stands.DIRECTORY, None, None, f"directory {said['mode']}"
        case "unreadable":
            return Stands.UNREADABLE, None, None, ""
    return Stands.OTHER, None, None, ""
