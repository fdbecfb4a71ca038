"""Shows with the real command how a run is undone later: all of it once, nothing that has drifted unless told."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest

from shipway.schema import check
from tests.runs import PATIENCE_S, SHIPWAY, Called, Lifeline, begin, call, declare, environment, finish

_SHOP = """
stages:
  build:
    lasting: false
    steps: [{id: image, run: 'echo tag=v7 >> "$SHIPWAY_OUTPUT"', outputs: {tag: string}}]
  release:
    env: {TAG: "${{ stages.build.outputs.tag }}"}
    steps:
      - id: migrate
        run: 'echo version=4 >> "$SHIPWAY_OUTPUT"; echo "$TAG" > db'
        undo: 'echo "down-$SHIPWAY_OUTPUT_VERSION-$TAG-$SHIPWAY_OUTCOME" >> said; rm -f db'
        verify: test -e db || exit 3
        outputs: {version: string}
      - {id: config, uses: file.write, with: {path: config, content: new}}
      - {id: smoke, run: test -e db, lasting: false}
    compensate:
      steps: [{id: call-off, run: 'echo "off-$AT" >> said', env: {AT: "${{ steps.migrate.outputs.version }}"}}]
"""


def said(root: Path) -> list[str]:
    return (root / "said").read_text().split() if (root / "said").exists() else []


def shop(root: Path, text: str = _SHOP) -> str:
    """A lifecycle that was run once; the id of the run."""
    (root / "config").write_text("old")
    declare(root, text)
    return ran(root)


def ran(root: Path, *more: str) -> str:
    called = call(root, "run", "--yes", "--json", *more)
    return str(json.loads(called.out)["run"])


def rolled_back(called: Called) -> list[tuple[str, str]]:
    return [(entry["node"], entry["outcome"]) for entry in json.loads(called.out)["rollback"]]


def statuses(root: Path) -> dict[str, str]:
    runs = json.loads(call(root, "runs", "--json").out)["runs"]
    return {run["run"]: run["status"] for run in runs}


def test_a_run_that_succeeded_is_undone_later_in_the_order_of_the_saga(tmp_path: Path) -> None:
    run = shop(tmp_path)
    called = call(tmp_path, "rollback", "--yes", "--json")
    assert called.exit_code == 0, called
    assert rolled_back(called) == [
        ("release.compensate/call-off", "succeeded"),
        ("release/config", "undone"),
        ("release/migrate", "undone"),
    ]
    assert said(tmp_path) == ["off-4", "down-4-v7-succeeded"]
    assert (tmp_path / "config").read_text() == "old"
    receipt = json.loads(called.out)
    assert (receipt["outcome"], receipt["run"]) == ("rolled_back", run)
    assert not check("receipt", receipt)
    assert {node["id"]: node["outcome"] for node in receipt["nodes"]}["release/smoke"] == "succeeded"
    assert statuses(tmp_path) == {run: "rolled_back"}
    assert len(list((tmp_path / ".shipway/receipts").iterdir())) == 2
    assert not list((tmp_path / ".shipway/recovery").iterdir())


def test_what_was_undone_is_not_undone_again(tmp_path: Path) -> None:
    run = shop(tmp_path)
    assert call(tmp_path, "rollback", run, "--yes", "-q").exit_code == 0
    again = call(tmp_path, "rollback", run, "--yes")
    assert (again.exit_code, said(tmp_path)) == (2, ["off-4", "down-4-v7-succeeded"])
    assert f"nothing is left of run `{run}`" in again.err
    assert call(tmp_path, "rollback", "--yes").exit_code == 2
    assert call(tmp_path, "resume", "--yes").exit_code == 2


def test_it_is_shown_and_asked_for_before_anything_is_touched(tmp_path: Path) -> None:
    shop(tmp_path)
    called = call(tmp_path, "rollback")
    assert (called.exit_code, said(tmp_path)) == (2, [])
    assert "> release.compensate/call-off  run echo" in called.out
    assert "↩ release/migrate              undo echo" in called.out
    assert "there is no terminal to ask on; nothing was undone" in called.err


def test_what_has_drifted_is_refused_and_nothing_is_undone_unless_told(tmp_path: Path) -> None:
    run = shop(tmp_path)
    (tmp_path / "db").unlink()
    refused = call(tmp_path, "rollback", "--yes")
    assert (refused.exit_code, said(tmp_path)) == (5, [])
    assert "release/migrate: `verify` does not find what it did" in refused.err
    assert (tmp_path / "config").read_text() == "new"
    assert statuses(tmp_path) == {run: "succeeded"}
    assert call(tmp_path, "runs", "repair").out == "there is nothing to repair\n"
    told = call(tmp_path, "rollback", "--yes", "--drifted", "--json")
    assert (told.exit_code, len(rolled_back(told))) == (0, 3)


def test_g046_a_file_that_was_changed_is_left_alone_and_the_others_are_undone(tmp_path: Path) -> None:
    run = shop(tmp_path)
    (tmp_path / "config").write_text("by hand")
    assert call(tmp_path, "rollback", "--yes").exit_code == 5
    called = call(tmp_path, "rollback", "--yes", "--drifted", "--json")
    assert called.exit_code == 4
    assert rolled_back(called)[1:] == [("release/config", "drifted"), ("release/migrate", "undone")]
    assert (tmp_path / "config").read_text() == "by hand"
    assert statuses(tmp_path) == {run: "not_undone"}
    # Put back by hand, it is what the run had made: undone, and nothing else once more.
    (tmp_path / "config").write_text("new")
    again = call(tmp_path, "rollback", "--yes", "--json")
    assert again.exit_code == 0, again
    assert (tmp_path / "config").read_text() == "old"
    assert said(tmp_path) == ["off-4", "down-4-v7-succeeded"]


def test_a_run_is_not_undone_under_a_later_one_that_stands(tmp_path: Path) -> None:
    first = shop(tmp_path)
    second = ran(tmp_path)
    refused = call(tmp_path, "rollback", first, "--yes")
    assert refused.exit_code == 5
    assert f"run `{second}` came after it, and what that did stands" in refused.err
    assert call(tmp_path, "rollback", "--yes", "-q").exit_code == 0
    assert statuses(tmp_path)[second] == "rolled_back"
    other = ran(tmp_path, "--target", "other")
    assert statuses(tmp_path)[other] == "succeeded"
    assert call(tmp_path, "rollback", "--target", "default", "--yes", "-q", "--drifted").exit_code in (0, 4)


def test_what_a_policy_left_is_undone_when_somebody_asks_for_it(tmp_path: Path) -> None:
    text = "defaults: {rollback: none}\n" + _SHOP.replace(
        "run: test -e db, lasting: false", "run: exit 1, lasting: false"
    )
    shop(tmp_path, text)
    assert said(tmp_path) == []
    called = call(tmp_path, "rollback", "--yes", "--json")
    assert (called.exit_code, len(rolled_back(called))) == (0, 3)


def test_what_has_no_undo_is_named(tmp_path: Path) -> None:
    shop(tmp_path, "steps: [{id: a, run: 'true', undo: 'true'}, {id: mail, run: 'true'}]\n")
    called = call(tmp_path, "rollback", "--yes", "--json")
    assert (called.exit_code, rolled_back(called)) == (4, [("main/mail", "not_undoable"), ("main/a", "undone")])
    asked = call(tmp_path, "rollback")
    assert asked.exit_code == 2
    assert "can be undone, so there is nothing to confirm" in asked.err
    again = call(tmp_path, "rollback", "--yes")
    assert "1 node, which cannot be undone" in again.out
    assert "shipway resume" not in again.out  # it had succeeded: to go on with it would do again what is undone
    assert "there the node was done and cannot be undone" in call(tmp_path, "why", "main/mail").out


def test_a_killed_run_may_be_rolled_back_instead_of_gone_on_with(tmp_path: Path) -> None:
    ready = Lifeline(tmp_path / "ready")
    declare(
        tmp_path,
        """
        steps:
          - {id: a, run: 'true', undo: echo undo-a >> said}
          - {id: b, run: 'exec 9> ready; echo go >&9; while :; do sleep 0.05; done', undo: echo undo-b >> said}
        """,
    )
    process = begin(tmp_path, "run", "--yes")
    ready.wait()
    process.send_signal(signal.SIGKILL)
    finish(process)
    called = call(tmp_path, "rollback", "--yes", "--json")
    assert (called.exit_code, said(tmp_path)) == (0, ["undo-b", "undo-a"])
    assert not ready.is_held()


@pytest.mark.parametrize(
    ("verdict", "undos", "outcome", "code"),
    [
        (3, ["undo-b", "undo-a"], "undone", 0),
        (0, ["undo-b", "undo-b", "undo-a"], "undone", 0),
        (9, ["undo-b", "undo-a"], "undo_failed", 4),
    ],
)
@pytest.mark.parametrize("command", ["rollback", "resume"])
def test_g047_an_undo_that_nobody_reported_is_probed_and_the_others_are_undone_once(
    tmp_path: Path, command: str, verdict: int, undos: list[str], outcome: str, code: int
) -> None:
    declare(
        tmp_path,
        """
        steps:
          - {id: a, run: 'true', undo: echo undo-a >> said}
          - id: b
            run: 'true'
            undo: 'echo undo-b >> said; test -e once || { touch once; kill -9 $PPID; }'
            verify: 'test ! -e once && exit 0; test $(grep -c undo-b said) = 2 && exit 3; exit $(cat verdict)'
          - {id: c, run: exit 1, lasting: false}
        """,
    )
    (tmp_path / "verdict").write_text(str(verdict))
    killed = call(tmp_path, "run", "--yes")
    assert killed.exit_code == -signal.SIGKILL, killed
    called = call(tmp_path, command, "--yes", "--json")
    assert said(tmp_path) == undos, called
    receipt = json.loads(called.out)
    found = {entry["node"]: entry["outcome"] for entry in receipt["rollback"]}
    assert found == {"main/b": outcome, "main/a": "undone"}
    assert called.exit_code == (code if command == "rollback" or code else 1)


def test_what_a_run_added_to_itself_is_undone_with_it(tmp_path: Path) -> None:
    text = """
    values: {hosts: [a, b]}
    steps:
      - id: list
        run: 'echo "more=[\\"x\\",\\"y\\"]" >> "$SHIPWAY_OUTPUT"'
        outputs: {more: list}
        lasting: false
      - {id: known, gather: {items: "${{ values.hosts }}"}, env: {H: "${{ item }}"}, run: 'true', undo: echo $H >> said}
      - id: unknown
        gather: {items: "${{ steps.list.outputs.more }}", max: 5}
        env: {H: "${{ item }}"}
        run: 'true'
        undo: 'echo $H >> said; test -e once || { touch once; test ! -e kill || kill -9 $PPID; }'
        verify: 'test -e once || exit 0; exit 3'
      - {id: last, run: test ! -e kill, lasting: false}
    """
    shop(tmp_path, text)
    called = call(tmp_path, "rollback", "--yes", "--json", "--drifted")
    assert called.exit_code == 0, called
    assert said(tmp_path) == ["y", "x", "b", "a"]
    outcomes = {node["id"]: node["outcome"] for node in json.loads(called.out)["nodes"]}
    assert outcomes["main/unknown"] == "succeeded"
    assert outcomes["main/unknown[y]"] == "undone"
    (tmp_path / "said").unlink()
    (tmp_path / "once").unlink()
    (tmp_path / "kill").touch()
    assert call(tmp_path, "run", "--yes").exit_code == -signal.SIGKILL
    assert call(tmp_path, "rollback", "--yes", "-q", "--drifted").exit_code == 0
    assert said(tmp_path) == ["y", "x", "b", "a"]


def test_secrets_that_are_not_set_are_asked_for_before_anything_is_touched(tmp_path: Path) -> None:
    declare(
        tmp_path,
        """
        secrets: [TOKEN]
        steps: [{id: a, run: 'true', undo: 'echo "$TOKEN" >> said', env: {TOKEN: "${{ secrets.TOKEN }}"}}]
        """,
    )
    assert call(tmp_path, "run", "--yes", "-q", env={"TOKEN": "s3cr3t-of-old"}).exit_code == 0
    refused = call(tmp_path, "rollback", "--yes")
    assert (refused.exit_code, said(tmp_path)) == (2, [])
    assert "`TOKEN` (named by `main/a`)" in refused.err
    assert call(tmp_path, "rollback", "--yes", "-q", env={"TOKEN": "s3cr3t-of-now"}).exit_code == 0
    assert said(tmp_path) == ["s3cr3t-of-now"]


def test_an_unknown_run_is_told_with_the_nearest_one(tmp_path: Path) -> None:
    run = shop(tmp_path)
    called = call(tmp_path, "rollback", run[:-1] + "x", "--yes")
    assert called.exit_code == 2
    assert f"Did you mean `{run}`?" in called.err


def test_a_rollback_that_is_declined_says_that_nothing_was_undone(tmp_path: Path) -> None:
    shop(tmp_path)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*SHIPWAY, "rollback"],
        cwd=tmp_path,
        env=environment(),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(theirs)
    os.write(ours, b"no\n")
    _, err = process.communicate(timeout=PATIENCE_S)
    os.close(ours)
    assert process.returncode == 2
    assert "nothing was undone: the rollback was not confirmed" in err
    assert said(tmp_path) == []
