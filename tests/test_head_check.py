"""Case 21 and pitfall 5: what runs has to be on its branch still, before anything starts and before what cannot be undone."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.forge.server import GitHubServer, Reply
from tests.pull_requests import Acted, Shop
from tests.runs import Lifeline

FREE = """\
version: 1
name: shop
steps:
  - {id: first, run: 'echo first >> "$MARK"', undo: 'echo undone >> "$MARK"', env_from: [MARK]}
  - {id: last, run: 'echo last >> "$MARK"', env_from: [MARK]}
"""
WAITING = FREE.replace('first >> "$MARK"', 'first >> "$MARK"; echo x > "$BEGUN"; read x < "$GO"', 1).replace(
    "[MARK]}", "[MARK, BEGUN, GO]}", 1
)
APPROVED = WAITING.replace("steps:", "stages:\n  main:\n    approval: required\n    steps:").replace(
    "\n  - ", "\n    - "
)
ELSEWHERE = "e" * 40


@pytest.fixture
def shop(tmp_path: Path, github: GitHubServer) -> Shop:
    return Shop(tmp_path, github)


def declare(shop: Shop, text: str) -> str:
    """Make `text` the declaration on `main`; the commit."""
    shop.git("checkout", "-q", "main")
    shop.commit({"shipway.yml": text})
    shop.commit({"README": "upon it, so that the commit before has no other rules\n"})
    return shop.pushed()


def put_back(shop: Shop) -> None:
    """Put the branch back to something else, as a forced push does."""
    world = shop.github.world
    world.lost.append(world.branches["main"])
    world.branches["main"] = ELSEWHERE


def gone_on(shop: Shop) -> None:
    """Let somebody push another commit on top."""
    world = shop.github.world
    world.held["main"] = [world.branches["main"]]
    world.branches["main"] = ELSEWHERE


def pushed(shop: Shop, meanwhile: Callable[[Shop], None]) -> Acted:
    """The run of the push, with `meanwhile` happening while its first step runs."""
    for name in ("begun", "go"):
        shop.env[name.upper()] = str(shop.root / name)
    begun = Lifeline(shop.root / "begun")
    os.mkfifo(shop.root / "go")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(shop.push)
        begun.wait()
        meanwhile(shop)
        (shop.root / "go").write_text("x\n")
        return running.result()


def test_case_21_a_commit_that_was_taken_off_its_branch_is_not_begun(shop: Shop) -> None:
    declare(shop, FREE)
    put_back(shop)
    done = shop.push()
    assert (done.code, done.reason) == (5, "head-moved"), done.text
    assert "is not on `main` any more" in done.text
    assert shop.mark == []


def test_case_21_a_commit_that_the_forge_has_forgotten_is_not_begun_either(shop: Shop) -> None:
    declare(shop, FREE)
    shop.github.world.branches["main"] = ELSEWHERE
    assert shop.push().reason == "head-moved"


def test_what_others_pushed_on_top_stops_nothing(shop: Shop) -> None:
    declare(shop, FREE)
    gone_on(shop)
    done = shop.push()
    assert (done.code, shop.mark) == (0, ["first", "last"]), done.text


def test_pitfall_5_what_cannot_be_undone_is_not_begun_once_the_branch_was_put_back(shop: Shop) -> None:
    declare(shop, WAITING)
    done = pushed(shop, put_back)
    assert (done.code, done.reason) == (5, "head-moved"), done.text
    assert shop.mark == ["first", "undone"]
    assert "`main/last` cannot be undone, so it was not begun" in done.text
    nodes = {node["id"]: node for node in done.document("receipt")["nodes"]}
    assert nodes["main/last"]["attempts"][0]["code"] == "head-moved"


def test_pitfall_5_a_branch_that_went_on_meanwhile_stops_nothing(shop: Shop) -> None:
    declare(shop, WAITING)
    done = pushed(shop, gone_on)
    assert (done.code, shop.mark) == (0, ["first", "last"]), done.text


def _no_answer(shop: Shop) -> None:
    forbidden = Reply(403, {"message": "Resource not accessible by integration"})
    shop.github.fault("GET", "git/ref/heads/main$", forbidden, times=9)


def test_where_the_forge_does_not_answer_it_is_said_and_the_run_goes_on(shop: Shop) -> None:
    declare(shop, WAITING)
    done = pushed(shop, _no_answer)
    assert (done.code, shop.mark) == (0, ["first", "last"]), done.text
    assert "is still on `main` is not known" in done.text


def test_where_approval_is_needed_not_to_know_is_to_refuse(shop: Shop) -> None:
    shop.change({"shipway.yml": APPROVED})
    shop.plan()
    shop.github.world.review(7, "ana")
    shop.merge()
    done = pushed(shop, _no_answer)
    assert done.code == 6, done.text
    assert shop.mark == ["first", "undone"]


def test_of_nodes_that_begin_together_one_asks_for_all(shop: Shop) -> None:
    steps = "".join(f"  s{number}: {{run: 'true'}}\n" for number in range(8))
    declare(shop, f"version: 1\nname: shop\ndefaults: {{parallel: 8}}\nsteps:\n{steps}")
    assert shop.push().code == 0
    asked = [seen for seen in shop.github.requests if seen.path.endswith("git/ref/heads/main")]
    assert 2 <= len(asked) <= 4


def test_of_nodes_that_begin_together_one_waits_for_a_forge_that_does_not_answer(shop: Shop) -> None:
    steps = "".join(f"  s{number}: {{run: 'true'}}\n" for number in range(8))
    declare(shop, f"version: 1\nname: shop\ndefaults: {{parallel: 8}}\nsteps:\n{steps}")
    shop.github.fault("GET", "git/ref/heads/main$", Reply(502, {"message": "Bad Gateway"}), times=99)
    done = shop.push()
    assert done.code == 0, done.text
    assert done.text.count("is still on `main` is not known") == 1
    asked = [seen for seen in shop.github.requests if seen.path.endswith("git/ref/heads/main")]
    assert len(asked) < 8


def test_on_of_a_pattern_of_targets_says_what_may_execute_there(shop: Shop) -> None:
    declare(shop, FREE + "targets: {env-*: {on: [release]}}\n")
    done = shop.push(SHIPWAY_INPUT_TARGET="env-1")
    assert (done.code, shop.mark) == (0, []), done.text
    assert "matches none of `on` of the target" in done.text
