"""What is shown to be typed next works as it is shown: these tests paste it, and look at what it comes to."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from tests.command_line import Done, Project, make_project
from tests.runs import begin, finish

UNDOABLE = "{id: ship, run: touch shipped, undo: rm -f shipped}"
LEFT = "{id: ship, run: touch shipped}"
NOT_LASTING = "{id: ship, run: touch shipped, lasting: false, undo: rm -f shipped}"
UNCHANGED = "{id: ship, run: 'echo unchanged > \"$SHIPWAY_STATUS\"', undo: rm -f shipped}"
FAILING = "{id: ship, run: test -e mended, undo: 'true'}"
STUBBORN = "{id: ship, run: touch shipped, undo: test -e mended}, {id: end, run: test -e mended, lasting: false}"
HEAD = "version: 1\nname: shop\ntargets: {prod: {}, eu: {}}\ninputs: {size: {type: string, required: true}}\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = make_project(tmp_path)
    made.write({".gitignore": ".shipway/\n*ed\n", "below/kept": ""})
    return made


def declare(project: Project, steps: str, file: str = "shipway.yml", more: str = "") -> None:
    project.write({file: f"{HEAD}steps: [{steps}]\n{more}"})
    project.commit()


def run(project: Project, *options: str, cwd: str = "", code: int = 0) -> Done:
    return project.call("run", "--target", "prod", "--input", "size=a b", "--yes", *options, cwd=cwd, code=code)


def hints(shown: str) -> list[list[str]]:
    """The commands behind `next`, as words: whole lines, as they are pasted."""
    tail = re.split(r"^  next  ", shown, maxsplit=1, flags=re.MULTILINE)
    if len(tail) == 1:
        return []
    lines = [line[13:] for line in ("  next  " + tail[1]).splitlines() if line.startswith(("  next", " " * 13))]
    return [shlex.split(line.partition(", ")[0].rstrip(","))[1:] for line in lines if line.startswith("shipway ")]


def paste(project: Project, words: list[str], cwd: str = "", code: int = 0) -> Done:
    asks = words[0] in ("run", "resume", "rollback")
    return project.call(*words, *(["--yes"] if asks else []), cwd=cwd, code=code)


def killed_once_begun(project: Project) -> None:
    """Run what is declared, and kill it once a step of it has written to the pipe `begun`."""
    os.mkfifo(project.root / "begun")
    running = begin(project.root, "run", "--target", "prod", "--input", "size=1", "--yes", env=project.env)
    (project.root / "begun").read_text()
    running.kill()
    running.communicate()


@pytest.mark.parametrize(
    ("steps", "offers"), [(UNDOABLE, True), (LEFT, False), (NOT_LASTING, False), (UNCHANGED, False)]
)
def test_a_rollback_is_offered_only_where_it_would_undo_something(project: Project, steps: str, offers: bool) -> None:
    declare(project, steps)
    offered = hints(run(project).out)
    assert [words[0] for words in offered] == (["show", "rollback"] if offers else ["show"])
    for words in offered:
        paste(project, words)
    assert (project.root / "shipped").exists() == (not offers and steps != UNCHANGED)


def test_a_rollback_that_leaves_something_is_not_said_to_undo_it(project: Project) -> None:
    declare(project, f"{UNDOABLE}, {{id: tell, run: touch told}}")
    done = run(project)
    assert "to undo what can be undone\n" in done.out
    undone = paste(project, hints(done.out)[1], code=4)
    assert [words[0] for words in hints(undone.out)] == ["run"]


def test_a_rollback_is_offered_where_a_stage_has_a_compensation(project: Project) -> None:
    stage = "{steps: [{id: ship, run: touch shipped}], compensate: {steps: [{id: tell, run: rm shipped}]}}"
    project.write({"shipway.yml": f"{HEAD}stages: {{main: {stage}}}\n"})
    project.commit()
    assert [words[0] for words in hints(run(project).out)] == ["show", "rollback"]


@pytest.mark.parametrize(("file", "cwd"), [("shipway.yml", ""), ("shipway.yml", "below"), ("ops/it's.yml", "")])
def test_a_failed_run_is_gone_on_with_or_begun_anew_as_shown(project: Project, file: str, cwd: str) -> None:
    declare(project, FAILING, file)
    named = [] if file == "shipway.yml" else ["-f", file]
    failed = run(project, *named, cwd=cwd, code=1)
    assert [words[0] for words in hints(failed.out)] == ["resume", "run"]
    for words in hints(failed.out):
        paste(project, words, cwd=cwd, code=1)
    resumed = paste(project, hints(failed.out)[0], cwd=cwd, code=5)
    assert "came after" in resumed.err, "begun anew, the older one is over"
    (project.root / "mended").touch()
    [again] = [words for words in hints(failed.out) if words[0] == "run"]
    paste(project, again, cwd=cwd)


def test_what_a_resumed_run_shows_works_too(project: Project) -> None:
    declare(project, FAILING, "ops/shop.yml")
    first = run(project, "-f", "ops/shop.yml", code=1)
    resumed = paste(project, hints(first.out)[0], code=1)
    again = hints(resumed.out)[-1]
    assert again == ["run", "-f", "ops/shop.yml", "--target", "prod", "--input", "size=a b"]
    paste(project, again, code=1)
    name = hints(first.out)[0][1]
    older = project.call("show", name)
    assert [words[0] for words in hints(older.out)] == ["run"], "another run came after it"
    below = project.call("show", name, cwd="below")
    assert hints(below.out)[0][:3] == ["run", "-f", "../ops/shop.yml"]
    paste(project, hints(below.out)[0], cwd="below", code=1)


def test_a_receipt_of_another_machine_offers_nothing_that_only_that_one_can_do(project: Project) -> None:
    declare(project, UNDOABLE)
    run(project)
    [receipt] = (project.root / ".shipway/receipts").iterdir()
    (project.root.parent / "kept.json").write_bytes(receipt.read_bytes())
    (project.root / ".shipway").rename(project.root.parent / "elsewhere")
    shown = hints(project.call("show", "../kept.json").out)
    assert not [words for words in shown if words[0] in ("resume", "rollback")]


def test_an_undo_that_failed_is_tried_again_as_shown(project: Project) -> None:
    declare(project, STUBBORN)
    failed = run(project, code=4)
    assert [words[0] for words in hints(failed.out)] == ["rollback", "run"]
    (project.root / "mended").touch()
    paste(project, hints(failed.out)[0])
    paste(project, hints(failed.out)[1])


def test_what_cannot_be_undone_is_gone_on_with(project: Project) -> None:
    declare(project, f"{LEFT}, {{id: other, run: touch othered, undo: rm othered}}, {{id: end, run: test -e mended}}")
    failed = run(project, code=4)
    (project.root / "mended").touch()
    for words in hints(failed.out)[:1]:
        paste(project, words)


def test_a_lost_secret_is_said_and_made_again_as_shown(project: Project) -> None:
    made = "{id: make, run: 'echo x >> made; echo \"key=s3cr3t-$RANDOM\" >> $SHIPWAY_OUTPUT', outputs: {key: secret}}"
    used = "{id: use, run: test -e mended, env: {KEY: '${{ steps.make.outputs.key }}'}}"
    declare(project, f"{made}, {used}")
    failed = run(project, code=1)
    assert "look at main/make: its output `key` was secret and is not kept" in failed.out
    for shown in (failed, project.call("show")):
        assert [words[0] for words in hints(shown.out)] == ["resume", "run"]
    refused = project.call("resume", code=5)
    assert f"`{' '.join(['shipway', *hints(failed.out)[0]])}`" in " ".join(refused.err.split())
    (project.root / "mended").touch()
    paste(project, hints(failed.out)[0])
    assert project.text("made") == "x\nx\n"


def test_a_step_that_nobody_can_ask_about_is_looked_at_before_a_killed_run_goes_on_as_shown(project: Project) -> None:
    declare(
        project, f"{UNDOABLE}, {{id: held, run: 'test -e mended || {{ echo > begun; sleep 1000; }}', undo: 'true'}}"
    )
    killed_once_begun(project)
    shown = project.call("show").out
    assert "look at main/held: it was begun and never reported" in shown
    assert "it still runs, though Shipway is gone: resume and rollback end it" in shown
    assert ", last heard of after " in shown and re.search(r"held +unknown\n", shown), "nobody knows how long it took"
    assert [words[0] for words in hints(shown)] == ["resume", "rollback"]
    assert hints(shown)[0][2:] == ["--assume", "done", "main/held"]
    paste(project, hints(shown)[0])


def test_several_steps_that_nobody_can_ask_about_are_one_command_that_can_be_pasted(project: Project) -> None:
    steps = []
    for name in "ab":
        os.mkfifo(project.root / f"{name}-used")
        steps.append(f"{name}: {{run: 'test -e mended || {{ echo > {name}-used; sleep 1000; }}'}}")
    project.write({"shipway.yml": f"{HEAD}steps: {{{', '.join(steps)}}}\n"})
    project.commit()
    running = begin(project.root, "run", "--target", "prod", "--input", "size=1", "--yes", env=project.env)
    for name in "ab":
        (project.root / f"{name}-used").read_text()
    running.kill()
    running.communicate()
    typed = re.search(
        r"shipway (resume \S+ \\\n +--assume done main/a \\\n +--assume done main/b),", project.call("show").out
    )
    assert typed
    project.call(*shlex.split(typed[1].replace("\\\n", "")), "--yes")


def test_a_run_in_progress_is_shown_as_that_and_followed_and_stopped_as_shown(project: Project) -> None:
    os.mkfifo(project.root / "begun")
    held = "{id: held, run: 'echo > begun; sleep 1000', undo: 'true'}"
    declare(project, f"{UNDOABLE}, {held}, {{id: end, run: 'true'}}")
    words = ["run", "--target", "prod", "--input", "size=1", "--yes"]
    running = begin(project.root, *words, env=project.env)
    (project.root / "begun").read_text()
    shown = project.call("show").out
    assert "shop → prod: in progress" in shown
    assert re.search(r"✓ main/ship +succeeded", shown) and re.search(r"> main/held +running for ", shown)
    for untrue in ("failed", "unknown", "gone", "left as it is", "undone", "resume", "rollback"):
        assert untrue not in shown
    document = project.call("show", "--json").json
    assert (document["kind"], document["status"]) == ("run", "running")
    assert [node["outcome"] for node in document["nodes"]] == ["succeeded", "running", "not_started"]
    assert not {"outcome", "digest", "ended", "error"} & set(document)
    assert "has no receipt yet: it is `running`" in project.call("show", "--format", "markdown", code=2).err
    assert [each[0] for each in hints(shown)] == ["follow", "cancel"]
    paste(project, [*hints(shown)[0], "--once"])
    paste(project, hints(shown)[1])
    assert finish(running).exit_code == 130


def test_a_run_killed_while_it_was_rolled_back_is_shown_as_that_and_goes_on_undoing_as_shown(project: Project) -> None:
    held = "{id: held, run: 'true', undo: 'echo > begun; sleep 1000', verify: exit 3}"
    declare(project, f"{UNDOABLE}, {held}, {{id: end, run: 'false', undo: 'true'}}")
    killed_once_begun(project)
    shown = project.call("show").out
    assert "shop → prod: killed while it was rolled back" in shown
    assert re.search(r"held +undo not reported", shown)
    [going_on] = hints(shown)
    assert going_on[0] == "resume"
    resumed = project.call(*going_on, code=1)
    assert resumed.out.startswith(f"Rollback of run {going_on[1]}: shop → prod\n\n  ↩ main/held ")
    assert "main/end" not in resumed.out.split("\n\n")[1], "that is undone already"
    assert not (project.root / "shipped").exists()


def test_a_resume_shows_what_runs_now_and_in_a_line_what_is_done(project: Project) -> None:
    declare(project, f"{{id: make, run: 'true', lasting: false}}, {{id: look, run: 'true', lasting: false}}, {FAILING}")
    run(project, code=1)
    shown = project.call("resume", code=1).out
    assert "  summary    2 done · 1 run · 1 opaque\n" in shown
    assert "\n  ✓ done    make, look\n  > run     ship  test -e mended " in shown


def test_a_resume_that_would_refuse_says_so_before_it_shows_a_plan(project: Project) -> None:
    secret = "{id: make, run: 'echo key=s3cr3t-value >> $SHIPWAY_OUTPUT', outputs: {key: secret}}"
    declare(project, f"{secret}, {{id: use, run: 'false', env: {{KEY: '${{{{ steps.make.outputs.key }}}}'}}}}")
    run(project, code=1)
    assert "Plan" not in project.call("resume", code=5).out


@pytest.mark.parametrize("chosen", [0, 1])
def test_a_killed_run_is_shown_as_that_and_gone_on_with_or_undone_as_shown(project: Project, chosen: int) -> None:
    held = "{id: held, run: 'test -e mended || { echo > begun; sleep 1000; }', undo: 'true', verify: test -e mended || exit 3}"
    declare(project, f"{UNDOABLE}, {held}")
    killed_once_begun(project)
    shown = project.call("show").out
    assert "shop → prod: killed, unfinished" in shown
    document = project.call("show", "--json").json
    assert (document["kind"], document["status"]) == ("run", "killed")
    assert [node["outcome"] for node in document["nodes"]] == ["succeeded", "unknown"]
    assert "never reported: main/held" in shown and "not undone" not in shown and "it printed nothing" not in shown
    assert [each[0] for each in hints(shown)] == ["resume", "rollback"]
    if chosen == 0:
        (project.root / "mended").touch()
    paste(project, hints(shown)[chosen])
    assert (project.root / "shipped").exists() == (chosen == 0)


def test_a_node_is_shown_and_named_by_its_key_as_it_was_written(project: Project) -> None:
    each = "gather: {items: [api/.env, web/.env]}, env: {FILE: '${{ item }}'}"
    declare(project, f"{{id: env, {each}, run: 'test -e mended || test $FILE = api/.env', undo: 'true'}}")
    shown = [project.call("plan", "--target", "prod", "--input", "size=1").out, run(project, code=1).out]
    name = project.call("runs", "-q").out.split()[0]
    shown += [project.call("show").out, project.call("graph", "--target", "prod", "--input", "size=1").out]
    shown.append(project.call("show", name, "--format", "markdown").out)
    shown.append(project.call("why", "main/env[web/.env]", "--target", "prod", "--input", "size=1").out)
    shown.append(project.call("logs", name, "env[web/.env]").out)
    for text in shown:
        assert "env[web/.env]" in text
        assert "%2F" not in re.sub(r"logs/\S+", "", text), "a log is a file, and called as it is"
    assert "main/env[web%2F.env]" in project.call("show", "--json").out
    (project.root / "mended").touch()
    project.call("retry", name, "main/env[web/.env]", "--yes")
