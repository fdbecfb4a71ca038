"""Steps that reach for what they were not given: Shipway's environment and memory, other files, other commands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from shipway.errors import Reason
from shipway.receipt import RunOutcome
from tests.runs import Setting, call_anew, declare, run

_TOKEN = "ghs_0123456789abcdef"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows a process's environment to others")
def test_no_step_output_or_file_shows_the_environment_that_shipway_was_given(tmp_path: Path) -> None:
    declare(
        tmp_path,
        """
        defaults: {on_failure: continue}
        steps:
          parent: {run: 'tr "\\0" "\\n" < /proc/$PPID/environ | rev || true'}
          output:
            run: ln -s /proc/self/environ "$SHIPWAY_OUTPUT"
            outputs: {PATH: {type: string, required: false}, SHIPWAY_INPUT_TOKEN: {type: string, required: false}}
          file:
            run: echo 'it=/proc/self/environ' >> "$SHIPWAY_OUTPUT"
            outputs: {it: file}
          read:
            optional_needs: [file]
            uses: file.source
            with: {path: /proc/self/environ}
        """,
    )
    done = call_anew(tmp_path, "run", "--yes", env={"SHIPWAY_INPUT_TOKEN": _TOKEN})
    assert "main/parent" in done.out
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(kept) > 1
    for text in (done.out, done.err, *(path.read_text(errors="replace") for path in kept)):
        assert _TOKEN not in text
        assert _TOKEN[::-1] not in text


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has prctl")
def test_the_memory_of_shipway_is_closed_to_its_user_and_its_own_environment_stays() -> None:
    script = (
        "import ctypes, os\n"
        "from shipway.context import hide_from_children\n"
        "hide_from_children()\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.getenv.restype = ctypes.c_char_p\n"
        "print(libc.prctl(3, 0, 0, 0, 0), libc.getenv(b'KEPT').decode(), os.environ['KEPT'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], env={"KEPT": "here"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["0", "here", "here"]


def test_no_plan_holds_a_secret_that_a_command_or_a_file_told(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text(f"before {_TOKEN} behind\n")
    (tmp_path / "old.txt").write_text(f"before {_TOKEN} behind\n")
    declare(
        tmp_path,
        """
        secrets: [TOKEN]
        steps:
          say:
            run: "true"
            plan: 'printf "text=%s\\nobject={\\"%s\\":[\\"%s\\"]}\\nfine=1\\n" "$T" "$T" "$T" >> "$SHIPWAY_OUTPUT"; echo "$T"'
            env: {T: "${{ secrets.TOKEN }}"}
            outputs:
              text: {type: string, required: false}
              object: {type: object, required: false}
              fine: {type: string, required: false}
          take:
            run: "true"
            plan: {run: echo "$TEXT", requires: [TEXT]}
            env: {TEXT: "${{ steps.say.outputs.text }}"}
          read: {uses: file.source, with: {path: kept.txt}}
          write: {uses: file.write, with: {path: old.txt, content: "${{ steps.read.outputs.content }}new"}}
        """,
    )
    done = call_anew(tmp_path, "plan", "-o", "plan.json", env={"TOKEN": _TOKEN})
    document = json.loads((tmp_path / "plan.json").read_text())
    nodes = {node["id"]: node for node in document["nodes"]}
    assert nodes["main/say"]["predicted"] == {"fine": "1"}
    assert nodes["main/read"]["predicted"] == {}
    assert nodes["main/take"]["fidelity"] == "opaque"
    assert _TOKEN not in done.out + (tmp_path / "plan.json").read_text()


def test_a_step_may_clean_the_checkout_of_what_git_ignores_while_a_run_keeps_its_logs_there(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        """
        steps:
          - {id: before, run: echo before, undo: echo undone > undone.txt}
          - {id: clean, run: rm -rf .shipway; echo cleaned}
          - {id: after, run: echo 'it=here' >> "$SHIPWAY_OUTPUT"; echo seen, outputs: {it: string}}
          - {id: fail, run: 'echo "$IT"; exit 1', env: {IT: "${{ steps.after.outputs.it }}"}}
        """,
    )
    assert ran["main/after"].outputs == {"it": "here"}
    assert ran["main/fail"].tail == "here"
    assert (tmp_path / "undone.txt").read_text() == "undone\n"


def test_a_step_that_puts_a_file_where_the_run_keeps_its_own_fails_what_follows_and_breaks_nothing(
    tmp_path: Path,
) -> None:
    ran = run(
        tmp_path,
        """
        defaults: {on_failure: continue}
        steps:
          replace: {run: rm -rf .shipway; echo > .shipway; echo done}
          after: {optional_needs: [replace], run: echo never}
        """,
    )
    assert ran.outcomes == {"replace": "failed", "after": "failed"}
    assert "ot a directory" in ran["main/replace"].error
    assert ran.error.reason is Reason.UNWRITABLE and ran.receipt.outcome is RunOutcome.FAILED


def test_links_and_pipes_planted_for_another_step_are_neither_followed_nor_waited_for(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    ran = run(
        tmp_path,
        """
        defaults: {on_failure: continue}
        steps:
          plant:
            run: |
              run=$(dirname "$(dirname "$SHIPWAY_OUTPUT")")
              ln -s "$PWD/precious" "$run/raw/main.link"
              mkfifo "$run/raw/main.pipe" "$run/logs/main.piped-log.log"
              ln -s "$PWD/precious" "$run/logs/main.linked-log.log"
          link: {optional_needs: [plant], run: echo link}
          pipe: {optional_needs: [plant], run: echo pipe}
          linked-log: {optional_needs: [plant], run: echo linked}
          piped-log: {optional_needs: [plant], run: echo piped}
        """,
    )
    assert ran.finished.error is None
    assert (tmp_path / "precious").read_text() == "kept"
    assert {name: ran.outcomes[name] for name in ("link", "pipe")} == {"link": "failed", "pipe": "failed"}
    for name in ("linked-log", "piped-log"):
        assert ran.outcomes[name] == "succeeded"
        assert "the log is not whole" in ran[f"main/{name}"].warning


def test_a_file_output_that_no_file_can_have_fails_its_step(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        """
        steps:
          nul: {run: 'printf "it=a\\\\0b\\\\n" >> "$SHIPWAY_OUTPUT"', outputs: {it: file}}
        """,
    )
    assert ran.outcomes == {"nul": "failed"}
    assert "cannot be kept" in ran["main/nul"].error


def test_no_pattern_passes_a_token_of_a_forge_or_a_file_that_steers_the_runner(tmp_path: Path) -> None:
    tokens = "GITHUB_TOKEN GH_TOKEN GH_ENTERPRISE_TOKEN GITHUB_ENTERPRISE_TOKEN GITEA_TOKEN FORGEJO_TOKEN GITLAB_TOKEN"
    tokens += " CI_JOB_TOKEN ACTIONS_ID_TOKEN_REQUEST_TOKEN ACTIONS_RUNTIME_TOKEN"
    files = "GITHUB_ENV GITHUB_PATH GITHUB_OUTPUT GITHUB_STATE GITHUB_STEP_SUMMARY"
    others = {
        "SHIPWAY_INPUT_TOKEN": "x",
        "INPUT_TOKEN": "x",
        "PASSWORD": "declared",
        "GITHUB_SHA": "fine",
        "MINE": "fine",
    }
    env = {**dict.fromkeys([*tokens.split(), *files.split()], "never"), **others}
    ran = run(
        tmp_path,
        """
        secrets: [PASSWORD]
        steps: {a: {run: env > seen.txt, env_from: ["*", "GITHUB_*", "GITHUB_TOKEN"]}}
        """,
        Setting(env=env),
    )
    assert ran.outcomes == {"a": "succeeded"}
    seen = dict(line.partition("=")[::2] for line in (tmp_path / "seen.txt").read_text().splitlines())
    assert {name for name in env if name in seen} == {"GITHUB_SHA", "MINE"}
