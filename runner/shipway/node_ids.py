"""Ids of nodes: `stage/step`, `stage/step[key]` inside a gather, `stage/step/inner` in a body. Pure; safe as file names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from urllib.parse import unquote

MAX_KEY = 128
"""The longest key, in characters of the id: a node's files are named after it."""

_GATE, _OPEN = "[*]", "[?]"
_KEY = re.compile(r"\[[^\]]*\]")
_UNSAFE = re.compile(r"[^A-Za-z0-9._@+=-]")
_PLAIN_PATH = re.compile(r"[A-Za-z0-9._@/-]+")


def gate_of(node: str) -> str:
    """The vertex that stands for a node and all that belongs to it: `stage/step[*]`."""
    return node + _GATE


def is_gate(vertex: str) -> bool:
    """Whether a vertex stands for a node and all that belongs to it."""
    return vertex.endswith(_GATE)


def owner_of(gate: str) -> str:
    """The node that a gate stands for; any other vertex is returned as it is."""
    return gate.removesuffix(_GATE)


def template_of(node: str) -> str:
    """What the ids of a node's templates begin with, where its members have their keys: `stage/step[?]`."""
    return node + _OPEN


def written_as(node: str) -> str:
    """The id in whose place a node stands: that of its template where it is a member of a gather."""
    return _KEY.sub("[?]", node)


def member_of(node: str, key: str) -> str:
    """The member of a node under a key."""
    return f"{node}[{key}]"


def escaped(text: str) -> str:
    """`text` as it may stand in an id and in the name of a file: every other character as `%` and its UTF-8 bytes."""
    return _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "replace")), text)


def unescaped(text: str) -> str:
    """What `escaped` was given."""
    return unquote(text)


def readable(node: str) -> str:
    """An id for people: `runner/env[api/.env.local]` of `runner/env[api%2F.env.local]`."""
    return _KEY.sub(lambda found: unescaped(found[0]), node) if "%" in node else node


def meant(name: str, nodes: Iterable[str]) -> str:
    """The id that a person who typed `name` means: as it is, or as it is shown; `name` itself where there is none."""
    return name if "[" not in name else next((node for node in nodes if name in (node, readable(node))), name)


def named_by_path(name: str, path: str, behind: str = "") -> str:
    """The name of a node that is about the file `path` below what is called `name`: `home+.config+nvim+init.lua`.

    Two paths never have one name, whatever is put `behind` it. A long one is cut, with a digest behind it.
    """
    # What stays as it is when nothing of it is a sign of ours needs no look at each of its parts.
    parts = [path] if _PLAIN_PATH.fullmatch(path) else map(_part, path.split("/"))
    whole = "+".join([name, *parts]).replace("/", "+") + behind
    if len(whole) <= MAX_KEY:
        return whole
    return f"{whole[: MAX_KEY - 17]}={sha256(whole.encode()).hexdigest()[:16]}"


def _part(text: str) -> str:
    return escaped(text).replace("+", "%2B").replace("=", "%3D")


def body_of(node: str) -> str:
    """What encloses a node: its stage, or the node whose body it is in, with its key."""
    return node.rpartition("/")[0]


def bodies_of(node: str) -> Iterator[str]:
    """The nodes that a node is inside of: `stage/each[a]/step` is in `stage/each[a]`, and that in `stage/each`."""
    while "/" in (node := node.rpartition("[")[0] if node.endswith("]") else node.rpartition("/")[0]):
        yield node


def turns_of(node: str) -> Iterator[tuple[str, str]]:
    """The gathers around a node, outermost first, each with the iteration that the node belongs to."""
    at = node.find("]")
    while at >= 0:
        iteration = node[: at + 1]
        yield iteration[: iteration.rindex("[")], iteration
        at = node.find("]", at + 1)
