"""`shipway preview exec` and `logs`: a command or a shell where an environment lives, and what its services printed."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from argparse import Namespace
from collections.abc import Mapping

from shipway.action import ActionFailed
from shipway.canonical import Json, mapping
from shipway.commands.documents import write_out
from shipway.commands.preview_desk import Desk, open_desk
from shipway.commands.preview_texts import known_texts, recorded_contexts
from shipway.commands.preview_up import compute_of
from shipway.commands.setting import refuse_on_windows, refuse_strangers
from shipway.compute_access import Access
from shipway.context import Context, read_context
from shipway.environment import base_environment
from shipway.environment_record import EnvironmentRecord
from shipway.errors import EXIT_DONE, Reason, UnreachableError, UsageError, did_you_mean
from shipway.local_access import LocalAccess
from shipway.preview_names import PORTS, port_variable
from shipway.reaching import control_from
from shipway.render.foreign import inert
from shipway.ssh_access import SshAccess
from shipway.ssh_control import Control
from shipway.supervision import Service, tail


def run(arguments: Namespace) -> int:
    """That of the command, or 0 once the log was shown. Raises ShipwayError where there is no such environment or service."""
    context = read_context()
    refuse_on_windows(context)
    refuse_strangers(context)
    with open_desk(arguments, context, writes=False) as desk:
        record = desk.known()
        compute = compute_of(record)
        if compute is None or not compute.outputs.get("root"):
            raise UsageError(
                f"the environment `{desk.target}` is {record.state.value}: it lives nowhere",
                reason=Reason.RUN_UNKNOWN,
                next="`shipway preview up` makes it",
            )
        try:
            if arguments.part == "logs":
                return _logs(arguments, record, _access(compute.outputs, record, desk, context))
            return _exec(arguments.words, compute.outputs, record, desk, context)
        except ActionFailed as error:
            raise UnreachableError(
                f"`{desk.target}` cannot be reached: {error}", next="`shipway preview status` says what is there"
            ) from error


def _logs(arguments: Namespace, record: EnvironmentRecord, access: Access) -> int:
    """The last lines of a service's log, or of each service's, with its name before every line."""
    steps = [node.partition("/")[2] for node, each in record.checkpoints.items() if "log" in each.outputs]
    services = sorted(step.removeprefix("service/") for step in steps)
    lines = max(1, arguments.lines)
    if arguments.service is None:
        if not services:
            raise UsageError(f"`{record.target}` runs no service", next="`shipway preview status` says what there is")
        widest = max(map(len, services))
        for name in services:
            printed = inert(tail(access, Service(name, ""), lines)).splitlines()
            write_out("".join(f"{name:<{widest}} | {line}\n" for line in printed))
        return EXIT_DONE
    if arguments.service not in services:
        known = "it has " + ", ".join(f"`{name}`" for name in services) if services else "it has none"
        raise UsageError(
            f"`{record.target}` runs no service `{arguments.service}`",
            next=did_you_mean(arguments.service, services) or known,
        )
    write_out(inert(tail(access, Service(arguments.service, ""), lines)))
    return EXIT_DONE


def _exec(
    words: list[str], compute: Mapping[str, Json], record: EnvironmentRecord, desk: Desk, context: Context
) -> int:
    """The command with this terminal as its own."""
    variables = _variables(compute, record)
    root = str(compute["root"])
    if not compute.get("host"):
        if not os.path.isdir(root):
            raise ActionFailed(f"`{root}` is not there")
        shell = context.env.get("SHELL") or "/bin/sh"
        env = {**base_environment(context.env), **variables}
        try:
            return _code(subprocess.run(words or [shell], cwd=root, env=env, check=False))
        except OSError as error:
            raise UsageError(f"`{words[0] if words else shell}` cannot be run: {error.strerror or error}") from error
    control = _control(compute, record, desk, context)
    control.open()
    exports = "".join(f"export {name}={shlex.quote(value)}; " for name, value in variables.items())
    asked = f"exec {shlex.join(words)}" if words else 'exec "${SHELL:-/bin/sh}" -l'
    terminal = ["-t"] if context.stdin_is_tty and not words else []
    program = f"{exports}cd -- {shlex.quote(root)} && {asked}"
    argv = ["ssh", *control.command, *terminal, "--", control.host.name, program]
    return _code(subprocess.run(argv, env=control.env, check=False))


def _code(done: subprocess.CompletedProcess[bytes]) -> int:
    """As a shell tells it: that of one that a signal has ended is 128 and its number."""
    return done.returncode if done.returncode >= 0 else 128 - done.returncode


def _variables(compute: Mapping[str, Json], record: EnvironmentRecord) -> dict[str, str]:
    """What hooks of this environment know of it, and no secret."""
    found = {
        "SHIPWAY_LIFECYCLE": record.lifecycle,
        "SHIPWAY_TARGET": record.target,
        "SHIPWAY_COMPUTE_ROOT": str(compute["root"]),
    }
    for node, checkpoint in record.checkpoints.items():
        if node.partition("/")[2] == PORTS:
            found |= {port_variable(name): str(port) for name, port in checkpoint.outputs.items() if name != "made"}
    return found


def _access(compute: Mapping[str, Json], record: EnvironmentRecord, desk: Desk, context: Context) -> Access:
    if not compute.get("host"):
        return LocalAccess(str(compute["root"]), base_environment(context.env))
    return SshAccess(str(compute["root"]), _control(compute, record, desk, context))


def _control(compute: Mapping[str, Json], record: EnvironmentRecord, desk: Desk, context: Context) -> Control:
    """The connection, by what the declaration that made the environment says of it, with the secrets that are set here."""
    data = mapping(json.loads(record.declaration))
    stages = [mapping(mapping(stage).get("with")) for stage in mapping(data.get("stages")).values()]
    ssh = next((mapping(each) for stage in stages if (each := mapping(stage.get("compute")).get("ssh"))), {})
    said = known_texts({name: str(text) for name, text in ssh.items()}, recorded_contexts(record, context))
    return control_from(compute, said, desk.repository.root, base_environment(context.env))
