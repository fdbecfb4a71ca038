"""Expressions where none may stand: in scripts, where a value becomes code, and in texts that are never evaluated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from shipway.canonical import Json
from shipway.outline import leaves
from shipway.places import Finding, place, step_of
from shipway.source import Path_

# None reaches over another `${{`: a text full of them would be searched to its end from each.
_EXPRESSION = re.compile(r"\$\{\{((?:(?!\$\{\{).)*?)\}\}", re.DOTALL)
_WORD = re.compile("[A-Za-z_][A-Za-z0-9_-]*")
_MOST_SHOWN = 6
_LONGEST_SHOWN = 200
_SCRIPTS = frozenset({"run", "until", "plan", "undo", "verify"})
_EVALUATED = frozenset({"dedup", "env", "gather", "if", "with"})


def misplaced_expressions(data: Json) -> Iterator[Finding]:
    """Every text of the declaration `data` that holds `${{` but is not evaluated."""
    for path, text in leaves(data):
        if "${{" not in text or path[-1] == "description":
            continue
        policy = _in_policy(path)
        if policy[:1] == ("env",):
            continue
        owner = step_of(path) or (path[:2] if path[:1] == ("stages",) else ())
        key = path[len(owner)] if len(path) > len(owner) else ""
        if owner and (key in _EVALUATED or path[len(owner) :][:2] == ("until", "with")):
            continue
        found = _EXPRESSION.search(text)
        span = (found.start(), len(found[0])) if found else (text.index("${{"), 3)
        if (step_of(path) and key in _SCRIPTS) or policy == ("run",):
            what = f"an expression inside the script {place(path, data)}"
            yield Finding(path, what, _env_form(str(path[-1]), text), anchor="expressions", span=span)
        elif path[:2] == ("hooks", "on"):
            what = f"an expression inside the script {place(path, data)}"
            hint = "a hook is given the event as JSON on its standard input, and nothing else"
            yield Finding(path, what, hint, anchor="hooks", span=span)
        else:
            what = f"an expression cannot stand in {place(path, data)}"
            hint = "it is evaluated in `with`, `env` and `if` of stages and steps only, and in `gather`"
            yield Finding(path, what, hint, anchor="expressions", span=span)


def _in_policy(path: Path_) -> Path_:
    """What of a policy `path` leads to, empty elsewhere."""
    own = path[2:] if path[:1] == ("stages",) else path
    return own[2:] if own[:1] == ("policy",) else ()


def _env_form(key: str, script: str) -> str:
    """How to hand the values of the expressions in `script` over as environment variables."""
    names: dict[str, str] = {}
    for found in islice(_EXPRESSION.finditer(script), _MOST_SHOWN):
        names.setdefault(found[1].strip(), _variable(found[1], names))
    if not names:
        return 'write it in `env`, and use the variable: "$NAME"'
    env = ", ".join(f'{name}: "${{{{ {expression} }}}}"' for expression, name in names.items())
    if "\n" in script.strip() or len(script) > _LONGEST_SHOWN or len(_EXPRESSION.findall(script)) > _MOST_SHOWN:
        return f"write `env: {{{env}}}` and use " + ", ".join(f'"${name}"' for name in names.values())
    return f"write `env: {{{env}}}` and `{key}: {_rewritten(script.strip(), names)}`"


def _variable(expression: str, taken: dict[str, str]) -> str:
    words = _WORD.findall(expression)
    name = words[-1].upper().replace("-", "_") if words else "VALUE"
    while name in taken.values():
        name += "_2"
    return name


def _rewritten(script: str, names: dict[str, str]) -> str:
    written, end = "", 0
    for found in islice(_EXPRESSION.finditer(script), _MOST_SHOWN):
        written += script[end : found.start()]
        variable = f"${{{names[found[1].strip()]}}}" if _goes_on(script, found.end()) else f"${names[found[1].strip()]}"
        written += variable if _is_quoted(script[: found.start()]) else f'"{variable}"'
        end = found.end()
    return written + script[end:]


def _goes_on(script: str, end: int) -> bool:
    """Whether what follows would be taken for a part of the variable's name."""
    return _is_quoted(script[:end]) and re.match("[A-Za-z0-9_]", script[end:]) is not None


def _is_quoted(before: str) -> bool:
    return _EXPRESSION.sub("", before).count('"') % 2 == 1
