"""An environment whose record was deleted while it lives: the real command line finds what is there, and takes it away."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipway.environment_record import EnvironmentState
from tests.forge.fixtures import github as github
from tests.forge.server import GitHubServer
from tests.preview_pulls import PreviewShop
from tests.preview_shop import Shop

pytestmark = pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="processes are looked up in /proc")


@pytest.fixture
def pulled(tmp_path: Path, github: GitHubServer) -> PreviewShop:
    """A shop with a pull request."""
    return PreviewShop(tmp_path, github)


def _forget(root: Path, target: str) -> None:
    """Delete the record of an environment, as somebody may who tidies up."""
    (record,) = [each for each in (root / ".shipway/records").rglob("*") if each.is_file() and _names(each, target)]
    record.unlink()


def _names(path: Path, target: str) -> bool:
    return b'"kind":"environment"' in (content := path.read_bytes()) and f'"target":"{target}"'.encode() in content


def test_down_takes_away_what_is_there_of_an_environment_that_no_record_tells_of(shop: Shop) -> None:
    shop.call("up")
    _forget(shop.project.root, "feat-login")
    asked = shop.project.call("preview", "down", code=2)
    assert "process " in asked.out and "checkout " in asked.out and "lease " in asked.out
    assert len(shop.processes()) == 2, "nobody has said yes"
    said = shop.call("down").out
    assert (shop.processes(), shop.worktrees()) == ([], [])
    given = "SHIPWAY_LIFECYCLE=shop SHIPWAY_TARGET=feat-login SHIPWAY_ACTION=destroy SHIPWAY_SERVICE=data"
    assert f"service data: {given} sh -c ./scripts/drop.sh" in said
    assert shop.call("gc").out == "nothing is left over\n"
    assert "there never was such an environment" in shop.call("down").out


def test_down_takes_away_what_is_there_of_one_that_is_gone_by_its_record(shop: Shop) -> None:
    shop.call("up")
    path = shop.project.root / ".shipway/records"
    (record,) = [each for each in path.rglob("*") if each.is_file() and _names(each, "feat-login")]
    text = record.read_text()
    record.write_text(text.replace(f'"state":"{EnvironmentState.READY.value}"', '"state":"gone"'))
    shop.call("down")
    assert (shop.processes(), shop.worktrees()) == ([], [])


def test_closed_takes_away_what_is_there_of_an_environment_that_no_record_tells_of(pulled: PreviewShop) -> None:
    assert pulled.event("opened").code == 0
    _forget(pulled.work, "pr-7")
    pulled.close()
    done = pulled.event("closed")
    assert (done.code, pulled.left()) == (0, []), done.text
    assert "no record tells of `pr-7`" in done.text
