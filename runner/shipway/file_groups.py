"""Which files of a `files` stage one node links together: many of one folder, about which nothing is special. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from shipway.collisions import Candidate
from shipway.node_ids import escaped, named_by_path

MANY = 16
"""So many files of one folder are linked by one node. Fewer have a node each, which costs little and can be left out by itself."""

VERY_MANY = 1_000
"""A stage with so many links has a node for each folder of them: nobody reads thousands of nodes, and they take their time."""


class Group(Struct, frozen=True):
    """Files of one folder that come from one folder of a layer, under their own names; `first` says what they share."""

    first: Candidate
    names: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Where they are put, below the root; empty for the root itself."""
        return self.first.path.rpartition("/")[0]

    @property
    def source(self) -> str:
        """Where they come from."""
        return _folder(self.first.source)

    @property
    def node_name(self) -> str:
        """`home+.config+nvim=base+nvim`: what goes to one folder may come from several layers, and projects of one."""
        project = self.source.removesuffix(f"/{self.folder}").rpartition("/")[2]
        return named_by_path(self.first.root, self.folder, f"={self.first.layer}+{escaped(project)}")

    @property
    def paths(self) -> Iterator[str]:
        """Where each is put, below the root."""
        inside = f"{self.folder}/" if self.folder else ""
        return (f"{inside}{name}" for name in self.names)


def grouped(winners: Iterable[Candidate], is_plain: Callable[[Candidate], bool]) -> tuple[list[Group], list[Candidate]]:
    """The groups among `winners`, and the others in their order. Only those that `is_plain` are taken together."""
    plain: dict[tuple[str, str, str], list[Candidate]] = {}
    others: list[Candidate] = []
    count = 0
    for one in winners:
        folder, _, name = one.path.rpartition("/")
        if one.source.endswith(f"/{name}") and is_plain(one):
            plain.setdefault((one.root, folder, _folder(one.source)), []).append(one)
            count += 1
        else:
            others.append(one)
    least = MANY if count < VERY_MANY else 2
    groups = []
    for files in plain.values():
        if len(files) < least:
            others += files
        else:
            groups.append(Group(files[0], tuple(one.path.rpartition("/")[2] for one in files)))
    return groups, sorted(others, key=lambda one: (one.root, one.path))


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
