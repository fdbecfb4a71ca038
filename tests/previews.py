"""Declarations of previews for tests: the example of the documentation, and a workspace that it is valid in."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from shipway.plan import Plan
from tests.preview_actions import StandIns
from tests.runs import Ran, Setting, run

SHOP = """
stages:
  provisioner:
    mode: preview
    with:
      role: provisioner
      services:
        postgres:
          outputs: {DSN: {type: secret}, HOST: {type: string}, PORT: {type: integer}}
          seed: ./scripts/clone-db.sh
          destroy: ./scripts/drop-db.sh
  runner:
    needs: [provisioner]
    mode: preview
    with:
      role: runner
      infrastructure: {compose_file: compose.preview.yaml}
      services:
        api:
          path: services/api
          command: ./serve
          needs: [cache]
          env:
            LISTEN_PORT: ${{ self.port }}
            DSN: ${{ provisioner.postgres.DSN }}
            CACHE_PORT: ${{ infrastructure.cache.port }}
          ready: {http: /healthz, within: 90s}
        shopfront:
          path: services/shopfront
          command: npm start
          needs: [api]
          env: {LISTEN_PORT: "${{ self.port }}", API: "http://127.0.0.1:${{ services.api.port }}"}
      ttl: 72h
      quota: 10
"""
COMPOSE = 'services:\n  cache: {image: redis, ports: ["${CACHE_PORT:-6379}:6379"]}\n'


def workspace(root: Path, compose: str = COMPOSE) -> Path:
    """A workspace with the folders, scripts and compose file that `SHOP` names."""
    for folder in ("services/api", "services/shopfront", "scripts"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for script in ("clone-db.sh", "drop-db.sh"):
        (root / "scripts" / script).write_text("#!/bin/sh\n")
    (root / "compose.preview.yaml").write_text(compose)
    return root


def attempt(
    root: Path, text: str, target: str = "pr-42", *, execute: bool = False, registry: StandIns | None = None
) -> Ran:
    """Take a declaration through its phases, with stand-ins for what the nodes do."""
    return run(root, dedent(text), Setting(registry=registry or StandIns(), target=target), execute=execute)


def planned(root: Path, text: str, target: str = "pr-42") -> Plan:
    """The plan of a declaration that must be valid."""
    ran = attempt(root, text, target)
    assert ran.finished.plan is not None, ran.finished.error and (ran.error.message, ran.error.problems)
    return ran.finished.plan


def refused(root: Path, text: str, target: str = "pr-42") -> list[str]:
    """What is said of a declaration that must not be valid: `file:line:column: text`, in the order in which it is said."""
    ran = attempt(root, text, target)
    assert ran.finished.error is not None, "it was planned"
    problems = ran.error.problems
    assert all(problem.where and problem.line for problem in problems), problems
    return [f"{each.where.file}:{each.where.line}:{each.where.column}: {each.text}" for each in problems if each.where]
