"""What a step writes to its output file, and what is made of it: names, values over lines, types, refusals."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shipway.canonical import MAX_SAFE_INTEGER, Json, canonical_bytes
from shipway.declaration import InputRule, OutputRule
from shipway.errors import UsageError
from shipway.inputs import read_inputs
from shipway.outputs import MAX_SECRET, BadOutput, parse_output_file, take_outputs, typed_output

names = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_-]{0,8}\Z")
plain = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=12)
lines = st.lists(plain, max_size=4)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("\n\n", {}),
        ("a=1", {"a": "1"}),
        ("a=1\nb=2\n", {"a": "1", "b": "2"}),
        ("a=1\na=2\n", {"a": "2"}),
        ("a=\n", {"a": ""}),
        ("a= x = y \n", {"a": " x = y "}),
        ("a=x<<y\n", {"a": "x<<y"}),
        ("a<<EOF\nEOF\n", {"a": ""}),
        ("a<<EOF\none\n\ntwo\nEOF\n", {"a": "one\n\ntwo"}),
        ("a<<EOF\nb=1\nc<<EOF\nEOF\n", {"a": "b=1\nc<<EOF"}),
        ("a<<EOF\n EOF\nEOF \nEOF\nb=2", {"a": " EOF\nEOF ", "b": "2"}),
        ("a<<E=F\nx\nE=F\n", {"a": "x"}),
        ("a<<EOF\r\nx\r\nEOF\r\nb=1\r\n", {"a": "x\r", "b": "1"}),
        ("a<<EOF\nx\nEOF", {"a": "x"}),
        ("a=\u2028x\u0085\n", {"a": "\u2028x\u0085"}),
    ],
)
def test_the_file_form(text: str, found: dict[str, str]) -> None:
    assert parse_output_file(text) == found


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("nothing", 1, "neither `name=value` nor `name<<EOF`"),
        ("a=1\n\n=2\n", 3, "neither"),
        ("<<EOF\nEOF\n", 1, "neither"),
        ("a<<\nx\n", 1, "nothing after `<<`"),
        ("ok=1\na<<EOF\nx\n", 2, "never closed by `EOF`"),
        ("a<<EOF\n EOF", 1, "never closed"),
        ("a b=1", 1, "`a b` is no name"),
        ("1a=1", 1, "no name"),
        (" a=1", 1, "no name"),
        ("é=1", 1, "no name"),
        ("a\r=1", 1, "no name"),
    ],
)
def test_a_malformed_line_is_named_by_its_number(text: str, line: int, words: str) -> None:
    with pytest.raises(BadOutput) as caught:
        parse_output_file(text)
    assert f"line {line} of $SHIPWAY_OUTPUT" in str(caught.value)
    assert words in str(caught.value)


@given(st.lists(st.tuples(names, lines, st.booleans())))
def test_whatever_is_written_in_either_form_is_read_back(entries: list[tuple[str, list[str], bool]]) -> None:
    text, wanted = "", dict[str, str]()
    for place, (name, value, simple) in enumerate(entries):
        if simple and len(value) == 1:
            text += f"{name}={value[0]}\n"
        else:
            delimiter = f"end-{place}"
            assume(delimiter not in value)
            text += f"{name}<<{delimiter}\n" + "".join(f"{line}\n" for line in value) + f"{delimiter}\n"
        wanted[name] = "\n".join(value)
    assert parse_output_file(text) == {name: value.removesuffix("\r") for name, value in wanted.items()}


def _read(text: str) -> dict[str, str] | BadOutput:
    try:
        return parse_output_file(text)
    except BadOutput as error:
        return error


@given(st.text(max_size=40) | st.text("a=<E\n\r ", max_size=40))
def test_any_text_is_read_or_refused_with_a_line(text: str) -> None:
    found = _read(text)
    if isinstance(found, BadOutput):
        assert "of $SHIPWAY_OUTPUT" in str(found)
    else:
        assert all(name.isascii() and name.strip() == name != "" for name in found)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("string", " 3.10 ", " 3.10 "),
        ("secret", "x", "x"),
        ("file", "out/x", "out/x"),
        ("boolean", "true", True),
        ("boolean", "false", False),
        ("integer", "-12", -12),
        ("integer", "+7", 7),
        ("integer", "007", 7),
        ("integer", str(MAX_SAFE_INTEGER), MAX_SAFE_INTEGER),
        ("integer", str(-MAX_SAFE_INTEGER), -MAX_SAFE_INTEGER),
        ("number", "1.5", 1.5),
        ("number", "2.0", 2),
        ("number", "1e20", 1e20),
        ("list", "[1, [2]]", [1, [2]]),
        ("object", '{"a": null}', {"a": None}),
    ],
)
def test_types(kind: str, text: str, value: Json) -> None:
    found = typed_output("o", text, OutputRule(kind))
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("boolean", "True"),
        ("boolean", "1"),
        ("boolean", ""),
        ("integer", "1.0"),
        ("integer", ""),
        ("integer", "٣"),
        ("integer", str(MAX_SAFE_INTEGER + 1)),
        ("integer", "9" * 10_000),
        ("number", "nan"),
        ("number", "inf"),
        ("number", "x"),
        ("list", "{}"),
        ("list", "[1"),
        ("list", "[" * 100_000),
        ("object", "[]"),
        ("object", '{"a": NaN}'),
        ("list", "[1e999]"),
        ("list", "[9007199254740993]"),
        ("object", '{"a": "\\ud800"}'),
    ],
)
def test_a_value_of_another_type_is_refused_by_name(kind: str, text: str) -> None:
    with pytest.raises(BadOutput, match=f"output `o` is declared {kind}"):
        typed_output("o", text, OutputRule(kind))


@given(st.sampled_from(["boolean", "integer", "number", "list", "object"]), st.text(max_size=20))
def test_whatever_is_taken_can_stand_in_a_document(kind: str, text: str) -> None:
    try:
        value = typed_output("o", text, OutputRule(kind))
    except BadOutput:
        return
    assert canonical_bytes(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_keep_their_value(number: float) -> None:
    taken = typed_output("o", json.dumps(number), OutputRule("number"))
    assert isinstance(taken, (int, float))
    assert math.isclose(taken, number, rel_tol=0, abs_tol=0)


def test_outputs_are_taken_in_declared_order_and_others_dropped_with_a_word() -> None:
    rules = {"b": OutputRule("integer"), "a": OutputRule("string"), "c": OutputRule("string", required=False)}
    taken, warnings = take_outputs({"a": "x", "b": "1", "bb": "2"}, rules)
    assert list(taken.items()) == [("b", 1), ("a", "x")]
    assert warnings == ["output `bb` is not declared under `outputs` and was dropped; did you mean `b`?"]


def test_everything_wrong_with_outputs_is_said_at_once() -> None:
    rules = {"a": OutputRule("integer"), "b": OutputRule("boolean"), "c": OutputRule("string")}
    with pytest.raises(BadOutput) as caught:
        take_outputs({"a": "x", "b": "y"}, rules)
    assert [word in str(caught.value) for word in ("`a`", "`b`", "`c`")] == [True] * 3


def test_inputs_are_typed_defaulted_and_refused_all_at_once() -> None:
    rules = {"n": InputRule("integer"), "d": InputRule(default="x"), "r": InputRule("boolean", required=True)}
    assert read_inputs({"n": "1", "r": "true"}, rules) == {"n": 1, "d": "x", "r": True}
    assert read_inputs({"r": "false"}, rules) == {"n": None, "d": "x", "r": False}
    with pytest.raises(UsageError) as caught:
        read_inputs({"n": "x", "dd": "1"}, rules)
    text = caught.value.message
    assert "there is no input `dd`; did you mean `d`?" in text
    assert "input `n` is declared integer; `x` is none" in text
    assert "input `r` (boolean) is required" in text


def test_a_secret_that_is_too_long_to_be_masked_everywhere_is_refused() -> None:
    rules = {"KEY": OutputRule("secret")}
    assert take_outputs({"KEY": "x" * MAX_SECRET}, rules)[0] == {"KEY": "x" * MAX_SECRET}
    with pytest.raises(BadOutput, match="has 49153 characters, and no more than 49152 can be masked"):
        take_outputs({"KEY": "x" * (MAX_SECRET + 1)}, rules)
