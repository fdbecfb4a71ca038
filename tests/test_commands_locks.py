"""`lock`, `unlock`, `locks`, and what a run says of a lock that somebody else has."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import Project, make_project
from tests.git_remotes import git, make_remote

SHOP = """
    version: 1
    name: shop
    targets: {prod: {}, staging: {}}
    steps:
      - {id: ship, run: "echo shipped >> shipped"}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = make_project(tmp_path)
    made.env["USER"] = "ada"
    made.write({"shipway.yml": SHOP})
    made.commit()
    return made


def begin(project: Project, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-I", "-m", "shipway", *arguments],
        cwd=project.root,
        env=project.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_lock_held_by_hand_keeps_runs_out_until_it_is_given_back(project: Project) -> None:
    done = project.call("lock", "--target", "prod", "--reason", "restoring\na backup")
    assert done.out.startswith("the lock of `shop` on `prod` is yours in local files")
    assert done.out.endswith("until `shipway unlock --target prod`\n")
    refused = project.call("run", "--target", "prod", "--yes", "--json", code=6)
    error = refused.json["error"]
    assert (error["reason"], error["phase"]) == ("lock-held", "prepare")
    assert "held by ada" in error["message"] and "restoring a backup" in error["message"]
    assert "shipway unlock --target prod" in error["next"]
    assert not (project.root / "shipped").exists()
    assert not list((project.root / ".shipway").glob("receipts/*")), "a run that never began leaves no receipt"
    project.call("run", "--target", "staging", "--yes", "-q")
    assert project.call("unlock", "--target", "prod").out.startswith(
        "the lock of `shop` on `prod` is free; it was held by ada"
    )
    project.call("run", "--target", "prod", "--yes", "-q")
    assert project.text("shipped") == "shipped\nshipped\n"


def test_locks_shows_who_holds_what_as_text_and_as_json(project: Project) -> None:
    assert project.call("locks").out.startswith("no lock is held in local files")
    assert project.call("locks", "-q").out == ""
    assert not (project.root / ".shipway").exists(), "looking makes nothing"
    project.call("lock", "--target", "prod", "--for", "2h", "-q")
    project.call("lock", "shop-database", "-q")
    shown = project.call("locks").out
    assert shown.splitlines()[0].startswith("lifecycle/shop/prod  held by ada")
    assert "; until 20" in shown and "named/shop-database  held by ada" in shown
    told = project.call("locks", "--json", "--target", "prod").json
    [lock] = told["locks"]
    assert (lock["lock"], lock["actor"], lock["kept_by"], lock["free"]) == ("lifecycle/shop/prod", "ada", "hand", False)
    project.call("unlock", "shop-database", "-q")
    assert "named/shop-database  free" in project.call("locks", "--all").out


def test_locking_what_is_locked_is_refused_and_takes_nothing(project: Project) -> None:
    project.call("lock", "b", "-q")
    assert "the lock `b` is held by ada" in project.call("lock", "a", "b", code=6).err
    assert [lock["lock"] for lock in project.call("locks", "--json").json["locks"]] == ["named/b"]


def test_unlocking_what_is_free_is_done_already(project: Project) -> None:
    assert project.call("unlock", "--target", "prod").out == "the lock of `shop` on `prod` was free already\n"
    assert project.call("unlock", "--target", "prod", "--json").json["unlocked"][0]["held"] is False


def test_a_run_that_goes_on_keeps_its_lock_and_force_ends_it_without_undoing(project: Project) -> None:
    project.write(
        {
            "shipway.yml": """
    version: 1
    name: shop
    steps:
      - {id: one, run: "touch one", undo: "rm one"}
      - {id: two, run: "mkfifo fifo; echo > begun; cat fifo", undo: "rm two"}
"""
        }
    )
    subprocess.run(["mkfifo", str(project.root / "begun")], check=True)
    running = begin(project, "run", "--yes", "--json")
    (project.root / "begun").read_text()
    refused = project.call("run", "--yes", code=6)
    assert "is held by ada on " in refused.err and "wait for that run to end" in refused.err.lower()
    kept = project.call("unlock", code=6)
    assert "`--force` takes it from a run that goes on" in kept.err
    project.call("unlock", "--force")
    out, err = running.communicate(timeout=60)
    assert running.returncode == 6, f"{out}\n{err}"
    assert (project.root / "one").exists(), "nothing was undone: it could have met the next run"
    [path] = (project.root / ".shipway/receipts").glob("*.json")
    receipt = json.loads(path.read_text())
    two = next(node for node in receipt["nodes"] if node["id"] == "main/two")
    assert two["outcome"] == "cancelled" and "lease_lost" in two["error"]
    assert receipt["rollback"] == []


def test_a_broken_record_counts_as_held_until_force_replaces_it(project: Project) -> None:
    project.call("lock", "--target", "prod", "-q")
    [record] = (project.root / ".shipway/records").glob("*prod*")
    record.write_text("{")
    refused = project.call("run", "--target", "prod", "--yes", "--json", code=6)
    assert refused.json["error"]["reason"] == "store-unreachable"
    project.call("unlock", "--target", "prod", code=6)
    project.call("unlock", "--target", "prod", "--force")
    project.call("run", "--target", "prod", "--yes", "-q")


def test_lock_none_takes_no_lock_and_the_commands_say_so(project: Project) -> None:
    project.write({"shipway.yml": SHOP.replace("name: shop\n", "name: shop\n    lock: none\n")})
    project.call("run", "--target", "prod", "--yes", "-q")
    assert not (project.root / ".shipway/records").exists()
    assert "`shop` takes no locks" in project.call("lock", "--target", "prod", code=2).err


def test_with_state_git_two_clones_lock_each_other_out(tmp_path: Path) -> None:
    bare, clones = make_remote(tmp_path, clones=2)
    made = make_project(tmp_path / "env")
    one, other = (Project(clone, made.env | {"USER": name}) for clone, name in zip(clones, ("ada", "bob"), strict=True))
    for project in (one, other):
        project.write({"shipway.yml": SHOP.replace("name: shop\n", "name: shop\n    state: git\n")})
    one.call("lock", "--target", "prod", "-q")
    refused = other.call("run", "--target", "prod", "--yes", "--json", code=6)
    assert "held by ada" in refused.json["error"]["message"]
    assert other.call("locks", "--json").json["store"] == "refs of the git remote `origin`"
    other.call("unlock", "--target", "prod", "-q")
    other.call("run", "--target", "prod", "--yes", "-q")
    assert git(bare, "for-each-ref", "--format=%(refname)", "refs/shipway/locks").split() == [
        "refs/shipway/locks/lifecycle/shop/prod"
    ]
    bare.rename(tmp_path / "gone")
    lost = other.call("run", "--target", "prod", "--yes", "--json", code=6)
    assert lost.json["error"]["reason"] == "store-unreachable"


def test_a_wrong_duration_is_refused_before_anything_is_held(project: Project) -> None:
    assert "`--for`: `2` is not a duration" in project.call("lock", "--target", "prod", "--for", "2", code=2).err
    assert not (project.root / ".shipway").exists()


STEPS = """
    version: 1
    name: {name}
    locks: {{mirror: step}}
    steps:
      - {{id: mirror, run: "echo {name} >> order; {more}", locks: [mirror], lasting: false}}
"""


def test_a_step_waits_for_a_lock_that_a_step_of_another_run_holds(project: Project) -> None:
    subprocess.run(["mkfifo", str(project.root / "fifo")], check=True)
    project.write(
        {
            "shipway.yml": STEPS.format(name="one", more="cat fifo; echo done >> order"),
            "other/shipway.yml": STEPS.format(name="other", more="true"),
        }
    )
    first = begin(project, "run", "--yes")
    with (project.root / "fifo").open("w") as fifo:  # opened once the step reads it
        second = begin(project, "run", "--yes", "-f", "other/shipway.yml")
        assert second.stdout is not None
        waits = next(line for line in second.stdout if "waits for" in line)
        assert "`main/mirror` waits for lock mirror, held by ada" in waits
        fifo.write("go\n")
    assert first.wait(60) == 0 and second.wait(60) == 0
    first.communicate()
    second.communicate()
    assert project.text("order") == "one\ndone\nother\n"


def test_a_step_whose_lock_a_person_holds_fails_with_who_it_is(project: Project) -> None:
    project.write({"shipway.yml": STEPS.format(name="one", more="true")})
    project.call("lock", "mirror", "--reason", "it is being moved", "-q")
    done = project.call("run", "--yes", "--json", code=1)
    [node] = done.json["nodes"]
    assert node["outcome"] == "failed" and "held by ada" in node["error"] and "it is being moved" in node["error"]
    assert not (project.root / "order").exists()


def test_a_step_may_name_a_lock_that_its_run_holds(project: Project) -> None:
    text = STEPS.format(name="one", more="true").replace("{mirror: step}", "[mirror]")
    project.write({"shipway.yml": text})
    project.call("run", "--yes", "-q")
    assert project.text("order") == "one\n"


def test_a_lock_that_nobody_declares_is_held_and_said_with_the_nearest_one(project: Project) -> None:
    project.write({"shipway.yml": SHOP + "    locks: {database: run, mirror: step}\n"})
    assert project.call("lock", "mirror", "database", "-q").err == ""
    assert project.call("lock", "miror", "-q").err == "`shop` declares no lock `miror`: did you mean `mirror`?\n"
    assert "it declares database, mirror" in project.call("lock", "x", "-q").err
    assert "named/miror" in project.call("locks").out


def test_locks_stand_in_columns(project: Project) -> None:
    project.call("lock", "--target", "prod")
    project.call("lock", "db")
    lines = project.call("locks").out.splitlines()
    assert len({line.index("held") for line in lines}) == 1 and len(lines) == 2
