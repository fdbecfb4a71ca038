"""Names of a preview: of its nodes, ports and variables, on its host and in the web. Pure; source of no state."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256

from shipway.canonical import Json
from shipway.errors import UsageError, did_you_mean
from shipway.node_ids import escaped, member_of, readable, unescaped
from shipway.plan import Plan

BEFORE, COMPUTE, PORTS, MANIFEST, AFTER = "before", "compute", "ports", "manifest", "after"
INFRASTRUCTURE, DEPLOY, INIT = "infrastructure", "deploy", "init"
"""Names of nodes in their stage. `init` is a node of its own: what it did once says nothing of what the service holds now."""

NOTHING_TO_RUN = ":"
"""The script of a node that only notes that something is begun, so that the hook which takes it back has to run."""

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
"""What a service may be called: in ids, variables, host names and file names alike."""

FIRST_PORT, LAST_PORT, BLOCK, _BLOCKS = 61_000, 64_999, 100, 40
LOCAL = "127.0.0.1"
PREVIEWS = ".shipway/previews"
_LABEL = 63
"""The longest label of a host name. Source: RFC 1035, section 2.3.4."""

_DIGITS = 10
_CUT = re.compile(rf".*-[0-9a-f]{{{_DIGITS}}}")
_FNV_OFFSET, _FNV_PRIME = 0x811C9DC5, 0x01000193
"""Source: http://www.isthe.com/chongo/tech/comp/fnv/ (FNV-1a, 32 bit)."""


def service_node(name: str) -> str:
    """The node of a service in its stage: `service/api`."""
    return f"service/{name}"


def env_node(path: str) -> str:
    """The node of an env file in its stage, `env[api%2F.env]`: its path as a key of an id, so that it may name a file too."""
    return member_of("env", escaped(path))


def env_path_of(step: str) -> str:
    """The path of an env file by its node's name in its stage; empty for any other node."""
    return unescaped(step[len("env[") : -1]) if step.startswith("env[") and step.endswith("]") else ""


def port_variable(name: str) -> str:
    """The variable that tells hooks the port of `name`: `SHIPWAY_PORT_API`."""
    return "SHIPWAY_PORT_" + re.sub(r"[^A-Z0-9]", "_", name.upper())


def secret_name(service: str, output: str) -> str:
    """The secret by which a job that works with a manifest is handed a secret output: `POSTGRES_DSN`."""
    return re.sub(r"[^A-Z0-9]", "_", f"{service}_{output}".upper())


def kept_folder(lifecycle: str, target: str) -> str:
    """What is kept of an environment in the repository, its checkout too: `.shipway/previews/shop/pr-42`."""
    return f"{PREVIEWS}/{lifecycle}/{target}"


def compose_project(lifecycle: str, target: str) -> str:
    """What containers of a preview are called together: `shop-pr-42`. Two previews never have one name; at most 63 characters."""
    plain = f"{lifecycle}-{target}"
    return _label(plain, f"{lifecycle}/{target}", is_clear="-" not in lifecycle)


def host_label(target: str, service: str = "") -> str:
    """The first label of a service's host name, `pr-42--api`: at most 63 characters, another one for each target and service."""
    plain = f"{target}--{service}" if service else target
    return _label(plain, f"{target}/{service}", is_clear="--" not in target)


def service_url(target: str, service: str, port: Json, host: str, domain: str) -> str:
    """Where a service answers: by its own name below `domain` where there is one, else by its port; `host` empty: here."""
    if domain:
        return f"https://{host_label(target, service)}.{domain}"
    return f"http://{host or LOCAL}:{port}"


def mark(lifecycle: str, target: str, name: str = "") -> str:
    """What processes and containers of a preview bear, so that nobody else's are ever taken for its own: `shop/pr-42/api`."""
    return "/".join(filter(None, (lifecycle, target, name)))


def preferred_block(target: str) -> int:
    """The first port of the block that a target likes best: one of 40, each of 100 ports, from 61000 on.

    Decided by the name alone (FNV-1a of its UTF-8, 32 bit), so that a target made again is likely to get its ports again.
    """
    found = _FNV_OFFSET
    for byte in target.encode():
        found = ((found ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return FIRST_PORT + BLOCK * (found % _BLOCKS)


def found_node(plan: Plan, name: str) -> str:
    """The node of the plan with this id, as it is or as it is shown. Raises UsageError with the nearest and all in their order."""
    named = {readable(node): node for node in plan.by_id}
    if name in plan.by_id or name in named:
        return named.get(name, name)
    listed = ", ".join(f"`{readable(node)}`" for node in _in_order(plan))
    guess = did_you_mean(name, named)
    raise UsageError(f"there is no node `{name}`", next="; ".join(filter(None, (guess, f"the nodes are {listed}"))))


def _in_order(plan: Plan) -> Iterable[str]:
    return (node for node in plan.graph().topological_order() if node in plan.by_id)


def _label(plain: str, whole: str, *, is_clear: bool) -> str:
    """`plain` where it is a label that only `whole` can have got; else what is left of it with a digest of `whole` behind.

    One that ends like a digest gets one as well, so that no two ever meet.
    """
    slug = re.sub(r"[^a-z0-9-]", "-", plain.lower()).strip("-")
    if is_clear and slug == plain and len(slug) <= _LABEL and not _CUT.fullmatch(slug):
        return slug
    return f"{slug[: _LABEL - _DIGITS - 1].strip('-')}-{sha256(whole.encode()).hexdigest()[:_DIGITS]}".lstrip("-")
