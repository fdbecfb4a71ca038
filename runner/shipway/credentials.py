"""What credentials of others look like, so that one which was never declared is masked all the same. Pure; keeps nothing.

Only shapes that their issuer documents, or that cannot be anything else: what merely looks random is left alone.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from functools import cache, cached_property
from typing import NamedTuple

from shipway.literals import Place, any_of


class Shape(NamedTuple):
    """One kind of credential. It begins with one of `opens`, and `rest` is the pattern of what follows.

    A group `keep` of `rest` is shown, such as the name of a header. While a text ends in one of `opens` and characters of
    `grows`, at most `most` of them, more text could still complete it. What begins with one of `encoded` is found in base64
    as well.
    """

    name: str
    source: str
    opens: tuple[str, ...]
    rest: str
    grows: str
    most: int = 1024
    encoded: tuple[str, ...] = ()


_WORD = r"[A-Za-z0-9_]"
_DASHED = r"[A-Za-z0-9_-]"
_DOTTED = r"[A-Za-z0-9_.-]"
_BASE64 = r"[A-Za-z0-9+/=]"
_ASSIGNED = r"""(?P<keep>\\?["']?\s{0,4}[:=]\s{0,4}\\?["']?)"""
_HEADERS = r"(?:[A-Za-z-]{1,20}:[ ][^\n\\]{1,200}(?:\n|\\n)){0,4}"
_SPACE = r"(?:[ +]|%20)"
_USER = r"""(?P<keep>[^\s/:@?#"'<>`\\,%]{0,64}:)"""
_PASSWORD = r"""(?!\*\*\*@)[^\s/@"'<>`]{1,256}(?=@)"""
_ESCAPED_URL = (
    r"(?P<keep>[A-Za-z0-9._~-]{0,64}%3[Aa])(?!\*\*\*%40)(?:[A-Za-z0-9._~*!'()-]|%(?!40)[0-9A-Fa-f]{2}){1,256}(?=%40)"
)

SHAPES = (
    Shape(
        # Those of installations are to become `ghs_<app>_<JWT>`, of some 520 characters.
        "GitHub token",
        "https://github.blog/2021-04-05-behind-githubs-new-authentication-token-formats/",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
        rf"{_WORD}{{36,}}(?:\.{_DASHED}{{8,}}){{0,2}}",
        _DOTTED,
        most=2048,
        encoded=("ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    ),
    Shape(
        "GitHub fine-grained token",
        "https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github",
        ("github_pat_",),
        rf"{_WORD}{{40,}}",
        _WORD,
        encoded=("github_pat_",),
    ),
    Shape(
        "AWS access key id",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids",
        ("AKIA", "ASIA"),
        r"[A-Z2-7]{16}",
        r"[A-Z2-7]",
        most=16,
    ),
    Shape(
        "AWS secret access key",
        "https://docs.aws.amazon.com/STS/latest/APIReference/API_Credentials.html",
        ("SecretAccessKey", "aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"),
        rf"{_ASSIGNED}{_BASE64}{{40}}",
        r"""[A-Za-z0-9+/=:\s"'\\]""",
        most=64,
    ),
    Shape(
        "AWS session token",
        "https://docs.aws.amazon.com/STS/latest/APIReference/API_Credentials.html",
        ("SessionToken", "aws_session_token", "AWS_SESSION_TOKEN"),
        rf"{_ASSIGNED}{_BASE64}{{64,4000}}",
        r"""[A-Za-z0-9+/=:\s"'\\]""",
        most=4096,
    ),
    Shape(
        "GitLab token",
        "https://docs.gitlab.com/security/tokens/#token-prefixes",
        (
            *(
                "glpat-",
                "gloas-",
                "gldt-",
                "glrt-",
                "glrtr-",
                "glcbt-",
                "glptt-",
                "glft-",
                "glimt-",
                "glagent-",
                "glwt-",
            ),
            *("glsoat-", "glffct-"),
        ),
        rf"{_DASHED}{{20,}}(?:\.{_WORD}{{2,}}){{0,2}}",
        _DOTTED,
        encoded=("glpat-",),
    ),
    Shape(
        "Slack token",
        "https://docs.slack.dev/authentication/tokens",
        ("xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-", "xapp-"),
        r"[A-Za-z0-9-]{20,}",
        r"[A-Za-z0-9-]",
        encoded=("xoxb-", "xoxp-"),
    ),
    Shape(
        "Slack webhook",
        "https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks",
        ("hooks.slack.com/services/",),
        r"(?P<keep>)T[A-Za-z0-9]{6,}/B[A-Za-z0-9]{6,}/[A-Za-z0-9]{16,}",
        r"[A-Za-z0-9/]",
    ),
    Shape(
        "JSON web token",
        "https://www.rfc-editor.org/rfc/rfc7515#section-7.1",
        ("eyJ",),
        rf"{_DASHED}{{8,1000}}+\.{_DASHED}{{8,8000}}+(?:\.{_DASHED}{{16,2000}}){{1,3}}",
        _DOTTED,
        most=16_000,
    ),
    Shape(
        # As it is, as a JSON string, and escaped for a URL. What follows an unfinished one could still be of it.
        "private key",
        "https://www.rfc-editor.org/rfc/rfc7468#section-10",
        ("-----BEGIN ", "-----BEGIN%20", "-----BEGIN+"),
        rf"(?:[A-Z0-9]{{1,12}}{_SPACE}){{0,3}}PRIVATE{_SPACE}KEY(?:{_SPACE}BLOCK)?-----\s?{_HEADERS}"
        rf"[A-Za-z0-9+/=\s\\%]{{0,13000}}(?:-----END{_SPACE}[A-Z0-9 %+]{{1,60}}-----)?",
        r"[A-Za-z0-9+/=\s\\%:,-]",
        most=14_000,
        encoded=tuple(f"-----BEGIN {kind}PRIVATE KEY-----" for kind in ("", "RSA ", "EC ", "ENCRYPTED ", "OPENSSH ")),
    ),
    Shape(
        "password in an address",
        "https://www.rfc-editor.org/rfc/rfc3986#section-3.2.1",
        ("://", ":\\/\\/"),
        _USER + _PASSWORD,
        r"""[^\s/@"<>`]""",
        most=330,
    ),
    Shape(
        "password in an escaped address",
        "https://www.rfc-editor.org/rfc/rfc3986#section-2.1",
        ("%3A%2F%2F", "%3a%2f%2f"),
        _ESCAPED_URL,
        r"[A-Za-z0-9._~*!'()%-]",
        most=900,
    ),
    Shape(
        "authorization header",
        "https://www.rfc-editor.org/rfc/rfc9110#section-11.6.2",
        ("uthorization: ", "UTHORIZATION: ", 'uthorization": "', 'uthorization":"'),
        r"(?P<keep>(?:Bearer|bearer|Basic|basic|[Tt]oken) )[A-Za-z0-9._~+/=-]{8,8000}",
        r"[A-Za-z0-9._~+/= -]",
        most=8192,
    ),
    Shape(
        "npm token",
        "https://docs.npmjs.com/about-access-tokens",
        ("npm_",),
        r"[A-Za-z0-9]{36}",
        r"[A-Za-z0-9]",
        most=36,
    ),
    Shape(
        "PyPI token",
        "https://docs.pypi.org/api/secrets/",
        ("pypi-AgE",),
        rf"{_DASHED}{{50,}}",
        _DASHED,
    ),
    Shape(
        "Stripe key",
        "https://docs.stripe.com/keys",
        ("sk_live_", "rk_live_"),
        r"[A-Za-z0-9]{16,}",
        r"[A-Za-z0-9]",
    ),
    Shape(
        "Google API key",
        "https://cloud.google.com/docs/authentication/api-keys",
        ("AIza",),
        rf"{_DASHED}{{35}}",
        _DASHED,
        most=35,
    ),
    Shape(
        "Vault token",
        "https://developer.hashicorp.com/vault/docs/concepts/tokens#token-prefixes",
        ("hvs.", "hvb.", "hvr."),
        rf"{_DASHED}{{24,}}",
        _DASHED,
    ),
    Shape(
        "Docker token",
        "https://docs.docker.com/security/access-tokens/",
        ("dckr_pat_", "dckr_oat_"),
        rf"{_DASHED}{{20,}}",
        _DASHED,
    ),
)
"""Every shape that is known. `+` of a pattern is bounded by `most`: no credential is longer."""


def places(text: str) -> Iterator[Place]:
    """Where credentials stand in `text`, from left to right; no two overlap."""
    search = _search()
    position = 0
    while (found := search.pattern.search(text, position)) is not None:
        position = found.start() + 1
        for probe in search.probes[found.group()]:
            place = probe.place(text, found.start())
            if place is not None:
                yield place
                position = max(position, place.end)
                break


def undecided(text: str, start: int = 0) -> int:
    """The first place from `start` on where more text could still complete a credential, or make one longer."""
    search = _search()
    position = max(start, len(text) - search.longest)
    while (found := search.pattern.search(text, position)) is not None:
        if any(probe.grows(text, found.start()) for probe in search.probes[found.group()]):
            return found.start()
        position = found.start() + 1
    # Nearly every piece of an output ends in a line end, with which nothing goes on that has not begun yet.
    if text[-1:] in search.ends_of_beginnings:
        for length in range(min(search.longest_opening - 1, len(text) - start), 0, -1):
            if text[-length:] in search.beginnings:
                return len(text) - length
    return max(start, len(text))


class _Probe:
    """One beginning of a shape, plain: tells what of a text is the credential that begins there."""

    def __init__(self, shape: Shape, opening: str) -> None:
        self._shape = shape
        self.opening = opening
        self.longest = len(opening) + shape.most

    # Compiled when something begins like it, which in most runs nothing does.

    @cached_property
    def _whole(self) -> re.Pattern[str]:
        return re.compile(f"(?:{'|'.join(map(re.escape, self._shape.opens))}){self._shape.rest}")

    @cached_property
    def _growing(self) -> re.Pattern[str]:
        return re.compile(rf"{re.escape(self.opening)}{self._shape.grows}{{0,{self._shape.most}}}\Z")

    def place(self, text: str, start: int) -> Place | None:
        """The credential that begins at `start`, without what is to be kept of it."""
        found = self._whole.match(text, start)
        if found is None:
            return None
        kept = found.end("keep") if "keep" in self._whole.groupindex else start
        return Place(start, kept, found.end())

    def grows(self, text: str, start: int) -> bool:
        """Whether what begins at `start` goes on to the end of the text."""
        return self._growing.match(text, start) is not None


class _Encoded:
    """A beginning of a shape in base64, behind `before` other bytes, perhaps broken into lines."""

    def __init__(self, shape: Shape, opening: str, before: int) -> None:
        content = opening.encode()
        digits = base64.b64encode(b"\0" * before + content).decode()
        # A digit holds 6 bits: those that share bits with other bytes are not part of what is looked for.
        self._ahead = digits[: -(-before * 8 // 6)]
        self.opening = digits[len(self._ahead) : (before + len(content)) * 8 // 6]
        self._before = before
        self._plain = _Probe(shape, opening)
        self._most = self._plain.longest * 3 // 2
        self.longest = len(self.opening) + self._most

    @cached_property
    def _run(self) -> re.Pattern[str]:
        return re.compile(rf"[A-Za-z0-9+/_\n-]{{0,{self.longest}}}")

    @cached_property
    def _growing(self) -> re.Pattern[str]:
        return re.compile(rf"{re.escape(self.opening)}[A-Za-z0-9+/=_\n-]{{0,{self._most}}}\Z")

    def place(self, text: str, start: int) -> Place | None:
        """The digits of the credential whose beginning stands at `start`."""
        found = self._run.match(text, start)
        assert found is not None
        run = found.group()
        digits = self._ahead + run.replace("\n", "").translate(_STANDARD)
        decoded = base64.b64decode(_whole_groups(digits)).decode("latin-1")
        inside = self._plain.place(decoded, self._before)
        if inside is None:
            return None
        wanted = -(-inside.end * 8 // 6) - len(self._ahead)
        return Place(start, start, start + _end_of_digits(run, wanted))

    def grows(self, text: str, start: int) -> bool:
        """Whether what begins at `start` goes on to the end of the text."""
        return self._growing.match(text, start) is not None


def _whole_groups(digits: str) -> str:
    """The digits padded to groups of four; a single one that is left over is no byte."""
    return digits[:-1] if len(digits) % 4 == 1 else digits + "=" * (-len(digits) % 4)


def _end_of_digits(run: str, count: int) -> int:
    """Where the first `count` digits of `run` end, line ends among them not counted."""
    for place, character in enumerate(run):
        count -= character != "\n"
        if count == 0:
            return place + 1
    return len(run)


_STANDARD = str.maketrans("-_", "+/")


class _Search:
    """All beginnings of all shapes: `probes` by what they begin with, and the pattern that finds any of those."""

    def __init__(self) -> None:
        self.probes: dict[str, list[_Probe | _Encoded]] = {}
        for shape in SHAPES:
            for opening in shape.opens:
                self._add(_Probe(shape, opening))
            for opening in shape.encoded:
                for before in range(3):
                    self._add(_Encoded(shape, opening, before))
        self.pattern = re.compile(any_of(sorted(self.probes)))
        self.longest = max(probe.longest for probes in self.probes.values() for probe in probes)
        self.longest_opening = max(map(len, self.probes))
        self.beginnings = frozenset(text[:length] for text in self.probes for length in range(1, len(text)))
        self.ends_of_beginnings = frozenset(text[-1] for text in self.beginnings)

    def _add(self, probe: _Probe | _Encoded) -> None:
        self.probes.setdefault(probe.opening, []).append(probe)


@cache
def _search() -> _Search:
    return _Search()
