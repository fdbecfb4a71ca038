"""JSON Schemas of the documents: one library decides, another explains, and only on refusal. Reaches no network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeAlias

import jsonschema_rs

from shipway.canonical import Json
from shipway.errors import Reason, UsageError
from shipway.places import Finding
from shipway.schema_words import Refusal, explain
from shipway.source import MAX_PROBLEMS, Path_

Kind: TypeAlias = Literal["declaration", "plan", "receipt", "preview-manifest"]


def check(kind: Kind, data: Json) -> list[tuple[Path_, str]]:
    """What the schema of `kind` finds wrong with `data`: paths into `data` and texts for people; empty when it is valid."""
    return [
        (found.path, f"{found.text} ({found.hint})" if found.hint else found.text) for found in findings(kind, data)
    ]


def findings(kind: Kind, data: Json) -> list[Finding]:
    """Like `check`, with hints and sections apart; in the order of the schema, each text once per path."""
    validator = _validator(kind)
    try:
        if validator.is_valid(data):
            return []
    except ValueError as error:  # a text that no JSON file can hold, such as a lone surrogate
        return [Finding((), f"not a JSON document: {error}")]
    explained = (finding for refusal in _refusals(kind, data) for finding in explain(refusal, data))
    found = dict.fromkeys(islice(explained, MAX_PROBLEMS))
    if found:
        return list(found)
    # The two libraries differ in corners: a refusal must never turn into a pass.
    return [Finding(_path(error.instance_path), f"refused: {error.message}") for error in validator.iter_errors(data)]


def require(kind: Kind, data: Json) -> None:
    """Raises UsageError (`document-invalid`) where `data` is not what the schema of `kind` asks for, naming the first place."""
    found = check(kind, data)
    if found:
        path, text = found[0]
        place = "/".join(map(str, path)) or "the document"
        raise UsageError(f"not a valid {kind}: {place}: {text}", reason=Reason.DOCUMENT_INVALID, next="make it again")


def schema_text(kind: Kind) -> str:
    """The published JSON Schema of `kind` as it stands in `schemas/`."""
    return (_directory() / f"{kind}-1.schema.json").read_text(encoding="utf-8")


def _directory() -> Path:
    """`schemas/` of an installed package, else of the source checkout."""
    package = Path(__file__).parent
    installed = package / "schemas"
    return installed if installed.is_dir() else package.parents[1] / "schemas"


@cache
def _validator(kind: Kind) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(json.loads(schema_text(kind)), retriever=_refuse_to_fetch)


def _refuse_to_fetch(uri: str) -> NoReturn:
    raise ValueError(f"a schema refers to `{uri}`, which is not part of it")


def _refusals(kind: Kind, data: Json) -> Iterator[Refusal]:
    import jsonschema
    import referencing

    schema: dict[str, Any] = json.loads(schema_text(kind))
    validator = jsonschema.Draft202012Validator(schema, registry=referencing.Registry())
    for error in validator.iter_errors(data):
        rules = error.schema if isinstance(error.schema, dict) else {}
        yield Refusal(
            kind, _path(error.absolute_path), str(error.validator), error.validator_value, error.instance, rules
        )


def _path(parts: Any) -> Path_:
    return tuple(parts)
