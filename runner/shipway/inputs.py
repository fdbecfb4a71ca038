"""Inputs of a run: texts by name, typed as the declaration says. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from shipway.canonical import Json
from shipway.declaration import InputRule, OutputRule
from shipway.errors import UsageError, did_you_mean
from shipway.outputs import BadOutput, typed_output

_EXAMPLES = {"list": '["one", "two"]', "object": '{"key": "value"}'}


def read_inputs(given: Mapping[str, str], rules: Mapping[str, InputRule]) -> dict[str, Json]:
    """Every declared input as a typed value; one that is neither given nor has a default is null.

    Raises UsageError naming all unknown, missing and ill-typed inputs at once.
    """
    faults = [_unknown(name, rules) for name in given if name not in rules]
    next_ = "give inputs as `--input NAME=VALUE`"
    values: dict[str, Json] = {}
    for name, rule in rules.items():
        if name in given:
            try:
                values[name] = typed_output(name, given[name], OutputRule(rule.type))
            except BadOutput as error:
                faults.append(str(error).replace("output", "input", 1))
                if rule.type in _EXAMPLES:
                    next_ = f"a {rule.type} is given as JSON: `--input '{name}={_EXAMPLES[rule.type]}'`"
        elif rule.required and rule.default is None:
            faults.append(f"input `{name}` ({rule.type}) is required")
        else:
            values[name] = rule.default
    if faults:
        raise UsageError("; ".join(faults), next=next_)
    return values


def _unknown(name: str, rules: Mapping[str, InputRule]) -> str:
    guess = did_you_mean(name, rules)
    return f"there is no input `{name}`" + (f"; {guess}" if guess else "")
