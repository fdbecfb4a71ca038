"""The policies of a declaration as they stand in a plan: those of its target, with what is known put into their variables. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from msgspec.structs import replace

from shipway import expressions
from shipway.canonical import Json
from shipway.errors import DeclarationError
from shipway.expressions import ExpressionError
from shipway.policies import Policy


def planned_policies(declared: Sequence[Policy], target: str, known: Mapping[str, Json]) -> tuple[Policy, ...]:
    """The policies that hold for `target`. Raises DeclarationError where a variable cannot be worked out."""
    return tuple(
        replace(policy, env={name: _folded(text, known, policy) for name, text in policy.env.items()})
        for policy in declared
        if not policy.targets or any(fnmatchcase(target, pattern) for pattern in policy.targets)
    )


def _folded(text: str, known: Mapping[str, Json], policy: Policy) -> str:
    """The text as a template in which only secrets are left to evaluate."""
    if not expressions.has_expression(text):
        return expressions.plain_template(text)
    try:
        template = expressions.partially_evaluate(expressions.parse_template(text), known)
        if template.is_known:
            return expressions.plain_template(expressions.to_text(expressions.evaluate_template(template, {})))
    except ExpressionError as error:
        raise DeclarationError(
            f"policy `{policy.name}`: {error.message} in `{text}`", phase="plan", where=policy.position
        ) from error
    return template.text
