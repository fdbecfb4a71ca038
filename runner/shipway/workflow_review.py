"""What is missing or dangerous in a workflow file, each with its line and the line to add. Pure; values and places in, checks out.

The file is read as data: nothing is run, and of expressions only what they name is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct

from shipway.canonical import Json, mapping
from shipway.checkup import Check, Verdict, good
from shipway.preview_review import GRANTS, GROUP, is_preview_job, missing_events
from shipway.source import Path_, SourceTree

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_TRUSTED_EVENTS = ("pull_request_target", "workflow_run", "issue_comment")
"""Here a job has this repository's secrets and a token that can write, also where a stranger began it. Source:
https://docs.github.com/en/actions/reference/security/securely-using-pull_request_target"""

_HEAD = re.compile(
    r"github\.head_ref|pull_request\.head|refs/pull/|workflow_run\.head|gh pr checkout|pull/\S*/(?:head|merge)"
)
"""What names the code of a pull request, in an input of a checkout or in a script."""

_FETCHES = re.compile(r"\bgit\b.*\b(?:fetch|pull|clone|checkout)\b|\bgh pr checkout\b", re.DOTALL)

_HOSTED = re.compile(r"(?:ubuntu|macos|windows)-")
"""What runners of GitHub are called; there `sudo` asks for no password. Source:
https://docs.github.com/en/actions/reference/runners/github-hosted-runners#administrative-privileges"""

_PLAN = {"contents": "read", "pull-requests": "write", "checks": "write", "actions": "read"}
_EXECUTE = {**_PLAN, "deployments": "write"}
_CHECK = {"contents": "read", "pull-requests": "read", "checks": "write", "actions": "read"}
_PUBLISH = {"contents": "read", "pull-requests": "write", "checks": "write", "actions": "read"}
_BARE = {"contents": "read"}
_EXECUTING = ("run", "preview")
_LOOKING = {
    "run": "executes, and looks for approved plans in its own workflow",
    "check": "looks for plans in its own workflow",
    "publish": "publishes",
}
"""Commands that ask for the plans of another run, and what is said of a job that does not say whose."""
_RANK = {"none": 0, "read": 1, "write": 2}


class Teller(StrEnum):
    """Whom a job tells the checks of a plan: heads of this repository's own branches, heads of forks, the commits of merge groups;
    `again`: heads whose base has moved."""

    HEADS = "heads"
    FORKS = "forks"
    GROUPS = "groups"
    AGAIN = "again"


class _Use(Struct, frozen=True):
    """How a job uses Shipway: whether it plans, executes or publishes, whether it posts, and which workflow it says plans."""

    command: str
    posts: bool
    workflow: str = ""

    @property
    def grants(self) -> Mapping[str, str]:
        """What the job's token has to be able to do."""
        if self.command == "publish":
            return _PUBLISH
        if self.command == "check":
            return _CHECK
        if not self.posts:
            return _BARE
        if self.command == "preview":
            return GRANTS
        return _EXECUTE if self.command == "run" else _PLAN


class _Job(Struct, frozen=True):
    """One job of a workflow, with where it stands."""

    id: str
    path: Path_
    content: Mapping[str, Json]
    steps: Sequence[Mapping[str, Json]]


class WorkflowReview:
    """The review of one file; `checks` gives what was found, in the order of the file, or that nothing was."""

    def __init__(self, tree: SourceTree, *, state_is_git: bool, has_previews: bool = False) -> None:
        self._tree = tree
        self._file = tree.files[0]
        self._root = mapping(tree.data)
        self._events = _events(self._root.get("on"))
        self._state_is_git = state_is_git
        self._has_previews = has_previews

    @property
    def events(self) -> frozenset[str]:
        """The names of the events that the workflow is for."""
        return self._events

    def uses(self) -> frozenset[str]:
        """What Shipway does in this file: `plan`, `run`, `publish`, `preview`, or as the input `command` says."""
        return frozenset(use.command for job in self._jobs() if (use := self._use(job)) is not None)

    def tells(self) -> Iterator[Teller]:
        """Whom the jobs here tell the checks that a rule of a branch can require."""
        done = {(use.command, use.posts) for job in self._jobs() if (use := self._use(job)) is not None}
        commands = {command for command, _ in done}
        if ("plan", True) in done and "pull_request" in self._events:
            yield Teller.HEADS
        if "publish" in commands:
            yield from (Teller.HEADS, Teller.FORKS)
        if "check" in commands and "merge_group" in self._events:
            yield Teller.GROUPS
        if "check" in commands and self._events & {"push", "schedule"}:
            yield Teller.AGAIN

    def unplanned(self) -> Iterator[str]:
        """Where a filter of paths keeps pull requests from being planned, as `file:line: key`."""
        told = mapping(mapping(self._root.get("on")).get("pull_request"))
        if "plan" in self.uses():
            for key in ("paths", "paths-ignore"):
                if key in told:
                    yield self._at(("on", "pull_request", key), f"`{key}`", key=True)

    def checks(self) -> Iterator[Check]:
        """Each thing that is missing (`look`) or dangerous (`bad`); one that is good where there is none."""
        found = [
            *self._preview_events(),
            *self._grants_at_top(),
            *(check for job in self._jobs() for check in self._job(job)),
        ]
        yield from found or [good("workflow", f"{self._file}: nothing is missing")]

    def unnamed(self, planning: Sequence[str]) -> Iterator[Check]:
        """The jobs here that execute or publish what the workflows `planning` (paths) plan, and do not say so.

        An executing job holds approvals against the plans of its own workflow, unless it names another one.
        """
        for job in self._jobs():
            use = self._use(job)
            if (
                use is None
                or use.command not in _LOOKING
                or not planning
                or self._file in planning
                or use.workflow in planning
            ):
                continue
            text = f"job `{job.id}` {_LOOKING[use.command]}; `{planning[0]}` is what plans"
            yield self._look(job.path, text, f"add `workflow: {planning[0]}` to the inputs of the action", key=True)

    def hosted(self) -> Iterator[str]:
        """The jobs here that execute on a runner of the forge, where every step may become root, with their lines."""
        for job in self._jobs():
            use = self._use(job)
            if use is not None and use.command == "run" and _HOSTED.match(str(job.content.get("runs-on", ""))):
                yield f"`{job.id}` ({self._file}:{self._tree.locate((*job.path, 'runs-on'), True).line})"

    @property
    def file(self) -> str:
        """The path of the file."""
        return self._file

    def _jobs(self) -> Iterator[_Job]:
        for name, value in mapping(self._root.get("jobs")).items():
            content = mapping(value)
            listed = content.get("steps")
            steps = (
                [mapping(step) for step in listed]
                if isinstance(listed, Sequence) and not isinstance(listed, str)
                else []
            )
            yield _Job(name, ("jobs", name), content, steps)

    def _grants_at_top(self) -> Iterator[Check]:
        if "permissions" not in self._root:
            text = "no `permissions`: every job has what the repository's settings give"
            yield self._look(
                ("jobs",), text, "add `permissions: {}` at the top, and to each job what it needs", key=True
            )
        elif self._root["permissions"] == "write-all":
            yield self._bad(
                ("permissions",), "every job may write everything", "write `permissions: {}`, and grants per job"
            )

    def _preview_events(self) -> Iterator[Check]:
        if "preview" in self.uses():
            for each in missing_events(self._root.get("on")):
                yield self._look(each.path, each.text, each.next, key=True)

    def _job(self, job: _Job) -> Iterator[Check]:
        yield from self._pins(job)
        yield from self._strangers(job)
        use = self._use(job)
        if use is None:
            return
        yield from self._refused(job, use)
        yield from self._grants(job, use)
        yield from self._concurrency(job, use)
        yield from self._credentials(job)

    def _pins(self, job: _Job) -> Iterator[Check]:
        """Actions, images and called workflows that somebody else can change without a commit here."""
        for path, uses in self._all_uses(job):
            name, _, ref = uses.partition("@")
            if (
                uses.startswith(("./", "$/"))
                or _COMMIT.fullmatch(ref)
                or (uses.startswith("docker:") and "@sha256:" in uses)
            ):
                continue
            if uses.startswith("docker:"):
                yield self._look(path, f"`{uses}` can be another image tomorrow", "write its digest: `@sha256:…`")
                continue
            repository = "/".join(name.split("/")[:2])
            commit = f"`git ls-remote https://github.com/{repository} {ref or 'HEAD'}` tells the full commit id to write behind `@`"
            yield self._look(path, f"`{uses}` is not pinned: a tag or branch can be moved", commit)

    def _all_uses(self, job: _Job) -> Iterator[tuple[Path_, str]]:
        if isinstance(called := job.content.get("uses"), str):
            yield (*job.path, "uses"), called
        for number, step in enumerate(job.steps):
            if isinstance(uses := step.get("uses"), str):
                yield (*job.path, "steps", number, "uses"), uses

    def _strangers(self, job: _Job) -> Iterator[Check]:
        """Code of a pull request in a job that has credentials whoever opened it."""
        events = sorted(self._events.intersection(_TRUSTED_EVENTS))
        if not events:
            return
        for number, step in enumerate(job.steps):
            given = mapping(step.get("with"))
            is_checkout = str(step.get("uses", "")).startswith("actions/checkout")
            for key in ("ref", "repository"):
                if is_checkout and _HEAD.search(str(given.get(key, ""))):
                    yield self._fork_code((*job.path, "steps", number, "with", key), events)
            script = str(step.get("run", ""))
            named = [script, *map(str, mapping(step.get("env")).values())]
            if _FETCHES.search(script) and any(map(_HEAD.search, named)):
                yield self._fork_code((*job.path, "steps", number, "run"), events)

    def _fork_code(self, path: Path_, events: Sequence[str]) -> Check:
        text = f"code of a pull request is fetched under `{events[0]}`, with this repository's secrets and a token that can write"
        return self._bad(
            path, text, "plan under `pull_request`, and publish under `workflow_run`: `shipway init --forks`"
        )

    def _refused(self, job: _Job, use: _Use) -> Iterator[Check]:
        refused = [
            event
            for event in sorted(self._events.intersection(_TRUSTED_EVENTS))
            if not (event == "workflow_run" and use.command == "publish")
        ]
        if refused:
            next = "use `pull_request` to plan, `push` to run, and `workflow_run` with `command: publish` to post"
            yield self._bad(
                job.path, f"job `{job.id}` uses Shipway under `{refused[0]}`, which is refused", next, key=True
            )

    def _grants(self, job: _Job, use: _Use) -> Iterator[Check]:
        """What the job's token has to be able to do, and whether it is told so where the job stands."""
        told = job.content.get("permissions", self._root.get("permissions"))
        path = (*job.path, "permissions") if "permissions" in job.content else job.path
        needed = dict(use.grants)
        if use.command in _EXECUTING and self._state_is_git:
            needed["contents"] = "write"
        listed = ", ".join(f"{name}: {level}" for name, level in needed.items())
        if told == "write-all":
            yield self._bad(
                path, f"job `{job.id}` may write everything", f"write `permissions: {{{listed}}}`", key=True
            )
        elif not isinstance(told, Mapping):
            yield self._look(
                path, f"job `{job.id}` has no `permissions` of its own", f"add `permissions: {{{listed}}}`", key=True
            )
        else:
            missing = [f"{name}: {level}" for name, level in needed.items() if _rank(told.get(name)) < _RANK[level]]
            if missing:
                text = f"job `{job.id}` lacks {', '.join(f'`{one}`' for one in missing)}"
                yield self._look(path, text, f"add to its `permissions`: {', '.join(missing)}", key=True)

    def _concurrency(self, job: _Job, use: _Use) -> Iterator[Check]:
        """That runs of one target wait for each other, that none is cut off, and that an old plan gives way to a new one."""
        own = "concurrency" in job.content
        told = job.content.get("concurrency", self._root.get("concurrency"))
        path = (*job.path, "concurrency") if own else ("concurrency",) if told is not None else job.path
        if use.command in ("publish", "check"):
            return
        if told is None:
            group = "{group: shipway-execute-TARGET, queue: max, cancel-in-progress: false}"
            if use.command == "preview":
                group = GROUP
            elif use.command != "run":
                group = "{group: 'shipway-plan-${{ github.event.pull_request.number }}', cancel-in-progress: true}"
            text = f"job `{job.id}` has no `concurrency`: " + (
                "two runs wait for each other by the lock alone"
                if use.command in _EXECUTING
                else "an old plan is made to its end"
            )
            yield self._look(path, text, f"add `concurrency: {group}`", key=True)
            return
        if use.command not in _EXECUTING:
            return
        cancels = mapping(told).get("cancel-in-progress", False)
        if cancels is True or (isinstance(cancels, str) and "pull_request" not in cancels and cancels != "false"):
            text = f"job `{job.id}` executes, and a newer run cuts it off in the middle"
            yield self._bad((*path, "cancel-in-progress"), text, "write `cancel-in-progress: false`", key=True)
        if mapping(told).get("queue") != "max":
            text = f"of the runs that wait for job `{job.id}`, all but the last are dropped"
            yield self._look(path, text, "add `queue: max` to its `concurrency`", key=True)

    def _credentials(self, job: _Job) -> Iterator[Check]:
        for number, step in enumerate(job.steps):
            is_checkout = str(step.get("uses", "")).startswith("actions/checkout")
            if is_checkout and mapping(step.get("with")).get("persist-credentials") not in (False, "false"):
                text = "the checkout leaves the job's token where every step can read it"
                path = (*job.path, "steps", number, "uses")
                yield self._look(path, text, "add `with: {persist-credentials: false}`")

    def _use(self, job: _Job) -> _Use | None:
        """How the job uses Shipway, None where it does not; `auto` is read from event and condition."""
        called = str(job.content.get("uses") or "")
        found = re.search(r"shipway[^/@]*/\.github/workflows/(plan|publish)\.yml@", called)
        if found:
            return _Use(found[1], posts=found[1] == "publish")
        for step in job.steps:
            name = str(step.get("uses", "")).partition("@")[0].lower()
            if name.rpartition("/")[2].endswith("shipway") or (name in ("./", "./.shipway-action") and self._is_own()):
                given = mapping(step.get("with"))
                posts = given.get("comment") not in (False, "false")
                command = self._command(str(given.get("command") or "auto"), job)
                return _Use(command, posts, str(given.get("workflow") or ""))
        return None

    def _is_own(self) -> bool:
        return "shipway" in str(self._root.get("name", "")).lower()

    def _command(self, command: str, job: _Job) -> str:
        condition = str(job.content.get("if", ""))
        if self._has_previews and is_preview_job(command, self._events) and "'push'" not in condition:
            return "preview"
        if command != "auto":
            return "plan" if command == "validate" else command
        if "workflow_run" in self._events:
            return "publish"
        is_plan = "'pull_request'" in condition or "push" not in self._events
        return "plan" if is_plan else "run"

    def _look(self, path: Path_, text: str, next: str, *, key: bool = False) -> Check:
        return Check("workflow", Verdict.LOOK, self._at(path, text, key=key), next)

    def _bad(self, path: Path_, text: str, next: str, *, key: bool = False) -> Check:
        return Check("workflow", Verdict.BAD, self._at(path, text, key=key), next)

    def _at(self, path: Path_, text: str, *, key: bool) -> str:
        return f"{self._file}:{self._tree.locate(path, key).line}: {text}"


def _events(told: Json) -> frozenset[str]:
    if isinstance(told, str):
        return frozenset({told})
    if isinstance(told, Mapping | Sequence):
        return frozenset(map(str, told))
    return frozenset()


def _rank(level: Json) -> int:
    return _RANK.get(str(level), 0)
