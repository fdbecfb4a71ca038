"""Where the checkpoints of one run's nodes are kept: in the record of their environment, what is secret of them sealed."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from msgspec.structs import replace

from shipway.action import ActionFailed, PlanWork, Work
from shipway.canonical import Json
from shipway.environment_record import Checkpoint, EnvironmentRecord, marked_stale, with_checkpoint
from shipway.environments import Environments
from shipway.errors import ShipwayError
from shipway.nodes import Node
from shipway.preview_moving import moved
from shipway.secrecy import NotOpened
from shipway.shelf import Shelf


def read_environment(shelf: Shelf | None) -> EnvironmentRecord | None:
    """The record of the environment, None where there is none. Raises ActionFailed where it cannot be read."""
    if shelf is None:
        return None
    with told_as_failure():
        return _read(shelf)


def left_nodes(shelf: Shelf | None) -> tuple[str, ...]:
    """The nodes of which something may be there, as the record says, by id. Raises StoreError."""
    record = _read(shelf) if shelf is not None else None
    return tuple(sorted(record.checkpoints)) if record is not None else ()


def _read(shelf: Shelf) -> EnvironmentRecord | None:
    """The record with its nodes under the names that they have now. Raises StoreError."""
    record = Environments(shelf.store, shelf.lifecycle).read(shelf.target)
    return moved(record, shelf.roles) if record is not None else None


def known_environment(work: Work | PlanWork) -> EnvironmentRecord | None:
    """The record as this run left it, or found it when it first asked: a store may be far away. Raises ActionFailed.

    What the plan read is read again when it is carried out, since the lock of the target is held from then on only.
    """
    shelf, memory = work.shelf, _memory_of(work)
    if shelf is None:
        return None
    if memory not in shelf.recalled:
        with shelf.changing:
            if memory not in shelf.recalled:
                shelf.recalled[memory] = read_environment(shelf)
    found = shelf.recalled[memory]
    return found if isinstance(found, EnvironmentRecord) else None


def _memory_of(work: Work | PlanWork) -> str:
    return "environment" if isinstance(work, Work) else "environment when planned"


def change_environment(work: Work, change: Callable[[EnvironmentRecord], EnvironmentRecord]) -> None:
    """Replace the record by what `change` makes of it, or of a fresh one. Raises ActionFailed where it cannot be kept."""
    shelf, now_ms = work.shelf, work.started_ms
    if shelf is None:
        return
    fresh = EnvironmentRecord(shelf.lifecycle, shelf.target, created_ms=now_ms, touched_ms=now_ms)
    with told_as_failure(), shelf.changing:
        environments = Environments(shelf.store, shelf.lifecycle)
        changed = environments.change(
            shelf.target, lambda record: change(moved(record, shelf.roles) if record is not None else fresh)
        )
        shelf.recalled[_memory_of(work)] = changed


def checkpoint_of(work: Work) -> Checkpoint | None:
    """What the node left when it was made last, or what it began to leave; None where it never began."""
    record = known_environment(work)
    return record.checkpoints.get(work.node.id) if record else None


def mark_begun(work: Work, why: str) -> None:
    """From now on the node has to run again, because of `why`: should this run be killed, the next one knows."""
    node = work.node.id

    def change(record: EnvironmentRecord) -> EnvironmentRecord:
        if node in record.checkpoints:
            return marked_stale(record, [node], why)
        return with_checkpoint(record, node, Checkpoint("", made=0, at_ms=work.started_ms, stale=why))

    change_environment(work, change)


def keep(work: Work, key: str, parts: Mapping[str, str], outputs: Mapping[str, Json], made: int | None) -> Checkpoint:
    """Keep what the node made; `made` None: it was made anew, and is given the next number of the environment.

    Secret outputs are kept as they are in files of this machine, elsewhere sealed, or not at all where there is no key.
    """
    secret = tuple(sorted(name for name in outputs if _is_secret(work.node, name)))
    shelf = work.shelf
    is_plain = shelf is None or shelf.is_private or not secret
    with told_as_failure():
        sealed = (
            "" if is_plain or shelf is None else _sealed(shelf, work.node, {each: outputs[each] for each in secret})
        )
    checkpoint = Checkpoint(
        key=key,
        outputs={name: value for name, value in outputs.items() if is_plain or name not in secret},
        sealed=sealed,
        made=made or 1,
        at_ms=work.started_ms,
        secret=secret,
        parts=parts,
        is_cached=work.inputs.get("cache") is not False,
    )
    kept = [checkpoint]

    def change(record: EnvironmentRecord) -> EnvironmentRecord:
        kept[0] = checkpoint if made is not None else replace(checkpoint, made=record.made + 1)
        return with_checkpoint(record, work.node.id, kept[0])

    change_environment(work, change)
    return kept[0]


def opened(work: Work, checkpoint: Checkpoint) -> dict[str, Json]:
    """Every output of a checkpoint, the secret ones too. Raises ActionFailed where those cannot be read."""
    return opened_of(work.shelf, work.node.id, checkpoint)


def opened_of(shelf: Shelf | None, node: str, checkpoint: Checkpoint) -> dict[str, Json]:
    """The same of any node. Raises ActionFailed."""
    if not checkpoint.sealed or shelf is None:
        return dict(checkpoint.outputs)
    with told_as_failure():
        vault = shelf.vault
        if vault is None:
            raise ActionFailed("its secret outputs are encrypted, and `state` names no key", is_permanent=True)
        try:
            found = json.loads(vault.open(_about(shelf, node), base64.b64decode(checkpoint.sealed)))
        except (NotOpened, binascii.Error) as error:
            raise ActionFailed(f"its secret outputs cannot be read: {error}", is_permanent=True) from error
    return {**checkpoint.outputs, **found}


@contextmanager
def told_as_failure() -> Iterator[None]:
    """What goes wrong with the store or the key is a failure of the node, ActionFailed, and not a bug."""
    try:
        yield
    except ShipwayError as error:
        text = error.message + (f"; {error.next}" if error.next else "")
        raise ActionFailed(text, code=error.reason.value.replace("-", "_")) from error


def _sealed(shelf: Shelf, node: Node, outputs: Mapping[str, Json]) -> str:
    vault = shelf.vault
    return "" if vault is None else base64.b64encode(vault.seal(_about(shelf, node.id), json.dumps(outputs))).decode()


def _about(shelf: Shelf, node: str) -> str:
    """What is sealed of one node: nobody who may write the store can put it into another place."""
    return json.dumps(["shipway", 1, "checkpoint", shelf.lifecycle, shelf.target, node])


def _is_secret(node: Node, output: str) -> bool:
    rule = node.outputs.get(output)
    return rule is not None and rule.type == "secret"
