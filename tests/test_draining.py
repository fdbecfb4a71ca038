"""A run that stops while a node waits for its next try: with real children, whatever room there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runs import run

# `a` fails once and waits for its next try: for the pause, and behind `c`, which shares its limit, until `b` has failed.
_STEPS = """\
defaults: {{on_failure: {policy}, parallel: 3}}
limits: {{one: {{parallel: 1}}}}
steps:
  a:
    run: test -e a-tried || {{ touch a-tried; exit 1; }}
    retry: {{attempts: 2, initial: {pause}}}
    limits: [one]
    lasting: false
  b:
    run: until test -e c-began; do sleep 0.01; done; touch b-over; exit 1
    lasting: false
  c:
    run: touch c-began; until test -e b-over && test {last}; do sleep 0.01; done
    limits: [one]
    lasting: false
"""


@pytest.mark.parametrize(
    ("policy", "pause", "last", "outcomes", "tries"),
    [
        ("drain", "1ms", "1", {"a": "succeeded", "b": "failed", "c": "succeeded"}, ["failed", "succeeded"]),
        ("cancel", "1h", "''", {"a": "failed", "b": "failed", "c": "cancelled"}, ["failed"]),
    ],
)
def test_c027_a_node_between_two_tries_is_tried_again_or_ends_as_it_was(
    tmp_path: Path, policy: str, pause: str, last: str, outcomes: dict[str, str], tries: list[str]
) -> None:
    ran = run(tmp_path, _STEPS.format(policy=policy, pause=pause, last=last))
    assert ran.outcomes == outcomes
    assert [attempt.outcome.value for attempt in ran["main/a"].attempts] == tries
    assert ran.exit_code == 1


def test_a_failure_is_known_to_all_later_stages_whatever_outlived_it(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        """\
        defaults: {on_failure: continue}
        stages:
          work:
            steps:
              bad: {run: exit 1, lasting: false}
              tidy: {run: 'true', optional_needs: [bad], lasting: false}
          clean: {needs: [work], if: always(), steps: [{id: one, run: 'true', lasting: false}]}
          tell: {needs: [clean], if: failure(), steps: [{id: one, run: 'true', lasting: false}]}
          next: {needs: [clean], steps: [{id: one, run: 'true', lasting: false}]}
        """,
    )
    assert ran.outcomes == {
        "work/bad": "failed",
        "work/tidy": "succeeded",
        "clean/one": "succeeded",
        "tell/one": "succeeded",
        "next/one": "blocked",
    }
    assert ran["next/one"].cause == "work/bad"


def test_what_optionally_needs_a_first_step_still_waits_for_the_stages_before(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        """\
        defaults: {on_failure: continue}
        stages:
          work: {steps: [{id: bad, run: exit 1, lasting: false}]}
          after:
            needs: [work]
            steps:
              first: {run: 'true', lasting: false}
              second: {run: 'true', optional_needs: [first], lasting: false}
        """,
    )
    assert ran.outcomes == {"work/bad": "failed", "after/first": "blocked", "after/second": "blocked"}
