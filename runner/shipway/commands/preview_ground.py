"""Where leftovers of a lifecycle's environments are looked for, and what is found and taken away there. Asks no forge by itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from msgspec import Struct

from shipway.action import ActionFailed
from shipway.commands.preview_desk import Desk
from shipway.commands.stores import open_store
from shipway.context import Context
from shipway.declaration import StateRule
from shipway.environment import base_environment
from shipway.environments import Environments
from shipway.errors import ShipwayError, UsageError
from shipway.forges.forge import Forge, ForgeError, Posted
from shipway.leftovers import Ground, look, remove
from shipway.port_blocks import Owner
from shipway.preview_settings import HookSettings, Role, preview_settings, role_of
from shipway.sweeping import GC_COMMAND, Found, Kind, Leftovers, leftovers

_SECRET = re.compile(r"\$\{\{\s*secrets\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


class Cleared(Struct, frozen=True):
    """One leftover and what became of it: `failure` is why it could not be taken away, empty where it could."""

    found: Found
    is_removed: bool
    failure: str = ""


@contextmanager
def open_ground(desk: Desk, context: Context) -> Iterator[Ground]:
    """The checkout and the store of the lifecycle, with the hooks `list` and `destroy` of its compute. Raises ShipwayError."""
    declared = desk.declared
    names = declared.secrets if declared is not None else ()
    secrets = {name: context.env[name] for name in names if context.env.get(name)}
    state = declared.state if declared is not None else StateRule()
    listing, destroying = _hooks(desk)
    given = {
        name: _SECRET.sub(lambda found: secrets.get(found[1], ""), text)
        for hook in (destroying, listing)
        if hook is not None
        for name, text in hook.env.items()
    }
    store = open_store(state, secrets, context, desk.repository)
    try:
        yield Ground(
            desk.repository.root,
            store,
            desk.lifecycle,
            base_environment(context.env),
            listing.run if listing is not None else "",
            destroying.run if destroying is not None else "",
            {name: text for name, text in given.items() if "${{" not in text},
        )
    finally:
        store.close()


def _hooks(desk: Desk) -> tuple[HookSettings | None, HookSettings | None]:
    declared = desk.declared
    for stage in declared.stages if declared is not None else ():
        if declared is not None and role_of(stage) is Role.PROVISIONER:
            try:
                compute = preview_settings(stage, declared).compute
            except (UsageError, KeyError, ValueError):
                return None, None  # what is wrong with it, `validate` says
            return compute.list, compute.destroy
    return None, None


def left_over(ground: Ground, now_ms: int, forge: Forge | Posted | None = None) -> Leftovers:
    """What bears the mark of an environment that is no more; with a forge its deployments too. Raises StoreError."""
    evidence = look(ground, now_ms)
    deployments, silence = _deployments(ground.lifecycle, forge)
    # After the look: whoever makes an environment writes its record first.
    records, damaged = Environments(ground.store, ground.lifecycle).all()
    return leftovers(
        [*evidence.found, *deployments],
        ground.lifecycle,
        records,
        unread={each.target for each in damaged},
        unknown=[*evidence.unknown, *silence],
    )


def clear(found: Iterable[Found], ground: Ground, context: Context, forge: Forge | Posted | None) -> Sequence[Cleared]:
    """Take each away; one that cannot be keeps no other back."""
    return [_cleared(each, ground, context, forge) for each in found]


def _cleared(found: Found, ground: Ground, context: Context, forge: Forge | Posted | None) -> Cleared:
    from shipway.forges.github import GitHub  # late: requests takes 100 ms

    try:
        if found.kind is Kind.DEPLOYMENT:
            assert isinstance(forge, GitHub)
            forge.retire(found.owner.lifecycle, found.owner.target)
            return Cleared(found, True)
        return Cleared(found, remove(found, ground, lambda milliseconds: context.sleep(milliseconds / 1000)))
    except (ActionFailed, ShipwayError) as error:
        return Cleared(found, False, str(error))


def _deployments(lifecycle: str, forge: Forge | Posted | None) -> tuple[list[Found], list[str]]:
    from shipway.forges.github import GitHub  # late: requests takes 100 ms

    if not isinstance(forge, GitHub):
        return [], []
    try:
        told: Mapping[str, str] = {target: number for number, target in forge.announced(lifecycle)}
    except ForgeError as error:
        return [], [f"deployments: {error.message}"]
    return [
        Found(
            Kind.DEPLOYMENT,
            number,
            Owner(lifecycle, target),
            "its payload says whose it is",
            GC_COMMAND,
        )
        for target, number in told.items()
    ], []
