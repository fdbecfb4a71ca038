"""Shows services of a preview: started apart, ready before what needs them, found again, ended with all that they started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipway.action import ActionFailed, TimedOut
from shipway.canonical import Json
from shipway.nodes import Outcome, Verified
from shipway.process_identity import carrying, group_of
from tests.preview_world import PreviewWorld
from tests.remote_host import RemoteHost, remote_host
from tests.runs import run as in_process

ACTION, NODE = "preview.service", "runner/service/api"
MARK = "SHIPWAY_PREVIEW=shop/pr-1/api"
SERVER = """import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(open("status").read()) if os.path.exists("status") else 200)
        self.end_headers()
        self.wfile.write(os.environ.get("WHO", "nobody").encode())
    def log_message(self, *a): print("asked", flush=True)
print("listens", flush=True)
http.server.HTTPServer(("127.0.0.1", int(os.environ["LISTEN_PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def world(where: RemoteHost | None, tmp_path: Path) -> Iterator[PreviewWorld]:
    found = PreviewWorld(tmp_path, where)
    (found.root / "services/api/server.py").write_text(SERVER)
    found.commit("server")
    found.make_compute()
    yield found
    found.do(ACTION, NODE, {"name": "api", "command": "true", "remove": True})
    assert running(found) == []


def running(world: PreviewWorld) -> list[int]:
    """The processes of the service in this place: other tests may run at the same time."""
    return sorted({*carrying(MARK)} & {*carrying(f"SHIPWAY_PREVIEW_ROOT={world.place}")})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def given(world: PreviewWorld, port: int, **more: Json) -> dict[str, Json]:
    entries = {"LISTEN_PORT": str(port), "WHO": 'it\'s "api" $HOME\nthe second'}
    world.do("preview.env_file", "runner/env[x]", {"path": "services/api/.env.local", "entries": entries})
    ready: Mapping[str, Json] = {"http": "/healthz", "within_ms": 60_000, "every_ms": 50}
    whole: dict[str, Json] = {
        "name": "api",
        "path": "services/api",
        "command": "python3 server.py; true",
        "env_file": "services/api/.env.local",
        "port": port,
        "ready": ready,
    }
    return {**whole, **more}


def answer(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answered:
        text: str = answered.read().decode()
        return text


def test_case_25_a_service_runs_with_its_env_file_and_log_and_is_gone_after_down(world: PreviewWorld) -> None:
    port = free_port()
    slots = given(world, port)
    done = world.do(ACTION, NODE, slots)
    assert answer(port) == 'it\'s "api" $HOME\nthe second'
    leader = int((world.place / ".shipway/preview/api.pid").read_text().split()[0])
    assert group_of(leader) == leader and leader in running(world) and len(running(world)) > 1
    assert "listens" in (world.place / str(done.outputs["log"])).read_text()
    assert world.do(ACTION, NODE, slots).unchanged
    assert not world.do(ACTION, NODE, {**slots, "remove": True}).unchanged
    assert running(world) == []
    assert world.do(ACTION, NODE, {**slots, "remove": True}).unchanged


@pytest.mark.parametrize(
    "ready", [{"tcp": True}, {"http": "/healthz"}, {"run": 'test "$LISTEN_PORT" -gt 0 && test -f server.py'}]
)
def test_case_25_readiness_by_connection_answer_or_command(world: PreviewWorld, ready: Mapping[str, Json]) -> None:
    port = free_port()
    world.do(ACTION, NODE, given(world, port, ready={**ready, "within_ms": 60_000, "every_ms": 50}))
    if "run" not in ready:
        answer(port)


def test_case_26_a_service_that_answers_503_is_timed_out_and_ended(world: PreviewWorld) -> None:
    (world.place / "services/api/status").write_text("503")
    port = free_port()
    slots = given(world, port, ready={"http": "/healthz", "within_ms": 3_000, "every_ms": 50})
    with pytest.raises(TimedOut, match="was not ready within 3s"):
        world.do(ACTION, NODE, slots)
    assert running(world) == []


def test_case_26_its_node_is_timed_out(tmp_path: Path) -> None:
    place = f"{{kind: local, root: '{tmp_path}'}}"
    slots = (
        f"{{lifecycle: shop, target: pr-2, name: api, compute: {place}, command: exec sleep 1000, port: {free_port()}"
    )
    ready = "ready: {tcp: true, within_ms: 500, every_ms: 50}}"
    ran = in_process(
        tmp_path, f"defaults: {{rollback: none}}\nsteps: [{{id: api, uses: preview.service, with: {slots}, {ready}}}]\n"
    )
    assert ran.outcomes == {"api": "timed_out"}
    assert carrying(f"SHIPWAY_PREVIEW_ROOT={tmp_path}") == []


def test_a_service_that_ends_is_told_at_once_with_its_log(world: PreviewWorld) -> None:
    with pytest.raises(ActionFailed, match="ended before it was ready"):
        world.do(ACTION, NODE, given(world, free_port(), command="echo broken; exit 1"))
    assert "broken" in "".join(world.log)
    with pytest.raises(ActionFailed, match="no folder nowhere"):
        world.do(ACTION, NODE, given(world, free_port(), path="nowhere"))


def test_what_another_program_answers_is_not_taken_for_its_answer(world: PreviewWorld) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ActionFailed, match=f"another program answers on port {port}, where `api` is to listen"):
            world.do(ACTION, NODE, given(world, port))
    assert running(world) == []


def test_one_that_was_killed_is_started_again(world: PreviewWorld) -> None:
    slots = given(world, free_port())
    before = world.do(ACTION, NODE, slots).outputs["made"]
    os.killpg(int((world.place / ".shipway/preview/api.pid").read_text().split()[0]), signal.SIGKILL)
    work = world.node(ACTION, NODE, slots)
    assert world.plan(work).why == "inputs unchanged; verify says gone"
    assert world.action(ACTION).verify(replace(work, outcome=Outcome.SUCCEEDED)) is Verified.GONE
    assert world.action(ACTION).do(work).outputs["made"] != before


def test_one_that_answers_no_more_is_started_again(world: PreviewWorld) -> None:
    slots = given(world, free_port())
    world.do(ACTION, NODE, slots)
    (world.place / "services/api/status").write_text("500")
    assert world.plan(world.node(ACTION, NODE, slots)).why == "inputs unchanged; verify says gone"


def test_a_changed_command_ends_the_old_one_first(world: PreviewWorld) -> None:
    port = free_port()
    world.do(ACTION, NODE, given(world, port))
    world.do(ACTION, NODE, given(world, port, command="WHO=new; export WHO; exec python3 server.py"))
    assert answer(port) == "new"
    assert len(running(world)) == 1


def test_what_ignores_signals_and_left_its_group_is_ended_by_its_mark(world: PreviewWorld) -> None:
    port = free_port()
    command = "trap '' INT TERM; setsid sh -c \"trap '' INT TERM; sleep 1000\" & python3 server.py & wait; wait"
    world.do(ACTION, NODE, given(world, port, command=command))
    world.do(ACTION, NODE, given(world, port, remove=True))
    assert running(world) == []


def test_one_of_the_same_name_in_another_clone_is_left_alone(world: PreviewWorld, tmp_path: Path) -> None:
    other = PreviewWorld(tmp_path / "other", world.host)
    other.make_compute()
    given_there: dict[str, Json] = {"name": "api", "command": "exec sleep 1000"}
    other.do(ACTION, NODE, given_there)
    there = running(other)
    world.do(ACTION, NODE, given_there)
    assert len(running(world)) == len(there) == 1
    world.do(ACTION, NODE, {**given_there, "remove": True})
    assert (running(world), running(other)) == ([], there)
    other.do(ACTION, NODE, {**given_there, "remove": True})


def test_one_that_was_started_in_a_place_that_is_gone_is_ended_all_the_same(world: PreviewWorld) -> None:
    slots = given(world, free_port())
    world.do(ACTION, NODE, slots)
    subprocess.run(["rm", "-rf", world.place], check=True)
    assert not world.do(ACTION, NODE, {**slots, "remove": True}).unchanged
    assert running(world) == []


def test_a_number_that_belongs_to_another_process_by_now_is_left_alone(world: PreviewWorld) -> None:
    other = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    try:
        folder = world.place / ".shipway/preview"
        folder.mkdir(parents=True, exist_ok=True)
        for text in (f"{other.pid} 1", f"{other.pid}", "-1 1", "x", ""):
            (folder / "api.pid").write_text(text + "\n")
            assert world.do(ACTION, NODE, {"name": "api", "command": "true", "remove": True}).unchanged
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_case_39_a_host_that_does_not_answer_is_unknown_not_stopped(tmp_path: Path) -> None:
    with remote_host() as own:
        world = PreviewWorld(tmp_path, own)
        world.make_compute()
        slots: dict[str, Json] = {"name": "api", "command": "exec sleep 1000"}
        work = world.node(ACTION, NODE, slots)
        world.action(ACTION).do(work)
        before = running(world)
        own.stop()
        with pytest.raises(ActionFailed, match="cannot be told"):
            world.action(ACTION).do(work)
        own.start()
        assert world.action(ACTION).do(work).unchanged
        assert running(world) == before
        world.do(ACTION, NODE, {**slots, "remove": True})


@pytest.mark.parametrize("name", ["../x", "a/b", "", "$(id)"])
def test_what_is_no_name_of_a_service_is_refused(world: PreviewWorld, name: str) -> None:
    with pytest.raises(ActionFailed, match="no name"):
        world.do(ACTION, NODE, {"name": name, "command": "true"})
