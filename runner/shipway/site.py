"""Where a lifecycle is planned: the workspace and the machine, as a backend may know them. Values only."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, field

from shipway.context import Context, Platform
from shipway.repository import Repository
from shipway.segments import OVERRIDE


def _nothing() -> Sequence[str]:
    return ()


class Site(Struct, frozen=True):
    """What a backend may ask of the machine that it plans on, and nothing else of it.

    `root` is the workspace, `home` the home of who plans. `changed` gives the tracked files that differ from the commit.
    `tracked` gives those that git knows, None outside git. `tree` gives the git id of the tree that is planned, empty outside
    git. `env` holds the variables that set segments (`SHIPWAY_SEGMENT_…`), no other. `left` gives the nodes that earlier runs
    made of the environment that is planned and nothing has taken away since; it may raise StoreError.
    """

    root: Path = Path()
    home: Path = Path("/")
    platform: Platform = Platform("linux", "amd64", "")
    changed: Callable[[], Sequence[str]] = _nothing
    tracked: Callable[[], Collection[str] | None] = lambda: None
    tree: Callable[[], str] = lambda: ""
    env: Mapping[str, str] = field(default_factory=dict)
    left: Callable[[], Sequence[str]] = _nothing


def site_of(context: Context, repository: Repository, left: Callable[[], Sequence[str]] = _nothing) -> Site:
    """The site of a lifecycle that is planned in `repository`."""
    env = {name: value for name, value in context.env.items() if name.startswith(OVERRIDE)}
    return Site(
        root=repository.root,
        home=context.home,
        platform=context.platform,
        changed=lambda: repository.changed,
        tracked=lambda: repository.files.keys() if repository.is_git else None,
        tree=lambda: repository.tree or "",
        env=env,
        left=left,
    )
