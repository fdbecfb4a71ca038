"""The few GraphQL fields that Shipway uses, executed against GitHub's own schema of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from graphql import GraphQLError, GraphQLResolveInfo, GraphQLSchema, build_schema, graphql_sync

from tests.forge.contract import VENDOR
from tests.forge.world import Account, Grant, Pull, Submitted, World, Written


@cache
def _schema() -> GraphQLSchema:
    return build_schema((VENDOR / "schema.graphql").read_text("utf-8"))


APP = "github-actions"
"""The app that the tokens of jobs are of, which tells the checks."""


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

    def repository(
        self, _info: GraphQLResolveInfo[Any], owner: str, name: str, followRenames: bool = True
    ) -> Repository:
        """The one there is."""
        if f"{owner}/{name}" != self._world.repository:
            raise _denied("Could not resolve to a Repository")
        return Repository(self._world, self._grant)

    def minimizeComment(self, _info: GraphQLResolveInfo[Any], input: Mapping[str, str]) -> dict[str, object]:
        """Hides a comment, given the permission to write."""
        if self._grant.permissions.get("pull-requests") != "write":
            raise _denied("Resource not accessible by integration")
        found = self._world.node(input["subjectId"])
        if found is None:
            raise _denied("Could not resolve to a node with the global id")
        found.minimised = input["classifier"].lower()
        return {"minimizedComment": _comment(found)}


class Repository:
    """Resolves the fields of the repository, as far as the token may read them."""

    id = "R_1"

    def __init__(self, world: World, grant: Grant) -> None:
        self._world = world
        self._grant = grant

    def pullRequest(self, _info: GraphQLResolveInfo[Any], number: int) -> PullRequest:
        """One pull request."""
        if number not in self._world.pulls or "pull-requests" not in self._grant.permissions:
            raise _denied("Could not resolve to a PullRequest")
        return PullRequest(self._world, self._grant, self._world.pulls[number])


class PullRequest:
    """Resolves the fields of a pull request."""

    def __init__(self, world: World, grant: Grant, pull: Pull) -> None:
        self._world = world
        self._grant = grant
        self._pull = pull
        self.headRefOid = pull.head
        self.baseRef = _ref(world.branches.get(pull.base))

    def commits(self, _info: GraphQLResolveInfo[Any], last: int) -> dict[str, object]:
        """The head, which is all that is known of them."""
        assert last == 1
        return {"nodes": [{"commit": Commit(self._world, self._grant, self._pull.head)}]}

    def reviews(self, _info: GraphQLResolveInfo[Any], last: int) -> dict[str, object]:
        """The latest of them."""
        found = self._pull.reviews
        nodes = [self._review(review) for review in found[-last:]]
        return {"pageInfo": _page(before=len(found) > last), "nodes": nodes}

    def _review(self, review: Submitted) -> dict[str, object]:
        account = self._world.accounts.get(review.login)
        author = None
        if account is not None:  # GraphQL names a bot without the brackets that REST writes
            login = account.login.removesuffix("[bot]")
            author = {"__typename": account.type, "login": login, "databaseId": account.id}
        return {
            "fullDatabaseId": str(review.id),
            "state": review.state,
            "submittedAt": review.submitted_at,
            "author": author,
            "commit": Commit(self._world, self._grant, review.commit),
        }


class Commit:
    """Resolves the fields of a commit: of its checks those that job tokens told, in one suite."""

    def __init__(self, world: World, grant: Grant, oid: str) -> None:
        self.oid = oid
        self._world = world
        self._grant = grant

    def checkSuites(self, _info: GraphQLResolveInfo[Any], first: int, filterBy: Mapping[str, str]) -> dict[str, object]:
        """The suite that has such a check, or none."""
        if "checks" not in self._grant.permissions:
            raise _denied("Resource not accessible by integration")
        found = [
            {"text": told.document["output"].get("text"), "completedAt": told.at}
            for told in self._world.checks
            if told.commit == self.oid and told.document["name"] == filterBy["checkName"]
        ]

        def runs(_info: GraphQLResolveInfo[Any], first: int, filterBy: Mapping[str, str]) -> dict[str, object]:
            assert filterBy["checkType"] == "ALL"
            return {"pageInfo": _page(after=len(found) > first), "nodes": found[:first]}

        suite = {"__typename": "CheckSuite", "app": {"slug": APP}, "checkRuns": runs}
        return {"pageInfo": _page(), "nodes": [suite] if found else [], "totalCount": 1 if found else 0}


def execute(world: World, grant: Grant, document: Mapping[str, Any]) -> dict[str, Any]:
    """The answer's document: `data` and, where there are any, `errors`. A query that the schema lacks is an error too."""
    result = graphql_sync(
        _schema(), str(document.get("query")), Root(world, grant), variable_values=document.get("variables") or {}
    )
    answer: dict[str, Any] = {"data": result.data}
    if result.errors:
        answer["errors"] = [
            {"message": e.message, "type": (e.extensions or {}).get("type"), "path": e.path} for e in result.errors
        ]
    return answer


def is_valid(answer: Mapping[str, Any]) -> bool:
    """Whether every error is one that this module raised on purpose, so that the query itself fits the schema."""
    return all(error["type"] for error in answer.get("errors", ()))


def _denied(message: str) -> GraphQLError:
    return GraphQLError(message, extensions={"type": "FORBIDDEN"})


def _page(*, before: bool = False, after: bool = False) -> dict[str, bool]:
    return {"hasPreviousPage": before, "hasNextPage": after}


def _ref(commit: str | None) -> dict[str, object] | None:
    return {"target": {"__typename": "Commit", "oid": commit}} if commit else None


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
