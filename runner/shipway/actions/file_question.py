"""The actions `file.exists` and `file.is_dir`: questions about what stands at a path. Change nothing."""

from __future__ import annotations

from collections.abc import Mapping

from shipway.action import Access, PlanWork, SlotRule, SlotType, Work
from shipway.declaration import OutputRule
from shipway.file_state import Kind, kind_of, locate
from shipway.question import Question
from shipway.replacement import faults_told


class _FileQuestion(Question):
    slots: Mapping[str, SlotRule] = {
        "path": SlotRule(
            SlotType.STRING,
            required=True,
            description="what to look at; in the workspace, or absolute",
            access=Access.READS,
        ),
    }


class FileExists(_FileQuestion):
    """Says as output `exists` whether anything stands at `path`, a link that leads nowhere included."""

    name = "file.exists"
    outputs: Mapping[str, OutputRule] = {"exists": OutputRule("boolean")}

    def answer(self, work: PlanWork | Work) -> bool:
        """Whether anything does."""
        return _kind(work) is not Kind.ABSENT


class FileIsDir(_FileQuestion):
    """Says as output `is_dir` whether `path` is a directory; a link to one is none."""

    name = "file.is_dir"
    outputs: Mapping[str, OutputRule] = {"is_dir": OutputRule("boolean")}

    def answer(self, work: PlanWork | Work) -> bool:
        """Whether it is."""
        return _kind(work) is Kind.DIRECTORY


def _kind(work: PlanWork | Work) -> Kind:
    with faults_told():
        return kind_of(locate(work.root, work.inputs["path"]))
