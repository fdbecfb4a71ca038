"""What a step hands on: the file it writes outputs to, and the types they are declared with. Pure; reads no file."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Container, Iterator, Mapping
from itertools import takewhile

from shipway.canonical import MAX_SAFE_INTEGER, Json, NotCanonical, canonical_bytes, json_fault
from shipway.declaration import OutputRule
from shipway.errors import did_you_mean

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
MAX_SECRET = 48 * 1024
"""As long as a secret of GitHub may be: each form that it may come back in is looked for in all that is shown.
Source: https://docs.github.com/en/actions/reference/security/secrets#limits-for-secrets"""

_INTEGER = re.compile(r"[-+]?[0-9]+\Z")


class BadOutput(ValueError):
    """An output file or value that cannot be taken; the message names the line or the output."""


def parse_output_file(text: str, redact: Callable[[str], str] = str) -> dict[str, str]:
    """Name to text, from GitHub's file form: `name=value`, or `name<<DELIMITER`, lines, `DELIMITER`. The last of a name wins.

    Raises BadOutput with the line's number for anything else, quoting it as `redact` leaves it: a whole line, since of a
    part of it nobody could tell whether it is part of a secret. Empty lines between entries are allowed.
    Source: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#multiline-strings
    """
    found: dict[str, str] = {}
    lines = text.split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    place = 0
    while place < len(lines):
        line = lines[place].removesuffix("\r")
        number = place + 1
        place += 1
        if not line:
            continue
        equals, heredoc = line.find("="), line.find("<<")
        if heredoc > 0 and (equals < 0 or heredoc < equals):
            name, delimiter = line[:heredoc], line[heredoc + 2 :]
            _check_name(name, line, number, redact)
            if not delimiter:
                raise BadOutput(f"line {number} of $SHIPWAY_OUTPUT: nothing after `<<`: write `{name}<<EOF`")
            value: list[str] = []
            while True:
                if place >= len(lines):
                    shown = redact(line)
                    raise BadOutput(
                        f"line {number} of $SHIPWAY_OUTPUT: `{shown}` is never closed by `{shown.partition('<<')[2]}`"
                    )
                inner = lines[place]
                place += 1
                if inner.removesuffix("\r") == delimiter:
                    break
                value.append(inner)
            found[name] = "\n".join(value)
        elif equals > 0:
            name = line[:equals]
            _check_name(name, line, number, redact)
            found[name] = line[equals + 1 :]
        else:
            raise BadOutput(
                f"line {number} of $SHIPWAY_OUTPUT: `{_short(redact(line))}` is neither `name=value` nor `name<<EOF`"
            )
    return found


def written_values(text: str, names: Container[str]) -> Iterator[tuple[str, str]]:
    """Each value that is given to one of `names`, also one that a later line replaces, and in a file that is malformed."""
    lines = text.split("\n")
    for place, line in enumerate(lines):
        name, _, delimiter = line.removesuffix("\r").partition("<<")
        if name in names:
            value = takewhile(lambda inner: inner.removesuffix("\r") != delimiter, lines[place + 1 :])  # noqa: B023
            yield name, "\n".join(value)
        name, _, rest = line.partition("=")
        if name.strip() in names and rest:
            yield name.strip(), rest


def typed_output(name: str, text: str, rule: OutputRule, redact: Callable[[str], str] = str) -> Json:
    """`text` as the declared type. Secret and file outputs stay text (a file's is its path). Raises BadOutput."""
    match rule.type:
        case "secret" if len(text) > MAX_SECRET:
            raise BadOutput(
                f"output `{name}` is declared secret; it has {len(text)} characters, and no more than {MAX_SECRET} can be masked"
                ": hand on a `file` output instead, or the key to it"
            )
        case "string" | "secret" | "file":
            return text
        case "boolean":
            if text in ("true", "false"):
                return text == "true"
            raise BadOutput(
                f"output `{name}` is declared boolean; `{_short(redact(text))}` is neither `true` nor `false`"
            )
        case "integer":
            if _INTEGER.match(text) and abs(int(text[:20])) <= MAX_SAFE_INTEGER and len(text) <= 17:
                return int(text)
            raise BadOutput(f"output `{name}` is declared integer; `{_short(redact(text))}` is none within ±(2^53-1)")
        case "number":
            return _number(name, text, redact)
        case _:
            return _structure(name, text, rule.type)


def _number(name: str, text: str, redact: Callable[[str], str]) -> Json:
    try:
        value = float(text)
    except ValueError:
        raise BadOutput(f"output `{name}` is declared number; `{_short(redact(text))}` is none") from None
    if not math.isfinite(value):
        raise BadOutput(f"output `{name}` is declared number; `{_short(redact(text))}` is not finite")
    return int(value) if value.is_integer() and abs(value) <= MAX_SAFE_INTEGER else value


def _structure(name: str, text: str, kind: str) -> Json:
    try:
        value: Json = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadOutput(f"output `{name}` is declared {kind}; it is not JSON: {json_fault(error)}") from None
    try:
        canonical_bytes(value)
    except NotCanonical as error:
        # Python reads more than JSON has: what cannot stand in a receipt is refused here, with the name of the output.
        raise BadOutput(f"output `{name}` is declared {kind}; {error.message}") from None
    if not isinstance(value, list if kind == "list" else dict):
        raise BadOutput(f"output `{name}` is declared {kind}; the JSON written is another type")
    return value


def take_outputs(
    written: Mapping[str, str], rules: Mapping[str, OutputRule], redact: Callable[[str], str] = str
) -> tuple[dict[str, Json], list[str]]:
    """Typed outputs in declared order, and a warning for each name that is not declared, which is dropped.

    Raises BadOutput for a value that is not of its type and for a required output that was not written, all at once.
    """
    taken: dict[str, Json] = {}
    faults: list[str] = []
    for name, rule in rules.items():
        if name not in written:
            if rule.required:
                faults.append(f"output `{name}` is declared and was not written to $SHIPWAY_OUTPUT")
            continue
        try:
            taken[name] = typed_output(name, written[name], rule, redact)
        except BadOutput as error:
            faults.append(str(error))
    if faults:
        raise BadOutput("; ".join(faults))
    dropped = [name for name in written if name not in rules]
    return taken, [_undeclared(name, rules) for name in dropped]


def _undeclared(name: str, rules: Mapping[str, OutputRule]) -> str:
    guess = did_you_mean(name, rules)
    return f"output `{name}` is not declared under `outputs` and was dropped" + (f"; {guess}" if guess else "")


def _check_name(name: str, line: str, number: int, redact: Callable[[str], str]) -> None:
    if not _NAME.match(name):
        shown = name if redact(line) == line else redact(line)
        raise BadOutput(f"line {number} of $SHIPWAY_OUTPUT: `{_short(shown)}` is no name for an output")


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "…"
