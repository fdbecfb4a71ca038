"""What `doctor` can tell of the CI job it runs in and of the forge behind it. Reads only, and only with a token."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from shipway.checkup import Check, Verdict, good
from shipway.ci import CiContext, Provider, Token, origin
from shipway.commands.other_forges import other_forge_checks
from shipway.context import Context
from shipway.errors import ShipwayError, UnreachableError
from shipway.redaction import Redactor
from shipway.repository import Repository
from shipway.trigger import WorkKind, event_work

if TYPE_CHECKING:
    from shipway.forges.client import Client

_GITHUB_API = "https://api.github.com"


def forge_checks(context: Context, repository: Repository) -> Iterator[Check]:
    """The job's event and what it leads to, the token, and what the forge answers to it."""
    ci = context.ci
    if ci is not None:
        yield _check_event(ci)
        if ci.provider is not Provider.GITHUB:
            yield from other_forge_checks(ci, context, refuse_to_wait)
            return
    token, api_url, slug = reached_by(context, ci, repository)
    if token is None:
        if ci is not None:
            next = (
                "pass it as `GITHUB_TOKEN: ${{ github.token }}` in `env` of the step; without it no comment is posted"
            )
            yield Check("token", Verdict.LOOK, "this step has no forge token", next)
        return
    yield from _probe(context, token, api_url, slug, ci.run_id if ci else "")


def _check_event(ci: CiContext) -> Check:
    work = event_work(ci)
    seen = f"{ci.provider.value}, event {ci.event or 'unknown'}: {work.why}"
    if work.kind is WorkKind.REFUSE:
        return Check("ci", Verdict.BAD, seen, work.next)
    return (
        good("ci", seen) if work.is_trusted else Check("ci", Verdict.LOOK, seen, "nothing is executed or posted there")
    )


def reached_by(context: Context, ci: CiContext | None, repository: Repository) -> tuple[Token | None, str, str]:
    """The token, the API it is for, and the repository; outside CI `GITHUB_TOKEN` and the remote tell."""
    if ci is not None:
        return ci.token, ci.api_url, ci.repository
    value = context.env.get("GITHUB_TOKEN", "")
    if not value or not repository.is_git:
        return None, "", ""
    from shipway.remotes import read_origin  # late: git's library takes 80 ms

    api_url = context.env.get("GITHUB_API_URL") or _GITHUB_API
    return Token(value, origin(api_url)), api_url, read_origin(repository.root).slug


def _probe(context: Context, token: Token, api_url: str, slug: str, run_id: str) -> Iterator[Check]:
    """At most two requests: the repository, and the run, which needs `actions: read`. What may be written only writing tells."""
    from shipway.forges.client import Client, Pace  # late: requests takes 100 ms, and only a token needs it

    pace = Pace(now=context.now, sleep=refuse_to_wait)
    client = Client(api_url=api_url, token=token, pace=pace, redact=Redactor({"GITHUB_TOKEN": token.value}).clean)
    if not slug:
        yield Check("token", Verdict.LOOK, "set, and there is no remote to try it on", "")
        return
    try:
        answer = client.get(f"/repos/{slug}")
    except ShipwayError as error:
        yield Check("token", Verdict.BAD, error.message, error.next or "give the job `permissions: {contents: read}`")
        return
    left = answer.headers.get("x-ratelimit-remaining", "")
    of = answer.headers.get("x-ratelimit-limit", "")
    limit = f"; {left} of {of} requests left in this hour" if left and of else ""
    yield good("token", f"reads {slug}{limit}")
    if run_id:
        yield _probe_run(client, slug, run_id)


def _probe_run(client: Client, slug: str, run_id: str) -> Check:
    try:
        client.get(f"/repos/{slug}/actions/runs/{run_id}")
    except ShipwayError as error:
        next = "give the job `permissions: {actions: read}`; without it no comment is posted"
        return Check("permissions", Verdict.LOOK, error.message, next)
    return good("permissions", "`actions: read` is there; whether `pull-requests: write` is, only writing tells")


def refuse_to_wait(seconds: float) -> None:
    """Waits for nothing: a check-up is called again instead."""
    raise UnreachableError(f"the forge asks to wait for {seconds:.0f} s", next="call this again then")
