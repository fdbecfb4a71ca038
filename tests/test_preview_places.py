"""Shows where a preview lives: a work tree here or a checkout on a host, made once, updated in place, and taken away."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipway.action import ActionFailed, Done, Work
from shipway.canonical import Json
from shipway.compute_access import Refused, Unreachable
from shipway.declaration import OutputRule
from shipway.nodes import Change, Outcome, Verified
from shipway.process_identity import carrying
from tests.git_remotes import git
from tests.preview_world import PreviewWorld
from tests.remote_host import RemoteHost, remote_host

COMPUTE, NODE = "preview.compute", "runner/compute"
TEXT = OutputRule("string")


@pytest.fixture
def world(where: RemoteHost | None, tmp_path: Path) -> PreviewWorld:
    """One whose place is still to be made."""
    return PreviewWorld(tmp_path, where)


def test_the_place_has_the_commit_and_a_new_tree_is_an_update_in_place(world: PreviewWorld) -> None:
    first = world.make_compute(tree="t1")
    assert first.outputs["made"] == 1 and first.outputs["managed"] is True
    assert (world.place / "tracked").read_text() == "1\n"
    (world.place / "node_modules").write_text("kept")
    (world.place / "tracked").write_text("changed there\n")
    assert world.make_compute(tree="t1").unchanged
    (world.root / "tracked").write_text("2\n")
    head = world.commit("second")
    again = world.make_compute(tree="t2")
    assert (again.unchanged, again.outputs["made"]) == (False, 1)
    assert git(world.place, "rev-parse", "HEAD").strip() == head
    assert [(world.place / name).read_text() for name in ("tracked", "node_modules")] == ["2\n", "kept"]


def test_case_38_a_place_that_was_deleted_is_made_anew(world: PreviewWorld) -> None:
    world.make_compute()
    subprocess.run(["rm", "-rf", world.place], check=True)
    assert world.make_compute().outputs["made"] == 2
    assert (world.place / "tracked").read_text() == "1\n"


def test_case_33_an_existing_place_is_reused(world: PreviewWorld) -> None:
    world.make_compute()
    (world.place / "own").write_text("kept")
    world.mark_stale(NODE)
    assert not world.make_compute().unchanged
    assert (world.place / "own").read_text() == "kept"


def test_case_41_what_a_killed_git_left_is_no_obstacle(world: PreviewWorld) -> None:
    world.make_compute()
    lock = world.place / git(world.place, "rev-parse", "--git-path", "index.lock").strip()
    lock.write_text("")
    world.commit("second")
    world.make_compute(tree="t2")
    _remove(world)
    (world.place).mkdir(parents=True)
    if world.host is None:
        (world.place / "half").write_text("made")
    world.make_compute()
    assert (world.place / "tracked").exists() and not (world.place / "half").exists()


def _removing(world: PreviewWorld) -> Work:
    there: dict[str, Json] = {}
    if world.host is not None:
        there = {**world.host.address, "root": str(world.host.root / world.root.parent.name)}
    return world.node(COMPUTE, NODE, {**there, "remove": True})


def _remove(world: PreviewWorld) -> Done:
    work = _removing(world)
    return world.action(COMPUTE).do(work)


def test_case_80_it_is_removed_once_and_gone_is_fine(world: PreviewWorld) -> None:
    world.make_compute()
    assert not _remove(world).unchanged
    assert not world.place.exists()
    assert git(world.root, "worktree", "list").count("\n") == 1
    assert _remove(world).unchanged
    world.make_compute()
    subprocess.run(["rm", "-rf", world.place], check=True)
    assert _remove(world).unchanged
    assert world.checkpoint(NODE) is None
    if world.host is None:
        assert not (world.root / ".shipway/previews").exists()


def test_undo_takes_away_what_this_run_made_and_only_that(world: PreviewWorld) -> None:
    done = world.make_compute(tree="t1")
    work = world.node(
        COMPUTE,
        NODE,
        {"tree": "t1", **({} if world.host is None else {**world.host.address, "root": str(world.place.parent)})},
    )
    world.commit("second")
    updated = world.make_compute(tree="t2")
    world.undo(work, updated)
    assert world.place.exists()
    world.undo(work, done)
    assert not world.place.exists()


def test_case_79_a_hostile_branch_runs_nothing(world: PreviewWorld, tmp_path: Path) -> None:
    for name in ("x$(touch${IFS}p)", "x';touch${IFS}p;'", "x`touch${IFS}p`", "--upload-pack=touch${IFS}p".lstrip("-")):
        git(world.root, "checkout", "-q", "-B", name)
        world.commit("hostile")
        world.make_compute(tree=name)
        world.do(
            "preview.hook", "runner/deploy", {"run": 'echo "on $SHIPWAY_BRANCH"', "where": "compute", "cache": False}
        )
        assert f"on {name}\n" in "".join(world.log)
    assert list(tmp_path.rglob("p")) == []


def test_case_80_a_submodule_that_cannot_be_had_is_reported(world: PreviewWorld, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q", "-b", "main")
    (other / "in").write_text("submodule")
    git(other, "add", "in")
    git(other, "commit", "-q", "-m", "in")
    git(world.root, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "sub")
    world.commit("with submodule")
    world.make_compute(tree="t1")
    assert (world.place / "sub/in").read_text() == "submodule"
    other.rename(tmp_path / "away")
    subprocess.run(["rm", "-rf", world.place, *(world.root / ".git/worktrees").glob("*")], check=True)
    with pytest.raises(ActionFailed, match="submodule"):
        world.make_compute(tree="t1")


def test_case_27_an_existing_checkout_is_attached_to_and_left_there(world: PreviewWorld, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    git(world.root, "worktree", "add", "-q", "-b", "feature", str(theirs))
    done = world.make_compute(path=str(theirs))
    assert (done.outputs["managed"], done.outputs["root"]) == (False, str(theirs))
    world.do("preview.env_file", "runner/env[.env]", {"path": ".env", "entries": {"A": "1"}})
    world.do("preview.env_file", "runner/env[.env]", {"path": ".env", "entries": {"A": "1"}, "remove": True})
    assert _remove(world).unchanged
    assert sorted(path.name for path in theirs.iterdir()) == [".git", "services", "tracked"]
    with pytest.raises(ActionFailed):
        world.make_compute(path=str(tmp_path / "nowhere"))


def test_a_folder_that_is_of_somebody_else_is_neither_used_nor_removed(host: RemoteHost, tmp_path: Path) -> None:
    world = PreviewWorld(tmp_path, host)
    theirs = host.root / tmp_path.name / "shop-pr-1"
    theirs.mkdir(parents=True)
    (theirs / "file").write_text("theirs")
    with pytest.raises(ActionFailed, match="not of this preview"):
        world.make_compute()
    with pytest.raises(ActionFailed, match="not of this preview"):
        _remove(world)
    assert [path.name for path in theirs.iterdir()] == ["file"]


def test_a_shallow_checkout_gets_to_a_host(host: RemoteHost, tmp_path: Path) -> None:
    world = PreviewWorld(tmp_path, host)
    world.commit("second")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{world.root}", str(shallow))
    world.root = shallow
    world.make_compute()
    assert (world.place / "tracked").read_text() == "1\n"


def test_a_folder_with_quotes_in_its_name_is_used_as_it_is(host: RemoteHost, tmp_path: Path) -> None:
    world = PreviewWorld(tmp_path, host)
    done = world.do(COMPUTE, NODE, {**host.address, "root": f'{host.root}/it\'s "a" $(touch p)'})
    assert (Path(str(done.outputs["root"])) / "tracked").exists()


CREATE = """echo made >> "$SHIPWAY_ROOT/made"
{ echo "HOST=127.0.0.1"; echo "PORT=$(cat "$SHIPWAY_ROOT/port")"; echo "USER=$(id -un)"; } >> "$SHIPWAY_OUTPUT"
"""
RULES = dict.fromkeys(("HOST", "PORT", "USER"), TEXT)


def _hooked(world: PreviewWorld, host: RemoteHost, **more: Json) -> dict[str, Json]:
    (world.root / "port").write_text(str(host.port))
    root = str(host.root / world.root.parent.name)
    return {"create": CREATE, "destroy": 'echo gone >> "$SHIPWAY_ROOT/gone"', "root": root, **more}


def made(world: PreviewWorld) -> int:
    return len((world.root / "made").read_text().splitlines())


def test_case_32_a_host_is_made_once_by_its_hook_and_taken_away_by_the_other(host: RemoteHost, tmp_path: Path) -> None:
    world = PreviewWorld(tmp_path, host)
    slots = _hooked(world, host)
    done = world.do(COMPUTE, NODE, slots, outputs=RULES)
    assert (done.outputs["host"], done.outputs["HOST"], done.outputs["port"]) == ("127.0.0.1", "127.0.0.1", host.port)
    world.commit("second")
    assert world.do(COMPUTE, NODE, {**slots, "tree": "t2"}, outputs=RULES).outputs["made"] == 1
    world.mark_stale(NODE)
    world.do(COMPUTE, NODE, {**slots, "tree": "t2"}, outputs=RULES)
    assert made(world) == 1
    world.do(COMPUTE, NODE, {**slots, "remove": True}, outputs=RULES)
    assert (world.root / "gone").read_text() == "gone\n"


def test_case_39_an_outage_is_unknown_and_makes_no_second_host(tmp_path: Path) -> None:
    with remote_host() as own:
        world = PreviewWorld(tmp_path, own)
        slots = _hooked(world, own)
        world.do(COMPUTE, NODE, slots, outputs=RULES)
        own.stop()
        with pytest.raises(ActionFailed, match="cannot be told"):
            world.do(COMPUTE, NODE, slots, outputs=RULES)
        assert (
            world.action(COMPUTE).verify(
                replace(world.node(COMPUTE, NODE, slots, outputs=RULES), outcome=Outcome.SUCCEEDED)
            )
            is Verified.UNKNOWN
        )
        with pytest.raises(ActionFailed, match="cannot be told"):
            world.do(COMPUTE, NODE, {**slots, "tree": "t2"}, outputs=RULES)
        own.start()
        assert world.do(COMPUTE, NODE, slots, outputs=RULES).outputs["made"] == 1
        assert made(world) == 1


def test_case_40_a_host_that_verify_says_is_gone_is_made_again(host: RemoteHost, tmp_path: Path) -> None:
    world = PreviewWorld(tmp_path, host)
    slots = _hooked(world, host, verify_script='exit "$(cat "$SHIPWAY_ROOT/answer" 2>/dev/null || echo 0)"')
    world.do(COMPUTE, NODE, slots, outputs=RULES)
    assert world.do(COMPUTE, NODE, slots, outputs=RULES).unchanged
    (world.root / "answer").write_text("3")
    done = world.do(COMPUTE, NODE, slots, outputs=RULES)
    assert (made(world), done.outputs["made"]) == (2, 2)
    assert "verify says gone" in str(done.records[-1].facts["why"])


def test_case_41_a_run_that_was_killed_in_create_asks_verify_before_anything_else(
    host: RemoteHost, tmp_path: Path
) -> None:
    world = PreviewWorld(tmp_path, host)
    slots = _hooked(world, host)
    world.killed(COMPUTE, NODE, {**slots, "create": CREATE + 'touch "$SHIPWAY_ROOT/began"; sleep 1000'}, outputs=RULES)
    assert made(world) == 1
    checkpoint = world.checkpoint(NODE)
    assert checkpoint is not None and checkpoint.made == 0 and checkpoint.stale
    with pytest.raises(ActionFailed, match="cannot be told: let `verify` of `create` say so"):
        world.do(COMPUTE, NODE, slots, outputs=RULES)
    answering = {**slots, "verify_script": CREATE.replace("echo made >>", ": >>")}
    done = world.do(COMPUTE, NODE, answering, outputs=RULES)
    assert carrying(f"SHIPWAY_ROOT={world.root}") == [], "what was still being made is ended first"
    assert (done.outputs["host"], done.unchanged) == ("127.0.0.1", True)
    assert made(world) == 1
    world.do(COMPUTE, NODE, {**slots, "remove": True}, outputs=RULES)
    world.killed(COMPUTE, NODE, {**slots, "create": 'touch "$SHIPWAY_ROOT/began"; sleep 1000'}, outputs=RULES)
    world.do(COMPUTE, NODE, {**slots, "verify_script": "exit 3"}, outputs=RULES)
    assert made(world) == 2


def test_case_41_the_host_is_known_from_the_moment_that_create_says_it(host: RemoteHost, tmp_path: Path) -> None:
    world = PreviewWorld(tmp_path, host)
    slots = _hooked(world, host)
    bad = {**slots, "ssh": {**host.ssh(world.root), "known_hosts": "port"}}
    with pytest.raises(Unreachable):
        world.do(COMPUTE, NODE, bad, outputs=RULES)
    assert world.do(COMPUTE, NODE, slots, outputs=RULES).outputs["host"] == "127.0.0.1"
    assert made(world) == 1


def test_a_create_that_says_that_it_failed_is_tried_again(host: RemoteHost, tmp_path: Path) -> None:
    world = PreviewWorld(tmp_path, host)
    slots = _hooked(world, host)
    with pytest.raises(ActionFailed, match="exit 5"):
        world.do(COMPUTE, NODE, {**slots, "create": "exit 5"}, outputs=RULES)
    world.do(COMPUTE, NODE, slots, outputs=RULES)
    assert made(world) == 1


@pytest.mark.parametrize("line", ["HOST=-oProxyCommand=touch${IFS}p", "HOST=a b", "HOST=h;id"])
def test_what_a_hook_says_of_a_host_is_taken_for_no_option(host: RemoteHost, tmp_path: Path, line: str) -> None:
    world = PreviewWorld(tmp_path, host)
    slots = _hooked(world, host, create=f"echo '{line}' >> \"$SHIPWAY_OUTPUT\"")
    with pytest.raises(Refused):
        world.do(COMPUTE, NODE, slots, outputs={"HOST": TEXT})


def test_a_connection_that_is_not_known_yet_tells_nothing(host: RemoteHost, tmp_path: Path) -> None:
    world = PreviewWorld(tmp_path, host)
    world.make_compute()
    there = {**host.address, "root": str(world.place.parent)}
    assert world.plan(world.node(COMPUTE, NODE, there)).change is Change.NOOP
    assert "not known yet" in world.plan(world.node(COMPUTE, NODE, there), "ssh").why


def test_the_plan_says_what_will_be_done_and_why(world: PreviewWorld) -> None:
    there: dict[str, Json] = {}
    if world.host is not None:
        there = {**world.host.address, "root": str(world.host.root / world.root.parent.name)}
    first = world.plan(world.node(COMPUTE, NODE, {**there, "tree": "t1"}))
    assert (first.change, first.why) == (Change.CREATE, "not made yet")
    world.make_compute(tree="t1")
    kept = world.plan(world.node(COMPUTE, NODE, {**there, "tree": "t1"}))
    assert (kept.change, kept.why) == (Change.NOOP, "inputs unchanged, verified")
    moved = world.plan(world.node(COMPUTE, NODE, {**there, "tree": "t2"}))
    assert (moved.change, moved.why) == (Change.UPDATE, "`tree` changed")
