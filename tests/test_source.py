"""YAML as plain data with positions: what is read how, what is refused, and that nothing but a refusal ever comes out."""

from __future__ import annotations

import gc
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shipway.canonical import MAX_SAFE_INTEGER, Json, canonical_bytes
from shipway.errors import DeclarationError, Problem
from shipway.source import MAX_BYTES, MAX_DEPTH, MAX_PROBLEMS, SourceTree, parse


def _parse(text: str, name: str = "shipway.yml") -> SourceTree:
    return parse(text.encode(), name)


def _refused(content: bytes) -> tuple[Problem, ...]:
    with pytest.raises(DeclarationError) as caught:
        parse(content, "shipway.yml")
    return caught.value.problems


@pytest.mark.parametrize(
    "written",
    ["on", "off", "yes", "no", "010", "012", "12:30", "1_000", "2024-01-01", "0x1f", "0o17", "True", "<<", "="],
)
def test_what_yaml_1_2_calls_text_stays_text(written: str) -> None:
    assert _parse(f"a: {written}").data == {"a": written}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("3.10", 3.1),
        ("1e3", 1000.0),
        ("-7", -7),
        ("+7", 7),
        ("true", True),
        ("~", None),
        ("", None),
        ("Null", None),
        ("-0.5", -0.5),
    ],
)
def test_plain_scalars_of_yaml_1_2(written: str, value: Json) -> None:
    tree = _parse(f"a: {written}")
    assert tree.data == {"a": value}
    assert tree.spelling(("a",)) == written


def test_quotes_keep_a_number_text() -> None:
    assert _parse("a: '12'\nb: \"true\"\nc: !\n".replace("c: !\n", "c: ''")).data == {"a": "12", "b": "true", "c": ""}


def test_integers_are_exact_up_to_the_limit_and_refused_beyond() -> None:
    assert _parse(f"a: {MAX_SAFE_INTEGER}\nb: -{MAX_SAFE_INTEGER}").problems == ()
    tree = _parse(f"a: {MAX_SAFE_INTEGER + 1}\nb: -{MAX_SAFE_INTEGER + 1}\nc: 1e999\nd: .inf")
    assert [problem.where.line for problem in tree.problems if problem.where] == [1, 2, 3, 4]


def test_positions_of_keys_and_values() -> None:
    tree = _parse("a: {bc: [1, 'two']}\nd:\n  - e: |\n      x\n    f:\n")
    assert str(tree.locate(("a", "bc", 1))) == "shipway.yml:1:13"
    assert tree.locate(("a", "bc", 1)).width == 5
    assert str(tree.locate(("a", "bc"), key=True)) == "shipway.yml:1:5"
    assert tree.locate(("a", "bc"), key=True).width == 2
    assert str(tree.locate(("d", 0, "e"))) == "shipway.yml:3:8"
    assert str(tree.locate(("d", 0, "f"))) == "shipway.yml:5:5", "a value that is not written stands at its key"
    assert str(tree.locate(("d", 0, "g", "h"))) == "shipway.yml:3:5", (
        "a path that leads nowhere ends at the last that exists"
    )
    assert tree.line(tree.locate(("d", 0, "e"))) == "  - e: |"


def test_spelling_of_what_is_no_scalar_is_an_error() -> None:
    tree = _parse("a: [1]")
    for path in (("a",), ("b",), ("a", 1)):
        with pytest.raises(KeyError):
            tree.spelling(path)


@given(st.text(alphabet="ab ${}'\"\\\tä😀", min_size=1, max_size=30), st.data())
def test_a_place_inside_a_scalar_is_exact_in_every_style(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text) - 1))
    marked = text[:at] + "#MARK#" + text[at:]
    single = "'" + marked.replace("'", "''") + "'"
    double = json.dumps(marked, ensure_ascii=False)
    block = "|2\n    " + marked  # indentation given, so that leading blanks are text
    for written in (single, double, block):
        tree = _parse(f"a:\n  b: {written}\n")
        value = tree.spelling(("a", "b"))
        where = tree.locate_within(("a", "b"), value.index("#MARK#"), 6)
        line = tree.line(where)
        assert line[where.column - 1 : where.column + 5] == "#MARK#"
        assert where.width == 6


def test_a_place_inside_a_folded_or_plain_text_over_lines() -> None:
    tree = _parse("a: >-\n  one two\n  one three\nb: one two\n  one four\n")
    assert str(tree.locate_within(("a",), 8, 3)) == "shipway.yml:3:3"
    assert str(tree.locate_within(("b",), 8, 3)) == "shipway.yml:5:3"


def test_overlay_merges_mappings_replaces_the_rest_and_null_clears() -> None:
    base = _parse("a: {x: 1, y: [1, 2], z: {q: 1}}\nb: 1\nc: {d: 1}\n")
    over = _parse("a: {y: [3], z: null, n: {m: null, k: 1}}\nb: {x: 2}\nc: 5\n", "over.yml")
    tree = base.overlaid(over)
    assert tree.data == {"a": {"x": 1, "y": [3], "n": {"k": 1}}, "b": {"x": 2}, "c": 5}
    assert tree.files == ("shipway.yml", "over.yml")
    assert str(tree.locate(("a", "x"))) == "shipway.yml:1:8"
    assert str(tree.locate(("a", "y", 0))) == "over.yml:1:9"
    assert str(tree.locate(("a",), key=True)) == "shipway.yml:1:1"
    assert tree.line(tree.locate(("b",))) == "b: {x: 2}"
    assert base.data == {"a": {"x": 1, "y": [1, 2], "z": {"q": 1}}, "b": 1, "c": {"d": 1}}, "the base is left as it was"


# JSON's escapes of characters beyond U+FFFF are pairs of surrogates, which YAML does not know; NUL is refused.
_texts = st.text(st.characters(min_codepoint=1, max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=5)
_documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=12,
)


def _patched(base: Json, patch: Json) -> Json:
    """JSON merge patch. Source: RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _patched(result.get(key), value)
    return result


@given(st.dictionaries(_texts, _documents), st.dictionaries(_texts, _documents))
def test_overlay_is_json_merge_patch(base: dict[str, Json], over: dict[str, Json]) -> None:
    merged = _parse(json.dumps(base)).overlaid(_parse(json.dumps(over))).data
    assert merged == _patched(base, over)


@given(_documents.filter(lambda value: value is not None))
def test_json_is_yaml(value: Json) -> None:
    tree = _parse(json.dumps(value))
    assert tree.data == value
    assert tree.problems == ()


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"a: &a [*a]")
@example(b"\xef\xbb\xbf\xef\xbb\xbfa: 1")
@example(b"? ? ? ?")
@example(b"--- - --- -")
@example(b"a: !!binary x\n? {}\n: y")
@example(b"%TAG ! tag:x,2000:\n--- !a b")
def test_whatever_the_bytes_only_a_refusal_comes_out(content: bytes) -> None:
    _read_or_refuse(content)


_PIECES = ["a", "1", ":", "-", "?", "{", "}", "[", "]", ",", "'", '"', "|", ">"]
_PIECES += [
    "&a",
    "*a",
    "!x",
    "#",
    "---",
    "...",
    "%",
    "@",
    "`",
    "\\",
    "~",
    "1e999",
    "if:",
]
_SOUP = st.lists(
    st.sampled_from(
        [*_PIECES, " ", "  ", "\n", "\t", "\0", "\r\n", "\x85", "\u2028", "\ufeff", "${{ x }}", "!a()", "\n---\n"]
    ),
    max_size=40,
)


@given(_SOUP.map("".join))
def test_whatever_the_yaml_only_a_refusal_comes_out(text: str) -> None:
    _read_or_refuse(text.encode())


def _read_or_refuse(content: bytes) -> None:
    """What is read has a canonical form; what is refused says where."""
    error = None
    try:
        canonical_bytes(parse(content, "shipway.yml").data)
    except DeclarationError as refusal:
        error = refusal
    for problem in error.problems if error else ():
        assert problem.text
        assert problem.where is not None
        assert problem.where.line >= 1
        assert 1 <= problem.where.column <= len(problem.line) + 1
    assert error is None or error.problems


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_nesting_is_refused_before_any_stack_is_at_risk(opening: str) -> None:
    (problem,) = _refused((opening * 30_000).encode())
    assert str(MAX_DEPTH) in problem.text


def test_nesting_up_to_the_limit_is_read() -> None:
    assert _parse("[" * MAX_DEPTH + "]" * MAX_DEPTH).problems == ()


def test_a_file_too_large_is_refused() -> None:
    (problem,) = _refused(b"#" * (MAX_BYTES + 1))
    assert problem.text == "the file is larger than 4 MiB"
    assert parse(b"a: 1\n" + b"#" * (MAX_BYTES - 5), "x").data == {"a": 1}


def test_problems_are_bounded() -> None:
    assert len(_refused(b"- &a b\n" * 100_000)) == MAX_PROBLEMS


@pytest.mark.parametrize("content", [b"a: 1", b"a: [", b"a: &x 1"])
def test_the_garbage_collector_is_left_as_it_was(content: bytes) -> None:
    for is_enabled in (True, False):
        (gc.enable if is_enabled else gc.disable)()
        try:
            _read_or_refuse(content)
            assert gc.isenabled() is is_enabled
        finally:
            gc.enable()
