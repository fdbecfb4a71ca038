"""Makes tests/vendor/gitlab. Run by hand when the vendored data is to be renewed.

    cd "$(mktemp -d)" && npm init -y && npm i --ignore-scripts @gitbeaker/core@43.8.0
    python -m tests.tools.vendor_gitlab ./node_modules/@gitbeaker/core

GitLab's own description is under CC BY-SA 4.0 and in no package. What is here instead is what the client of GitLab that is
used most knows of the same operations: their addresses, the names that may be sent, and the names in the answers. It is written
as a description of an API, so that one comparison does for both.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

VENDOR = Path(__file__).resolve().parent.parent / "vendor" / "gitlab"

CALLS = (
    ("Users", "showCurrentUser"),
    ("Projects", "show"),
    ("MergeRequests", "show"),
    ("MergeRequestNotes", "all"),
    ("MergeRequestNotes", "create"),
    ("MergeRequestNotes", "edit"),
    ("Jobs", "show"),
    ("Commits", "allMergeRequests"),
    ("Commits", "allStatuses"),
    ("Commits", "editStatus"),
)
"""The client's classes and methods that stand for the operations that Shipway uses."""

_CONTROLS = {"sudo", "show_expanded", "max_pages", "pagination", "as_admin"}
"""Options for the client itself, or for administrators."""


def main() -> None:
    """Reads the npm package in the folder given and writes the vendored file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path, help="node_modules/@gitbeaker/core")
    package: Path = parser.parse_args().package
    types = (package / "dist/index.d.ts").read_text("utf-8")
    code = (package / "dist/index.mjs").read_text("utf-8")
    text = json.dumps(described(types, code), indent=1, sort_keys=True) + "\n"
    (VENDOR / "openapi.json").write_text(text, "utf-8")


def described(types: str, code: str) -> dict[str, Any]:
    """The operations of `CALLS`, from the client's declarations and its code. Only names are told, of no type."""
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {}
    for owner, method in CALLS:
        verb, path = _address(code, owner, method)
        signature = _signature(types, owner, method)
        answer = re.findall(r"\b(\w+Schema)\b", signature.rpartition("GitlabAPIResponse<")[2])[0]
        schemas[answer] = {"properties": {name: {} for name in sorted(_members(types, answer))}}
        sent = sorted(set(_sent(types, signature)) - _CONTROLS - set(re.findall(r"\{(\w+)\}", path)))
        operation: dict[str, Any] = {"responses": {"200": _json({"$ref": f"#/components/schemas/{answer}"})}}
        if verb == "get":
            operation["parameters"] = [{"name": name, "in": "query"} for name in sent]
        else:
            operation["requestBody"] = _json({"properties": {name: {} for name in sent}})
        paths.setdefault(f"/api/v4/{path}", {})[verb] = operation
    return {"paths": paths, "components": {"schemas": schemas}}


def _json(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


def _address(code: str, owner: str, method: str) -> tuple[str, str]:
    """The verb and the path of a method, its parameters as `{name}`."""
    body, parent = _class(code, owner)
    found = re.search(rf"^  {method}\(.*?^  \}}", body, re.MULTILINE | re.DOTALL)
    prefix = ""
    if found is None:  # what notes have in common, of which this is one kind
        of, kind = re.findall(r'super\("(\w+)", "(\w+)"', body)[0]
        found = re.search(rf"^  {method}\(.*?^  \}}", _class(code, parent)[0], re.MULTILINE | re.DOTALL)
        prefix = f"{of}/"
    assert found is not None
    [verb] = re.findall(r"RequestHelper\.(\w+)\(\)", found[0])
    written: str = re.findall(r'endpoint`([^`]+)`|this,\s+"([^"]+)"', found[0])[0][0] or "user"
    if prefix:
        written = prefix + written.replace("${this.resource2Type}", kind)
    return verb, re.sub(r"\$\{(\w+)\}", r"{\1}", written)


def _class(code: str, name: str) -> tuple[str, str]:
    """The text of a class, and the name of what it extends."""
    found = re.search(rf"^var {name} = class extends (\w+) \{{\n(.*?)^\}};", code, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[2], found[1]


def _signature(types: str, owner: str, method: str) -> str:
    """The last, most general, declaration of a method."""
    bodies = re.findall(rf"^(?:declare class|interface) {owner}<[^\n]* \{{\n(.*?)^\}}", types, re.MULTILINE | re.DOTALL)
    body = "".join(bodies)
    begin = body.rindex(f"    {method}<")
    return body[begin : body.index(";\n", body.index("GitlabAPIResponse<", begin))]


def _sent(types: str, signature: str) -> Iterator[str]:
    """The names of what may be sent, by the options of a method and those of the types that they name; snake case."""
    options = signature.partition("(")[2].rpartition("): Promise")[0]
    for name in re.findall(r"\b(?!options\b)(\w+)\??:", options):
        if not name.endswith(("Id", "IId")):
            yield _snake(name)
    for name in re.findall(r"\b(\w+Options)\b", options):
        yield from (_snake(member) for member in _members(types, name))
    if "PaginationRequestOptions" in options:
        yield from ("page", "per_page")


def _members(types: str, name: str) -> set[str]:
    """The members of an interface or a type, its parents' included."""
    found = re.search(
        rf"^(?:interface|type) {name}(?:<[^\n]*>)?(?: extends (\w+)[^\n]*)? (?:= )?\{{\n(.*?)^\}}",
        types,
        re.MULTILINE | re.DOTALL,
    )
    if found is None:
        return set()
    inherited = _members(types, found[1]) if found[1] and found[1] != "Record" else set()
    return inherited | set(re.findall(r"^    (\w+)\??:", found[2], re.MULTILINE))


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


if __name__ == "__main__":
    main()
