"""The action `file.source`: reads a text file, as the head of a pipeline of contents. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from shipway.action import Access, Done, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.canonical import Json
from shipway.declaration import OutputRule
from shipway.file_content import read_text, source_file, unplanned
from shipway.file_state import locate
from shipway.nodes import Change, Fidelity, Verified

MAX_BYTES = 1 << 20
"""Larger files are not passed on as an output; `file.copy` copies them."""


class FileSource:
    """Gives the text of `path` as output `content`."""

    runs_in: Literal["thread"] = "thread"
    name = "file.source"
    contract = 1
    slots: Mapping[str, SlotRule] = {
        "path": SlotRule(
            SlotType.STRING,
            required=True,
            description="the file to read; in the workspace, or absolute",
            access=Access.READS,
        ),
    }
    outputs: Mapping[str, OutputRule] = {"content": OutputRule("string")}

    def plan(self, work: PlanWork) -> Prediction:
        """Foretells the content where nothing runs before that could still write the file."""
        unknown = unplanned(work, Change.READ, "path")
        if unknown is not None:
            return unknown
        path = locate(work.root, work.inputs["path"])
        if work.node.needs:
            return Prediction(Change.READ, Fidelity.OPAQUE, why="it is read after what it needs")
        if not path.exists():
            return Prediction(Change.READ, Fidelity.OPAQUE, why=f"`{work.inputs['path']}` is not there yet")
        return Prediction(Change.READ, Fidelity.EXACT, outputs=_outputs(work))

    def do(self, work: Work) -> Done:
        """Read it. Fails for what is no regular file, too large, or no UTF-8."""
        return Done(_outputs(work), change=Change.READ)

    def undo(self, work: Work) -> None:
        """Nothing was changed."""

    def verify(self, work: Work) -> Verified:
        """Nothing was made that could be gone."""
        return Verified.HOLDS


def _outputs(work: PlanWork | Work) -> dict[str, Json]:
    return {"content": read_text(source_file(work.root, work.inputs["path"], "path"), work.inputs["path"], MAX_BYTES)}
