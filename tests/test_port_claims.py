"""Claims of ports on the machine that binds them: two stores, one machine, and no port twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shipway.local_access import LocalAccess
from shipway.port_claims import claim, claimed_by_others, give_up
from tests.preview_shop import open_shop

PORTS = (64_990, 64_991)


@pytest.fixture
def outside(tmp_path: Path) -> LocalAccess:
    return LocalAccess("/", {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)})


@pytest.fixture
def places(tmp_path: Path) -> tuple[str, str]:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    return str(tmp_path / "one"), str(tmp_path / "other's $(place)")


def test_what_one_place_claims_no_other_gets_until_it_gives_up(outside: LocalAccess, places: tuple[str, str]) -> None:
    one, other = places
    Path(other).mkdir()
    assert claim(outside, one, PORTS) == frozenset()
    assert claim(outside, one, PORTS) == frozenset(), "its own it may claim again"
    assert claim(outside, other, PORTS) == set(PORTS)
    assert set(PORTS) <= claimed_by_others(outside, other)
    assert not set(PORTS) & claimed_by_others(outside, one)
    give_up(outside, one)
    assert claim(outside, other, PORTS) == frozenset()
    give_up(outside, other)


def test_the_claims_of_a_place_that_is_gone_count_for_nothing(outside: LocalAccess, places: tuple[str, str]) -> None:
    one, other = places
    assert claim(outside, one, PORTS) == frozenset()
    Path(one).rmdir()
    assert not set(PORTS) & claimed_by_others(outside, other)
    assert claim(outside, other, PORTS) == frozenset()
    give_up(outside, other)


def test_p71_equal_targets_of_two_repositories_at_once_get_other_ports(tmp_path: Path) -> None:
    with open_shop(tmp_path / "a") as one, open_shop(tmp_path / "b") as other:
        other.project.env["HOME"] = one.project.env["HOME"]  # one person's two repositories
        argv = [sys.executable, "-I", "-m", "shipway", "preview", "up", "--yes", "-q"]
        running = [
            subprocess.Popen(
                argv,
                cwd=shop.project.root,
                env=shop.project.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for shop in (one, other)
        ]
        for each in running:
            said, _ = each.communicate()
            assert each.returncode == 0, said
        urls = [list(dict(shop.environments()["feat-login"]["urls"]).values()) for shop in (one, other)]  # type: ignore[call-overload]
        assert len({*urls[0], *urls[1]}) == 4
        for shop in (one, other):
            assert shop.page("feat-login", "web") == "web of rows of feat-login 1\n"
            shop.call("down")
