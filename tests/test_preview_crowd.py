"""Forty environments of one repository made at the same moment: each with a place and ports of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.command_line import make_project

DECLARATION = """
    version: 1
    name: shop
    stages:
      runner:
        mode: preview
        with:
          role: runner
          services:
            api: {path: api, env: {PORT: "${{ self.port }}", WEB: "${{ services.web.port }}"}}
            web: {path: web, env: {PORT: "${{ self.port }}"}}
    """
TARGETS = [f"pr-{number}" for number in range(40)]


def test_p71_forty_environments_at_once_have_forty_blocks_of_ports_and_forty_places(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.write({"shipway.yml": DECLARATION, ".gitignore": ".shipway/\n", "api/x": "", "web/x": ""})
    project.commit()

    def up(target: str) -> int:
        return project.call("preview", "up", "--target", target, "--yes", "-q").code

    with ThreadPoolExecutor(len(TARGETS)) as at_once:
        assert [*at_once.map(up, TARGETS)] == [0] * len(TARGETS)
    found = {}
    for target in TARGETS:
        text = project.text(f".shipway/previews/shop/{target}/tree/api/.env.local")
        found[target] = dict(line.split("=") for line in text.splitlines()[1:])
    ports = [int(port) for entries in found.values() for port in entries.values()]
    assert len({*ports}) == 2 * len(TARGETS)
    blocks = {int(entries["PORT"]) // 100 for entries in found.values()}
    assert blocks == {*range(610, 650)}
    assert all(int(entries["PORT"]) // 100 == int(entries["WEB"]) // 100 for entries in found.values())
    assert project.git("worktree", "list").count("\n") == 1 + len(TARGETS)
