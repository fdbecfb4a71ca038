"""The real command line on a shop with a database, containers and a service: changed, taken away, killed, and nothing left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.command_line import Done, Project, make_project
from tests.postgres import Server
from tests.preview_full import ONE, Machine, files, page, port_of, uncontained
from tests.preview_shop import changes_of, is_free, killed_at

TARGET = "pr-1"
NODES = ("provisioner/service/postgres", "runner/infrastructure", "runner/service/web")
"""Those that make something outside of the checkout."""


class Full:
    """The project and its machine."""

    def __init__(self, project: Project, machine: Machine) -> None:
        self.project, self.machine = project, machine

    def call(self, part: str, *arguments: str, code: int = 0) -> Done:
        return self.project.call(
            "preview", part, *arguments, "--target", TARGET, "--yes", env=self.machine.env, code=code
        )

    def change(self, changed: Mapping[str, str]) -> None:
        for name, text in changed.items():
            (self.project.root / name).write_text(text)
        self.project.commit()

    def url(self) -> str:
        (found,) = self.project.call("preview", "list", "--json").json["environments"]
        assert found["state"] == "ready", found
        return str(found["urls"]["web"])


@pytest.fixture
def full(tmp_path: Path, engine: Mapping[str, str], cluster: Server) -> Iterator[Full]:
    project = make_project(tmp_path)
    project.write(files("shop"))
    for script in (project.root / "scripts").iterdir():
        script.chmod(0o755)
    project.commit()
    made = Full(project, Machine("shop", project.root, engine, cluster))
    made.call("init", "postgres")
    yield made
    made.call("down")


def test_containers_that_are_not_declared_any_more_go_at_once_and_all_else_with_the_environment(full: Full) -> None:
    machine = full.machine
    full.call("up")
    url = full.url()
    assert page(url) == "1 42 cache"
    assert machine.containers(TARGET) == {"cache": "running", "queue": "running"}
    assert machine.databases() == ["shop_pr-1"]
    assert set(changes_of(full.call("up", "--json")).values()) == {"unchanged"}

    full.change({"containers/compose.yaml": ONE, "web/version.txt": "2\n"})
    full.call("up")
    assert machine.containers(TARGET) == {"cache": "running"}
    assert (page(full.url()), full.url()) == ("2 42 cache", url)

    full.change(uncontained(full.project.text("shipway.yml"), full.project.text("web/serve.py")))
    full.call("up")
    assert page(full.url()) == "2 42 none"
    assert (machine.containers(TARGET), machine.belongings(TARGET)) == ({}, [])
    full.call("down")
    assert machine.left(TARGET) == []
    assert is_free(port_of(url))


def test_p41_killed_in_each_in_turn_it_is_made_whole_once_and_wherever_it_is_killed_nothing_is_left(
    full: Full,
) -> None:
    machine, env = full.machine, {**full.project.env, **full.machine.env}
    for node in NODES:
        killed_at(full.project.root, env, node, ">", "--target", TARGET)
    full.call("up")
    assert page(full.url()) == "1 42 cache"
    assert machine.containers(TARGET) == {"cache": "running", "queue": "running"}
    assert (machine.databases(), len(machine.worktrees())) == (["shop_pr-1"], 1)
    assert len(machine.processes(TARGET)) == 1
    full.call("down")
    assert machine.left(TARGET) == []
    for node in NODES[1:]:
        killed_at(full.project.root, env, node, ">", "--target", TARGET)
        full.call("down")
        assert machine.left(TARGET) == [], node
