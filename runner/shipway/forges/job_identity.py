"""Identity tokens as GitHub gives them to a job that has `id-token: write`: OpenID Connect, one request for each audience.

Source: https://docs.github.com/en/actions/reference/security/oidc
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from shipway.canonical import mapping
from shipway.errors import Reason, UnreachableError
from shipway.forges import limits

if TYPE_CHECKING:
    from requests import PreparedRequest

_URL, _BEARER = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
_LEFT_S = 60
"""A token is asked for anew where it is good for less than this."""

_TRIES = 3


class JobIdentity:
    """The identity of the job: asked at `url` with the job's own credential, which no step is given."""

    def __init__(self, url: str, bearer: str, now: Callable[[], datetime]) -> None:
        self._url = url
        self._bearer = bearer
        self._now = now
        self._held: dict[str, tuple[str, float]] = {}

    def token(self, audience: str) -> str:
        """The token that is held for an audience as long as it is good for a minute, else a new one."""
        token, expires = self._held.get(audience, ("", 0.0))
        if expires - self._now().timestamp() < _LEFT_S:
            token = self._asked(audience)
            self._held[audience] = (token, _expiry(token))
        return token

    def _asked(self, audience: str) -> str:
        import requests  # late: most runs have no step that asks for a token
        from requests.adapters import HTTPAdapter
        from urllib3 import Retry

        again = Retry(_TRIES - 1, status_forcelist=(429, 500, 502, 503, 504), backoff_factor=0.5, redirect=0)
        with requests.Session() as session:
            for scheme in ("https://", "http://"):
                session.mount(scheme, HTTPAdapter(max_retries=again))
            try:
                answer = session.get(
                    self._url,
                    params={"audience": audience},
                    headers={"Accept": "application/json; api-version=2.0"},
                    auth=self._with_bearer,  # not a header: netrc would take its place
                    timeout=limits.HASTY_TIMEOUT_S,  # the run waits for it
                    allow_redirects=False,
                )
                found = mapping(answer.json()).get("value") if answer.status_code == 200 else None
            except (requests.RequestException, ValueError) as error:
                raise _untold(audience, type(error).__name__) from error
        if not isinstance(found, str) or not found:
            raise _untold(audience, f"it was answered with {answer.status_code}")
        return found

    def _with_bearer(self, request: PreparedRequest) -> PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._bearer}"
        return request


def job_identity(env: Mapping[str, str], now: Callable[[], datetime]) -> JobIdentity | None:
    """The identity that this environment gives a job; None where it gives none."""
    url, bearer = env.get(_URL, ""), env.get(_BEARER, "")
    return JobIdentity(url, bearer, now) if url and bearer else None


def _untold(audience: str, why: str) -> UnreachableError:
    return UnreachableError(
        f"no identity token was given for the audience `{audience}`: {why}",
        reason=Reason.FORGE_UNREACHABLE,
        next="run the job again; https://www.githubstatus.com tells of failures there",
    )


def _expiry(token: str) -> float:
    """When a token ends, in seconds since 1970; 0 where it does not say, so that it is used once.

    Source: RFC 7519, section 4.1.4.
    """
    try:
        _, payload, _ = token.split(".")
        told = mapping(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))).get("exp")
    except (ValueError, binascii.Error, RecursionError):
        return 0.0
    return float(told) if isinstance(told, int | float) else 0.0
