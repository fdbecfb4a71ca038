"""A runner that works with the manifest of another job: the declaration for it, and the secrets that the manifest only names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from shipway.action import ActionFailed
from shipway.canonical import Json
from shipway.checkpoint_store import opened_of
from shipway.commands.preview_desk import Desk, derived_file, shelf_of
from shipway.context import Context
from shipway.errors import Reason, UsageError
from shipway.expressions import to_text
from shipway.loading import load_declaration
from shipway.preview_derivation import alone, recorded_data
from shipway.preview_manifest import load_manifest, secrets_in, split_reference
from shipway.preview_names import secret_name


class Handed(Struct, frozen=True):
    """The derived declaration, and the environment with the secrets that it names."""

    file: Path
    env: Mapping[str, str]


def handed_over(path: Path, desk: Desk, context: Context) -> Handed:
    """What a runner works with. Raises ShipwayError for a manifest of something else, and where a secret cannot be had."""
    if desk.declared is None:
        raise UsageError("the declaration cannot be read", next="`shipway validate` says why")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"the manifest `{path}` cannot be read: {error.strerror}", reason=Reason.DOCUMENT_INVALID
        ) from error
    manifest = load_manifest(content, lifecycle=desk.lifecycle, target=desk.target, tree=desk.repository.tree or "")
    secrets = _secrets(manifest, desk, context)
    data = alone(recorded_data(desk.declared), manifest)
    return Handed(derived_file(desk, "up", data), {**context.env, **secrets})


def told_by(desk: Desk, file: Path) -> Desk:
    """The same, with what the record is told: where nothing is known of who provisioned it, only what runs is ours to remove."""
    record = desk.record()
    if record is not None and record.is_alive and record.checkpoints:
        return desk
    return replace(desk, declared=load_declaration(file, root=desk.repository.root, target=desk.target))


def _secrets(manifest: Mapping[str, Json], desk: Desk, context: Context) -> dict[str, str]:
    """Each by the name that the declaration gives it: set in the environment, else as the record of the environment has it."""
    found: dict[str, str] = {}
    for reference in secrets_in(manifest):
        node, output = split_reference(reference)
        name = secret_name(node.rpartition("/")[2], output)
        value = context.env.get(name) or _recorded(node, output, desk, context)
        if not value:
            raise UsageError(
                f"the manifest refers to the secret `{reference}`, and it is not kept where this can read it",
                next=f"set `{name}` in the environment, or give `state` a store and a key that both jobs have",
            )
        found[name] = value
    return found


def _recorded(node: str, output: str, desk: Desk, context: Context) -> str:
    record, declared = desk.record(), desk.declared
    checkpoint = record.checkpoints.get(node) if record is not None else None
    if checkpoint is None or declared is None:
        return ""
    try:
        value = opened_of(shelf_of(desk, declared, context), node, checkpoint).get(output)
    except ActionFailed:
        return ""
    return "" if value is None else to_text(value)
