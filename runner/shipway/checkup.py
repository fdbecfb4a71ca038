"""What `doctor` found out about a machine and a checkout, as values, and the judgements that need no look at the world. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct

OLDEST_PYTHON = (3, 11)
"""As in pyproject.toml."""

OLDEST_GIT = (2, 20)
"""What `repository` asks of git (`ls-files --stage -z`, `status --porcelain=v1 --no-renames`) is older than this."""

DISK_NEEDED = 50_000_000
DISK_WANTED = 1_000_000_000
"""Bytes. A run writes logs and a receipt; what its steps build needs more, and only they know how much."""


class Verdict(StrEnum):
    """Whether a run will do: yes; yes, but look at it; no."""

    GOOD = "good"
    LOOK = "look"
    BAD = "bad"


class Check(Struct, frozen=True):
    """One thing that was looked at: what was seen, and what to do about it where it is not good."""

    name: str
    verdict: Verdict
    text: str
    next: str = ""


def good(name: str, text: str) -> Check:
    """A check that found what a run needs."""
    return Check(name, Verdict.GOOD, text)


def check_python(version: str, platform: str) -> Check:
    """Python and platform; `version` is `3.11.7`, `platform` `linux/amd64`."""
    seen = f"{version} on {platform}"
    if _numbers(version)[:2] < OLDEST_PYTHON:
        return Check("python", Verdict.BAD, seen, f"use Python {'.'.join(map(str, OLDEST_PYTHON))} or later")
    if platform.startswith("windows"):
        return Check("python", Verdict.BAD, seen, "run on Linux or macOS, or in WSL; `plan` and `show` work here")
    return good("python", seen)


def check_git(version: tuple[int, ...]) -> Check:
    """The version of git, as numbers."""
    seen = ".".join(map(str, version))
    if version[:2] < OLDEST_GIT:
        return Check("git", Verdict.LOOK, seen, f"use git {'.'.join(map(str, OLDEST_GIT))} or later")
    return good("git", seen)


def check_user(user_id: int | None, *, has_sudo: bool, in_ci: bool) -> Check:
    """Who runs this. What root may do, every step may do: then nothing but the job itself is a boundary."""
    if in_ci:
        reach, boundary = "a step can read all that this job can", "the boundary is the job"
        advice, token = "give the job no more than its steps may have", ", Shipway's own token included"
    else:
        reach, boundary = "a step can read and change all of this machine", "nothing bounds it"
        advice, token = "have no secrets here that its steps may not have", ""
    if user_id == 0:
        return Check("user", Verdict.LOOK, f"root: {reach}{token}; {boundary}", f"run as another user, or {advice}")
    if has_sudo:
        return Check("user", Verdict.LOOK, f"may use sudo without a password: {reach}; {boundary}", advice)
    return good("user", "not root")


def check_disk(free: int) -> Check:
    """Room for logs and receipts; `free` in bytes."""
    seen = f"{free / 1e9:.1f} GB free"
    if free < DISK_NEEDED:
        return Check("disk", Verdict.BAD, seen, "make room: a run has to write its logs and its receipt")
    return good("disk", seen) if free >= DISK_WANTED else Check("disk", Verdict.LOOK, seen, "make room before a run")


def check_secrets(named: Mapping[str, Sequence[str]], declared: Sequence[str], present: Iterable[str]) -> Check:
    """Whether secrets are set; `named` has the nodes that name each. What no node names is not needed."""
    there = set(present)
    missing = {name: nodes for name, nodes in named.items() if name not in there}
    if missing:
        shown = ", ".join(f"{name} (for {nodes[0]})" for name, nodes in missing.items())
        where = "set them in the environment; in a workflow in `env` of the step that uses Shipway"
        return Check("secrets", Verdict.BAD, f"not set: {shown}", where)
    idle = [name for name in declared if name not in named]
    if idle:
        text = f"declared, and named by no step: {', '.join(idle)}"
        return Check("secrets", Verdict.LOOK, text, "take them out of `secrets`, or name them in `env` of a step")
    return good("secrets", f"set: {', '.join(named)}" if named else "none is needed")


def check_shells(needed: Mapping[str, Sequence[str]], found: Iterable[str]) -> Check:
    """Whether the programs that run scripts are on PATH; `needed` has the nodes that use each."""
    there = set(found)
    missing = {shell: nodes for shell, nodes in needed.items() if shell not in there}
    if missing:
        shown = ", ".join(f"{shell} (for {nodes[0]})" for shell, nodes in missing.items())
        return Check("shells", Verdict.BAD, f"not on PATH: {shown}", "install them, or choose another `shell`")
    return good("shells", ", ".join(needed) or "none is needed")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
