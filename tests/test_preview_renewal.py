"""Shows what renews a preview with the actions that really make one: a worktree, hooks, env files, a supervised service."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipway.environments import Environments
from shipway.events import Event, Events, NodeFinished, NodeStarted
from shipway.loading import load_declaration
from shipway.node_ids import readable
from shipway.preview_derivation import derived, known_of, recorded_data
from shipway.preview_settings import Doing
from shipway.stores.local_files import LocalFiles
from shipway.workspace import Workspace
from tests.runs import Ran, Setting, call, declare, run

DECLARED = """
stages:
  place:
    mode: preview
    with:
      role: provisioner
      services:
        db:
          outputs: {DSN: secret}
          seed: echo "DSN=first" >> "$SHIPWAY_OUTPUT"
          reset: echo "DSN=again" >> "$SHIPWAY_OUTPUT"
          destroy: echo gone > "$SHIPWAY_ROOT/dropped"
  app:
    needs: [place]
    mode: preview
    with:
      role: runner
      services:
        api:
          path: api
          command: exec sleep 1000
          env: {DSN: "${{ provisioner.db.DSN }}"}
          ready: {run: "true"}
"""
ENV_FILE = "app/env[api%2F.env.local]"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "work"
    (folder / "api").mkdir(parents=True)
    (folder / "api/x").write_text("")
    (folder / ".gitignore").write_text(".shipway/\n")
    declare(folder, DECLARED)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-C", str(folder)]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *command], check=True)
    yield folder
    down(folder)


def up(root: Path) -> Ran:
    return run(root, None, Setting(target="pr-7"))


def do(root: Path, doing: Doing, service: str = "") -> Ran:
    file = root / "shipway.yml"
    data = recorded_data(load_declaration(file, root=root, target="pr-7"))
    record = Environments(LocalFiles(Workspace(root).make_records()), "test").read("pr-7")
    made = root / ".shipway/previews/test/pr-7/derived.yml"
    made.parent.mkdir(parents=True, exist_ok=True)
    made.write_text(
        json.dumps(derived(data, doing, service=service, known=known_of(record.checkpoints if record else {})))
    )
    return run(root, None, Setting(target="pr-7", derived_from=("shipway.yml",)), file=made)


def down(root: Path) -> Ran:
    return do(root, Doing.DOWN)


def dsn(root: Path) -> str:
    text = (root / ".shipway/previews/test/pr-7/tree/api/.env.local").read_text()
    return text.partition("DSN=")[2].splitlines()[0]


def test_p55_what_follows_a_reset_follows_and_the_next_up_keeps_it(root: Path) -> None:
    assert up(root).exit_code == 0 and dsn(root) == "first"
    ran = do(root, Doing.RESET, "db")
    assert ran.exit_code == 0, ran.outcomes
    assert dsn(root) == "again"
    assert ran["app/service/api"].outcome == "succeeded"
    again = up(root)
    assert set(again.outcomes.values()) == {"unchanged"}, again.outcomes
    assert dsn(root) == "again"


def test_p86_down_leaves_nothing_and_may_be_asked_twice(root: Path) -> None:
    assert up(root).exit_code == 0
    first = down(root)
    assert first.exit_code == 0, first.outcomes
    assert (root / "dropped").read_text() == "gone\n"
    assert not (root / ".shipway/previews/test/pr-7/tree").exists()
    second = down(root)
    assert second.exit_code == 0, second.outcomes


def test_a_run_that_made_a_preview_is_rolled_back(root: Path) -> None:
    assert call(root, "run", "--target", "pr-7", "--yes").exit_code == 0
    called = call(root, "rollback", "--target", "pr-7", "--yes")
    assert called.exit_code == 0, called
    assert (root / "dropped").exists() and not (root / ".shipway/previews/test/pr-7/tree").exists()


def test_p91_starts_and_ends_are_equally_many_and_what_is_kept_says_so_once(root: Path) -> None:
    first = up(root)
    ids = sorted(result.node for result in first.receipt.nodes)
    assert (told(first, NodeStarted), told(first, NodeFinished)) == (ids, ids)
    declared = (root / "shipway.yml").read_text()
    (root / "shipway.yml").write_text(declared.replace("env: {DSN", 'env: {MORE: "1", DSN'))
    again = up(root)
    assert (told(again, NodeStarted), told(again, NodeFinished)) == (ids, ids)
    kept = sorted(node for node, outcome in again.outcomes.items() if outcome == "unchanged")
    ended = [event for event in again.events if isinstance(event, NodeFinished)]
    assert sorted(event.node for event in ended if event.outcome == "unchanged") == kept
    assert {"place/service/db", "place/compute"} <= {*kept} and ENV_FILE not in kept

    said = call(root, "run", "--target", "pr-7", "--yes").out
    lines = [
        line for line in said.partition("\u25b6 run ")[2].partition("test \u2192 pr-7")[0].splitlines()[1:] if line
    ]
    assert sorted(line.split()[:3] for line in lines) == sorted(["=", readable(node), "unchanged"] for node in ids)


def told(ran: Ran, kind: type[NodeStarted | NodeFinished]) -> list[str]:
    """Of which nodes an event of this kind came, once for each."""
    return sorted(event.node for event in ran.events if isinstance(event, kind))


def test_p91_a_run_that_nobody_listens_to_works(root: Path) -> None:
    """Nor does it end where whoever listens fails."""

    def fails(event: Event) -> None:
        raise RuntimeError("no sink")

    ran = run(root, None, Setting(target="pr-7", subscribers=(fails,)))
    assert ran.exit_code == 0 and len(ran.faults) == len(ran.events)
    Events().emit(ran.events[0])
