"""A shop with all that a preview may have: a database cloned from a template, two containers built from local files, a service.

Its service answers with its own version, a row of the database and what a container says. What is left of it can be listed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from shipway.process_identity import carrying
from tests.container_engine import IMAGE
from tests.postgres import Server, find_programs

DECLARATION = """\
version: 1
name: %(name)s
targets: {pr-*: {}}
secrets: [ADMIN_URL]
stages:
  provisioner:
    mode: preview
    reads: [scripts/**]
    env: {ADMIN_URL: "${{ secrets.ADMIN_URL }}"}
    with:
      role: provisioner
      services:
        postgres:
          outputs: {DSN: {type: secret}}
          init: ./scripts/template.sh
          seed: {run: ./scripts/clone.sh, verify: ./scripts/there.sh}
          reset: ./scripts/clone.sh
          destroy: ./scripts/drop.sh
  runner:
    needs: [provisioner]
    mode: preview
    env_from: [DOCKER_*]
    with:
      role: runner
      infrastructure: {compose_file: containers/compose.yaml}
      services:
        web:
          path: web
          command: exec %(python)s serve.py
          needs: [cache, postgres]
          env:
            LISTEN_PORT: ${{ self.port }}
            DSN: ${{ provisioner.postgres.DSN }}
            CACHE_PORT: ${{ infrastructure.cache.port }}
          ready: {http: /, within: 60s, every: 100ms}
      ttl: 72h
"""
_CONTAINER = '  {name}:\n    build: {{context: {name}}}\n    ports: ["{port}"]\n    stop_signal: SIGKILL\n'
ONE = f"""version: "3.8"
services:
{_CONTAINER.format(name="cache", port="${CACHE_PORT:-6379}:6379")}"""
BOTH = f"""{ONE}{_CONTAINER.format(name="queue", port="5672")}    volumes: ["jobs:/jobs"]
volumes: {{jobs: {{}}}}
"""
_SAYS = "while true; do echo {name} | nc -l -p {port}; done\n"
_PSQL = 'psql -qv ON_ERROR_STOP=1 "$ADMIN_URL"'
_NAME = '"${SHIPWAY_LIFECYCLE}_$SHIPWAY_TARGET"'
SCRIPTS = {
    "template": f'{_PSQL} -c "drop database if exists template_$SHIPWAY_LIFECYCLE"\n'
    f'{_PSQL} -c "create database template_$SHIPWAY_LIFECYCLE"\n'
    'psql -qv ON_ERROR_STOP=1 "${ADMIN_URL%/*}/template_$SHIPWAY_LIFECYCLE" -c "create table goods as select 42 as price"\n',
    "clone": f'name={_NAME}\n{_PSQL} -c "drop database if exists \\"$name\\" with (force)"\n'
    f'{_PSQL} -c "create database \\"$name\\" template template_$SHIPWAY_LIFECYCLE"\n'
    'echo "DSN=${ADMIN_URL%/*}/$name" >> "$SHIPWAY_OUTPUT"\n',
    "there": f"name={_NAME}\nfound=$({_PSQL} -Atc \"select 1 from pg_database where datname = '$name'\")\n"
    '[ -n "$found" ] || exit 3\n',
    "drop": f'name={_NAME}\n{_PSQL} -c "drop database if exists \\"$name\\" with (force)"\n',
}
_SERVER = """\
import http.server, os, socket, subprocess
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked = ["psql", "-qAt", os.environ["DSN"], "-c", "select price from goods"]
        price = subprocess.run(asked, capture_output=True, text=True, check=True)
        with socket.create_connection(("127.0.0.1", int(os.environ.get("CACHE_PORT") or 0)), 30) as cache:
            said = cache.recv(100).decode()
        self.send_response(200); self.end_headers()
        self.wfile.write(f"{open('version.txt').read().strip()} {price.stdout.strip()} {said.strip()}".encode())
    def log_message(self, *a): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["LISTEN_PORT"])), Handler).serve_forever()
"""


def files(name: str, *, contained: bool = True) -> dict[str, str]:
    """The files of the repository, those of `scripts` to be executable; not `contained`: without containers."""
    found = {"shipway.yml": DECLARATION % {"name": name, "python": sys.executable}, ".gitignore": ".shipway/\n"}
    found |= {f"scripts/{each}.sh": f"#!/bin/sh\nset -eu\n{text}" for each, text in SCRIPTS.items()}
    for each, port in (("cache", 6379), ("queue", 5672)):
        built = f'FROM {IMAGE}\nCOPY says.sh /says.sh\nCMD ["sh", "/says.sh"]\n'
        found |= {f"containers/{each}/Dockerfile": built}
        found |= {f"containers/{each}/says.sh": _SAYS.format(name=each, port=port)}
    found |= {"containers/compose.yaml": BOTH, "web/serve.py": _SERVER, "web/version.txt": "1\n"}
    return found if contained else found | uncontained(found["shipway.yml"], found["web/serve.py"])


def uncontained(declaration: str, server: str) -> dict[str, str]:
    """The files that are others where no containers are declared."""
    kept = [line for line in declaration.splitlines() if "compose_file" not in line and "CACHE_PORT" not in line]
    lines = [line for line in server.splitlines() if "cache" not in line]
    at = next(place for place, line in enumerate(lines) if "send_response" in line)
    lines.insert(at, "        said = 'none'")
    text = "\n".join(kept).replace("[cache, postgres]", "[postgres]")
    return {"shipway.yml": f"{text}\n", "web/serve.py": "\n".join(lines) + "\n"}


@dataclass(frozen=True)
class Machine:
    """Where the environments of the lifecycle `name` live: a checkout, an engine and a cluster."""

    name: str
    work: Path
    engine: Mapping[str, str]
    cluster: Server

    @property
    def env(self) -> dict[str, str]:
        """What a command needs to reach them."""
        path = f"{find_programs()}{os.pathsep}{self.engine['PATH']}"
        return {**self.engine, "PATH": path, "ADMIN_URL": self.cluster.url}

    @property
    def has_engine(self) -> bool:
        """Whether there may be containers."""
        return "DOCKER_HOST" in self.engine

    def docker(self, *arguments: str) -> list[str]:
        """What docker lists."""
        env = {**os.environ, **self.engine}
        if not self.has_engine:
            return []
        return subprocess.run(
            ["docker", *arguments], env=env, capture_output=True, text=True, check=True
        ).stdout.split()

    def containers(self, target: str) -> dict[str, str]:
        """The state of each by its service."""
        form = '{{.Label "com.docker.compose.service"}}={{.State}}'
        label = f"label=shipway.preview={self.name}/{target}"
        return dict(each.split("=") for each in self.docker("ps", "--all", "--filter", label, "--format", form))

    def belongings(self, target: str) -> list[str]:
        """What else of its project the engine has: networks, volumes and images."""
        project = f"{self.name}-{target}"
        found = self.docker("network", "ls", "--format", "{{.Name}}") + self.docker(
            "volume", "ls", "--format", "{{.Name}}"
        )
        found += self.docker("image", "ls", "--format", "{{.Repository}}")
        return [each for each in found if each.startswith(project)]

    def ask(self, database: str, sql: str) -> list[str]:
        """What a database answers."""
        url, env = f"{self.cluster.url.rpartition('/')[0]}/{database}", {**os.environ, **self.env}
        asked = subprocess.run(["psql", "-qAt", url, "-c", sql], env=env, capture_output=True, text=True, check=False)
        assert asked.returncode == 0, asked.stderr
        return asked.stdout.split()

    def databases(self) -> list[str]:
        """Those of environments."""
        return self.ask("postgres", f"select datname from pg_database where datname like '{self.name}\\_%' order by 1")

    def worktrees(self) -> list[str]:
        """The checkouts besides the first."""
        listed = subprocess.run(
            ["git", "worktree", "list", "--porcelain"], cwd=self.work, capture_output=True, text=True, check=True
        )
        return [line for line in listed.stdout.splitlines() if line.startswith("worktree ")][1:]

    def processes(self, target: str) -> list[int]:
        """Those of services."""
        place = f"{self.work}/.shipway/previews/{self.name}/{target}/tree"
        return carrying(f"SHIPWAY_PREVIEW_ROOT={place}")

    def left(self, target: str) -> list[object]:
        """All that there still is of an environment."""
        there = [self.processes(target), self.worktrees(), self.containers(target), self.belongings(target)]
        return [each for each in (*there, [name for name in self.databases() if name.endswith(f"_{target}")]) if each]


def page(url: str) -> str:
    """What the service answers."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return str(answer.read().decode())


def port_of(url: str) -> int:
    """The port of an address."""
    port = urlsplit(url).port
    assert port is not None
    return port
