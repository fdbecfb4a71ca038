"""Shows with the real command line what happens where the place, the repository or a step's output is not as one hopes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs import SHIPWAY, Lifeline, begin, call, declare, environment, finish, stage

pytestmark = pytest.mark.acceptance

IDENTITY = {
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}


def git(root: Path, *arguments: str) -> str:
    env = environment(**IDENTITY, GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_SYSTEM=os.devnull)
    return subprocess.run(["git", *arguments], cwd=root, env=env, check=True, capture_output=True, text=True).stdout


def repository(root: Path, *, commits: int = 2) -> Path:
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    declare(root, stage('- {id: a, run: "true"}'))
    for number in range(commits):
        (root / "file").write_text(str(number))
        git(root, "add", ".")
        git(root, "commit", "-q", "-m", str(number))
    return root


def source_of_plan(root: Path) -> dict[str, object]:
    called = call(root, "plan", "--json")
    assert called.exit_code == 0, called
    source = json.loads(called.out)["source"]
    assert isinstance(source, dict)
    return source


def receipt(root: Path) -> dict[str, list[dict[str, str]]]:
    [path] = (root / ".shipway/receipts").glob("*.json")
    found: dict[str, list[dict[str, str]]] = json.loads(path.read_text())
    return found


def only_node(root: Path) -> dict[str, str]:
    [node] = receipt(root)["nodes"]
    return node


def log(root: Path, name: str = "main.a.log") -> bytes:
    [path] = (root / ".shipway/runs").glob(f"*/logs/{name}")
    return path.read_bytes()


# Where it is started.


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    called = call(tmp_path, "run", "--yes", "-f", "nowhere.yml")
    assert called.exit_code == 2, called
    assert "`nowhere.yml`" in called.err


def test_a_directory_without_a_declaration_says_how_to_begin(tmp_path: Path) -> None:
    called = call(tmp_path, "run", "--yes")
    assert called.exit_code == 2, called
    assert "`shipway.yml`" in called.err


def test_outside_git_everything_works_without_a_commit(tmp_path: Path) -> None:
    declare(tmp_path, stage('- {id: a, run: "true"}'))
    assert source_of_plan(tmp_path)["commit"] is None
    assert call(tmp_path, "run", "--yes").exit_code == 0


def test_a_repository_without_a_commit_works(tmp_path: Path) -> None:
    root = repository(tmp_path / "r", commits=0)
    assert source_of_plan(root)["commit"] is None
    assert call(root, "run", "--yes").exit_code == 0


def test_a_detached_head_works(tmp_path: Path) -> None:
    root = repository(tmp_path / "r")
    git(root, "checkout", "-q", "--detach", "HEAD~1")
    assert source_of_plan(root)["commit"] == git(root, "rev-parse", "HEAD").strip()
    assert call(root, "run", "--yes").exit_code == 0


def test_a_shallow_clone_works_and_plans_the_same_effect(tmp_path: Path) -> None:
    root = repository(tmp_path / "r")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{root}", "shallow")
    plans = [json.loads(call(folder, "plan", "--json").out) for folder in (root, tmp_path / "shallow")]
    assert plans[0]["effect"] == plans[1]["effect"]
    assert call(tmp_path / "shallow", "run", "--yes").exit_code == 0


def test_a_subdirectory_finds_the_declaration_above_it(tmp_path: Path) -> None:
    root = repository(tmp_path / "r")
    (root / "deep/er").mkdir(parents=True)
    assert call(root / "deep/er", "run", "--yes").exit_code == 0
    assert (root / ".shipway").is_dir()


def test_where_nothing_can_be_written_nothing_is_started(tmp_path: Path) -> None:
    declare(tmp_path, stage("- {id: a, run: touch ran}"))
    (tmp_path / ".shipway").touch()
    called = call(tmp_path, "run", "--yes")
    assert called.exit_code == 6, called
    assert "cannot write" in called.err
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("NOT SHOWN: a full disk needs the right to mount a small one")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_loses_neither_the_run_nor_the_receipt(small_disk: Path) -> None:
    declare(
        small_disk,
        stage("""
            - {id: a, run: 'cat /dev/zero > filler 2>/dev/null || true'}
            - {id: b, run: 'head -c 100000 /dev/zero | tr "\\0" x'}
        """),
    )
    called = call(small_disk, "run", "--yes", env={"TMPDIR": str(small_disk.parent)})
    assert called.exit_code == 6, called
    assert "No space left on device" in called.err
    [kept] = small_disk.parent.glob("*.json")
    assert str(kept) in called.err
    receipt = json.loads(kept.read_text())
    assert "No space left on device" in receipt["error"], "who looks at it later is told as well"
    nodes = {node["id"]: node for node in receipt["nodes"]}
    assert nodes["main/a"]["outcome"] == "succeeded"
    assert set(nodes) == {"main/a", "main/b"}


# What steps print.


def test_binary_output_is_kept_as_text_that_harms_nobody(tmp_path: Path) -> None:
    declare(tmp_path, stage(r"""- {id: a, run: "printf 'a\\000\\033[31mred\\033[0m\\377\\376\\nno end'"}"""))
    called = call(tmp_path, "run", "--yes", "-v")
    assert called.exit_code == 0, called
    assert log(tmp_path) == "ared\ufffd\ufffd\nno end".encode()
    assert "\x1b" not in called.out and "\0" not in called.out


def test_a_hundred_megabytes_of_output_are_kept_whole_in_bounded_memory(tmp_path: Path) -> None:
    size = 100_000_000
    declare(tmp_path, stage(f"- {{id: a, run: head -c {size} /dev/zero | tr '\\0' x}}"))
    measured = (
        "import resource, subprocess, sys\n"
        "code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)\n"
        "print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, "-c", measured, *SHIPWAY, "run", "--yes"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True)
    code, peak = map(int, done.stdout.split())
    kilobytes = peak // 1024 if sys.platform == "darwin" else peak
    assert code == 0
    assert kilobytes < 200_000
    content = log(tmp_path)
    assert len(content) == size
    assert content.count(b"x") == size
    shutil.rmtree(tmp_path / ".shipway")


def test_a_step_that_prints_without_end_is_still_timed_out(tmp_path: Path) -> None:
    declare(tmp_path, stage("- {id: a, run: yes, timeout: 300ms}"))
    called = call(tmp_path, "run", "--yes", "--quiet")
    assert called.exit_code == 1
    assert only_node(tmp_path)["outcome"] == "timed_out"
    shutil.rmtree(tmp_path / ".shipway")


def test_a_step_that_closes_its_output_goes_on(tmp_path: Path) -> None:
    declare(tmp_path, stage("- {id: a, run: 'echo before; exec >&- 2>&-; touch went-on'}"))
    assert call(tmp_path, "run", "--yes").exit_code == 0
    assert (tmp_path / "went-on").exists()
    assert log(tmp_path) == b"before\n"


def test_a_step_that_reads_its_input_finds_none(tmp_path: Path) -> None:
    declare(tmp_path, stage("- {id: a, run: 'cat; echo end'}"))
    assert call(tmp_path, "run", "--yes").exit_code == 0
    assert log(tmp_path) == b"end\n"


def test_a_background_process_is_ended_with_a_warning_and_its_last_words_are_kept(tmp_path: Path) -> None:
    held = Lifeline(tmp_path / "held")
    script = """
        (exec 9> held; trap 'echo late; exit' TERM; touch ready; while :; do sleep 0.05; done) &
        until [ -e ready ]; do :; done
        echo leader
    """
    declare(tmp_path, stage(f"- id: a\n  run: |\n{script}"))
    called = call(tmp_path, "run", "--yes")
    assert called.exit_code == 0, called
    assert "left processes running in the background" in only_node(tmp_path)["warning"]
    assert not held.is_held()
    assert log(tmp_path).startswith(b"leader\n") and log(tmp_path).endswith(b"late\n")


def test_a_process_that_left_its_group_does_not_hold_the_run(tmp_path: Path) -> None:
    held = Lifeline(tmp_path / "held")
    os.mkfifo(tmp_path / "let-go")
    script = """
        setsid bash -c 'exec 9> held; echo up >&9; read -r _ < let-go' &
        until [ -e up ]; do :; done
    """
    declare(tmp_path, stage(f"- id: a\n  run: |\n{script}"))
    process = begin(tmp_path, "run", "--yes")
    held.wait()
    (tmp_path / "up").touch()
    assert finish(process).exit_code == 0
    assert held.is_held()
    (tmp_path / "let-go").write_text("\n")  # and so it ends


def test_names_with_escape_sequences_are_shown_without_them(tmp_path: Path) -> None:
    declare(tmp_path, stage(r'- {id: a, name: "bad\u001b[31mname", run: "true"}'))
    called = call(tmp_path, "run", "--yes")
    assert "\x1b" not in called.out + called.err


def test_c046_with_json_there_is_nothing_but_json_on_standard_output(tmp_path: Path) -> None:
    declare(tmp_path, stage("- {id: a, run: 'echo noise; exit 1'}"))
    called = call(tmp_path, "run", "--yes", "--json")
    assert called.exit_code == 1
    assert json.loads(called.out)["kind"] == "receipt"


def test_outside_git_a_subfolder_finds_what_a_run_left_above(tmp_path: Path) -> None:
    declare(tmp_path, "steps:\n  - run: echo hello\n")
    deep = tmp_path / "sub" / "deep"
    deep.mkdir(parents=True)
    for arguments in (["run", "--yes"], ["show"], ["plan", "-o", "plan.json"], ["apply", "plan.json", "--yes"]):
        called = call(deep, *arguments)
        assert called.exit_code == 0, called
