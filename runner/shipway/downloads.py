"""One file fetched over HTTP: bounded, resumed where the server allows, redirected only where that is safe. Sends no credential."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit, urlunsplit

from msgspec import Struct

from shipway.action import ActionFailed
from shipway.canonical import object_of

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

_CHUNK = 1 << 16
_REDIRECTS_MAX = 10
_REDIRECTED = (301, 302, 303, 307, 308)
_TRY_LATER = (408, 425, 429)
_CONTINUED_MAX = 4
_PAUSE_MAX_MS = 3_600_000


class Download(Struct, frozen=True):
    """What to fetch. `timeout_s` is how long to wait for an answer, and for each piece of it."""

    url: str
    timeout_s: float
    bytes_max: int
    env: Mapping[str, str]
    cancelled: Callable[[], bool]


class Part(Struct, frozen=True):
    """What came of a file so far, in `path`, and beside it by which the server knows whether it is still the same file."""

    path: Path

    @property
    def _about(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def size_of(self, url: str) -> tuple[int, str]:
        """How much of what `url` names is there, and its validator; nothing where the server gave none."""
        try:
            known = object_of(json.loads(self._about.read_bytes()))
            size = self.path.stat().st_size
        except (OSError, ValueError):
            return 0, ""
        validator = str(known.get("validator", "")) if known.get("url") == url else ""
        return (size, validator) if validator else (0, "")

    def begin(self, url: str, validator: str) -> None:
        """Start anew."""
        self.forget()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if validator:
            self._about.write_text(json.dumps({"url": url, "validator": validator}))

    def forget(self) -> None:
        """Nothing of it is there any more."""
        self._about.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


class _Cut(Exception):
    """The connection ended before the file did."""


def shown_url(url: str) -> str:
    """A URL as it may be shown: without user, query and fragment, where keys to things are written."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def check_url(url: str) -> str:
    """The URL. Raises ActionFailed for one that is not HTTP, names no host, or holds a user or a password."""
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_whole = False
    if not is_whole or any(character.isspace() or ord(character) < 32 for character in url):
        raise ActionFailed("`url` is not an http:// or https:// address", is_permanent=True)
    if "@" in parts.netloc:
        raise ActionFailed("`url` holds a user or a password, which is sent to nobody: leave it out", is_permanent=True)
    return url


def fetch(download: Download, part: Part) -> None:
    """Fetch all of it into `part`, going on where an earlier try was cut off. Raises ActionFailed, naming address and status."""
    import requests  # late: 90 ms, which only who downloads pays
    import urllib3

    shown = shown_url(download.url)
    for is_last in (*(False,) * _CONTINUED_MAX, True):
        before = part.size_of(download.url)[0]
        try:
            _take(download, part)
            return
        except (_Cut, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            now = part.size_of(download.url)[0]
            if is_last or now <= before:
                why = _why(error)
                raise ActionFailed(f"`{shown}` cannot be downloaded: {why}", code="download_failed") from error


def _why(error: Exception) -> str:
    import requests

    if isinstance(error, _Cut):
        return str(error)
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, requests.ConnectionError):
        return _why_unconnected(str(error))
    return type(error).__name__ if not isinstance(error, OSError) else (error.strerror or type(error).__name__).lower()


def _why_unconnected(text: str) -> str:
    # requests keeps the system's word only inside the text of its error.
    if "refused" in text:
        return "the connection was refused"
    return "its host cannot be found" if "resolve" in text else "the connection failed"


def _take(download: Download, part: Part) -> None:
    size, validator = part.size_of(download.url)
    headers = {"Accept-Encoding": "identity", "User-Agent": "shipway"}
    if size:
        headers |= {"Range": f"bytes={size}-", "If-Range": validator}
    with closing(_answer(download, headers)) as response:
        if size and response.status_code in (206, 416):
            if response.status_code == 206 and _goes_on(response, size, validator):
                _append(download, part, response, size)
                return
            part.forget()
            _take(download, part)
            return
        if response.status_code != 200:
            raise _refused(download.url, response)
        part.begin(download.url, _validator(response))
        _append(download, part, response, 0)


def _answer(download: Download, headers: Mapping[str, str]) -> Response:
    """The answer behind all redirects. Raises ActionFailed for one that leads from https to http, or to no HTTP at all."""
    import requests

    url = download.url
    with requests.Session() as session:
        session.trust_env = False  # no .netrc
        for _ in range(_REDIRECTS_MAX):
            response = session.get(
                url,
                headers=dict(headers),
                auth=_nobody,
                stream=True,
                allow_redirects=False,
                timeout=download.timeout_s,
                proxies=_proxies(url, download.env),
                verify=download.env.get("REQUESTS_CA_BUNDLE") or download.env.get("SSL_CERT_FILE") or True,
            )
            to = response.headers.get("Location")
            if response.status_code not in _REDIRECTED or to is None:
                return response
            response.close()
            url = _followed(url, to)
    raise ActionFailed(
        f"`{shown_url(download.url)}` redirects more than {_REDIRECTS_MAX} times", code="redirect", is_permanent=True
    )


def _nobody(request: PreparedRequest) -> PreparedRequest:
    """Authenticates as nobody; without it a user in a redirect's address would be sent."""
    return request


def _followed(url: str, to: str) -> str:
    new = urljoin(url, to)
    scheme = urlsplit(new).scheme
    if scheme not in ("http", "https") or (scheme == "http" and urlsplit(url).scheme == "https"):
        why = f"`{shown_url(url)}` redirects to `{scheme}:`, which is not followed"
        raise ActionFailed(why, code="redirect", is_permanent=True)
    return new


def _refused(url: str, response: Response) -> ActionFailed:
    status = response.status_code
    pause = response.headers.get("Retry-After", "")
    return ActionFailed(
        f"`{shown_url(url)}` answered {status} {response.reason or ''}".rstrip(),
        code="http_status",
        is_permanent=400 <= status < 500 and status not in _TRY_LATER,
        retry_after_ms=min(int(pause) * 1000, _PAUSE_MAX_MS) if pause.isdecimal() and len(pause) < 8 else None,
    )


def _validator(response: Response) -> str:
    """What stands in If-Range: a strong ETag, else the time of the last change. Source: RFC 9110, section 13.1.5."""
    if response.headers.get("Accept-Ranges", "").lower() == "none":
        return ""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else "" if etag else response.headers.get("Last-Modified", "")


def _goes_on(response: Response, size: int, validator: str) -> bool:
    now = response.headers.get("ETag" if validator.startswith('"') else "Last-Modified", validator)
    return response.headers.get("Content-Range", "").startswith(f"bytes {size}-") and now == validator


def _append(download: Download, part: Part, response: Response, size: int) -> None:
    length = response.headers.get("Content-Length", "")
    _check_size(download, size + int(length) if length.isdecimal() else 0, part)
    with part.path.open("ab") as file:
        for chunk in _chunks(response):
            if download.cancelled():
                raise ActionFailed(f"the download of `{shown_url(download.url)}` was stopped")
            size += len(chunk)
            _check_size(download, size, part)
            file.write(chunk)
            file.flush()


def _chunks(response: Response) -> Iterator[bytes]:
    length = response.headers.get("Content-Length", "")
    count = 0
    for chunk in response.raw.stream(_CHUNK, decode_content=False):
        count += len(chunk)
        yield chunk
    if length.isdecimal() and count < int(length):
        raise _Cut(f"it ended after {count} of {length} bytes")


def _check_size(download: Download, size: int, part: Part) -> None:
    if size > download.bytes_max:
        part.forget()
        why = (
            f"`{shown_url(download.url)}` has more than {download.bytes_max} bytes: raise `max_bytes` if that is meant"
        )
        raise ActionFailed(why, code="too_large", is_permanent=True)


def _proxies(url: str, env: Mapping[str, str]) -> dict[str, str]:
    """The proxy that the step's environment names for this address, by the names that curl goes by."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    spared = (env.get("NO_PROXY") or env.get("no_proxy") or "").replace(" ", "").split(",")
    if any(
        name and (name == "*" or host == name.lstrip(".") or host.endswith("." + name.lstrip("."))) for name in spared
    ):
        return {}
    found = env.get(f"{parts.scheme.upper()}_PROXY") or env.get(f"{parts.scheme}_proxy")
    return {parts.scheme: found} if found else {}
