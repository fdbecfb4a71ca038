"""`service.*`: do, undo, compare. Where systemd does not run a stateful stand-in does; what is asked of both is the same."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from shipway.action import Work
from shipway.actions.service_change import ServiceStart
from shipway.canonical import Json
from shipway.errors import Position
from shipway.nodes import Change, Fidelity, Node
from shipway.records import Record
from shipway.services import observe_service
from tests.fake_systemctl import FakeSystemd
from tests.package_sources import need
from tests.runs import Ran, Setting, run

UNITS: dict[str, dict[str, object]] = {
    "web.service": {"active": "inactive", "state": "disabled"},
    "db.service": {"active": "active", "state": "enabled"},
    "fixed.service": {"active": "inactive", "state": "static"},
    "bad.service": {"active": "inactive", "state": "disabled", "broken": True},
}


@pytest.fixture
def systemd(tmp_path: Path) -> FakeSystemd:
    return FakeSystemd(tmp_path / "systemd", UNITS)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "workspace").mkdir()
    return tmp_path / "workspace"


def go(workspace: Path, systemd: FakeSystemd, step: str, *, fails: bool = False, execute: bool = True) -> Ran:
    text = f"defaults: {{rollback: run}}\nsteps:\n  it: {step}\n"
    text += "  fail: {needs: [it], lasting: false, run: exit 1}\n" if fails else ""
    setting = Setting(env={"PATH": f"{systemd.bin}:{os.environ['PATH']}"})
    return run(workspace, text, setting, execute=execute)


@pytest.mark.parametrize(
    ("action", "name", "key", "value"),
    [
        ("start", "web", "active", "active"),
        ("stop", "db.service", "active", "inactive"),
        ("enable", "web", "state", "enabled"),
        ("disable", "db", "state", "disabled"),
    ],
)
def test_a_switch_is_done_once_and_its_undo_is_the_inverse(
    systemd: FakeSystemd, workspace: Path, action: str, name: str, key: str, value: str
) -> None:
    unit = name if "." in name else f"{name}.service"
    step = f"{{uses: service.{action}, with: {{name: {name}}}}}"
    before = systemd.units()

    failed = go(workspace, systemd, step, fails=True)
    assert failed.outcomes["it"] == "undone"
    assert systemd.units() == before
    inverse = {"start": "stop", "stop": "start", "enable": "disable", "disable": "enable"}[action]
    assert systemd.changes() == [f"{action} {name}", f"{inverse} {name}"]

    done = go(workspace, systemd, step)
    assert (done.outcomes, done["main/it"].outputs) == ({"it": "succeeded"}, {"name": name})
    assert systemd.units()[unit][key] == value
    [record] = done["main/it"].records
    assert (record.kind, record.name, record.present) == ("service", name, True)
    assert go(workspace, systemd, step).outcomes == {"it": "unchanged"}


@pytest.mark.parametrize(("action", "name"), [("start", "db"), ("stop", "web"), ("enable", "db"), ("disable", "web")])
def test_what_was_so_before_stays_so_after_a_rollback(
    systemd: FakeSystemd, workspace: Path, action: str, name: str
) -> None:
    planned = go(workspace, systemd, f"{{uses: service.{action}, with: {{name: {name}}}}}", execute=False).finished.plan
    assert planned is not None
    assert (planned.by_id["main/it"].change, planned.by_id["main/it"].fidelity) == (Change.NOOP, Fidelity.EXACT)
    failed = go(workspace, systemd, f"{{uses: service.{action}, with: {{name: {name}}}}}", fails=True)
    assert failed.outcomes["fail"] == "failed"
    assert (systemd.changes(), systemd.units()) == ([], UNITS)


def test_the_undo_of_a_do_that_began_nothing_leaves_what_was_so(systemd: FakeSystemd, workspace: Path) -> None:
    """As after a run that was killed before it had noted anything."""
    inputs: dict[str, Json] = {"name": "db"}
    node = Node(id="main/it", stage="main", action="service.start", position=Position("shipway.yml", 1, 1))
    env = {"PATH": f"{systemd.bin}:{os.environ['PATH']}"}
    ServiceStart().undo(Work(node, inputs, env, workspace, workspace / "scratch"))
    assert (systemd.changes(), systemd.units()) == ([], UNITS)


def test_the_plan_says_what_is_so_and_what_will_be(systemd: FakeSystemd, workspace: Path) -> None:
    planned = go(workspace, systemd, "{uses: service.start, with: {name: web}}", execute=False).finished.plan
    assert planned is not None
    node = planned.by_id["main/it"]
    assert (node.before, node.after) == ({"running": False, "enabled": False}, {"running": True, "enabled": False})
    assert (node.change, node.fidelity, node.reversible) == (Change.UPDATE, Fidelity.EXACT, True)


def test_what_was_recorded_of_a_service_is_found_again(systemd: FakeSystemd, workspace: Path) -> None:
    done = go(workspace, systemd, "{uses: service.start, with: {name: web}}")
    [record] = done["main/it"].records
    env = {"PATH": f"{systemd.bin}:{os.environ['PATH']}"}
    assert record.fingerprint == "running disabled"
    assert observe_service(record, workspace, env) == record.fingerprint
    go(workspace, systemd, "{uses: service.enable, with: {name: web}}")
    assert observe_service(record, workspace, env) == "running enabled"
    gone = Record("service", "nowhere", fingerprint="running enabled", facts={"service": "nowhere"})
    assert observe_service(gone, workspace, env) is None


def test_a_static_service_is_left_as_it_is(systemd: FakeSystemd, workspace: Path) -> None:
    assert go(workspace, systemd, "{uses: service.enable, with: {name: fixed}}").outcomes == {"it": "unchanged"}


def test_a_restart_cannot_be_undone(systemd: FakeSystemd, workspace: Path) -> None:
    step = "{uses: service.restart, with: {name: db}}"
    failed = go(workspace, systemd, step, fails=True)
    assert (failed.outcomes["it"], failed.exit_code) == ("not_undoable", 4)
    assert systemd.changes() == ["restart db"]


def test_a_service_that_does_not_start_says_so(systemd: FakeSystemd, workspace: Path) -> None:
    failed = go(workspace, systemd, "{uses: service.start, with: {name: bad}}")
    assert "failed because the control process exited" in failed["main/it"].error
    missing = go(workspace, systemd, "{uses: service.start, with: {name: nowhere}}")
    assert "there is no service `nowhere`" in missing["main/it"].error


@pytest.mark.parametrize(
    ("action", "name", "answer"),
    [
        ("exists", "web", True),
        ("exists", "nowhere", False),
        ("running", "db", True),
        ("running", "web", False),
        ("running", "nowhere", False),
        ("enabled", "db.service", True),
        ("enabled", "web", False),
        ("enabled", "fixed", True),
    ],
)
def test_questions(systemd: FakeSystemd, workspace: Path, action: str, name: str, answer: bool) -> None:
    done = go(workspace, systemd, f"{{uses: service.{action}, with: {{name: {name}}}}}")
    assert done["main/it"].outputs == {action: answer}
    assert systemd.changes() == []


def test_no_name_can_pass_for_an_option(systemd: FakeSystemd, workspace: Path) -> None:
    planned = go(workspace, systemd, "{uses: service.stop, with: {name: '--force'}}", execute=False)
    assert "`--force` is no name of a service" in str(planned.error.message)


def test_without_systemd_the_error_says_what_is_missing(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    text = "steps:\n  it: {uses: service.running, with: {name: web}}\n"
    planned = run(workspace, text, Setting(env={"PATH": str(tmp_path / "empty")}), execute=False)
    assert "`systemctl` is not on the PATH: services are those of systemd" in str(planned.error.message)


def test_the_real_systemctl_enables_in_the_root_of_another_system(workspace: Path, tmp_path: Path) -> None:
    need("systemctl")
    root = tmp_path / "image"
    units = root / "usr/lib/systemd/system"
    units.mkdir(parents=True)
    (root / "etc/systemd/system").mkdir(parents=True)
    (units / "ship.service").write_text("[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n")
    link = root / "etc/systemd/system/multi-user.target.wants/ship.service"
    step = f"uses: service.enable, with: {{name: ship, root: {root}}}"

    failed = run(workspace, f"steps:\n  it: {{{step}}}\n  fail: {{needs: [it], lasting: false, run: exit 1}}\n")
    assert failed.outcomes["it"] == "undone", failed["main/it"].error
    assert not link.is_symlink()
    assert run(workspace, f"steps:\n  it: {{{step}}}\n").outcomes == {"it": "succeeded"}
    assert link.is_symlink()
    assert run(workspace, f"steps:\n  it: {{{step}}}\n").outcomes == {"it": "unchanged"}
    asked = "steps:\n" + "".join(
        f"  {key}: {{uses: service.{action}, with: {{name: {name}, root: {root}}}}}\n"
        for key, action, name in [("a", "enabled", "ship"), ("b", "exists", "ship"), ("c", "exists", "nowhere")]
    )
    done = run(workspace, asked)
    assert [done[f"main/{key}"].outputs for key in "abc"] == [{"enabled": True}, {"exists": True}, {"exists": False}]


def systemctl(program: str, *arguments: str) -> tuple[int, str]:
    done = subprocess.run([program, "--no-pager", *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def check_manual(program: str, running: str) -> None:
    """What the manual says of exit codes and properties: of a service that runs, and of one that is not there."""
    assert systemctl(program, "is-active", running)[0] == 0
    assert systemctl(program, "is-active", "shipway-nowhere.service")[0] in {3, 4}
    assert systemctl(program, "is-enabled", "shipway-nowhere.service")[0] != 0
    properties = "--property=LoadState,ActiveState,UnitFileState"
    code, shown = systemctl(program, "show", properties, "--", running)
    assert code == 0
    assert {"LoadState=loaded", "ActiveState=active"} <= set(shown.splitlines())
    code, shown = systemctl(program, "show", properties, "--", "shipway-nowhere.service")
    assert code == 0
    assert {"LoadState=not-found", "ActiveState=inactive", "UnitFileState="} <= set(shown.splitlines())


def test_the_stand_in_answers_as_the_manual_says(systemd: FakeSystemd) -> None:
    check_manual(str(systemd.bin / "systemctl"), "db.service")


def test_the_real_systemctl_answers_as_the_manual_says() -> None:
    if not Path("/run/systemd/system").is_dir():
        pytest.skip("systemd does not run here: only a stand-in was asked (sd_booted(3))")
    check_manual("systemctl", "systemd-journald.service")
