"""The manifest of an environment: what a `runner` needs to run in another job, without a secret in it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from shipway import schema
from shipway.canonical import Json, canonical_bytes, digest, load_sealed, mapping
from shipway.errors import Reason, UsageError, VerificationError

KIND: Final = "preview-manifest"
SCHEMA = 1

_PARTS = ("lifecycle", "target", "compute", "ports", "services", "infrastructure", "provisioner")
_SECRET = "secret"


def manifest_bytes(values: Mapping[str, Json], tree: str) -> bytes:
    """The document, sealed: `values` (lifecycle, target, compute, ports, services, infrastructure, provisioner) of one tree.

    What a value lacks that its type has room for is left out. Raises UsageError (`document-invalid`) for values that make none.
    """
    document: dict[str, Json] = {"kind": KIND, "schema": SCHEMA, "tree": tree}
    document |= {name: values.get(name, {}) for name in _PARTS}
    document["digest"] = digest(document)
    schema.require(KIND, document)
    return canonical_bytes(document)


def load_manifest(content: bytes, *, lifecycle: str, target: str, tree: str | None) -> Mapping[str, Json]:
    """The manifest in `content`, for a `runner` of that lifecycle and target whose tree is `tree` (None: it is not compared).

    Raises VerificationError for one that was altered, or is of another tree, and UsageError for anything else.
    """
    found = load_sealed(content, kind=KIND, versions=(SCHEMA,), reason=Reason.DOCUMENT_INVALID)
    schema.require(KIND, found)
    if (found["lifecycle"], found["target"]) != (lifecycle, target):
        raise UsageError(
            f"the manifest is of `{found['target']}` of `{found['lifecycle']}`, not of `{target}` of `{lifecycle}`",
            reason=Reason.DOCUMENT_INVALID,
            next="give the one of this target",
        )
    if tree is not None and found["tree"] != tree:
        raise VerificationError(
            f"the manifest is of the tree {found['tree'] or 'of no commit'}, and this is {tree or 'no commit'}",
            reason=Reason.DOCUMENT_INVALID,
            next="check out the commit that the provisioner ran at, or run the provisioner again",
        )
    return found


def secrets_in(manifest: Mapping[str, Json]) -> list[str]:
    """The references to secrets, `node#output`, in order; each once."""
    return list(dict.fromkeys(_references(manifest)))


def with_references(value: Json, replace: Callable[[str], Json]) -> Json:
    """The value with each reference to a secret replaced by what `replace` makes of its `node#output`."""
    if isinstance(value, Mapping):
        if set(value) == {_SECRET}:
            return replace(str(value[_SECRET]))
        return {name: with_references(each, replace) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [with_references(each, replace) for each in value]
    return value


def reference(node: str, output: str) -> dict[str, Json]:
    """What stands in place of a secret output."""
    return {_SECRET: f"{node}#{output}"}


def split_reference(text: str) -> tuple[str, str]:
    """The node and the output that a reference names."""
    node, _, output = text.rpartition("#")
    return node, output


def _references(value: Json) -> Iterator[str]:
    if isinstance(value, Mapping):
        if set(value) == {_SECRET}:
            yield str(value[_SECRET])
            return
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _references(each)


def without_counts(compute: Json) -> dict[str, Json]:
    """What node `compute` handed on, without what says nothing to anybody else."""
    return {name: value for name, value in mapping(compute).items() if name != "made" and value is not None}
