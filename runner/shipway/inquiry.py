"""Asks `verify` about nodes of a run that is over, as its journal has them. Looks only: no journal and no workspace is written."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from shipway.action import Verb
from shipway.attempt import Ended
from shipway.attempts import Attempts
from shipway.bodies import regrown, rules_of
from shipway.canonical import Json
from shipway.drift import Answer
from shipway.evaluation import Unresolved
from shipway.execution import PLAN_COMMAND_TIMEOUT_MS, ExecutionTools, surroundings_of
from shipway.interruption import abort
from shipway.nodes import DONE, Outcome, Verified
from shipway.plan import Plan
from shipway.progress import Surroundings, work_where_it_stands
from shipway.replay import Standing, stand
from shipway.run_record import RunRecord
from shipway.step_locks import StepLocks
from shipway.takeover import can_be_asked

_AT_ONCE = 8


def ask_verify(plan: Plan, record: RunRecord, nodes: Sequence[str], tools: ExecutionTools) -> dict[str, Answer]:
    """What `verify` says of these nodes; without those that have none. `tools.directory` is not used.

    Raises Interrupted, once all that was started has ended, where a signal came meanwhile.
    """
    grown = regrown(plan, record, rules_of(tools.registry.require_action))
    standings = stand(grown.nodes, record)
    with _opened(grown, tools) as around:
        for standing in standings.values():
            if standing.own in DONE and standing.last is not None:
                around.evaluation.record(standing.node, standing.own, standing.last.outputs)
        return _asked([standings[node] for node in nodes if node in standings], around, tools)


def ask_left(plan: Plan, left: Mapping[str, Mapping[str, Json]], tools: ExecutionTools) -> dict[str, Answer]:
    """What `verify` says of the nodes of `plan` that left something, whichever runs that was by: `left` is their outputs.

    Raises Interrupted, once all that was started has ended, where a signal came meanwhile.
    """
    with _opened(plan, tools) as around:
        nodes = [plan.by_id[node] for node in left if node in plan.by_id]
        for node in nodes:
            around.evaluation.record(node, Outcome.SUCCEEDED, left[node.id])
        return _asked([Standing(node, Outcome.SUCCEEDED, Outcome.SUCCEEDED) for node in nodes], around, tools)


@contextmanager
def _opened(plan: Plan, tools: ExecutionTools) -> Iterator[Surroundings]:
    """What nodes are asked with, in a directory of its own that is removed afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="shipway-drift-"))
    started_ns = tools.context.monotonic_ns()

    def clock_ms() -> int:
        return (tools.context.monotonic_ns() - started_ns) // 1_000_000

    attempts = Attempts(
        clock_ms=clock_ms, grace=tools.grace, redactor=tools.redactor, directory=directory, threads=_AT_ONCE
    )
    try:
        step_locks = StepLocks(tools.locks, (), attempts.wake)
        around = surroundings_of(plan, replace(tools, directory=directory), attempts, step_locks, clock_ms)
        try:
            yield around
        finally:
            around.notebook.close()
    finally:
        attempts.close()
        shutil.rmtree(directory, ignore_errors=True)


def _asked(standings: Sequence[Standing], around: Surroundings, tools: ExecutionTools) -> dict[str, Answer]:
    attempts, waiting = around.attempts, [each for each in standings if can_be_asked(each.node, tools.registry)]
    found: dict[str, Answer] = {}
    with tools.interruption.handled_by(attempts.wake):
        while waiting or attempts.active:
            while waiting and attempts.active < _AT_ONCE and not tools.interruption.is_pending:
                standing = waiting.pop(0)
                try:
                    work = work_where_it_stands(standing, around)
                except Unresolved as error:
                    found[standing.node.id] = Answer(Verified.UNKNOWN, f"it cannot be asked: {error}")
                    continue
                action = around.require_action(standing.node.action)
                timeout_ms = standing.node.timeout_ms or PLAN_COMMAND_TIMEOUT_MS
                attempts.begin(action, Verb.VERIFY, work, timeout_ms=timeout_ms, outputs={})
            if tools.interruption.is_pending:
                waiting.clear()
                attempts.kill()
            if attempts.active:
                found.update((ended.node, _answer(ended)) for ended in attempts.wait(None))
    if tools.interruption.is_pending:
        abort()
    return found


def _answer(ended: Ended) -> Answer:
    if ended.verified is not Verified.UNKNOWN:
        return Answer(ended.verified)
    how = ended.error or (f"exit {ended.exit_code}" if ended.exit_code is not None else "")
    return Answer(Verified.UNKNOWN, f"`verify` cannot tell: {how}" if how else "`verify` cannot tell")
