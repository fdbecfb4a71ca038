"""Case 75: an output that comes out otherwise than its `plan` command predicted stops the run before anything builds on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shipway.errors import EXIT_NOT_UNDONE, EXIT_UNVERIFIED, Reason
from shipway.run_record import UNFINISHED
from tests.command_line import make_project
from tests.kills import Mortals
from tests.runs import Ran, Setting, call, journal_of, run, stage
from tests.test_resume import resume

TAGGED = """
image:
  plan: echo "tag=$(cat planned)" >> "$SHIPWAY_OUTPUT"
  run: echo image >> told; echo "tag=$(cat built)" >> "$SHIPWAY_OUTPUT"
  undo: echo "undo image $SHIPWAY_OUTPUT_TAG" >> told
  outputs: {tag: string}
  reads: [shipway.yml]
"""
VERIFIED = "  verify: test -e told || exit 3; test $(grep -c undo told) = 0 || exit 3\n"
ROLLOUT = """
rollout:
  run: echo "rollout $TAG" >> told
  env: {TAG: "${{ steps.image.outputs.tag }}"}
  reads: [shipway.yml]
"""


@pytest.fixture(scope="module")
def mortals() -> Iterator[Mortals]:
    with Mortals() as found:
        yield found


def tags(root: Path, planned: str, built: str) -> None:
    (root / "planned").write_text(planned)
    (root / "built").write_text(built)


def told(root: Path) -> list[str]:
    path = root / "told"
    return path.read_text().splitlines() if path.exists() else []


def check_broken(ran: Ran) -> None:
    error = ran.error
    assert (error.exit_code, error.reason) == (EXIT_UNVERIFIED, Reason.PREDICTION_BROKEN)
    assert "`main/image`" in error.message
    assert "output `tag` came out as `2.0`, and the plan predicted `1.0`" in error.message


def test_case_75_no_dependent_starts_and_what_was_begun_is_undone(tmp_path: Path) -> None:
    tags(tmp_path, "1.0", "2.0")
    ran = run(tmp_path, stage(TAGGED + ROLLOUT, lasting=True))
    check_broken(ran)
    assert told(tmp_path) == ["image", "undo image 2.0"]
    assert ran.outcomes == {"image": "undone", "rollout": "blocked"}
    attempt = ran["main/image"].attempts[-1]
    assert (attempt.code, attempt.outcome.value) == ("prediction-broken", "failed")
    assert "predicted `1.0`" in attempt.error
    history = journal_of(tmp_path).read(ran.receipt.run).history
    assert history[0].code == "prediction-broken"


def test_case_75_what_comes_out_as_predicted_goes_on(tmp_path: Path) -> None:
    tags(tmp_path, "1.0", "1.0")
    ran = run(tmp_path, stage(TAGGED + ROLLOUT, lasting=True))
    assert ran.finished.error is None
    assert told(tmp_path) == ["image", "rollout 1.0"]


def test_case_75_an_output_that_never_comes_is_not_what_was_predicted(tmp_path: Path) -> None:
    step = """
    - id: image
      plan: echo tag=1.0 >> "$SHIPWAY_OUTPUT"
      run: "true"
      outputs: {tag: {type: string, required: false}}
    - {id: rollout, run: echo rollout >> told}
    """
    ran = run(tmp_path, stage(step))
    assert "output `tag` was not written" in ran.error.message
    assert told(tmp_path) == []


@pytest.mark.parametrize(
    "tolerant",
    ["  allow_failure: true\n", "  retry: {attempts: 3, initial: 1ms}\n", ""],
    ids=["allow_failure", "retry", "on_failure: continue"],
)
def test_case_75_nothing_that_tolerates_a_failure_tolerates_it(tmp_path: Path, tolerant: str) -> None:
    tags(tmp_path, "1.0", "2.0")
    policy = "on_failure: continue" if not tolerant else ""
    later = "other: {run: echo other >> told, needs: [first]}\nfirst: {run: echo first >> told, needs: [image]}\n"
    optional = "last: {run: echo last >> told, optional_needs: [image]}\n"
    ran = run(tmp_path, stage(TAGGED + tolerant + ROLLOUT + later + optional, lasting=True, defaults=policy))
    check_broken(ran)
    assert told(tmp_path) == ["image", "undo image 2.0"]


def test_case_75_a_step_that_reacts_to_failure_runs_and_is_not_handed_the_output(tmp_path: Path) -> None:
    tags(tmp_path, "1.0", "2.0")
    react = """
told:
  run: echo "told <$TAG>" >> told
  env: {TAG: "${{ steps.image.outputs.tag }}"}
  if: always()
  lasting: false
"""
    check_broken(ran := run(tmp_path, stage(TAGGED + react, lasting=True)))
    assert ran.outcomes["told"] in ("succeeded", "failed")
    assert not [line for line in told(tmp_path) if line.startswith("told") and "2.0" in line]


def test_case_75_rollback_follows_the_policy_and_an_undo_that_fails_is_told_first(tmp_path: Path) -> None:
    tags(tmp_path, "1.0", "2.0")
    ran = run(tmp_path, stage(TAGGED + ROLLOUT, lasting=True, defaults="rollback: none"))
    check_broken(ran)
    assert told(tmp_path) == ["image"]
    broken_undo = TAGGED.replace("undo: echo", "undo: exit 1 #")
    project = make_project(tmp_path)
    tags(project.root, "1.0", "2.0")
    project.write({"shipway.yml": "version: 1\nname: test\n" + stage(broken_undo + ROLLOUT, lasting=True)})
    done = call(project.root, "run", "--yes")
    assert done.exit_code == EXIT_NOT_UNDONE, done
    assert "did not come out as planned" in done.err


def test_case_75_the_command_says_node_and_output_and_exits_with_5(tmp_path: Path) -> None:
    tags(tmp_path, "1.0", "2.0")
    (tmp_path / "shipway.yml").write_text("version: 1\nname: test\n" + stage(TAGGED + ROLLOUT, lasting=True))
    done = call(tmp_path, "run", "--yes")
    assert done.exit_code == EXIT_UNVERIFIED, done
    assert "`main/image` did not come out as planned" in done.err
    assert "shipway plan --target default, to look at a new plan" in done.out
    assert "shipway resume" not in done.out  # it would be held to what was predicted
    assert "rollout 2.0" not in "\n".join(told(tmp_path))


def test_case_75_a_secret_in_what_came_out_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "shipway.yml").write_text(
        "version: 1\nname: test\nsecrets: [TOKEN]\n"
        "steps:\n"
        "  - id: a\n"
        "    plan: echo tag=1 >> $SHIPWAY_OUTPUT\n"
        "    run: echo tag=$TOKEN >> $SHIPWAY_OUTPUT\n"
        "    env: {TOKEN: '${{ secrets.TOKEN }}'}\n"
        "    outputs: {tag: string}\n"
    )
    done = call(tmp_path, "run", "--yes", env={"TOKEN": "correct-horse"})
    assert done.exit_code == EXIT_UNVERIFIED, done
    assert "correct-horse" not in done.out + done.err


def test_case_75_a_plan_that_was_looked_at_is_held_to_what_it_predicted(tmp_path: Path) -> None:
    tags(tmp_path, "1.0", "1.0")
    looked_at = run(tmp_path, stage(TAGGED + ROLLOUT, lasting=True), execute=False).finished.plan
    assert looked_at is not None
    tags(tmp_path, "2.0", "2.0")
    ran = run(tmp_path, setting=Setting(given=looked_at))
    assert (ran.error.exit_code, ran.error.reason) == (EXIT_UNVERIFIED, Reason.PREDICTION_BROKEN)
    assert "main/image: predicted tag was `1.0`, is `2.0`" in ran.error.message
    assert told(tmp_path) == []


def test_case_20_a_tag_made_of_the_commit_is_equal_as_an_expression_and_differs_once_it_is_computed(
    tmp_path: Path,
) -> None:
    project = make_project(tmp_path)
    by_expression = "- {id: a, run: 'echo $TAG', env: {TAG: '${{ github.sha }}'}, reads: [shipway.yml]}\n"
    computed = """
- id: a
  plan: echo tag=$(git rev-parse HEAD) >> $SHIPWAY_OUTPUT
  run: echo a >> told; echo tag=$(git rev-parse HEAD) >> $SHIPWAY_OUTPUT
  outputs: {tag: string}
  reads: [shipway.yml]
"""
    for steps, code in ((by_expression, 0), (computed, EXIT_UNVERIFIED)):
        project.write({"shipway.yml": "version: 1\nname: test\n" + stage(steps), ".gitignore": ".shipway\nplan.json\n"})
        project.commit()
        project.call("plan", "-o", "plan.json", "-q")
        project.commit()
        done = project.call("apply", "plan.json", "--yes", code=code)
    assert "main/a: predicted tag was" in done.err
    assert not (project.root / "told").exists()


def test_case_75_a_plan_that_can_predict_no_more_is_held_to_what_it_did(tmp_path: Path) -> None:
    step = TAGGED.replace('plan: echo "tag=$(cat planned)"', 'plan: test ! -e planned || echo "tag=$(cat planned)"')
    tags(tmp_path, "1.0", "2.0")
    looked_at = run(tmp_path, stage(step + ROLLOUT, lasting=True), execute=False).finished.plan
    assert looked_at is not None
    (tmp_path / "planned").unlink()
    check_broken(run(tmp_path, setting=Setting(given=looked_at)))


def test_case_75_a_run_that_is_gone_on_with_is_held_to_what_it_was_begun_with(tmp_path: Path) -> None:
    tags(tmp_path, "1.0", "2.0")
    check_broken(run(tmp_path, stage(TAGGED + ROLLOUT, lasting=True)))
    tags(tmp_path, "2.0", "2.0")
    check_broken(resume(tmp_path))
    tags(tmp_path, "2.0", "1.0")
    again = resume(tmp_path)
    assert again.finished.error is None
    assert told(tmp_path)[-1] == "rollout 1.0"


def test_case_75_wherever_the_run_is_killed_it_ends_by_saying_so_and_nothing_is_built_on_it(
    tmp_path: Path, mortals: Mortals
) -> None:
    lifecycle = "version: 1\nname: test\n" + stage(TAGGED + VERIFIED + ROLLOUT, lasting=True)

    def place(name: str) -> Path:
        root = tmp_path / name
        root.mkdir()
        tags(root, "1.0", "2.0")
        (root / "shipway.yml").write_text(lifecycle)
        return root

    points = mortals.run(place("whole")).points
    resumed = 0
    for number in range(1, len(points) + 1):
        root = place(str(number))
        ended = mortals.run(root, number)
        if not ended.was_killed:  # on a slow machine one run passes a few more points than another
            assert ended.reason == "prediction-broken"
            continue
        runs = journal_of(root).runs()
        if runs and runs[0].status in UNFINISHED:
            ended = mortals.resume(root, runs[0].run)
            resumed += 1
            # Once what the step wrote was read and not yet kept, nobody can say what came out: a person is asked.
            is_lost = ended.reason == "outcome-unknown" and "what it hands on is not" in ended.error
            assert is_lost or ended.reason == "prediction-broken", (points[number - 1], ended)
        assert not [line for line in told(root) if line.startswith("rollout")]
        assert told(root).count("undo image 2.0") <= told(root).count("image")
    assert resumed > 3


def test_case_75_what_verify_finds_done_is_held_to_what_was_predicted_too(tmp_path: Path) -> None:
    tags(tmp_path, "1.0", "2.0")
    step = TAGGED.replace('" >> "$SHIPWAY_OUTPUT"\n  undo', '" >> "$SHIPWAY_OUTPUT"; kill -9 $PPID\n  undo')
    assert "kill" in step
    (tmp_path / "shipway.yml").write_text("version: 1\nname: test\n" + stage(step + VERIFIED + ROLLOUT, lasting=True))
    call(tmp_path, "run", "--yes")
    [killed] = journal_of(tmp_path).runs()
    assert killed.has_crashed
    done = call(tmp_path, "resume")
    assert done.exit_code == EXIT_UNVERIFIED, done
    assert "`main/image` did not come out as planned: output `tag` came out as `2.0`" in done.err
    assert told(tmp_path) == ["image", "undo image 2.0"]
    assert [entry.code for entry in journal_of(tmp_path).read(killed.run).history][1] == "prediction-broken"
