"""Going on with a run: what is kept, what is opened again, what is asked about, and what is refused."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipway.action import Verb
from shipway.errors import Reason, VerificationError
from shipway.nodes import Outcome
from shipway.reopening import Wish
from shipway.run_record import CRASHED, RunStatus
from shipway.sealing import sealed
from shipway.takeover import GoOn
from shipway.workspace import Workspace
from tests.kills import Mortals
from tests.runs import Lifeline, Ran, Setting, begin, call, declare, finish, journal_of, run, stage

LEFT = "defaults: {rollback: none}"


@pytest.fixture(scope="module")
def mortals() -> Iterator[Mortals]:
    with Mortals() as found:
        yield found


def resume(root: Path, *, assumed: dict[str, bool] | None = None, start: str | None = None) -> Ran:
    name = journal_of(root).runs()[0].run
    return run(root, None, Setting(go_on=GoOn(name, Wish(assumed or {}, start))))


def told(root: Path) -> list[str]:
    path = root / "told"
    return path.read_text().split("\n")[:-1] if path.exists() else []


def status(root: Path) -> RunStatus:
    return journal_of(root).runs()[0].status


def killed_at(mortals: Mortals, root: Path, name: str, nth: int = 1) -> str:
    """Begin the run that is declared in `root` and kill it where it passes `name` for the nth time; the run's id."""
    ended = mortals.run(root, nth, at=name)
    assert ended.was_killed, ended
    return journal_of(root).runs()[0].run


def work(*names: str, **more: str) -> str:
    return "\n".join(
        f"- {{id: {name}, uses: test.work, with: {{name: {name}{', ' + more[name] if name in more else ''}}}}}"
        for name in names
    )


def test_d070_a_failed_node_and_what_waits_for_it_are_opened_and_what_succeeded_is_kept(tmp_path: Path) -> None:
    steps = """
        a: {run: 'echo a >> told; echo "n=1" >> "$SHIPWAY_OUTPUT"', outputs: {n: integer}}
        b: {run: 'echo "b $N" >> told; test -e mended', needs: [a], env: {N: "${{ steps.a.outputs.n }}"}}
        c: {run: echo c >> told, needs: [b]}
        d: {run: 'echo "d $N" >> told', needs: [b], env: {N: "${{ steps.a.outputs.n }}"}}
    """
    first = run(tmp_path, stage(steps, more=LEFT))
    assert first.outcomes == {"a": "succeeded", "b": "failed", "c": "blocked", "d": "blocked"}
    (tmp_path / "mended").touch()
    again = resume(tmp_path)
    assert again.outcomes == dict.fromkeys("abcd", "succeeded"), again.finished.error
    assert sorted(told(tmp_path)) == ["a", "b 1", "b 1", "c", "d 1"]
    assert status(tmp_path) is RunStatus.SUCCEEDED
    assert [len(again[f"main/{node}"].attempts) for node in "abcd"] == [1, 2, 1, 1]
    assert again.receipt.run == first.receipt.run
    assert set(again.started) == {"b", "c", "d"}


def test_d069_attempts_go_on_counting_and_retries_count_anew(tmp_path: Path) -> None:
    steps = "- {id: a, run: test -e mended, retry: {attempts: 2, initial: 1ms}}"
    run(tmp_path, stage(steps, more=LEFT))
    again = resume(tmp_path)
    assert [attempt.number for attempt in again["main/a"].attempts] == [1, 2, 3, 4]
    (tmp_path / "mended").touch()
    assert len(resume(tmp_path)["main/a"].attempts) == 5


def test_the_longest_path_of_a_run_that_was_gone_on_with_is_no_longer_than_the_run(tmp_path: Path) -> None:
    steps = """
        a: {run: echo a >> told, undo: echo undo >> told}
        b: {run: test -e mended, needs: [a], undo: "true"}
    """
    run(tmp_path, stage(steps, lasting=True))
    resume(tmp_path)
    (tmp_path / "mended").touch()
    again = resume(tmp_path)
    assert again.receipt.critical_path == ("main/a", "main/b")
    assert again.receipt.critical_path_ms <= again.receipt.duration_ms


def test_an_hour_before_a_run_was_gone_on_with_is_no_time_that_it_ran(tmp_path: Path) -> None:
    hour = 3_600_000
    steps = """
        a: {run: echo a >> told, undo: echo undo >> told}
        b: {run: test -e mended, needs: [a], undo: "true"}
        c: {run: 'true', needs: [b]}
    """
    run(tmp_path, stage(steps, lasting=True, more=LEFT))
    journal = sqlite3.connect(Workspace(tmp_path).journal)
    began = "json_set(opening, '$.began_ms', json_extract(opening, '$.began_ms') - ?)"
    with journal:
        journal.execute(f"UPDATE run SET began_ms=began_ms-?, opening={began}", (hour, hour))
    journal.close()
    (tmp_path / "mended").touch()
    receipt = resume(tmp_path).receipt
    (name, *_) = journal_of(tmp_path).runs()
    by_journal = sealed(journal_of(tmp_path).plan(name.run), journal_of(tmp_path).read(name.run), bytes(32))
    for each in (receipt, by_journal):
        assert len(each.pauses) == 1
        assert each.paused_ms >= hour > each.running_ms >= each.critical_path_ms
        assert each.critical_path == ("main/a", "main/b", "main/c")
    (listed,) = json.loads(call(tmp_path, "runs", "--json").out)["runs"]
    assert listed["paused_ms"] >= hour > listed["ended_ms"] - listed["began_ms"] - listed["paused_ms"] >= 0
    assert not re.search(r" [0-9]+h", call(tmp_path, "runs").out)


def test_a_changed_declaration_is_refused_with_the_nodes_that_differ(tmp_path: Path) -> None:
    run(tmp_path, stage('- {id: a, run: "true"}\n- {id: b, run: "exit 1"}', more=LEFT))
    declare(tmp_path, stage('- {id: a, run: "true"}\n- {id: b, run: "exit 0"}\n- {id: c, run: "true"}', more=LEFT))
    refused = resume(tmp_path)
    assert isinstance(refused.error, VerificationError)
    assert refused.error.exit_code == 5
    assert "main/b: slots" in refused.error.message
    assert "main/c: added" in refused.error.message
    assert "main/a: slots" not in refused.error.message
    assert status(tmp_path) is RunStatus.FAILED
    assert refused.started == []


def test_from_opens_a_step_and_all_behind_it(tmp_path: Path) -> None:
    steps = """
        a: {run: echo a >> told}
        b: {run: echo b >> told, needs: [a]}
        c: {run: echo c >> told, needs: [b]}
        d: {run: echo d >> told}
    """
    run(tmp_path, stage(steps, lasting=True))
    again = resume(tmp_path, start="main/b")
    assert again.outcomes == dict.fromkeys("abcd", "succeeded"), again.finished.error
    assert sorted(told(tmp_path)) == ["a", "b", "b", "c", "c", "d"]


@pytest.mark.parametrize("is_same", [True, False])
def test_what_does_not_last_is_kept_in_its_own_workspace_or_if_it_hands_all_on(tmp_path: Path, is_same: bool) -> None:
    steps = """
        lasts: {run: echo lasts >> told}
        files: {run: echo files >> told, lasting: false}
        value: {run: 'echo value >> told; echo v=1 >> $SHIPWAY_OUTPUT', outputs: {v: string}, lasting: false}
        fails: {run: test -e mended, needs: [lasts, files, value], lasting: false}
    """
    run(tmp_path, stage(steps, lasting=True, more=LEFT))
    (tmp_path / "mended").touch()
    if not is_same:
        (tmp_path / ".shipway/workspace").unlink()  # what a journal that is copied elsewhere leaves behind
    assert set(resume(tmp_path).outcomes.values()) == {"succeeded"}
    assert sorted(told(tmp_path)) == sorted(["lasts", "files", "value", *([] if is_same else ["files"])])


def test_what_was_rolled_back_runs_again_and_so_does_what_looked_at_it(tmp_path: Path) -> None:
    steps = """
        - {id: make, run: echo make >> told, undo: echo unmake >> told}
        - {id: check, run: echo check >> told, lasting: false}
        - {id: last, run: test -e mended, undo: "true"}
    """
    first = run(tmp_path, stage(steps, lasting=True))
    assert first.outcomes == {"make": "undone", "check": "succeeded", "last": "undone"}
    (tmp_path / "mended").touch()
    again = resume(tmp_path)
    assert again.outcomes == dict.fromkeys(("make", "check", "last"), "succeeded"), again.finished.error
    assert told(tmp_path) == ["make", "check", "unmake", "make", "check"]


def test_what_reacted_to_a_failure_is_judged_again(tmp_path: Path) -> None:
    steps = """
        a: {run: test -e mended}
        always: {run: echo always >> told, if: always(), needs: [a]}
        failure: {run: echo failure >> told, if: failure(), needs: [a]}
    """
    run(tmp_path, stage(steps, more=LEFT))
    (tmp_path / "mended").touch()
    again = resume(tmp_path)
    assert again.outcomes == {"a": "succeeded", "always": "succeeded", "failure": "skipped"}
    assert sorted(told(tmp_path)) == ["always", "always", "failure"]


def test_a_rollback_after_going_on_undoes_what_earlier_executions_began(tmp_path: Path) -> None:
    steps = """
        - {id: a, run: 'echo "n=7" >> "$SHIPWAY_OUTPUT"', outputs: {n: integer}, undo: 'echo "undo $N $SHIPWAY_OUTCOME" >> told'}
        - id: b
          run: test -e mended
          undo: 'echo "undo b $N" >> told'
          env: {N: "${{ steps.a.outputs.n }}"}
    """
    text = stage(steps, lasting=True).replace("undo: 'echo \"undo $N", "env: {N: x}, undo: 'echo \"undo $N")
    declare(tmp_path, text)
    process_killed = run(tmp_path, None, Setting(env={"GITHUB_ACTIONS": "true"}))
    assert process_killed.outcomes == {"a": "undone", "b": "undone"}
    assert told(tmp_path) == ["undo b 7", "undo x succeeded"]
    again = resume(tmp_path)
    assert again.outcomes == {"a": "undone", "b": "undone"}
    assert told(tmp_path) == ["undo b 7", "undo x succeeded"] * 2


def test_a_secret_output_that_is_lost_is_made_again_where_that_is_safe(tmp_path: Path) -> None:
    steps = """
        - {id: key, run: 'echo key >> told; echo "k=very-secret" >> "$SHIPWAY_OUTPUT"', outputs: {k: secret}, lasting: false}
        - {id: other, run: echo other >> told}
        - {id: use, run: 'test -e mended && test "$K" = very-secret', env: {K: "${{ steps.key.outputs.k }}"}}
    """
    run(tmp_path, stage(steps, more=LEFT))
    (tmp_path / "mended").touch()
    again = resume(tmp_path)
    assert again.outcomes == dict.fromkeys(("key", "other", "use"), "succeeded"), again.finished.error
    assert told(tmp_path) == ["key", "other", "key"]


def test_a_lost_secret_output_of_lasting_work_stops_before_anything_starts(tmp_path: Path) -> None:
    steps = """
        - {id: key, run: 'echo "k=very-secret" >> "$SHIPWAY_OUTPUT"', outputs: {k: secret}}
        - {id: use, run: 'echo use >> told; exit 1', env: {K: "${{ steps.key.outputs.k }}"}}
    """
    run(tmp_path, stage(steps, lasting=True, more=LEFT))
    refused = resume(tmp_path)
    assert refused.error.reason is Reason.OUTCOME_UNKNOWN
    assert "`k` was secret" in refused.error.message
    assert told(tmp_path) == ["use"]
    again = resume(tmp_path, assumed={"main/key": False})
    assert told(tmp_path) == ["use", "use"]
    assert len(again["main/key"].attempts) == 2


@pytest.mark.parametrize("point", ["commit.begin", "commit.written"])
def test_case_41_killed_before_a_start_is_on_disk_the_node_runs_once(
    mortals: Mortals, tmp_path: Path, point: str
) -> None:
    declare(tmp_path, stage(work("a", "b"), lasting=True))
    name = killed_at(mortals, tmp_path, point)
    assert told(tmp_path) == []
    ended = mortals.resume(tmp_path, name)
    assert ended.outcomes == dict.fromkeys("ab", "succeeded"), ended
    assert told(tmp_path) == ["do a", "do b"]
    history = journal_of(tmp_path).read(name).history
    assert [(entry.node, entry.verb, entry.outcome) for entry in history] == [
        (node, Verb.DO, Outcome.SUCCEEDED) for node in ("main/a", "main/b")
    ]


def test_case_43_killed_after_a_result_was_committed_it_is_kept(mortals: Mortals, tmp_path: Path) -> None:
    declare(tmp_path, stage(work("a"), lasting=True))
    name = killed_at(mortals, tmp_path, "commit.done", 2)
    assert journal_of(tmp_path).runs()[0].has_crashed
    (tmp_path / "world/a").unlink()  # whoever asked, or did it again, would see
    ended = mortals.resume(tmp_path, name)
    assert ended.outcomes == {"a": "succeeded"}, ended
    assert told(tmp_path) == ["do a"]
    [entry] = journal_of(tmp_path).read(name).history
    assert (entry.verb, entry.outcome) == (Verb.DO, Outcome.SUCCEEDED)


def test_case_42_d047_d054_d055_what_was_begun_and_not_reported_is_asked_about(
    mortals: Mortals, tmp_path: Path
) -> None:
    for point, expected in (("b.before", ["do a", "do b", "do c"]), ("b.after", ["do a", "do b", "do c"])):
        root = tmp_path / point
        root.mkdir()
        declare(root, stage(work("a", "b", "c"), lasting=True))
        name = killed_at(mortals, root, point)
        assert journal_of(root).runs()[0].has_crashed
        ended = mortals.resume(root, name)
        assert ended.outcomes == dict.fromkeys("abc", "succeeded"), ended
        assert told(root) == expected
        history = journal_of(root).read(name).history
        lost = next(entry for entry in history if entry.node == "main/b")
        assert (lost.outcome, lost.code) == (Outcome.UNKNOWN, CRASHED)
        found = [entry.verb for entry in history if entry.node == "main/b"][1]
        assert found is (Verb.DO if point == "b.before" else Verb.VERIFY)


def test_case_42_d055_without_verify_a_person_has_to_say(tmp_path: Path) -> None:
    steps = """
        - {id: a, run: echo a >> told}
        - {id: b, run: 'echo b >> told; test -e spared || kill -9 $PPID; sleep 0'}
        - {id: c, run: echo c >> told}
    """
    declare(tmp_path, stage(steps, lasting=True, more=LEFT))
    child = os.fork()
    if not child:
        run(tmp_path)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
    (tmp_path / "spared").touch()
    refused = resume(tmp_path)
    assert refused.error.reason is Reason.OUTCOME_UNKNOWN
    assert refused.error.exit_code == 5
    assert "main/b: it was begun and never reported" in refused.error.message
    assert "--assume done main/b" in refused.error.next
    assert told(tmp_path) == ["a", "b"]
    assert journal_of(tmp_path).runs()[0].has_crashed
    done = resume(tmp_path, assumed={"main/b": True})
    assert done.outcomes == dict.fromkeys("abc", "succeeded"), done.finished.error
    assert told(tmp_path) == ["a", "b", "c"]


def test_d056_a_node_that_kills_shipway_three_times_has_failed(mortals: Mortals, tmp_path: Path) -> None:
    declare(tmp_path, stage(work("a", "b"), lasting=True, more=LEFT))
    name = killed_at(mortals, tmp_path, "b.before")
    for _ in range(2):
        assert mortals.resume(tmp_path, name, 1, at="b.before").was_killed
    last = mortals.resume(tmp_path, name)
    assert last.outcomes == {"a": "succeeded", "b": "failed"}, last
    assert told(tmp_path) == ["do a"]
    entries = [entry for entry in journal_of(tmp_path).read(name).history if entry.node == "main/b"]
    assert [entry.code for entry in entries] == [CRASHED] * 3
    retried = mortals.resume(tmp_path, name, assumed={"main/b": False})
    assert retried.outcomes == {"a": "succeeded", "b": "succeeded"}, retried


def test_case_44_g047_a_rollback_that_was_killed_is_gone_on_with_and_nothing_is_undone_twice(
    mortals: Mortals, tmp_path: Path
) -> None:
    for point in ("undo_ended.done", "b.before undo", "b.after undo", "undo_begun.done"):
        root = tmp_path / point
        root.mkdir()
        declare(root, stage(work("a", "b", "c", c="fails: true"), lasting=True))
        name = killed_at(mortals, root, point)
        assert status(root) is RunStatus.ROLLING_BACK
        ended = mortals.resume(root, name)
        assert ended.code == 1, ended
        assert ended.outcomes == {"a": "undone", "b": "undone", "c": "undone"}, (point, ended)
        done = [line for line in told(root) if line.startswith("undo ")]
        assert sorted(done) == ["undo a", "undo b"], (point, told(root))
        assert not any((root / "world").iterdir())
        assert status(root) is RunStatus.FAILED


LEFT_WORKING = """
    - {id: first, run: echo first >> told}
    - id: second
      run: "exec 9> held; echo second >> told; echo up >&9; until test -e is-done; do sleep 60; done"
      verify: "test -e is-done || exit 3"
    - {id: third, run: echo third >> told}
"""


def killed_at_work(root: Path) -> Lifeline:
    """Kill a run whose second step is at work, and goes on with it."""
    held = Lifeline(root / "held")
    declare(root, stage(LEFT_WORKING, lasting=True, more=LEFT))
    process = begin(root, "run", "--yes")
    held.wait()
    process.kill()
    process.wait()
    assert held.is_held()
    return held


def test_case_44_what_outlived_a_killed_run_is_ended_then_its_step_is_asked_about_and_runs_again(
    tmp_path: Path,
) -> None:
    held = killed_at_work(tmp_path)
    again = begin(tmp_path, "resume", "--yes")
    while held.wait() != "up\n":
        pass
    (tmp_path / "is-done").touch()
    again.send_signal(signal.SIGINT)
    said = finish(again)
    assert said.exit_code == 130, said
    assert "still running since Shipway was killed, and ended now: `main/second`" in " ".join(said.out.split())
    assert "`main/second`: it was begun and never reported; `verify` says that its work is not there" in " ".join(
        said.out.split()
    )
    assert not held.is_held()
    done = call(tmp_path, "resume", "--yes")
    assert done.exit_code == 0, done
    assert told(tmp_path) == ["first", "second", "second", "second", "third"]


def test_what_a_killed_step_handed_on_before_it_was_asked_about_is_kept(tmp_path: Path) -> None:
    held = Lifeline(tmp_path / "held")
    makes = 'exec 9> held; echo n=1 >> "$SHIPWAY_OUTPUT"; echo up >&9; while :; do sleep 60; done'
    steps = f"""
        - {{id: makes, run: '{makes}', verify: "exit 0", outputs: {{n: integer}}}}
        - {{id: takes, run: 'echo "$N" >> told', env: {{N: "${{{{ steps.makes.outputs.n }}}}"}}}}
    """
    declare(tmp_path, stage(steps, lasting=True, more=LEFT))
    process = begin(tmp_path, "run", "--yes")
    held.wait()
    process.kill()
    process.wait()
    done = call(tmp_path, "resume", "--yes")
    assert done.exit_code == 0, done
    assert "`verify` says that its work is there: it is kept" in " ".join(done.out.split())
    assert told(tmp_path) == ["1"]


def test_no_run_begins_beside_what_still_works_for_a_killed_one(tmp_path: Path) -> None:
    held = killed_at_work(tmp_path)
    refused = call(tmp_path, "run", "--yes")
    assert refused.exit_code == 6, refused
    assert "was killed, and some of it still works: `main/second` (process group " in refused.err
    assert told(tmp_path) == ["first", "second"]
    assert call(tmp_path, "runs", "repair").exit_code == 0
    assert not held.is_held()


def test_a_run_that_another_came_after_is_not_gone_on_with(tmp_path: Path) -> None:
    steps = "- {id: a, run: 'echo a >> told; test -e mended'}"
    first = run(tmp_path, stage(steps, more=LEFT)).receipt.run
    (tmp_path / "mended").touch()
    second = run(tmp_path, None).receipt.run
    refused = call(tmp_path, "resume", first)
    assert refused.exit_code == 5, refused
    assert f"run `{second}` came after `{first}`" in refused.err
    nothing = call(tmp_path, "resume")
    assert nothing.exit_code == 2, nothing
    assert told(tmp_path) == ["a", "a"]
