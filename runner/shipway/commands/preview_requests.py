"""What is asked of a lifecycle where an environment is taken down, stopped, or a service of it made anew: derived declarations."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress

from shipway.canonical import Json, mapping
from shipway.commands.preview_desk import Desk, derived_file, is_derived_of
from shipway.environment_record import EnvironmentRecord
from shipway.errors import Reason, UnreachableError, UsageError
from shipway.preview_derivation import derived, known_of, recorded_data
from shipway.preview_names import kept_folder
from shipway.preview_settings import Doing
from shipway.undertaking import Request


def refuse_outdated(doing: Doing, desk: Desk) -> None:
    """Refuse what `ending_request` made before another run changed the environment: it would leave what that one made.

    To be asked under the lock of the target. Raises UnreachableError.
    """
    record = desk.record()
    if record is None or not is_derived_of(desk, doing.value, _ending(doing, record)):
        raise UnreachableError(
            f"another run changed the environment `{desk.target}` meanwhile",
            reason=Reason.LOCK_HELD,
            next="run again; nothing was started",
        )


def ending_request(doing: Doing, desk: Desk, record: EnvironmentRecord) -> Request:
    """`down` or `stop` as the environment was declared when it was made. Raises UsageError where its record does not say."""
    if not record.declaration:
        raise UsageError(
            f"the record of `{record.target}` does not say what it was made of",
            next="bring it up again, then take it down",
        )
    file = derived_file(desk, doing.value, _ending(doing, record))
    return Request(file, desk.target, execute=True, is_derived=True, derived_from=desk.files)


def _ending(doing: Doing, record: EnvironmentRecord) -> Mapping[str, Json]:
    return derived(mapping(json.loads(record.declaration)), doing, known=known_of(record.checkpoints))


def clear_folder(desk: Desk) -> None:
    """Remove what is kept of an environment in the checkout, once it is gone: the declarations that were derived of it."""
    record = desk.record()
    if record is not None and not record.is_alive:
        folder = desk.repository.root / kept_folder(desk.lifecycle, desk.target)
        shutil.rmtree(folder, ignore_errors=True)
        prune_folders(desk)


def prune_folders(desk: Desk) -> None:
    """Remove the folder of the environment in the checkout, and those above it, as far as nothing is in them."""
    folder = desk.repository.root / kept_folder(desk.lifecycle, desk.target)
    for each in (folder, folder.parent, folder.parent.parent):
        with suppress(OSError):  # those of others may be in them
            each.rmdir()


def renewing_request(doing: Doing, service: str, desk: Desk) -> Request:
    """`reset`, `seed` or `init` of one service, as it is declared now. Raises UsageError."""
    if desk.declared is None:
        raise UsageError("the declaration cannot be read", next="`shipway validate` says why")
    content = derived(recorded_data(desk.declared), doing, service=service)
    file = derived_file(desk, f"{doing.value}-{service}", content)
    return Request(file, desk.target, execute=True, derived_from=desk.files)
