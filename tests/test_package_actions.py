"""`pkg.*` with the real apt, pip and npm: do, undo, compare. Packages, repositories and registries are the tests' own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipway.action import Work
from shipway.actions.pkg_change import PkgInstall
from shipway.canonical import Json
from shipway.errors import Position
from shipway.nodes import Change, Fidelity, Node
from shipway.privilege import elevated
from shipway.summary import made_words, summarise
from tests.package_sources import AptRoot, NpmRegistry, npm_registry, wheel
from tests.runs import Ran, Setting, environment, run


def steps(*lines: str, fails: bool = False) -> str:
    body = "\n".join(f"  {line}" for line in lines)
    return f"steps:\n{body}\n" + ("  fail: {needs: [it], lasting: false, run: exit 1}\n" if fails else "")


@pytest.fixture
def apt(tmp_path: Path) -> AptRoot:
    system = AptRoot(tmp_path)
    system.offer("shiptool", "1.9-1")
    system.offer("shiptool", "1.10-1")
    system.offer("shiplib", "2:0.1~rc1")
    system.offer("shipapp", "3.0", depends="shiplib", conffile="shipapp.conf")
    system.apt("update")
    return system


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "workspace").mkdir()
    return tmp_path / "workspace"


def apt_step(system: AptRoot, uses: str, more: str) -> str:
    return f"it: {{uses: {uses}, with: {{manager: apt, prefix: {system.root}, {more}}}}}"


# apt.


def test_apt_installs_what_is_missing_and_undo_removes_only_that(apt: AptRoot, workspace: Path) -> None:
    apt.apt("install", "shiptool=1.9-1")
    step = apt_step(apt, "pkg.install", "packages: [shiptool, shipapp]")

    done = run(workspace, steps(step))
    assert done.outcomes == {"it": "succeeded"}, done.receipt.by_id["main/it"].error
    assert done["main/it"].outputs["names"] == "shiptool, shipapp"
    assert apt.installed() == {"shiptool": "1.9-1", "shipapp": "3.0", "shiplib": "2:0.1~rc1"}
    assert made_words(summarise(done.receipt)) == ["1 package"], "the other one was there"

    assert run(workspace, steps(step)).outcomes == {"it": "unchanged"}


def test_apt_leaves_the_system_as_it_was_after_a_rollback(apt: AptRoot, workspace: Path) -> None:
    apt.apt("install", "shiptool=1.9-1")
    before = tree(apt.root)
    step = apt_step(apt, "pkg.install", "packages: [shiptool, shipapp]")

    failed = run(workspace, steps(step, fails=True))
    assert failed.outcomes == {"it": "undone", "fail": "failed"}
    assert apt.installed() == {"shiptool": "1.9-1"}
    assert tree(apt.root) == before


def test_apt_undo_spares_the_settings_that_were_there(apt: AptRoot, workspace: Path) -> None:
    apt.apt("install", "shipapp")
    (apt.root / "etc/shipapp.conf").write_text("as somebody set it\n")
    apt.apt("remove", "shipapp", "shiplib")

    run(workspace, steps(apt_step(apt, "pkg.install", "packages: [shipapp]"), fails=True))
    assert apt.installed() == {}
    assert (apt.root / "etc/shipapp.conf").read_text() == "as somebody set it\n"


def test_apt_upgrades_and_brings_the_old_version_back(apt: AptRoot, workspace: Path) -> None:
    apt.apt("install", "shiptool=1.9-1")
    step = apt_step(apt, "pkg.upgrade", "packages: [shiptool]")

    planned = run(workspace, steps(step), execute=False).finished.plan
    assert planned is not None
    node = planned.by_id["main/it"]
    assert (node.before, node.after) == (
        {"manager": "apt", "packages": {"shiptool": "1.9-1"}},
        {"manager": "apt", "packages": {"shiptool": "1.10-1"}},
    )
    assert (node.change, node.fidelity, node.reversible) == (Change.UPDATE, Fidelity.PREDICTED, True)

    failed = run(workspace, steps(step, fails=True))
    assert failed.outcomes["it"] == "undone"
    assert apt.installed() == {"shiptool": "1.9-1"}
    assert run(workspace, steps(step)).outcomes == {"it": "succeeded"}
    assert apt.installed() == {"shiptool": "1.10-1"}
    assert run(workspace, steps(step)).outcomes == {"it": "unchanged"}


def test_apt_upgrade_is_not_undoable_where_the_old_version_is_gone(apt: AptRoot, workspace: Path) -> None:
    apt.apt("install", "shiptool=1.9-1")
    apt.forget("1.9-1")
    apt.apt("update")
    forgotten = apt.root / "var/lib/dpkg/status"
    step = apt_step(apt, "pkg.upgrade", "packages: [shiptool]")
    assert "1.9-1" in forgotten.read_text()

    failed = run(workspace, steps(step, fails=True))
    assert failed.outcomes["it"] == "not_undoable"
    assert "shiptool 1.9-1" in undo_error(failed)
    assert failed.exit_code == 4
    assert apt.installed() == {"shiptool": "1.10-1"}


def test_apt_removes_and_undo_installs_only_what_was_there_at_its_version(apt: AptRoot, workspace: Path) -> None:
    apt.apt("install", "shiptool=1.9-1", "shipapp")
    step = apt_step(apt, "pkg.remove", "packages: [shiptool, shiplib, nowhere]")

    failed = run(workspace, steps(step, fails=True))
    assert failed.outcomes["it"] == "undone", undo_error(failed)
    # What depended on it went with it, and came back.
    assert apt.installed() == {"shiptool": "1.9-1", "shipapp": "3.0", "shiplib": "2:0.1~rc1"}

    done = run(workspace, steps(step))
    assert done.outcomes == {"it": "succeeded"}
    assert apt.installed() == {}
    assert [(record.name, record.present) for record in done["main/it"].records] == [
        ("apt@" + str(apt.root) + ":" + name, False) for name in ("shiptool", "shiplib", "nowhere")
    ]


def test_apt_pins_up_and_down(apt: AptRoot, workspace: Path) -> None:
    apt.apt("install", "shiptool")
    step = apt_step(apt, "pkg.install", "packages: [shiptool=1.9-1]")
    planned = run(workspace, steps(step), execute=False).finished.plan
    assert planned is not None
    assert planned.by_id["main/it"].fidelity is Fidelity.EXACT

    assert run(workspace, steps(step, fails=True)).outcomes["it"] == "undone"
    assert apt.installed() == {"shiptool": "1.10-1"}
    assert run(workspace, steps(step)).outcomes == {"it": "succeeded"}
    assert apt.installed() == {"shiptool": "1.9-1"}


def test_apt_undo_leaves_alone_what_somebody_changed_since(apt: AptRoot, workspace: Path) -> None:
    text = steps(apt_step(apt, "pkg.install", "packages: [shiptool=1.9-1]"), by_hand(apt, "shiptool"))

    failed = run(workspace, text)
    assert failed.outcomes == {"it": "drifted", "other": "failed"}
    assert "1.10-1 now, and was 1.9-1" in undo_error(failed)
    assert apt.installed() == {"shiptool": "1.10-1"}


def test_apt_removes_nothing_that_others_came_to_need(apt: AptRoot, workspace: Path) -> None:
    failed = run(workspace, steps(apt_step(apt, "pkg.install", "packages: [shiplib]"), by_hand(apt, "shipapp")))
    assert failed.outcomes["it"] == "undo_failed"
    assert apt.installed() == {"shipapp": "3.0", "shiplib": "2:0.1~rc1"}


def test_apt_that_fails_leaves_nothing_behind(apt: AptRoot, workspace: Path) -> None:
    failed = run(workspace, steps(apt_step(apt, "pkg.install", "packages: [shiptool, nowhere]")))
    assert failed.outcomes["it"] in {"failed", "undone"}
    assert "Unable to locate package nowhere" in failed["main/it"].error
    assert apt.installed() == {}


def test_apt_takes_no_name_for_an_expression(apt: AptRoot, workspace: Path) -> None:
    failed = run(workspace, steps(apt_step(apt, "pkg.install", "packages: [shiptoo.]")))
    assert "Unable to locate package shiptoo." in failed["main/it"].error
    assert apt.installed() == {}


def test_apt_update_cannot_be_undone(apt: AptRoot, workspace: Path) -> None:
    step = f"it: {{uses: pkg.update, with: {{manager: apt, prefix: {apt.root}}}}}"
    apt.offer("shipnew", "1.0")
    done = run(workspace, steps(step))
    assert done.outcomes == {"it": "succeeded"}
    assert done["main/it"].outputs == {"manager": "apt"}
    found = run(workspace, steps(apt_step(apt, "pkg.install", "packages: [shipnew]"))).outcomes
    assert found == {"it": "succeeded"}
    failed = run(workspace, "defaults: {rollback: run}\n" + steps(step, fails=True))
    assert (failed.outcomes["it"], failed.exit_code) == ("not_undoable", 4)


@pytest.mark.parametrize(
    ("uses", "more", "output", "answer"),
    [
        ("pkg.installed", "name: shiptool", "installed", True),
        ("pkg.installed", "name: shiptool=1.9-1", "installed", False),
        ("pkg.installed", "name: shipapp", "installed", False),
        ("pkg.not_installed", "name: shipapp", "not_installed", True),
        ("pkg.not_installed", "name: shiptool", "not_installed", False),
        ("pkg.version_gte", "name: shiptool, version: 1.9", "version_gte", True),
        ("pkg.version_gte", "name: shiptool, version: '2:0'", "version_gte", False),
        ("pkg.version_gte", "name: shipapp, version: '0'", "version_gte", False),
    ],
)
def test_g120_questions_compare_versions_by_the_managers_rules(
    apt: AptRoot, workspace: Path, uses: str, more: str, output: str, answer: bool
) -> None:
    apt.apt("install", "shiptool")  # 1.10-1, which is later than 1.9 but not as a text
    done = run(workspace, steps(apt_step(apt, uses, more)))
    assert done["main/it"].outputs == {output: answer}
    assert done.finished.plan is not None
    assert done.finished.plan.by_id["main/it"].predicted == {output: answer}


def test_nodes_of_one_manager_never_run_at_once(apt: AptRoot, workspace: Path) -> None:
    names = ["shiptool", "shiplib", "shipapp"]
    body = [apt_step(apt, "pkg.install", f"packages: [{name}]").replace("it:", f"{name}:") for name in names]
    done = run(workspace, steps(*body))
    assert set(done.outcomes.values()) <= {"succeeded", "unchanged"}
    assert done.most_at_once() == 1
    assert done.finished.plan is not None
    assert done.finished.plan.limits["packages:system"].parallel == 1


# pip.


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("pip") / "venv"
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    return place


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    wheel(folder, "ship_tool", "1.9")
    wheel(folder, "ship_tool", "1.10")
    wheel(folder, "ship_app", "2.0", requires="ship_tool")
    return folder


def pip_step(venv: Path, wheels: Path, uses: str, more: str) -> str:
    env = f"{{PIP_NO_INDEX: '1', PIP_FIND_LINKS: '{wheels}'}}"
    return f"it: {{uses: {uses}, env: {env}, with: {{manager: pip, prefix: {venv}, {more}}}}}"


def pip_has(venv: Path) -> dict[str, str]:
    done = subprocess.run(
        [venv / "bin/python", "-m", "pip", "list", "--format=json", "--disable-pip-version-check"],
        check=True,
        capture_output=True,
    )
    return {
        row["name"].replace("_", "-"): row["version"]
        for row in json.loads(done.stdout)
        if row["name"] not in {"pip", "setuptools"}
    }


def test_pip_in_a_virtual_environment(venv: Path, wheels: Path, workspace: Path) -> None:
    assert pip_has(venv) == {}
    install = pip_step(venv, wheels, "pkg.install", "packages: [Ship.App, ship_tool==1.9]")
    failed = run(workspace, steps(install, fails=True))
    assert failed.outcomes["it"] == "undone", failed["main/it"].error
    assert pip_has(venv) == {}

    done = run(workspace, steps(install))
    assert done["main/it"].outputs == {
        "names": "Ship.App, ship_tool",
        "versions": {"ship-app": "2.0", "ship-tool": "1.9"},
    }
    assert [(each.name, each.fingerprint) for each in done["main/it"].records] == [
        (f"pip@{venv}:ship-app", "2.0"),
        (f"pip@{venv}:ship-tool", "1.9"),
    ]
    assert run(workspace, steps(install)).outcomes == {"it": "unchanged"}

    upgrade = pip_step(venv, wheels, "pkg.upgrade", "packages: [ship-tool]")
    assert run(workspace, steps(upgrade, fails=True)).outcomes["it"] == "undone"
    assert pip_has(venv) == {"ship-app": "2.0", "ship-tool": "1.9"}
    question = pip_step(venv, wheels, "pkg.version_gte", "name: ship_tool, version: '1.9rc1'")
    assert run(workspace, steps(question))["main/it"].outputs == {"version_gte": True}

    remove = pip_step(venv, wheels, "pkg.remove", "packages: [ship-app, ship-tool, ship-none]")
    assert run(workspace, steps(remove, fails=True)).outcomes["it"] == "undone"
    assert pip_has(venv) == {"ship-app": "2.0", "ship-tool": "1.9"}
    assert run(workspace, steps(remove)).outcomes == {"it": "succeeded"}
    assert pip_has(venv) == {}
    update = f"it: {{uses: pkg.update, with: {{manager: pip, prefix: {venv}}}}}"
    assert run(workspace, steps(update)).outcomes == {"it": "unchanged"}


# npm.


@pytest.fixture
def npm() -> Iterator[NpmRegistry]:
    with npm_registry() as registry:
        registry.offer("shiptool", "1.9.0")
        registry.offer("shiptool", "1.10.0")
        registry.offer("shipapp", "2.0.0")
        yield registry


def test_npm_in_a_prefix(npm: NpmRegistry, workspace: Path, tmp_path: Path) -> None:
    env = f"{{NPM_CONFIG_REGISTRY: '{npm.url}', NPM_CONFIG_CACHE: '{tmp_path}/cache'}}"

    def step(uses: str, more: str) -> str:
        return f"it: {{uses: {uses}, env: {env}, with: {{manager: npm, prefix: tools, {more}}}}}"

    def has() -> dict[str, str]:
        files = sorted((workspace / "tools/lib/node_modules").glob("*/package.json"))
        found = [json.loads(file.read_text()) for file in files]
        return {each["name"]: each["version"] for each in found}

    install = step("pkg.install", "packages: [shiptool@1.9.0, shipapp]")
    planned = run(workspace, steps(install), execute=False).finished.plan
    assert planned is not None
    assert planned.by_id["main/it"].title == "pkg.install shiptool@1.9.0, shipapp"
    failed = run(workspace, steps(install, fails=True))
    assert failed.outcomes["it"] == "undone", failed["main/it"].error
    assert has() == {}
    assert not (workspace / "tools").exists(), "the prefix was not there before"
    refused = run(
        workspace, steps(step("pkg.install", "packages: [no-such-tool@1.0.0]").replace("prefix: ", "prefix: new/"))
    )
    assert refused.outcomes["it"] == "undone" and "no-such-tool" in refused["main/it"].tail
    assert not (workspace / "new").exists(), "nothing was installed, and nothing is left"
    done = run(workspace, steps(install))
    assert done["main/it"].outputs["versions"] == {"shiptool": "1.9.0", "shipapp": "2.0.0"}
    assert [each.name for each in done["main/it"].records] == ["npm@tools:shiptool", "npm@tools:shipapp"]
    assert run(workspace, steps(install)).outcomes == {"it": "unchanged"}
    upgrade = step("pkg.upgrade", "packages: [shiptool]")
    assert run(workspace, steps(upgrade, fails=True)).outcomes["it"] == "undone"
    assert has() == {"shiptool": "1.9.0", "shipapp": "2.0.0"}
    remove = step("pkg.remove", "packages: [shiptool, nowhere]")
    assert run(workspace, steps(remove, fails=True)).outcomes["it"] == "undone"
    assert has() == {"shiptool": "1.9.0", "shipapp": "2.0.0"}
    question = step("pkg.version_gte", "name: shiptool, version: 1.9.0")
    assert run(workspace, steps(question))["main/it"].outputs == {"version_gte": True}


# A do that was killed.


def test_what_a_killed_do_had_begun_is_undone_by_what_it_noted_before(apt: AptRoot, workspace: Path) -> None:
    apt.apt("install", "shiptool=1.9-1")
    scratch = workspace / "scratch"
    inputs: dict[str, Json] = {"packages": ["shiptool=1.10-1", "shipapp"], "manager": "apt", "prefix": str(apt.root)}
    node = Node(id="main/it", stage="main", action="pkg.install", position=Position("shipway.yml", 1, 1))
    work = Work(node, inputs, environment(), workspace, scratch)
    action = PkgInstall()

    action.undo(work)
    assert apt.installed() == {"shiptool": "1.9-1"}, "nothing was begun, so that nothing is undone"
    action.do(work)
    assert apt.installed() == {"shiptool": "1.10-1", "shipapp": "3.0", "shiplib": "2:0.1~rc1"}
    # It never reported: there is no undo state, only what it noted before it began.
    action.undo(work)
    assert apt.installed() == {"shiptool": "1.9-1"}
    action.undo(work)
    assert apt.installed() == {"shiptool": "1.9-1"}


# Privilege.


def test_sudo_is_used_only_where_privilege_is_declared_and_not_there() -> None:
    env = {"PATH": "/usr/bin", "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    assert elevated(["apt-get", "update"], env, is_root=True) == ("apt-get", "update")
    assert elevated(["apt-get", "update"], env, is_root=False) == (
        *("sudo", "-n", "--preserve-env=DEBIAN_FRONTEND,LC_ALL", "--"),
        *("apt-get", "update"),
    )


def test_g064_a_run_without_the_declared_privilege_refuses_before_anything_starts(
    apt: AptRoot, workspace: Path
) -> None:
    step = apt_step(apt, "pkg.install", "packages: [shipapp]").removesuffix("}") + ", privileged: true}"
    refused = run(workspace, steps(step), Setting(has_privilege=lambda env: False))
    assert "main/it" in str(refused.error.message)
    assert apt.installed() == {}


# brew, by a stand-in that keeps what it installs in a folder.

BREW = """#!/bin/sh
cellar={cellar}
command=$1; shift
kind=$1
[ "$kind" = --json=v2 ] || shift
case "$command" in
list) for file in "$cellar"/*; do [ -e "$file" ] && echo "$(basename "$file") $(cat "$file")"; done; exit 0 ;;
info)
    [ "$3" = wget ] || exit 1
    echo '{{"formulae": [{{"name": "wget", "versions": {{"stable": "2.0"}}, "revision": 0}}], "casks": []}}'
    ;;
install|upgrade) for name; do [ "$name" = wget ] || exit 1; echo 2.0 > "$cellar/$name"; done ;;
uninstall) for name; do rm "$cellar/$name"; done ;;
esac
"""


@pytest.fixture
def brew(tmp_path: Path) -> Path:
    cellar = tmp_path / "cellar"
    cellar.mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/brew").write_text(BREW.format(cellar=cellar))
    (tmp_path / "bin/brew").chmod(0o755)
    return cellar


def with_brew(cellar: Path) -> Setting:
    return Setting(env={"PATH": f"{cellar.parent}/bin:{os.environ['PATH']}"})


def test_brew_installs_and_undo_removes(brew: Path, workspace: Path) -> None:
    step = "it: {uses: pkg.install, with: {manager: brew, packages: [wget]}}"
    planned = run(workspace, steps(step), with_brew(brew), execute=False).finished.plan
    assert planned is not None
    assert planned.by_id["main/it"].after == {"manager": "brew", "packages": {"wget": "2.0"}}
    assert run(workspace, steps(step, fails=True), with_brew(brew)).outcomes["it"] == "undone"
    assert list(brew.iterdir()) == []
    assert run(workspace, steps(step), with_brew(brew)).outcomes == {"it": "succeeded"}
    pinned = "it: {uses: pkg.install, with: {manager: brew, packages: [wget=1.0]}}"
    failed = run(workspace, steps(pinned), with_brew(brew))
    assert "brew came to something else: wget is 2.0, not 1.0" in failed["main/it"].error


def test_brew_brings_no_old_version_back_and_the_plan_says_so(brew: Path, workspace: Path) -> None:
    (brew / "wget").write_text("1.0\n")
    step = "it: {uses: pkg.upgrade, with: {manager: brew, packages: [wget]}}"
    text = "defaults: {rollback: run}\n" + steps(step, fails=True)
    planned = run(workspace, text, with_brew(brew), execute=False).finished.plan
    assert planned is not None
    assert not planned.by_id["main/it"].reversible
    assert "brew cannot bring the old versions back" in planned.by_id["main/it"].why
    failed = run(workspace, text, with_brew(brew))
    assert (failed.outcomes["it"], failed.exit_code) == ("not_undoable", 4)


# What is wrong.


@pytest.mark.parametrize(
    ("slots", "said"),
    [
        ("manager: atp, packages: [x]", "no driver for the package manager `atp` (did you mean `apt`?)"),
        ("manager: pip, packages: []", "`packages` is empty: list at least one"),
        ("manager: pip, packages: ['x>=1']", "write `name` or `name==version`"),
        ("manager: npm, packages: ['x@^1']", "write `name` or `name@version`, the version in full"),
        ("manager: pip, packages: ['-rx']", "`-rx` is no package for pip"),
        ("manager: pip, packages: [x==1, X]", "wants `x` 1 and newest"),
        ("manager: pip, cask: true, packages: [x]", "`cask` is for brew, not for pip"),
        ("manager: pip, prefix: ../out, packages: [x]", "leads out of the workspace"),
        ("manager: brew, packages: [x]", "`brew` is not on the PATH: brew cannot be used here"),
    ],
)
def test_what_makes_no_sense_is_refused_when_planned(workspace: Path, slots: str, said: str) -> None:
    planned = run(workspace, steps(f"it: {{uses: pkg.install, with: {{{slots}}}}}"), Setting(), execute=False)
    assert said in str(planned.error.message)


def test_a_virtual_environment_that_is_missing_is_not_looked_for_on_the_path(workspace: Path) -> None:
    done = run(workspace, steps("it: {uses: pkg.install, with: {manager: pip, prefix: .venv, packages: [x==1]}}"))
    assert done["main/it"].error == f"`{workspace}/.venv/bin/python` is not there"


def by_hand(system: AptRoot, package: str) -> str:
    """A step in which somebody else installs a package behind ours, and then fails."""
    script = f"{' '.join(system.command('install', package))} && exit 1"
    return f"other: {{needs: [it], lasting: false, run: '{script}'}}"


def undo_error(ran: Ran) -> str:
    """What the rollback said of the node `it`."""
    return "; ".join(entry.error for entry in ran.receipt.rollback if entry.node == "main/it" and entry.error)


def tree(root: Path) -> dict[str, bytes]:
    """The files of a system, but for the managers' own logs, lists and caches."""
    own = ("var/lib", "var/cache", "var/log")
    found = {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(own)}
