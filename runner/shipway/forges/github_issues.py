"""Issues of a GitHub repository: our own ones, written once, opened and closed. Decides nothing about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from shipway.canonical import Json, mapping
from shipway.forges import answers, limits
from shipway.forges.client import Answer, Client
from shipway.forges.forge import Author, Comment, ForgeError
from shipway.forges.issues import Issue
from shipway.redaction import Redacted

_PERMISSION = "give the job `permissions: {issues: write}`"


def own_issues(client: Client, repository: str, login: str) -> Sequence[Issue]:
    """Every issue that `login` has opened, over all pages; pull requests are issues too, and left out.

    Source: https://docs.github.com/en/rest/issues/issues#list-repository-issues
    """
    query: dict[str, str | int] = {"state": "all", "creator": login, "per_page": limits.PAGE_SIZE}
    found: list[Issue] = []
    try:
        for page in client.pages(f"{repository}/issues", query):
            listed = answers.objects(page.json(), page.url)
            found += [_issue(each) for each in listed if "pull_request" not in each]
    except ForgeError as error:
        raise error.asking(_PERMISSION) from error
    return tuple(found)


def create(client: Client, repository: str, title: str, body: Redacted, find: Callable[[], Sequence[Issue]]) -> Issue:
    """Opens an issue, once: after a lost answer `find` gives those among which it is looked for."""
    found: list[Issue] = []

    def landed() -> bool:
        found[:] = [issue for issue in find() if answers.is_same_text(issue.text.body, body)][-1:]
        return bool(found)

    answer = _write(client, "POST", f"{repository}/issues", {"title": title, "body": body}, landed)
    return _issue(mapping(answer.json())) if answer else found[0]


def edit(client: Client, repository: str, issue: Issue, changes: Mapping[str, Json]) -> Issue:
    """Changes members of an issue. Source: https://docs.github.com/en/rest/issues/issues#update-an-issue"""
    answer = _write(client, "PATCH", f"{repository}/issues/{issue.number}", changes, None)
    return _issue(mapping(answer.json())) if answer else issue


def _write(
    client: Client, method: str, path: str, body: Mapping[str, Json], landed: Callable[[], bool] | None
) -> Answer | None:
    try:
        return client.write(method, path, body, landed=landed)
    except ForgeError as error:
        raise error.asking(_PERMISSION) from error


def _issue(found: Mapping[str, Json]) -> Issue:
    user = found.get("user")
    author = None
    if isinstance(user, Mapping) and isinstance(user.get("id"), int):
        author = Author(answers.number(user, "id"), answers.text(user, "type"))
    text = Comment(
        id=answers.number(found, "id"),
        node_id=answers.text(found, "node_id"),
        author=author,
        body=str(found.get("body") or ""),
        url=answers.text(found, "html_url"),
        updated_at=answers.text(found, "updated_at"),
    )
    return Issue(answers.number(found, "number"), answers.text(found, "title"), found.get("state") == "open", text)
