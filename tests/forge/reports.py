"""Check runs and deployments of the false GitHub."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.forge.contract import example
from tests.forge.world import Announced, Grant, Told, World

if TYPE_CHECKING:
    from tests.forge.server import Seen

Answer = tuple[int, Any]
"""A status and a document; of 403 the permission that is missing, of 404 nothing."""


def answer(world: World, seen: Seen, grant: Grant) -> Answer | None:
    """The answer to a request about check runs or deployments; None for any other."""
    root = f"/repos/{world.repository}"
    routes: tuple[tuple[str, str, str, Callable[[World, Seen, str], Answer]], ...] = (
        ("POST", rf"{root}/check-runs()", "checks=write", _create_check),
        ("PATCH", rf"{root}/check-runs/(\d+)", "checks=write", _update_check),
        ("GET", rf"{root}/commits/([^/]+)/check-runs", "checks=read", _checks),
        ("POST", rf"{root}/deployments()", "deployments=write", _create_deployment),
        ("GET", rf"{root}/deployments()", "deployments=read", _deployments),
        ("DELETE", rf"{root}/deployments/(\d+)", "deployments=write", _delete_deployment),
        ("POST", rf"{root}/deployments/(\d+)/statuses", "deployments=write", _create_status),
        ("GET", rf"{root}/deployments/(\d+)/statuses", "deployments=read", _statuses),
    )
    for method, pattern, needed, carry_out in routes:
        match = re.fullmatch(pattern, seen.path)
        if match and method == seen.method:
            name, _, level = needed.partition("=")
            has = grant.permissions.get(name, "")
            return carry_out(world, seen, match[1]) if has in (level, "write") else (403, needed)
    return None


def _create_check(world: World, seen: Seen, _: str) -> Answer:
    sent = json.loads(seen.body)
    world.next_id += 1
    told = Told(world.next_id, sent["head_sha"], sent, at=world.now)
    told.annotations += sent.get("output", {}).pop("annotations", [])
    world.checks.append(told)
    return 201, _check(told)


def _update_check(world: World, seen: Seen, number: str) -> Answer:
    told = next((each for each in world.checks if each.id == int(number)), None)
    if told is None:
        return 404, None
    sent = json.loads(seen.body)
    told.annotations += sent.get("output", {}).pop("annotations", [])
    told.document |= sent
    return 200, _check(told)


def _checks(world: World, seen: Seen, commit: str) -> Answer:
    """The latest of each name, the newest first."""
    latest = {told.document["name"]: told for told in world.checks if told.commit == commit}
    wanted = seen.query.get("check_name")
    listed = [told for name, told in latest.items() if wanted in (None, name)]
    listed.sort(key=lambda told: told.id, reverse=True)
    page = listed[: int(seen.query.get("per_page", "30"))]
    return 200, {"total_count": len(listed), "check_runs": [_check(told) for told in page]}


def _check(told: Told) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(example("check-run-example-of-completed-conclusion"))
    sent = told.document
    document |= {key: sent[key] for key in ("name", "external_id", "conclusion") if key in sent}
    document |= {"id": told.id, "head_sha": told.commit, "html_url": f"https://github.com/octo/shop/runs/{told.id}"}
    document["completed_at"] = told.at
    document["output"] |= {"title": sent["output"]["title"], "summary": sent["output"]["summary"]}
    document["output"]["text"] = sent["output"].get("text")
    document["output"]["annotations_count"] = len(told.annotations)
    document["pull_requests"] = []
    return document


def _create_deployment(world: World, seen: Seen, _: str) -> Answer:
    world.next_id += 1
    made = Announced(world.next_id, json.loads(seen.body))
    world.deployments.append(made)
    return 201, _deployment(made)


def _deployments(world: World, seen: Seen, _: str) -> Answer:
    wanted, environment = seen.query.get("sha"), seen.query.get("environment")
    found = [
        made
        for made in reversed(world.deployments)
        if wanted in (None, made.document["ref"]) and environment in (None, made.document["environment"])
    ]
    size, page = int(seen.query.get("per_page", "30")), int(seen.query.get("page", "1"))
    return 200, [_deployment(made) for made in found[(page - 1) * size : page * size]]


def _deployment(made: Announced) -> dict[str, Any]:
    (document,) = json.loads(example("deployment-items"))
    sent = made.document
    told = {"id": made.id, "sha": sent["ref"], "ref": sent["ref"], "environment": sent.get("environment", "production")}
    return {**document, **told, "payload": sent.get("payload", {}), "description": sent.get("description", "")}


def _create_status(world: World, seen: Seen, number: str) -> Answer:
    made = next((each for each in world.deployments if each.id == int(number)), None)
    if made is None:
        return 404, None
    made.statuses.append(json.loads(seen.body))
    if made.statuses[-1]["state"] == "success" and made.statuses[-1].get("auto_inactive", True):
        for other in world.deployments[: world.deployments.index(made)]:
            if _is_ended_by(other, made):
                other.statuses.append({"state": "inactive"})
    return 201, _status(made.statuses[-1])


def _is_ended_by(other: Announced, made: Announced) -> bool:
    """Whether a success makes the other inactive: the same environment, neither transient nor for production, a success before."""
    sent = other.document
    is_kept = sent.get("transient_environment") or sent.get("environment", "production") == "production"
    is_same = sent.get("environment") == made.document.get("environment")
    return is_same and not is_kept and other.statuses[-1:] != [] and other.statuses[-1]["state"] == "success"


def _delete_deployment(world: World, seen: Seen, number: str) -> Answer:
    """Only an inactive one, unless it is the only one of the repository."""
    made = next((each for each in world.deployments if each.id == int(number)), None)
    if made is None:
        return 404, None
    if len(world.deployments) > 1 and (not made.statuses or made.statuses[-1]["state"] == "success"):
        return 422, {"message": "We cannot delete an active deployment unless it is the only one of the repository."}
    world.deployments.remove(made)
    return 204, None


def _statuses(world: World, seen: Seen, number: str) -> Answer:
    made = next((each for each in world.deployments if each.id == int(number)), None)
    return (200, [_status(sent) for sent in reversed(made.statuses)]) if made else (404, None)


def _status(sent: dict[str, Any]) -> dict[str, Any]:
    (document,) = json.loads(example("deployment-status-items"))
    shown = ("state", "description", "log_url", "environment_url", "environment")
    return {**document, **{key: sent[key] for key in shown if key in sent}}
