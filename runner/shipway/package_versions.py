"""Which of two versions is later, by each package manager's own rules. Pure: texts in, -1, 0 or 1 out.

Every function raises ValueError, naming the text, for what its rules do not read as a version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest
from typing import TypeAlias

_Key: TypeAlias = tuple[object, ...]


def compare_debian(one: str, other: str) -> int:
    """`epoch:upstream-revision`, compared as dpkg does: `~` comes before the end, letters before anything else.

    Source: https://www.debian.org/doc/debian-policy/ch-controlfields.html#version
    """
    (epoch, upstream, revision), theirs = _debian_parts(one), _debian_parts(other)
    if epoch != theirs[0]:
        return _sign(epoch - theirs[0])
    return _compare_debian_text(upstream, theirs[1]) or _compare_debian_text(revision, theirs[2])


_DEBIAN = re.compile(r"(?:(\d+):)?(\d[A-Za-z0-9.+~:-]*)", re.ASCII)
_DEBIAN_REVISION = re.compile(r"[A-Za-z0-9+.~]+", re.ASCII)


def _debian_parts(text: str) -> tuple[int, str, str]:
    found = _DEBIAN.fullmatch(text)
    upstream, dash, revision = found[2].rpartition("-") if found else ("", "", "")
    if found is None or (dash and not (upstream and _DEBIAN_REVISION.fullmatch(revision))):
        raise ValueError(f"`{text}` is no version of a Debian package")
    if found[1] is None and ":" in found[2]:
        raise ValueError(f"`{text}` is no version of a Debian package: what stands before `:` is no number")
    return int(found[1] or 0), upstream if dash else revision, revision if dash else ""


def _compare_debian_text(one: str, other: str) -> int:
    """Texts and numbers by turns; a text's end counts as more than `~` and less than all else."""
    for mine, theirs in zip_longest(_debian_pieces(one), _debian_pieces(other), fillvalue=("", 0)):
        weights = zip_longest(_debian_weights(mine[0]), _debian_weights(theirs[0]), fillvalue=0)
        text = next((_sign(a - b) for a, b in weights if a != b), 0)
        if text or mine[1] != theirs[1]:
            return text or _sign(mine[1] - theirs[1])
    return 0


def _debian_pieces(text: str) -> Iterator[tuple[str, int]]:
    for found in re.finditer(r"(\D*)(\d*)", text, re.ASCII):
        yield found[1], int(found[2] or 0)


def _debian_weights(text: str) -> list[int]:
    return [-1 if char == "~" else ord(char) + (0 if char.isalpha() else 256) for char in text]


def compare_rpm(one: str, other: str) -> int:
    """`epoch:version-release`, compared as rpm does; a release is compared where both have one, no epoch is 0.

    Source: https://github.com/rpm-software-management/rpm/blob/master/rpmio/rpmvercmp.cc, rpm-version(7)
    """
    (epoch, version, release), theirs = _rpm_parts(one), _rpm_parts(other)
    if epoch != theirs[0]:
        return _sign(epoch - theirs[0])
    of_version = _compare_rpm_text(version, theirs[1])
    return of_version or (_compare_rpm_text(release, theirs[2]) if release and theirs[2] else 0)


_RPM = re.compile(r"(?:(\d+):)?([A-Za-z0-9._+~^]+)(?:-([A-Za-z0-9._+~^]+))?", re.ASCII)


def _rpm_parts(text: str) -> tuple[int, str, str]:
    found = _RPM.fullmatch(text)
    if found is None:
        raise ValueError(f"`{text}` is no version of an rpm package")
    return int(found[1] or 0), found[2], found[3] or ""


def _compare_rpm_text(one: str, other: str) -> int:
    """Runs of digits, runs of letters, `~` and `^`; what else there is only divides them."""
    mine, theirs = (re.findall(r"\d+|[A-Za-z]+|[~^]", text, re.ASCII) for text in (one, other))
    for a, b in zip_longest(mine, theirs, fillvalue=""):
        if a == b:
            continue
        if "~" in (a, b):
            return -1 if a == "~" else 1
        if "^" in (a, b):
            # A caret is more than the end, and less than anything that goes on.
            return (1 if b == "" else -1) if a == "^" else (-1 if a == "" else 1)
        found = _compare_rpm_run(a, b)
        if found:
            return found
    return 0


def _compare_rpm_run(one: str, other: str) -> int:
    if not one or not other:
        return 1 if one else -1
    if one.isdigit() != other.isdigit():
        return 1 if one.isdigit() else -1
    if one.isdigit():
        return _sign(int(one) - int(other))
    return (one > other) - (one < other)


def compare_semver(one: str, other: str) -> int:
    """`major.minor.patch-pre+build`, of which the build counts for nothing; a leading `v` as npm takes it.

    Source: https://semver.org/spec/v2.0.0.html#spec-item-11
    """
    (release, pre), (their_release, their_pre) = _semver_parts(one), _semver_parts(other)
    if release != their_release:
        return 1 if release > their_release else -1
    if not pre or not their_pre:
        return bool(their_pre) - bool(pre)
    for a, b in zip_longest(pre, their_pre):
        if a == b:
            continue
        if a is None or b is None:
            return -1 if a is None else 1
        if a.isdigit() and b.isdigit():
            return _sign(int(a) - int(b))
        if a.isdigit() or b.isdigit():
            return -1 if a.isdigit() else 1
        return 1 if a > b else -1
    return 0


_NUMBER = r"(0|[1-9]\d*)"
_IDENTIFIER = r"(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)"
_SEMVER = re.compile(
    rf"\s*v?{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_IDENTIFIER}(?:\.{_IDENTIFIER})*))?(?:\+[0-9A-Za-z.-]+)?", re.ASCII
)


def _semver_parts(text: str) -> tuple[tuple[int, int, int], list[str]]:
    found = _SEMVER.fullmatch(text)
    if found is None:
        raise ValueError(f"`{text}` is no semantic version, such as 1.2.3 or 1.2.3-rc.1")
    return (int(found[1]), int(found[2]), int(found[3])), found[4].split(".") if found[4] else []


def compare_python(one: str, other: str) -> int:
    """Versions of Python packages: epoch, release, pre-, post- and development release, local part.

    Source: https://packaging.python.org/en/latest/specifications/version-specifiers/
    """
    mine, theirs = _python_key(one), _python_key(other)
    return (mine > theirs) - (mine < theirs)


_PYTHON = re.compile(
    r"""\s*v?(?:(?P<epoch>\d+)!)?(?P<release>\d+(?:\.\d+)*)
    (?:[-_.]?(?P<pre>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?P<pre_number>\d*))?
    (?:-(?P<post_bare>\d+)|[-_.]?(?P<post>post|rev|r)[-_.]?(?P<post_number>\d*))?
    (?:[-_.]?(?P<dev>dev)[-_.]?(?P<dev_number>\d*))?
    (?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?\s*""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_PRE_WORDS = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}
_FIRST, _LAST = (-1,), (1,)


def _python_key(text: str) -> _Key:
    found = _PYTHON.fullmatch(text)
    if found is None:
        raise ValueError(f"`{text}` is no version of a Python package")
    release = [int(part) for part in found["release"].split(".")]
    while release and release[-1] == 0:
        release.pop()
    is_post = found["post"] or found["post_bare"]
    if found["pre"]:
        word = found["pre"].lower()
        pre: _Key = (0, _PRE_WORDS.get(word, word), int(found["pre_number"] or 0))
    else:
        # A development release of the release itself comes before its pre-releases; anything else after them.
        pre = _FIRST if found["dev"] and not is_post else _LAST
    post = (0, int(found["post_bare"] or found["post_number"] or 0)) if is_post else _FIRST
    dev = (0, int(found["dev_number"] or 0)) if found["dev"] else _LAST
    return int(found["epoch"] or 0), tuple(release), pre, post, dev, _python_local(found["local"])


def _python_local(text: str | None) -> _Key:
    if text is None:
        return _FIRST
    parts = re.split("[-_.]", text.lower())
    return (0, tuple((1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts))


def compare_homebrew(one: str, other: str) -> int:
    """A formula's version, token by token, then its revision behind `_`.

    Source: https://github.com/Homebrew/brew/blob/main/Library/Homebrew/version.rb, pkg_version.rb
    """
    (version, revision), (their_version, their_revision) = _revised(one), _revised(other)
    return _compare_tokens(version, their_version) or _sign(revision - their_revision)


_TOKEN = re.compile(r"(alpha|beta|pre|rc|post|a(?=\d)|b(?=\d)|p(?=\d))(\d*)|(\d+)|([a-z]+)", re.IGNORECASE | re.ASCII)
_NUMERIC, _NULL, _STRING = 8, 4, 5
_RANKS = {"alpha": 0, "a": 0, "beta": 1, "b": 1, "pre": 2, "rc": 3, "p": 6, "post": 7}


def _revised(text: str) -> tuple[str, int]:
    found = re.fullmatch(r"(.+?)(?:_(\d+))?", text, re.ASCII)
    if found is None or not _TOKEN.search(text):
        raise ValueError(f"`{text}` is no version of a formula")
    return found[1], int(found[2] or 0)


def _compare_tokens(one: str, other: str) -> int:
    mine, theirs = list(_tokens(one)), list(_tokens(other))
    nothing = (_NULL, 0, "")
    while mine or theirs:
        a, b = (tokens[0] if tokens else nothing for tokens in (mine, theirs))
        zero_a, zero_b = (nothing if token == (_NUMERIC, 0, "") else token for token in (a, b))
        if a == b:
            mine, theirs = mine[1:], theirs[1:]
        elif a[0] == _NUMERIC and b[0] != _NUMERIC:
            if zero_a is not nothing:
                return 1
            mine = mine[1:]
        elif b[0] == _NUMERIC and a[0] != _NUMERIC:
            if zero_b is not nothing:
                return -1
            theirs = theirs[1:]
        else:
            return 1 if a > b else -1
    return 0


def _tokens(text: str) -> Iterator[tuple[int, int, str]]:
    for found in _TOKEN.finditer(text.lower()):
        if found[3] is not None:
            yield _NUMERIC, int(found[3]), ""
        elif found[4] is not None:
            yield _STRING, 0, found[4]
        else:
            yield _RANKS[found[1]], int(found[2] or 0), ""


def compare_winget(one: str, other: str) -> int:
    """Parts between dots: a number, then a text, of which none counts as more than any; zeros at the end for nothing.

    Source: https://github.com/microsoft/winget-cli/blob/master/src/AppInstallerSharedLib/Versions.cpp
    """
    mine, theirs = _winget_parts(one), _winget_parts(other)
    for a, b in zip_longest(mine, theirs, fillvalue=(0, True, "")):
        if a != b:
            return 1 if a > b else -1
    return 0


def _winget_parts(text: str) -> list[tuple[int, bool, str]]:
    found = [
        (int(number or 0), not rest.strip(), rest.strip().lower())
        for number, rest in re.findall(r"(?:^|\.)\s*v?(\d*)([^.]*)", text, re.ASCII)
    ]
    if not any(number or rest for number, _, rest in found) and "0" not in text:
        raise ValueError(f"`{text}` is no version")
    while found and found[-1] == (0, True, ""):
        found.pop()
    return found


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)
