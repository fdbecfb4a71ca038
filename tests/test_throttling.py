"""Shows how a step, or an action, says that it was told to slow down."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pytest

from shipway.action import ActionFailed, Command, Done, PlanWork, Prediction, SlotRule, Verb, Work
from shipway.attempt import Ended
from shipway.attempts import Attempts
from shipway.declaration import OutputRule
from shipway.errors import Position
from shipway.exchange import LONGEST_PAUSE_MS
from shipway.nodes import Change, Fidelity, Node, Outcome, Verified
from shipway.redaction import Redactor
from tests.runs import GRACE, environment


def attempts_in(directory: Path) -> Attempts:
    return Attempts(clock_ms=lambda: 0, grace=GRACE, redactor=Redactor({}), directory=directory, threads=1)


def ended_after(directory: Path, script: str) -> Ended:
    """The end of an attempt that runs `script`."""
    attempts = attempts_in(directory)
    attempts.begin_command(
        "main/a", Verb.DO, Command(("sh", "-c", script), directory, environment()), timeout_ms=0, outputs={}
    )
    while not (found := attempts.wait(None)):
        pass
    attempts.close()
    return found[0]


@pytest.mark.parametrize(
    ("script", "pause_ms"),
    [
        ('echo 7 > "$SHIPWAY_RETRY_AFTER"; exit 1', 7000),
        ('printf 7 > "$SHIPWAY_RETRY_AFTER"', 7000),
        ('echo 0 > "$SHIPWAY_RETRY_AFTER"', 0),
        ('echo 7 >> "$SHIPWAY_RETRY_AFTER"; echo 30 >> "$SHIPWAY_RETRY_AFTER"', 30_000),
        ('echo 99999999 > "$SHIPWAY_RETRY_AFTER"', LONGEST_PAUSE_MS),
        (': > "$SHIPWAY_RETRY_AFTER"', None),
        ("exit 1", None),
    ],
)
def test_a_step_asks_for_a_pause_in_seconds(tmp_path: Path, script: str, pause_ms: int | None) -> None:
    ended = ended_after(tmp_path, script)
    assert (ended.retry_after_ms, ended.warning) == (pause_ms, "")
    assert not list((tmp_path / "io").iterdir())


@pytest.mark.parametrize("text", ["soon", "7.5", "-1", "Wed, 21 Oct 2026 07:28:00 GMT", "٧"])
def test_a_pause_that_is_no_number_is_only_warned_of(tmp_path: Path, text: str) -> None:
    ended = ended_after(tmp_path, f'echo "{text}" > "$SHIPWAY_RETRY_AFTER"')
    assert (ended.outcome, ended.retry_after_ms) == (Outcome.SUCCEEDED, None)
    assert f"takes whole seconds, such as `7`, not `{text}`" in ended.warning


@pytest.mark.parametrize("make", ["mkdir", "mkfifo", "ln -s /dev/zero"])
def test_a_pause_that_cannot_be_read_is_only_warned_of(tmp_path: Path, make: str) -> None:
    ended = ended_after(tmp_path, f'{make} "$SHIPWAY_RETRY_AFTER"')
    assert (ended.outcome, ended.retry_after_ms) == (Outcome.SUCCEEDED, None)
    assert "$SHIPWAY_RETRY_AFTER cannot be read" in ended.warning
    assert not list((tmp_path / "io").iterdir())


class Refused:
    """An action whose server says when to come back."""

    runs_in: Literal["thread"] = "thread"
    name = "refused"
    contract = 1
    slots: Mapping[str, SlotRule] = {}
    outputs: Mapping[str, OutputRule] = {}

    def plan(self, work: PlanWork) -> Prediction:
        return Prediction(Change.UPDATE, Fidelity.EXACT)

    def do(self, work: Work) -> Done:
        raise ActionFailed("429 Too Many Requests", retry_after_ms=7000)

    def undo(self, work: Work) -> None:
        pass

    def verify(self, work: Work) -> Verified:
        return Verified.UNKNOWN


def test_an_action_asks_for_a_pause_with_its_failure(tmp_path: Path) -> None:
    attempts = attempts_in(tmp_path)
    node = Node("main/a", "main", "refused", Position("shipway.yml", 1, 1))
    work = Work(node, {}, {}, tmp_path, tmp_path / "scratch")
    attempts.begin(Refused(), Verb.DO, work, timeout_ms=0, outputs={})
    while not (found := attempts.wait(None)):
        pass
    attempts.close()
    assert (found[0].outcome, found[0].error, found[0].retry_after_ms) == (
        Outcome.FAILED,
        "429 Too Many Requests",
        7000,
    )
