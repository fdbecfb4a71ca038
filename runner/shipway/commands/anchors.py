"""Who remembers, outside a chain of receipts, which of them was the last: the note of this checkout, and deployments on GitHub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from shipway.chain import Chain
from shipway.ci import Provider
from shipway.commands.stores import github_of
from shipway.context import Context
from shipway.declaration import Declaration, StateStore
from shipway.links import Anchor
from shipway.workspace import Workspace

NOTE = "the note in `.shipway/heads`"


def anchor_here(declared: Declaration, target: str, root: Path) -> Iterator[Anchor]:
    """The receipt that was kept here last; with a store of the state, only if that has it."""
    chain = Chain(Workspace(root), declared.name, target)
    head = chain.head()
    if declared.state.store is not StateStore.LOCAL:
        if head is not None and head.is_stored:
            yield Anchor(NOTE, head.digest)
    elif head is not None and (last := chain.last()) is not None:
        yield Anchor(NOTE, last)


def anchor_on_forge(lifecycle: str, target: str, context: Context) -> Iterator[Anchor]:
    """What the deployments of the target on GitHub name; nothing outside its jobs or without a token. Raises ForgeError."""
    ci = context.ci
    if ci is None or ci.provider is not Provider.GITHUB or ci.token is None:
        return
    if digest := github_of(ci, context).remembered(lifecycle, target):
        yield Anchor(f"the deployment of `{target}` on GitHub", digest)
