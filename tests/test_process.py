"""Shows how ended children are noticed with and without a pidfd, and when a group counts as gone."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from shipway.context import keep_open_files
from shipway.process import KILL, Child, StartFailed, Waiter, most_children, start
from tests.runs import Lifeline, environment


def begun(script: str, root: Path) -> Child:
    with open(os.devnull, "r+b") as null:
        return start(("sh", "-c", script), cwd=root, env=environment(), stdin=null.fileno(), output=null.fileno())


def test_a_child_is_reported_once_by_its_pidfd(tmp_path: Path) -> None:
    waiter, child = Waiter(), begun("exit 4", tmp_path)
    waiter.watch(child)
    assert waiter.wait(60_000) == [child]
    assert child.reap() == 4
    assert waiter.wait(0) == []
    waiter.close()


def test_a_child_without_a_pidfd_is_reported_by_a_thread(tmp_path: Path) -> None:
    waiter = Waiter()
    child = Child(os.posix_spawn("/bin/sh", ("sh", "-c", "exit 5"), {}, setpgroup=0), None)
    waiter.watch(child)
    found: list[Child] = []
    while not found:
        found = waiter.wait(60_000)
    assert found == [child]
    assert child.reap() == 5
    waiter.close()


def test_a_group_is_alive_as_long_as_one_of_it_runs_and_zombies_do_not_count(tmp_path: Path) -> None:
    held = Lifeline(tmp_path / "held")
    child = begun("(exec 9> held; echo up >&9; while :; do sleep 60; done) & exit 0", tmp_path)
    assert child.reap() == 0
    held.wait()
    assert child.group_is_alive()
    child.signal_group(KILL)
    while held.is_held():
        pass
    while child.group_is_alive():
        pass


def test_a_wake_ends_a_wait() -> None:
    waiter = Waiter()
    waiter.wake()
    assert waiter.wait(None) == []
    waiter.close()


@pytest.mark.parametrize(("argv", "why"), [(("no-such",), "is not on PATH"), (("sh", "a\0b"), "null byte")])
@pytest.mark.parametrize("is_here", [True, False])
def test_what_cannot_be_started_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], why: str, is_here: bool
) -> None:
    if is_here:
        monkeypatch.chdir(tmp_path)
    with open(os.devnull, "r+b") as null:
        files = {"stdin": null.fileno(), "output": null.fileno()}
        for own_path in ("", os.environ["PATH"]):
            with pytest.raises(StartFailed, match=why):
                start(argv, cwd=tmp_path, env={"PATH": os.environ["PATH"]}, own_path=own_path, **files)


@pytest.mark.parametrize("is_own", [True, False], ids=["the PATH of this process", "another one"])
def test_a_program_is_found_by_the_path_of_its_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_own: bool
) -> None:
    for name in ("theirs", "ours"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tool").write_text(f"#!/bin/sh\necho {name}\n")
        (tmp_path / name / "tool").chmod(0o755)
    (tmp_path / "theirs/tool").chmod(0o644)  # what may not be executed is passed over
    (tmp_path / "more").mkdir()
    (tmp_path / "more/tool").mkdir()
    path = os.pathsep.join(str(tmp_path / name) for name in ("none", "theirs", "more", "ours"))
    monkeypatch.setenv("PATH", path if is_own else "/usr/bin")
    monkeypatch.chdir(tmp_path)
    with open(os.devnull, "rb") as null, open("said", "wb") as output:
        files = {"stdin": null.fileno(), "output": output.fileno()}
        child = start(("tool",), cwd=tmp_path, env={"PATH": path}, own_path=os.environ["PATH"], **files)
    assert child.reap() == 0
    assert (tmp_path / "said").read_text() == "ours\n"


@pytest.mark.parametrize("is_here", [True, False])
def test_a_child_gets_its_directory_environment_and_group_and_no_open_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_here: bool
) -> None:
    if is_here:
        monkeypatch.chdir(tmp_path)
    keep_open_files()
    said = tmp_path / "said"
    script = "trap -p; pwd; env | sort; cut -d' ' -f5 /proc/$$/stat; echo $$; ls /dev/fd"
    with open(os.devnull, "rb") as null, open(said, "wb") as output:
        argv = ("/bin/bash", "--norc", "-c", script)
        child = start(argv, cwd=tmp_path, env={"ONLY": "this"}, stdin=null.fileno(), output=output.fileno())
    assert child.reap() == 0
    # What the starter of these tests ignores (as behind `nohup`, or `&` in a script) is ignored by every child.
    ignored = [
        name for name in ("HUP", "INT", "QUIT") if signal.getsignal(signal.Signals[f"SIG{name}"]) is signal.SIG_IGN
    ]
    expected = [f"trap -- '' SIG{name}" for name in ignored]
    told = said.read_text().splitlines()
    assert told[: len(expected)] == expected
    cwd, *env, group, leader, _, _, _, _ = lines = told[len(expected) :]
    assert cwd == str(tmp_path.resolve())
    assert "ONLY=this" in env
    assert {line.partition("=")[0] for line in env} == {"ONLY", "PWD", "SHLVL", "_"}  # the rest is bash's own
    assert group == leader == str(child.pid)
    assert lines[-4:] == ["0", "1", "2", "3"]  # the last is the listing's own


def test_there_is_room_for_at_least_one_child() -> None:
    assert most_children() >= 1
