"""What is left over in the world, for real: seen with what shows whose it is, taken away, and nothing else touched."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event

import pytest
from msgspec.structs import replace

from shipway.environment_record import EnvironmentRecord, EnvironmentState
from shipway.environments import Environments
from shipway.leftovers import Ground, look, remove
from shipway.locks import Claim, Holder, KeptBy, Lock, key_of, lifecycle_lock, load_lock, lock_bytes, taken
from shipway.port_blocks import Owner, Wanted
from shipway.port_leases import PortLeases
from shipway.preview_manifest import manifest_bytes
from shipway.stores.local_files import LocalFiles
from shipway.sweeping import Found, Kind, leftovers
from tests.container_engine import IMAGE, container_engine
from tests.git_remotes import git
from tests.test_preview_manifest import VALUES

NOW = 10_000_000
BASE = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    root, store = tmp_path / "root", tmp_path / "store"
    root.mkdir()
    store.mkdir()
    git(root, "init", "-q", "-b", "main")
    git(root, "commit", "-q", "--allow-empty", "-m", "first")
    env = {**BASE, "DOCKER_HOST": "unix:///nonexistent"}
    return Ground(root, LocalFiles(store), "shop", {**env, "PATH": _without_docker(tmp_path)})


def _without_docker(folder: Path) -> str:
    """A PATH with git, sh and what they need, and no docker: the machine's own is none of our business."""
    programs = folder / "bin"
    programs.mkdir()
    for name in ("git", "sh", "cat", "echo", "rm"):
        found = next(Path(place, name) for place in BASE["PATH"].split(":") if Path(place, name).exists())
        (programs / name).symlink_to(found)
    return str(programs)


def tree_of(ground: Ground, target: str) -> Path:
    place = ground.previews / target / "tree"
    place.parent.mkdir(parents=True)
    git(ground.root, "worktree", "add", "-q", "--detach", str(place))
    return place


def keep(ground: Ground, target: str, state: EnvironmentState, lifecycle: str = "shop") -> None:
    Environments(ground.store, lifecycle).change(target, lambda record: EnvironmentRecord(lifecycle, target, state))


def seen(ground: Ground) -> tuple[Found, ...]:
    evidence = look(ground, NOW)
    records, damaged = Environments(ground.store, "shop").all()
    return leftovers(evidence.found, "shop", records, unread=[each.target for each in damaged]).found


@pytest.fixture
def started(ground: Ground) -> Iterator[list[subprocess.Popen[bytes]]]:
    found: list[subprocess.Popen[bytes]] = []
    yield found
    for process in found:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()


def service(folder: Path, mark: str) -> subprocess.Popen[bytes]:
    """A process group as services have: a leader with a child, which says when it runs."""
    program = "import subprocess, sys; subprocess.Popen(['sleep', '600']); print(flush=True); sys.stdin.read()"
    env = {**BASE, "SHIPWAY_PREVIEW": mark}
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=folder, env=env, stdin=pipe, stdout=pipe, process_group=0
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def remove_all(ground: Ground) -> list[Kind]:
    gone = []
    for each in seen(ground):
        assert remove(each, ground, _pause)
        gone.append(each.kind)
    return gone


def _pause(milliseconds: int) -> None:
    """What has ended is ours to bury: else it stays a member of its group."""
    with suppress(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    Event().wait(milliseconds / 1000)


def test_p98_a_process_group_without_an_environment_is_seen_and_ended(
    ground: Ground, started: list[subprocess.Popen[bytes]]
) -> None:
    place = tree_of(ground, "pr-1")
    started.append(service(place, "shop/pr-1/api"))
    keep(ground, "pr-1", EnvironmentState.READY)
    assert seen(ground) == ()
    keep(ground, "pr-1", EnvironmentState.GONE)
    process, checkout = seen(ground)
    group = started[0].pid
    assert (process.kind, process.name, process.owner) == (Kind.PROCESS, str(group), Owner("shop", "pr-1"))
    assert process.evidence == f"process {group} has SHIPWAY_PREVIEW=shop/pr-1/api"
    assert process.command == f"kill -TERM -- -{group}"
    assert process.since_ms is not None
    assert checkout.kind is Kind.CHECKOUT
    assert remove_all(ground) == [Kind.PROCESS, Kind.CHECKOUT]
    assert seen(ground) == ()
    assert not place.exists()
    assert str(place) not in git(ground.root, "worktree", "list")


def test_p98_what_another_lifecycle_clone_or_nobody_marked_is_never_touched(
    ground: Ground, started: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    place = tree_of(ground, "pr-1")
    started += [
        service(place, "shop-admin/pr-1/api"),
        service(tmp_path, "shop/pr-1/api"),  # of another clone: it does not stand in a checkout of this one
        service(place, "nonsense"),
    ]
    (ground.previews / "pr-1/manifest.json").write_bytes(manifest_bytes({**VALUES, "lifecycle": "other"}, ""))
    assert seen(ground) == ()
    assert all(process.poll() is None for process in started)


def test_p98_a_checkout_needs_evidence_of_whose_it_is(ground: Ground) -> None:
    place = tree_of(ground, "pr-42")
    assert seen(ground) == ()
    manifest = ground.previews / "pr-42/manifest.json"
    manifest.write_bytes(manifest_bytes(VALUES, ""))
    (found,) = seen(ground)
    assert (found.name, found.evidence) == (str(place), "its manifest says whose it is")
    assert found.command == "git worktree remove --force .shipway/previews/shop/pr-42/tree"
    (ground.previews.parent / "shop-admin").mkdir()
    place.parent.rename(ground.previews.parent / "shop-admin/pr-42")
    assert seen(ground) == (), "it is where those of another lifecycle live"


def test_p98_leases_and_locks_without_an_environment_are_given_back(ground: Ground) -> None:
    leases = PortLeases(ground.store)
    for lifecycle, target in (("shop", "pr-1"), ("shop", "pr-2"), ("shop-admin", "pr-1")):
        leases.take("h1", Wanted(Owner(lifecycle, target), ["api"], {}, 1_000), ())
    keep(ground, "pr-2", EnvironmentState.STOPPED)
    for target, until in (("pr-1", NOW - 1), ("pr-3", NOW + 1)):
        name = lifecycle_lock("shop", target)
        claim = Claim(Holder("x", actor="ada"), KeptBy.LEASE, until - 1_000)
        ground.store.swap(key_of(name), None, lock_bytes(taken(Lock(name), claim, 1_000)))
    lease, lock = seen(ground)
    assert (lease.kind, lease.owner, lease.since_ms) == (Kind.LEASE, Owner("shop", "pr-1"), 1_000)
    assert lease.evidence == "the lease of 62300 on h1"
    assert (lock.kind, lock.evidence) == (Kind.LOCK, "held by ada, and its lease is over")
    assert lock.command == "shipway unlock --target pr-1"
    assert remove_all(ground) == [Kind.LEASE, Kind.LOCK]
    assert leases.of("h1", Owner("shop-admin", "pr-1")) and leases.of("h1", Owner("shop", "pr-2"))
    kept = ground.store.read(key_of(lifecycle_lock("shop", "pr-1")))
    assert kept is not None and load_lock(kept.content).holder is None
    held = ground.store.read(key_of(lifecycle_lock("shop", "pr-3")))
    assert held is not None and load_lock(held.content).holder is not None


def test_an_environment_that_was_made_meanwhile_keeps_what_it_has(ground: Ground) -> None:
    PortLeases(ground.store).take("h1", Wanted(Owner("shop", "pr-1"), ["api"], {}), ())
    (lease,) = seen(ground)
    keep(ground, "pr-1", EnvironmentState.CREATING)
    assert not remove(lease, ground, _pause)
    assert PortLeases(ground.store).of("h1", Owner("shop", "pr-1"))


def test_p97_p98_machines_come_from_their_hook_and_go_by_the_other(ground: Ground) -> None:
    machines = ground.root / "machines"
    machines.write_text("vm-1 shop/pr-1\nvm-2 shop-admin/pr-1\n")
    destroy = 'echo "$SHIPWAY_TARGET $SHIPWAY_ACTION $SHIPWAY_MACHINE" > destroyed; rm machines; : > machines'
    hooked = replace(ground, list_script="cat machines", destroy_script=destroy)
    (machine,) = seen(hooked)
    assert (machine.kind, machine.name, machine.owner) == (Kind.MACHINE, "vm-1", Owner("shop", "pr-1"))
    assert remove_all(hooked) == [Kind.MACHINE]
    assert (ground.root / "destroyed").read_text() == "pr-1 destroy vm-1\n"
    broken = replace(ground, list_script="echo no credentials >&2; exit 4")
    assert tuple(map(str, look(broken, NOW).unknown)) == ("machines: the hook ended with exit 4: no credentials",)


def test_p98_containers_are_told_by_label_and_folder(ground: Ground) -> None:
    with container_engine() as env:
        docked = replace(ground, env={**BASE, **env})

        def make(mark: str, folder: Path) -> None:
            labels = {
                "shipway.preview": mark,
                "com.docker.compose.project": "shop-pr-1",
                "com.docker.compose.project.working_dir": str(folder),
            }
            given = [part for name, value in labels.items() for part in ("--label", f"{name}={value}")]
            subprocess.run(["docker", "create", *given, IMAGE, "sh"], env=docked.env, capture_output=True, check=True)

        place = docked.previews / "pr-1/tree"
        make("shop/pr-1", place)
        make("shop/pr-1", place / "deploy")
        make("shop-admin/pr-1", place)
        make("shop/pr-1", Path("/elsewhere/.shipway/previews/shop/pr-1/tree"))
        (containers,) = seen(docked)
        assert (containers.kind, containers.name) == (Kind.CONTAINERS, "shop-pr-1")
        assert containers.evidence == "2 containers with the label shipway.preview=shop/pr-1"
        assert remove_all(docked) == [Kind.CONTAINERS]
        left = subprocess.run(
            ["docker", "ps", "--all", "--quiet"], env=docked.env, capture_output=True, text=True, check=True
        )
        assert len(left.stdout.split()) == 2
        assert seen(docked) == ()


def test_p97_an_engine_that_does_not_answer_is_told_and_nothing_follows_from_it(ground: Ground) -> None:
    engine = ground.root / "bin/docker"
    engine.parent.mkdir()
    engine.write_text("#!/bin/sh\necho cannot connect >&2\nexit 1\n")
    engine.chmod(0o755)
    silent = replace(ground, env={**ground.env, "PATH": f"{engine.parent}:{ground.env['PATH']}"})
    evidence = look(silent, NOW)
    assert (evidence.found, tuple(map(str, evidence.unknown))) == ((), ("containers: docker ps: cannot connect",))
