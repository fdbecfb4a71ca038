"""Issues of the false GitHub: listed by who opened them, opened, edited and closed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.forge.contract import example
from tests.forge.world import Account, Filed, Grant, World

if TYPE_CHECKING:
    from tests.forge.server import Seen

Answer = tuple[int, Any]
"""A status and a document; of 403 the permission that is missing, of 404 nothing."""


def answer(world: World, seen: Seen, grant: Grant) -> Answer | None:
    """The answer to a request about issues; None for any other."""
    root = f"/repos/{world.repository}"
    routes: tuple[tuple[str, str, str, Callable[[World, Seen, Grant, str], Answer]], ...] = (
        ("GET", rf"{root}/issues()", "read", _listed),
        ("POST", rf"{root}/issues()", "write", _create),
        ("PATCH", rf"{root}/issues/(\d+)", "write", _edit),
    )
    for method, pattern, level, carry_out in routes:
        match = re.fullmatch(pattern, seen.path)
        if match and method == seen.method:
            has = grant.permissions.get("issues", "")
            return carry_out(world, seen, grant, match[1]) if has in (level, "write") else (403, f"issues={level}")
    return None


def _listed(world: World, seen: Seen, _grant: Grant, _: str) -> Answer:
    """The newest first; pull requests are among them."""
    creator, state = seen.query.get("creator", ""), seen.query.get("state", "open")
    found = [filed for filed in world.issues if creator in ("", filed.login) and state in ("all", filed.state)]
    documents = [_document(world, filed) for filed in reversed(found)]
    if world.pulls and creator:
        (pull,) = json.loads(example("issue-items"))
        documents.insert(0, pull | {"number": 7, "pull_request": pull.get("pull_request", {"url": None})})
    size, page = int(seen.query.get("per_page", "30")), int(seen.query.get("page", "1"))
    return 200, documents[(page - 1) * size : page * size]


def _create(world: World, seen: Seen, grant: Grant, _: str) -> Answer:
    sent = json.loads(seen.body)
    return 201, _document(world, world.issue(grant.login, sent["title"], sent["body"]))


def _edit(world: World, seen: Seen, _grant: Grant, number: str) -> Answer:
    filed = next((each for each in world.issues if each.number == int(number)), None)
    if filed is None:
        return 404, None
    sent = json.loads(seen.body)
    for name in ("title", "body", "state"):
        setattr(filed, name, sent.get(name, getattr(filed, name)))
    filed.updated_at, filed.edits = world.tick(), filed.edits + 1
    return 200, _document(world, filed)


def _document(world: World, filed: Filed) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(example("issue"))
    account = world.accounts.get(filed.login, Account(1, filed.login))
    document.pop("pull_request", None)
    document |= {
        "id": filed.number * 1000,
        "number": filed.number,
        "title": filed.title,
        "body": filed.body,
        "state": filed.state,
        "created_at": filed.created_at,
        "updated_at": filed.updated_at,
        "html_url": f"https://github.com/{world.repository}/issues/{filed.number}",
    }
    document["user"] |= {"login": account.login, "id": account.id, "type": account.type}
    return document
