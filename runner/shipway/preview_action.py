"""What the actions of a preview have in common: their four verbs, over how each makes, looks at and takes away its own.

Knows nothing of what that is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Literal

from shipway.action import Done, PlanWork, Prediction, SlotRule, Work
from shipway.checkpoints import MADE, Made, checkpointed, foretold, is_ending, removed, undone, verified
from shipway.declaration import OutputRule
from shipway.environment_record import Checkpoint
from shipway.nodes import Change, Fidelity, Verified


class PreviewAction(ABC):
    """A thread's action whose work stays from run to run, and which takes it away again with `remove` (or `stop`).

    `removal` says in a plan what happens then. Slots named by `unkeyed` decide nothing of what is made; where only slots named
    by `in_place` changed, it is brought up to date. `is_one_step`: it is made whole, or not at all.
    """

    runs_in: Literal["thread"] = "thread"
    name: str
    contract = 1
    slots: Mapping[str, SlotRule]
    outputs: Mapping[str, OutputRule] = {MADE: OutputRule("integer")}
    removal: str
    change = Change.CREATE
    unkeyed: Collection[str] = ()
    in_place: Collection[str] = ()
    is_one_step = False

    @abstractmethod
    def make(self, work: Work, before: Checkpoint | None) -> Made:
        """Make it. `before` is the checkpoint of what may still be there, None where nothing is."""

    @abstractmethod
    def look(self, work: Work | PlanWork, checkpoint: Checkpoint) -> Verified:
        """Whether what was made is still there. Raises ActionFailed where that cannot be told."""

    @abstractmethod
    def remove(self, work: Work, checkpoint: Checkpoint | None) -> bool:
        """Take it away; False: nothing was there. `checkpoint` is None where nothing was ever begun."""

    def adopt(self, work: Work) -> Made | None:
        """What a killed run may have left of it, where nothing was ever kept; None: nothing."""
        return None

    def is_reversible(self, work: PlanWork) -> bool:
        """Whether it could be taken away again."""
        return True

    def plan(self, work: PlanWork) -> Prediction:
        """Kept, brought up to date, or made; or that it goes."""
        if is_ending(work):
            return Prediction(Change.DELETE, Fidelity.PREDICTED, self.removal)
        return foretold(
            work,
            contract=self.contract,
            verify=self.look,
            change_when_made=self.change,
            unkeyed=self.unkeyed,
            in_place=self.in_place,
            reversible=self.is_reversible(work),
        )

    def do(self, work: Work) -> Done:
        """Keep it or make it; or take it away."""
        if is_ending(work):
            return removed(work, remove=self.remove)
        return checkpointed(
            work,
            contract=self.contract,
            verify=self.look,
            make=self.make,
            unkeyed=self.unkeyed,
            in_place=self.in_place,
            adopt=self.adopt,
            is_one_step=self.is_one_step,
        )

    def undo(self, work: Work) -> None:
        """Take away what this run made."""
        undone(work, remove=self.remove)

    def verify(self, work: Work) -> Verified:
        """Whether it is there; of what takes it away, whether it is gone."""
        return verified(work, verify=self.look)
