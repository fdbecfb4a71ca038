"""Makes tests/vendor/github from Octokit's npm packages. Run by hand when the vendored data is to be renewed.

    cd "$(mktemp -d)" && npm init -y && npm i --ignore-scripts \\
        @octokit/openapi@23.0.2 @octokit/graphql-schema@15.26.1 @octokit/webhooks-examples@7.6.1
    python -m tests.tools.vendor_github ./node_modules/@octokit
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from graphql import (
    DefinitionNode,
    DocumentNode,
    EnumTypeDefinitionNode,
    FieldDefinitionNode,
    InputObjectTypeDefinitionNode,
    InterfaceTypeDefinitionNode,
    ListTypeNode,
    NamedTypeNode,
    NonNullTypeNode,
    ObjectTypeDefinitionNode,
    ScalarTypeDefinitionNode,
    TypeNode,
    assert_valid_schema,
    build_schema,
    parse,
    print_ast,
)

VENDOR = Path(__file__).resolve().parent.parent / "vendor" / "github"

REPOSITORY_PATHS = (
    "issues/{issue_number}/comments",
    "issues/comments/{comment_id}",
    "issues/{issue_number}/labels",
    "check-runs",
    "check-runs/{check_run_id}",
    "commits/{ref}/check-runs",
    "statuses/{sha}",
    "deployments",
    "deployments/{deployment_id}",
    "deployments/{deployment_id}/statuses",
    "pulls/{pull_number}",
    "pulls/{pull_number}/files",
    "actions/runs/{run_id}/artifacts",
    "actions/artifacts",
    "actions/artifacts/{artifact_id}/{archive_format}",
    "git/ref/{ref}",
    "contents/{path}",
    "pulls/{pull_number}/reviews",
    "environments/{environment_name}",
    "actions/runs",
    "actions/runs/{run_id}",
    "actions/runs/{run_id}/approvals",
    "collaborators/{username}/permission",
    "commits/{commit_sha}/pulls",
    "compare/{basehead}",
    "pulls",
    "actions/permissions",
    "actions/permissions/workflow",
    "actions/permissions/fork-pr-contributor-approval",
    "branches/{branch}/protection",
    "rules/branches/{branch}",
    "environments",
    "issues",
    "issues/{issue_number}",
)
PATHS = ("/rate_limit", "/repos/{owner}/{repo}", *(f"/repos/{{owner}}/{{repo}}/{path}" for path in REPOSITORY_PATHS))

GRAPHQL_FIELDS: dict[str, frozenset[str]] = {
    "Query": frozenset({"id", "viewer", "node", "nodes", "repository"}),
    "Mutation": frozenset({"minimizeComment"}),
    "Actor": frozenset({"login"}),
    "User": frozenset({"id", "login", "databaseId"}),
    "Bot": frozenset({"id", "login", "databaseId"}),
    "Repository": frozenset({"id", "pullRequest"}),
    "PullRequest": frozenset({"id", "headRefOid", "baseRef", "commits", "reviews"}),
    "PullRequestCommitConnection": frozenset({"nodes"}),
    "PullRequestCommit": frozenset({"id", "commit"}),
    "Ref": frozenset({"id", "target"}),
    "GitObject": frozenset({"id", "oid"}),
    "Commit": frozenset({"id", "oid", "checkSuites"}),
    "PullRequestReviewConnection": frozenset({"nodes", "pageInfo"}),
    "PageInfo": frozenset({"hasNextPage", "hasPreviousPage"}),
    "PullRequestReview": frozenset(
        {"id", "fullDatabaseId", "state", "submittedAt", "author", "commit", "isMinimized", "minimizedReason"}
    ),
    "CheckSuiteConnection": frozenset({"nodes", "pageInfo", "totalCount"}),
    "CheckSuiteFilter": frozenset({"appId", "checkName"}),
    "CheckSuite": frozenset({"id", "app", "checkRuns"}),
    "App": frozenset({"id", "slug"}),
    "CheckRunConnection": frozenset({"nodes", "pageInfo"}),
    "CheckRunFilter": frozenset({"appId", "checkName", "checkType"}),
    "CheckRun": frozenset({"id", "text", "completedAt"}),
    "IssueComment": frozenset({"id", "databaseId", "body", "isMinimized", "minimizedReason"}),
    "Node": frozenset({"id"}),
    "Minimizable": frozenset({"isMinimized", "minimizedReason"}),
    "MinimizeCommentPayload": frozenset({"clientMutationId", "minimizedComment"}),
    "MinimizeCommentInput": frozenset({"classifier", "clientMutationId", "subjectId"}),
}
GRAPHQL_WHOLE = frozenset(
    {
        "ReportedContentClassifiers",
        "PullRequestReviewState",
        "CheckRunType",
        "BigInt",
        "DateTime",
        "GitObjectID",
    }
)
"""Enumerations and scalars, as they are."""

PAYLOADS = {
    "pull_request.opened.json": ("pull_request", 0),
    "pull_request.synchronize.json": ("pull_request", 22),
    "pull_request.closed.json": ("pull_request", 3),
    "push.branch.json": ("push", 4),
    "push.tag.json": ("push", 0),
    "push.tag-deleted.json": ("push", 1),
    "workflow_run.completed.json": ("workflow_run", 2),
    "issue_comment.created.json": ("issue_comment", 0),
    "merge_group.checks_requested.json": ("merge_group", 0),
}


def main() -> None:
    """Reads the three packages below the folder given and writes the vendored files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", type=Path, help="node_modules/@octokit")
    packages: Path = parser.parse_args().packages
    whole = json.loads((packages / "openapi/generated/api.github.com.json").read_text("utf-8"))
    _write("openapi.json", openapi_subset(whole))
    (VENDOR / "schema.graphql").write_text(
        graphql_subset((packages / "graphql-schema/schema.graphql").read_text("utf-8"))
    )
    events = json.loads((packages / "webhooks-examples/api.github.com/index.json").read_text("utf-8"))
    by_name = {event["name"]: event["examples"] for event in events}
    for file, (event, index) in PAYLOADS.items():
        _write(f"webhooks/{file}", by_name[event][index])
    _write("webhooks/pull_request.fork.json", from_fork(by_name["pull_request"][0]))


def openapi_subset(whole: dict[str, Any]) -> dict[str, Any]:
    """The description with `PATHS` only, and of the components only those reached from them."""
    subset = {key: whole[key] for key in ("openapi", "info", "servers")}
    subset["paths"] = {path: whole["paths"][path] for path in PATHS}
    subset["components"] = {}
    waiting = list(_references(subset["paths"]))
    while waiting:
        _, _, kind, name = waiting.pop().split("/", 3)
        group = subset["components"].setdefault(kind, {})
        if name not in group:
            group[name] = whole["components"][kind][name]
            waiting.extend(_references(group[name]))
    # In order, so that one path more is told from one less.
    subset["components"] = {kind: dict(sorted(group.items())) for kind, group in sorted(subset["components"].items())}
    return subset


def graphql_subset(text: str) -> str:
    """The types of `GRAPHQL_FIELDS` with these fields, without directives and descriptions: a schema that builds."""
    kept = tuple(
        _trimmed(definition) for definition in parse(text, no_location=True).definitions if _is_kept(definition)
    )
    subset = print_ast(DocumentNode(definitions=kept)) + "\n"
    assert_valid_schema(build_schema(subset))
    return subset


def from_fork(payload: dict[str, Any]) -> dict[str, Any]:
    """The payload with a head repository of another owner, as GitHub sends it for a pull request from a fork."""
    fork = copy.deepcopy(payload)
    repository = fork["pull_request"]["head"]["repo"]
    repository |= {"id": 999000111, "full_name": "Stranger/Hello-World", "fork": True}
    repository["owner"] |= {"login": "Stranger", "id": 999000112}
    fork["pull_request"]["head"] |= {"label": "Stranger:changes", "user": repository["owner"]}
    return fork


def _references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for member in value.values():
            yield from _references(member)
    elif isinstance(value, list):
        for member in value:
            yield from _references(member)


def _is_kept(definition: DefinitionNode) -> bool:
    name = getattr(definition, "name", None)
    return name is not None and name.value in GRAPHQL_FIELDS.keys() | GRAPHQL_WHOLE


def _trimmed(definition: DefinitionNode) -> Any:
    if isinstance(definition, EnumTypeDefinitionNode):
        return replace(_bare(definition), values=tuple(_bare(value) for value in definition.values or ()))
    if isinstance(definition, ScalarTypeDefinitionNode):
        return _bare(definition)
    if isinstance(definition, InputObjectTypeDefinitionNode):
        wanted = GRAPHQL_FIELDS[definition.name.value]
        fields = tuple(_bare(field) for field in definition.fields or () if field.name.value in wanted)
        return replace(_bare(definition), fields=fields)
    assert isinstance(definition, ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode)
    wanted = GRAPHQL_FIELDS[definition.name.value]
    return replace(
        _bare(definition),
        interfaces=tuple(
            interface for interface in definition.interfaces or () if interface.name.value in GRAPHQL_FIELDS
        ),
        fields=tuple(_bare_field(field) for field in definition.fields or () if field.name.value in wanted),
    )


def _bare(node: Any) -> Any:
    return replace(node, description=None, directives=())


def _bare_field(field: FieldDefinitionNode) -> FieldDefinitionNode:
    arguments = tuple(_bare(argument) for argument in field.arguments or ())
    _refuse_unknown([_named(field.type), *(_named(argument.type) for argument in arguments)])
    bare: FieldDefinitionNode = replace(_bare(field), arguments=arguments)
    return bare


def _named(node: TypeNode) -> str:
    while isinstance(node, NonNullTypeNode | ListTypeNode):
        node = node.type
    assert isinstance(node, NamedTypeNode)
    return node.name.value


def _refuse_unknown(names: Iterable[str]) -> None:
    known = GRAPHQL_FIELDS.keys() | GRAPHQL_WHOLE | {"ID", "String", "Int", "Boolean"}
    if unknown := set(names) - known:
        raise SystemExit(f"add these types to GRAPHQL_FIELDS: {sorted(unknown)}")


def _write(name: str, value: object) -> None:
    path = VENDOR / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
