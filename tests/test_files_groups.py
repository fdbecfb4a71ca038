"""Many files of one folder, linked by one node: planned, run, killed, undone and told of one by one all the same."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from shipway import cli
from shipway.action import ActionFailed
from shipway.actions.file_links import FileLinks
from shipway.canonical import Json, items_of, object_of
from shipway.file_groups import MANY, VERY_MANY
from shipway.nodes import Change, Fidelity
from shipway.preflight import Stands, Status
from shipway.resources import Reach, Resource, at_path, declared, in_folder
from tests.command_line import Project, make_project
from tests.contracts.action import ActionCase, tree, work
from tests.runs import Setting, run
from tests.test_files_mode import STAGE, deploy, home, lay

NODE = "dots/home+many=base+all"
NAMES = [f"f{number:02}" for number in range(MANY + 4)]
MANY_FILES = {f"config/base/all/many/{name}": name for name in NAMES}
INPUTS = "inputs: {action: {default: deploy}}\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that links twenty files of one folder and one of another, by what the input `action` says."""
    made = make_project(tmp_path)
    lay(made.root, {".gitignore": "/home\n", "config/base/all/one/f": "x", **MANY_FILES})
    declared_ = "version: 1\nname: test\n" + INPUTS + STAGE + '      action: "${{ inputs.action }}"\n'
    made.write({"shipway.yml": declared_})
    made.commit()
    return made


def linked(project: Project) -> list[str]:
    return sorted(path.name for path in (project.root / "home/many").glob("f*") if path.is_symlink())


def standing(project: Project) -> dict[str, str]:
    entries = project.call("state", "--json").json["entries"]
    return {str(entry["name"]): str(entry["standing"]) for entry in entries}


def planned(project: Project, *more: str) -> dict[str, str]:
    return {node["id"]: node["change"] for node in project.call("plan", "--json", *more).json["nodes"]}


# What is planned, and told of each file.


def test_many_links_of_a_folder_are_one_node_and_each_of_them_is_planned_and_recorded(tmp_path: Path) -> None:
    lay(tmp_path, {**MANY_FILES, "config/base/all/one/f": "x"})
    ran = deploy(tmp_path)
    assert ran.outcomes == {NODE: "succeeded", "dots/home+one+f": "succeeded"}
    plan = ran.finished.plan
    assert plan is not None
    node = plan.by_id[NODE]
    assert (node.action, node.change, node.fidelity) == ("file.links", Change.CREATE, Fidelity.EXACT)
    texts = {name: f"../../config/base/all/many/{name}" for name in NAMES}
    assert node.after == {"entries": texts} and node.before is None
    assert {name: os.readlink(tmp_path / "home/many" / name) for name in NAMES} == texts
    records = {record.name: record for record in ran[NODE].records}
    assert list(records) == [f"home/many/{name}" for name in NAMES]
    facts = {"layer": "base", "project": "all", "how": "link", "source": "config/base/all/many/f03"}
    assert records["home/many/f03"].facts == facts
    [finding] = [each for each in plan.preflight if each.node == NODE]
    assert (finding.stands, finding.status, finding.names) == (Stands.NONE, Status.MISSING, tuple(NAMES))


def test_few_have_a_node_each_and_so_has_what_is_moved_aside_or_left_alone(tmp_path: Path) -> None:
    lay(tmp_path, {f"config/base/all/few/{name}": "x" for name in NAMES[: MANY - 1]})
    lay(tmp_path, {f"config/base/all/many/{name}": "x" for name in NAMES[:MANY]})
    stopping = deploy(tmp_path, execute=False).finished.plan
    assert stopping is not None
    assert [node.action for node in stopping.nodes] == ["file.links"] + ["file.link"] * (MANY - 1)
    for policy in ("skip", "overwrite", "backup"):
        plan = deploy(tmp_path, f"on_conflict: {policy}", execute=False).finished.plan
        assert plan is not None and not [node for node in plan.nodes if node.action == "file.links"]


def test_in_a_stage_of_very_many_links_any_two_of_a_folder_are_one_node(tmp_path: Path) -> None:
    pairs = {f"config/base/all/d{number}/{name}": "x" for number in range(VERY_MANY // 2) for name in "ab"}
    lay(tmp_path, pairs | {"config/base/all/e/c": "x"})
    ran = deploy(tmp_path)
    assert ran.finished.plan is not None
    actions = Counter(node.action for node in ran.finished.plan.nodes)
    assert actions == {"file.links": VERY_MANY // 2, "file.link": 1}
    assert len(home(tmp_path)) == VERY_MANY + 1 + VERY_MANY // 2 + 1
    (tmp_path / "config/base/all/d0/a").unlink()
    (tmp_path / "config/base/all/d1/a").unlink()
    fewer = deploy(tmp_path)
    assert fewer.finished.plan is not None and not fewer.finished.plan.has_changes
    assert {node.action for node in fewer.finished.plan.nodes} == {"file.link"}


def test_a_folder_that_many_layers_fill_has_a_node_for_each_and_special_files_have_their_own(tmp_path: Path) -> None:
    team = {f"config/team/web.Linux/many/t{number}": "x" for number in range(MANY)}
    more = {"config/base/all/many/made.j2": "{{ 1 }}", "config/base/all/many/key": "x", "config/team/web/many/f00": "t"}
    lay(tmp_path, MANY_FILES | team | more)
    ran = deploy(tmp_path, 'modes: {"many/key": "0600", "many/": "0750"}')
    assert ran.outcomes == {
        "dots/home+many": "succeeded",
        NODE: "succeeded",
        "dots/home+many=team+web.Linux": "succeeded",
        "dots/home+many+f00": "succeeded",
        "dots/home+many+key": "succeeded",
        "dots/home+many+made=render": "succeeded",
        "dots/home+many+made": "succeeded",
    }
    plan = ran.finished.plan
    assert plan is not None
    assert [need.node for need in plan.by_id[NODE].needs] == ["dots/home+many"]
    [collision] = items_of(plan.stages[0].context["collisions"])
    assert object_of(object_of(collision)["loser"])["source"] == "config/base/all/many/f00"
    assert (tmp_path / "home/many/f00").read_text() == "t" and (tmp_path / "home/many/f01").read_text() == "f01"
    assert (tmp_path / "home/many").stat().st_mode & 0o777 == 0o750
    assert deploy(tmp_path, 'modes: {"many/key": "0600", "many/": "0750"}').finished.plan.has_changes is False  # type: ignore[union-attr]


def test_files_that_stand_right_below_the_root_are_one_node_too(tmp_path: Path) -> None:
    lay(tmp_path, {f"config/base/all/{name}": "x" for name in NAMES})
    (tmp_path / "home").rmdir()
    ran = deploy(tmp_path)
    assert ran.outcomes == {"dots/home+=base+all": "succeeded"}
    assert sorted(os.listdir(tmp_path / "home")) == NAMES
    text = STAGE.replace("{home: home}", '{home: "."}')
    there = run(tmp_path, text)
    assert there.outcomes == {"dots/home+=base+all": "succeeded"}
    assert [record.name for record in there["dots/home+=base+all"].records] == NAMES


def test_a_second_run_finds_all_of_it_and_a_third_only_makes_what_is_missing(tmp_path: Path) -> None:
    lay(tmp_path, MANY_FILES)
    deploy(tmp_path)
    before = home(tmp_path)
    again = deploy(tmp_path)
    assert again.outcomes == {NODE: "unchanged"} and len(again[NODE].records) == len(NAMES)
    plan = again.finished.plan
    assert plan is not None and not plan.has_changes
    assert plan.by_id[NODE].before == plan.by_id[NODE].after and plan.by_id[NODE].change is Change.NOOP
    [finding] = plan.preflight
    assert (finding.status, finding.target, finding.names) == (
        Status.LINKED,
        "../../config/base/all/many",
        tuple(NAMES),
    )
    (tmp_path / "home/many/f07").unlink()
    (tmp_path / "home/many/f08").unlink()
    (tmp_path / "home/many/f08").symlink_to(tmp_path / "config/base/all/many/f08")
    third = deploy(tmp_path)
    assert third.finished.plan is not None
    node = third.finished.plan.by_id[NODE]
    now, after = object_of(node.before), object_of(node.after)
    stood, wanted = object_of(now["entries"]), object_of(after["entries"])
    assert wanted.keys() - stood.keys() == {"f07"} and now["alike"] == ["f08"] and node.change is Change.UPDATE
    assert {each.path: each.status for each in third.finished.plan.preflight if not each.names} == {
        "home/many/f08": Status.LINKED
    }, "it leads there in other words, and is shown with those"
    assert third.outcomes == {NODE: "succeeded"} and home(tmp_path).keys() == before.keys()
    spared = [record.name for record in third[NODE].records if record.facts.get("spared")]
    assert len(spared) == len(NAMES) - 1 and "home/many/f07" not in spared


def test_a_conflict_of_one_file_is_told_by_its_name_and_nothing_is_touched(project: Project) -> None:
    lay(project.root, {"home/many/f05": "mine"})
    before = tree(project.root / "home")
    plan = project.call("plan")
    assert "home/many/f05: a file of 4 bytes; nothing will be started" in plan.out
    assert "20 missing, 1 conflict" in plan.out, "nineteen of the folder, and the one beside it"
    refused = project.call("run", "--yes", "-q", code=5)
    assert "a file of 4 bytes stands at `home/many/f05`" in refused.err and "conflict" in refused.err
    assert tree(project.root / "home") == before


def test_what_another_layer_has_by_now_is_replaced_and_the_file_keeps_its_history(project: Project) -> None:
    project.call("run", "--yes", "-q")
    own = project.root / "config/personal/mine/many/f05"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    project.commit()
    assert planned(project) == {NODE: "noop", "dots/home+many+f05": "update", "dots/home+one+f": "noop"}
    project.call("run", "--yes", "-q")
    [entry] = [each for each in project.call("state", "--json", "--history").json["entries"] if "f05" in each["name"]]
    assert [record["node"] for record in entry["history"]] == [NODE, "dots/home+many+f05"]
    assert entry["by"]["facts"]["layer"] == "personal"
    own.unlink()
    project.commit()
    [stale] = [each for each in project.call("plan", "--json").json["preflight"] if each["status"] == "stale"]
    assert (stale["node"], stale["path"], stale["names"]) == (NODE, "home/many/f05", [])
    project.call("run", "--yes", "-q")
    assert (project.root / "home/many/f05").read_text() == "f05"
    project.call("rollback", "--yes", "-q")
    assert (project.root / "home/many/f05").readlink() == Path("../../config/personal/mine/many/f05")


def test_files_that_become_few_are_found_there_and_only_what_left_the_tree_is_taken_back(project: Project) -> None:
    project.call("run", "--yes", "-q")
    for name in NAMES[MANY - 1 :]:
        (project.root / "config/base/all/many" / name).unlink()
    project.commit()
    changes = planned(project, "--input", "action=reconcile")
    deleted = {f"dots/home+many+{name}" for name in NAMES[MANY - 1 :]}
    assert {node for node, change in changes.items() if change == "delete"} == deleted
    assert {change for node, change in changes.items() if node not in deleted} == {"noop"}
    project.call("run", "--yes", "-q", "--input", "action=reconcile")
    assert linked(project) == NAMES[: MANY - 1]
    lay(project.root, MANY_FILES)
    project.commit()
    project.call("run", "--yes", "-q")
    history = {
        each["name"]: [record["node"] for record in each["history"]]
        for each in project.call("state", "--json", "--history").json["entries"]
    }
    assert history["home/many/f00"] == [NODE, "dots/home+many+f00", NODE]
    assert set(standing(project).values()) == {"exists"} and project.call("drift").code == 0


def test_a_plan_that_was_kept_is_applied_where_a_link_came_meanwhile_and_not_where_anything_else_did(
    project: Project,
) -> None:
    project.call("plan", "-q", "-o", "../plan.json")
    (project.root / "home/many").mkdir()
    (project.root / "home/many/f05").symlink_to("../../config/base/all/many/f05")
    project.call("apply", "../plan.json", "--yes", "-q")
    assert linked(project) == NAMES
    project.call("rollback", "--yes", "-q")
    assert linked(project) == ["f05"], "it was there before"
    project.call("plan", "-q", "-o", "../plan.json")
    (project.root / "home/many/f06").write_text("mine")
    refused = project.call("apply", "../plan.json", "--yes", "-q", code=5)
    assert f"{NODE}: update became replace" in refused.err
    assert linked(project) == ["f05"] and project.text("home/many/f06") == "mine"


def test_whoever_asks_for_links_is_told_of_those_too_that_were_made_together(project: Project) -> None:
    project.call("run", "--yes", "-q")
    counts = {
        tool: len(project.call("state", "--tool", tool, "--json").json["entries"])
        for tool in ("file", "file.link", "file.links", "file.copy")
    }
    assert counts == {"file": len(NAMES) + 1, "file.link": len(NAMES) + 1, "file.links": len(NAMES), "file.copy": 0}


def test_a_decommission_takes_back_each_file(project: Project) -> None:
    before = tree(project.root / "home")
    project.call("run", "--yes", "-q")
    project.call("run", "--yes", "-q", "--input", "action=decommission")
    assert tree(project.root / "home") == before and standing(project) == {}
    assert planned(project, "--input", "action=decommission") == {}


def test_what_takes_the_place_of_a_file_is_a_replacement_which_a_policy_may_deny(project: Project) -> None:
    text = (project.root / "shipway.yml").read_text()
    policy = "policy: {keep: {deny_delete: true}}\n"
    project.write({"shipway.yml": text + "      how: copy\n" + policy})
    project.commit()
    project.call("run", "--yes", "-q")
    before = tree(project.root / "home")
    project.write({"shipway.yml": text + policy})
    project.commit()
    assert planned(project) == {NODE: "replace", "dots/home+one+f": "replace"}
    assert f"`{NODE}` deletes or replaces" in project.call("run", "--yes", "-q", code=5).err
    assert tree(project.root / "home") == before
    project.write({"shipway.yml": text})
    project.commit()
    project.call("run", "--yes", "-q")
    assert linked(project) == NAMES
    project.call("rollback", "--yes", "-q")
    assert tree(project.root / "home") == before


@pytest.mark.parametrize("gone", [[], NAMES[:1], NAMES])
def test_a_plan_that_was_kept_may_be_applied_again_whatever_of_it_is_there_by_then(
    project: Project, gone: list[str]
) -> None:
    project.call("plan", "-q", "-o", "plan.json")
    project.call("apply", "plan.json", "--yes", "-q")
    for name in gone:
        (project.root / "home/many" / name).unlink()
    project.call("apply", "plan.json", "--yes", "-q")
    assert linked(project) == NAMES and project.call("drift").code == 0


# Drift, and the way back.


def test_drift_names_the_file_and_a_reconciling_plan_brings_back_just_that(project: Project) -> None:
    project.call("run", "--yes", "-q")
    (project.root / "home/many/f03").unlink()
    found = project.call("drift", "--json", code=3).json
    assert [(each["name"], each["drift"]) for each in found["entries"] if each["drift"] != "held"] == [
        ("home/many/f03", "missing")
    ]
    assert planned(project, "--reconcile") == {NODE: "update"}
    project.call("run", "--reconcile", "--yes", "-q")
    assert linked(project) == NAMES and project.call("drift").code == 0


def test_a_file_is_brought_back_by_the_node_that_makes_it_by_now(project: Project) -> None:
    project.call("run", "--yes", "-q")
    for name in NAMES[MANY - 1 :]:
        (project.root / "config/base/all/many" / name).unlink()
        (project.root / "home/many" / name).unlink()
    (project.root / "home/many/f03").unlink()
    project.commit()
    done = project.call("plan", "--reconcile", "--json")
    assert {node["id"]: node["change"] for node in done.json["nodes"]} == {"dots/home+many+f03": "create"}
    assert "not in the declaration any more: file home/many/f15" in done.err


# Undo.


def test_a_failure_later_takes_all_of_it_back(tmp_path: Path) -> None:
    lay(tmp_path, MANY_FILES)
    lay(tmp_path, {"home/many/own": "mine"})
    before = home(tmp_path)
    more = "  after: {needs: [dots], steps: [{run: exit 1}]}\n"
    ran = run(tmp_path, STAGE + more)
    assert ran.outcomes == {NODE: "undone", "after/exit-1": "not_undoable"}
    assert home(tmp_path) == before


def test_an_undo_leaves_alone_what_changed_since_and_takes_back_all_else(project: Project) -> None:
    before = tree(project.root / "home")
    project.call("run", "--yes", "-q")
    for name in ("f03", "f04"):
        (project.root / "home/many" / name).unlink()
    (project.root / "home/many/f03").write_text("mine")
    (project.root / "home/many/f04").symlink_to("elsewhere")
    refused = project.call("rollback", "--yes", "-q", code=5)
    assert NODE in refused.err and "see `shipway drift`" in refused.err
    project.call("rollback", "--drifted", "--yes", "-q", code=4)
    assert tree(project.root / "home").keys() - before.keys() == {"many", "many/f03", "many/f04"}
    receipt = project.call("show", "--json").json
    [undone] = [entry for entry in receipt["rollback"] if entry["node"] == NODE]
    assert (undone["outcome"], undone["left"]) == ("drifted", ["home/many/f03", "home/many/f04"])
    assert "`home/many/f03` is file, not link, by now; it is left alone" in undone["error"]
    assert "`home/many/f04` leads elsewhere by now; it is left alone" in undone["error"]
    assert standing(project) == {"home/many/f03": "uncertain", "home/many/f04": "uncertain"}


def _led_away(project: Project) -> Path:
    """Put a folder outside in the place of `home/many`, in which the very same links stand."""
    outside = project.root.parent / "outside"
    shutil.copytree(project.root / "home/many", outside, symlinks=True)
    (project.root / "home/many").rename(project.root / "home/away")
    (project.root / "home/many").symlink_to(outside)
    return outside


@pytest.mark.parametrize("count", [3, len(NAMES)])
def test_an_undo_follows_no_folder_that_leads_out_of_the_root_by_now(project: Project, count: int) -> None:
    for name in NAMES[count:]:
        (project.root / "config/base/all/many" / name).unlink()
    project.commit()
    before = tree(project.root / "home")
    project.call("run", "--yes", "-q")
    outside = _led_away(project)
    there = tree(outside)
    project.call("rollback", "--drifted", "--yes", "-q", code=4)
    assert tree(outside) == there and len(linked(project)) == count
    told = project.call("show", "--json").json["rollback"]
    left = [entry["error"] for entry in told if entry["outcome"] == "drifted"]
    assert left and all("leads out of the workspace by now; what is there is left alone" in error for error in left)
    (project.root / "home/many").unlink()
    (project.root / "home/away").rename(project.root / "home/many")
    project.call("rollback", "--yes", "-q")
    assert tree(project.root / "home") == before


# Killed.


def killed_at(project: Project, event: str, count: int, *arguments: str) -> None:
    """Carry out a command in a process that kills itself right before its `count`-th call (from 0) of what `event` is raised by
    below `home`.
    """

    def carry_out() -> None:
        os.chdir(project.root)
        os.environ.clear()
        os.environ.update(project.env)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        cli.run(list(arguments))

    ended = in_a_child(carry_out, event, count, lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert ended == -signal.SIGKILL, "it came to its end"


def in_a_child(carry_out: Callable[[], object], event: str, count: int, come: Callable[[], object]) -> int:
    """The exit code of a process in which `come` is called right before the `count`-th `event` (from 0) below `home/many`: what
    Python raises its audit events for, such as `os.symlink`. 0 where all is well, 1 where something was raised.
    """
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = count

    def hear(name: str, told: tuple[object, ...]) -> None:
        nonlocal left
        if name == event and any("/many" in str(text) for text in told):
            left -= 1
            if left == -1:
                come()

    try:
        sys.addaudithook(hear)
        carry_out()
        os._exit(0)
    finally:
        os._exit(1)


@pytest.mark.parametrize("count", [0, 1, 9, len(NAMES) - 1])
def test_killed_after_so_many_links_it_is_gone_on_with_and_undone_as_if_it_never_was(
    project: Project, count: int
) -> None:
    lay(project.root, {"home/many/own": "mine"})
    before = tree(project.root / "home")
    killed_at(project, "os.symlink", count, "run", "--yes", "-q")
    assert linked(project) == NAMES[:count]
    project.call("resume", "--yes", "-q")
    assert linked(project) == NAMES
    assert standing(project) == dict.fromkeys([f"home/many/{name}" for name in NAMES] + ["home/one/f"], "exists")
    assert project.call("drift").code == 0
    project.call("rollback", "--yes", "-q")
    assert tree(project.root / "home") == before and standing(project) == {}


@pytest.mark.parametrize("count", [1, 9, len(NAMES) - 1])
@pytest.mark.parametrize("then", ["resume", "rollback"])
def test_killed_after_so_many_were_replaced_it_is_gone_on_with_and_undone(
    project: Project, count: int, then: str
) -> None:
    team = {f"config/team/all/many/{name}": "team" for name in NAMES}
    lay(project.root, team)
    project.commit()
    project.call("run", "--yes", "-q")
    before = tree(project.root / "home")
    for path in team:
        (project.root / path).unlink()
    project.commit()
    killed_at(project, "os.rename", count, "run", "--yes", "-q")
    led = [os.readlink(project.root / "home/many" / name) for name in NAMES]
    assert sum("base" in text for text in led) == count
    project.call(then, "--yes", "-q")
    if then == "resume":
        assert {(project.root / "home/many" / name).read_text() for name in NAMES} == set(NAMES)
        assert project.call("drift").code == 0
        project.call("rollback", "--yes", "-q")
    assert tree(project.root / "home") == before


@pytest.mark.parametrize("count", [0, 1, 9, len(NAMES) - 1])
def test_killed_while_it_is_undone_the_rest_is_undone_too(project: Project, count: int) -> None:
    before = tree(project.root / "home")
    project.call("run", "--yes", "-q")
    killed_at(project, "os.remove", count, "rollback", "--yes", "-q")
    assert len(linked(project)) == len(NAMES) - count
    project.call("resume", "--yes", "-q")
    assert tree(project.root / "home") == before and standing(project) == {}


@pytest.mark.parametrize("count", [1, 9])
def test_killed_on_the_way_it_can_be_taken_back_instead(project: Project, count: int) -> None:
    before = tree(project.root / "home")
    killed_at(project, "os.symlink", count, "run", "--yes", "-q")
    project.call("rollback", "--yes", "-q")
    assert tree(project.root / "home") == before and standing(project) == {}


def test_what_a_killed_run_made_is_not_looked_for_in_a_folder_that_leads_out_of_the_root_by_now(
    project: Project,
) -> None:
    lay(project.root, {"home/many/own": "mine"})
    killed_at(project, "os.symlink", 9, "run", "--yes", "-q")
    outside = _led_away(project)
    there = tree(outside)
    project.call("resume", "--yes", "-q", code=1)
    project.call("rollback", "--yes", "-q", code=4)
    assert tree(outside) == there and len(linked(project)) == 9


# What comes in between.


def _swapping(change: Callable[[], object]) -> Setting:
    def confirm(plan: object) -> bool:
        change()
        return True

    return Setting(confirm=confirm)


def test_a_folder_that_leads_elsewhere_since_it_was_planned_is_refused_when_run(tmp_path: Path) -> None:
    lay(tmp_path, {**MANY_FILES, "elsewhere/own": "x"})
    ran = deploy(tmp_path, "", _swapping(lambda: (tmp_path / "home/many").symlink_to(tmp_path / "elsewhere")))
    assert ran.finished.error is not None or ran.exit_code != 0
    assert os.listdir(tmp_path / "elsewhere") == ["own"]


@pytest.mark.parametrize("is_hostile", [True, False])
def test_what_stands_at_one_name_since_it_was_planned_stops_all_of_it(tmp_path: Path, is_hostile: bool) -> None:
    lay(tmp_path, {**MANY_FILES, "elsewhere": "x"})

    def put() -> None:
        (tmp_path / "home/many").mkdir()
        place = tmp_path / "home/many/f05"
        place.symlink_to(tmp_path / "elsewhere") if is_hostile else place.write_text("mine")

    ran = deploy(tmp_path, "", _swapping(put))
    assert "home/many/f05" in str(ran.finished.error)
    assert os.listdir(tmp_path / "home/many") == ["f05"] and (tmp_path / "elsewhere").read_text() == "x"


LINKS: Mapping[str, Json] = {
    "path": "home/many",
    "source": "config/base/all/many",
    "names": list(NAMES),
    "within": "home",
    "on_conflict": "stop",
}


def _fails(root: Path, told: str) -> Callable[[], None]:
    """Make all links, which has to fail with a text that holds `told`."""

    def make() -> None:
        case = ActionCase("", FileLinks, LINKS)
        with pytest.raises(ActionFailed, match=told):
            FileLinks().do(work(case, root, root / "recovery"))

    return make


def test_what_comes_to_one_name_while_they_are_made_is_left_alone_and_no_link_stays(tmp_path: Path) -> None:
    lay(tmp_path, {**MANY_FILES, "recovery/x": ""})
    place = tmp_path / "home/many/f09"
    fails = _fails(tmp_path, "something came to `.*/home/many/f09` just now")
    assert in_a_child(fails, "os.symlink", 9, lambda: place.write_text("mine")) == 0
    assert os.listdir(tmp_path / "home/many") == ["f09"] and place.read_text() == "mine"


def test_a_folder_that_is_swapped_while_they_are_made_leads_no_link_out_of_its_root(tmp_path: Path) -> None:
    lay(tmp_path, {**MANY_FILES, "recovery/x": "", "elsewhere/own": "x", "home/many/own": "x"})

    def swap() -> None:
        (tmp_path / "home/many").rename(tmp_path / "home/away")
        (tmp_path / "home/many").symlink_to(tmp_path / "elsewhere")

    # It is opened to learn where it leads, and again to link into it.
    assert in_a_child(_fails(tmp_path, "in another place just now"), "open", 1, swap) == 0
    assert os.listdir(tmp_path / "elsewhere") == ["own"] and os.listdir(tmp_path / "home/away") == ["own"]


# What else reads or writes there.


def test_another_step_that_writes_one_of_them_has_to_be_ordered(tmp_path: Path) -> None:
    lay(tmp_path, MANY_FILES)
    step = "  other: {steps: [{id: w, uses: file.write, with: {path: home/many/%s, content: x}}]}\n"
    error = run(tmp_path, STAGE + step % "f05", execute=False).error
    assert "`other/w`" in error.problems[0].text and f"`{NODE}`" in error.problems[0].text
    assert run(tmp_path, STAGE + step % "mine", execute=False).finished.plan is not None


def test_who_reads_one_of_them_comes_after(tmp_path: Path) -> None:
    lay(tmp_path, MANY_FILES)
    step = "  other: {steps: [{id: r, uses: file.source, with: {path: home/many/%s}}]}\n"
    for name, needs in (("f05", [NODE]), ("mine", [])):
        plan = run(tmp_path, STAGE + step % name, execute=False).finished.plan
        assert plan is not None and [need.node for need in plan.by_id["other/r"].needs] == needs


FOLDER = in_folder("home/d", ["a", "b"])


@pytest.mark.parametrize(
    ("other", "meets"),
    [
        (at_path("home/d/a", Reach.ENTRY), True),
        (at_path("home/d/a/x", Reach.ENTRY), True),
        (at_path("home/d/c", Reach.ENTRY), False),
        (at_path("home/d", Reach.ENTRY), False),
        (at_path("home/dd/a", Reach.ENTRY), False),
        (at_path("home/d", Reach.TREE), True),
        (at_path("home", Reach.TREE), True),
        (at_path(".", Reach.TREE), True),
        (at_path("home/d/b", Reach.TREE), True),
        (at_path("home/d/c", Reach.TREE), False),
        (declared("home/*/a"), True),
        (declared("home/**"), True),
        (declared("home/d/c*"), False),
        (declared("db:home/d/a"), False),
        (in_folder("home/d", ["b", "c"]), True),
        (in_folder("home/d", ["c"]), False),
        (in_folder("home/d/a", ["x"]), True),
        (in_folder("home/d/c", ["x"]), False),
        (in_folder("home", ["d"]), True),
        (in_folder("home", ["e"]), False),
        (in_folder(".", ["home"]), True),
    ],
)
def test_names_in_a_folder_meet_what_they_are_and_what_is_below_them(other: Resource, meets: bool) -> None:
    assert FOLDER.meets(other) is meets and other.meets(FOLDER) is meets
