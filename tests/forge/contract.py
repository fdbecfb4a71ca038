"""The forges' own descriptions of their APIs, against which the false forges' requests and answers are checked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from openapi_core import Config, OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest, MockResponse

_VENDORED = Path(__file__).resolve().parent.parent / "vendor"
VENDOR = _VENDORED / "github"
_OURS = Path(__file__).resolve().parent / "gitlab.openapi.json"
"""GitLab's own description is under CC BY-SA 4.0 and in no package: what is used of it is written down again, in our words, and
compared with what the vendored names of a client say.
"""


@cache
def description(forge: str = "github") -> dict[str, Any]:
    """The subset of a forge's OpenAPI description that is here: GitHub's and Gitea's own, and ours of GitLab.

    GitHub says what every answer holds. Others leave all members open: there an answer may hold described members only, so
    that nothing is read which no such forge would answer.
    """
    file = _OURS if forge == "gitlab" else _VENDORED / forge / "openapi.json"
    loaded: dict[str, Any] = json.loads(file.read_text("utf-8"))
    if forge != "github":
        for schema in loaded["components"]["schemas"].values():
            if "properties" in schema:
                schema.setdefault("additionalProperties", False)
    return loaded


@cache
def example(name: str) -> str:
    """An answer that GitHub gives as an example, as JSON text, so that every caller gets its own."""
    return json.dumps(description()["components"]["examples"][name]["value"])


@cache
def _api(forge: str) -> OpenAPI:
    # None skips the check of the description itself; the annotation of the package does not know it.
    return OpenAPI.from_dict(description(forge), config=Config(spec_validator_cls=None))  # type: ignore[arg-type]


def check(
    method: str,
    path: str,
    query: Mapping[str, str],
    sent: bytes,
    status: int,
    answered: bytes,
    forge: str = "github",
) -> str:
    """What is wrong with a request or its answer, or an empty text. Failures that the forge does not describe may be any."""
    # A ref has slashes, and the template that it stands in for has none.
    path = re.sub("(/git/ref/)(.+)", lambda found: found[1] + quote(found[2], safe=""), path)
    request = MockRequest("https://api.github.com", method, path, args=dict(query), data=sent or None)
    response = MockResponse(answered, status_code=status, content_type="application/json")
    try:
        if status < 400:
            _api(forge).validate_request(request)
        if status not in (304, 307) and (status < 400 or _is_described(request, response, forge)):
            _api(forge).validate_response(request, response)
    except OpenAPIError as error:
        return f"{method} {path} ({status}): {_innermost(error)}"
    return ""


def _is_described(request: MockRequest, response: MockResponse, forge: str) -> bool:
    template = _template(request.path, forge)
    operation = description(forge)["paths"].get(template, {}).get(request.method.lower(), {})
    return str(response.status_code) in operation.get("responses", {})


def _template(path: str, forge: str) -> str:
    parts = path.split("/")
    for template in description(forge)["paths"]:
        wanted = template.split("/")
        if len(wanted) == len(parts) and all(w == p or w.startswith("{") for w, p in zip(wanted, parts, strict=True)):
            return str(template)
    return ""


def _innermost(error: BaseException) -> str:
    """The messages of the schema where there are any: the outer texts quote the whole document."""
    while error.__cause__ is not None:
        error = error.__cause__
    details = [f"{'/'.join(map(str, d.absolute_path))}: {d.message[:200]}" for d in getattr(error, "schema_errors", ())]
    return "; ".join(details) or str(error)[:500]
