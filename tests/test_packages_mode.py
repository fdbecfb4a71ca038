"""Mode `packages`: manifests and definitions become parts of a stage, carried out by the real apt, pip and npm."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from shipway.canonical import items_of, object_of
from shipway.nodes import Fidelity, Immediate
from shipway.plan import Plan
from tests.package_sources import AptRoot, npm_registry, wheel
from tests.runs import Ran, Setting, call, run

EDITOR = """
    platforms: [Linux, Darwin]
    native: {Linux: apt:shipapp, Darwin: brew:shipapp}
    features:
      lsp: {packages: [apt:shiptool]}
      docs: {default: true}
      fonts: {default: true}
    settings:
      theme: {default: dark, values: [dark, light]}
      width: {type: integer, default: 80}
    scripts:
      provision: {Common: common.sh, Linux.Debian: debian.sh}
      unprovision: {Unix: common.sh}
    verification: {command: cat provisioned, pattern: "theme=(dark|light)"}
"""

SCRIPT = """
provision() {
    printf '%s theme=%s width=%s features=%s\\n' "$PACKAGE" "$SETTING_THEME" "$SETTING_WIDTH" "$FEATURES" >> provisioned
}
undo_provision() { rm -f provisioned; }
unprovision() { rm -f provisioned; }
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    define(
        root, "shipedit", EDITOR, {"common.sh": SCRIPT, "debian.sh": "provision() { echo debian >> provisioned; }\n"}
    )
    return root


@pytest.fixture
def apt(tmp_path: Path) -> AptRoot:
    system = AptRoot(tmp_path)
    system.offer("shiptool", "1.9-1")
    system.offer("shiptool", "1.10-1")
    system.offer("shipapp", "3.0")
    system.offer("shipother", "1.0")
    system.apt("update")
    return system


def define(root: Path, name: str, text: str, scripts: dict[str, str] | None = None) -> None:
    folder = root / "definitions" / name
    folder.mkdir(parents=True)
    (folder / "package.yaml").write_text(dedent(text).lstrip())
    for file, script in (scripts or {}).items():
        (folder / file).write_text(script)


def declared(settings: str, *, behind: str = "", top: str = "") -> str:
    body = "\n".join("      " + line for line in dedent(settings).strip().splitlines())
    return f"{top}stages:\n  tools:\n    mode: packages\n    with:\n{body}\n{behind}"


def planned(root: Path, settings: str) -> Plan:
    ran = run(root, declared("platform: Linux.Debian\ndefinitions: definitions\n" + dedent(settings)), execute=False)
    assert ran.finished.plan is not None, ran.finished.error and (ran.error.message, ran.error.problems)
    return ran.finished.plan


def refused(root: Path, settings: str) -> list[tuple[str, str, int]]:
    """What is said, with file and line."""
    text = declared("platform: Linux.Debian\ndefinitions: definitions\n" + dedent(settings))
    ran = run(root, text, execute=False)
    assert ran.finished.error is not None, "it was planned"
    found = ran.error.problems
    assert all(problem.where is not None and problem.line for problem in found), found
    return [(problem.text, problem.where.file, problem.where.line) for problem in found if problem.where]


def packages_of(plan: Plan, node: str) -> object:
    slot = plan.by_id[node].slots["packages"]
    return slot.value if isinstance(slot, Immediate) else slot


def shown_by(plan: Plan) -> list[Mapping[str, object]]:
    """The packages in the context of the first stage."""
    return [object_of(each) for each in items_of(plan.stages[0].context["packages"])]


# Parts.


def test_g115_a_native_package_has_the_required_part_only(workspace: Path, apt: AptRoot) -> None:
    found = {}
    for action in ("deploy", "upgrade", "decommission"):
        plan = planned(workspace, f"packages: [apt:shipother]\nprefixes: {{apt: {apt.root}}}\naction: {action}")
        found[action] = [(node.id, node.action) for node in plan.nodes]
    assert found == {
        "deploy": [("tools.install/apt", "pkg.install")],
        "upgrade": [("tools.upgrade/apt", "pkg.upgrade")],
        "decommission": [("tools.uninstall/apt", "pkg.remove")],
    }
    assert planned(workspace, "packages: [apt:shipother]\naction: reconcile").nodes == ()


def test_g115_a_defined_package_has_its_parts_in_their_order(workspace: Path, apt: AptRoot) -> None:
    where = f"prefixes: {{apt: {apt.root}}}\npackages: [shipedit]\n"
    plan = planned(workspace, where)
    assert [stage.id for stage in plan.stages] == ["tools.install", "tools.provision", "tools.verify"]
    assert [stage.needs for stage in plan.stages] == [(), ("tools.install",), ("tools.provision",)]
    decommission = planned(workspace, where + "action: decommission")
    assert [stage.id for stage in decommission.stages] == ["tools.unprovision", "tools.uninstall"]
    assert [node.id for node in planned(workspace, where + "action: reconcile").nodes] == [
        "tools.repair/apt",
        "tools.verify/shipedit-verification",
    ]


def test_g116_scripts_run_from_the_widest_platform_to_the_narrowest(workspace: Path, apt: AptRoot) -> None:
    plan = planned(workspace, f"prefixes: {{apt: {apt.root}}}\npackages: [shipedit]")
    names = [node.id for node in plan.nodes if node.stage == "tools.provision"]
    assert names == ["tools.provision/shipedit-common", "tools.provision/shipedit-linux.debian"]
    assert [need.node for need in plan.by_id[names[1]].needs] == [names[0]]


def test_g116_a_script_without_the_function_of_its_part_is_an_error_when_planned(workspace: Path) -> None:
    define(workspace, "half", "scripts:\n  install: {Common: x.sh}\n", {"x.sh": "setup() { :; }\n"})
    assert refused(workspace, "packages: [half]") == [
        ("`definitions/half/x.sh` has no function `install`", "definitions/half/package.yaml", 2)
    ]


def test_g119_one_call_for_what_goes_to_one_manager_in_one_part(workspace: Path, apt: AptRoot) -> None:
    plan = planned(
        workspace,
        f"""
        packages: [apt:shipother, pip:ruff==0.4.1, shipedit, apt:shiptool, npm:left@1.0.0]
        prefixes: {{apt: {apt.root}, pip: .venv, npm: tools}}
        update: true
        consent: [ruff, left]
        """,
    )
    assert [node.id for node in plan.nodes][:4] == [
        "tools.prepare/apt",
        "tools.install/apt",
        "tools.install/pip",
        "tools.install/npm",
    ]
    assert packages_of(plan, "tools.install/apt") == ["shipother", "shipapp", "shiptool"]
    assert packages_of(plan, "tools.install/pip") == ["ruff==0.4.1"]


# Running.


def test_deploy_upgrade_and_decommission_with_rollback_of_each_part(workspace: Path, apt: AptRoot) -> None:
    apt.apt("install", "shiptool=1.9-1")
    settings = f"platform: Linux.Debian\ndefinitions: definitions\nprefixes: {{apt: {apt.root}}}\n"
    settings += "packages: [apt:shipother, {shipedit: {with: [lsp, -fonts], settings: {width: 100}}}]\n"
    failing = "  after:\n    needs: [tools]\n    steps: [{id: fail, lasting: false, run: exit 1}]\n"

    failed = run(workspace, declared(settings, behind=failing))
    assert failed.outcomes == {
        "tools.install/apt": "undone",
        "tools.provision/shipedit-common": "undone",
        "tools.provision/shipedit-linux.debian": "not_undoable",
        "tools.verify/shipedit-verification": "succeeded",
        "after/fail": "failed",
    }
    assert apt.installed() == {"shiptool": "1.9-1"}
    assert not (workspace / "provisioned").exists()

    done = run(workspace, declared(settings))
    assert set(done.outcomes.values()) == {"succeeded"}
    assert apt.installed() == {"shiptool": "1.9-1", "shipother": "1.0", "shipapp": "3.0"}
    assert (workspace / "provisioned").read_text() == "shipedit theme=dark width=100 features=lsp docs\ndebian\n"
    assert [record.name for record in done["tools.install/apt"].records] == [
        f"apt@{apt.root}:{name}" for name in ("shipother", "shipapp", "shiptool")
    ]

    upgraded = run(workspace, declared(settings + "action: upgrade"))
    assert upgraded.outcomes["tools.upgrade/apt"] == "succeeded"
    assert apt.installed()["shiptool"] == "1.10-1"

    gone = run(workspace, declared(settings + "action: decommission"))
    assert gone.outcomes == {"tools.unprovision/shipedit-unix": "succeeded", "tools.uninstall/apt": "succeeded"}
    assert (apt.installed(), (workspace / "provisioned").exists()) == ({}, False)


def test_a_manifest_may_mix_managers(workspace: Path, apt: AptRoot, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    wheel(tmp_path / "wheels", "ship_py", "1.0")
    with npm_registry() as registry:
        registry.offer("shipjs", "2.0.0")
        settings = "packages: [apt:shipother, 'pip:ship_py==1.0', 'npm:shipjs@2.0.0']\nconsent: [ship_py]\n"
        settings += f"prefixes: {{apt: {apt.root}, pip: {tmp_path}/venv, npm: tools}}"
        env = f"{{PIP_NO_INDEX: '1', PIP_FIND_LINKS: {tmp_path}/wheels, NPM_CONFIG_REGISTRY: '{registry.url}'"
        behind = f"    env: {env}, NPM_CONFIG_CACHE: {tmp_path}/cache}}\n"
        done = run(workspace, declared(settings, behind=behind))
    assert done.finished.error is None, (done.error.message, done.error.problems)
    assert done.outcomes == {f"tools.install/{name}": "succeeded" for name in ("apt", "pip", "npm")}
    assert [record.name.rpartition(":")[2] for node in done.receipt.nodes for record in node.records] == [
        "shipother",
        "ship-py",
        "shipjs",
    ]
    assert (workspace / "tools/lib/node_modules/shipjs/package.json").exists()


def test_g120_the_verification_is_executed_command_and_pattern(workspace: Path, apt: AptRoot) -> None:
    define(workspace, "liar", "native: {Linux: apt:shipother}\nverification: {command: echo v1, pattern: 'v[2-9]'}\n")
    settings = f"platform: Linux\ndefinitions: definitions\nprefixes: {{apt: {apt.root}}}\npackages: [liar]"
    failed = run(workspace, declared(settings))
    assert failed.outcomes == {"tools.install/apt": "undone", "tools.verify/liar-verification": "failed"}
    assert "what `echo v1` says does not match `v[2-9]`" in failed["tools.verify/liar-verification"].tail
    assert apt.installed() == {}


def test_reconcile_repairs_what_is_missing(workspace: Path, apt: AptRoot) -> None:
    settings = f"platform: Linux\ndefinitions: definitions\nprefixes: {{apt: {apt.root}}}\npackages: [shipedit]"
    assert run(workspace, declared(settings)).outcomes["tools.install/apt"] == "succeeded"
    apt.apt("remove", "shipapp")
    repaired = run(workspace, declared(settings + "\naction: reconcile"))
    assert repaired.outcomes["tools.repair/apt"] == "succeeded"
    assert apt.installed() == {"shipapp": "3.0"}
    assert run(workspace, declared(settings + "\naction: reconcile")).outcomes["tools.repair/apt"] == "unchanged"


def test_a_part_that_fails_keeps_the_later_ones_from_beginning(workspace: Path, apt: AptRoot) -> None:
    define(
        workspace,
        "bad",
        "native: {Linux: apt:shipother}\nscripts: {provision: {Common: x.sh}}\nverification: {command: 'true'}\n",
        {"x.sh": "provision() { exit 1; }\nundo_provision() { :; }\n"},
    )
    settings = f"platform: Linux\ndefinitions: definitions\nprefixes: {{apt: {apt.root}}}\npackages: [bad]"
    failed = run(workspace, declared(settings))
    assert failed.outcomes == {
        "tools.install/apt": "undone",
        "tools.provision/bad-common": "undone",
        "tools.verify/bad-verification": "blocked",
    }
    assert {stage.stage: stage.outcome.value for stage in failed.receipt.stages} == {
        "tools.install": "undone",
        "tools.provision": "undone",
        "tools.verify": "blocked",
    }
    assert apt.installed() == {}


def test_a_part_is_tried_again_as_its_stage_says(workspace: Path, apt: AptRoot) -> None:
    define(
        workspace,
        "shy",
        "native: {Linux: apt:shipother}\nscripts: {provision: {Common: x.sh}}\n",
        {"x.sh": "provision() { echo x >> tries; [[ $(wc -l < tries) == 2 ]]; }\nundo_provision() { :; }\n"},
    )
    settings = f"platform: Linux\ndefinitions: definitions\nprefixes: {{apt: {apt.root}}}\npackages: [shy]"
    done = run(workspace, declared(settings, behind="    retry: {attempts: 2, initial: 1ms}\n"))
    assert set(done.outcomes.values()) == {"succeeded"}
    assert (workspace / "tries").read_text() == "x\nx\n"
    # The part before it is a boundary of its own: it was not taken back.
    assert done.started.count("tools.install/apt") == 1


def test_the_policies_of_a_stage_are_about_all_of_its_parts(workspace: Path, apt: AptRoot) -> None:
    apt.apt("install", "shipother")
    settings = f"prefixes: {{apt: {apt.root}}}\naction: decommission\npackages: [apt:shipother]"
    refused_by = run(workspace, declared(settings, behind="    policy: {kept: {deny_delete: true}}\n"))
    assert refused_by.error.reason.value == "policy-denied"
    assert apt.installed() == {"shipother": "1.0"}


def test_a_stage_that_always_runs_does_not_go_on_behind_a_part_that_failed(workspace: Path, apt: AptRoot) -> None:
    define(
        workspace,
        "bad",
        "native: {Linux: apt:shipother}\nscripts: {prepare: {Common: x.sh}}\n",
        {"x.sh": "prepare() { exit 1; }\nundo_prepare() { :; }\n"},
    )
    settings = f"platform: Linux\ndefinitions: definitions\nprefixes: {{apt: {apt.root}}}\npackages: [bad]"
    behind = (
        "    needs: [before]\n    if: always()\n  before:\n    lasting: false\n    steps: [{id: no, run: exit 1}]\n"
    )
    failed = run(workspace, declared(settings, behind=behind))
    assert failed.outcomes["tools.prepare/bad-common"] in {"failed", "undone"}
    assert failed.outcomes["tools.install/apt"] == "skipped"
    assert apt.installed() == {}


def test_a_stage_is_chosen_with_all_of_its_parts(workspace: Path, apt: AptRoot) -> None:
    settings = f"platform: Linux\ndefinitions: definitions\nprefixes: {{apt: {apt.root}}}\npackages: [shipedit]"
    behind = "  other:\n    needs: [tools]\n    steps: [{id: x, run: 'true'}]\n"
    (workspace / "shipway.yml").write_text("version: 1\nname: test\n" + declared(settings, behind=behind))
    shown = call(workspace, "graph", "--stage", "tools")
    assert "tools.provision/shipedit-common" in shown.out, str(shown)
    assert "other/x" not in shown.out
    shown = call(workspace, "plan", "--json", "--skip", "tools")
    assert [node["id"] for node in json.loads(shown.out)["nodes"]] == ["other/x"], str(shown)
    plan = call(workspace, "plan")
    assert plan.exit_code == 0, str(plan)
    assert "install shipapp" in plan.out


def test_drift_is_told_package_by_package(workspace: Path, apt: AptRoot) -> None:
    settings = f"prefixes: {{apt: {apt.root}}}\npackages: ['apt:shiptool=1.9-1', apt:shipapp, apt:shipother]"
    (workspace / "shipway.yml").write_text("version: 1\nname: test\n" + declared(settings))
    done = call(workspace, "run", "--yes")
    assert done.exit_code == 0, str(done)
    assert call(workspace, "drift").exit_code == 0
    apt.apt("install", "shiptool")
    apt.apt("remove", "shipapp")
    found = call(workspace, "drift")
    assert found.exit_code == 3, str(found)
    said = {
        line.split()[2].rpartition(":")[2]: line.split()[0] for line in found.out.splitlines() if " package " in line
    }
    assert said == {"shiptool": "drifted", "shipapp": "missing"}
    assert "1.10-1, was 1.9-1" in found.out


GREETER = """
    platforms: [Linux]
    scripts:
      install: {Common: greeter.sh, Unix: greeter.sh}
      provision: {Unix: greeter.sh}
      upgrade: {Unix: greeter.sh}
      unprovision: {Unix: greeter.sh}
      uninstall: {Unix: greeter.sh}
      cleanup: {Unix: greeter.sh}
"""
GREETS = """
install() { echo install >> greet; }
verify_install() { test -e greet || exit 3; }
provision() { echo provision >> greet; }
verify_provision() { test -e greet || exit 3; }
upgrade() { echo upgrade >> greet; }
verify_upgrade() { test -e greet || exit 3; }
unprovision() { test -e greet; }
uninstall() { rm greet; }
undo_uninstall() { echo again >> greet; }
cleanup() { rm -f greet; }
"""


@pytest.fixture
def greeter(workspace: Path) -> Path:
    define(workspace, "greeter", GREETER, {"greeter.sh": GREETS})
    settings = 'action: "${{ inputs.action }}"\ndefinitions: definitions\nplatform: Linux\npackages: [greeter]'
    inputs = "inputs: {action: {default: deploy}}\n"
    (workspace / "shipway.yml").write_text("version: 1\nname: test\n" + inputs + declared(settings))
    return workspace


def _acted(root: Path, action: str) -> None:
    done = call(root, "run", "--yes", "-q", "--input", f"action={action}")
    assert done.exit_code == 0, str(done)


def _there(root: Path, *options: str) -> list[str]:
    entries = json.loads(call(root, "state", "--json", *options).out)["entries"]
    return [f"{entry['kind']} {entry['name']}" for entry in entries]


def test_g105_what_scripts_install_is_a_package_in_the_state(greeter: Path) -> None:
    _acted(greeter, "deploy")
    steps = ["step tools.install/greeter-common", "step tools.provision/greeter-unix"]
    assert _there(greeter) == ["package greeter", *steps]
    _acted(greeter, "upgrade")
    assert _there(greeter) == ["package greeter", *steps]
    [entry, *_] = json.loads(call(greeter, "state", "--json", "--history").out)["entries"]
    assert [record["node"] for record in entry["history"]] == [
        "tools.install/greeter-unix",
        "tools.upgrade/greeter-unix",
    ]
    assert "leaves" not in entry["by"]["facts"]
    assert call(greeter, "drift").exit_code == 0


def test_g103_a_second_removal_by_scripts_plans_nothing(greeter: Path) -> None:
    _acted(greeter, "deploy")
    _acted(greeter, "decommission")
    assert not (greeter / "greet").exists() and _there(greeter) == []
    assert _there(greeter, "--all") == [
        "package greeter",
        "step tools.install/greeter-common",
        "step tools.provision/greeter-unix",
    ]
    plan = json.loads(call(greeter, "plan", "--json", "--input", "action=decommission").out)
    assert plan["nodes"] == []
    _acted(greeter, "deploy")
    assert "package greeter" in _there(greeter)
    plan = json.loads(call(greeter, "plan", "--json", "--input", "action=decommission").out)
    assert len(plan["nodes"]) == 3


def test_what_the_state_knows_nothing_of_is_removed_all_the_same(greeter: Path) -> None:
    (greeter / "greet").touch()
    _acted(greeter, "decommission")
    assert not (greeter / "greet").exists()


def test_what_was_upgraded_is_brought_back_by_what_installs_it(greeter: Path) -> None:
    _acted(greeter, "deploy")
    _acted(greeter, "upgrade")
    (greeter / "greet").unlink()
    assert call(greeter, "drift").exit_code == 3
    done = call(greeter, "run", "--reconcile", "--yes", "-q")
    assert done.exit_code == 0 and "not brought back" not in done.err, str(done)
    assert "install" in (greeter / "greet").read_text()


# Confidence.


def test_g120_confidence_is_fidelity(workspace: Path, apt: AptRoot) -> None:
    define(workspace, "vouched", "native: {Common: 'apt:shiptool=1.9-1'}\n")
    define(workspace, "ghost", "native: {Common: apt:nowhere}\n")

    def fidelity(package: str, more: str = "") -> tuple[Fidelity, str]:
        node = planned(workspace, f"prefixes: {{apt: {apt.root}}}\npackages: [{package}]\n{more}").nodes[0]
        return node.fidelity, node.why

    assert fidelity("vouched") == (Fidelity.EXACT, "")
    assert fidelity("'apt:shiptool=1.9-1'") == (Fidelity.PREDICTED, "known to apt, and vouched for by nobody")
    assert fidelity("apt:nowhere", "consent: [nowhere]") == (Fidelity.OPAQUE, "apt does not know `nowhere`")
    assert fidelity("ghost") == (Fidelity.OPAQUE, "apt does not know `nowhere`")


def test_g120_low_confidence_needs_consent(workspace: Path, apt: AptRoot) -> None:
    text = declared(f"prefixes: {{apt: {apt.root}}}\npackages:\n  - apt:shiptool\n  - apt:nowhere")
    ran = run(workspace, text, execute=False)
    assert "apt does not know `nowhere`, and no definition vouches for it" in ran.error.message
    assert ran.error.where is not None
    assert ran.error.where.file == "shipway.yml"


def test_a_prefix_that_is_not_there_is_told_from_a_package_that_nobody_knows(workspace: Path) -> None:
    offline = "    env: {PIP_NO_INDEX: '1'}\n"
    ran = run(workspace, declared("prefixes: {pip: .venv}\npackages: [pip:nowhere]", behind=offline), execute=False)
    assert "`.venv` is not there, so that pip cannot be asked about `nowhere`" in ran.error.message
    assert "make `.venv` first" in ran.error.message


# Features and settings.


def test_g117_features_are_explicit_ones_and_defaults(workspace: Path, apt: AptRoot) -> None:
    define(workspace, "many", "native: {Common: apt:shipapp}\nfeatures: {a: {}, b: {}, c: {}, d: {default: true}}\n")
    where = f"prefixes: {{apt: {apt.root}}}\n"

    def features(package: str, more: str = "") -> object:
        [shown] = shown_by(planned(workspace, f"{where}packages: [{package}]\n{more}"))
        return shown["features"]

    assert features("many: {with: [b, c]}", "features: [a, b]") == ["b", "c", "a", "d"]
    assert features("many: {with: [-d]}") == []
    assert features("many", "features: [-d, c]") == ["c"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{shipedit: {with: [lps]}}", "`shipedit`: there is no feature `lps`"),
        ("{shipedit: {settings: {them: dark}}}", "`shipedit`: there is no setting `them`"),
        ("{shipedit: {settings: {theme: red}}}", "`shipedit`: setting `theme` cannot be `red`"),
        (
            "{shipedit: {settings: {width: wide}}}",
            "`shipedit`: setting `width` is declared integer, and is the text `wide`",
        ),
        ("{gh: {with: [x]}}", "`gh` has no definition, and so no features"),
        ("port:wget", "there is no driver for `port`"),
        ("yum:wget", "there is no package manager `yum`"),
        ("''", "the name of a package is empty"),
        ("'brew:'", "the name of a package is empty"),
        ("{a: {}, b: {}}", "an entry is one package, and this has 2 names"),
        ("{gh: {wiht: [x]}}", "unknown option `wiht` of `gh`"),
        ("{gh: [x]}", "the options of `gh` must be a mapping"),
        ("3", "a package is a name, or a name with its options"),
        ("{shipedit: {with: lsp}}", "`with` must be a list"),
    ],
)
def test_g117_g118_what_is_wrong_is_said_with_its_place(workspace: Path, entry: str, said: str) -> None:
    assert refused(workspace, f"packages:\n  - {entry}") == [(said, "shipway.yml", 10)]


def test_g117_the_wrong_platform_is_an_error(workspace: Path) -> None:
    ran = run(workspace, declared("platform: Windows\ndefinitions: definitions\npackages: [shipedit]"), execute=False)
    [problem] = ran.error.problems
    assert problem.text == "`shipedit` is for Linux, Darwin, and this is Windows"


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ("features: [a]\n", "the manifest has no `packages`", 1),
        ("packages: gh\n", "`packages` must be a list", 1),
        ("packages:\n  - ''\n", "the name of a package is empty", 2),
        ("packages:\n  - {a: {}, b: {}}\n", "an entry is one package, and this has 2 names", 2),
        ("packages: [gh]\npakages: []\n", "unknown field `pakages` in the manifest", 2),
        ("packages:\n  - gh: {version: 1}\n", "unknown option `version` of `gh`", 2),
        ("packages:\n  - gh\n  - gh\n", "`gh` is listed twice", 3),
        ("packages:\n  - pip:${{ secrets.X }}\n", "an expression cannot stand here", 2),
        ("- gh\n", "the manifest must be a mapping", 1),
        ("packages: [gh\n", "neither `,` nor `]` in this list", 1),
    ],
)
def test_g118_a_manifest_is_checked_with_positions(workspace: Path, text: str, said: str, line: int) -> None:
    (workspace / "packages-manifest.yaml").write_text(text)
    found = refused(workspace, "manifest: packages-manifest.yaml")
    assert (found[0][1], found[0][2]) == ("packages-manifest.yaml", line), found
    assert found[0][0] == said


def test_g118_names_and_managers(workspace: Path, apt: AptRoot) -> None:
    (workspace / "list.yaml").write_text("packages: [apt:shiptool, {'apt:shipapp': }]\nfeatures: []\n")
    plan = planned(workspace, f"manifest: list.yaml\nprefixes: {{apt: {apt.root}}}")
    assert packages_of(plan, "tools.install/apt") == ["shiptool", "shipapp"]
    assert [(each["name"], each["manager"]) for each in shown_by(plan)] == [("shiptool", "apt"), ("shipapp", "apt")]


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ("platform: [Linux]\n", "unknown field `platform` in the definition", 1),
        ("platforms: [Linus]\n", "there is no platform `Linus`", 1),
        ("native:\n  Debian: apt:x\n", "there is no platform `Debian`", 2),
        ("features:\n  a: {defualt: true}\n", "unknown field `defualt` in feature `a`", 2),
        ("settings:\n  a: {type: text}\n", "setting `a` has the unknown type `text`", 2),
        ("settings:\n  a: {default: x, values: [y]}\n", "setting `a` cannot be `x`", 2),
        ("scripts:\n  instal: {Common: x.sh}\n", "there is no part `instal`", 2),
        ("scripts:\n  install: {Common: ../x.sh}\n", "a script is a file beside the definition", 2),
        ("verification: {pattern: x}\n", "`verification` needs `command`", 1),
        ("native: {Common: 'apt:${{ secrets.X }}'}\n", "an expression cannot stand here", 1),
    ],
)
def test_a_definition_is_checked_with_positions(workspace: Path, text: str, said: str, line: int) -> None:
    define(workspace, "odd", text)
    assert (said, "definitions/odd/package.yaml", line) in refused(workspace, "packages: [odd]")


def test_a_definition_without_the_required_part_is_refused(workspace: Path) -> None:
    define(workspace, "empty", "platforms: [Linux]\n")
    assert refused(workspace, "packages: [empty]") == [
        ("`empty` has no `install` for Linux.Debian: neither `native` nor a script", "shipway.yml", 9)
    ]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("packges: [x]", "unknown key `packges` in `with` of stage `tools`"),
        ("action: deploy", "`with` of stage `tools` needs one of `packages` and `manifest`, and has none"),
        ("packages: [x]\nmanifest: y", "`with` of stage `tools` needs one of `packages` and `manifest`, and has both"),
        ("packages: [x]\naction: deploi", "there is no action `deploi`"),
        ("packages: [x]\nupdate: maybe", "`update` must be `true` or `false`"),
        ("packages: [x]\nprefixes: {yum: x}", "there is no package manager `yum`"),
        ("packages: [x]\nconsent: x", "`consent` must be a list"),
        ("packages: [shipedit]\nfeatures: [nope]", "no package has the feature `nope`"),
        ("manifest: nowhere.yaml", "`nowhere.yaml` cannot be read: no such file or directory"),
        ("manifest: ../x.yaml", "`../x.yaml` leads out of the workspace"),
    ],
)
def test_the_stage_is_checked_with_positions(workspace: Path, settings: str, said: str) -> None:
    assert said in [text for text, file, _ in refused(workspace, settings) if file == "shipway.yml"]


def test_a_stage_of_packages_has_no_compensation(workspace: Path) -> None:
    text = declared("packages: [x]") + "    compensate: {steps: [{run: 'true'}]}\n"
    ran: Ran = run(workspace, text, Setting(), execute=False)
    assert "has parts, each of which is undone by itself" in ran.error.problems[0].text


def test_values_may_choose_the_packages(workspace: Path, apt: AptRoot) -> None:
    top = "values: {wanted: [apt:shiptool], act: upgrade}\n"
    apt.apt("install", "shiptool")
    text = declared(
        f'packages: "${{{{ values.wanted }}}}"\naction: "${{{{ values.act }}}}"\nprefixes: {{apt: {apt.root}}}', top=top
    )
    plan = run(workspace, text, execute=False).finished.plan
    assert plan is not None
    assert [node.id for node in plan.nodes] == ["tools.upgrade/apt"]
