"""Whether what would run now is what was approved: all of it, or what is left of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shipway.approvals import AccountedNode, ApprovalRule
from shipway.commands.documents import read_document, read_plan
from shipway.coverage import covered, nothing_done
from shipway.errors import VerificationError
from shipway.limits import Limit
from shipway.nodes import Change, Fidelity, Node
from shipway.plan import Plan
from shipway.planning import Selection, select
from shipway.receipt import Receipt
from tests.command_line import Project, make_project
from tests.runs import run

LIFECYCLE = """
    stages:
      build: {lasting: false, steps: [{id: image, run: echo build}, {id: sign, run: echo sign}]}
      release:
        needs: [build]
        approval: required
        steps:
          - {id: back, run: echo back}
          - {id: up, run: echo up, undo: echo down}
          - {id: each, gather: [eu, us], run: echo each}
    """
SKIP_BUILD = Selection(skip=("build",))


def _plan(tmp_path: Path, text: str = LIFECYCLE) -> Plan:
    plan = run(tmp_path, text, execute=False).finished.plan
    assert plan is not None
    return plan


def _without(plan: Plan, selection: Selection) -> Plan:
    stages, nodes = select(plan.stages, plan.nodes, selection)
    return replace(plan, stages=tuple(stages), nodes=tuple(nodes))


def _done(*nodes: str) -> Callable[[str], Mapping[str, str]]:
    return lambda effect: dict.fromkeys(nodes, "succeeded in run 1")


_NAMES = ("build", "release", "build/image", "build/sign", "release/back", "release/up", "release/each")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return _plan(tmp_path_factory.mktemp("whole"))


@given(left_out=st.sets(st.sampled_from(_NAMES)), data=st.data())
def test_case_28_whatever_is_left_out_is_accounted_for_or_refused(
    whole: Plan, left_out: set[str], data: st.DataObject
) -> None:
    selection = Selection(skip=tuple(left_out))
    now = _without(whole, selection)
    lacking = [node.id for node in whole.nodes if node.id not in now.by_id]
    assert [each.node for each in covered(whole, now, selection, _done(*lacking))] == lacking
    if lacking:
        undone = data.draw(st.sampled_from(lacking))
        with pytest.raises(VerificationError, match=f"  {re.escape(undone)}: left out"):
            covered(whole, now, selection, _done(*(node for node in whole.by_id if node != undone)))
        with pytest.raises(VerificationError):
            covered(whole, now, Selection(), _done(*whole.by_id))


def _edited(plan: Plan, node: str, **changes: object) -> Plan:
    nodes = (replace(each, **changes) if each.id == node else each for each in plan.nodes)
    return replace(plan, nodes=tuple(nodes))


def test_case_37_the_same_effect_is_what_was_approved(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    other = replace(plan, source=replace(plan.source, commit="c" * 40), shipway="9.9")
    assert covered(plan, other, Selection(), nothing_done) == ()


@pytest.mark.parametrize(
    "selection",
    [SKIP_BUILD, Selection(stages=("release",)), Selection(skip=("build/image", "build/sign", "build"))],
    ids=["skip", "stage", "names"],
)
def test_case_28_a_plan_that_lacks_only_what_is_done_is_covered(tmp_path: Path, selection: Selection) -> None:
    plan = _plan(tmp_path)
    found = covered(plan, _without(plan, selection), selection, _done("build/image", "build/sign", "other"))
    why = "succeeded in run 1"
    assert found == (AccountedNode("build/image", why), AccountedNode("build/sign", why))


def test_case_28_what_is_left_out_in_the_middle_of_a_list_keeps_the_edges_around_it(tmp_path: Path) -> None:
    plan, selection = _plan(tmp_path), Selection(skip=("release/up",))
    assert covered(plan, _without(plan, selection), selection, _done("release/up"))


def test_case_29_what_is_left_out_and_not_done_is_listed(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    with pytest.raises(VerificationError) as refused:
        covered(plan, _without(plan, SKIP_BUILD), SKIP_BUILD, _done("build/image"))
    assert refused.value.reason == "plan-differs"
    assert "  build/sign: left out, and no run of what was approved has done it" in refused.value.message
    assert "build/image" not in refused.value.message


@pytest.mark.parametrize(
    ("edit", "listed"),
    [
        (("echo sign}]", "echo sign}, {id: more, run: echo more}]"), "build/more: added"),
        ((", {id: sign, run: echo sign}", ""), "build/sign: removed"),
        (("[eu, us]", "[eu]"), "release/each[us]: removed"),
        (("echo up,", "echo UP,"), "release/up: slots"),
        (("approval: required", "approval: {reviews: 2}"), "release: approval"),
        (("        approval: required\n", ""), "release: approval"),
    ],
    ids=["new", "gone", "fewer items", "another script", "another rule", "no rule"],
)
def test_cases_23_and_29_another_declaration_is_another_plan_also_where_what_is_gone_is_done(
    tmp_path: Path, edit: tuple[str, str], listed: str
) -> None:
    plan = _plan(tmp_path)
    now = _plan(tmp_path, LIFECYCLE.replace(*edit))
    every = _done(*plan.by_id)
    for selection in (Selection(), Selection(skip=("release/back",))):
        with pytest.raises(VerificationError) as refused:
            covered(plan, _without(now, selection), selection, every)
        assert refused.value.reason == "declaration-changed"
        assert listed in refused.value.message


def test_case_23_a_comment_in_the_declaration_changes_nothing(tmp_path: Path) -> None:
    assert covered(_plan(tmp_path), _plan(tmp_path, "\n    # a comment" + LIFECYCLE), Selection(), nothing_done) == ()


def test_case_20_a_difference_names_node_and_field(tmp_path: Path) -> None:
    tagged = LIFECYCLE.replace("echo up,", "'true', env: {TAG: \"${{ github.sha }}\"},")
    assert covered(_plan(tmp_path, tagged), _plan(tmp_path, tagged), Selection(), nothing_done) == ()
    with pytest.raises(VerificationError, match="release/up: env"):
        covered(
            _plan(tmp_path, tagged),
            _plan(tmp_path, tagged.replace("${{ github.sha }}", "1f2e3d4")),
            Selection(),
            nothing_done,
        )


def test_case_24_another_contract_is_refused_and_another_version_is_not(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    newer = replace(plan, stages=tuple(replace(stage, contract=stage.contract + 1) for stage in plan.stages))
    with pytest.raises(VerificationError) as refused:
        covered(plan, newer, Selection(), nothing_done)
    assert refused.value.reason == "version-changed"


def _exact(change: Change, after: object) -> dict[str, object]:
    return {"change": change, "fidelity": Fidelity.EXACT, "after": after}


@pytest.mark.parametrize(
    ("before", "after", "is_refused"),
    [
        (_exact(Change.UPDATE, "x"), _exact(Change.REPLACE, "x"), True),
        (_exact(Change.UPDATE, "x"), _exact(Change.DELETE, None), True),
        (_exact(Change.NOOP, "x"), _exact(Change.DELETE, None), True),
        (_exact(Change.UPDATE, "x"), _exact(Change.UPDATE, "y"), True),
        (_exact(Change.DELETE, None), _exact(Change.DELETE, None), False),
        (_exact(Change.REPLACE, "x"), _exact(Change.UPDATE, "x"), False),
        (_exact(Change.CREATE, "x"), _exact(Change.NOOP, "x"), False),
        ({"change": Change.RUN, "fidelity": Fidelity.OPAQUE}, _exact(Change.DELETE, None), False),
        ({"change": Change.RUN, "fidelity": Fidelity.PREDICTED}, _exact(Change.DELETE, None), True),
    ],
)
def test_case_29_what_would_be_done_to_the_world_may_not_become_worse(
    tmp_path: Path, before: dict[str, object], after: dict[str, object], is_refused: bool
) -> None:
    plan = _plan(tmp_path)
    approved, now = _edited(plan, "release/up", **before), _edited(plan, "release/up", **after)
    assert approved.effect == now.effect
    if not is_refused:
        assert covered(approved, now, Selection(), nothing_done) == ()
        return
    with pytest.raises(VerificationError) as refused:
        covered(approved, now, Selection(), nothing_done)
    assert refused.value.reason == "plan-differs"
    assert "release/up:" in refused.value.message


def test_a_rule_is_part_of_the_effect_and_of_the_document(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    assert plan.approval_rules == {"release": ApprovalRule()}
    assert all(isinstance(node, Node) for node in plan.nodes)


def _kept_plan(project: Project) -> str:
    """The effect of `plan.json`, whose last stage fails until the file `ready` is there."""
    text = LIFECYCLE.replace("echo up,", "'test -e ../ready',")
    project.write({"shipway.yml": f"    version: 1\n    name: shop{text}", ".gitignore": ".shipway/\nplan.json\n"})
    project.commit()
    project.call("plan", "-o", "plan.json", "-q")
    return read_plan(project.root / "plan.json").effect


@pytest.mark.parametrize("journal", ["kept", "lost"])
def test_case_28_what_a_failed_run_has_done_may_be_left_out_of_what_was_approved(tmp_path: Path, journal: str) -> None:
    project = make_project(tmp_path)
    text = LIFECYCLE.replace("echo up,", "'test -e ../ready',").replace(
        "    stages", "    version: 1\n    name: shop\n    stages", 1
    )
    project.write({"shipway.yml": text, ".gitignore": ".shipway/\nplan.json\n"})
    project.commit()
    project.call("plan", "-o", "plan.json", "-q")
    effect = read_plan(project.root / "plan.json").effect
    refused = project.call("apply", "plan.json", "--skip", "build", "--approve", effect, code=5)
    assert "build/image: left out, and no run of what was approved has done it" in refused.err
    project.call("apply", "plan.json", "--approve", effect, code=4)
    project.write({"../ready": ""})
    if journal == "lost":
        for path in (project.root / ".shipway").glob("journal*"):
            path.unlink()
    done = project.call("apply", "plan.json", "--skip", "build", "--approve", effect, env={"USER": "ana"})
    assert "left out   build/image: succeeded in run" in done.out
    newest = max((project.root / ".shipway/receipts").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    receipt = read_document(newest)
    assert isinstance(receipt, Receipt)
    assert [each.node for each in receipt.accounted] == ["build/image", "build/sign"]
    assert [approval.effect for approval in receipt.approvals] == [effect]
    assert ("by its receipt" in receipt.accounted[0].why) is (journal == "lost")


def test_what_another_run_has_changed_since_is_not_accounted_for(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    text = LIFECYCLE.replace("echo up,", "'test -e ../ready',").replace(
        "    stages", "    version: 1\n    name: shop\n    stages", 1
    )
    project.write({"shipway.yml": text, ".gitignore": ".shipway/\nplan.json\n"})
    project.commit()
    project.call("plan", "-o", "plan.json", "-q")
    effect = read_plan(project.root / "plan.json").effect
    project.call("apply", "plan.json", "--approve", effect, code=4)
    project.call("run", "--yes", "--stage", "build")
    project.call("apply", "plan.json", "--skip", "build", "--approve", effect, code=5)


def _applied_in_part(project: Project, *words: str, code: int = 0) -> str:
    effect = read_plan(project.root / "plan.json").effect
    done = project.call("apply", "plan.json", "--approve", effect, *words, code=code)
    return done.err if code else done.out


def _shop(tmp_path: Path, stages: str) -> Project:
    project = make_project(tmp_path)
    project.write(
        {"shipway.yml": f"version: 1\nname: shop\nstages:\n{stages}", ".gitignore": ".shipway/\nplan.json\nout\n"}
    )
    project.commit()
    return project


def test_case_28_what_is_left_may_be_what_cannot_be_undone(tmp_path: Path) -> None:
    project = _shop(
        tmp_path,
        "  build: {steps: [{id: image, run: echo build, undo: echo away}]}\n"
        "  release: {needs: [build], approval: required, steps: [{id: up, run: echo up}]}\n",
    )
    project.call("plan", "-o", "plan.json", "-q")
    assert "image: left out, and no run" in _applied_in_part(project, "--skip", "build", code=5)
    _applied_in_part(project)
    assert "left out   build/image: succeeded in run" in _applied_in_part(project, "--skip", "build")


def test_case_28_a_limit_that_only_what_is_left_out_brought_along_is_left_out_too(tmp_path: Path) -> None:
    plan = _edited(_plan(tmp_path), "build/image", limits=("apt",))
    plan = replace(plan, limits={"apt": Limit(), "db": Limit()})
    now = replace(_without(plan, SKIP_BUILD), limits={"db": Limit()})
    assert covered(plan, now, SKIP_BUILD, _done("build/image", "build/sign"))
    with pytest.raises(VerificationError, match="limits"):
        covered(plan, replace(plan, limits={"db": Limit()}), Selection(skip=("release/up",)), _done("release/up"))


@pytest.mark.parametrize("journal", ["kept", "lost"])
def test_what_a_later_run_only_found_is_not_accounted_for_once_it_was_rolled_back(tmp_path: Path, journal: str) -> None:
    project = _shop(
        tmp_path,
        "  build: {steps: [{id: text, uses: file.write, with: {path: out, content: x}}]}\n"
        "  release: {needs: [build], lasting: false, approval: required, steps: [{id: up, run: echo up}]}\n",
    )
    project.call("plan", "-o", "plan.json", "-q")
    _applied_in_part(project)
    _applied_in_part(project)
    (project.root / "out").rename(project.root / "aside")
    assert "left out   build/text: succeeded in run" in _applied_in_part(project, "--skip", "build")
    (project.root / "aside").rename(project.root / "out")
    project.call("rollback", "--yes")
    assert not (project.root / "out").exists()
    if journal == "lost":
        for path in (project.root / ".shipway").glob("journal*"):
            path.unlink()
    assert "text: left out, and no run" in _applied_in_part(project, "--skip", "build", code=5)


def test_case_28_what_needs_nothing_by_now_may_be_left_out_of_what_was_approved(tmp_path: Path) -> None:
    project = _shop(
        tmp_path,
        "  build: {steps: [{id: text, uses: file.write, with: {path: out, content: x}}]}\n"
        "  release: {needs: [build], approval: required, steps: [{id: up, run: echo up}]}\n",
    )
    project.call("plan", "-o", "plan.json", "-q")
    assert "text: left out, and no run" in _applied_in_part(project, "--skip", "build", code=5)
    project.write({"out": "x"})
    told = _applied_in_part(project, "--skip", "build")
    assert "left out   build/text: nothing to do, it is so already" in told
    newest = max((project.root / ".shipway/receipts").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    receipt = read_document(newest)
    assert isinstance(receipt, Receipt)
    assert receipt.accounted == (AccountedNode("build/text", "nothing to do, it is so already"),)


def test_case_29_what_needs_nothing_by_another_plan_is_not_accounted_for(tmp_path: Path) -> None:
    project = _shop(
        tmp_path,
        "  build: {steps: [{id: text, uses: file.write, with: {path: out, content: x}}]}\n"
        "  release: {needs: [build], approval: required, steps: [{id: up, run: echo up}]}\n",
    )
    project.call("plan", "-o", "plan.json", "-q")
    text = (project.root / "shipway.yml").read_text()
    project.write({"shipway.yml": text.replace("content: x", "content: y"), "out": "y"})
    assert "text: left out, and no run" in _applied_in_part(project, "--skip", "build", code=5)
