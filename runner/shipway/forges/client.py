"""HTTP to one forge: bounded in time, tries and size, and no token to any other host. Knows no path and no document."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin

import requests
from msgspec import Struct
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError

from shipway import __version__
from shipway.canonical import Json, json_fault
from shipway.ci import Token, origin
from shipway.errors import Reason
from shipway.forges import limits
from shipway.forges.forge import BodyTooLong, ForgeError
from shipway.redaction import Redacted, strip_control

_MESSAGE_CHARACTERS = 300
_RETRIED_STATUS = frozenset({500, 502, 503, 504})
_LIMIT_STATUS = frozenset({403, 429})
_REDIRECT_STATUS = frozenset({301, 302, 303, 307, 308})
_SAME_METHOD_STATUS = frozenset({307, 308})


class Answer(Struct, frozen=True):
    """A complete answer below 400. Header names are in lower case; `links` maps `rel` to an absolute address."""

    status: int
    url: str
    headers: Mapping[str, str]
    links: Mapping[str, str]
    body: bytes

    def json(self) -> Json:
        """The body as JSON. Raises ForgeError where it is not."""
        try:
            value: Json = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise ForgeError(f"`{self.url}` did not answer in JSON: {json_fault(error)}", status=self.status) from error
        return value


class Pace(Struct, frozen=True):
    """The clock and the pause that waiting needs: `now` in UTC, `sleep` in seconds. Tests wait without time passing."""

    now: Callable[[], datetime]
    sleep: Callable[[float], None]


def impatient(pace: Pace) -> Pace:
    """A pace that waits for no forge longer than a moment: what would have to wait longer raises ForgeError."""

    def wait(seconds: float) -> None:
        if seconds > limits.HASTY_WAIT_S:
            raise ForgeError(f"the forge asks to wait for {seconds:.0f} s", reason=Reason.FORGE_UNREACHABLE)
        pace.sleep(seconds)

    return Pace(pace.now, wait)


class Dialect(Struct, frozen=True):
    """What one forge's HTTP has of its own: headers of every request, the header and the prefix of the token, pages at most."""

    headers: Mapping[str, str]
    token_header: str = "Authorization"
    token_prefix: str = "Bearer "
    pages_max: int = limits.PAGES_MAX


GITHUB = Dialect({"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": limits.API_VERSION})


class _OriginAuth(AuthBase):
    """Adds the token to requests of its own origin only. Being set at all, it also keeps requests from reading netrc."""

    def __init__(self, token: Token | None, dialect: Dialect) -> None:
        self._token = token
        self._header, self._prefix = dialect.token_header, dialect.token_prefix

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        for name in ("Authorization", self._header):
            request.headers.pop(name, None)
        if self._token and origin(request.url or "") == self._token.origin:
            request.headers[self._header] = f"{self._prefix}{self._token.value}"
        return request


class _Tries(Struct):
    """What one request has used up."""

    count: int = 0
    waited_s: float = 0.0


class Client:
    """One forge's API. Not for two threads at once: GitHub asks for one request at a time.

    `api_url` and `graphql_url` are whole addresses; `token` is sent to its own origin only. `redact` masks what error
    texts quote from answers. Every failure, after all tries, is a ForgeError.
    """

    def __init__(
        self,
        *,
        api_url: str,
        token: Token | None,
        pace: Pace,
        redact: Callable[[str], Redacted],
        dialect: Dialect = GITHUB,
        timeout_s: tuple[float, float] = (limits.CONNECT_TIMEOUT_S, limits.READ_TIMEOUT_S),
    ) -> None:
        self._api_url = api_url.rstrip("/")
        self._pace = pace
        self._redact = redact
        self._timeout_s = timeout_s
        self._session = requests.Session()
        self._session.auth = _OriginAuth(token, dialect)
        self._session.headers.update({**dialect.headers, "User-Agent": f"shipway/{__version__}"})
        self._pages_max = dialect.pages_max
        self._known: dict[str, Answer] = {}
        self._last_write: datetime | None = None
        self.requests = 0

    def get(self, path: str, parameters: Mapping[str, str | int] | None = None) -> Answer:
        """Reads `path` below the API, or a whole address; an unchanged answer is not transferred again."""
        url = requests.Request("GET", self._url(path), params=parameters).prepare().url or ""
        known = self._known.get(url)
        etag = known.headers.get("etag", "") if known else ""
        answer = self._send("GET", url, headers={"If-None-Match": etag} if etag else {})
        if answer.status == 304 and known:
            return known
        self._known[url] = answer
        return answer

    def pages(self, path: str, parameters: Mapping[str, str | int]) -> Iterator[Answer]:
        """`path` and each page that `Link` names after it. Raises ForgeError for a page of another origin."""
        answer = self.get(path, parameters)
        for _ in range(self._pages_max):
            yield answer
            following = answer.links.get("next")
            if not following:
                return
            if origin(following) != origin(self._api_url):
                raise ForgeError(f"the next page of `{path}` is on another host: `{origin(following)}`")
            answer = self.get(following)
        raise ForgeError(f"`{path}` has more than {self._pages_max} pages")

    def write(
        self, method: str, url: str, document: Json, *, landed: Callable[[], bool] | None = None
    ) -> Answer | None:
        """Sends `document`. None means: the answer was lost, and `landed` says that the request had been carried out.

        Without `landed` the request must be one that may be sent twice. With it, a request without an answer is sent
        again only once `landed` has said that it was not carried out.
        """
        tries = _Tries()
        while True:
            self._keep_gap()
            try:
                return self._send(method, self._url(url), document=document, repeatable=landed is None, tries=tries)
            except _Unanswered as error:
                if landed is None:
                    raise error.failure from error
                if landed():
                    return None
                self._wait(tries, _backoff_s(limits.SERVER_ERROR_WAIT_S, tries), error.failure)
            finally:
                self._last_write = self._pace.now()

    def query(self, url: str, document: Json) -> Answer:
        """Posts `document` to ask or to say what may be said twice (GraphQL)."""
        return self._send("POST", self._url(url), document=document)

    def _send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        document: Json = None,
        repeatable: bool = True,
        tries: _Tries | None = None,
    ) -> Answer:
        """One request with its retries. Raises _Unanswered where it may have been carried out and must not be repeated."""
        tries = tries or _Tries()
        while True:
            tries.count += 1
            failure: ForgeError
            try:
                answer = self._follow(method, url, headers or {}, document)
            except (requests.RequestException, TimeoutError) as error:
                failure = ForgeError(f"{method} `{url}` got no answer: {self.shown(str(error))}")
                wait_s = _backoff_s(limits.SERVER_ERROR_WAIT_S, tries)
            else:
                if answer.status < 400:
                    return answer
                failure = self._failure(method, answer)
                limit_wait_s = self._limit_wait_s(answer, tries)
                if limit_wait_s is not None:
                    self._wait(tries, limit_wait_s, failure)
                    continue
                if answer.status not in _RETRIED_STATUS:
                    raise failure
                wait_s = _backoff_s(limits.SERVER_ERROR_WAIT_S, tries)
            if not repeatable:
                raise _Unanswered(failure)
            self._wait(tries, wait_s, failure)

    def _follow(self, method: str, url: str, headers: Mapping[str, str], document: Json) -> Answer:
        """One try, redirects included: reads go anywhere, without the token elsewhere; writes stay on their host."""
        for _ in range(limits.REDIRECTS_MAX + 1):
            answer = self._exchange(method, url, headers, document)
            location = answer.headers.get("location", "")
            if answer.status not in _REDIRECT_STATUS or not location:
                return answer
            target = urljoin(url, location)
            if not _may_follow(method, answer.status, url, target):
                raise ForgeError(
                    f"{method} `{url}` was sent on to `{target}`, which is not followed", status=answer.status
                )
            url = target
        raise ForgeError(f"{method} `{url}` was redirected more than {limits.REDIRECTS_MAX} times")

    def _exchange(self, method: str, url: str, headers: Mapping[str, str], document: Json) -> Answer:
        self.requests += 1
        response = self._session.request(
            method,
            url,
            headers=dict(headers),
            json=document,
            timeout=self._timeout_s,
            allow_redirects=False,
            stream=True,
        )
        with response:
            body = self._body(url, response)
            links = {relation: urljoin(url, link["url"]) for relation, link in response.links.items()}
            names = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status_code, url, names, links, body)

    def _body(self, url: str, response: requests.Response) -> bytes:
        """The whole body, read as it comes: bounded in bytes and in time, however slowly they are sent."""
        begun, body = self._pace.now(), bytearray()
        try:
            while chunk := response.raw.read1(65536, decode_content=True):
                body += chunk
                if len(body) > limits.ANSWER_BYTES_MAX:
                    raise ForgeError(f"`{url}` answered with more than {limits.ANSWER_BYTES_MAX} bytes")
                if (self._pace.now() - begun).total_seconds() > limits.ANSWER_MAX_S:
                    raise requests.Timeout(f"its answer was not whole after {limits.ANSWER_MAX_S:.0f} s")
        except HTTPError as error:
            raise requests.ConnectionError(str(error)) from error
        return bytes(body)

    def _limit_wait_s(self, answer: Answer, tries: _Tries) -> float | None:
        """How long to wait where a rate limit was met; None where `answer` says something else."""
        if answer.status not in _LIMIT_STATUS:
            return None
        retry_after = _retry_after_s(answer.headers.get("retry-after", ""), self._pace.now())
        if retry_after is not None:
            return retry_after
        reset = answer.headers.get("x-ratelimit-reset", "")
        if answer.headers.get("x-ratelimit-remaining") == "0" and reset.isdigit():
            return max(1.0, int(reset) - self._pace.now().timestamp())
        if answer.status == 429 or "rate limit" in _message(answer).lower():
            return _backoff_s(limits.SECONDARY_WAIT_S, tries)
        return None

    def _wait(self, tries: _Tries, seconds: float, failure: ForgeError) -> None:
        """Waits before the next try. Raises `failure` where there is none left, or it would be too long."""
        if tries.count >= limits.ATTEMPTS:
            raise failure
        if tries.waited_s + seconds > limits.WAIT_MAX_S:
            text = f"{failure.message}; waiting {seconds:.0f} s would be too long"
            raise ForgeError(text, status=failure.status, reason=failure.reason)
        tries.waited_s += seconds
        self._pace.sleep(seconds)

    def _keep_gap(self) -> None:
        if self._last_write is None:
            return
        since_s = (self._pace.now() - self._last_write).total_seconds()
        if 0 <= since_s < limits.WRITE_GAP_S:
            self._pace.sleep(limits.WRITE_GAP_S - since_s)

    def _failure(self, method: str, answer: Answer) -> ForgeError:
        message = self.shown(_message(answer))
        text = f"{method} `{answer.url}` was answered {answer.status}: {message or 'without a reason'}"
        if answer.status in (400, 422) and ("too long" in message or "maximum is" in message):
            return BodyTooLong(text, status=answer.status)
        if answer.status in (401, 403, 404):
            needed = self.shown(answer.headers.get("x-accepted-github-permissions", ""))
            next = f"the job's token needs the permission `{needed}`" if needed else ""
            return ForgeError(text, status=answer.status, reason=Reason.FORGE_PERMISSION, next=next)
        return ForgeError(text, status=answer.status)

    def shown(self, text: str) -> Redacted:
        """A text of an answer on one line, stripped, masked and cut to what an error may quote."""
        shown = self._redact(" ".join(strip_control(text).split()))
        return Redacted(shown[:_MESSAGE_CHARACTERS])

    def _url(self, path: str) -> str:
        return path if origin(path) else f"{self._api_url}{path}"


class _Unanswered(Exception):
    """A write of which nobody knows whether it was carried out."""

    def __init__(self, failure: ForgeError) -> None:
        super().__init__(failure.message)
        self.failure = failure


def _may_follow(method: str, status: int, url: str, target: str) -> bool:
    if url.startswith("https:") and not target.startswith("https:"):
        return False
    if method == "GET":
        return bool(origin(target))
    return status in _SAME_METHOD_STATUS and origin(target) == origin(url)


def _backoff_s(first_s: float, tries: _Tries) -> float:
    return first_s * float(2 ** (tries.count - 1))


def _retry_after_s(text: str, now: datetime) -> float | None:
    """`Retry-After` in seconds or as a date. Source: RFC 9110, section 10.2.3."""
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds()) if text else None
    except (ValueError, TypeError):
        return None


def _message(answer: Answer) -> str:
    """What the answer says of itself, empty where it says nothing.

    GitHub's and Gitea's `message` with those of its `errors`; GitLab's `message`, which may be an object of lists, or `error`
    with `error_description`.
    """
    try:
        document: Json = json.loads(answer.body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(document, dict):
        return ""
    found = [document.get("message"), document.get("error"), document.get("error_description")]
    errors = document.get("errors")
    if isinstance(errors, list):
        found += [error.get("message") if isinstance(error, dict) else error for error in errors]
    return "; ".join(text if isinstance(text, str) else json.dumps(text) for text in found if text)
