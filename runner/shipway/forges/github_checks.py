"""Check runs and deployments of GitHub over REST: what is sent, and what is not sent twice. Decides nothing about a run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs, quote, urlsplit

from shipway.canonical import Json, mapping
from shipway.forges import limits
from shipway.forges.client import Client
from shipway.forges.forge import Check, Deployment, DeploymentState, ForgeError, Outcome, Posted
from shipway.view import Annotation

_CHECK_PERMISSION = "give the job `permissions: {checks: write}`"
_DEPLOYMENT_PERMISSION = "give the job `permissions: {deployments: write}`"

_DEPLOYMENT_READ = "give the job `permissions: {deployments: read}`"

_DIGEST = re.compile("sha256:[0-9a-f]{64}")

_OURS = "shipway"
"""The member of a deployment's payload that tells ours from the one that a job with `environment:` makes by itself."""


class CheckRuns:
    """What the checks of commits say. Those of a commit are asked for together, so that a second one costs no question."""

    def __init__(self, client: Client, repository: str) -> None:
        self._client = client
        self._repository = repository
        self._told: dict[str, tuple[Mapping[str, Mapping[str, Json]], bool]] = {}
        self._asked: set[tuple[str, str]] = set()

    def begin(self, commit: str) -> None:
        """Nothing was told on this commit yet, as far as the checks go that are told together."""
        self._told[commit] = {}, True

    def latest(self, check: Check) -> Mapping[str, Json]:
        """The latest check run of this name on this commit, empty for none; what was answered once counts for a name once."""
        if (check.commit, check.name) in self._asked:
            return self.now(check)
        self._asked.add((check.commit, check.name))
        if check.commit not in self._told:
            self._told[check.commit] = self._all(check)
        runs, is_whole = self._told[check.commit]
        return runs[check.name] if check.name in runs else {} if is_whole else self.now(check)

    def now(self, check: Check) -> Mapping[str, Json]:
        """The same by its name, asked anew."""
        runs, _ = self._of(check, {"check_name": check.name, "filter": "latest", "per_page": 1})
        return runs[0] if runs else {}

    def _all(self, check: Check) -> tuple[Mapping[str, Mapping[str, Json]], bool]:
        """By name, and whether that is all of them: on a commit with more than a page of checks the name is asked for."""
        runs, count = self._of(check, {"filter": "latest", "per_page": limits.PAGE_SIZE})
        newest_last = reversed(runs)
        return {str(run.get("name")): run for run in newest_last}, count == len(runs)

    def _of(self, check: Check, query: Mapping[str, str | int]) -> tuple[Sequence[Mapping[str, Json]], Json]:
        path = f"{self._repository}/commits/{quote(check.commit, safe='')}/check-runs"
        answer = mapping(self._client.get(path, query).json())
        listed = answer.get("check_runs")
        return [mapping(run) for run in listed] if isinstance(listed, list) else [], answer.get("total_count")


def post_check(client: Client, repository: str, check: Check, runs: CheckRuns) -> Posted:
    """Creates the check run, unless the latest one of its name on that commit says the same. Raises ForgeError."""
    try:
        latest = runs.latest(check)
        if _says_the_same(latest, check):
            return Posted(Outcome.UNCHANGED, url=_address(latest), requests=client.requests)
        first = check.annotations[: limits.ANNOTATIONS_PER_REQUEST]
        found: list[Mapping[str, Json]] = []

        def landed() -> bool:
            found[:] = [now] if _says_the_same(now := runs.now(check), check) else []
            return bool(found)

        answer = client.write("POST", f"{repository}/check-runs", _document(check, first), landed=landed)
        created = mapping(answer.json()) if answer else found[0]
        _add_annotations(client, repository, check, created)
    except ForgeError as error:
        raise error.asking(_CHECK_PERMISSION) from error
    return Posted(Outcome.CREATED, url=_address(created), requests=client.requests)


def _add_annotations(client: Client, repository: str, check: Check, created: Mapping[str, Json]) -> None:
    """The annotations behind the first fifty: each request adds to those that are there."""
    step = limits.ANNOTATIONS_PER_REQUEST
    for start in range(step, len(check.annotations), step):
        output = {**_output(check), "annotations": _annotations(check.annotations[start : start + step])}
        client.write("PATCH", f"{repository}/check-runs/{created.get('id')}", {"output": output})


def _says_the_same(found: Mapping[str, Json], check: Check) -> bool:
    output = mapping(found.get("output"))
    told = (found.get("name"), found.get("conclusion"), found.get("external_id"), output.get("title"))
    wanted = (check.name, check.conclusion.value, check.external_id, str(check.title))
    return told == wanted and output.get("summary") == str(check.summary) and shown_plan(output) == check.plan


def _document(check: Check, annotations: Sequence[Annotation]) -> dict[str, Json]:
    document: dict[str, Json] = {
        "name": check.name,
        "head_sha": check.commit,
        "external_id": check.external_id,
        "status": "completed",
        "conclusion": check.conclusion.value,
        "output": {**_output(check), "annotations": _annotations(annotations)},
    }
    return document | ({"details_url": check.url} if check.url else {})


def _output(check: Check) -> dict[str, Json]:
    return {"title": check.title, "summary": check.summary} | ({"text": f"Plan `{check.plan}`."} if check.plan else {})


def shown_plan(output: Mapping[str, Json]) -> str:
    """The digest of the plan that a check is about, from its `text`; empty of none.

    Two plans of one effect may differ in what they say will happen, and an approval is of what was seen.
    """
    found = _DIGEST.search(str(output.get("text") or ""))
    return found[0] if found else ""


def _annotations(annotations: Sequence[Annotation]) -> list[Json]:
    return [
        {
            "path": each.where.file,
            "start_line": each.where.line,
            "end_line": each.where.line,
            "annotation_level": each.weight.value,
            "title": each.title[: limits.ANNOTATION_TITLE_CHARACTERS],
            "message": each.text.encode()[: limits.ANNOTATION_TEXT_BYTES].decode(errors="ignore") or "(empty)",
        }
        for each in annotations
    ]


def deploy(client: Client, repository: str, deployment: Deployment, description: str) -> str:
    """Creates a deployment in progress: its id, or empty where this job's `environment:` has made one. Raises ForgeError."""
    try:
        if _has_twin(client, repository, deployment):
            return ""
        document: dict[str, Json] = {
            "ref": deployment.commit,
            "environment": deployment.environment,
            "description": description[: limits.DESCRIPTION_CHARACTERS],
            "payload": {_OURS: deployment.lifecycle, "effect": deployment.effect, "run": deployment.run},
            # The defaults would merge the default branch into what is deployed, and wait for every other check.
            "auto_merge": False,
            "required_contexts": [],
            "transient_environment": deployment.is_transient,
        }
        found: list[Json] = []

        def landed() -> bool:
            now = _deployments(client, repository, deployment)
            found[:] = [each.get("id") for each in now if each.get("payload") == document["payload"]][:1]
            return bool(found)

        answer = client.write("POST", f"{repository}/deployments", document, landed=landed)
        number = mapping(answer.json()).get("id") if answer else found[0]
        if not isinstance(number, int):
            raise ForgeError("the forge did not answer with a deployment")
        conclude(client, repository, str(number), deployment, DeploymentState.IN_PROGRESS, description)
    except ForgeError as error:
        raise error.asking(_DEPLOYMENT_PERMISSION) from error
    return str(number)


def conclude(
    client: Client, repository: str, id: str, deployment: Deployment, state: DeploymentState, description: str
) -> None:
    """Adds a status to a deployment. Raises ForgeError."""
    document: dict[str, Json] = {
        "state": state.value,
        "description": description[: limits.DESCRIPTION_CHARACTERS],
        "log_url": deployment.run_url,
        "environment_url": deployment.url,
    }
    try:
        client.write("POST", f"{repository}/deployments/{quote(id, safe='')}/statuses", document)
    except ForgeError as error:
        raise error.asking(_DEPLOYMENT_PERMISSION) from error


def _has_twin(client: Client, repository: str, deployment: Deployment) -> bool:
    """Whether one of this commit's deployments was made by this run, and not by us: its status links to a job of the run."""
    foreign = [
        each for each in _deployments(client, repository, deployment) if _OURS not in mapping(each.get("payload"))
    ]
    for found in foreign[: limits.DEPLOYMENTS_LOOKED_AT]:
        statuses = client.get(f"{repository}/deployments/{found.get('id')}/statuses", {"per_page": 1}).json()
        latest = mapping(statuses[0]) if isinstance(statuses, list) and statuses else {}
        if f"/actions/runs/{deployment.run}/" in f"{latest.get('log_url')}/":
            return True
    return False


def remembered(client: Client, repository: str, lifecycle: str, environment: str) -> str:
    """The receipt's digest in the latest status of the newest deployment that has one; empty for none. Raises ForgeError.

    A deployment of ours and one that a job with `environment:` made itself both have it in their address.
    """
    try:
        listed = client.get(f"{repository}/deployments", {"environment": environment, "per_page": 30}).json()
        newest = listed[: limits.DEPLOYMENTS_LOOKED_AT] if isinstance(listed, list) else []
        for made in map(mapping, newest):
            statuses = client.get(f"{repository}/deployments/{made.get('id')}/statuses", {"per_page": 5}).json()
            for status in map(mapping, statuses if isinstance(statuses, list) else []):
                query = parse_qs(urlsplit(str(status.get("environment_url") or "")).query)
                if query.get("lifecycle") == [lifecycle] and _DIGEST.fullmatch(query.get("receipt", [""])[0]):
                    return query["receipt"][0]
    except ForgeError as error:
        raise error.asking(_DEPLOYMENT_READ) from error
    return ""


def _deployments(client: Client, repository: str, deployment: Deployment) -> list[Mapping[str, Json]]:
    """The latest deployments of this commit, the newest first."""
    listed = client.get(f"{repository}/deployments", {"sha": deployment.commit, "per_page": 30}).json()
    return [mapping(each) for each in listed] if isinstance(listed, list) else []


def _address(found: Mapping[str, Json]) -> str:
    return str(found.get("html_url") or "")
