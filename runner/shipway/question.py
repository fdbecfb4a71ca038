"""What actions that only ask have in common: they change nothing, and foretell the answer where nothing runs before them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from shipway.action import Done, PlanWork, Prediction, SlotRule, Work
from shipway.canonical import Json
from shipway.declaration import OutputRule
from shipway.file_content import unplanned
from shipway.nodes import Change, Fidelity, Verified


class Question:
    """An action with one output, the answer. What asks says its name, slots and output, and how the answer is found."""

    runs_in: Literal["thread"] = "thread"
    contract = 1
    slots: Mapping[str, SlotRule] = {}
    outputs: Mapping[str, OutputRule] = {}

    def plan(self, work: PlanWork) -> Prediction:
        """Foretells the answer where nothing runs before that could still change it."""
        unknown = unplanned(work, Change.READ, *self.slots)
        if unknown is not None:
            return unknown
        outputs = self._answered(work)
        if work.node.needs:
            return Prediction(Change.READ, Fidelity.OPAQUE, why="it is asked after what it needs")
        return Prediction(Change.READ, Fidelity.EXACT, outputs=outputs)

    def do(self, work: Work) -> Done:
        """Ask."""
        return Done(self._answered(work), change=Change.READ)

    def undo(self, work: Work) -> None:
        """Nothing was changed."""

    def verify(self, work: Work) -> Verified:
        """Nothing was made that could be gone."""
        return Verified.HOLDS

    def answer(self, work: PlanWork | Work) -> bool:
        """The answer as it is now. Raises ActionFailed where nobody can tell."""
        raise NotImplementedError

    def _answered(self, work: PlanWork | Work) -> dict[str, Json]:
        [output] = self.outputs
        return {output: self.answer(work)}
