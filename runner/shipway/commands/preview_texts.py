"""Texts of a declaration that a command needs before, or without, a plan: worked out with what is known here."""

from __future__ import annotations

import json
from collections.abc import Mapping

from shipway import expressions
from shipway.canonical import Json, mapping
from shipway.context import Context
from shipway.declaration import Declaration
from shipway.environment_record import EnvironmentRecord
from shipway.expressions import ExpressionError


def known_contexts(declared: Declaration | None, context: Context) -> dict[str, Json]:
    """The contexts `secrets` and `values` of a declaration; a secret that is not set here is empty."""
    if declared is None:
        return {}
    return {"secrets": {name: context.env.get(name, "") for name in declared.secrets}, "values": dict(declared.values)}


def recorded_contexts(record: EnvironmentRecord, context: Context) -> dict[str, Json]:
    """The same of the declaration that an environment was made of, with its target."""
    data = mapping(json.loads(record.declaration or "{}"))
    listed = data.get("secrets")
    names = [str(name) for name in listed] if isinstance(listed, list) else []
    secrets = {name: context.env.get(name, "") for name in names}
    return {"secrets": secrets, "values": dict(mapping(data.get("values"))), "target": record.target}


def known_texts(texts: Mapping[str, str], contexts: Mapping[str, Json]) -> dict[str, str]:
    """Each text with its expressions worked out; one that needs anything else, or cannot be worked out, is left out."""
    found = {}
    for name, text in texts.items():
        try:
            template = expressions.parse_template(text)
            if template.is_known_with(contexts):
                found[name] = expressions.to_text(expressions.evaluate_template(template, contexts))
        except ExpressionError:
            continue  # what is wrong with it, `validate` says
    return found
