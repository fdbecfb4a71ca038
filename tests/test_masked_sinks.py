"""Secrets in every form through what steps print, hand on and fail with: in no log, comment, summary, output or artifact."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from urllib.parse import quote

import pytest

from shipway.commands.documents import read_document
from shipway.events import Warned
from shipway.plan import Plan
from shipway.receipt import Receipt
from tests.forge.server import GitHubServer
from tests.runs import Kept, Setting, call, declare, run
from tests.test_action_command import PUSH, Job, git
from tests.test_credentials import ALL

PASSWORD = 'pa55/"word"+with=&all\\of it'
KEY = "-----BEGIN THING-----\nbGluZSBvbmUgb2Ygc2VjcmV0\nbGluZSB0d28gb2Ygc2VjcmV0\n-----END THING-----"
PIN = "abc"
TOKEN = "gh" + "p_" + "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX"

PRINTS = r"""
printf '%s\n' "$PASSWORD" "$KEY" "abc is shown"
printf '%s' "$PASSWORD" | base64; printf 'x%s' "$PASSWORD" | base64; printf 'xy%s' "$PASSWORD" | base64 -w 20
printf '%s' "$PASSWORD" | head -c 9; printf '%s\n' "$PASSWORD" | tail -c +10
printf '%s' "$PASSWORD" | head -c 9 >&2; sync; printf '%s\n' "$PASSWORD" | tail -c +10 >&2
head -c 1048570 /dev/zero | tr '\0' x; printf '%s\n' "$PASSWORD"
"""


def forms(value: str) -> list[str]:
    """What must stand nowhere."""
    content = value.encode()
    found = [value, json.dumps(value)[1:-1], quote(value), quote(value, safe=""), content.hex()]
    found += [base64.b64encode(content).decode().rstrip("="), base64.urlsafe_b64encode(content).decode().rstrip("=")]
    return [*found, *shortened(value), *(line for line in value.splitlines() if "-----" not in line)]


def shortened(value: str) -> list[str]:
    """What is left of it in base64 of a text that contains it, without the digits it shares with others."""
    return [base64.b64encode(before + value.encode()).decode()[4:-4] for before in (b"x", b"xy")]


def gone() -> list[str]:
    return [*forms(PASSWORD), *forms(KEY), TOKEN, base64.b64encode(TOKEN.encode()).decode().rstrip("=")]


def declaration() -> str:
    env = '{PASSWORD: "${{ secrets.PASSWORD }}", KEY: "${{ secrets.KEY }}", PIN: "${{ secrets.PIN }}"}'
    script = "\n".join("      " + line for line in PRINTS.strip().splitlines())
    return f"""\
version: 1
name: shop
secrets: [PASSWORD, KEY, PIN]
defaults: {{on_failure: continue, rollback: none}}
steps:
  say:
    env: {env}
    env_from: [FORMS_*]
    run: |
{script}
      printf '%s\\n' "$FORMS_ALL"
      printf 'plain=%s\\n' "$PASSWORD" >> "$SHIPWAY_OUTPUT"
      printf 'listed=["%s"]\\n' "$FORMS_TOKEN" >> "$SHIPWAY_OUTPUT"
      printf 'kept=%s\\n' "$FORMS_TOKEN-as-secret" >> "$SHIPWAY_OUTPUT"
    outputs: {{plain: string, listed: list, kept: secret}}
  status:
    env: {env}
    run: |
      printf 'skipped: because of %s' "$PASSWORD" > "$SHIPWAY_STATUS"
  fail:
    env: {env}
    run: printf '%s\\n' "$PASSWORD" "$KEY" >&2; printf '%s\\n' "no line of $PASSWORD" >> "$SHIPWAY_OUTPUT"
    undo: printf '%s\\n' "$PASSWORD"
  breaks:
    env: {env}
    run: printf '%s\\n' "$FORMS_ALL"; exit 3
  plan:
    env: {env}
    run: "true"
    plan: printf 'told=%s\\n' "$PASSWORD" >> "$SHIPWAY_OUTPUT"; printf '%s\\n' "$PASSWORD"; printf '%s' "$KEY" >&2
    outputs: {{told: {{type: string, required: false}}}}
"""


def environment() -> dict[str, str]:
    told = [text for value in (PASSWORD, KEY) for text in forms(value) if text not in shortened(value)]
    told += [json.dumps(KEY), *(text for text, _ in ALL), TOKEN]
    return {"PASSWORD": PASSWORD, "KEY": KEY, "PIN": PIN, "FORMS_ALL": "\n".join(told), "FORMS_TOKEN": TOKEN}


def texts_below(folder: Path) -> dict[str, str]:
    """Every file, as text; a copy of the journal as what is in it."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and ".git" not in path.parts:
            content = path.read_bytes()
            if path.name == "journal.bin":
                content = zlib.decompress(content)
            found[str(path.relative_to(folder))] = content.decode(errors="replace")
    return found


def _unmasked(log: str) -> str:
    """What the runner shows: not the commands by which it is told what to mask."""
    return "\n".join(line for line in log.splitlines() if not line.startswith("::add-mask::"))


def assert_clean(places: dict[str, str]) -> None:
    for place, text in places.items():
        left = [form for form in gone() if form in text]
        left += [part for whole, part in ALL if whole in text or part in text]
        assert left == [], f"{place} shows {left}"


def test_case_54_no_form_of_a_secret_is_in_any_place_that_a_job_leaves(tmp_path: Path, github: GitHubServer) -> None:
    job = Job(tmp_path / "job", github, "push", PUSH)
    (job.checkout / "shipway.yml").write_text(declaration())
    git(job.checkout, "commit", "-qam", "second")
    job.env |= environment() | {"GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch"}
    github.world.pulls[7].merge_commit = job.env["GITHUB_SHA"] = git(job.checkout, "rev-parse", "HEAD").strip()
    done = job.part("run", SHIPWAY_INPUT_COMMAND="run")
    kept = job.part("keep", SHIPWAY_ARTIFACT_PATH=job.outputs["artifact-path"])
    reported = job.report()
    receipt = read_document(Path(job.outputs["receipt-path"]))
    assert isinstance(receipt, Receipt)
    assert receipt.by_id["main/fail"].outcome.value == "failed"
    assert receipt.by_id["main/say"].outcome.value == "succeeded", receipt.by_id["main/say"].error
    assert receipt.redactions > 50
    secret = receipt.by_id["main/say"].outputs["kept"]
    assert isinstance(secret, dict) and list(secret) == ["secret"]
    (comment,) = github.world.pulls[7].comments
    told = {f"log {place}": _unmasked(part.stdout) + part.stderr for place, part in enumerate((done, kept, reported))}
    told |= {"comment": comment.body, "summary": job.summary, "outputs": (job.root / "GITHUB_OUTPUT").read_text()}
    assert github.world.checks, "a check run says the same"
    told |= {f"check {place}": repr(check) for place, check in enumerate(github.world.checks)}
    assert "journal.bin" in "".join(texts_below(job.root / "temp"))
    assert_clean(told | texts_below(job.root / "temp") | texts_below(job.checkout / ".shipway"))


def test_case_54_no_form_of_a_secret_is_in_what_a_terminal_or_a_plan_shows(tmp_path: Path) -> None:
    (tmp_path / "shipway.yml").write_text(declaration())
    for arguments in (
        ["plan", "-o", "plan.json"],
        ["plan", "--json"],
        ["run", "--yes", "--verbose"],
        ["run", "--yes", "--json"],
    ):
        done = call(tmp_path, *arguments, env=environment())
        assert_clean({" ".join(arguments): done.out + done.err})
    run_id = json.loads(call(tmp_path, "runs", "--json").out)["runs"][0]["run"]
    for arguments in (["logs", run_id], ["show", run_id], ["runs"], ["why", "main/say"]):
        done = call(tmp_path, *arguments, env=environment())
        assert_clean({" ".join(arguments): done.out + done.err})
    places = texts_below(tmp_path)
    del places["shipway.yml"]
    assert len(places) > 5
    assert_clean(places)


def test_case_54_a_plan_command_that_fails_tells_no_secret(tmp_path: Path) -> None:
    declare(
        tmp_path,
        """
        secrets: [PASSWORD, KEY]
        steps:
          a:
            run: "true"
            plan: printf '%s\\n' "$PASSWORD" "$KEY" "$FORMS_ALL" >&2; exit 4
            env: {PASSWORD: "${{ secrets.PASSWORD }}", KEY: "${{ secrets.KEY }}"}
            env_from: [FORMS_*]
        """,
    )
    done = call(tmp_path, "plan", env=environment())
    assert done.exit_code == 1
    assert "***" in done.err
    assert_clean({"plan": done.out + done.err})


def test_case_55_a_secret_of_three_characters_shreds_no_text_and_a_warning_names_it(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        """
        secrets: [PIN]
        steps: {a: {run: 'echo "abcabc, the alphabet begins with $PIN"', env: {PIN: "${{ secrets.PIN }}"}}}
        """,
        Setting(env={"PIN": "abc"}),
    )
    assert ran.log("main/a") == "abcabc, the alphabet begins with abc\n"
    warnings = [event.text for event in ran.events if isinstance(event, Warned)]
    assert warnings == ["too short to be masked in what steps print: `PIN`"]


@pytest.mark.parametrize("value", ["x\ny=2", "x\nghadelimiter_1\ny=2", "x\n::set-output name=y::2"])
def test_case_57_an_output_of_many_lines_is_whole_and_brings_no_second_one(tmp_path: Path, value: str) -> None:
    declare(
        tmp_path,
        """
        steps:
          - id: a
            env_from: [VALUE]
            run: printf 'it<<~END~\\n%s\\n~END~\\n' "$VALUE" >> "$SHIPWAY_OUTPUT"
            outputs: {it: string}
          - {id: b, env: {IT: "${{ steps.a.outputs.it }}"}, run: 'printf %s "$IT" > got.txt'}
        """,
    )
    done = call(tmp_path, "run", "--yes", env={"VALUE": value})
    assert done.exit_code == 0, done
    assert (tmp_path / "got.txt").read_text() == value


class _Broken(Kept):
    def report(self, plan: Plan | None, receipt: Receipt | None) -> None:
        raise RuntimeError(f"cannot reach https://app:{KEY.splitlines()[1][:12]}@example.org with {PASSWORD}")


def test_case_54_an_error_that_nobody_expected_tells_no_secret(tmp_path: Path) -> None:
    env = {"PASSWORD": PASSWORD}
    ran = run(tmp_path, 'secrets: [PASSWORD]\nsteps: [{run: "true"}]', Setting(env=env, reporter=_Broken()))
    told = ran.error.message + ran.error.next + ran.error.trace
    assert "RuntimeError: cannot reach https://app:***@example.org with ***" in told
    assert "Traceback" in ran.error.trace
    assert_clean({"error": told})
