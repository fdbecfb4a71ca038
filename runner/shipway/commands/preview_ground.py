"""Where leftovers of a lifecycle's environments are looked for, and what is found and taken away there. Asks no forge by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from shipway.action import ActionFailed
from shipway.commands.preview_desk import Desk
from shipway.commands.preview_texts import known_contexts, known_texts
from shipway.context import Context
from shipway.environment import base_environment
from shipway.environment_record import EnvironmentRecord
from shipway.errors import ShipwayError, UsageError
from shipway.forges.forge import Forge, ForgeError, Posted
from shipway.leftovers import Ground, look, remove
from shipway.port_blocks import Owner
from shipway.preview_settings import HookSettings, PreviewSettings, Role, preview_settings, role_of
from shipway.preview_trigger import MODE
from shipway.sweeping import GC_COMMAND, Found, Kind, Leftovers, destroy_command, leftovers


class Cleared(Struct, frozen=True):
    """One leftover and what became of it: `failure` is why it could not be taken away, empty where it could."""

    found: Found
    is_removed: bool
    failure: str = ""


def ground_of(desk: Desk, context: Context) -> Ground:
    """The checkout and the store of the lifecycle, with the hooks `list` and `destroy` of its compute. The desk stays open."""
    listing, destroying = _hooks(desk)
    env = {name: text for hook in (destroying, listing) if hook is not None for name, text in hook.env.items()}
    return Ground(
        desk.repository.root,
        desk.store,
        desk.lifecycle,
        base_environment(context.env),
        listing.run if listing is not None else "",
        destroying.run if destroying is not None else "",
        known_texts(env, known_contexts(desk.declared, context)),
    )


def destroyers(desk: Desk) -> list[tuple[str, str]]:
    """The services of the provisioner with a hook `destroy`, as it is declared now, each with the command that runs it."""
    settings = _provisioner(desk)
    owner = Owner(desk.lifecycle, desk.target)
    return [
        (name, destroy_command(owner, rule.destroy.run, SHIPWAY_SERVICE=name))
        for name, rule in sorted(settings.owned.items() if settings is not None else ())
        if rule.destroy is not None
    ]


def _hooks(desk: Desk) -> tuple[HookSettings | None, HookSettings | None]:
    settings = _provisioner(desk)
    return (None, None) if settings is None else (settings.compute.list, settings.compute.destroy)


def _provisioner(desk: Desk) -> PreviewSettings | None:
    declared = desk.declared
    for stage in declared.stages if declared is not None else ():
        if declared is not None and role_of(stage) is Role.PROVISIONER:
            try:
                return preview_settings(stage, declared)
            except (UsageError, KeyError, ValueError):
                return None  # what is wrong with it, `validate` says
    return None


def left_over(desk: Desk, ground: Ground, now_ms: int, forge: Forge | Posted | None = None) -> Leftovers:
    """What bears the mark of an environment that is no more; with a forge its deployments too. Raises StoreError.

    A container engine that does not answer is a gap only for a lifecycle that has, or had, containers.
    """
    evidence = look(ground, now_ms)
    deployments, silence = _deployments(ground.lifecycle, forge)
    # After the look: whoever makes an environment writes its record first.
    records, damaged = desk.environments.all()
    gaps = [each for each in evidence.unknown if each.kind is not Kind.CONTAINERS or _has_containers(desk, records)]
    return leftovers(
        [*evidence.found, *deployments],
        ground.lifecycle,
        records,
        unread={each.target for each in damaged},
        unknown=[*map(str, gaps), *silence],
    )


def _has_containers(desk: Desk, records: Iterable[EnvironmentRecord]) -> bool:
    """Whether any declaration of the lifecycle that is known names containers; one that cannot be read may."""
    if desk.declared is None:
        return True
    stages = [stage.with_ for stage in desk.declared.stages if stage.mode == MODE]
    return any("infrastructure" in with_ for with_ in stages) or any(
        '"infrastructure":' in record.declaration for record in records
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
