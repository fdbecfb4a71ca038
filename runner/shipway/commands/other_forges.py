"""What `doctor` tells of a forge other than GitHub: whether the token is obeyed, and what that forge lacks. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from shipway.checkup import Check, Verdict, good
from shipway.ci import CiContext
from shipway.context import Context
from shipway.errors import ShipwayError
from shipway.redaction import Redactor
from shipway.trigger import Work, WorkKind


def other_forge_checks(ci: CiContext, context: Context, sleep: Callable[[float], None]) -> Iterator[Check]:
    """The token's account and repository, by two requests, and the forge's capabilities that a report does without."""
    from shipway.forges.client import Pace  # late: requests takes 100 ms, and only a job needs it
    from shipway.forges.connect import connect
    from shipway.forges.forge import Posted

    redact = Redactor({"TOKEN": ci.token.value} if ci.token else {}).clean
    forge = connect(ci, Work(WorkKind.PLAN, ""), Pace(context.now, sleep), redact)
    if isinstance(forge, Posted):
        yield Check("token", Verdict.LOOK, forge.why, "without it no comment is posted")
        return
    try:
        forge.default_branch()
        author = forge.whoami()
    except ShipwayError as error:
        yield Check(
            "token", Verdict.BAD, error.message, error.next or "give the token the right to read the repository"
        )
        return
    account = f"account {author.id}" if author else "an account that the forge does not name"
    yield good("token", f"reads {ci.repository}, comments as {account}; whether it may, only writing tells")
    lacking = ", ".join(sorted(capability.value for capability in forge.lacks))
    yield good("forge", f"{ci.provider.value} lacks {lacking}: reports do without (docs/other-forges.md)")
