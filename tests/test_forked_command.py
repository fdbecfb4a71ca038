"""What tests see of a forked command is what its real start gives: code, streams, environment, folder, children."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.command_line import Project, make_project
from tests.forked_command import call_command
from tests.runs import begin, environment, finish

DECLARED = """
    version: 1
    name: same
    secrets: [WORD]
    steps:
      - id: say
        env: {WORD: "${{ secrets.WORD }}"}
        run: |
          pwd; umask; env | sort | grep -v -e ^SHIPWAY_ -e ^_=; ls /dev/fd | wc -l
          ps -o args= -p $$ >/dev/null; trap
      - {id: end, run: 'exit "$CODE"', env_from: [CODE]}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = make_project(tmp_path)
    made.write({"shipway.yml": DECLARED, "below/kept": ""})
    made.commit()
    return made


@pytest.mark.parametrize(
    ("words", "env"),
    [
        (["--version"], {}),
        (["run", "--help"], {}),
        (["plan"], {"LANG": "C"}),
        (["plan", "--json"], {"TZ": "Asia/Kathmandu"}),
        (["plan", "--nonsense"], {}),
        (["run", "--yes", "--verbose"], {"CODE": "0", "WORD": "correct-horse"}),
        (["run", "--yes", "--target", "naïve"], {}),
        (["run", "--yes", "--target", "other"], {"CODE": "3", "WORD": "correct-horse"}),
    ],
    ids=lambda value: " ".join(value),
)
def test_a_forked_command_says_and_does_what_a_started_one_does(
    project: Project, words: list[str], env: dict[str, str]
) -> None:
    kept = environment(HOME=project.env["HOME"], COLUMNS="80", **env)
    started = finish(begin(project.root / "below", *words, env=kept))
    forked = call_command(words, project.root / "below", kept)
    assert forked.returncode == started.exit_code
    for one, other in ((forked.stdout, started.out), (forked.stderr, started.err)):
        assert _without_times(one) == _without_times(other)


def _without_times(text: str) -> list[str]:
    """Words of what is said, without the times, names and digests that differ between two runs, and what is made of times."""
    text = re.sub(r"^  (longest|at once) .*\n(   .*\n)*", "", text, flags=re.MULTILINE)
    return re.sub(r"[\d.:]+(ms|s|m)\b|\d\S*T\S+|\b[0-9a-f]{64}\b|\S+\.json", "", text).split()


def test_calls_at_once_each_get_their_own(project: Project) -> None:
    with ThreadPoolExecutor(8) as pool:
        codes = pool.map(
            lambda number: (
                call_command(
                    ["run", "--yes", "--target", f"t{number}"],
                    project.root,
                    environment(CODE=str(number % 2), WORD="correct-horse"),
                ).returncode
            ),
            range(8),
        )
    assert list(codes) == [0, 1] * 4


def test_what_kills_itself_is_seen_to_be_killed(project: Project) -> None:
    project.write({"shipway.yml": "version: 1\nname: die\nsteps: [{run: kill -9 $PPID}]\n"})
    assert call_command(["run", "--yes"], project.root, dict(os.environ)).returncode == -9
