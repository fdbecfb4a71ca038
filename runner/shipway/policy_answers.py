"""What a policy's program printed, as a verdict: Shipway's own form, conftest's, OPA's. Whatever is none of them is no verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from msgspec import Struct

from shipway.canonical import Json
from shipway.policies import Decision

MAX_ANSWER_BYTES = 1 << 20
"""The longest answer that is read; a longer one is no verdict."""

_MOST_MESSAGES = 50
_LONGEST_MESSAGE = 1000


class NoVerdict(Exception):
    """An answer that says neither yes nor no; the text says why."""


class Answer(Struct, frozen=True):
    """A decision with its messages, as the program gave them: not redacted."""

    decision: Decision
    messages: tuple[str, ...] = ()


def read_answer(content: bytes) -> Answer:
    """The verdict in what a program printed. Raises NoVerdict for everything that is not clearly one.

    Forms: `{"verdict": "allow" | "deny" | "warn", "messages": [text]}`; the list that `conftest test --output json` prints;
    the object that `opa eval --format json` prints, whose one value is true, false, a list of messages that deny, or
    `{"deny": [message], "warn": [message]}`.
    """
    if len(content) > MAX_ANSWER_BYTES:
        raise NoVerdict(f"it printed more than {MAX_ANSWER_BYTES} bytes")
    if not content.strip():
        raise NoVerdict("it printed nothing")
    try:
        data: Json = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise NoVerdict("what it printed is not JSON") from error
    if isinstance(data, list):
        return _of_conftest(data)
    if isinstance(data, dict) and "verdict" in data:
        return _own(data)
    if isinstance(data, dict) and "result" in data:
        return _of_opa(data["result"])
    raise NoVerdict("the JSON that it printed is no verdict")


def _own(data: Mapping[str, Json]) -> Answer:
    word = data["verdict"]
    if word not in ("allow", "deny", "warn"):
        raise NoVerdict(f"its `verdict` is {json.dumps(word)[:80]}, not `allow`, `deny` or `warn`")
    return Answer(Decision(word), _messages(data.get("messages", [])))


def _of_conftest(data: Sequence[Json]) -> Answer:
    """conftest's own list of results, one for each file and namespace. Source: https://www.conftest.dev/options/#json"""
    failures: list[str] = []
    warnings: list[str] = []
    tests = 0
    for result in data:
        if not isinstance(result, Mapping) or "successes" not in result:
            raise NoVerdict("the list that it printed is none of conftest's results")
        successes = result["successes"]
        failures += _messages(result.get("failures") or [])
        warnings += _messages(result.get("warnings") or [])
        tests += successes if isinstance(successes, int) else 0
    if not tests and not failures and not warnings:
        raise NoVerdict("conftest tested nothing")
    return _weighed(failures, warnings)


def _of_opa(result: Json) -> Answer:
    """OPA's result of one query. Source: https://www.openpolicyagent.org/docs/cli#eval"""
    values = [
        expression.get("value")
        for each in (result if isinstance(result, list) else ())
        for expression in _list(each.get("expressions") if isinstance(each, Mapping) else None)
        if isinstance(expression, Mapping) and "value" in expression
    ]
    if len(values) != 1:
        raise NoVerdict(f"OPA gave {len(values)} values; ask for one, such as `data.shipway`")
    [value] = values
    if isinstance(value, bool):
        return Answer(Decision.ALLOW if value else Decision.DENY)
    if isinstance(value, list):
        return _weighed(_messages(value), ())
    if isinstance(value, Mapping) and ("deny" in value or "warn" in value):
        return _weighed(_messages(value.get("deny", [])), _messages(value.get("warn", [])))
    raise NoVerdict("OPA's value is neither true, false, a list of messages nor an object with `deny` or `warn`")


def _weighed(failures: Sequence[str], warnings: Sequence[str]) -> Answer:
    if failures:
        return Answer(Decision.DENY, (*failures, *warnings))
    return Answer(Decision.WARN if warnings else Decision.ALLOW, tuple(warnings))


def _messages(value: Json) -> tuple[str, ...]:
    """Texts, or objects with a `msg`."""
    if not isinstance(value, list):
        raise NoVerdict("its messages are no list")
    found = [item.get("msg") if isinstance(item, Mapping) else item for item in value]
    if not all(isinstance(item, str) for item in found):
        raise NoVerdict("one of its messages is no text")
    shown = tuple(str(item)[:_LONGEST_MESSAGE] for item in found[:_MOST_MESSAGES])
    return shown + ((f"and {len(found) - _MOST_MESSAGES} more",) if len(found) > _MOST_MESSAGES else ())


def _list(value: Json) -> Sequence[Json]:
    return value if isinstance(value, list) else ()
