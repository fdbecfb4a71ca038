"""The action `file.is_dir`: asks whether `path` is a directory; a link to one is none. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from shipway.action import Access, Done, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.canonical import Json
from shipway.declaration import OutputRule
from shipway.file_content import unplanned
from shipway.file_state import Kind, kind_of, locate
from shipway.nodes import Change, Fidelity, Verified
from shipway.replacement import faults_told


class FileIsDir:
    """Says as output `is_dir` whether `path` is a directory; a link to one is none."""

    runs_in: Literal["thread"] = "thread"
    name = "file.is_dir"
    contract = 1
    slots: Mapping[str, SlotRule] = {
        "path": SlotRule(
            SlotType.STRING,
            required=True,
            description="what to look at; in the workspace, or absolute",
            access=Access.READS,
        ),
    }
    outputs: Mapping[str, OutputRule] = {"is_dir": OutputRule("boolean")}

    def plan(self, work: PlanWork) -> Prediction:
        """Foretells the answer where nothing runs before that could still change it."""
        unknown = unplanned(work, Change.READ, "path")
        if unknown is not None:
            return unknown
        outputs = _outputs(work)
        if work.node.needs:
            return Prediction(Change.READ, Fidelity.OPAQUE, why="it is asked after what it needs")
        return Prediction(Change.READ, Fidelity.EXACT, outputs=outputs)

    def do(self, work: Work) -> Done:
        """Look."""
        return Done(_outputs(work), change=Change.READ)

    def undo(self, work: Work) -> None:
        """Nothing was changed."""

    def verify(self, work: Work) -> Verified:
        """Nothing was made that could be gone."""
        return Verified.HOLDS


def _outputs(work: PlanWork | Work) -> dict[str, Json]:
    with faults_told():
        return {"is_dir": kind_of(locate(work.root, work.inputs["path"])) is Kind.DIRECTORY}
