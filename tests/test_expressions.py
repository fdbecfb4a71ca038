"""The expression language: GitHub's own cases, then what its package leaves out: limits, errors, references, folding."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from shipway.expression_values import parse_number, pretty_json
from shipway.expressions import (
    Expression,
    ExpressionError,
    Reference,
    Template,
    Value,
    evaluate,
    evaluate_template,
    has_expression,
    hash_files,
    loosely_equal,
    parse,
    parse_template,
    partially_evaluate,
    to_text,
    truthy,
)

VENDORED = Path(__file__).parent / "vendor" / "expressions"


def github_cases() -> Iterator[object]:
    for file in sorted(VENDORED.glob("*.json")):
        for group, cases in json.loads(file.read_text(encoding="utf-8")).items():
            for number, case in enumerate(cases):
                yield pytest.param(case, id=f"{file.stem}-{group}-{number}")


def value_of(text: str, contexts: Mapping[str, Value] | None = None) -> Value:
    return evaluate(parse(text), contexts or {})


def error_of(text: str, contexts: set[str] | None = None, functions: set[str] | None = None) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        parse(text, contexts, functions)
    return caught.value


def folded(text: str, **known: Value) -> str:
    return partially_evaluate(parse(text), known).text


def folded_template(text: str, **known: Value) -> Template:
    return partially_evaluate(parse_template(text), known)


@pytest.mark.parametrize("case", list(github_cases()))
def test_githubs_own_case(case: Mapping[str, object]) -> None:
    contexts = case.get("contexts", {})
    assert isinstance(contexts, dict)
    if "err" in case:
        with pytest.raises(ExpressionError):
            evaluate(parse(str(case["expr"]), contexts, ()), contexts)
        return
    result = case["result"]
    assert isinstance(result, dict)
    value = evaluate(parse(str(case["expr"]), contexts, ()), contexts)
    kind = "Object" if isinstance(value, Mapping) else "Array" if isinstance(value, (list, tuple)) else None
    assert kind in (None, result["kind"])
    assert isinstance(value, bool) == (result["kind"] == "Boolean")
    assert (value, value is None) == (result["value"], result["kind"] == "Null")


def test_all_of_githubs_cases_are_there() -> None:
    assert len(list(github_cases())) == 485


# Values


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.1 + 0.2, "0.3"),
        (1e14, "100000000000000"),
        (1e15, "1E+15"),
        (-1.5e300, "-1.5E+300"),
        (0.0001, "0.0001"),
        (0.00001, "1E-05"),
        (123456789012345678, "1.23456789012346E+17"),
        (-0.0, "0"),
        (999999999999999.9, "1E+15"),
        (2**2000, "Infinity"),
        (100, "100"),
    ],
)
def test_numbers_become_text_with_15_digits(number: float, text: str) -> None:
    assert to_text(number) == text


@pytest.mark.parametrize("text", ["1_000", "١", "1e", ".", "0x", "0b1", "--1", "1 2", "0xg", "nan1", "1e5x", "\x1c1"])
def test_what_python_or_javascript_would_read_as_a_number_is_none(text: str) -> None:
    assert math.isnan(parse_number(text))


def test_case_is_ignored_character_by_character() -> None:
    assert loosely_equal("straße", "STRAßE")
    assert not loosely_equal("straße", "STRASSE")
    assert loosely_equal("ᾳ", "ᾼ")
    assert loosely_equal("𐐨", "𐐀")
    assert not loosely_equal("ı", "I")


def test_text_is_ordered_by_utf_16_units() -> None:
    assert value_of("'😀' < '\uff21'") is True


def test_lists_and_objects_equal_only_themselves() -> None:
    contexts: dict[str, Value] = {"a": {"x": [1]}, "b": {"x": [1]}}
    assert value_of("a.x == a.x", contexts) is True
    assert value_of("a.x == b.x || a.x != b.x && 'no'", contexts) == "no"
    assert value_of("a.* == a.*", contexts) is False


def test_empty_lists_and_objects_count_as_true() -> None:
    assert truthy([])
    assert truthy({})
    assert not truthy(math.nan)


def test_an_exact_spelling_goes_before_another_case() -> None:
    contexts: dict[str, Value] = {"env": {"Path": "a", "PATH": "b"}}
    assert value_of("env.PATH", contexts) == "b"
    assert value_of("env.path", contexts) == "a"


def test_json_keeps_the_order_of_keys_and_escapes_as_github_does() -> None:
    value: Value = {"b": [], "a": {"x": 'q"\\\n\x01\x85'}}
    assert pretty_json(value) == '{\n  "b": [],\n  "a": {\n    "x": "q\\"\\\\\\n\\u0001\\u0085"\n  }\n}'


@pytest.mark.parametrize(
    "json_text", ["", " ", "{", "[1,]", "NaN", "01", "{a:1}", "'a'", "1 2", '"\n"', "[" * 65 + "]" * 65]
)
def test_what_is_not_json_is_an_error_at_the_call(json_text: str) -> None:
    text = f"x || fromJSON('{json_text.replace(chr(39), chr(39) * 2)}')"
    with pytest.raises(ExpressionError) as caught:
        value_of(text, {"x": None})
    assert (caught.value.offset, caught.value.width) == (5, 8)


def test_a_number_of_ten_thousand_digits_is_one() -> None:
    assert value_of(f"fromJSON('{'9' * 10_000}') == Infinity") is True


def test_text_that_would_double_without_end_is_an_error() -> None:
    text = "'xxxxxxxx'"
    for _ in range(40):
        text = f"format('{{0}}{{0}}', {text})"
    with pytest.raises(ExpressionError, match="longer than"):
        value_of(text)


def test_a_long_string_that_does_not_end_is_refused_at_once() -> None:
    with pytest.raises(ExpressionError, match="not JSON"):
        value_of("fromJSON(x)", {"x": '"' + '\\"' * 1_000_000})


# Reading


def test_references_carry_path_and_place() -> None:
    text = "${{ Steps.Build.outputs['a b'] == github.event.labels.*.name[item.n][2] }}"
    assert parse(text).references == (
        Reference(("steps", "Build", "outputs", "a b"), "Steps", 4, 26),
        Reference(("github", "event", "labels", None, "name", None, 2), "github", 34, 37),
        Reference(("item", "n"), "item", 61, 6),
    )
    assert [text[r.offset : r.offset + r.width] for r in parse(text).references][1:] == [
        "github.event.labels.*.name[item.n][2]",
        "item.n",
    ]


def test_functions_are_named_in_lower_case() -> None:
    expression = parse("!Cancelled() && hashFiles('a') == toJSON(x)")
    assert expression.functions == {"cancelled", "hashfiles", "tojson"}
    assert expression.uses_status
    assert not parse("github.success").uses_status


def test_one_pair_of_braces_may_stand_around_a_condition() -> None:
    assert parse(" ${{ a == '}}' }} ").text == "a == '}}'"
    error = error_of("${{ a }} == 'x'")
    assert (error.offset, error.hint) == (8, "write the whole condition inside one `${{ }}`, or leave the braces out")


@pytest.mark.parametrize(
    ("text", "message", "offset", "width", "hint"),
    [
        ("", "an expression is missing", 0, 1, ""),
        ("a == ", "the expression ends too early", 4, 1, ""),
        ("a = b", "unexpected `=`", 2, 1, "compare with `==`"),
        ("a & b", "unexpected `&`", 2, 1, "combine with `&&`"),
        ('a == "b"', 'unexpected `"b"`', 5, 3, "strings stand in single quotes"),
        ("1 + 2", "unexpected `+`", 2, 1, "expressions have no arithmetic"),
        ("a == 'b", "the string does not end", 5, 2, "close it with a single quote; one inside it is written twice"),
        ("a == ${{ b }}", "unexpected `${{`", 5, 3, "write the whole expression inside one `${{ }}`"),
        ("f(a))", "unexpected `)`", 4, 1, ""),
        ("(a, b)", "unexpected `,`", 2, 1, ""),
        ("true.a", "unexpected `.`", 4, 1, ""),
        ("a.1", "unexpected `1`", 2, 1, ""),
        ("join(1, 2, 3)", "`join` takes at most 2 arguments, not 3", 0, 4, ""),
        ("tojson()", "`toJSON` takes 1 argument, not 0", 0, 6, ""),
        ("success(1)", "`success` takes 0 arguments, not 1", 0, 7, ""),
        ("x || case(a, 1)", "`case` takes at least 3 arguments, not 2", 5, 4, ""),
    ],
)
def test_errors_say_what_where_and_what_next(text: str, message: str, offset: int, width: int, hint: str) -> None:
    error = error_of(text)
    assert (error.message, error.offset, error.width, error.hint) == (message, offset, width, hint)


def test_unknown_names_get_the_nearest_known_one() -> None:
    error = error_of("gihub.ref", contexts={"github", "env"})
    assert (error.message, error.hint) == ("unknown context `gihub`", "did you mean `github`?")
    error = error_of("1 == starsWith('a', 'b')", functions={"success"})
    assert (error.message, error.hint, error.offset) == (
        "unknown function `starsWith`",
        "did you mean `startsWith`?",
        5,
    )
    assert error_of("zzz", contexts={"b", "a"}).hint == "known here: `a`, `b`"
    assert parse("GitHub.ref && SUCCESS()", {"github"}, {"success"}).functions == {"success"}


def test_length_and_depth_are_limited_as_on_github() -> None:
    assert parse("'" + "x" * 20_998 + "'")
    assert "21000" in error_of("'" + "x" * 20_999 + "'").message
    assert parse("!" * 49 + "a")
    assert "deeper than 50" in error_of("!" * 50 + "a").message
    assert parse("a" + ".b" * 49)
    assert "deeper than 50" in error_of("a" + ".b" * 50).message


@pytest.mark.parametrize(
    "text", ["(" * 20_000, "!" * 20_000, "f(" * 10_000, "a[" * 10_000, "a" + ".b" * 10_000, "a||(b&&" * 2_000]
)
def test_deep_text_never_crashes(text: str) -> None:
    error_of(text)


def test_brackets_and_chains_add_no_depth() -> None:
    assert value_of("(" * 10_000 + "7" + ")" * 10_000) == 7
    assert value_of(" || ".join(["0"] * 4_000 + ["'last'"])) == "last"


def test_a_missing_context_or_function_is_an_error_when_evaluated() -> None:
    with pytest.raises(ExpressionError, match="no context `steps`"):
        evaluate(parse("true && steps.a"), {"github": {}})
    with pytest.raises(ExpressionError, match="`hashFiles` cannot be called here"):
        evaluate(parse("hashFiles('a')"), {})
    assert evaluate(parse("false && steps.a"), {}) is False


def test_functions_come_from_the_caller() -> None:
    expression = parse("FAILURE() || hashfiles('a', github.b)")
    given: dict[str, Callable[..., Value]] = {"failure": lambda: False, "hashFiles": lambda *names: "+".join(names)}
    assert evaluate(expression, {"GitHub": {"b": "c"}}, given) == "a+c"


# Templates


def test_a_template_that_is_one_expression_keeps_its_type() -> None:
    assert evaluate_template(parse_template("${{ fromJSON('[1]') }}"), {}) == [1]
    assert evaluate_template(parse_template(" ${{ fromJSON('[1]') }}"), {}) == " Array"
    assert evaluate_template(parse_template("${{ 1 }}${{ null }}${{ true }}"), {}) == "1true"


def test_plain_text_is_its_own_value() -> None:
    template = parse_template("a $ { } }} {{ b }}")
    assert template.is_plain
    assert evaluate_template(template, {}) == template.text
    assert parse_template("").is_plain
    assert not has_expression(template.text)


def test_braces_inside_a_string_do_not_close() -> None:
    assert evaluate_template(parse_template("<${{ '}} it''s' }}>"), {}) == "<}} it's>"


@pytest.mark.parametrize(("text", "offset"), [("ab ${{ c", 3), ("${{ 'a }}", 0), ("x ${{ }}", 6), ("x ${{ a b }}", 8)])
def test_errors_in_templates_count_in_the_whole_text(text: str, offset: int) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_template(text)
    assert caught.value.offset == offset


def test_references_of_a_template_count_in_the_whole_text() -> None:
    text = "a-${{ env.X }}-${{ steps.y }}"
    assert [text[r.offset : r.offset + r.width] for r in parse_template(text).references] == ["env.X", "steps.y"]


# Folding


def test_equal_meaning_gives_equal_text() -> None:
    written = ["a.B==1&&b || c", "((A.B == 0x1) && (B)) || C", "a['B'] == 1.0 && b||c"]
    assert {folded(text) for text in written} == {"a.B == 1 && b || c"}
    assert folded("a || (b || (c || d))") == "a || b || c || d"
    assert folded("TOJSON( x )") == "toJSON(x)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("values.n == 1", "true"),
        ("values.list", "fromJSON('[1,\"it''s\",0.1]')"),
        ("values.list.*", "fromJSON('[1,\"it''s\",0.1]').*"),
        ("values.list[github.n]", "fromJSON('[1,\"it''s\",0.1]')[github.n]"),
        ("github.event[values.key]", "github.event.ref"),
        ("values.n && github.ref", "github.ref"),
        ("values.no && github.ref", "null"),
        ("values.no || github.ref", "github.ref"),
        ("values.n || github.ref", "1"),
        ("github.a && values.n && github.b", "github.a && github.b"),
        ("github.a && values.no && github.b", "github.a && null"),
        ("values.n || failure()", "1 || failure()"),
        ("values.n && failure()", "failure()"),
        ("case(values.n == 2, github.a, values.n == 1, github.b, github.c)", "github.b"),
        ("case(github.a, values.n, values.key)", "case(github.a, 1, 'ref')"),
        ("values.no.x[github.a]", "null"),
        ("github.a && fromJSON(values.key)", "github.a && fromJSON('ref')"),
        ("format('{0}-{1}', values.n, github.a)", "format('{0}-{1}', 1, github.a)"),
        ("hashFiles(values.key)", "hashFiles('ref')"),
        ("!(values.n == github.n)", "!(1 == github.n)"),
        ("(values.no).a == github.a", "null == github.a"),
    ],
)
def test_known_parts_are_worked_out(text: str, expected: str) -> None:
    known: Mapping[str, Value] = {"n": 1, "list": [1, "it's", 0.1], "key": "ref", "no": None}
    assert folded(text, values=known) == expected


def test_what_is_known_to_fail_fails_when_folded() -> None:
    with pytest.raises(ExpressionError, match="not JSON"):
        folded("fromJSON(values.bad)", values={"bad": "{"})


def test_folding_may_go_beyond_the_limits_of_what_is_written() -> None:
    expression = partially_evaluate(parse("contains(values, github.x)"), {"values": ["x" * 30_000]})
    again = parse(expression.text, rendered=True)
    assert evaluate(again, {"github": {"x": "x" * 30_000}}) is True
    with pytest.raises(ExpressionError):
        parse(expression.text)


def test_known_parts_of_a_template_become_text() -> None:
    template = folded_template("a-${{ values.n }}-${{ github.x}}", values={"n": 1.5})
    assert (template.text, [r.path for r in template.references]) == ("a-1.5-${{ github.x }}", [("github", "x")])
    assert folded_template("${{ values.n }}", values={"n": "t"}).is_plain
    single = folded_template("${{ values.n }}", values={"n": [1]})
    assert (single.text, single.is_known, evaluate_template(single, {})) == ("${{ fromJSON('[1]') }}", True, [1])


def test_a_value_is_never_read_as_an_expression() -> None:
    for value in ("${{ secrets.X }}", "$", "${", "a${{", "'${{'"):
        for text in (
            "${{ values.v }}",
            "$${{ values.v }}{{ x",
            "${{ values.v }}${{ values.v }}",
            "${{ values.v }}{{ github.x }}",
        ):
            template = folded_template(text, values={"v": value})
            assert template.references == ()
            assert evaluate_template(parse_template(template.text), {}) == evaluate_template(
                parse_template(text), {"values": {"v": value}}
            )


def test_an_expression_left_alone_stays_text() -> None:
    template = folded_template("${{ values.empty }}${{ github.list }}", values={"empty": ""})
    assert evaluate_template(template, {"github": {"list": []}}) == "Array"


def test_folding_keeps_the_kind() -> None:
    assert isinstance(partially_evaluate(parse("1"), {}), Expression)
    assert isinstance(partially_evaluate(parse_template("1"), {}), Template)


# hashFiles


def digest_of(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def test_files_are_hashed_folder_by_folder() -> None:
    digests = {path: digest_of(path) for path in ("a.txt", "a/z", "b", "a/b/c", "é")}
    ordered = ["a/b/c", "a/z", "a.txt", "b", "é"]
    assert hash_files(digests, ["**"]) == hashlib.sha256(b"".join(map(digest_of, ordered))).hexdigest()
    assert hash_files(dict(reversed(digests.items())), ["**"]) == hash_files(digests, ["**"])


def test_the_last_pattern_decides_and_a_folder_means_all_under_it() -> None:
    digests = {path: digest_of(path) for path in ("src/a.py", "src/t/b.py", "src/t/c.py", "x")}

    def chosen(*paths: str) -> str:
        return hashlib.sha256(b"".join(map(digest_of, paths))).hexdigest()

    assert hash_files(digests, ["src"]) == chosen("src/a.py", "src/t/b.py", "src/t/c.py")
    assert hash_files(digests, ["src/\n# no tests\n!src/t/\n\nsrc/t/b.py"]) == chosen("src/a.py", "src/t/b.py")
    assert hash_files(digests, ["!x", "x"]) == chosen("x")
    assert hash_files(digests, ["nothing/**", "!x"]) == ""
