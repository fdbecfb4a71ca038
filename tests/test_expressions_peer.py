"""Compares Shipway's expressions with GitHub's own JavaScript package over thousands of generated ones."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from shipway.expressions import ExpressionError, Value, evaluate, parse
from tests.expression_generator import Manner, mutated, random_contexts, random_expression
from tests.peers import require

TOOLS = Path(__file__).parent / "tools" / "expressions"
SEED = 20261122
EXPRESSIONS = 4000
MUTATED = 4000


@dataclass(frozen=True, slots=True)
class Question:
    """An expression and the contexts it stands over."""

    text: str
    contexts: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the package and the runner part ways; `runner` and `package` are JSON, or None for an error."""

    why: str
    text: str
    runner: str | None
    package: str | None
    contexts: str = "{}"


# docs/expressions.md lists the same, with the reasons.
DIFFERENCES = [
    Difference(
        "numbers in text have 15 digits",
        "format('{0}', 1234567890.1234567)",
        '"1234567890.12346"',
        '"1234567890.1234567"',
    ),
    Difference("numbers in text have 15 digits", "format('{0}', 1e15)", '"1E+15"', '"1000000000000000"'),
    Difference("numbers in text have 15 digits", "format('{0}', 1e21)", '"1E+21"', '"1e+21"'),
    Difference("numbers in text have 15 digits", "format('{0}', 0.00001)", '"1E-05"', '"0.00001"'),
    Difference("numbers in JSON too", "toJSON(1234567890.1234567)", '"1234567890.12346"', '"1234567890.1234567"'),
    Difference("NaN and infinity in JSON", "toJSON(NaN)", '"NaN"', '"null"'),
    Difference("NaN and infinity in JSON", "toJSON(-Infinity)", '"-Infinity"', '"null"'),
    Difference("escapes in JSON", "toJSON('\u2028')", '"\\"\\\\u2028\\""', '"\\"\u2028\\""'),
    Difference("case by single characters", "'ß' == 'SS'", "false", "true"),
    Difference("case by single characters", "startsWith('straße', 'STRASS')", "false", "true"),
    Difference("case by single characters", "'ŉ' == 'ʼN'", "false", "true"),
    Difference("case by single characters", "'ᾳ' == 'ΑΙ'", "false", "true"),
    Difference("long s stays", "'ſ' == 's'", "false", "true"),
    Difference("`contains` compares upper case", "contains('Σ', 'ς')", "true", "false"),
    Difference("`contains` compares upper case", "contains('İ', 'i')", "false", "true"),
    Difference("keys compare in upper case", "a['ς']", "1", "null", '{"a": {"Σ": 1}}'),
    Difference("32-bit hexadecimal", "0xFFFFFFFF", "-1", "4294967295"),
    Difference("32-bit hexadecimal", "'0x100000000' == 4294967296", "false", "true"),
    Difference("32-bit octal", "0o37777777777", "-1", "4294967295"),
    Difference("no binary, no capital prefix", "'0b11' == 3", "false", "true"),
    Difference("no binary, no capital prefix", "0X10", None, "16"),
    Difference("infinity in any case", "'INFINITY' == Infinity", "true", "false"),
    Difference("white space of .NET", "1\u00a0==\u00a01", "true", None),
    Difference("white space of .NET", "'\u00851' == 1", "true", "false"),
    Difference("white space of .NET", "'\ufeff1' == 1", "false", "true"),
    Difference("every quote is unescaped", "'a''b''c'", "\"a'b'c\"", "\"a'b''c\""),
    Difference("no comma at the end", "join('a',)", None, '"a"'),
    Difference("unused arguments are not worked out", "format('x', fromJSON('{'))", '"x"', None),
    Difference("unused arguments are not worked out", "case(true, 1, fromJSON('{'))", "1", None),
    Difference("unused arguments are not worked out", "join('a', fromJSON('{'))", '"a"', None),
    Difference("unused arguments are not worked out", "(null)[fromJSON('{')]", "null", None),
    Difference("format specifiers fail", "format('{0:x}', 1)", None, '"1"'),
    Difference("format specifiers fail", "format('{0abc}', 1)", None, '"1"'),
    Difference("depth is the tree's", "(" * 60 + "1" + ")" * 60, "1", None),
    Difference("depth is the tree's", "1" + " == 1" * 60, None, "true"),
]

# Where Shipway is on purpose stricter, or simpler, than the runner; the package agrees with Shipway or with neither.
OURS = [
    Difference(
        "keys that differ in case stay apart",
        'toJSON(fromJSON(\'{"a":1,"A":2}\').*)',
        '"[\\n  1,\\n  2\\n]"',
        '"[\\n  1\\n]"',
    ),
    Difference("`*` in an index stands alone", "a[*.b]", None, None, '{"a": {}}'),
    Difference("JSON is strict", "fromJSON('{a: 1}')", None, None),
    Difference("JSON is strict", "fromJSON('NaN')", None, None),
    Difference("JSON is strict", "fromJSON('1 2')", None, None),
    Difference("JSON is not nested deeper than 64", f"toJSON(fromJSON('{'[' * 65}{']' * 65}')) != ''", None, "true"),
]


def ask_peer(questions: Sequence[Question]) -> list[Mapping[str, object]]:
    """The package's answers, in order, from one node process. Skips, saying what to run, where node or package is missing."""
    node = shutil.which("node")
    require("node", node is not None, "install Node.js 20 or later")
    is_there = (TOOLS / "node_modules" / "@actions" / "expressions").is_dir()
    require("@actions/expressions", is_there, "npm ci --prefix tests/tools/expressions")
    assert node is not None
    lines = "".join(json.dumps({"text": q.text, "contexts": q.contexts}) + "\n" for q in questions)
    done = subprocess.run([node, TOOLS / "peer.mjs"], input=lines, capture_output=True, check=True, encoding="utf-8")
    answers: list[Mapping[str, object]] = [json.loads(line) for line in done.stdout.split("\n") if line]
    assert len(answers) == len(questions)
    return answers


def our_answer(question: Question) -> Mapping[str, object]:
    """Shipway's answer in the same shape."""
    try:
        expression = parse(question.text, question.contexts, ())
    except ExpressionError as error:
        return {"error": error.message, "parsed": False}
    try:
        return {"value": evaluate(expression, question.contexts), "parsed": True}
    except ExpressionError as error:
        return {"error": error.message, "parsed": True}


def tagged(value: object) -> object:
    """`value` so that equal means equal in kind too: Python holds 1, 1.0 and True for equal, and NaN for nothing."""
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, (int, float)):
        return "number", str(float(value)) if math.isfinite(value) else repr(float(value))
    if isinstance(value, Mapping):
        if "$number" in value:
            return "number", {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}[value["$number"]]
        return "object", tuple((key, tagged(member)) for key, member in value.items())
    if isinstance(value, (list, tuple)):
        return "array", tuple(map(tagged, value))
    return value


def outcome(answer: Mapping[str, object]) -> object:
    """The tagged value, or that there was an error: the words of errors are each side's own."""
    return ("value", tagged(answer["value"])) if "value" in answer else "error"


def test_generated_expressions_come_to_what_githubs_package_says() -> None:
    rng = Random(SEED)
    questions = [Question(random_expression(rng, Manner(fails=True)), random_contexts(rng)) for _ in range(EXPRESSIONS)]
    differing = [
        (question, ours, theirs)
        for question, theirs in zip(questions, ask_peer(questions), strict=True)
        if outcome(ours := our_answer(question)) != outcome(theirs)
    ]
    assert not differing, f"{len(differing)} of {EXPRESSIONS} differ, seed {SEED}; the first: {differing[0]}"


def test_what_is_no_expression_is_none_for_githubs_package_either() -> None:
    rng = Random(SEED + 1)
    texts = [mutated(rng, random_expression(rng, Manner(), 3)) for _ in range(MUTATED)]
    questions = [Question(text, random_contexts(rng)) for text in texts]
    answers = [
        (question.text, our_answer(question), theirs)
        for question, theirs in zip(questions, ask_peer(questions), strict=True)
    ]
    differing = [answer for answer in answers if answer[1]["parsed"] != answer[2]["parsed"]]
    assert not differing, f"{len(differing)} of {MUTATED} differ, seed {SEED + 1}; the first: {differing[0]}"
    refused = sum(not ours["parsed"] for _, ours, _ in answers)
    assert MUTATED / 4 < refused < MUTATED, "mutations must make some texts unreadable and leave some readable"


@pytest.mark.parametrize("table", [DIFFERENCES, OURS], ids=["runner", "ours"])
def test_each_known_difference_is_as_listed(table: Sequence[Difference]) -> None:
    questions = [Question(difference.text, json.loads(difference.contexts)) for difference in table]
    for difference, question, theirs in zip(table, questions, ask_peer(questions), strict=True):
        assert outcome(our_answer(question)) == _listed(difference.runner), difference
        assert outcome(theirs) == _listed(difference.package), (difference, theirs)


def test_every_difference_is_documented() -> None:
    page = (Path(__file__).parent.parent / "docs" / "expressions.md").read_text(encoding="utf-8")
    assert [d.why for d in DIFFERENCES + OURS if f"| {d.why} |" not in page] == []


def test_each_difference_from_the_runner_is_one() -> None:
    assert [d for d in DIFFERENCES if d.runner == d.package] == []


def _listed(text: str | None) -> object:
    return "error" if text is None else ("value", tagged(json.loads(text)))
