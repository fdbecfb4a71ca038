"""What a job of the action is about: its inputs, and what event, declaration and target come to. Executes nothing."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from shipway.ci import CiContext, Token, origin
from shipway.commands.setting import find_file, find_target, repository_of
from shipway.context import Context
from shipway.declaration import Declaration
from shipway.declaration_files import overlay_of
from shipway.environment import BASE_NAMES
from shipway.errors import Reason, UsageError
from shipway.loading import load_declaration
from shipway.preview_trigger import BY_COMMAND, MODE, has_previews, own_target, preview_work, refused_work
from shipway.render.workflow import WorkflowLog
from shipway.repository import Repository
from shipway.trigger import Work, commanded_work

_COMMANDS = ("auto", "plan", "run", "validate", "check", "drift", "publish", *BY_COMMAND)
_PREFIX = "SHIPWAY_INPUT_"


class Inputs(Struct, frozen=True):
    """The action's inputs, as its steps pass them. `service` is whose a `reset` is; `remove` None: as the event wants."""

    command: str
    file: str
    target: str
    comment: bool
    workflow: str
    break_glass: str | None = None
    service: str = ""
    remove: bool | None = None


class Job(Struct, frozen=True):
    """What this job is about: declaration, checkout, target, and what the event leads to. Nothing is read of it twice."""

    context: Context
    ci: CiContext
    file: Path
    repository: Repository
    declared: Declaration
    target: str
    work: Work
    workflow: str = ""
    comments: bool = True

    @property
    def lifecycle(self) -> str:
        """The lifecycle's name."""
        return self.declared.name


def action_context(context: Context) -> tuple[Context, Inputs]:
    """The context with the action's token and working directory in place. Raises UsageError for inputs that cannot be."""
    if context.ci is None:
        raise UsageError("`shipway action` runs in a job of a CI", next="use `shipway plan` or `shipway run` here")
    given = {name.removeprefix(_PREFIX): value for name, value in context.env.items() if name.startswith(_PREFIX)}
    command, comment = given.get("COMMAND") or "auto", given.get("COMMENT") or "true"
    if command not in _COMMANDS:
        raise UsageError(
            f"input `command` is `{command}`", next="use one of " + ", ".join(f"`{word}`" for word in _COMMANDS)
        )
    if comment not in ("true", "false"):
        raise UsageError(f"input `comment` is `{comment}`", next="use `true` or `false`")
    token = given.get("TOKEN", "")
    remove = given.get("REMOVE", "")
    if remove not in ("", "true", "false"):
        raise UsageError(f"input `remove` is `{remove}`", next="use `true` or `false`")
    ci = replace(context.ci, token=Token(token, origin(context.ci.api_url)) if token else context.ci.token)
    cwd = context.cwd / (given.get("WORKING_DIRECTORY") or ".")
    if not cwd.is_dir():
        raise UsageError(f"input `working-directory` is `{given['WORKING_DIRECTORY']}`, which is no folder here")
    inputs = Inputs(
        command,
        given.get("FILE", ""),
        given.get("TARGET", ""),
        comment == "true",
        given.get("WORKFLOW", ""),
        given.get("BREAK_GLASS") or None,
        given.get("SERVICE", ""),
        remove == "true" if remove else None,
    )
    return replace(context, ci=ci, cwd=cwd), inputs


def told_by_event(context: Context, inputs: Inputs) -> Work:
    """What event and payload alone lead to. Raises UsageError for a refusal, before a file of the checkout is looked at."""
    assert context.ci is not None
    work = refused_work(inputs.command, context.ci) or commanded_work(inputs.command, context.ci)
    if work.reason in (Reason.EVENT_REFUSED, Reason.FORK_CODE):
        raise UsageError(work.why, reason=work.reason, next=work.next)
    return work


def job_of(context: Context, inputs: Inputs, log: WorkflowLog) -> Job:
    """Find out what is to be done, and mask the lifecycle's secrets before anything else is printed."""
    ci = context.ci
    assert ci is not None
    file = find_file(Namespace(file=inputs.file), context)
    repository = repository_of(file, context)
    target = inputs.target or _own_target(ci, file, repository) or find_target("", file, repository)
    declared = load_declaration(file, root=repository.root, target=target)
    for name in declared.secrets:
        log.mask(context.env.get(name, ""))
    patterns = declared.target_rule(target).on
    work = commanded_work(inputs.command, ci, patterns)
    if has_previews(declared):
        work = preview_work(inputs.command, ci, target, patterns) or work
    elif inputs.command in BY_COMMAND:
        raise UsageError(
            f"`{declared.name}` has no stage of mode `{MODE}` on `{target}`",
            next=f"declare one, or leave `command: {inputs.command}` out; see docs/preview.md",
        )
    context = context if work.is_trusted else _without_credentials(context)
    return Job(context, ci, file, repository, declared, target, work, inputs.workflow, inputs.comment)


def _own_target(ci: CiContext, file: Path, repository: Repository) -> str:
    """The environment of the pull request that the job is about; empty where there is none, or the lifecycle has none for it."""
    own = own_target(ci)
    if not own or not speaks_of_previews(file):
        return ""
    try:
        declared = load_declaration(file, root=repository.root, target=own)
    except UsageError:
        return ""  # none of a closed list of targets, or broken, which is told of whatever target it is read for
    return own if has_previews(declared) else ""


def speaks_of_previews(file: Path) -> bool:
    """Whether a declaration, or its overlay for pull requests, could have stages of mode `preview`; one reading less where not."""
    overlay = overlay_of(file, "pr-0")
    return any(MODE.encode() in path.read_bytes() for path in (file, overlay) if path is not None)


def _without_credentials(context: Context) -> Context:
    """The context for a stranger's code: none of the job's own variables, no token."""
    kept = {
        name: value
        for name, value in context.env.items()
        if name in BASE_NAMES or (name.startswith(("GITHUB_", "RUNNER_")) and "TOKEN" not in name)
    }
    return replace(context, env=kept, ci=replace(context.ci, token=None) if context.ci else None)
