"""One walk over the environments of a lifecycle: which are over, and what is left of others; then all of that taken away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from shipway.commands.delivery import open_forge
from shipway.commands.preview_delivery import pull_request_of
from shipway.commands.preview_desk import Desk
from shipway.commands.preview_ground import Cleared, clear, ground_of, left_over
from shipway.context import Context
from shipway.environment_record import EnvironmentRecord
from shipway.environments import Damaged
from shipway.errors import ShipwayError
from shipway.forges.forge import Forge, ForgeError, Posted
from shipway.forges.previews import PullState
from shipway.preview_ending import Ending, ending
from shipway.redaction import Redactor
from shipway.sweeping import Leftovers

ANY_TARGET = "pr-0"
"""Stands for the target of any pull request where a declaration is read for none in particular."""


class Walked(Struct, frozen=True):
    """What a walk came to. `over` has each environment that lives, with why it is over, None where it stays.

    `left` is of no environment, `silence` why the forge could not be asked.
    """

    all: tuple[tuple[EnvironmentRecord, Ending | None], ...]
    damaged: tuple[Damaged, ...]
    left: Leftovers
    now_ms: int
    silence: ShipwayError | None = None

    @property
    def over(self) -> list[tuple[EnvironmentRecord, Ending]]:
        """Those that are over, and why."""
        return [(record, why) for record, why in self.all if why is not None]

    @property
    def is_anything(self) -> bool:
        """Whether there is anything to take away."""
        return bool(self.over or self.left.found)


class Gone(Struct, frozen=True):
    """What taking away came to: the exit code of each `down`, and each leftover."""

    downs: tuple[int, ...]
    cleared: tuple[Cleared, ...]

    @property
    def is_all(self) -> bool:
        """Whether nothing is there any more."""
        return not any(self.downs) and not any(each.failure for each in self.cleared)


def walk(desk: Desk, context: Context, forge: Forge | Posted | None, only: str) -> Walked:
    """Look at each environment, or at that of the target `only`. Changes nothing. Raises StoreError.

    Without a forge no pull request is asked for; of one that cannot be asked, none counts as closed.
    """
    records, damaged = desk.environments.all()
    now_ms = desk.clock_ms()
    alive = [record for record in records if record.is_alive and only in ("", record.target)]
    pulls, silence = pulls_of(alive, forge) if forge is not None else ({}, None)
    found = []
    for record in alive:
        state = pulls.get(record.target)
        found.append((record, ending(record, now_ms, is_closed=None if state is None else not state.is_open)))
    return Walked(tuple(found), tuple(damaged), _left(desk, context, forge, only, now_ms), now_ms, silence)


def take_away(
    found: Walked,
    desk: Desk,
    context: Context,
    forge: Forge | Posted | None,
    only: str,
    down: Callable[[EnvironmentRecord, Ending], int],
) -> Gone:
    """Take all of it away: what is over by `down`, then what is left, of that too. One that stays keeps no other back."""
    codes = [down(record, why) for record, why in found.over]
    ground = ground_of(desk, context)
    return Gone(
        tuple(codes), tuple(clear(_left(desk, context, forge, only, found.now_ms).found, ground, context, forge))
    )


def forge_of_job(context: Context) -> Forge | Posted:
    """The forge of this job, or why there is none."""
    ci = context.ci
    assert ci is not None
    token = {"GITHUB_TOKEN": ci.token.value} if ci.token else {}
    return open_forge(ci, context, Redactor(token).redact, is_trusted=True)


def pulls_of(
    records: Sequence[EnvironmentRecord], forge: Forge | Posted
) -> tuple[Mapping[str, PullState], ShipwayError | None]:
    """How the pull request of each target stands, and why that could not be learnt of all: then none counts as closed."""
    from shipway.forges.github import GitHub  # late: requests takes 100 ms

    asked = {record.target: number for record in records if (number := pull_request_of(record)) is not None}
    if not asked:
        return {}, None
    if not isinstance(forge, GitHub):
        return {}, ForgeError(
            forge.why if isinstance(forge, Posted) else "only GitHub is asked how pull requests stand"
        )
    try:
        return {target: forge.pull(number) for target, number in asked.items()}, None
    except ForgeError as error:
        return {}, error


def _left(desk: Desk, context: Context, forge: Forge | Posted | None, only: str, now_ms: int) -> Leftovers:
    left = left_over(desk, ground_of(desk, context), now_ms, forge)
    return replace(left, found=tuple(each for each in left.found if only in ("", each.owner.target)))
