"""Which files of a `files` stage one node links together: many of one folder, about which nothing is special. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from shipway.collisions import Candidate
from shipway.node_ids import escaped, named_by_path

MANY = 16
"""So many files of one folder are linked by one node. Fewer have a node each, which costs little and can be left out by itself."""


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
    found: dict[tuple[str, str, str], list[Candidate]] = {}
    for one in winners:
        folder, _, name = one.path.rpartition("/")
        if one.source.endswith(f"/{name}") and is_plain(one):
            found.setdefault((one.root, folder, _folder(one.source)), []).append(one)
        else:
            found.setdefault((one.root, one.path, one.source), []).append(one)
    groups = []
    others = []
    for files in found.values():
        if len(files) >= MANY:
            groups.append(Group(files[0], tuple(one.path.rpartition("/")[2] for one in files)))
        else:
            others += files
    return groups, sorted(others, key=lambda one: (one.root, one.path))


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
