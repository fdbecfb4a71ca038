"""The action `template.render`: a Jinja template with data into a text. Pure: it writes nothing, `file.write` does."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Literal

from shipway.action import Access, ActionFailed, Done, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.canonical import Json, object_of
from shipway.declaration import OutputRule
from shipway.file_content import read_text, source_file, unplanned
from shipway.file_state import locate
from shipway.nodes import Change, Fidelity, Verified
from shipway.template_sandbox import TemplateFault, render

MAX_BYTES = 1 << 20
"""Larger templates are refused."""

_ADDED = {"source": "source", "path": "target", "project": "project"}
"""Slots that a template sees as variables, under these names."""


class TemplateRender:
    """Renders `content`, or the file `source`, with `template_data`. Output `content` is the text.

    A name that is not given is an error with its place, never an empty text. A template reaches its data, the templates of
    the workspace that it includes, and nothing else.
    """

    runs_in: Literal["thread"] = "thread"
    name = "template.render"
    contract = 1
    slots: Mapping[str, SlotRule] = {
        "source": SlotRule(
            SlotType.STRING, description="the template's file; with `content` only its name", access=Access.READS
        ),
        "content": SlotRule(SlotType.STRING, description="the template's text"),
        "template_data": SlotRule(SlotType.OBJECT, default={}, description="its variables"),
        "path": SlotRule(SlotType.STRING, description="where the text will be written: its variable `target`"),
        "project": SlotRule(SlotType.STRING, description="its variable `project`"),
    }
    outputs: Mapping[str, OutputRule] = {"content": OutputRule("string")}

    def plan(self, work: PlanWork) -> Prediction:
        """Renders it, where all is known: the text is foretold exactly."""
        _refuse_neither({*work.inputs, *work.unknown})
        unknown = unplanned(work, Change.READ, *self.slots)
        if unknown is not None:
            return unknown
        if "content" not in work.inputs and not locate(work.root, work.inputs["source"], "source").exists():
            return Prediction(Change.READ, Fidelity.OPAQUE, why=f"`{work.inputs['source']}` is not there yet")
        return Prediction(Change.READ, Fidelity.EXACT, outputs=_rendered(work.root, work.inputs))

    def do(self, work: Work) -> Done:
        """Render it."""
        _refuse_neither(set(work.inputs))
        return Done(_rendered(work.root, work.inputs), change=Change.READ)

    def undo(self, work: Work) -> None:
        """Nothing was changed."""

    def verify(self, work: Work) -> Verified:
        """Nothing was made that could be gone."""
        return Verified.HOLDS


def _refuse_neither(given: set[str]) -> None:
    if not given & {"source", "content"}:
        raise ActionFailed("give `source` or `content`: the template")


def _rendered(root: Path, inputs: Mapping[str, Json]) -> dict[str, Json]:
    name = str(inputs.get("source", "content"))
    text = str(inputs["content"]) if "content" in inputs else read_text(source_file(root, name), name, MAX_BYTES)
    added = {variable: inputs[slot] for slot, variable in _ADDED.items() if slot in inputs}
    try:
        return {
            "content": render(name, text, {**added, **object_of(inputs["template_data"])}, partial(_included, root))
        }
    except TemplateFault as fault:
        where = f"{fault.name}:{fault.line}" if fault.line else fault.name
        raise ActionFailed(f"{where}: {fault.message}") from fault


def _included(root: Path, name: str) -> str:
    if Path(name).is_absolute():
        raise ActionFailed(f"an included template is named relative to the workspace, not `{name}`")
    return read_text(source_file(root, name, "include"), name, MAX_BYTES)
