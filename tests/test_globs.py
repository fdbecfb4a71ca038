"""Glob patterns over repository-relative paths: what they name, and that none takes long."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.globs import match_glob, match_globs

MATCHES = [
    ("*", ["a", ".hidden"], ["a/b", "a/"]),
    ("**", ["a", "a/b/c", ".git/x"], []),
    ("src/**", ["src/a", "src/a/b", "src"], ["srcs/a"]),
    ("**/a.py", ["a.py", "x/a.py", "x/y/a.py"], ["xa.py", "x/a.pyc"]),
    ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["ab", "a/bx"]),
    ("a/**/b/**/c", ["a/b/c", "a/b/b/x/c"], ["a/c", "a/c/b"]),
    ("*.tar.*", ["x.tar.gz", ".tar."], ["x.tar"]),
    ("a?c", ["abc", "aéc"], ["ac", "a/c"]),
    ("[a-c]x[!0-9]", ["axb", "cx-"], ["dxb", "ax1", "ax/"]),
    ("[]]", ["]"], ["a"]),
    ("[a", ["[a"], ["a"]),
    ("a**b", ["ab", "axxb"], ["a/b"]),
    ("./a", ["a"], ["./b"]),
    (r"\*\[", ["*["], ["x["]),
    ("A", ["A"], ["a"]),
    ("Dockerfile*", ["Dockerfile", "Dockerfile.web"], ["x/Dockerfile"]),
]


@pytest.mark.parametrize(("pattern", "named", "others"), MATCHES, ids=[pattern for pattern, _, _ in MATCHES])
def test_a_pattern_names_what_it_says(pattern: str, named: list[str], others: list[str]) -> None:
    assert [path for path in named + others if match_glob(path, pattern)] == named


def test_the_last_pattern_that_matches_decides() -> None:
    patterns = ["src/**", "!src/**/*.md", "src/keep.md"]
    assert match_globs("src/a.py", patterns)
    assert not match_globs("src/x/a.md", patterns)
    assert match_globs("src/keep.md", patterns)
    assert not match_globs("src/a.py", ["!docs/**"])


def test_many_stars_take_no_time_to_fail() -> None:
    assert not match_glob("a" * 2_000 + "/" + "b" * 200, "*a" * 200 + "c/" + "*b" * 100)
    assert not match_glob("/".join(["a"] * 400), "/".join(["**", "a"] * 60) + "/b")


@given(st.text("ab/", max_size=12), st.text("ab/*?", max_size=8))
def test_matching_agrees_with_a_regular_expression(path: str, pattern: str) -> None:
    segments = pattern.split("/")
    written = "".join(
        ("(?:[^/]*/)*" if last != index else "(?:[^/]*(?:/[^/]*)*)")
        if segment == "**"
        else _segment(segment, index == last)
        for last in [len(segments) - 1]
        for index, segment in enumerate(segments)
    )
    if not path.startswith("./") and segments[-1] != "**":
        assert match_glob(path, pattern) == bool(re.fullmatch(written, path))


def _segment(segment: str, is_last: bool) -> str:
    written = "".join({"*": "[^/]*", "?": "[^/]"}.get(character, re.escape(character)) for character in segment)
    return written if is_last else written + "/"
