"""Random expressions and contexts from a seeded source. Owns what may come up; compares and evaluates nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from shipway.expression_values import Value

STRINGS = (
    "",
    "a",
    "A",
    "b",
    "abc",
    "aBC",
    " 1 ",
    "1",
    "0",
    "-1.5",
    "0x1f",
    "1e2",
    "true",
    "it''s",
    "ü",
    "Ü",
    "日本",
    "😀",
    "[",
    "Z",
)
NUMBERS = ("0", "1", "-1", "+2", "2", ".5", "1.25", "-0", "3e2", "1.5E-2", "0xff", "0o17", "123456789", "-7.75")
SPECIAL_NUMBERS = ("NaN", "Infinity", "-Infinity")
KEYS = ("a", "B", "c", "list", "map", "no-such", "_x")
CONTEXTS = ("alpha", "Beta", "gamma")
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")


@dataclass(frozen=True, slots=True)
class Manner:
    """What the expressions may hold: calls that fail, comparisons of lists and objects, status functions."""

    fails: bool = False
    compares_lists: bool = True
    status: bool = False


def random_contexts(rng: Random) -> dict[str, Value]:
    """One value for each of CONTEXTS, objects more often than not."""
    return {name: _object(rng, 3) if rng.random() < 0.8 else _value(rng, 2) for name in CONTEXTS}


def random_expression(rng: Random, manner: Manner, depth: int = 4) -> str:
    """The text of an expression that parses; whether it evaluates is left open where `manner.fails`."""
    makers: list[Callable[[Random, Manner, int], str]] = [_literal, _reference]
    if depth > 0:
        makers += [_reference, _index, _not, _comparison, _logic, _logic, _call, _call, _group]
        if manner.fails:
            makers.append(_failing)
        if manner.status:
            makers.append(_status)
    return rng.choice(makers)(rng, manner, depth - 1)


def mutated(rng: Random, text: str) -> str:
    """`text` with a few characters dropped, doubled or put in: most often no expression any more."""
    for _ in range(rng.randint(1, 3)):
        at = rng.randint(0, len(text))
        text = rng.choice(
            [
                text[:at] + text[at + 1 :],
                text[:at] + rng.choice("()[].,*!=<>&|' 1ax-+_\"$@\n") + text[at:],
                text[:at] + text[at : at + 1] + text[at:],
                text[:at],
            ]
        )
    return text


def _literal(rng: Random, manner: Manner, depth: int) -> str:
    string = f"'{rng.choice(STRINGS)}'"
    return rng.choice([string, string, rng.choice(NUMBERS), rng.choice(("true", "false", "null"))])


def _reference(rng: Random, manner: Manner, depth: int) -> str:
    text = _spelt(rng, rng.choice(CONTEXTS))
    for _ in range(rng.randint(0, 3)):
        key = _spelt(rng, rng.choice(KEYS))
        text += rng.choice([f".{key}", f".{key}", f"['{key}']", ".*", "[*]", "[0]", "[ 1 ]"])
    return text


def _spelt(rng: Random, name: str) -> str:
    return rng.choice((name, name.upper(), name.lower()))


def _index(rng: Random, manner: Manner, depth: int) -> str:
    target = rng.choice([_reference(rng, manner, 0), f"({random_expression(rng, manner, depth)})", _json(rng)])
    inner = Manner(compares_lists=manner.compares_lists, status=manner.status)
    return f"{target}[{random_expression(rng, inner, depth)}]"


def _not(rng: Random, manner: Manner, depth: int) -> str:
    return f"!{_bracketed(rng, manner, depth)}"


def _group(rng: Random, manner: Manner, depth: int) -> str:
    return f"({random_expression(rng, manner, depth)})"


def _comparison(rng: Random, manner: Manner, depth: int) -> str:
    space = rng.choice(("", " ", "\t"))
    left, right = (_operand(rng, manner, depth) for _ in range(2))
    return f"{left}{space}{rng.choice(COMPARISONS)}{space}{right}"


def _operand(rng: Random, manner: Manner, depth: int) -> str:
    if manner.compares_lists:
        return rng.choice([_bracketed(rng, manner, depth), rng.choice(SPECIAL_NUMBERS), _literal(rng, manner, depth)])
    inner = random_expression(rng, manner, depth)
    return rng.choice(
        [rng.choice(SPECIAL_NUMBERS), _literal(rng, manner, depth), f"!({inner})", f"format('{{0}}', {inner})"]
    )


def _logic(rng: Random, manner: Manner, depth: int) -> str:
    operator = rng.choice((" && ", " || ", "&&"))
    return operator.join(_bracketed(rng, manner, depth) for _ in range(rng.randint(2, 4)))


def _bracketed(rng: Random, manner: Manner, depth: int) -> str:
    text = random_expression(rng, manner, depth)
    return f"({text})" if rng.random() < 0.7 else text


def _call(rng: Random, manner: Manner, depth: int) -> str:
    inner = Manner(compares_lists=manner.compares_lists, status=manner.status)

    def argument() -> str:
        return random_expression(rng, inner, depth)

    searched = argument() if manner.compares_lists else f"format('{{0}}', {argument()})"
    text = rng.choice(
        [
            f"contains({searched}, {argument()})",
            f"startsWith({argument()}, {argument()})",
            f"ENDSWITH({argument()}, {argument()})",
            f"format('{{0}}{{{{-}}}}{{1}}', {argument()}, {argument()})",
            f"format('x', {argument()})",
            f"join({argument()})",
            f"join({argument()}, {argument()})",
            f"toJson({_reference(rng, inner, 0)})",
            f"fromJSON(toJSON({_reference(rng, inner, 0)}))",
            f"case(!({argument()}), {argument()}, {argument()})",
            f"case(false, {argument()}, 1 == {_literal(rng, inner, 0)}, {argument()}, {argument()})",
            _json(rng),
        ]
    )
    return text + rng.choice(("", "", "", ".a", "[0]", ".*"))


def _failing(rng: Random, manner: Manner, depth: int) -> str:
    inner = random_expression(rng, manner, depth)
    return rng.choice(
        [
            f"fromJSON({inner})",
            "fromJSON('{')",
            "format('{1}', 'x')",
            "format('{')",
            f"case({inner}, 1, 2)",
            "fromJSON('')",
        ]
    )


def _status(rng: Random, manner: Manner, depth: int) -> str:
    return rng.choice(("success()", "Failure()", "always( )", "cancelled()", "hashFiles('**')"))


def _json(rng: Random) -> str:
    return "fromJSON('" + json.dumps(_value(rng, 2), ensure_ascii=False).replace("'", "") + "')"


def _value(rng: Random, depth: int) -> Value:
    scalars: Sequence[Value] = (None, True, False, 0, 1, -2, 1.5, "", "a", "A", "it's", "1", "x y", "ü", 100000)
    kind = rng.random() if depth > 0 else 0
    if kind < 0.5:
        return rng.choice(scalars)
    if kind < 0.75:
        return [_value(rng, depth - 1) for _ in range(rng.randint(0, 3))]
    return _object(rng, depth - 1)


def _object(rng: Random, depth: int) -> Mapping[str, Value]:
    return {key: _value(rng, depth) for key in rng.sample(KEYS, rng.randint(0, len(KEYS)))}
