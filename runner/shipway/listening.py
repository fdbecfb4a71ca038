"""The hooks of one run: which they are, from when on they are told, and what the receipt says of them."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from shipway.cleanup import CleanupStack
from shipway.declaration import Declaration
from shipway.environment import base_environment
from shipway.errors import UsageError
from shipway.events import RunFinished
from shipway.hook import Hook, HookEvent
from shipway.hook_calls import LAST_INTERRUPTED_MS, LAST_MS, HookCalls, HookSetting
from shipway.hooks import HookRule
from shipway.plan import Plan
from shipway.receipt import Receipt
from shipway.undertaking import Surroundings


class Listening:
    """Who listens to one run. Without hooks it does nothing and costs nothing."""

    def __init__(self, around: Surroundings, cleanups: CleanupStack) -> None:
        self._around = around
        self._cleanups = cleanups
        self._found: dict[str, Hook] = {}
        self._calls: HookCalls | None = None

    def find(self, declaration: Declaration) -> None:
        """Find every hook of a declaration. Raises UsageError, pointing at it, for one there is not."""
        for hook in declaration.hooks:
            try:
                self._used(hook)
            except UsageError as error:
                error.where, error.line = hook.position, declaration.source.line(hook.position)
                raise

    def begin(self, plan: Plan, run: str, clean: Callable[[str], str], stamp: Callable[[], str]) -> None:
        """Have the plan's hooks told from now on: what was not let through has started nothing, its hooks included."""
        if not plan.hooks:
            return
        context = self._around.context
        setting = HookSetting(
            common=HookEvent("", plan.lifecycle, plan.target, run),
            env=base_environment(context.env),
            root=self._around.repository.root,
            clean=clean,
            clock_ms=lambda: context.monotonic_ns() // 1_000_000,
            stamp=stamp,
        )
        self._calls = HookCalls([(hook, self._used(hook)) for hook in plan.hooks], setting)
        self._cleanups.register("hooks", self._end)
        self._around.events.subscribe(self._calls)

    def ended(self, receipt: Receipt) -> Receipt:
        """The receipt of what was executed, once hooks were told of its end, with what is to be said of them."""
        ended = RunFinished(receipt.run, receipt.outcome.value, receipt.duration_ms, receipt.error)
        self._around.events.emit(ended)
        if self._calls is None:
            return receipt
        self._end()
        return replace(receipt, warnings=(*receipt.warnings, *self._calls.faults))

    def _end(self) -> None:
        """Tell hooks what is left to tell them, with less patience where the run is to stop."""
        interruption = self._around.interruption
        if self._calls is not None:
            self._calls.close(lambda: LAST_INTERRUPTED_MS if interruption.struck else LAST_MS)

    def _used(self, hook: HookRule) -> Hook | None:
        """What a hook uses, the same each time; None for a command."""
        if hook.uses and hook.uses not in self._found:
            self._found[hook.uses] = self._around.registry.make_hook(hook.uses)
        return self._found.get(hook.uses)
