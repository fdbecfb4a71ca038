"""Takeover, rollback and resume end to end, by the real command: each of these fails where its feature is silently off."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipway.locks import Lock, key_of, lifecycle_lock, load_lock, lock_bytes
from shipway.redaction import trusted
from shipway.repository import open_repository
from shipway.shared_state import SharedState
from shipway.stores.git_refs import GitRefs, find_remote
from tests.forge.server import GitHubServer
from tests.forge.world import Run
from tests.git_remotes import git, make_remote
from tests.runs import Called, Lifeline, begin, call, declare, environment, finish
from tests.test_action_command import PUSH, Job

SHARED = """\
version: 1
name: shop
state: {store: git}
steps:
  - id: work
    run: 'echo "$WHO" >> "$LOG"; exec 3< "$GO"; echo > "$BEGUN"; read x <&3 || true'
    undo: 'echo "$WHO undoes" >> "$LOG"'
    env_from: [WHO, LOG, BEGUN, GO]
"""

HOLDER_RUN, NEXT_RUN = 77, 90


PROBED = SHARED.replace("|| true'", "|| true; exit $CODE'\n    verify: exit 3").replace("GO]", "GO, CODE]")
"""The same with a step that can be asked about afterwards, and that fails in the run that hangs."""


def machine(tmp_path: Path, github: GitHubServer, bare: Path, run: int, declared: str = SHARED) -> Job:
    """A job of that run on a machine of its own, with a clone of the remote that keeps the state."""
    job = Job(tmp_path / str(run), github, "push", PUSH)
    (job.checkout / "shipway.yml").write_text(declared)
    git(job.checkout, "commit", "-qam", "shared")
    git(job.checkout, "remote", "add", "origin", str(bare))
    github.world.runs.setdefault(run, Run(run, status="in_progress"))
    job.env |= {"GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch"}
    job.env |= {
        "GITHUB_RUN_ID": str(run),
        "WHO": str(run),
        "LOG": str(tmp_path / "log"),
        "CODE": str(int(run == HOLDER_RUN)),
        "GO": os.devnull,
        "BEGUN": os.devnull,
    }
    job.env |= {"GITHUB_SHA": git(job.checkout, "rev-parse", "HEAD").strip()}
    return job


@contextmanager
def store_of(job: Job) -> Iterator[GitRefs]:
    """The store of the state, as a job reaches it."""
    root = open_repository(job.checkout, environment()).root
    remote = find_remote(root, environment(), "", None, "")
    store = GitRefs(remote, environment(), sleep=lambda seconds: None, redact=trusted)
    yield store
    store.close()


def held(store: GitRefs) -> Lock:
    """The record of the lifecycle's lock."""
    kept = store.read(key_of(lifecycle_lock("shop", "default")))
    assert kept is not None
    return load_lock(kept.content)


def end_lease(store: GitRefs) -> None:
    """What three minutes without a sign of the holder come to: the lease in the record is over."""
    key = key_of(lifecycle_lock("shop", "default"))
    kept = store.read(key)
    assert kept is not None
    store.swap(key, kept.version, lock_bytes(replace(load_lock(kept.content), until_ms=1)))


class Hung:
    """A run of a job that holds the lock and hangs in its first step, as on a machine that went to sleep."""

    def __init__(self, tmp_path: Path, job: Job) -> None:
        go, begun = tmp_path / "go", tmp_path / "begun"
        os.mkfifo(go)
        self._go = os.open(go, os.O_RDWR)
        lifeline = Lifeline(begun)
        self.process = begin(job.checkout, "action", "run", env=job.env | {"GO": str(go), "BEGUN": str(begun)})
        assert lifeline.wait() == "\n"
        os.kill(self.process.pid, signal.SIGSTOP)

    def wake(self) -> Called:
        """Let it and its step come to their ends."""
        os.kill(self.process.pid, signal.SIGCONT)
        os.write(self._go, b"go on\n")
        return finish(self.process)

    def close(self) -> None:
        """End whatever there still is of it."""
        self.process.kill()
        os.write(self._go, b"go on\n")
        self.process.communicate()
        os.close(self._go)


@pytest.mark.parametrize("declared", [SHARED, PROBED], ids=["it succeeds late", "it fails late"])
def test_cases_47_and_74_the_lock_of_a_run_that_is_over_is_taken_over_and_its_late_write_refused(
    tmp_path: Path, github: GitHubServer, declared: str
) -> None:
    bare, _ = make_remote(tmp_path)
    holder, next_ = (machine(tmp_path, github, bare, run, declared) for run in (HOLDER_RUN, NEXT_RUN))
    with closing(Hung(tmp_path, holder)) as hung, store_of(next_) as store:
        lock = held(store)
        assert lock.holder is not None
        assert (lock.token, lock.holder.run) == (1, str(HOLDER_RUN))
        early = next_.part("run")
        assert (early.returncode, next_.outputs["reason"]) == (6, "lock-held"), early.stderr
        end_lease(store)
        early = next_.part("run")  # nobody renews it, and yet: GitHub says that the run goes on
        assert (early.returncode, next_.outputs["reason"]) == (6, "lock-held"), early.stderr

        github.world.runs[HOLDER_RUN].status = "completed"
        # From another machine nobody sees its process: here its journal would say that it still lives.
        git(bare, "update-ref", "-d", "refs/shipway/journals/shop/default")
        taken = next_.part("run")
        assert taken.returncode == 0, taken.stdout + taken.stderr
        after = held(store)
        assert (after.token, after.holder) == (2, None)
        state = SharedState(store, "shop", "default")
        receipts = state.receipts()
        [(_, receipt)] = receipts
        assert json.loads(receipt)["outcome"] == "succeeded"

        late = hung.wake()
        assert late.exit_code == 6, late
        assert holder.outputs["reason"] == "lock-lost"
        assert held(store) == after
        assert state.receipts() == receipts
    assert (tmp_path / "log").read_text().split("\n") == ["77", "90", ""]


def test_cases_47_and_74_the_lock_of_a_killed_job_is_taken_over(tmp_path: Path, github: GitHubServer) -> None:
    bare, _ = make_remote(tmp_path)
    holder, next_ = (machine(tmp_path, github, bare, run) for run in (HOLDER_RUN, NEXT_RUN))
    Hung(tmp_path, holder).close()
    github.world.runs[HOLDER_RUN].status = "completed"
    with store_of(next_) as store:
        end_lease(store)
        taken = next_.part("run")
        assert taken.returncode == 0, taken.stdout + taken.stderr
        assert (held(store).token, held(store).holder) == (2, None)


STEPS = """
steps:
  - {id: one, run: 'echo one >> told', undo: 'echo one undone >> told'}
  - {id: two, run: 'echo two >> told; test -e "$AGAIN" || %s', undo: 'echo two undone >> told', verify: exit 3, env_from: [AGAIN]}
  - {id: three, run: 'echo three >> told', undo: 'echo three undone >> told'}
"""


def test_case_74_what_was_begun_is_rolled_back_by_itself(tmp_path: Path) -> None:
    declare(tmp_path, STEPS % "exit 1")
    done = call(tmp_path, "run", "--yes", "--json")
    assert done.exit_code == 1, done
    assert (tmp_path / "told").read_text().splitlines() == ["one", "two", "two undone", "one undone"]
    (receipt,) = (tmp_path / ".shipway/receipts").glob("*.json")
    outcomes = {node["id"]: node["outcome"] for node in json.loads(receipt.read_text())["nodes"]}
    assert outcomes == {"main/one": "undone", "main/two": "undone", "main/three": "blocked"}


def test_case_74_a_killed_run_is_resumed_where_it_was(tmp_path: Path) -> None:
    declare(tmp_path, STEPS % "kill -9 $PPID")
    assert call(tmp_path, "run", "--yes").exit_code == -signal.SIGKILL
    assert (tmp_path / "told").read_text().splitlines() == ["one", "two"]
    done = call(tmp_path, "resume", "--yes", env={"AGAIN": str(tmp_path)})
    assert done.exit_code == 0, done
    assert (tmp_path / "told").read_text().splitlines() == ["one", "two", "two", "three"]
    (receipt,) = (tmp_path / ".shipway/receipts").glob("*.json")
    assert {node["outcome"] for node in json.loads(receipt.read_text())["nodes"]} == {"succeeded"}
