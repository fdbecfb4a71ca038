"""Which access a node has to where its preview lives, by what node `compute` said of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from shipway.action import ActionFailed, PlanWork, Work
from shipway.canonical import Json, mapping
from shipway.compute_access import ROOT_MISSING, Access, Refused, Unreachable
from shipway.environment import BASE_NAMES
from shipway.file_state import locate
from shipway.local_access import LocalAccess
from shipway.nodes import Verified
from shipway.ssh_access import SshAccess
from shipway.ssh_control import Control, Host


def open_access(compute: Mapping[str, Json], work: PlanWork | Work) -> Access:
    """The access to `compute`, the outputs of its node; to a host by the slot `ssh` of the node that asks.

    Connects to nothing yet. Raises Refused for facts that make no sense.
    """
    root = str(compute.get("root") or "")
    if not root.startswith("/") or "\0" in root:
        raise Refused(f"`{root}` is not the absolute path of a preview")
    if compute.get("kind") != "ssh":
        return LocalAccess(root, base_of(work))
    if isinstance(work, PlanWork) and "ssh" in work.unknown:
        raise Unreachable(f"how to connect is not known yet: it waits for {work.unknown['ssh']}")
    return SshAccess(root, control_of(compute, work))


def access_of(work: PlanWork | Work) -> Access:
    """The access to where the preview of a node lives, as its slots `compute` and `ssh` say."""
    return open_access(mapping(work.inputs.get("compute")), work)


def outside_of(access: Access) -> Access:
    """The same machine from its root, for what has to work where the root of the preview is gone."""
    if isinstance(access, SshAccess):
        return SshAccess("/", access.control)
    assert isinstance(access, LocalAccess)
    return LocalAccess("/", access.base)


def repository_access(work: PlanWork | Work) -> LocalAccess:
    """The repository, in which hooks of the provisioner and of the compute run."""
    return LocalAccess(str(work.root), base_of(work))


def control_of(compute: Mapping[str, Json], work: PlanWork | Work) -> Control:
    """The connection of a node to the host of `compute`."""
    return control_from(compute, work.inputs.get("ssh"), work.root, work.env)


def control_from(compute: Mapping[str, Json], ssh: Json, root: Path, env: Mapping[str, str]) -> Control:
    """The connection to the host of `compute` from the repository `root`. Raises ActionFailed where it cannot be described."""
    given = mapping(ssh)
    known = str(given.get("known_hosts") or "")
    try:
        content = locate(root, known, "known_hosts").read_bytes() if known else None
    except OSError as error:
        raise ActionFailed(f"`known_hosts`: `{known}` cannot be read: {error.strerror}", is_permanent=True) from error
    port = compute.get("port") or 22
    if not isinstance(port, int):
        raise Refused(f"`{port}` is no port")
    host = Host(
        str(compute.get("host") or ""), str(compute.get("user") or ""), port, str(given.get("key") or ""), content
    )
    return Control(host, env)


def base_of(work: PlanWork | Work) -> dict[str, str]:
    """The part of a node's environment that is the machine's, and is told to no host."""
    declared = declared_env(work)
    return {name: value for name, value in work.env.items() if name not in declared}


def declared_env(work: PlanWork | Work) -> dict[str, str]:
    """The part of a node's environment that its declaration names."""
    named = work.node.env
    return {name: value for name, value in work.env.items() if name in named or name not in BASE_NAMES}


def gone_with_root(look: Callable[[], Verified]) -> Verified:
    """What `look` says; gone where the root of the preview is not there, and so nothing in it."""
    try:
        return look()
    except ActionFailed as error:
        if nothing_there(error):
            return Verified.GONE
        raise


def nothing_there(error: ActionFailed) -> bool:
    """Whether an error says that the root of the preview is not there, and so nothing in it."""
    return error.code == ROOT_MISSING
