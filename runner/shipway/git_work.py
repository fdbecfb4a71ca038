"""git, run for a node with that node's environment and nothing else of ours: no hooks, no prompts, no foreign transport.

GitPython is not used for it: it hands its own process's whole environment to git, and so to every filter and helper of it.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from msgspec import Struct

from shipway.action import Access, ActionFailed, PlanWork, SlotRule, SlotType, Work
from shipway.canonical import Json, object_of
from shipway.file_state import locate, locate_target
from shipway.programs import run_program
from shipway.records import Record

REPOSITORY = "repository"
"""The kind of a clone, a checkout and a pull: its name is the path, its fingerprint the commit."""

REPO = SlotRule(
    SlotType.STRING,
    required=True,
    description="the repository; in the workspace, or absolute",
    access=Access.CLEARS,
)
"""The slot of a repository whose files are changed."""

_SETTINGS = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false")
_ENVIRONMENT = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    # `ext::` runs a program. Source: https://git-scm.com/docs/git#Documentation/git.txt-GITALLOWPROTOCOL
    "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
    "LC_ALL": "C",
}
_TRANSPORT = re.compile(r"[A-Za-z0-9+.-]+::")


class Address(Struct, frozen=True):
    """Where a repository is: `shown` without a user and password, `env` what hands them to git all the same."""

    shown: str
    env: Mapping[str, str]


class Git(Struct, frozen=True):
    """git in one folder. `env` is the whole environment that it gets, but for what keeps it quiet."""

    folder: Path
    env: Mapping[str, str]
    cancelled: Callable[[], bool] = lambda: False

    def run(self, *arguments: str) -> str:
        """What git prints, without the last newline. Raises ActionFailed with its complaint."""
        code, out, complaint = self._run(arguments)
        if code != 0:
            raise ActionFailed(f"git {arguments[0]}: {complaint or f'exit {code}'}", code="git")
        return out

    def ask(self, *arguments: str) -> str:
        """What git prints; empty where it fails."""
        code, out, _ = self._run(arguments)
        return out if code == 0 else ""

    def _run(self, arguments: tuple[str, ...]) -> tuple[int, str, str]:
        env = {**self.env, **_ENVIRONMENT}
        told = run_program(("git", *_SETTINGS, *arguments), cwd=self.folder, env=env, cancelled=self.cancelled)
        complaint = told.complaint.removeprefix("fatal: ").removeprefix("error: ")
        return told.code, told.out.decode("utf-8", "surrogateescape").removesuffix("\n"), complaint

    @property
    def commit(self) -> str:
        """The commit that is checked out; empty where there is none."""
        return self.ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}")

    @property
    def branch(self) -> str:
        """The branch that is checked out; empty on a detached head."""
        return self.ask("symbolic-ref", "--quiet", "--short", "HEAD")

    def changed(self, *, with_new: bool = False) -> str:
        """The first file that differs from the commit, with those that are new or ignored if asked; empty where none does."""
        new = ("--untracked-files=normal", "--ignored=matching") if with_new else ("--untracked-files=no",)
        return next((line[3:] for line in self.run("status", "--porcelain=v1", *new).splitlines()), "")


def git_at(work: PlanWork | Work, folder: Path) -> Git:
    """git for a node, in `folder`."""
    return Git(folder, work.env, work.cancelled if isinstance(work, Work) else lambda: False)


def repository_of(work: PlanWork | Work) -> Git:
    """git in the repository that slot `repo` names. Raises ActionFailed where there is none, or only one around it."""
    text = work.inputs["repo"]
    place = locate(work.root, text, "repo")
    if not (place / ".git").exists():
        raise ActionFailed(f"`repo` `{text}` is no git repository")
    return git_at(work, place)


def path_of(work: PlanWork | Work) -> Path:
    """Where slot `path` wants a clone."""
    return locate_target(work.root, work.inputs["path"])


def address(text: str) -> Address:
    """A URL, `user@host:path`, or a path. Raises ActionFailed for one that git would take for an option or a program."""
    if not text or text.startswith("-") or _TRANSPORT.match(text) or any(ord(character) < 32 for character in text):
        raise ActionFailed("`url` is no address of a repository", is_permanent=True)
    parts = urlsplit(text) if "://" in text else None
    if (
        parts is None
        or "@" not in parts.netloc
        or (":" not in parts.netloc.rpartition("@")[0] and parts.scheme == "ssh")
    ):
        return Address(text, {})
    host = parts.netloc.rpartition("@")[2]
    shown = urlunsplit((parts.scheme, host, parts.path, parts.query, ""))
    # Neither on the command line nor in the clone's own settings: https://git-scm.com/docs/git-config#ENVIRONMENT
    known = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{parts.scheme}://{parts.netloc}/.insteadOf",
        "GIT_CONFIG_VALUE_0": f"{parts.scheme}://{host}/",
    }
    return Address(shown, known)


def checked_ref(text: str) -> str:
    """A name for a commit. Raises ActionFailed for one that git would take for an option or a path, or that is none."""
    if not text or text.startswith("-") or any(character in text for character in " ~^:?*[\\\x7f") or ".." in text:
        raise ActionFailed(f"`ref` `{text}` is no branch, tag or commit", is_permanent=True)
    return text


def note(work: Work, facts: Mapping[str, Json]) -> dict[str, Json]:
    """Write down, before it is done, what undo has to know; a killed node leaves it. Returns it as undo state."""
    new = work.scratch / "git.json.new"
    work.scratch.mkdir(parents=True, exist_ok=True)
    new.write_text(json.dumps(facts))
    new.replace(work.scratch / "git.json")
    return dict(facts)


def noted(work: Work) -> Mapping[str, Json] | None:
    """What was noted, or handed over as undo state; None where nothing was begun."""
    if isinstance(work.state, Mapping) and work.state:
        return work.state
    try:
        return object_of(json.loads((work.scratch / "git.json").read_bytes()))
    except FileNotFoundError:
        return None


def forget(work: Work) -> None:
    """What was noted is done with."""
    (work.scratch / "git.json").unlink(missing_ok=True)


def repository_record(name: Json, commit: str, how: str, **facts: Json) -> Record:
    """That a repository stands at the path `name` with this commit checked out."""
    told = {key: value for key, value in facts.items() if value}
    return Record(REPOSITORY, posixpath.normpath(str(name)), fingerprint=commit, facts={"how": how, **told})
