"""Shows the containers of a preview: started by compose on leased ports, kept, ended, and taken away with all that is theirs."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml
from msgspec.structs import replace

from shipway.action import ActionFailed
from shipway.canonical import Json
from shipway.compose_copy import BadCompose, Published, compose_copy
from shipway.nodes import Change, Outcome, Verified
from shipway.process_identity import carrying
from tests.container_engine import IMAGE
from tests.preview_world import PreviewWorld
from tests.remote_host import RemoteHost

ACTION, NODE, PROJECT = "preview.infrastructure", "runner/infrastructure", "shop-pr-1"
ANSWER = 'while true; do echo "$$WHO" | nc -l -p 5432; done'
COMPOSE = f"""version: "3.8"
services:
  postgres:
    image: {IMAGE}
    command: ["sh", "-c", '{ANSWER}']
    environment: {{WHO: "${{WHO:-postgres}}"}}
    ports: ["127.0.0.1:${{PG_PORT:-5432}}:5432"]
    volumes: ["data:/data"]
    stop_signal: SIGKILL
  queue:
    image: {IMAGE}
    command: ["sh", "-c", '{ANSWER}']
    environment: {{WHO: queue}}
    ports: ["5432", "6379:6379"]
    stop_signal: SIGKILL
volumes: {{data: {{}}}}
"""


def _fails(*command: str) -> bool:
    return shutil.which(command[0]) is None or subprocess.run(command, capture_output=True, check=False).returncode != 0


@pytest.fixture
def world(where: RemoteHost | None, engine: Mapping[str, str], tmp_path: Path) -> Iterator[PreviewWorld]:
    found = PreviewWorld(tmp_path, where)
    (found.root / "deploy").mkdir()
    (found.root / "deploy/compose.yaml").write_text(COMPOSE)
    found.commit("compose")
    found.make_compute()
    yield found
    found.do(ACTION, NODE, {**slots(), "remove": True}, env=engine)
    assert containers(engine) == {}


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    found = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return found


def slots(*ports: int) -> dict[str, Json]:
    a, b, c = ports or (1, 2, 3)
    publish: dict[str, Json] = {
        "postgres": [{"container_port": 5432, "variable": "PG_PORT", "port": a, "protocol": "tcp"}],
        "queue": [
            {"container_port": 5432, "variable": "", "port": str(b), "protocol": "tcp"},
            {"container_port": 6379, "variable": "", "port": c, "protocol": "tcp"},
        ],
    }
    variables: dict[str, Json] = {"PG_PORT": a, "SHIPWAY_PORT_POSTGRES": a}
    return {"compose_file": "deploy/compose.yaml", "project": PROJECT, "publish": publish, "variables": variables}


def docker(engine: Mapping[str, str], *arguments: str) -> str:
    return subprocess.run(["docker", *arguments], env=engine, capture_output=True, text=True, check=True).stdout


def containers(engine: Mapping[str, str]) -> dict[str, str]:
    """State by service."""
    form = '{{.Label "com.docker.compose.service"}} {{.State}}'
    lines = docker(engine, "ps", "-a", "--filter", "label=shipway.preview=shop/pr-1", "--format", form).splitlines()
    return dict(line.split(" ", 1) for line in lines)


def answer(port: int) -> str:
    """What listens there says."""
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        return connection.recv(100).decode().strip()


def up(world: PreviewWorld, engine: Mapping[str, str], given: Mapping[str, Json], **more: Json) -> bool:
    """Whether they were kept."""
    return world.do(ACTION, NODE, {**given, **more}, env=engine).unchanged


def test_case_65_66_the_containers_run_on_their_leases_and_are_kept(
    world: PreviewWorld, engine: Mapping[str, str]
) -> None:
    ports = free_ports(3)
    given = slots(*ports)
    assert not up(world, engine, given)
    assert containers(engine) == {"postgres": "running", "queue": "running"}
    assert [answer(port) for port in ports[:2]] == ["postgres", "queue"]
    bound = docker(engine, "ps", "--format", "{{.Ports}}")
    assert f":{ports[2]}->6379/tcp" in bound and ":6379->" not in bound and ":5432->" not in bound
    assert f"127.0.0.1:{ports[1]}->" in bound
    assert up(world, engine, given)
    work = world.node(ACTION, NODE, given, engine)
    assert (world.plan(work).change, world.plan(work).why) == (Change.NOOP, "inputs unchanged, verified")


def test_case_40_a_container_that_died_is_started_again(world: PreviewWorld, engine: Mapping[str, str]) -> None:
    given = slots(*free_ports(3))
    up(world, engine, given)
    (one,) = docker(engine, "ps", "-q", "--filter", "label=com.docker.compose.service=queue").split()
    docker(engine, "kill", one)
    work = world.node(ACTION, NODE, given, engine)
    assert world.action(ACTION).verify(replace(work, outcome=Outcome.SUCCEEDED)) is Verified.GONE
    assert not up(world, engine, given)
    assert containers(engine)["queue"] == "running"


def test_case_86_they_stop_and_come_back_and_go_with_networks_and_volumes(
    world: PreviewWorld, engine: Mapping[str, str]
) -> None:
    given = slots(*free_ports(3))
    up(world, engine, given)
    assert not up(world, engine, given, stop=True)
    assert containers(engine) == {"postgres": "exited", "queue": "exited"}
    assert up(world, engine, given, stop=True)
    assert not up(world, engine, given)
    assert containers(engine) == {"postgres": "running", "queue": "running"}
    # Without the place and its compose file too.
    subprocess.run(["rm", "-rf", world.place], check=True)
    assert not up(world, engine, given, remove=True)
    assert containers(engine) == {}
    assert PROJECT not in docker(engine, "network", "ls") + docker(engine, "volume", "ls")
    assert up(world, engine, given, remove=True)


def test_case_41_a_compose_that_a_killed_run_left_at_work_is_ended_before_anything_else(
    world: PreviewWorld, engine: Mapping[str, str], tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("docker", "docker-compose"):
        if real := shutil.which(name):
            slow = f'case " $* " in *" up "*) touch {world.place}/began; sleep 1000 ;; esac\nexec {real} "$@"\n'
            (programs / name).write_text(f"#!/bin/sh\n{slow}")
            (programs / name).chmod(0o755)
    env = {**engine, "MARK": str(world.place), "PATH": f"{programs}:{engine['PATH']}"}
    given = slots(*free_ports(3))
    for more in ({"remove": True}, {}):
        world.killed(ACTION, NODE, given, env=env)
        assert carrying(f"MARK={world.place}") != []
        assert up(world, engine, given, **more) is bool(more)
        assert carrying(f"MARK={world.place}") == []
    assert containers(engine) == {"postgres": "running", "queue": "running"}


def test_undo_removes_what_was_started(world: PreviewWorld, engine: Mapping[str, str]) -> None:
    work = world.node(ACTION, NODE, slots(*free_ports(3)), engine)
    world.undo(work, world.action(ACTION).do(work))
    assert containers(engine) == {}


def test_one_that_fails_is_told_with_its_log(world: PreviewWorld, engine: Mapping[str, str]) -> None:
    command = 'command: ["sh", "-c", "echo it broke; exit 7"]'
    text = (world.place / "deploy/compose.yaml").read_text()
    (world.place / "deploy/compose.yaml").write_text(text.replace(f'command: ["sh", "-c", \'{ANSWER}\']', command, 1))
    with pytest.raises(ActionFailed, match="container `postgres`"):
        up(world, engine, slots(*free_ports(3)))
    assert "it broke" in "".join(world.log)


def test_a_file_that_is_none_is_told(world: PreviewWorld, engine: Mapping[str, str]) -> None:
    (world.place / "deploy/compose.yaml").write_text("services: [")
    with pytest.raises(ActionFailed, match=r"compose\.yaml"):
        up(world, engine, slots(*free_ports(3)))
    (world.place / "deploy/compose.yaml").unlink()
    with pytest.raises(ActionFailed, match="no compose file"):
        up(world, engine, slots(*free_ports(3)))


def test_an_engine_that_does_not_answer_is_unknown_and_needed_for_nothing_that_was_never_begun(tmp_path: Path) -> None:
    if shutil.which("docker") is None:
        pytest.skip("no docker: apt-get install docker.io")
    world = PreviewWorld(tmp_path)
    world.make_compute()
    nowhere = {"DOCKER_HOST": f"unix://{tmp_path}/nowhere.sock"}
    assert world.do(ACTION, NODE, {**slots(), "remove": True}, env=nowhere).unchanged
    (world.place / "deploy").mkdir()
    (world.place / "deploy/compose.yaml").write_text(COMPOSE)
    with pytest.raises(ActionFailed):
        world.do(ACTION, NODE, slots(), env=nowhere)
    with pytest.raises(ActionFailed, match="cannot be asked for"):
        world.do(ACTION, NODE, {**slots(), "remove": True}, env=nowhere)
    assert NODE in world.record.stuck


def test_a_copy_moves_ports_adds_labels_and_changes_nothing_else() -> None:
    text = """x-base: &base {image: a, labels: [one=1], environment: {YES: yes, N: 010, T: "12:30"}}
services:
  a: {<<: *base, ports: ["0.0.0.0:80:80/udp", "[::1]:81:81"]}
  b: {image: b, labels: {two: "2"}, ports: ["${B:-90}:90"]}
  c: *base
"""
    publish = {"a": [Published(80, 61000, "", "udp"), Published(81, 61001)], "b": [Published(90, 61002, "B")]}
    found = yaml.load(compose_copy(text, "shop/pr-1", publish), yaml.BaseLoader)["services"]
    assert found["a"]["ports"] == ["0.0.0.0:61000:80/udp", "[::1]:61001:81/tcp"]
    assert found["b"] == {
        "image": "b",
        "labels": {"two": "2", "shipway.preview": "shop/pr-1"},
        "ports": ["${B:-90}:90"],
    }
    assert found["c"]["labels"] == ["one=1", "shipway.preview=shop/pr-1"]
    assert found["a"]["labels"] == ["one=1", "shipway.preview=shop/pr-1"]
    assert found["c"]["environment"] == {"YES": "yes", "N": "010", "T": "12:30"}
    for bad in ("", "a: 1", "services: 1", "[", "services: {a: {ports: [", "\0"):
        with pytest.raises(BadCompose):
            compose_copy(bad, "x", {})


def test_case_66_a_port_of_the_container_only_and_a_second_one_are_published_where_they_are_leased() -> None:
    text = """services:
  postgres: {image: a, ports: ["5432"]}
  queue: {image: b, ports: ["5672:5672", "15672", {target: 61613, published: 61613}]}
"""
    publish = {"postgres": [Published(5432, 61000)]}
    publish["queue"] = [Published(port, 61001 + place) for place, port in enumerate((5672, 15672, 61613))]
    found = yaml.load(compose_copy(text, "shop/pr-1", publish), yaml.BaseLoader)["services"]
    assert found["postgres"]["ports"] == ["127.0.0.1:61000:5432/tcp"]
    assert found["queue"]["ports"] == ["61001:5672/tcp", "127.0.0.1:61002:15672/tcp", "61003:61613/tcp"]


def test_what_is_built_for_a_preview_bears_its_mark_and_what_has_a_name_of_its_own_does_not() -> None:
    text = """services:
  a: {build: ./a}
  b: {build: {context: b, args: {X: "1"}, labels: [one=1]}}
  c: {build: ./c, image: theirs}
"""
    found = yaml.load(compose_copy(text, "shop/pr-1", {}), yaml.BaseLoader)["services"]
    assert found["a"]["build"] == {"context": "./a", "labels": {"shipway.preview": "shop/pr-1"}}
    assert found["b"]["build"] == {"context": "b", "args": {"X": "1"}, "labels": ["one=1", "shipway.preview=shop/pr-1"]}
    assert found["c"]["build"] == "./c"


def test_what_a_container_is_asked_with_is_on_the_path() -> None:
    """The tests above say nothing where nothing of this is there: so that this is seen."""
    if os.environ.get("SHIPWAY_REQUIRE_PEERS") and os.geteuid() == 0:
        assert shutil.which("docker") and (shutil.which("docker-compose") or not _fails("docker", "compose", "version"))
