"""Identity tokens for steps that ask for one: what a place that gives them out is asked, and under which name a step has it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeAlias

from shipway.errors import UsageError
from shipway.nodes import Node

ID_TOKEN = "SHIPWAY_ID_TOKEN"
"""The variable that holds the token of a step which says `oidc`."""


class Issuer(Protocol):
    """Who says to others what this run is, and signs it."""

    def token(self, audience: str) -> str:
        """A token for an audience that is good for some minutes yet. Raises UnreachableError."""


Identify: TypeAlias = Callable[[str], str]
"""Gives a token for an audience, which is masked from then on."""


def asking(nodes: Iterable[Node]) -> list[Node]:
    """The nodes that want a token, those that are added while they run among them."""
    return [each for node in nodes for each in (node, *node.all_templates()) if each.oidc]


def no_issuer(audience: str) -> UsageError:
    """The refusal where nobody gives out identities."""
    return UsageError(
        f"an identity token for `{audience}` is needed, and nobody gives one out here",
        next="on GitHub give the job `permissions: {id-token: write}`; elsewhere run without this step; nothing was started",
    )
