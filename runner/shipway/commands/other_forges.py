"""What `doctor` tells of a forge other than GitHub: what it needs, whether the token is obeyed, what it lacks. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from shipway.checkup import Check, Verdict, good
from shipway.ci import CiContext, Provider
from shipway.context import Context
from shipway.errors import ShipwayError
from shipway.redaction import Redactor
from shipway.repository import Repository
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


def other_forge(context: Context, repository: Repository) -> Provider | None:
    """The forge other than GitHub that this job or this checkout's remote is of; None for GitHub, and where nothing tells.

    A host's name tells where it has the forge's in it; of any other host, the files for one forge where there are none for GitHub.
    """
    if context.ci is not None:
        return None if context.ci.provider is Provider.GITHUB else context.ci.provider
    if not repository.is_git:
        return None
    from shipway.remotes import read_origin  # late: git's library takes 80 ms

    host = read_origin(repository.root).host
    named = next((provider for word, provider in _HOSTS if word in host), None)
    if named is None and host and not (repository.root / ".github/workflows").is_dir():
        named = next((provider for file, provider in _FILES if (repository.root / file).exists()), None)
    return None if named is Provider.GITHUB else named


_HOSTS = (
    ("github", Provider.GITHUB),
    ("gitlab", Provider.GITLAB),
    ("forgejo", Provider.FORGEJO),
    ("codeberg.org", Provider.FORGEJO),  # https://docs.codeberg.org/getting-started/what-is-codeberg/
    ("gitea", Provider.GITEA),
)
_FILES = (
    (".gitlab-ci.yml", Provider.GITLAB),
    (".forgejo/workflows", Provider.FORGEJO),
    (".gitea/workflows", Provider.GITEA),
)


def set_up_there(provider: Provider, root: Path) -> Iterator[Check]:
    """Whether something below `root` calls Shipway in the way of that forge, and what writes it where nothing does."""
    yield good(
        "forge",
        f"this repository is on {provider.shown}: nothing was asked of GitHub, and no workflow for it is needed",
    )
    places: tuple[str, ...] = (".gitlab-ci.yml", ".gitlab/**/*.yml")
    if provider is Provider.GITLAB:
        next = "write the jobs with `shipway init --gitlab`"
    else:
        # The later ones are read where the first is not there. Source: https://docs.gitea.com/usage/actions/faq
        places = (f".{provider.value}/workflows/*.y*ml", ".gitea/workflows/*.y*ml", ".github/workflows/*.y*ml")
        next = f"write the workflow of docs/other-forges.md#gitea-and-forgejo into .{provider.value}/workflows/"
    calling = [path for place in places for path in sorted(root.glob(place)) if _calls_shipway(path)]
    if calling:
        found = ", ".join(path.relative_to(root).as_posix() for path in dict.fromkeys(calling))
        yield good("workflows", f"{found} calls Shipway; what is in it was not looked at")
    else:
        yield Check("workflows", Verdict.LOOK, f"nothing that {provider.shown} reads calls Shipway", next)


def _calls_shipway(path: Path) -> bool:
    try:
        return "shipway" in path.read_text("utf-8", errors="replace")
    except OSError:
        return False
