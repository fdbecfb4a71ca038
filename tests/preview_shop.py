"""A shop with two services over HTTP and a database of one file, as a project of the real command line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import pytest

from shipway.node_ids import readable
from tests.command_line import Done, Project, make_project

DECLARATION = """
    version: 1
    name: shop
    stages:
      provisioner:
        mode: preview
        reads: [scripts/**]
        with:
          role: provisioner
          services:
            data:
              outputs: {FILE: {type: string}, TOKEN: {type: secret}}
              init: {run: echo init >> "$DATA/log", env: {DATA: "${{ values.data }}"}}
              seed: {run: ./scripts/seed.sh, env: {DATA: "${{ values.data }}"}}
              reset: {run: ./scripts/seed.sh, env: {DATA: "${{ values.data }}"}}
              destroy: {run: ./scripts/drop.sh, env: {DATA: "${{ values.data }}"}}
      runner:
        needs: [provisioner]
        mode: preview
        with:
          role: runner
          services:
            api:
              path: api
              command: exec python3 server.py
              env:
                PORT: ${{ self.port }}
                FILE: ${{ provisioner.data.FILE }}
                TOKEN: ${{ provisioner.data.TOKEN }}
              ready: {http: /healthz, within: 60s}
            web:
              path: web
              command: exec python3 server.py
              needs: [api]
              env: {PORT: "${{ self.port }}", API: "${{ services.api.url }}"}
              ready: {http: /, within: 60s}
          ttl: 72h
          quota: 3
    """
SEED = """\
#!/bin/sh
set -eu
echo "$SHIPWAY_ACTION $SHIPWAY_TARGET" >> "$DATA/log"
echo "rows of $SHIPWAY_TARGET $(wc -l < "$DATA/log")" > "$DATA/$SHIPWAY_TARGET.db"
echo "FILE=$DATA/$SHIPWAY_TARGET.db" >> "$SHIPWAY_OUTPUT"
echo "TOKEN=hush-$SHIPWAY_TARGET" >> "$SHIPWAY_OUTPUT"
"""
DROP = """\
#!/bin/sh
echo "destroy $SHIPWAY_TARGET" >> "$DATA/log"
rm -f "$DATA/$SHIPWAY_TARGET.db"
"""
SERVER = """\
import http.server, os, urllib.request

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if "API" in os.environ:
            body = b"web of " + urllib.request.urlopen(os.environ["API"]).read()
        else:
            body = open(os.environ["FILE"], "rb").read()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Page).serve_forever()
"""
SECRET = "hush-"


@dataclass
class Shop:
    """The project, and where its databases lie."""

    project: Project
    data: Path

    def call(self, part: str, *arguments: str, code: int = 0) -> Done:
        """`shipway preview PART`, not asking."""
        asks = part not in ("list", "status", "logs", "exec")
        return self.project.call("preview", part, *arguments, *(["--yes"] if asks else []), code=code)

    @property
    def log(self) -> list[str]:
        """What the hooks of the database were asked for, in order."""
        return (self.data / "log").read_text().splitlines() if (self.data / "log").exists() else []

    def environments(self) -> dict[str, dict[str, object]]:
        """`preview list --all`, by target."""
        found = self.call("list", "--all", "--json").json["environments"]
        return {each["target"]: each for each in found}

    def page(self, target: str, service: str) -> str:
        """What a service answers."""
        urls = self.environments()[target]["urls"]
        assert isinstance(urls, dict)
        with urlopen(urls[service]) as answer:
            return str(answer.read().decode())

    def processes(self) -> list[int]:
        """Every process that bears the mark of this shop and stands in its folders."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                marked = b"SHIPWAY_PREVIEW=shop/" in (entry / "environ").read_bytes()
                if marked and os.readlink(entry / "cwd").startswith(str(self.project.root)):
                    found.append(int(entry.name))
        return found

    def worktrees(self) -> list[str]:
        """The checkouts besides the first."""
        return re.findall(r"^worktree (.*)$", self.project.git("worktree", "list", "--porcelain"), re.MULTILINE)[1:]


@contextmanager
def open_shop(folder: Path) -> Iterator[Shop]:
    """A shop on the branch `feat/login`; whatever is still running at the end is killed."""
    project, data = make_project(folder), folder / "data"
    data.mkdir()
    text = DECLARATION.replace("    stages:\n", f"    values: {{data: {data}}}\n    stages:\n", 1)
    project.write({"shipway.yml": text, ".gitignore": ".shipway/\n", "api/server.py": SERVER, "web/server.py": SERVER})
    project.write({"scripts/seed.sh": SEED, "scripts/drop.sh": DROP})
    for script in (project.root / "scripts").iterdir():
        script.chmod(0o755)
    project.commit()
    project.git("checkout", "-q", "-b", "feat/login")
    shop = Shop(project, data)
    try:
        yield shop
    finally:
        for pid in shop.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A shop on the branch `feat/login`."""
    with open_shop(tmp_path) as made:
        yield made


def changes_of(done: Done) -> dict[str, str]:
    """Outcome by node, of a run that was shown as JSON."""
    return {node["id"]: node["outcome"] for node in done.json["nodes"]}


def killed_at(root: Path, env: Mapping[str, str], node: str, mark: str, *arguments: str) -> None:
    """`up`, killed as soon as it says `mark` (`>` started, `✓` succeeded) of a node; whatever it had begun goes on."""
    argv = [sys.executable, "-I", "-m", "shipway", "preview", "up", "--yes", *arguments]
    with subprocess.Popen(
        argv, cwd=root, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        assert running.stdout is not None
        said = []
        for line in running.stdout:
            said.append(line)
            said_mark, name = [*line.split(), "", ""][:2]
            is_it = name == readable(node) or (name.startswith("…") and readable(node).endswith(name[1:]))
            if said_mark == mark and is_it:
                running.kill()
                return
    raise AssertionError(f"{node} never got as far as {mark}: {''.join(said)}")


def is_free(port: int) -> bool:
    """Whether nothing listens there."""
    listed = subprocess.run(["ss", "-Hltn", f"sport = :{port}"], capture_output=True, text=True, check=True)
    return not listed.stdout.strip()
