"""`shipway doctor`: looks at this machine and checkout for what a run will need. Changes nothing."""

from __future__ import annotations

import json
import os
import shutil
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from shipway.checkup import (
    Check,
    Verdict,
    check_disk,
    check_git,
    check_python,
    check_secrets,
    check_shells,
    check_user,
    good,
)
from shipway.commands.documents import write_out
from shipway.commands.forge_checks import forge_checks
from shipway.commands.github_checks import github_checks
from shipway.commands.other_forges import other_forge, set_up_there
from shipway.commands.setting import find_file, find_target, repository_of, surroundings
from shipway.commands.signing_check import check_signing
from shipway.commands.stores import open_store
from shipway.context import Context, read_context
from shipway.declaration import Declaration, StateStore
from shipway.errors import EXIT_DONE, EXIT_USAGE, ShipwayError
from shipway.evaluation import secrets_named
from shipway.events import Events
from shipway.holding import load_kept
from shipway.lifecycle import check_lifecycle
from shipway.loading import load_declaration
from shipway.locks import PREFIX
from shipway.nodes import Immediate, Node
from shipway.plan import Plan
from shipway.receipt import Receipt
from shipway.registry import ACTION_GROUP, BACKEND_GROUP, Registry, installed_extensions
from shipway.render import terminal
from shipway.render.checks import checks_json, render_checks
from shipway.render.wording import plural
from shipway.repository import Repository, open_repository
from shipway.undertaking import Request
from shipway.workspace import DIRECTORY


class _Nowhere:
    def report(self, plan: Plan | None, receipt: Receipt | None) -> None:
        """A check-up has nothing to report."""


def run(arguments: Namespace) -> int:
    """0 where nothing is in the way of a run, else 2."""
    context = read_context()
    checks = list(_on_github(arguments, context) if arguments.github else _checks(arguments, context))
    if arguments.json:
        write_out(json.dumps(checks_json(checks), ensure_ascii=False) + "\n")
    else:
        stream = terminal.standard_output()
        colour = stream.isatty() and not context.no_color
        write_out(render_checks(checks, colour=colour, columns=context.columns, quiet=arguments.quiet))
    return EXIT_USAGE if any(check.verdict is Verdict.BAD for check in checks) else EXIT_DONE


def _checks(arguments: Namespace, context: Context) -> Iterator[Check]:
    yield check_python(context.platform.python, f"{context.platform.os}/{context.platform.arch}")
    yield check_user(
        os.geteuid() if hasattr(os, "geteuid") else None, has_sudo=_has_sudo(context), in_ci=context.ci is not None
    )
    try:
        repository = open_repository(_around(arguments, context), context.env)
    except ShipwayError as error:
        yield Check("git", Verdict.BAD, error.message, error.next or "see what git says above")
        return
    yield from _git_checks(repository, context)
    yield from _workspace_checks(repository)
    yield from _lifecycle_checks(arguments, context, repository)
    yield from _extension_checks()
    yield from forge_checks(context, repository)


def _on_github(arguments: Namespace, context: Context) -> Iterator[Check]:
    """The workflows of this checkout and the settings of its repository on GitHub, and nothing of this machine."""
    try:
        repository = open_repository(_around(arguments, context), context.env)
        file = find_file(arguments, context)
        declared = load_declaration(file, root=repository.root)
        target = find_target(arguments.target, file, repository)
    except ShipwayError as error:
        yield _unusable(error)
        return
    elsewhere = other_forge(context, repository)
    if elsewhere is not None:
        yield from set_up_there(elsewhere, repository.root)
        return
    yield from github_checks(context, repository, declared, target)


def _around(arguments: Namespace, context: Context) -> Path:
    folder = (context.cwd / arguments.file).parent if arguments.file else context.cwd
    return folder if folder.is_dir() else context.cwd


def _has_sudo(context: Context) -> bool:
    """Whether this is a hosted runner, where every step may become root; nowhere else is sudo tried."""
    return context.env.get("RUNNER_ENVIRONMENT") == "github-hosted" and shutil.which("sudo") is not None


def _git_checks(repository: Repository, context: Context) -> Iterator[Check]:
    if shutil.which("git", path=context.env.get("PATH")) is None:
        yield Check("git", Verdict.BAD, "git is not on PATH", "install git")
        return
    if not repository.is_git:
        text = f"{repository.root} is in no git repository: a plan is bound to the files here, and to no commit"
        yield Check("git", Verdict.LOOK, text, "make one with `git init`")
        return
    from shipway.remotes import read_checkout, read_origin  # late: git's library takes 80 ms

    checkout = read_checkout(repository.root)
    yield check_git(checkout.git_version)
    if repository.commit is None:
        yield Check(
            "checkout", Verdict.LOOK, f"{repository.root} has no commit yet", "commit, so that a plan can name it"
        )
    elif checkout.is_shallow:
        text = "a shallow clone: the merge base of a pull request may lie outside it"
        yield Check("checkout", Verdict.LOOK, text, "`git fetch --unshallow`; in a workflow `fetch-depth: 0`")
    else:
        dirty = len(repository.changed)
        changed = f", {dirty} tracked file{'s' if dirty > 1 else ''} differ{'' if dirty > 1 else 's'}" if dirty else ""
        yield good("checkout", f"{repository.root} at {repository.commit[:7]}{changed}")
    if repository.commit is not None:
        yield _check_branch(repository, read_origin(repository.root).default_branch, is_ci=context.ci is not None)
    if checkout.ignores_ours:
        yield good("ignored", f"{DIRECTORY}/ is ignored by git")
    else:
        yield Check("ignored", Verdict.LOOK, f"{DIRECTORY}/ is not ignored by git", f"add `{DIRECTORY}/` to .gitignore")


def _check_branch(repository: Repository, default: str | None, *, is_ci: bool) -> Check:
    if repository.branch is None:
        if is_ci:
            return good("branch", "a detached head, as in CI")
        return Check(
            "branch", Verdict.LOOK, "a detached head", "`git switch` to a branch, unless that is what you want"
        )
    if default is None:
        text = f"on {repository.branch}; which branch is the default one is not known here"
        return Check("branch", Verdict.LOOK, text, "`git remote set-head origin --auto`")
    if repository.branch != default:
        return good("branch", f"on {repository.branch}; pushes to {default} execute, unless `on` says otherwise")
    return good("branch", f"on {repository.branch}, the default branch")


def _workspace_checks(repository: Repository) -> Iterator[Check]:
    place = repository.root / DIRECTORY
    is_there = place.exists()
    if is_there and not place.is_dir():
        yield Check("receipts", Verdict.BAD, f"{place} is no folder", "move it away: runs and receipts are kept there")
    elif not os.access(place if is_there else repository.root, os.W_OK | os.X_OK):
        yield Check("receipts", Verdict.BAD, f"{place} cannot be written", "give write permission there")
    else:
        yield good("receipts", f"kept in {DIRECTORY}/receipts")
    yield check_disk(shutil.disk_usage(repository.root).free)


def _lifecycle_checks(arguments: Namespace, context: Context, repository: Repository) -> Iterator[Check]:
    try:
        file = find_file(arguments, context)
        repository = repository_of(file, context)
        target = find_target(arguments.target, file, repository)
        plan = check_lifecycle(Request(file, target), surroundings(context, repository, Events(), _Nowhere()))
    except ShipwayError as error:
        yield _unusable(error)
        return
    nodes = f"{len(plan.nodes)} node{'' if len(plan.nodes) == 1 else 's'}"
    yield good("declaration", f"{plan.source.file}: {plan.lifecycle} → {plan.target}, {nodes}")
    shells = _shells(plan)
    path = context.env.get("PATH", "")
    yield check_shells(shells, [name for name in shells if _is_there(name, path)])
    named: dict[str, list[str]] = {}
    for node in plan.nodes:
        for name in secrets_named(node):
            named.setdefault(name, []).append(node.id)
    declared = load_declaration(file, root=repository.root, target=target)
    if declared.state.url:
        named.setdefault(declared.state.url, []).append("state")
    yield check_secrets(named, plan.secrets, [name for name in named if context.env.get(name)])
    yield _check_state(declared, context, repository)
    yield from check_signing(declared, context, repository)


def _check_state(declared: Declaration, context: Context, repository: Repository) -> Check:
    """Whether the store of the state answers; whether it may be written, only writing tells."""
    if declared.state.store is StateStore.LOCAL:
        return good("state", "in this checkout: a run elsewhere is neither locked out nor known here")
    secrets = {name: context.env[name] for name in declared.secrets if context.env.get(name)}
    try:
        store = open_store(declared.state, secrets, context, repository, writes=False)
        try:
            held = sum(load_kept(key, kept, store).holder is not None for key, kept in store.entries(PREFIX).items())
        finally:
            store.close()
    except ShipwayError as error:
        return Check("state", Verdict.BAD, error.message, error.next)
    return good(
        "state", f"{store.name} answer{'' if store.name.startswith('refs') else 's'}; {plural(held, 'lock')} held"
    )


def _unusable(error: ShipwayError) -> Check:
    if not error.problems:
        return Check("declaration", Verdict.BAD, error.message, error.next)
    first, others = error.problems[0], len(error.problems) - 1
    where = f"{first.where}: " if first.where else ""
    more = f", and {others} more" if others else ""
    return Check("declaration", Verdict.BAD, f"{where}{first.text}{more}", "`shipway validate` shows all of it")


def _shells(plan: Plan) -> dict[str, list[str]]:
    """The programs that run the scripts, with the nodes that use each."""
    found: dict[str, list[str]] = {}
    for node in plan.nodes:
        if node.action == "shell.exec":
            found.setdefault(_shell(node), []).append(node.id)
    return found


def _shell(node: Node) -> str:
    slot = node.slots.get("shell")
    words = str(slot.value).split() if isinstance(slot, Immediate) and slot.value else ["bash"]
    return words[0]


def _is_there(name: str, path: str) -> bool:
    names = ("python", "python3") if name == "python" else (name,)
    return any(shutil.which(one, path=path) for one in names)


def _extension_checks() -> Iterator[Check]:
    registry = Registry()
    for group, what in ((ACTION_GROUP, "action"), (BACKEND_GROUP, "backend")):
        for found in sorted(installed_extensions(group), key=lambda extension: extension.name):
            try:
                if group == ACTION_GROUP:
                    registry.find_action(found.name)
                else:
                    mode, _, name = found.name.partition("/")
                    registry.find_backend(mode, name)
                yield good("extension", f"{what} {found.name} of {found.origin}")
            except ShipwayError as error:
                yield Check("extension", Verdict.BAD, error.message, error.next or f"remove {found.origin}")
