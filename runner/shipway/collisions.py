"""Which of several sources a target gets: the highest layer, then the most specific folder. Pure; every loser is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from shipway.canonical import Json
from shipway.file_names import Destined


class Candidate(Struct, frozen=True):
    """A source that asks for a target: `path` below `root`. `layer` is its name and `height` its place, 0 the lowest.

    `source` is relative to the workspace, or absolute. `is_link`: the source is itself a symbolic link.
    """

    root: str
    path: str
    source: str
    layer: str
    height: int
    project: str
    specificity: int
    destined: Destined
    mode: int = 0o644
    is_link: bool = False


class Collision(Struct, frozen=True):
    """Two sources of one target, and which of them it gets."""

    winner: Candidate
    loser: Candidate

    def to_json(self) -> Json:
        """`{"root", "path", "winner", "loser"}`, the last two with `layer`, `project`, `specificity`, `source`."""
        return {
            "root": self.winner.root,
            "path": self.winner.path,
            "winner": _side(self.winner),
            "loser": _side(self.loser),
        }


class Settlement(Struct, frozen=True):
    """The winners, by root and path; the losers; and what no rule can decide, as texts."""

    winners: tuple[Candidate, ...]
    collisions: tuple[Collision, ...]
    undecided: tuple[str, ...]


def settle(candidates: Iterable[Candidate]) -> Settlement:
    """Give each target to one candidate: layer before specificity. Two of one layer and specificity are undecided.

    So is a target that is a folder of another one. Roots are apart: one path in two of them is two targets.
    """
    asked: dict[tuple[str, str], list[Candidate]] = {}
    for candidate in candidates:
        asked.setdefault((candidate.root, candidate.path), []).append(candidate)
    winners, collisions, undecided = [], [], []
    for key in sorted(asked):
        ranked = asked[key]
        if len(ranked) > 1:
            ranked.sort(key=lambda one: (-one.height, -one.specificity, one.source))
            first, second = ranked[:2]
            if (first.height, first.specificity) == (second.height, second.specificity):
                undecided.append(
                    f"`{first.source}` and `{second.source}` both are for `{first.path}` of root `{first.root}`,"
                    f" from layer `{first.layer}` with specificity {first.specificity}"
                )
            collisions += [Collision(first, loser) for loser in ranked[1:]]
        winners.append(ranked[0])
    undecided += _folders_taken({(one.root, one.path): one for one in winners})
    return Settlement(tuple(winners), tuple(collisions), tuple(undecided))


def _folders_taken(winners: Mapping[tuple[str, str], Candidate]) -> list[str]:
    seen: set[tuple[str, str]] = set()
    found = []
    for root, path in winners:
        folder = path.rpartition("/")[0]
        while folder and (root, folder) not in seen:
            seen.add((root, folder))
            if (root, folder) in winners:
                inner, outer = winners[root, path], winners[root, folder]
                found.append(
                    f"`{outer.source}` is put where `{inner.source}` needs a folder: `{folder}` of root `{root}`"
                )
            folder = folder.rpartition("/")[0]
    return found


def _side(candidate: Candidate) -> Json:
    return {
        "layer": candidate.layer,
        "project": candidate.project,
        "specificity": candidate.specificity,
        "source": candidate.source,
    }
