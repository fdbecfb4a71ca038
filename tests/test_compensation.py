"""Shows what `compensate` does: planned with its stage, never run forward, first of all when the stage is rolled back."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipway.canonical import Json, canonical_bytes, digest, items_of, object_of
from shipway.effect_differences import differences
from shipway.errors import ShipwayError
from shipway.plan import Plan
from shipway.plan_file import load_plan
from shipway.render.blocks import Links
from shipway.render.plan_comment import plan_comment
from shipway.render.plan_text import render_plan
from shipway.render.receipt_comment import receipt_comment
from shipway.render.receipt_text import render_receipt
from tests.runs import Ran, Setting, run

_LADDER = """
defaults: {rollback: run}
stages:
  prepare:
    steps: [{id: a, run: echo do-prepare >> said, undo: echo undo-prepare >> said}]
    compensate: {steps: [{id: c, run: echo compensate-prepare >> said}]}
  install:
    needs: [prepare]
    steps: [{id: b, run: echo do-install >> said, undo: echo undo-install >> said}]
    compensate: {steps: [{id: c, run: echo compensate-install >> said}]}
  provision:
    needs: [install]
    steps: [{id: c, run: echo do-provision >> said; PROVISION, undo: echo undo-provision >> said}]
    compensate: {steps: [{id: d, run: echo compensate-provision >> said}]}
  verify:
    needs: [provision]
    steps: [{id: d, run: echo do-verify >> said}]
    compensate: {steps: [{id: e, run: echo compensate-verify >> said}]}
"""


def said(root: Path) -> list[str]:
    return (root / "said").read_text().split()


def rolled_back(ran: Ran) -> list[tuple[str, str]]:
    return [(entry.node, entry.outcome.value) for entry in ran.receipt.rollback]


def plan_of(root: Path, text: str) -> Plan:
    plan = run(root, text, execute=False).finished.plan
    assert plan is not None
    return plan


def test_g034_no_compensation_runs_where_every_stage_succeeds(tmp_path: Path) -> None:
    ran = run(tmp_path, _LADDER.replace("PROVISION", "true"))
    assert said(tmp_path) == ["do-prepare", "do-install", "do-provision", "do-verify"]
    assert {stage.outcome.value for stage in ran.receipt.stages} == {"succeeded"}
    assert (ran.exit_code, ran.receipt.rollback) == (0, ())


def test_case_49_g035_g041_stages_are_rolled_back_the_last_first_by_compensation_and_then_undos(
    tmp_path: Path,
) -> None:
    ran = run(tmp_path, _LADDER.replace("PROVISION", "exit 1"))
    assert said(tmp_path)[3:] == [
        f"{what}-{stage}" for stage in ("provision", "install", "prepare") for what in ("compensate", "undo")
    ]
    assert rolled_back(ran) == [
        ("provision.compensate/d", "succeeded"),
        ("provision/c", "undone"),
        ("install.compensate/c", "succeeded"),
        ("install/b", "undone"),
        ("prepare.compensate/c", "succeeded"),
        ("prepare/a", "undone"),
    ]
    assert (ran["verify/d"].outcome.value, ran["verify/d"].cause) == ("blocked", "provision/c")
    assert {stage.stage: stage.outcome.value for stage in ran.receipt.stages}["provision"] == "undone"
    assert [result.node for result in ran.receipt.failed] == ["provision/c"]
    assert ran.exit_code == 1


@pytest.mark.parametrize(("policy", "expected"), [("stage", ["compensate-provision", "undo-provision"]), ("none", [])])
def test_a_stage_is_compensated_where_it_is_rolled_back_and_nowhere_else(
    tmp_path: Path, policy: str, expected: list[str]
) -> None:
    text = _LADDER.replace("PROVISION", "exit 1").replace("rollback: run", f"rollback: {policy}")
    ran = run(tmp_path, text)
    assert said(tmp_path)[3:] == expected
    assert ran.exit_code == 1


def test_what_can_only_be_compensated_is_rolled_back_by_default(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        """
        stages:
          main:
            lasting: false
            steps: [{id: a, run: exit 1}]
            compensate: {steps: [{id: c, run: echo sorry >> said}]}
        """,
    )
    assert (said(tmp_path), rolled_back(ran)) == (["sorry"], [("main.compensate/c", "succeeded")])
    assert ran.exit_code == 1


def test_g042_a_compensation_that_fails_is_told_the_rest_is_rolled_back_and_the_run_exits_with_4(
    tmp_path: Path,
) -> None:
    ran = run(
        tmp_path,
        """
        stages:
          first: {steps: [{id: a, run: 'true', undo: echo undo-a >> said}]}
          second:
            needs: [first]
            steps: [{id: b, run: exit 1, undo: echo undo-b >> said}]
            compensate:
              steps:
                one: {run: 'echo it broke; exit 7'}
                two: {run: echo two >> said, needs: [one]}
                three: {run: echo three >> said}
                four: {run: echo four >> said, needs: [one], if: failure()}
        """,
    )
    assert rolled_back(ran) == [
        ("second.compensate/one", "failed"),
        ("second.compensate/two", "blocked"),
        ("second.compensate/three", "succeeded"),
        ("second.compensate/four", "succeeded"),
        ("second/b", "undone"),
        ("first/a", "undone"),
    ]
    assert said(tmp_path) == ["three", "four", "undo-b", "undo-a"]
    assert ran.exit_code == 4
    failed = ran.receipt.rollback[0]
    assert (failed.error, failed.tail, failed.attempts) == ("exit 7", "it broke", 1)
    shown = render_receipt(ran.receipt, ran.finished.plan, colour=False, columns=100)
    assert "second.compensate/one    failed: exit 7" in shown
    assert "blocked by second.compensate/one" in shown


def test_a_compensation_is_tried_as_often_as_its_retry_says(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        """
        stages:
          main:
            steps: [{id: a, run: exit 1, undo: 'true'}]
            compensate:
              steps: [{id: c, run: 'echo x >> said; test $(wc -l < said) = 3', retry: {attempts: 3, initial: 1ms}}]
        """,
    )
    assert (rolled_back(ran)[0], ran.receipt.rollback[0].attempts) == (("main.compensate/c", "succeeded"), 3)
    assert ran.exit_code == 1


def test_g043_unknown_ids_are_refused_when_the_document_is_loaded(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        """
        stages:
          main:
            steps: [{id: a, run: 'true', undo: 'true', outputs: {tag: string}}]
            compensate: {steps: [{id: c, run: 'true', env: {TAG: "${{ steps.a.outputs.tag }}"}}]}
        """,
    )
    assert load_plan(canonical_bytes(plan.document), lambda data: None).document == plan.document
    for forged, told in (
        (_forged(plan, needs=[{"node": "main/ghost", "kind": "promise", "resource": ""}]), "unknown node `main/ghost`"),
        (_forged(plan, env={"TAG": {"node": "main/ghost", "output": "tag"}}), "unknown node `main/ghost`"),
        (_forged(plan, id="main/c"), "does not belong there"),
        (_forged(plan, needs=[{"node": "main.compensate/c", "kind": "needs", "resource": ""}]), "needs itself"),
    ):
        with pytest.raises(ShipwayError, match=told):
            load_plan(forged, lambda data: None)


def _forged(plan: Plan, **fields: Json) -> bytes:
    body = {key: value for key, value in plan.document.items() if key != "digest"}
    [stage] = items_of(body["stages"])
    [node] = items_of(object_of(stage)["compensation"])
    body["stages"] = [{**object_of(stage), "compensation": [{**object_of(node), **fields}]}]
    return canonical_bytes({**body, "digest": digest(body)})


def test_g044_a_compensation_is_given_outputs_of_its_stage_and_nothing_for_what_never_came(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        """
        secrets: [TOKEN]
        stages:
          build: {lasting: false, steps: [{id: image, run: 'echo tag=v7 >> "$SHIPWAY_OUTPUT"', outputs: {tag: string}}]}
          main:
            env: {TAG: "${{ stages.build.outputs.tag }}"}
            steps:
              - {id: a, run: 'echo at=here >> "$SHIPWAY_OUTPUT"', outputs: {at: string}, lasting: false}
              - {id: b, run: exit 1, outputs: {never: string}, lasting: false}
            compensate:
              steps:
                - id: tell
                  run: 'echo "$TAG,$AT,$NEVER,$B,$TOKEN,$SHIPWAY_OUTCOME" > said; echo told=yes >> "$SHIPWAY_OUTPUT"'
                  outputs: {told: string}
                  env:
                    AT: "${{ steps.a.outputs.at }}"
                    NEVER: "${{ steps.b.outputs.never }}"
                    B: "${{ steps.b.outcome }}"
                    TOKEN: "${{ secrets.TOKEN }}"
                - {id: again, run: 'echo "$TOLD" >> said', env: {TOLD: "${{ steps.tell.outputs.told }}"}}
                - {id: not, run: echo not >> said, if: steps.b.outcome == 'succeeded'}
                - {id: note, uses: file.write, with: {path: note, content: "at ${{ steps.a.outputs.at }}"}}
        """,
        Setting(env={"TOKEN": "t0k3n-of-the-deployment"}),
    )
    assert said(tmp_path) == ["v7,here,,failed,t0k3n-of-the-deployment,failed", "yes"]
    assert (tmp_path / "note").read_text() == "at here"
    assert [outcome for _, outcome in rolled_back(ran)] == ["succeeded", "succeeded", "skipped", "succeeded"]
    assert ran.exit_code == 1


def test_a_secret_that_only_a_compensation_names_must_be_set_before_anything_starts(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        """
        secrets: [TOKEN]
        stages:
          main:
            steps: [{id: a, run: touch begun}]
            compensate: {steps: [{id: c, run: 'true', env: {TOKEN: "${{ secrets.TOKEN }}"}}]}
        """,
    )
    assert "`TOKEN` (named by `main.compensate/c`)" in ran.error.message
    assert not (tmp_path / "begun").exists()


def test_a_stage_that_could_not_begin_is_not_compensated(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        """
        stages:
          first: {steps: [{id: a, run: 'true', undo: 'true'}, {id: b, run: exit 1}]}
          second:
            needs: [first]
            steps: [{id: c, run: 'true', undo: 'true'}]
            compensate: {steps: [{run: touch compensated}]}
        """,
    )
    assert [node for node, _ in rolled_back(ran)] == ["first/b", "first/a"]
    assert not (tmp_path / "compensated").exists()


def test_what_runs_on_rollback_is_part_of_the_effect_and_of_what_is_shown(tmp_path: Path) -> None:
    text = """
        stages:
          main:
            steps: [{id: a, run: 'true', undo: 'true'}, {id: mail, run: 'true'}]
            compensate: {steps: [{id: announce, run: ./announce sorry}]}
        """
    before, after = plan_of(tmp_path, text), plan_of(tmp_path, text.replace("sorry", "again"))
    assert before.effect != after.effect
    assert [str(each) for each in differences(before, after)] == ["main: compensation"]
    assert [node.id for node in before.nodes] == ["main/a", "main/mail"]
    preview = before.on_rollback
    assert preview.point_of_no_return == "main/mail"
    assert [each.compensated for each in preview.stages] == [("main.compensate/announce",)]
    shown = render_plan(before, colour=False, columns=100)
    assert "run announce\n" in shown
    assert "only on rollback" in shown
    assert "Once main/mail has begun, not everything can be undone." in shown
    comment = plan_comment(before, budget=60_000, links=Links())
    assert "- main: run `announce`; undo `a`; **stays**: `mail`" in comment
    assert "cannot be undone after `main/mail`" in comment
    assert "only on rollback" in comment
    assert "./announce sorry" in comment


@pytest.mark.parametrize(("lasting", "outcome", "code"), [(True, "not_undoable", 4), (False, "succeeded", 1)])
def test_case_51_what_stays_was_said_before_and_only_lasting_work_that_stays_exits_with_4(
    tmp_path: Path, lasting: bool, outcome: str, code: int
) -> None:
    text = f"""
        steps:
          - {{id: a, run: 'true', undo: 'true'}}
          - {{id: mail, run: 'true', lasting: {str(lasting).lower()}}}
          - {{id: c, run: exit 1, undo: 'true'}}
        """
    comment = plan_comment(plan_of(tmp_path, text), budget=60_000, links=Links())
    assert ("cannot be undone after `main/mail`" in comment, "**stays**: `mail`" in comment) == (lasting, lasting)
    ran = run(tmp_path, text)
    assert ran.outcomes == {"a": "undone", "mail": outcome, "c": "undone"}
    assert ran.exit_code == code


def test_a_comment_tells_what_became_of_compensations(tmp_path: Path) -> None:
    ran = run(tmp_path, _LADDER.replace("PROVISION", "exit 1").replace("echo compensate-install >> said", "exit 5"))
    comment = receipt_comment(ran.receipt, ran.finished.plan, budget=60_000, links=Links())
    assert "**Rolled back, but for 1 node**, in this order:" in comment
    assert "- `provision.compensate/d`: ran in " in comment
    assert "- `install.compensate/c`: **failed**: `exit 5`" in comment


def test_what_will_never_run_is_no_point_of_no_return(tmp_path: Path) -> None:
    text = """
        values: {wanted: false}
        stages:
          main:
            steps:
              - {id: a, run: 'true', undo: 'true'}
              - {id: mail, run: 'true', if: values.wanted}
              - {id: pick, if: values.wanted, steps: [{id: one, run: 'true'}]}
        """
    preview = plan_of(tmp_path, text).on_rollback
    assert preview.point_of_no_return is None
    assert [(each.undone, each.stays) for each in preview.stages] == [(("main/a",), ())]
