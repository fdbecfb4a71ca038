"""Environments of pull requests whose base has no declaration that could be read: taken down by what their records hold."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipway.environment_record import EnvironmentState
from tests.forge.fixtures import github as github
from tests.forge.server import GitHubServer
from tests.preview_pulls import PreviewShop

BROKEN = "version: 1\nname: shop\nstages: {runner: {mode: preview, nosuch: 1}}\n"
UNREADABLE = "name: [preview\n"
OTHER = "version: 1\nname: other\nsteps: [{run: 'true'}]\n"


@pytest.fixture
def shop(tmp_path: Path, github: GitHubServer) -> Iterator[PreviewShop]:
    """A shop with a pull request."""
    made = PreviewShop(tmp_path, github)
    yield made
    for kept in made.left():
        if kept.startswith("process "):
            os.kill(int(kept.split()[1]), signal.SIGKILL)


def _base(shop: PreviewShop, declaration: str | None) -> None:
    """Bring the environment up, then let the base have another declaration, or none."""
    opened = shop.event("opened")
    assert opened.code == 0, opened.text
    shop.git("checkout", "-q", "main")
    if declaration is None:
        (shop.work / "shipway.yml").unlink()
    else:
        shop.write({"shipway.yml": declaration})
    shop.commit()
    shop.close()


@pytest.mark.parametrize(
    "declaration", [None, BROKEN, UNREADABLE, OTHER], ids=["none", "broken", "unreadable", "other"]
)
def test_closed_takes_down_by_the_record_whatever_the_base_declares(shop: PreviewShop, declaration: str | None) -> None:
    _base(shop, declaration)
    done = shop.event("closed")
    assert (done.code, shop.left()) == (0, []), done.text
    record = shop.record()
    assert record is not None and record.state is EnvironmentState.GONE
    assert "destroy" in shop.mark
    assert "pr-7: gone" in shop.comments[0].body
    again = shop.event("closed")
    assert again.code == (2 if declaration == UNREADABLE else 0), again.text


@pytest.mark.parametrize("declaration", [None, BROKEN, UNREADABLE], ids=["none", "broken", "unreadable"])
def test_the_sweep_takes_down_by_the_record_whatever_is_declared(shop: PreviewShop, declaration: str | None) -> None:
    _base(shop, declaration)
    done = shop.sweep()
    assert (done.code, shop.left()) == (0, []), done.text
    assert "pr-7: closed: removed" in done.text


OWNED = """\
stages:
  provisioner:
    mode: preview
    with:
      role: provisioner
      services:
        db:
          outputs: {}
          seed: {run: ./scripts/seed.sh, env: {MARK: "%(mark)s"}}
          destroy: {run: ./scripts/drop.sh now, env: {MARK: "%(mark)s"}}
"""


def test_closed_runs_a_hook_that_the_base_lacks_as_the_commit_has_it_that_the_environment_was_made_of(
    shop: PreviewShop,
) -> None:
    text = (shop.work / "shipway.yml").read_text().replace("stages:\n", OWNED % {"mark": shop.root / "mark"}, 1)
    shop.write({"shipway.yml": text.replace("  runner:\n", "  runner:\n    needs: [provisioner]\n", 1)})
    for name, word in (("seed", "seeded"), ("drop", 'dropped $1 in $(basename "$PWD")')):
        shop.write({f"scripts/{name}.sh": f'#!/bin/sh\necho "{word}" >> "$MARK"\n'})
        (shop.work / f"scripts/{name}.sh").chmod(0o755)
    shop.push({})
    _base(shop, None)
    assert not (shop.work / "scripts").exists()
    done = shop.event("closed")
    assert (done.code, shop.left()) == (0, []), done.text
    assert "dropped now in work" in shop.mark
    assert len(shop.git("worktree", "list").splitlines()) == 1


def test_what_json_may_hold_and_yaml_does_not_keeps_nothing_from_going(shop: PreviewShop) -> None:
    text = (shop.work / "shipway.yml").read_text()
    shop.push({"shipway.yml": text.replace("name:", 'values: {odd: "a\\u007fb\\ufeffc\\u2028d"}\nname:', 1)})
    _base(shop, None)
    done = shop.event("closed")
    assert (done.code, shop.left()) == (0, []), done.text


@pytest.mark.parametrize("event", ["closed", "schedule"])
def test_records_that_are_refs_of_the_repository_are_found_without_a_declaration(shop: PreviewShop, event: str) -> None:
    remote = shop.root / "remote.git"
    shop.git("init", "-q", "--bare", str(remote))
    shop.git("remote", "add", "origin", str(remote))
    shop.push({"shipway.yml": (shop.work / "shipway.yml").read_text().replace("name:", "state: git\nname:", 1)})
    _base(shop, None)
    assert shop.record() is None, "nothing is kept on this machine"
    done = shop.sweep() if event == "schedule" else shop.event("closed")
    assert (done.code, shop.left()) == (0, []), done.text
    assert "destroy" in shop.mark
