"""Shows a whole preview on another host by the real command line: up, kept, updated, stopped, taken away, nothing told or left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest

from shipway.process_identity import carrying
from tests.forked_command import call_command
from tests.git_remotes import git
from tests.preview_shop import killed_at
from tests.remote_host import RemoteHost, remote_host

SERVER = """import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write((open("version").read() + os.environ["QUOTED"] + os.environ["DSN"]).encode())
    def log_message(self, *a): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["LISTEN_PORT"])), Handler).serve_forever()
"""
SECRET = "correct-horse-battery"
DECLARATION = """version: 1
name: shop
secrets: [KEY]
stages:
  provisioner:
    mode: preview
    reads: [scripts/**]
    with:
      role: provisioner
      compute: {host: 127.0.0.1, user: %(user)s, port: %(port)d, root: %(root)s,
                ssh: {key: "${{ secrets.KEY }}", known_hosts: known_hosts}}
      services:
        db:
          outputs: {DSN: {type: secret}}
          seed: ./scripts/seed.sh
          destroy: echo gone >> "$SHIPWAY_ROOT/.shipway/gone"
  runner:
    needs: [provisioner]
    mode: preview
    with:
      role: runner
      deploy: echo "deploying in $PWD"
      services:
        api:
          path: services/api
          command: exec python3 server.py
          env: {LISTEN_PORT: "${{ self.port }}", QUOTED: "it's $(id) ", DSN: "${{ provisioner.db.DSN }}"}
          ready: {http: /, within: 60s}
"""


def _repository(root: Path, host: RemoteHost) -> None:
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    for folder in ("services/api", "scripts"):
        (root / folder).mkdir(parents=True)
    (root / "services/api/server.py").write_text(SERVER)
    (root / "services/api/version").write_text("1 ")
    (root / "scripts/seed.sh").write_text(
        f'#!/bin/sh\necho "DSN={SECRET}" >> "$SHIPWAY_OUTPUT"; echo "made {SECRET}"\n'
    )
    (root / "scripts/seed.sh").chmod(0o755)
    (root / "known_hosts").write_text(host.known_hosts)
    facts = {"user": host.user, "port": host.port, "root": str(host.root / root.parent.name)}
    (root / "shipway.yml").write_text(DECLARATION % facts)
    _commit(root)


def _commit(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "change")


def _preview(root: Path, host: RemoteHost, *arguments: str, code: int = 0) -> str:
    env: Mapping[str, str] = {"PATH": os.environ["PATH"], "HOME": str(root.parent), "KEY": host.key}
    ran = call_command(("preview", *arguments, "--target", "pr-1", "--yes"), root, env)
    assert ran.returncode == code, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def _answer(said: str) -> str:
    url = next(line for line in said.splitlines() if line.startswith("api: ")).removeprefix("api: ")
    with urllib.request.urlopen(url, timeout=30) as answered:
        text: str = answered.read().decode()
        return text


@pytest.mark.acceptance
def test_a_preview_lives_on_a_host_from_its_first_up_to_its_down(host: RemoteHost, tmp_path: Path) -> None:
    root = tmp_path / "repository"
    _repository(root, host)
    place = host.root / tmp_path.name / "shop-pr-1"
    said = _preview(root, host, "up")
    assert _answer(said) == f"1 it's $(id) {SECRET}"
    assert (place / "services/api/.env.local").stat().st_mode & 0o777 == 0o600
    again = _preview(root, host, "up")
    assert "7 unchanged" in again
    (root / "services/api/version").write_text("2 ")
    _commit(root)
    updated = _preview(root, host, "up")
    assert _answer(updated) == f"2 it's $(id) {SECRET}"
    declared = (root / "shipway.yml").read_text()
    (root / "shipway.yml").write_text(declared.replace("host: 127.0.0.1", "host: localhost"))
    assert "lives on the host `127.0.0.1`" in _preview(root, host, "up", code=2), (
        "the checkout there would be left behind"
    )
    (root / "shipway.yml").write_text(declared)
    _preview(root, host, "stop")
    assert carrying(f"SHIPWAY_PREVIEW_ROOT={place}") == [] and place.exists()
    assert _answer(_preview(root, host, "up")) == f"2 it's $(id) {SECRET}"
    ended = _preview(root, host, "down")
    assert carrying(f"SHIPWAY_PREVIEW_ROOT={place}") == [] and not place.exists()
    assert (root / ".shipway/gone").read_text() == "gone\n"
    assert SECRET not in said + again + updated + ended
    key = host.key.splitlines()[1]
    kept = [path for path in (root / ".shipway").rglob("*") if path.is_file()]
    assert [path for path in kept if key.encode() in path.read_bytes()] == []
    assert [path for path in kept if SECRET.encode() in path.read_bytes()] == []


CREATE = """#!/bin/sh
set -eu
mkdir -p .shipway/cloud
echo vm >> .shipway/cloud/made
touch .shipway/cloud/alive
[ ! -e slow ] || sleep 1000
sh scripts/found.sh
"""
FOUND = """#!/bin/sh
[ -e .shipway/cloud/alive ] || exit 3
printf 'HOST=127.0.0.1\\nUSER=%(user)s\\nPORT=%(port)d\\n' >> "$SHIPWAY_OUTPUT"
"""
CREATED = """compute:
        create: {run: ./scripts/create.sh, verify: ./scripts/found.sh}
        destroy: "if rm .shipway/cloud/alive; then echo vm >> .shipway/cloud/gone; fi"
        outputs: {HOST: string, USER: string, PORT: string}
        root: %(root)s
        ssh: {key: "${{ secrets.KEY }}", known_hosts: known_hosts}
"""


@pytest.mark.acceptance
def test_p41_killed_in_every_node_in_turn_no_second_host_is_created_and_down_leaves_none(
    host: RemoteHost, tmp_path: Path
) -> None:
    root = tmp_path / "repository"
    _repository(root, host)
    facts = {"user": host.user, "port": host.port, "root": str(host.root / tmp_path.name)}
    text = (root / "shipway.yml").read_text()
    declared = text[text.index("compute:") : text.index("      services:")]
    (root / "shipway.yml").write_text(text.replace(declared, CREATED % facts))
    for name, script in (("create", CREATE), ("found", FOUND % facts)):
        (root / f"scripts/{name}.sh").write_text(script)
        (root / f"scripts/{name}.sh").chmod(0o755)
    _commit(root)
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KEY": host.key}
    cloud, place = root / ".shipway/cloud", host.root / tmp_path.name / "shop-pr-1"
    (root / "slow").touch()
    _killed_once_there(root, env, cloud / "alive")
    (root / "slow").unlink()
    nodes = ("provisioner/compute", "provisioner/service/db", "runner/env[services%2Fapi%2F.env.local]")
    for node in (*nodes, "runner/deploy", "runner/service/api"):
        killed_at(root, env, node, ">", "--target", "pr-1")
    assert _answer(_preview(root, host, "up")) == f"1 it's $(id) {SECRET}"
    assert (cloud / "made").read_text() == "vm\n"
    assert len(carrying(f"SHIPWAY_PREVIEW_ROOT={place}")) == 1
    _preview(root, host, "down")
    assert (cloud / "gone").read_text() == "vm\n" and not (cloud / "alive").exists()
    for mark in (">", "✓"):
        killed_at(root, env, "provisioner/compute", mark, "--target", "pr-1")
        _preview(root, host, "down")
        assert not (cloud / "alive").exists(), mark
        assert (cloud / "gone").read_text() == (cloud / "made").read_text(), mark


def _killed_once_there(root: Path, env: Mapping[str, str], path: Path) -> None:
    """`up`, killed as soon as a file is there that one of its hooks makes."""
    command = [sys.executable, "-I", "-m", "shipway", "preview", "up", "--target", "pr-1", "--yes", "-q"]
    with subprocess.Popen(command, cwd=root, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as running:
        while not path.exists():
            assert running.poll() is None, "it ended by itself"
            time.sleep(0.01)
        running.kill()


@pytest.mark.acceptance
def test_case_83_what_cannot_be_reached_is_unknown_neither_made_again_nor_taken_for_gone(tmp_path: Path) -> None:
    with remote_host() as own:
        root = tmp_path / "repository"
        _repository(root, own)
        place = own.root / tmp_path.name / "shop-pr-1"
        _preview(root, own, "up")
        own.stop()
        assert {*_answers(root, own).values()} <= {"unknown", "holds"}
        assert _answers(root, own)["runner/service/api"] == "unknown"
        assert "cannot be told" in _preview(root, own, "up", code=1)
        assert "127.0.0.1" in _preview(root, own, "down", code=4)
        assert place.exists() and carrying(f"SHIPWAY_PREVIEW_ROOT={place}") != []
        own.start()
        ended = _preview(root, own, "down")
        assert carrying(f"SHIPWAY_PREVIEW_ROOT={place}") == [] and not place.exists(), ended
        assert (root / ".shipway/gone").read_text() == "gone\n", "once"


def _answers(root: Path, host: RemoteHost) -> dict[str, str]:
    """What `status` says of each node."""
    env = {"PATH": os.environ["PATH"], "HOME": str(root.parent), "KEY": host.key}
    told = call_command(("preview", "status", "--target", "pr-1", "--json"), root, env)
    assert told.returncode == 0, told.stderr
    return {node["node"]: node["verify"] for node in json.loads(told.stdout)["nodes"]}
