"""What holds for every expression: reading is total, writing keeps the meaning, folding keeps it over any known contexts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.expressions import (
    ExpressionError,
    Template,
    Value,
    evaluate,
    evaluate_template,
    parse,
    parse_template,
    partially_evaluate,
)
from tests.expression_generator import CONTEXTS, Manner, mutated, random_contexts, random_expression
from tests.test_expressions_peer import tagged

MANNER = Manner(fails=True, compares_lists=False, status=True)
STATUS: Mapping[str, Callable[..., Value]] = {
    "success": lambda: True,
    "failure": lambda: False,
    "always": lambda: True,
    "cancelled": lambda: False,
    "hashFiles": lambda *patterns: "0123",
}

sources = st.integers(0, 2**63).map(Random)
many = settings(max_examples=600, deadline=None)


def came_to(work: Callable[[], Value]) -> object:
    try:
        return tagged(work())
    except ExpressionError:
        return "error"


def refusal(read: Callable[[], object]) -> ExpressionError | None:
    try:
        read()
    except ExpressionError as error:
        return error
    return None


def random_template(rng: Random) -> str:
    parts = [rng.choice(["", "", "a ", "$", "{", "${", "'", "}}"]) for _ in range(4)]
    return parts[0] + "".join(
        "${{ " + random_expression(rng, MANNER, 2) + " }}" + part for part in parts[1 : rng.randint(1, 4)]
    )


def split(rng: Random, contexts: Mapping[str, Value]) -> tuple[dict[str, Value], dict[str, Value]]:
    known = {name: value for name, value in contexts.items() if rng.random() < 0.5}
    return known, {name: value for name, value in contexts.items() if name not in known}


@many
@given(st.text(st.sampled_from("ab.()[]*!=<>&|', 01x-+${}\t\n\"é"), max_size=60) | st.text(max_size=40))
def test_reading_raises_nothing_but_its_own_error(text: str) -> None:
    for error in (refusal(lambda: parse(text)), refusal(lambda: parse_template(text))):
        assert error is None or (0 <= error.offset <= len(text) and error.width >= 1)


@many
@given(sources)
def test_text_spoilt_at_random_is_read_or_refused(rng: Random) -> None:
    text = mutated(rng, random_expression(rng, MANNER))
    error = refusal(lambda: parse(text))
    assert error is None or 0 <= error.offset <= len(text)
    references = () if error else parse(text).references
    assert all(text[reference.offset :].startswith(reference.name) for reference in references)


@many
@given(sources)
def test_what_is_written_again_means_the_same(rng: Random) -> None:
    text, contexts = random_expression(rng, Manner(fails=True, status=True)), random_contexts(rng)
    expression = parse(text)
    try:
        again = partially_evaluate(expression, {})
    except ExpressionError:
        assert came_to(lambda: evaluate(expression, contexts, STATUS)) == "error"
        return
    assert came_to(lambda: evaluate(again, contexts, STATUS)) == came_to(lambda: evaluate(expression, contexts, STATUS))
    assert partially_evaluate(again, {}) == again
    assert parse(again.text, rendered=True) == again


@many
@given(sources)
def test_folding_keeps_the_meaning(rng: Random) -> None:
    expression, contexts = parse(random_expression(rng, MANNER)), random_contexts(rng)
    known, rest = split(rng, contexts)
    wanted = came_to(lambda: evaluate(expression, contexts, STATUS))
    try:
        left = partially_evaluate(expression, known)
    except ExpressionError:
        assert wanted == "error"
        return
    assert came_to(lambda: evaluate(left, rest, STATUS)) == wanted
    assert {reference.path[0] for reference in left.references} <= {name.lower() for name in rest}
    assert left.uses_status == expression.uses_status
    assert partially_evaluate(left, known) == left


@many
@given(sources)
def test_folding_a_template_keeps_the_meaning(rng: Random) -> None:
    template, contexts = parse_template(random_template(rng)), random_contexts(rng)
    known, rest = split(rng, contexts)
    wanted = came_to(lambda: evaluate_template(template, contexts, STATUS))
    try:
        left: Template = partially_evaluate(template, known)
    except ExpressionError:
        assert wanted == "error"
        return
    assert came_to(lambda: evaluate_template(left, rest, STATUS)) == wanted
    assert parse_template(left.text, rendered=True) == left
    assert not left.is_plain or left.text == wanted


@many
@given(sources)
def test_with_everything_known_nothing_is_left_to_ask(rng: Random) -> None:
    contexts = random_contexts(rng)
    expression = parse(random_expression(rng, Manner()))
    left = partially_evaluate(expression, contexts)
    assert left.is_known
    assert tagged(evaluate(left, {})) == tagged(evaluate(expression, contexts))


def test_the_generator_reaches_every_context() -> None:
    rng = Random(1)
    reached = {r.path[0] for _ in range(200) for r in parse(random_expression(rng, MANNER)).references}
    assert reached == {name.lower() for name in CONTEXTS}


@pytest.mark.parametrize("text", ["x || y == y", "(github.x || values.l) == values.l"])
def test_which_list_it_was_is_the_one_thing_that_folding_loses(text: str) -> None:
    contexts: Mapping[str, Value] = {"x": None, "y": [], "github": {}, "values": {"l": []}}
    assert evaluate(parse(text), contexts) is True
    left = partially_evaluate(parse(text), {"values": contexts["values"], "y": []})
    assert evaluate(left, {"x": None, "github": {}}) is ("y" in text)
