"""Deployments of pull requests' environments on GitHub over REST, one for each target in one environment. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shipway.canonical import Json, mapping
from shipway.forges import answers, limits
from shipway.forges.client import Client
from shipway.forges.forge import DeploymentState, ForgeError
from shipway.forges.previews import ENVIRONMENT, Announced, PullState

_PERMISSION = "give the job `permissions: {deployments: write}`"

_OURS = "shipway"
"""The member of a deployment's payload that names the lifecycle; `target` beside it tells whose environment it is."""


def pull(client: Client, repository: str, number: int) -> PullState:
    """How a pull request stands now. Raises ForgeError."""
    document = mapping(client.get(f"{repository}/pulls/{number}").json())
    head = mapping(document.get("head"))
    return PullState(
        number=number,
        head=answers.text(head, "sha"),
        is_open=answers.text(document, "state") == "open",
        is_merged=document.get("merged") is True,
        repository=answers.number_or_none(mapping(head.get("repo")), "id"),
    )


def announce(client: Client, repository: str, announced: Announced, description: str) -> str:
    """A deployment in progress: its id. Raises ForgeError."""
    payload: dict[str, Json] = {
        _OURS: announced.lifecycle,
        "target": announced.target,
        "effect": announced.effect,
        "run": announced.run,
    }
    document: dict[str, Json] = {
        "ref": announced.commit,
        "environment": ENVIRONMENT,
        "description": description[: limits.DESCRIPTION_CHARACTERS],
        "payload": payload,
        # The defaults would merge the default branch into what is deployed, and wait for every other check.
        "auto_merge": False,
        "required_contexts": [],
        # An inactive one is then shown as destroyed, and no other target's success makes it inactive.
        "transient_environment": True,
        "production_environment": False,
    }
    found: list[str] = []

    def landed() -> bool:
        found[:] = [number for number, sent in _listed(client, repository) if sent == payload][:1]
        return bool(found)

    try:
        answer = client.write("POST", f"{repository}/deployments", document, landed=landed)
        number = str(answers.number_or_none(mapping(answer.json()), "id") or "") if answer else found[0]
        if not number:
            raise ForgeError("the forge did not answer with a deployment")
        tell(client, repository, number, announced, DeploymentState.IN_PROGRESS, description)
    except ForgeError as error:
        raise error.asking(_PERMISSION) from error
    return number


def tell(
    client: Client, repository: str, number: str, announced: Announced, state: DeploymentState, description: str
) -> None:
    """One status more of a deployment; the others of the environment stay as they are. Raises ForgeError."""
    document: dict[str, Json] = {
        "state": state.value,
        "description": description[: limits.DESCRIPTION_CHARACTERS],
        "log_url": announced.run_url,
        "environment_url": announced.url,
        "auto_inactive": False,
    }
    try:
        client.write("POST", f"{repository}/deployments/{number}/statuses", document)
    except ForgeError as error:
        raise error.asking(_PERMISSION) from error


def retire(client: Client, repository: str, lifecycle: str, target: str, keep: str) -> int:
    """Sets the target's deployments but one inactive and deletes them: how many. Raises ForgeError.

    Only an inactive one can be deleted. Source: https://docs.github.com/en/rest/deployments/deployments#delete-a-deployment
    """
    try:
        own = [
            number
            for number, payload in _listed(client, repository)
            if (payload.get(_OURS), payload.get("target")) == (lifecycle, target) and number != keep
        ]
        for number in own:
            client.write(
                "POST",
                f"{repository}/deployments/{number}/statuses",
                {"state": DeploymentState.INACTIVE.value, "auto_inactive": False},
            )
            _delete(client, f"{repository}/deployments/{number}")
    except ForgeError as error:
        raise error.asking(_PERMISSION) from error
    return len(own)


def announced(client: Client, repository: str, lifecycle: str) -> tuple[tuple[str, str], ...]:
    """The id and the target of each deployment of the lifecycle. Raises ForgeError."""
    return tuple(
        (number, str(payload.get("target") or ""))
        for number, payload in _listed(client, repository)
        if payload.get(_OURS) == lifecycle and payload.get("target")
    )


def _listed(client: Client, repository: str) -> Iterator[tuple[str, Mapping[str, Json]]]:
    """The id and the payload of each deployment to our environment, over all pages."""
    query: dict[str, str | int] = {"environment": ENVIRONMENT, "per_page": limits.PAGE_SIZE}
    for page in [*client.pages(f"{repository}/deployments", query)]:
        listed = page.json()
        if not isinstance(listed, list):
            raise ForgeError(f"`{page.url}` did not answer with a list")
        for each in map(mapping, listed):
            number = answers.number_or_none(each, "id")
            if number is not None:
                yield str(number), mapping(each.get("payload"))


def _delete(client: Client, path: str) -> None:
    try:
        client.write("DELETE", path, None)
    except ForgeError as error:
        if error.status != 404:  # somebody was faster, or the answer to the first try was lost
            raise
