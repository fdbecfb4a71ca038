"""A database for each environment, cloned from a template of the lifecycle, on a real PostgreSQL."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests import preview_full
from tests.command_line import Project, make_project
from tests.postgres import Server, find_programs

DECLARATION = """
    version: 1
    name: shop
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
              outputs: {DSN: {type: secret}, NAME: {type: string}}
              init: ./scripts/template.sh
              seed: {run: ./scripts/clone.sh, verify: ./scripts/there.sh}
              reset: ./scripts/clone.sh
              destroy: ./scripts/drop.sh
      runner:
        needs: [provisioner]
        mode: preview
        with:
          role: runner
          services:
            api:
              path: api
              env: {DSN: "${{ provisioner.postgres.DSN }}", NAME: "${{ provisioner.postgres.NAME }}"}
    """
SCRIPTS = {**preview_full.SCRIPTS, "clone": preview_full.SCRIPTS["clone"] + 'echo "NAME=$name" >> "$SHIPWAY_OUTPUT"\n'}


class Databases:
    """The project, and what its server holds."""

    def __init__(self, project: Project, url: str) -> None:
        self.project = project
        self.url = url

    def preview(self, *arguments: str, code: int = 0) -> str:
        done = self.project.call("preview", *arguments, "--yes", env={"ADMIN_URL": self.url}, code=code)
        return done.out + done.err

    def ask(self, database: str, sql: str) -> str:
        url = f"{self.url.rpartition('/')[0]}/{database}"
        done = subprocess.run(
            ["psql", "-qAt", url, "-c", sql], env=self.project.env, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    @property
    def names(self) -> list[str]:
        """The environments' own."""
        found = self.ask("postgres", "select datname from pg_database where datname like 'shop_%' order by 1")
        return found.split()


@pytest.fixture
def databases(tmp_path: Path, cluster: Server) -> Databases:
    project = make_project(tmp_path)
    project.env["PATH"] = f"{find_programs()}{os.pathsep}{project.env['PATH']}"
    project.write({"shipway.yml": DECLARATION, ".gitignore": ".shipway/\n", "api/keep": ""})
    project.write({f"scripts/{name}.sh": f"#!/bin/sh\nset -eu\n{text}" for name, text in SCRIPTS.items()})
    for name in SCRIPTS:
        (project.root / f"scripts/{name}.sh").chmod(0o755)
    project.commit()
    return Databases(project, cluster.url)


def test_each_environment_has_a_clone_that_is_kept_renewed_and_dropped(databases: Databases) -> None:
    databases.preview("init", "postgres", "--target", "pr-1")
    assert databases.names == []
    for target in ("pr-1", "pr-2"):
        said = databases.preview("up", "--target", target)
        assert databases.url.rpartition("/")[0] not in said  # what every DSN begins with
    assert databases.names == ["shop_pr-1", "shop_pr-2"]

    databases.ask("shop_pr-1", "update goods set price = 1")
    databases.preview("up", "--target", "pr-1")
    assert databases.ask("shop_pr-1", "select price from goods") == "1", "a database that is there is kept"
    databases.preview("reset", "postgres", "--target", "pr-1")
    assert databases.ask("shop_pr-1", "select price from goods") == "42"

    databases.ask("postgres", 'drop database "shop_pr-1"')
    databases.preview("up", "--target", "pr-1")
    assert databases.names == ["shop_pr-1", "shop_pr-2"], "one that somebody dropped is cloned anew"

    written = (databases.project.root / ".shipway/previews/shop/pr-2/tree/api/.env.local").read_text()
    assert f"DSN={databases.url.rpartition('/')[0]}/shop_pr-2" in written.replace("'", "").replace('"', "")
    for target in ("pr-1", "pr-2"):
        databases.preview("down", "--target", target)
    assert databases.names == []


def test_p39_a_server_that_does_not_answer_is_unknown_and_nothing_is_cloned_twice(databases: Databases) -> None:
    databases.preview("init", "postgres", "--target", "pr-1")
    databases.preview("up", "--target", "pr-1")
    databases.ask("shop_pr-1", "update goods set price = 1")
    url, databases.url = databases.url, "postgresql://postgres@127.0.0.1:1/postgres"
    assert "cannot be told" in databases.preview("up", "--target", "pr-1", code=1)
    databases.url = url
    databases.preview("up", "--target", "pr-1")
    assert databases.ask("shop_pr-1", "select price from goods") == "1"
    databases.preview("down", "--target", "pr-1")
