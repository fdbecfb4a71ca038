"""What a CI run says of itself, and what it may therefore do. Values and pure decisions; reads no environment and no file.

`context` hands in the variables and the event; nothing here trusts a name where the forge gives a numeric id.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from shipway.canonical import Json

DEPENDABOT_ID = 49699333
"""The account id of `dependabot[bot]` on github.com. Source: https://api.github.com/users/dependabot[bot]"""

DEPENDABOT_LOGIN = "dependabot[bot]"


class Provider(StrEnum):
    """Whose CI this is."""

    GITHUB = "github"
    GITEA = "gitea"
    FORGEJO = "forgejo"
    GITLAB = "gitlab"

    @property
    def shown(self) -> str:
        """Its name as it writes it."""
        return _SHOWN[self]


_SHOWN = {
    Provider.GITHUB: "GitHub",
    Provider.GITEA: "Gitea",
    Provider.FORGEJO: "Forgejo",
    Provider.GITLAB: "GitLab",
}


# Forgejo sets the two variables below it as well, and Gitea the last: the most particular one decides.
_DETECTED_BY = (
    ("FORGEJO_ACTIONS", Provider.FORGEJO),
    ("GITEA_ACTIONS", Provider.GITEA),
    ("GITHUB_ACTIONS", Provider.GITHUB),
    ("GITLAB_CI", Provider.GITLAB),
)

# On Gitea and Forgejo a GITHUB_TOKEN may be one for github.com that someone added: only their own names are read.
_TOKEN_NAMES = {
    Provider.GITHUB: ("GITHUB_TOKEN", "GH_TOKEN"),
    Provider.GITEA: ("GITEA_TOKEN",),
    Provider.FORGEJO: ("FORGEJO_TOKEN", "GITEA_TOKEN"),
    # A CI_JOB_TOKEN reads a few things and writes no note and no status. Source: https://docs.gitlab.com/ci/jobs/ci_job_token/
    Provider.GITLAB: ("GITLAB_TOKEN",),
}


class Token(Struct, frozen=True):
    """A forge token and the one origin (`https://api.github.com`) it may be sent to. Never shows its value by itself."""

    value: str
    origin: str

    def __repr__(self) -> str:
        return f"Token(***, {self.origin})"


class CiContext(Struct, frozen=True):
    """One CI job. Texts are empty, and the other fields None, where the run does not say.

    `event` is the event's name and `action` its activity (`opened`), `payload` the whole event. `sha` is what was
    checked out, on a pull request the test merge; `head_sha` is the commit under discussion, `base_sha` what it is to be
    merged into. `branch` and `tag` name what was pushed and are None on a pull request, where `base_ref` and
    `head_ref` are set. `default_branch` is never assumed. `is_fork` is True as well where the origin is not known.
    """

    provider: Provider
    server_url: str
    api_url: str
    graphql_url: str
    repository: str
    repository_id: int | None
    event: str
    action: str
    payload: Mapping[str, Json]
    sha: str
    head_sha: str
    base_sha: str
    ref: str
    branch: str | None
    tag: str | None
    base_ref: str
    head_ref: str
    default_branch: str | None
    pull_request: int | None
    is_fork: bool
    is_dependabot: bool
    run_id: str
    run_number: str
    run_attempt: int
    run_url: str
    job: str
    actor: str
    actor_id: str
    workflow: str
    workspace: Path | None
    temp: Path | None
    token: Token | None

    def __repr__(self) -> str:
        return f"CiContext({self.provider}, {self.event}, {self.run_url})"  # the payload may hold what others wrote


def origin(url: str) -> str:
    """`scheme://host[:port]` of `url` in lower case, without a default port; empty where `url` has no host."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    if not host:
        return ""
    host = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{host}" if port in (None, default) else f"{parts.scheme}://{host}:{port}"


def provider_of(env: Mapping[str, str]) -> Provider | None:
    """The CI that set these variables, the most particular first (Forgejo, Gitea, GitHub, GitLab); None outside CI."""
    return next((provider for name, provider in _DETECTED_BY if env.get(name) == "true"), None)


def ci_context(env: Mapping[str, str], payload: Mapping[str, Json]) -> CiContext | None:
    """The job that `env` and the event file describe, or None outside CI."""
    provider = provider_of(env)
    if provider is None:
        return None
    return _gitlab(env, payload) if provider is Provider.GITLAB else _actions(provider, env, payload)


def github_context(ci: CiContext) -> Mapping[str, Json]:
    """The `github` context of expressions, with GitHub's names and all-text ids; never the token."""
    ref_name = ci.branch or ci.tag or ci.ref.removeprefix("refs/pull/").removeprefix("refs/heads/")
    return {
        "actor": ci.actor,
        "actor_id": ci.actor_id,
        "api_url": ci.api_url,
        "base_ref": ci.base_ref,
        "event": ci.payload,
        "event_name": ci.event,
        "graphql_url": ci.graphql_url,
        "head_ref": ci.head_ref,
        "job": ci.job,
        "ref": ci.ref,
        "ref_name": ref_name,
        "ref_type": "tag" if ci.ref.startswith("refs/tags/") else "branch",
        "repository": ci.repository,
        "repository_id": "" if ci.repository_id is None else str(ci.repository_id),
        "repository_owner": ci.repository.partition("/")[0],
        "run_attempt": str(ci.run_attempt),
        "run_id": ci.run_id,
        "run_number": ci.run_number,
        "server_url": ci.server_url,
        "sha": ci.sha,
        "workflow": ci.workflow,
        "workspace": "" if ci.workspace is None else str(ci.workspace),
    }


def rules_base(ci: CiContext) -> str:
    """The commit whose rules hold beside those of what is checked out: what a change is to be merged into, or what a push
    put it upon. Empty where there is none, as for a new branch, a tag and an event that changes nothing.
    """
    if ci.pull_request is not None:
        return ci.base_sha
    if ci.event == "merge_group":
        return _text(_member(ci.payload, "merge_group"), "base_sha")
    before = _text(ci.payload, "before") if ci.event == "push" else ""
    return before if before.strip("0") else ""


def _actions(provider: Provider, env: Mapping[str, str], payload: Mapping[str, Json]) -> CiContext:
    """GitHub Actions, and Gitea's and Forgejo's, which give the same variables and the same event file."""
    pull_request = _member(payload, "pull_request")
    repository = _member(payload, "repository")
    server_url = env.get("GITHUB_SERVER_URL") or "https://github.com"
    api_url = (env.get("GITHUB_API_URL") or _api_of(provider, server_url)).rstrip("/")
    graphql_url = env.get("GITHUB_GRAPHQL_URL") or api_url.removesuffix("/v3") + "/graphql"
    ref = env.get("GITHUB_REF", "")
    return CiContext(
        provider=provider,
        server_url=server_url,
        api_url=api_url,
        graphql_url=graphql_url,
        repository=env.get("GITHUB_REPOSITORY", ""),
        repository_id=_integer(repository, "id") or _number(env.get("GITHUB_REPOSITORY_ID")),
        event=env.get("GITHUB_EVENT_NAME", ""),
        action=_text(payload, "action"),
        payload=payload,
        sha=env.get("GITHUB_SHA", ""),
        head_sha=_text(_member(pull_request, "head"), "sha") or env.get("GITHUB_SHA", ""),
        base_sha=_text(_member(pull_request, "base"), "sha"),
        ref=ref,
        branch=None if pull_request else _name_of(ref, "refs/heads/"),
        tag=None if pull_request else _name_of(ref, "refs/tags/"),
        base_ref=env.get("GITHUB_BASE_REF") or _text(_member(pull_request, "base"), "ref"),
        head_ref=env.get("GITHUB_HEAD_REF") or _text(_member(pull_request, "head"), "ref"),
        default_branch=_text(repository, "default_branch") or None,
        pull_request=_integer(pull_request, "number"),
        is_fork=_is_fork(env.get("GITHUB_EVENT_NAME", ""), payload),
        is_dependabot=_is_dependabot(env, payload),
        run_id=env.get("GITHUB_RUN_ID", ""),
        run_number=env.get("GITHUB_RUN_NUMBER", ""),
        run_attempt=_number(env.get("GITHUB_RUN_ATTEMPT")) or 1,
        run_url=f"{server_url}/{env.get('GITHUB_REPOSITORY', '')}/actions/runs/{_run_in_url(provider, env)}",
        job=env.get("GITHUB_JOB", ""),
        actor=env.get("GITHUB_TRIGGERING_ACTOR") or env.get("GITHUB_ACTOR", ""),
        actor_id=env.get("GITHUB_ACTOR_ID", ""),
        workflow=env.get("GITHUB_WORKFLOW", ""),
        workspace=_path(env.get("GITHUB_WORKSPACE")),
        temp=_path(env.get("RUNNER_TEMP")),
        token=_token(provider, env, api_url),
    )


def _gitlab(env: Mapping[str, str], payload: Mapping[str, Json]) -> CiContext:
    api_url = env.get("CI_API_V4_URL", "")
    branch, tag = env.get("CI_COMMIT_BRANCH") or None, env.get("CI_COMMIT_TAG") or None
    is_request = env.get("CI_PIPELINE_SOURCE") == "merge_request_event"
    source, project = env.get("CI_MERGE_REQUEST_SOURCE_PROJECT_ID"), env.get("CI_MERGE_REQUEST_PROJECT_ID")
    return CiContext(
        provider=Provider.GITLAB,
        server_url=env.get("CI_SERVER_URL", ""),
        api_url=api_url,
        graphql_url=env.get("CI_API_GRAPHQL_URL", ""),
        repository=env.get("CI_PROJECT_PATH", ""),
        repository_id=_number(env.get("CI_PROJECT_ID")),
        event=env.get("CI_PIPELINE_SOURCE", ""),
        action="",
        payload=payload,
        sha=env.get("CI_COMMIT_SHA", ""),
        head_sha=env.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") or env.get("CI_COMMIT_SHA", ""),
        base_sha=env.get("CI_MERGE_REQUEST_DIFF_BASE_SHA", ""),
        ref=f"refs/tags/{tag}" if tag else f"refs/heads/{branch}" if branch else "",
        branch=None if is_request else branch,
        tag=None if is_request else tag,
        base_ref=env.get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", ""),
        head_ref=env.get("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", ""),
        default_branch=env.get("CI_DEFAULT_BRANCH") or None,
        pull_request=_number(env.get("CI_MERGE_REQUEST_IID")),
        is_fork=is_request and (not source or source != project),
        is_dependabot=False,
        run_id=env.get("CI_PIPELINE_ID", ""),
        run_number=env.get("CI_PIPELINE_IID", ""),
        run_attempt=_number(env.get("CI_JOB_ID")) or 1,
        run_url=env.get("CI_PIPELINE_URL", ""),
        job=env.get("CI_JOB_NAME", ""),
        actor=env.get("GITLAB_USER_LOGIN", ""),
        actor_id=env.get("GITLAB_USER_ID", ""),
        workflow=env.get("CI_PIPELINE_NAME", ""),
        workspace=_path(env.get("CI_PROJECT_DIR")),
        temp=None,
        token=_token(Provider.GITLAB, env, api_url),
    )


def file_url(ci: CiContext, commit: str, file: str) -> str:
    """The page of a file of the repository at a commit, where each forge has it."""
    folder = {Provider.GITHUB: "blob", Provider.GITLAB: "-/blob"}.get(ci.provider, "src/commit")
    return f"{ci.server_url}/{ci.repository}/{folder}/{commit}/{file}"


def _run_in_url(provider: Provider, env: Mapping[str, str]) -> str:
    """What a run's page is named by. Gitea and Forgejo name it by its number in the repository. Source:
    https://github.com/go-gitea/gitea/blob/v1.24.0/models/actions/run.go (`Link`)
    """
    return env.get("GITHUB_RUN_ID" if provider is Provider.GITHUB else "GITHUB_RUN_NUMBER", "")


def _api_of(provider: Provider, server_url: str) -> str:
    if provider is not Provider.GITHUB:
        return f"{server_url}/api/v1"
    return "https://api.github.com" if server_url == "https://github.com" else f"{server_url}/api/v3"


def _is_fork(event: str, payload: Mapping[str, Json]) -> bool:
    """Whether the code under discussion is another repository's; a deleted or unnamed head repository counts as one."""
    pull_request, run = _member(payload, "pull_request"), _member(payload, "workflow_run")
    own = _integer(_member(payload, "repository"), "id")
    if pull_request:
        base = _integer(_member(_member(pull_request, "base"), "repo"), "id")
        return _differs(_integer(_member(_member(pull_request, "head"), "repo"), "id"), base)
    if run:
        return _differs(_integer(_member(run, "head_repository"), "id"), own)
    return event in ("pull_request", "pull_request_target", "workflow_run")


def _differs(head: int | None, base: int | None) -> bool:
    return head is None or head != base


def _is_dependabot(env: Mapping[str, str], payload: Mapping[str, Json]) -> bool:
    """GitHub gives such a run a read-only token by who caused it first, and a re-run by someone else keeps that."""
    ids = (_number(env.get("GITHUB_ACTOR_ID")), _integer(_member(payload, "sender"), "id"))
    return DEPENDABOT_ID in ids or env.get("GITHUB_ACTOR") == DEPENDABOT_LOGIN


def _token(provider: Provider, env: Mapping[str, str], api_url: str) -> Token | None:
    value = next((env[name] for name in _TOKEN_NAMES[provider] if env.get(name)), None)
    return Token(value, origin(api_url)) if value and origin(api_url) else None


def _name_of(ref: str, prefix: str) -> str | None:
    return ref.removeprefix(prefix) or None if ref.startswith(prefix) else None


def _member(value: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    found = value.get(name)
    return found if isinstance(found, Mapping) else {}


def _text(value: Mapping[str, Json], name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""


def _integer(value: Mapping[str, Json], name: str) -> int | None:
    found = value.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
