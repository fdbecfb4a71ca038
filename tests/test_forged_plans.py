"""Plans that were edited and sealed again: what an editor gains by any field, and what is refused for what reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipway.canonical import Json, canonical_bytes, digest, items_of, object_of
from shipway.commands.documents import read_plan
from shipway.declaration import OnCancel
from shipway.errors import Reason, ShipwayError
from shipway.nodes import Change, Node
from shipway.plan import Plan, PlannedSource
from tests.runs import Setting, call, declare, run

_LIFECYCLE = """
    stages:
      build:
        steps:
          a: {run: echo a >> order, undo: echo undo-a >> order}
          b: {run: echo b >> order, undo: echo undo-b >> order, needs: [a]}
      release:
        needs: [build]
        if: ${{ stages.build.steps.b.outcome == 'succeeded' }}
        steps:
          c: {run: echo c >> order; exit 1}
    """

_HONEST = ["a", "b", "c", "undo-b", "undo-a"]


def _nodes(edit: Callable[[Node], Node]) -> Callable[[Plan], Plan]:
    return lambda plan: replace(plan, nodes=tuple(map(edit, plan.nodes)))


@pytest.mark.parametrize(
    "forge",
    [
        _nodes(lambda node: replace(node, reversible=False)),
        _nodes(lambda node: replace(node, change=Change.NOOP)),
        _nodes(lambda node: replace(node, stage="release") if node.step == "b" else node),
        _nodes(lambda node: replace(node, predicted={"x": "forged"}, title="harmless", before={}, after={})),
        lambda plan: replace(plan, nodes=plan.nodes[::-1]),
        lambda plan: replace(plan, stages=plan.stages[::-1]),
        lambda plan: replace(plan, stages=tuple(replace(stage, parallel=1) for stage in plan.stages)),
        lambda plan: replace(plan, parallel=10**9, on_cancel=OnCancel.LEAVE, secrets=("PATH",)),
        lambda plan: replace(plan, source=PlannedSource("other.yml", ("other.yml",), "sha256:" + "0" * 64)),
    ],
    ids=["reversible", "change", "stage", "views", "node order", "stage order", "stage parallel", "policies", "source"],
)
def test_no_field_that_the_effect_does_not_cover_changes_what_is_executed(
    tmp_path: Path, forge: Callable[[Plan], Plan]
) -> None:
    honest = run(tmp_path, _LIFECYCLE, execute=False).finished.plan
    assert honest is not None
    forged = forge(honest)
    assert (forged != honest, forged.effect) == (True, honest.effect)
    ran = run(tmp_path, setting=Setting(given=forged))
    assert (tmp_path / "order").read_text().split() == _HONEST
    assert ran.finished.plan == honest
    assert ran.receipt.plan_digest == honest.digest
    assert ran.receipt.approved == forged.effect


def _sealed(plan: Plan, **more: Json) -> bytes:
    document = {**plan.document, **more}
    return canonical_bytes({**document, "digest": digest(document)})


def _with_nodes(**more: Json) -> Callable[[Plan], bytes]:
    """The plan with these keys in each of its nodes."""
    return lambda plan: _sealed(plan, nodes=[{**node, **more} for node in map(object_of, _part(plan, "nodes"))])


def _part(plan: Plan, name: str) -> list[Json]:
    return list(items_of(plan.document[name]))


@pytest.mark.parametrize(
    "forge",
    [
        lambda plan: _sealed(plan, nodes=_part(plan, "nodes")[:1] * 2),
        lambda plan: _sealed(plan, stages=_part(plan, "stages")[:1] * 2),
        _with_nodes(stage="release"),
        _with_nodes(stage="nowhere", id="nowhere/a"),
        _with_nodes(id="../../a", stage=".."),
        _with_nodes(needs=[{"node": "build/b", "kind": "needs", "resource": ""}]),
        _with_nodes(needs=[{"node": "build/gone", "kind": "needs", "resource": ""}]),
    ],
    ids=["node twice", "stage twice", "another stage", "no stage", "path", "circle", "unknown need"],
)
def test_a_plan_whose_nodes_make_no_graph_is_refused_with_words(tmp_path: Path, forge: Callable[[Plan], bytes]) -> None:
    plan = run(tmp_path, _LIFECYCLE, execute=False).finished.plan
    assert plan is not None
    (tmp_path / "forged.json").write_bytes(forge(plan))
    with pytest.raises(ShipwayError) as raised:
        read_plan(tmp_path / "forged.json")
    assert raised.value.reason is Reason.DOCUMENT_INVALID


def test_a_rollback_shown_otherwise_than_it_would_be_is_refused(tmp_path: Path) -> None:
    plan = run(tmp_path, _LIFECYCLE, execute=False).finished.plan
    assert plan is not None
    (tmp_path / "forged.json").write_bytes(_sealed(plan, on_rollback={"stages": [], "point_of_no_return": None}))
    with pytest.raises(ShipwayError) as raised:
        read_plan(tmp_path / "forged.json")
    assert raised.value.reason is Reason.PLAN_DIGEST


def test_a_plan_cannot_name_a_declaration_outside_the_checkout(tmp_path: Path) -> None:
    checkout, outside = tmp_path / "checkout", tmp_path / "outside"
    for place in (checkout, outside):
        place.mkdir()
        declare(place, f"steps: {{a: {{run: touch {place.name}}}}}\n")
    plan = run(outside, execute=False).finished.plan
    assert plan is not None
    for name in ("../outside/shipway.yml", str(outside / "shipway.yml")):
        source = replace(plan.source, file=name, files=(name,))
        (checkout / "forged.json").write_bytes(_sealed(replace(plan, source=source)))
        refused = call(checkout, "apply", "forged.json", "--yes")
        assert refused.exit_code == 5, refused
        assert "outside this checkout" in refused.err
    assert not (checkout / "checkout").exists()
    assert not (checkout / "outside").exists()
    assert not (outside / "outside").exists()
