"""The few GraphQL fields that Shipway uses, executed against GitHub's own schema of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from graphql import GraphQLError, GraphQLResolveInfo, GraphQLSchema, build_schema, graphql_sync

from tests.forge.contract import VENDOR
from tests.forge.world import Account, Grant, World, Written


@cache
def _schema() -> GraphQLSchema:
    return build_schema((VENDOR / "schema.graphql").read_text("utf-8"))


class Root:
    """Resolves the root fields for the account of one token."""

    def __init__(self, world: World, grant: Grant) -> None:
        self._world = world
        self._grant = grant

    def viewer(self, _info: GraphQLResolveInfo[Any]) -> dict[str, object]:
        """The account of the token."""
        if not self._grant.tells_viewer:
            raise _denied("Resource not accessible by integration")
        return _user(self._world.accounts[self._grant.login])

    def node(self, _info: GraphQLResolveInfo[Any], id: str) -> dict[str, object] | None:
        """One comment, or null."""
        found = self._world.node(id)
        return _comment(found) if found else None

    def nodes(self, info: GraphQLResolveInfo[Any], ids: list[str]) -> list[dict[str, object] | None]:
        """Comments in the order of `ids`."""
        return [self.node(info, id) for id in ids]

    def minimizeComment(self, _info: GraphQLResolveInfo[Any], input: Mapping[str, str]) -> dict[str, object]:
        """Hides a comment, given the permission to write."""
        if self._grant.permissions.get("pull-requests") != "write":
            raise _denied("Resource not accessible by integration")
        found = self._world.node(input["subjectId"])
        if found is None:
            raise _denied("Could not resolve to a node with the global id")
        found.minimised = input["classifier"].lower()
        return {"minimizedComment": _comment(found)}


def execute(world: World, grant: Grant, document: Mapping[str, Any]) -> dict[str, Any]:
    """The answer's document: `data` and, where there are any, `errors`. A query that the schema lacks is an error too."""
    result = graphql_sync(
        _schema(), str(document.get("query")), Root(world, grant), variable_values=document.get("variables") or {}
    )
    answer: dict[str, Any] = {"data": result.data}
    if result.errors:
        answer["errors"] = [{"message": e.message, "type": (e.extensions or {}).get("type")} for e in result.errors]
    return answer


def is_valid(answer: Mapping[str, Any]) -> bool:
    """Whether every error is one that this module raised on purpose, so that the query itself fits the schema."""
    return all(error["type"] for error in answer.get("errors", ()))


def _denied(message: str) -> GraphQLError:
    return GraphQLError(message, extensions={"type": "FORBIDDEN"})


def _user(account: Account) -> dict[str, object]:
    return {"__typename": "User", "id": f"U_{account.id}", "login": account.login, "databaseId": account.id}


def _comment(written: Written) -> dict[str, object]:
    return {
        "__typename": "IssueComment",
        "id": written.node_id,
        "databaseId": written.id,
        "body": written.body,
        "isMinimized": bool(written.minimised),
        "minimizedReason": written.minimised or None,
    }
