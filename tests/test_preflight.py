"""What stands where files are to be put: found when planned, shown, refused, and looked for again before anything starts."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from shipway.errors import Reason
from shipway.look_ahead import looked_ahead
from shipway.nodes import Outcome
from shipway.plan import Plan
from shipway.plan_file import plan_from_json
from shipway.preflight import Finding, Stands, Status, finding_from_json, finding_json
from shipway.registry import Registry
from shipway.state import Entry, HistoryRecord, Identity, Standing, State
from tests.command_line import make_project
from tests.contracts.action import tree
from tests.runs import Ran, Setting, declare
from tests.test_files_mode import STAGE, deploy, lay


def planned(ran: Ran) -> Plan:
    assert ran.finished.plan is not None, ran.finished.error
    return ran.finished.plan


def findings(ran: Ran) -> dict[str, Finding]:
    return {finding.path.removeprefix("home/"): finding for finding in planned(ran).preflight}


def test_case_g065_what_stands_at_each_target_is_found(tmp_path: Path) -> None:
    names = ("absent", "eight", "folder", "ours", "absolute", "other", "dangling")
    lay(tmp_path, {f"config/base/all/{name}": "new" for name in names} | {"home/eight": "8 bytes.", "x": ""})
    home = tmp_path / "home"
    (home / "folder").mkdir()
    (home / "ours").symlink_to("../config/base/all/ours")
    (home / "absolute").symlink_to(tmp_path / "config/base/all/absolute")
    (home / "other").symlink_to("../x")
    (home / "dangling").symlink_to("nowhere")
    found = findings(deploy(tmp_path, execute=False))
    assert {name: (each.stands, each.status) for name, each in found.items()} == {
        "absent": (Stands.NONE, Status.MISSING),
        "eight": (Stands.FILE, Status.CONFLICT),
        "folder": (Stands.DIRECTORY, Status.CONFLICT),
        "ours": (Stands.OUR_LINK, Status.LINKED),
        "absolute": (Stands.OUR_LINK, Status.LINKED),
        "other": (Stands.OTHER_LINK, Status.CONFLICT),
        "dangling": (Stands.OTHER_LINK, Status.CONFLICT),
    }
    assert (found["eight"].path, found["eight"].size) == ("home/eight", 8)
    assert found["other"].target == "../x"
    assert {name for name, each in found.items() if each.stops} == {"eight", "folder", "other", "dangling"}
    assert all(finding_from_json(finding_json(each)) == each for each in found.values())  # type: ignore[arg-type]


def test_case_g065_every_action_that_writes_a_path_is_checked_and_no_other(tmp_path: Path) -> None:
    lay(tmp_path, {"config/base/all/t.j2": "{{ 1 }}", "config/base/all/d/f": "x", "home/d/f": "old"})
    more = 'how: copy\non_conflict: backup\nmodes: {"d/": "0700"}'
    plan = planned(deploy(tmp_path, more, execute=False))
    actions = {plan.by_id[finding.node].action for finding in plan.preflight}
    assert actions == {"file.mkdir", "file.backup", "file.copy", "file.write"}
    assert "template.render" in {node.action for node in plan.nodes}


_AS_SOMEBODY_ELSE = """
import os, sys
from pathlib import Path
sys.path[:0] = [sys.argv[1]]
from tests.runs import run
run(Path.cwd(), None, execute=False)  # all that is loaded late is loaded as root
os.setgid(65534); os.setuid(65534)
ran = run(Path.cwd(), None, execute=False)
plan = ran.finished.plan
assert plan is not None, ran.error
print([(each.path, each.stands.value, each.stops) for each in plan.preflight])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_case_g065_what_cannot_be_read_is_in_the_way() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, home = Path(folder), Path(folder, "elsewhere")
        root.chmod(0o755)
        lay(root / "work", {"config/base/all/f": "new", "config/base/all/d/g": "new"})
        declare(root / "work", STAGE.replace("home: home", f"home: {home}") + "      how: copy\n")
        (home / "d").mkdir(parents=True)
        (home / "d").chmod(0o000)
        (home / "f").write_text("old")
        (home / "f").chmod(0o000)
        command = [sys.executable, "-c", _AS_SOMEBODY_ELSE, str(Path(__file__).parent.parent)]
        done = subprocess.run(command, cwd=root / "work", capture_output=True, text=True, check=False)
    assert done.stdout == f"[('{home}/d/g', 'unreadable', True), ('{home}/f', 'unreadable', True)]\n", done.stderr


def test_case_g066_one_conflict_among_three_stops_the_run_and_all_conflicts_are_listed(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    lay(
        project.root,
        {".gitignore": "/home\n"}
        | {f"config/base/all/{name}": "new" for name in "abc"}
        | {"home/b": "old", "home/c": "old!"},
    )
    project.write({"shipway.yml": "version: 1\nname: test\n" + STAGE})
    project.commit()
    before = tree(project.root / "home")
    shown = project.call("plan").out
    assert "targets    1 missing, 2 conflict" in shown
    assert "home/b: a file of 3 bytes; nothing will be started" in shown
    assert "`home/b: a file of 3 bytes; nothing will be started`" in project.call("plan", "--format", "markdown").out
    assert "run it     not before nothing is in the way" in shown
    refused = project.call("run", "--yes", code=5)
    assert "dots/home+b: a file of 3 bytes stands at `home/b`" in refused.err
    assert "dots/home+c: a file of 4 bytes stands at `home/c`" in refused.err
    assert tree(project.root / "home") == before


def test_case_g068_overwrite_replaces_and_a_rollback_restores(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    lay(
        project.root,
        {".gitignore": "/home\n"} | {f"config/base/all/{name}": "new" for name in "abc"} | {"home/a": "old"},
    )
    (project.root / "home/b/inner").mkdir(parents=True)
    (project.root / "home/b/inner/file").write_text("kept")
    (project.root / "home/c").symlink_to("a")
    (project.root / "home/a").chmod(0o640)
    before = tree(project.root / "home")
    project.write({"shipway.yml": "version: 1\nname: test\n" + STAGE + "      on_conflict: overwrite\n"})
    project.commit()
    project.call("run", "--yes", "-q")
    assert {(project.root / "home" / name).read_text() for name in "abc"} == {"new"}, "each is a link to a source"
    project.call("rollback", "--yes", "-q")
    assert tree(project.root / "home") == before


@pytest.mark.parametrize(
    "change",
    [
        lambda home: (home / "a").write_text("came"),
        lambda home: (home / "b").unlink(),
        lambda home: (home / "b").write_text("OLD"),
        lambda home: ((home / "b").unlink(), (home / "b").symlink_to("c")),
    ],
    ids=["a file came", "a file went", "a file of the same size", "a link came for a file"],
)
def test_case_g069_a_target_that_changed_since_the_plan_was_made_stops_everything(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    lay(tmp_path, {f"config/base/all/{name}": "new" for name in "abc"} | {"home/b": "old"})

    def meanwhile(plan: Plan) -> bool:
        change(tmp_path / "home")
        return True

    ran = deploy(tmp_path, "on_conflict: overwrite", Setting(confirm=meanwhile))
    assert (ran.error.exit_code, ran.error.reason) == (5, Reason.TARGET_CHANGED)
    assert "stood at `home/" in ran.error.message
    assert not (tmp_path / "home/c").exists(), "something was done all the same"


def test_case_g069_a_plan_that_was_kept_is_held_to_what_it_found(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    lay(project.root, {".gitignore": "/home\n"} | {f"config/base/all/{name}": "new" for name in "ab"})
    project.write({"shipway.yml": "version: 1\nname: test\n" + STAGE + "      on_conflict: overwrite\n"})
    project.commit()
    project.call("plan", "-o", "../plan.json", "-q")
    (project.root / "home/a").write_text("came")
    refused = project.call("apply", "../plan.json", "--yes", code=5)
    assert "dots/home+a: create became replace" in refused.err
    assert not (project.root / "home/b").exists()
    (project.root / "home/a").unlink()
    (project.root / "home/a").symlink_to("../config/base/all/a")
    project.call("apply", "../plan.json", "--yes")
    assert (project.root / "home/b").is_symlink()


def known(path: str, fingerprint: str) -> Callable[..., State]:
    """A state that holds one file, as it was left."""
    done = Outcome.SUCCEEDED
    by = HistoryRecord(
        0, "sha256:0", "run", "", "dots/home+f", "file.copy", done, Standing.EXISTS, fingerprint=fingerprint
    )
    entry = Entry(Identity("test", "default", "file", path), Standing.EXISTS, by)
    return lambda declaration, target: State((entry,), 1)


def fingerprint_of(text: str) -> str:
    return f"file 0644 {sha256(text.encode()).hexdigest()}"


@pytest.mark.parametrize(
    ("left", "stands", "wanted", "status"),
    [
        ("one", "one", "two", Status.STALE),
        ("one", "mine", "one", Status.MODIFIED),
        ("one", "mine", "two", Status.BOTH_CHANGED),
        ("one", "two", "two", Status.COPIED),
        ("one", "", "two", Status.MISSING),
    ],
)
def test_case_g114_a_target_is_told_by_what_the_state_says(
    tmp_path: Path, left: str, stands: str, wanted: str, status: Status
) -> None:
    lay(tmp_path, {"config/base/all/f": wanted} | ({"home/f": stands} if stands else {}))
    setting = Setting(prior=known("home/f", fingerprint_of(left)))
    ran = deploy(tmp_path, "how: copy", setting, execute=False)
    assert findings(ran)["f"].status is status
    if status in (Status.MODIFIED, Status.BOTH_CHANGED):
        assert deploy(tmp_path, "how: copy", setting).error.reason is Reason.CONFLICT
        assert (tmp_path / "home/f").read_text() == stands
    else:
        assert deploy(tmp_path, "how: copy", setting).exit_code == 0
        assert (tmp_path / "home/f").read_text() == wanted


def test_findings_stand_in_the_plan_and_no_effect_depends_on_them(tmp_path: Path) -> None:
    lay(tmp_path, {"config/base/all/f": "new"})
    free = planned(deploy(tmp_path, execute=False))
    (tmp_path / "home/f").write_text("old")
    taken = planned(deploy(tmp_path, execute=False))
    assert free.preflight != taken.preflight
    assert free.effect == taken.effect
    assert plan_from_json(taken.document).preflight == taken.preflight
    assert looked_ahead(taken, Registry().require_action) == taken
