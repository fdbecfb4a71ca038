"""Shows what a drill does: one run for each node, all of it undone each time, and what the next plan says of that."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.runs import call, declare

_SHOP = """
targets: {prod: {}, drill: {drill: true}}
steps:
  - {id: test, run: 'true', lasting: false}
  - id: migrate
    run: 'echo do >> said; echo x > db'
    undo: 'echo undo >> said; rm db'
    verify: test -e db || exit 3
  - {id: config, uses: file.write, with: {path: out/config, content: new}}
  - {id: publish, run: echo p >> said, undo: echo unpublish >> said}
"""


def said(root: Path) -> list[str]:
    return (root / "said").read_text().split() if (root / "said").exists() else []


def nodes(out: str) -> dict[str, tuple[str | None, str | None]]:
    return {node["node"].removeprefix("main/"): (node["undo"], node["verify"]) for node in json.loads(out)["nodes"]}


def test_a_drill_fails_after_each_node_in_turn_and_asks_every_verify(tmp_path: Path) -> None:
    declare(tmp_path, _SHOP)
    called = call(tmp_path, "drill", "--target", "drill", "--yes", "--json")
    assert called.exit_code == 0, called
    assert said(tmp_path) == ["do", "undo"] * 2 + ["do", "p", "unpublish", "undo"]
    assert not (tmp_path / "db").exists()
    assert not (tmp_path / "out").exists()
    assert json.loads(called.out)["rounds"] == 4
    assert nodes(called.out) == {
        "test": (None, None),
        "migrate": ("undone", "gone"),
        "config": ("undone", "gone"),
        "publish": ("undone", "unknown"),
    }


def test_the_plan_says_when_each_undo_was_last_proven(tmp_path: Path) -> None:
    declare(tmp_path, _SHOP)
    assert "a drill last proved" not in call(tmp_path, "plan", "--target", "prod").out
    shown = call(tmp_path, "drill", "--target", "drill", "--yes", "-q")
    assert shown.exit_code == 0, shown
    assert "4 times executed and rolled back on drill: all was undone" in shown.out
    declare(tmp_path, _SHOP.replace("rm db", "rm -f db"))
    said_so = call(tmp_path, "plan", "--target", "prod").out
    assert "Undos, and when a drill last proved them:" in said_so
    lines = {
        line.split()[0]: " ".join(line.split()[1:]) for line in said_so.split("proved them:")[1].splitlines() if line
    }
    assert lines["main/migrate"] == "never, as it is now"
    assert lines["main/config"].endswith(" on drill")
    assert "by its exit code only" in lines["main/publish"]


def test_a_drill_ends_where_something_was_not_undone(tmp_path: Path) -> None:
    declare(tmp_path, _SHOP.replace("rm db", "true"))
    called = call(tmp_path, "drill", "--target", "drill", "--yes")
    assert called.exit_code == 4, called
    assert "the drill ended there: after `main/migrate` failed, not everything was undone" in called.out
    assert "main/migrate  undo failed" in called.out
    assert said(tmp_path) == ["do", "undo"]


def test_a_drill_ends_where_a_node_fails_by_itself(tmp_path: Path) -> None:
    declare(tmp_path, _SHOP.replace("run: echo p >> said", "run: exit 1"))
    called = call(tmp_path, "drill", "--target", "drill", "--yes", "--json")
    assert called.exit_code == 1, called
    assert json.loads(called.out)["error"] == "`main/publish` failed by itself, and all was undone"


def test_only_a_target_that_is_there_to_be_broken_is_drilled(tmp_path: Path) -> None:
    declare(tmp_path, _SHOP)
    refused = call(tmp_path, "drill", "--target", "prod", "--yes")
    assert (refused.exit_code, said(tmp_path)) == (2, [])
    assert "the target `prod` is not there to be broken" in refused.err
    unasked = call(tmp_path, "drill", "--target", "drill")
    assert (unasked.exit_code, said(tmp_path)) == (2, [])


def test_a_failure_that_is_forgiven_elsewhere_is_none_in_a_drill(tmp_path: Path) -> None:
    declare(
        tmp_path,
        """
        targets: {drill: {drill: true}}
        defaults: {rollback: none, on_failure: continue}
        stages:
          main:
            retry: 3
            rollback: none
            steps:
              - {id: a, run: echo do >> said, undo: echo undo >> said, retry: 5, allow_failure: true}
            compensate: {steps: [{run: echo sorry >> said}]}
        """,
    )
    called = call(tmp_path, "drill", "--target", "drill", "--yes", "--json")
    assert (called.exit_code, said(tmp_path)) == (0, ["do", "sorry", "undo"])
    assert json.loads(called.out)["nodes"][1]["undo"] == "succeeded"


def test_each_round_of_a_drill_has_a_heading(tmp_path: Path) -> None:
    declare(tmp_path, _SHOP)
    out = call(tmp_path, "drill", "--target", "drill", "--yes").out
    headings = [line for line in out.splitlines() if line.startswith("round ")]
    assert headings[0] == "round 1 of 4: main/test succeeds, then counts as failed"
    assert len(headings) == 4
    told = [
        re.match(r"[>✓✗·↩] (main/\S+ +)(?=started|succeeded|failed|blocked|undone)", line) for line in out.splitlines()
    ]
    assert len({len(found[1]) for found in told if found}) == 1, "what became of the nodes is not in one column"
    assert "round " not in call(tmp_path, "drill", "--target", "drill", "--yes", "-q").out
