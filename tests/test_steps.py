"""Shows what a step's child is given, what it may hand on, and what of its secrets can be seen."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from shipway.canonical import canonical_bytes
from shipway.events import Event, NodeOutput
from shipway.nodes import Outcome
from tests.runs import Setting, environment, run, stage

SECRET = "correct-horse-battery"


# Environment.


def test_a_child_has_the_base_what_is_declared_and_nothing_else(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage("- {id: a, run: env -0 > found, shell: sh, env: {MINE: '3.10', ON: on}}"),
        Setting(env={"LANG": "C.UTF-8", "GITHUB_TOKEN": "t", "ACTIONS_RUNTIME_TOKEN": "t", "STRAY": "x", "CI": "true"}),
    )
    found = dict(entry.split("=", 1) for entry in (tmp_path / "found").read_text().split("\0") if entry)
    by_the_shell = {"PWD", "OLDPWD", "SHLVL", "_"}
    assert set(found) - by_the_shell == {
        *environment(),
        *("LANG", "CI", "MINE", "ON", "SHIPWAY_OUTPUT", "SHIPWAY_STATUS", "SHIPWAY_RETRY_AFTER"),
    }
    assert (found["MINE"], found["ON"]) == ("3.10", "on")
    assert ran.exit_code == 0


def test_env_from_passes_what_matches_but_no_token_no_runner_file_and_no_secret(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage("- {id: a, run: env > found, env_from: ['AWS_*', '*']}", more="secrets: [AWS_KEY]"),
        Setting(
            env={
                "AWS_REGION": "eu-1",
                "AWS_KEY": SECRET,
                "OTHER": "yes",
                "GITHUB_TOKEN": "no-token",
                "GITHUB_ENV": "no-file",
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "no-request",
            }
        ),
    )
    found = (tmp_path / "found").read_text()
    assert "AWS_REGION=eu-1" in found and "OTHER=yes" in found
    assert SECRET not in found and "no-" not in found
    assert ran.exit_code == 0


def test_a_value_that_cannot_stand_in_an_environment_fails_its_node(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage(r"""
            - id: a
              outputs: {v: string}
              run: printf 'v=x\000y\n' >> "$SHIPWAY_OUTPUT"
            - {id: b, run: "true", env: {V: "${{ steps.a.outputs.v }}"}}
        """),
    )
    assert ran.outcomes == {"a": "succeeded", "b": "failed"}
    assert "null byte" in ran["main/b"].error


# Outputs.

TYPES = "text: string, count: integer, ratio: number, on: boolean, items: list, map: object"


def test_outputs_come_as_their_types_and_may_be_missing_only_where_that_is_said(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage(f"""
            - id: a
              outputs: {{{TYPES}, maybe: {{type: string, required: false}}}}
              run: |
                echo "text=a=b" >> "$SHIPWAY_OUTPUT"
                echo "count=42" >> "$SHIPWAY_OUTPUT"
                echo "ratio=0.5" >> "$SHIPWAY_OUTPUT"
                echo "on=true" >> "$SHIPWAY_OUTPUT"
                printf 'items<<END\\n[1,\\n2]\\nEND\\n' >> "$SHIPWAY_OUTPUT"
                echo 'map={{"k": "v"}}' >> "$SHIPWAY_OUTPUT"
            - id: b
              env: {{ALL: "${{{{ toJSON(steps.a.outputs) }}}}"}}
              run: printf %s "$ALL" > all.json
        """),
    )
    assert ran.exit_code == 0
    expected = {"text": "a=b", "count": 42, "ratio": 0.5, "on": True, "items": [1, 2], "map": {"k": "v"}}
    assert ran["main/a"].outputs == expected
    assert json.loads((tmp_path / "all.json").read_text()) == expected


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("true", "output `v` is declared and was not written"),
        ("echo v=x", "output `v` is declared integer"),
        ("echo v=1; echo; echo nonsense", "line 3 of $SHIPWAY_OUTPUT: `nonsense`"),
        ("echo 'v<<END'; echo 1", "line 1 of $SHIPWAY_OUTPUT: `v<<END` is never closed"),
        ("echo v=1; printf '\\xff\\n'", "line 2 of $SHIPWAY_OUTPUT is not UTF-8"),
        ("head -c 1048577 /dev/zero", "more than 1048576 bytes"),
    ],
)
def test_bad_outputs_fail_the_step_and_say_where(tmp_path: Path, script: str, error: str) -> None:
    text = stage(f'- id: a\n  outputs: {{v: integer}}\n  run: |\n    ({script}) >> "$SHIPWAY_OUTPUT"')
    ran = run(tmp_path, text)
    assert ran.outcomes == {"a": "failed"}
    assert error in ran["main/a"].error
    assert ran["main/a"].attempts[0].exit_code == 0


@pytest.mark.parametrize("file", ["SHIPWAY_OUTPUT", "SHIPWAY_STATUS"])
@pytest.mark.parametrize("make", ["mkdir", "mkfifo", "ln -s /dev/zero"])
def test_whatever_a_step_makes_of_its_files_it_only_fails_itself(tmp_path: Path, file: str, make: str) -> None:
    ran = run(tmp_path, stage(f'a: {{run: \'{make} "${file}"\'}}\nb: {{run: "true"}}', defaults="on_failure: continue"))
    assert ran.outcomes == {"a": "failed", "b": "succeeded"}
    assert f"${file} cannot be read" in ran["main/a"].error


def test_a_status_that_is_no_word_fails_the_step(tmp_path: Path) -> None:
    ran = run(tmp_path, stage("- {id: a, run: 'echo done > \"$SHIPWAY_STATUS\"'}"))
    assert "`unchanged` or `skipped: why`" in ran["main/a"].error


def test_an_undeclared_output_is_dropped_with_a_warning_that_guesses(tmp_path: Path) -> None:
    script = '{ echo tag=1; echo tga=2; } >> "$SHIPWAY_OUTPUT"'
    ran = run(tmp_path, stage(f"- {{id: a, run: '{script}', outputs: {{tag: string}}}}"))
    assert ran["main/a"].outputs == {"tag": "1"}
    assert "output `tga` is not declared" in ran["main/a"].warning and "did you mean `tag`?" in ran["main/a"].warning


def test_a_file_output_is_kept_by_its_digest_whatever_becomes_of_the_file(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage("""
            - {id: a, run: 'echo one > app.txt; echo file=app.txt >> "$SHIPWAY_OUTPUT"', outputs: {file: file}}
            - {id: b, run: 'echo two > app.txt; cat "$FILE" > seen', env: {FILE: "${{ steps.a.outputs.file }}"}}
        """),
    )
    assert (tmp_path / "seen").read_text() == "one\n"
    digest = hashlib.sha256(b"one\n").hexdigest()
    assert ran["main/a"].outputs == {"file": {"file": f"sha256:{digest}", "name": "app.txt"}}
    kept = tmp_path / ".shipway/runs" / ran.receipt.run / "artifacts" / digest / "app.txt"
    assert kept.read_text() == "one\n"


@pytest.mark.parametrize("path", ["missing", ".", "/dev/zero"])
def test_a_file_output_that_is_no_file_fails_the_step(tmp_path: Path, path: str) -> None:
    ran = run(tmp_path, stage(f"- {{id: a, run: 'echo file={path} >> \"$SHIPWAY_OUTPUT\"', outputs: {{file: file}}}}"))
    assert ran.outcomes == {"a": "failed"}
    assert "output `file` is declared file" in ran["main/a"].error


# Secrets.


def everything_kept(root: Path) -> bytes:
    """All that a run left under `.shipway`, in one piece."""
    return b"\0".join(path.read_bytes() for path in sorted(root.rglob(".shipway/**/*")) if path.is_file())


def test_a_secret_that_is_not_set_is_refused_before_anything_starts(tmp_path: Path) -> None:
    text = stage(
        "- {id: a, run: touch ran}\n- {id: b, run: 'true', env: {T: \"${{ secrets.TOKEN }}\"}}", more="secrets: [TOKEN]"
    )
    ran = run(tmp_path, text)
    assert "`TOKEN` (named by `main/b`)" in ran.error.message
    assert ran.error.exit_code == 2
    assert not (tmp_path / "ran").exists()
    assert ran.receipt.nodes == ()


def test_a_secret_reaches_the_step_that_names_it_and_is_masked_wherever_it_was_seen(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage(
            """
            - id: names
              env: {TOKEN: "${{ secrets.TOKEN }}"}
              outputs: {said: string}
              run: |
                echo "token is $TOKEN"; echo "$TOKEN" | base64
                tr '\\0' ' ' < /proc/$$/cmdline > argv
                echo "said=with $TOKEN" >> "$SHIPWAY_OUTPUT"
            - {id: does-not, run: "env > others"}
            - {id: fails, env: {TOKEN: "${{ secrets.TOKEN }}"}, run: 'echo "$TOKEN"; echo "skipped $TOKEN" > "$SHIPWAY_STATUS"'}
            """,
            more="secrets: [TOKEN]",
        ),
        Setting(env={"TOKEN": SECRET}),
    )
    assert ran.outcomes == {"names": "succeeded", "does-not": "succeeded", "fails": "failed"}
    assert ran.log("main/names").startswith("token is ***\n")
    assert ran["main/names"].outputs == {"said": "with ***"}
    assert ran["main/fails"].tail == "***"
    assert SECRET not in (tmp_path / "argv").read_text()
    assert SECRET not in (tmp_path / "others").read_text()
    assert SECRET.encode() not in everything_kept(tmp_path)
    assert SECRET.encode() not in canonical_bytes(ran.receipt.document)
    assert ran.receipt.redactions >= 3
    assert ran.finished.plan is not None
    assert SECRET.encode() not in canonical_bytes(ran.finished.plan.document)


def test_a_secret_output_is_masked_in_the_whole_log_and_kept_as_a_keyed_digest(tmp_path: Path) -> None:
    def listen(event: Event) -> None:
        if isinstance(event, NodeOutput) and event.node == "main/ticks":
            (tmp_path / "heard").touch()

    ran = run(
        tmp_path,
        stage(
            f"""
            a:
              outputs: {{password: secret}}
              run: |
                echo "made {SECRET}"; touch printed
                until [ -e heard ]; do :; done
                echo "password={SECRET}" >> "$SHIPWAY_OUTPUT"
            ticks: {{run: "until [ -e printed ]; do :; done; echo tick; until [ -e heard ]; do :; done"}}
            b: {{run: 'echo "got $P"; [ "$P" = {SECRET} ]', env: {{P: "${{{{ steps.a.outputs.password }}}}"}}}}
            """,
            defaults="timeout: 20s, parallel: 4",
        ),
        Setting(subscribers=[listen]),
        live=True,
    )
    assert ran.outcomes == {"a": "succeeded", "ticks": "succeeded", "b": "succeeded"}
    assert ran.log("main/a") == "made ***\n"
    assert ran.log("main/b") == "got ***\n"
    assert not any(isinstance(event, NodeOutput) and SECRET in event.text for event in ran.events)
    kept = ran["main/a"].outputs["password"]
    assert isinstance(kept, dict) and set(kept) == {"secret"}
    assert hashlib.sha256(SECRET.encode()).hexdigest() not in str(kept)


@pytest.mark.parametrize(
    "then", ["exit 1", "kill -9 $$", "echo no line >> $SHIPWAY_OUTPUT", "echo count=many >> $SHIPWAY_OUTPUT"]
)
@pytest.mark.parametrize(
    "form",
    [
        f"password={SECRET}",
        f"password={SECRET}\\npassword=another-one",
        f"password<<E\\n{SECRET}\\nE",
        f"password<<E\\n{SECRET}",
    ],
)
def test_a_secret_output_is_masked_also_where_the_step_fails_after_it_was_written(
    tmp_path: Path, then: str, form: str
) -> None:
    steps = f"""
        a:
          outputs: {{password: secret, count: {{type: integer, required: false}}}}
          run: |
            printf '{form}\\n' >> "$SHIPWAY_OUTPUT"
            echo "made {SECRET}"
            {then}
    """
    ran = run(tmp_path, stage(steps))
    assert ran.outcomes == {"a": "failed"}
    assert ran.log("main/a") == "made ***\n"
    assert SECRET not in ran["main/a"].error
    assert SECRET.encode() not in canonical_bytes(ran.receipt.document)


def test_a_secret_in_an_undo_and_in_an_error_is_masked(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        """
        secrets: [TOKEN]
        steps:
          - id: a
            env: {TOKEN: "${{ secrets.TOKEN }}"}
            run: 'echo "oops $TOKEN" >> "$SHIPWAY_OUTPUT"'
            undo: echo "undoing with $TOKEN"
        """,
        Setting(env={"TOKEN": SECRET}),
    )
    assert ran.outcomes == {"a": "undone"}
    assert "`oops ***`" in ran["main/a"].error
    assert SECRET.encode() not in everything_kept(tmp_path)


# Shells and starting.


@pytest.mark.parametrize(
    ("shell", "script", "said"),
    [
        ("bash", "[[ a == a ]] && echo bash > said", "bash"),
        ("sh", "echo sh > said", "sh"),
        ("python", "open('said', 'w').write('python')", "python"),
        ("sh -c 'cat {0} > said'", "anything at all", "anything at all"),
        ("cp {0} said", "not a script: a template is a command line", "not a script: a template is a command line"),
    ],
)
def test_a_script_runs_in_its_shell(tmp_path: Path, shell: str, script: str, said: str) -> None:
    ran = run(tmp_path, stage("- " + json.dumps({"id": "a", "run": script, "shell": shell})))
    assert ran.outcomes == {"a": "succeeded"}, ran["main/a"].error
    assert (tmp_path / "said").read_text().strip() == said


def test_bash_stops_at_the_first_error_also_inside_a_pipe(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage(
            'a: {run: "false\\ntouch never"}\nb: {run: "false | true\\ntouch never"}', defaults="on_failure: continue"
        ),
    )
    assert ran.outcomes == {"a": "failed", "b": "failed"}
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize("shell", ["bash", "python"])
def test_a_script_may_be_longer_than_an_argument_can_be(tmp_path: Path, shell: str) -> None:
    script = (
        "# " + "x" * 200_000 + "\n" + ("echo long > said" if shell == "bash" else "open('said', 'w').write('long')")
    )
    ran = run(tmp_path, stage("- " + json.dumps({"id": "a", "run": script, "shell": shell})))
    assert ran.outcomes == {"a": "succeeded"}, ran["main/a"].error
    assert (tmp_path / "said").read_text().strip() == "long"
    assert list(tmp_path.rglob("*.script")) == []


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        ("working_directory: nowhere", "does not exist"),
        ("working_directory: file", "is not a directory"),
        ("shell: 'no-such-shell {0}'", "`no-such-shell` is not on PATH"),
    ],
)
def test_what_cannot_be_started_fails_and_says_why(tmp_path: Path, keys: str, error: str) -> None:
    (tmp_path / "file").touch()
    ran = run(tmp_path, stage(f'a: {{run: "true", {keys}}}\nb: {{run: "true"}}', defaults="on_failure: continue"))
    assert ran.outcomes == {"a": "failed", "b": "succeeded"}
    assert error in ran["main/a"].error


@pytest.mark.parametrize(("shell", "error"), [("fish", "neither bash, sh nor python"), ('bash "{0}', "cannot be read")])
def test_a_shell_that_makes_no_sense_is_found_when_planned(tmp_path: Path, shell: str, error: str) -> None:
    ran = run(tmp_path, stage("- " + json.dumps({"id": "a", "run": "touch ran", "shell": shell})))
    assert error in ran.error.message and ran.error.phase == "plan"
    assert not (tmp_path / "ran").exists()


def test_a_step_runs_in_its_working_directory(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    run(tmp_path, stage("- {id: a, run: pwd > where, working_directory: sub}"))
    assert (tmp_path / "sub/where").read_text().strip() == str(tmp_path / "sub")


def test_a_program_that_is_killed_says_by_which_signal(tmp_path: Path) -> None:
    ran = run(tmp_path, stage("- {id: a, run: kill -KILL $$}"))
    assert ran["main/a"].error == "killed by SIGKILL"
    assert ran["main/a"].outcome is Outcome.FAILED
