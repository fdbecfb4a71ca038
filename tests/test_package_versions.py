"""Versions are compared as the managers do it: against dpkg, rpm, Python's `packaging` and npm's own `semver`."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from packaging.version import InvalidVersion, Version

from shipway.package_versions import (
    compare_debian,
    compare_homebrew,
    compare_python,
    compare_rpm,
    compare_semver,
    compare_winget,
)
from tests.package_sources import need
from tests.peers import require

Compare = Callable[[str, str], int]


def compared(compare: Compare, one: str, other: str) -> int | None:
    """None where one of them is no version."""
    try:
        return compare(one, other)
    except ValueError:
        return None


def drawn(seed: int, heads: Sequence[str], parts: Sequence[str], most: int, count: int) -> list[tuple[str, str]]:
    """Pairs of made-up versions, many of which differ by little."""
    draw = random.Random(seed)

    def one() -> str:
        return draw.choice(heads) + "".join(draw.choice(parts) for _ in range(draw.randint(0, most)))

    pairs = [(one(), one()) for _ in range(count)]
    return [(a, a + draw.choice(parts) if draw.random() < 0.3 else b) for a, b in pairs]


def test_debian_versions_are_compared_as_dpkg_does() -> None:
    need("dpkg")
    pairs = drawn(1, ["0", "1", "1:2", "0:1", "2.10-"], [*"01.ab~+-Z9", "~~", "-1", "10"], 5, 250)
    sorts = {"lt": -1, "eq": 0, "gt": 1}
    wrong = []
    for one, other in pairs:
        ours = compared(compare_debian, one, other)
        if ours is None:
            checked = subprocess.run(["dpkg", "--validate-version", one], capture_output=True, check=False)
            also = subprocess.run(["dpkg", "--validate-version", other], capture_output=True, check=False)
            wrong += [(one, other)] if checked.returncode == also.returncode == 0 else []
            continue
        said = next(word for word, sign in sorts.items() if sign == ours)
        done = subprocess.run(["dpkg", "--compare-versions", one, said, other], capture_output=True, check=False)
        wrong += [(one, other)] if done.returncode or done.stderr else []
    assert wrong == []


def test_python_versions_are_compared_as_packaging_does() -> None:
    parts = [
        "a1",
        "b2",
        "rc1",
        ".post1",
        ".dev3",
        "+abc.1",
        "-1",
        "alpha",
        ".dev",
        "c3",
        "+5",
        ".0",
        ".1",
        "r3",
        "_rc2",
    ]
    for one, other in drawn(2, ["1", "1.0", "1!2", "v1.2.3", "0.0"], parts, 3, 20_000):
        try:
            theirs: int | None = (Version(one) > Version(other)) - (Version(one) < Version(other))
        except InvalidVersion:
            theirs = None
        assert compared(compare_python, one, other) == theirs, (one, other)


def test_npm_versions_are_compared_as_its_own_semver_does() -> None:
    need("node", "npm")
    found = subprocess.run(["npm", "root", "--global"], capture_output=True, text=True, check=True)
    module = Path(found.stdout.strip()) / "npm/node_modules/semver"
    require("npm's semver", module.is_dir(), "npm brings it along, in its own `node_modules`")
    pairs = drawn(
        3,
        ["1.2.3", "v1.2.3", "1.2.4", "01.2.3", "1.2"],
        ["-alpha", "-rc.1", ".2", "-", "+b.1", ".10", "-01", "-1a"],
        3,
        3000,
    )
    program = (
        f"const semver = require({json.dumps(str(module))});"
        "const pairs = JSON.parse(require('fs').readFileSync(0));"
        "const one = ([a, b]) => { try { return semver.compare(a, b) } catch { return null } };"
        "console.log(JSON.stringify(pairs.map(one)))"
    )
    done = subprocess.run(["node", "-e", program], input=json.dumps(pairs), capture_output=True, text=True, check=True)
    for (one, other), theirs in zip(pairs, json.loads(done.stdout), strict=True):
        assert compared(compare_semver, one, other) == theirs, (one, other)


def test_rpm_versions_are_compared_as_rpm_does() -> None:
    require("rpm", shutil.which("rpm") is not None, "`bash .ci/packages` installs it on Debian")
    pairs = drawn(4, ["1", "1.0", "0", "2_0"], [*"01.ab~^Z9", "10", "..", "_1"], 5, 2000)
    lines = "".join(f"print(rpm.vercmp('{one}', '{other}'), '')" for one, other in pairs)
    done = subprocess.run(["rpm", "--eval", f"%{{lua:{lines}}}"], capture_output=True, text=True, check=True)
    for (one, other), theirs in zip(pairs, done.stdout.split(), strict=True):
        assert compare_rpm(one, other) == int(theirs), (one, other)


@pytest.mark.parametrize(
    ("compare", "one", "other", "sign"),
    [
        (compare_rpm, "1.0", "1:0.1", -1),
        (compare_rpm, "1.0-1", "1.0-2", -1),
        (compare_rpm, "1.0", "1.0-2", 0),
        (compare_rpm, "1.0~rc1", "1.0", -1),
        (compare_rpm, "1.0^git1", "1.0", 1),
        (compare_rpm, "1.0^git1", "1.0.1", -1),
        # From Homebrew's own tests: Library/Homebrew/test/version_spec.rb.
        (compare_homebrew, "0.10", "0.9", 1),
        (compare_homebrew, "1.2.3alpha4", "1.2.3", -1),
        (compare_homebrew, "1.2.3beta2", "1.2.3-p34", -1),
        (compare_homebrew, "1.2.3rc3", "1.2.3alpha4", 1),
        (compare_homebrew, "1.2.3", "1.2.3-p34", -1),
        (compare_homebrew, "2.1.0-p194", "2.1-p195", -1),
        (compare_homebrew, "1.1a", "1.1.1", -1),
        (compare_homebrew, "1.2_1", "1.2", 1),
        (compare_homebrew, "1.2_1", "1.2_2", -1),
        # From winget's: src/AppInstallerCLITests/Versions.cpp.
        (compare_winget, "1", "2", -1),
        (compare_winget, "1.0.0", "1.0", 0),
        (compare_winget, "1.2-rc", "1.2", -1),
        (compare_winget, "1.0-rc", "1.0", -1),
        (compare_winget, "v1.2", "1.10", -1),
        (compare_winget, "13.9.8", "14.1", -1),
        # g120: 10 is later than 9, whoever is asked.
        *(
            (compare, "10", "9", 1)
            for compare in (compare_debian, compare_rpm, compare_python, compare_homebrew, compare_winget)
        ),
        (compare_semver, "10.0.0", "9.0.0", 1),
    ],
)
def test_known_comparisons(compare: Compare, one: str, other: str, sign: int) -> None:
    assert compare(one, other) == sign
    assert compare(other, one) == -sign


@pytest.mark.parametrize(
    ("compare", "text"),
    [
        (compare_debian, ""),
        (compare_debian, "a:1"),
        (compare_debian, "1-"),
        (compare_rpm, "1 0"),
        (compare_python, "one"),
        (compare_semver, "1.2"),
        (compare_homebrew, ""),
        (compare_winget, ""),
    ],
)
def test_what_is_no_version_is_named(compare: Compare, text: str) -> None:
    with pytest.raises(ValueError, match="version"):
        compare(text, text)
