"""Conditions of nodes and stages while a run goes on: what they ask and whether they hold. Decides no outcome."""

from __future__ import annotations

from collections.abc import Callable

from shipway import expressions
from shipway.evaluation import Evaluation
from shipway.nodes import Node

_OUTLIVING = frozenset({"always", "failure", "cancelled"})


def outlives(condition: str | None) -> bool:
    """Whether a condition asks for a status that can be true after a failure."""
    return condition is not None and not _OUTLIVING.isdisjoint(expressions.parse(condition, rendered=True).functions)


class Conditions:
    """The texts of `if`, each parsed once. None stands for a condition that was not written."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation
        self._parsed: dict[str, expressions.Expression] = {}

    def outlives_failure(self, condition: str | None) -> bool:
        """Whether it asks for a status that can be true after a failure, so that it has to be judged then."""
        return condition is not None and not _OUTLIVING.isdisjoint(self._parse(condition).functions)

    def asks_status(self, condition: str | None) -> bool:
        """Whether it calls a status function; any other has `success()` implied."""
        return condition is not None and self._parse(condition).uses_status

    def holds(self, condition: str, node: Node, *, failed_above: str, cancelled: bool) -> bool:
        """Whether it is true now; `failed_above` is a node that failed among the needs, or empty. Raises Unresolved."""
        succeeding = not failed_above and not cancelled
        if not succeeding and not self.asks_status(condition):
            return False
        functions: dict[str, Callable[..., expressions.Value]] = {
            "success": lambda: succeeding,
            "failure": lambda: bool(failed_above) and not cancelled,
            "always": lambda: True,
            "cancelled": lambda: cancelled,
        }
        refers_to_env = any(reference.path[0] == "env" for reference in self._parse(condition).references)
        env = self._evaluation.environment(node) if refers_to_env else {}
        return self._evaluation.holds(condition, node, env, functions)

    def _parse(self, condition: str) -> expressions.Expression:
        found = self._parsed.get(condition)
        if found is None:
            found = self._parsed[condition] = expressions.parse(condition, rendered=True)
        return found
