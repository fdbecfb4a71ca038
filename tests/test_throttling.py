"""Shows how a step, or an action, says that it was told to slow down."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

import pytest

from shipway.action import ActionFailed, Command, Done, PlanWork, Prediction, SlotRule, Verb, Work
from shipway.attempt import Ended
from shipway.attempts import Attempts
from shipway.declaration import OutputRule
from shipway.errors import Position
from shipway.events import Event, LimitsResting, RunWaiting
from shipway.exchange import LONGEST_PAUSE_MS
from shipway.interruption import Interruption
from shipway.limits import Limit, Rate
from shipway.nodes import Change, Fidelity, Node, Outcome, Verified
from shipway.pace import Standing
from shipway.pacing import Pacing
from shipway.redaction import Redactor
from shipway.room import Bounds, Item
from shipway.scheduler import Scheduler
from tests.runs import GRACE, Ran, Setting, environment, run, stage


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


# What a run makes of it. Its clock goes faster than the real one, so that nobody waits.


def test_d043_the_limits_of_a_step_that_was_told_to_slow_down_rest_for_all(tmp_path: Path) -> None:
    told = 'echo 60 > "$SHIPWAY_RETRY_AFTER"; exit 1'
    ran = run(
        tmp_path,
        stage(
            f"""
            told: {{run: '{told}', limits: [api], allow_failure: true}}
            free: {{run: 'true'}}
            next: {{run: 'true', limits: [api], retry: 3}}
            """,
            more="limits: {api: {}}",
        ),
        Setting(speed=1000),
    )
    assert [event for event in ran.events if isinstance(event, LimitsResting)] == [
        LimitsResting("main/told", ("api",), 60_000)
    ]
    assert ran["main/next"].waited_for == "pause of limit api"
    assert len(ran["main/next"].attempts) == 1
    assert started(ran, "next") >= ended(ran, "told") + 60_000 > started(ran, "free")


@pytest.mark.parametrize(("rule", "most"), [("", 1), ("parallel: 2", 2)])
def test_d036_a_limit_lets_one_run_at_once_unless_it_says_how_many(tmp_path: Path, rule: str, most: int) -> None:
    steps = "\n".join(f"n{number}: {{run: 'true', limits: [l]}}" for number in range(3))
    ran = run(tmp_path, stage(steps, more=f"limits: {{l: {{{rule}}}}}"))
    assert ran.most_at_once() == most
    assert ran.exit_code == 0


def test_a_rate_bounds_the_starts_of_a_real_run(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage(
            "\n".join(f"n{number}: {{run: 'true', limits: [registry]}}" for number in range(3)),
            more="limits: {registry: {parallel: 9, rate: 3/1h, burst: 2}}",  # the third token comes after more than a second
            defaults="parallel: 9",
        ),
        Setting(speed=1000),
    )
    starts = [started(ran, f"n{number}") for number in range(3)]
    assert starts[2] >= 1_200_000 + starts[0] and starts[1] < starts[2]
    assert [ran[f"main/n{number}"].waited_for for number in range(3)] == ["", "", "rate of limit registry"]


def test_an_interruption_ends_a_wait_and_a_second_one_whatever_waits_for_time(tmp_path: Path) -> None:
    interruption = Interruption()

    def strike(event: Event) -> None:
        if isinstance(event, RunWaiting):
            interruption.strike()
            interruption.strike()

    ran = run(
        tmp_path,
        stage(
            """
            a: {run: 'true', limits: [l]}
            b: {run: 'true', limits: [l]}
            c: {run: 'true', limits: [l], if: always()}
            """,
            more="limits: {l: {rate: 1/24h}}",
        ),
        Setting(interruption=interruption, subscribers=[strike]),
    )
    assert ran.outcomes == {"a": "succeeded", "b": "not_started", "c": "not_started"}


class Crowded:
    """Others that share the limits and are always a little faster: the first claims are refused."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.rested: list[tuple[tuple[str, ...], int]] = []

    def look(self, limits: Mapping[str, Rate | None]) -> Mapping[str, Standing]:
        return {"l": Standing(1000), "m": Standing(None, rests_ms=30)}

    def claim(self, limits: Mapping[str, Rate]) -> tuple[bool, Mapping[str, Standing]]:
        self.refusals -= 1
        return self.refusals < 0, {"l": Standing(0)}

    def rest(self, limits: Sequence[str], for_ms: int) -> None:
        self.rested.append((tuple(limits), for_ms))


def test_a_token_that_others_took_is_waited_for() -> None:
    items = [Item("a", limits=("l",)), Item("b", limits=("m",)), Item("c")]
    bounds = Bounds(1, limits={"l": 9, "m": 9}, rates={"l": Rate(1, 1000)})
    scheduler, tokens, events = Scheduler(items, bounds), Crowded(2), list[Event]()
    limits = {"l": Limit(9, Rate(1, 1000)), "m": Limit(9)}
    pacing = Pacing(scheduler, limits, tokens, events.append)
    pacing.begin(0)
    assert [one.id for one in pacing.dispatch(0)] == ["c"], "`a` was refused; the limit of `b` rests"
    scheduler.finish("c", Outcome.SUCCEEDED)
    assert pacing.next_moment_ms(0, idle=True) == 30
    assert [one.id for one in pacing.dispatch(30)] == ["b"]
    scheduler.finish("b", Outcome.SUCCEEDED)
    assert [pacing.next_moment_ms(30, idle=True), list(pacing.dispatch(999))] == [1000, []]
    assert [one.id for one in pacing.dispatch(1000)] == [], "refused once more"
    assert [(one.id, one.waited_for) for one in pacing.dispatch(2000)] == [("a", "rate of limit l")]
    assert not events, "none of the waits was worth a line"
    pacing.heed(("l",), "a", 5000, 2001)
    assert tokens.rested == [(("l",), 5000)]


def started(ran: Ran, step: str) -> int:
    return ran[f"main/{step}"].attempts[0].started_ms


def ended(ran: Ran, step: str) -> int:
    return ran[f"main/{step}"].attempts[-1].ended_ms


def test_an_undo_takes_its_turn_under_the_limits_of_its_step(tmp_path: Path) -> None:
    text = """
limits: {api: {rate: 1/10m}}
steps:
  - {id: a, run: "true", undo: echo undone >> log, limits: [api]}
  - {id: b, run: exit 1}
"""
    ran = run(tmp_path, text, Setting(speed=1000))
    assert (tmp_path / "log").read_text() == "undone\n"
    [undone] = [entry for entry in ran.receipt.rollback if entry.node == "main/a"]
    assert undone.ended_ms - (ran["main/a"].started_ms or 0) >= 600_000


def test_an_undo_that_is_told_to_slow_down_lets_its_limits_rest(tmp_path: Path) -> None:
    text = """
limits: {api: {parallel: 3}}
steps:
  - {id: a, run: "true", undo: 'echo 2 > "$SHIPWAY_RETRY_AFTER"', limits: [api]}
  - {id: b, run: exit 1}
"""
    ran = run(tmp_path, text)
    assert ran.outcomes["a"] == "undone"
    with closing(sqlite3.connect(tmp_path / ".shipway/journal.sqlite")) as journal:
        assert journal.execute("SELECT name, rests_ms FROM pace").fetchall() == [("api", 2000)]
