"""`shipway graph` on real lifecycles: levels, ends, paths and parts, as text at 80 columns, Mermaid and JSON."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from shipway.errors import Position
from shipway.graph import Graph
from shipway.node_graph import node_graph, part_of
from shipway.nodes import Need, Node
from shipway.plan import Plan, PlannedSource, PlannedStage
from tests.command_line import Project, make_project

SHOP = """
    version: 1
    name: shop
    stages:
      build:
        lasting: false
        steps:
          image: {run: make image, outputs: {tag: string}}
          docs: {run: make docs}
          scan: {run: ./scan, needs: [image]}
      release:
        needs: [build]
        steps:
          - {id: backup, run: ./backup}
          - {id: migrate, run: ./up, undo: ./down, env: {TAG: "${{ stages.build.outputs.tag }}"}}
      notify:
        steps: [{id: mail, run: ./mail}]
    """

TEXT = """\
Graph: shop → default                                           6 nodes, 5 edges

1 ┬─ build/docs
  ├─ build/image
  └─ notify/mail
   │
2 ── build/scan       ← build/image
   │
3 ── release/backup   ← stage build
   │
4 ── release/migrate  ← build/image, release/backup

roots      build/docs, build/image, notify/mail
leaves     notify/mail, release/migrate
longest    build/image → build/scan → release/backup → release/migrate, 4 nodes
apart      2 sets that share no edge
           build/docs, build/image, build/scan, release/backup, release/migrate
           notify/mail
"""

VERBOSE = """\
4 ── release/migrate  ← build/image, release/backup
       shell.exec: ./up
       waits for release/backup: its place in the list
       waits for build/image: its output
"""


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    project = make_project(tmp_path)
    project.write({"shipway.yml": SHOP})
    return project


def test_the_text(shop: Project) -> None:
    assert shop.call("graph").out == TEXT


def test_verbose_says_what_each_node_is_and_why_it_waits(shop: Project) -> None:
    told = shop.call("graph", "-v")
    assert VERBOSE in told.out
    assert "phase load done" in told.err


def test_quiet_is_an_order_that_works(shop: Project) -> None:
    order = shop.call("graph", "-q").out.split()
    edges = shop.call("graph", "--json").json["edges"]
    assert sorted(order) == sorted({node for edge in edges for node in edge} | {"notify/mail"})
    assert all(order.index(before) < order.index(after) for before, after in edges)


def test_json_has_the_whole_graph(shop: Project) -> None:
    facts = shop.call("graph", "--format", "json").json
    assert facts == shop.call("graph", "--json").json
    assert facts["edges"] == [
        ["build/image", "build/scan"],
        ["build/image", "release/migrate"],
        ["build/docs", "release/backup"],
        ["build/scan", "release/backup"],
        ["release/backup", "release/migrate"],
    ]
    assert facts["levels"][1:] == [["build/scan"], ["release/backup"], ["release/migrate"]]
    assert facts["roots"] == ["build/docs", "build/image", "notify/mail"]
    assert facts["leaves"] == ["notify/mail", "release/migrate"]
    assert facts["critical_path"] == ["build/image", "build/scan", "release/backup", "release/migrate"]
    assert [len(group) for group in facts["independent_sets"]] == [5, 1]
    assert facts["nodes"][0] == {"id": "build/image", "stage": "build", "action": "shell.exec", "title": "make image"}


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        (["--from", "build/scan"], ["build/scan", "release/backup", "release/migrate"]),
        (["--to", "build/scan"], ["build/image", "build/scan"]),
        (["--from", "build/image", "--to", "release/backup"], ["build/image", "build/scan", "release/backup"]),
        (["--from", "build", "--to", "build"], ["build/image", "build/docs", "build/scan"]),
        (["--from", "notify"], ["notify/mail"]),
        (["--stage", "build"], ["build/image", "build/docs", "build/scan"]),
        (["--skip", "release", "--skip", "build/docs"], ["build/image", "build/scan", "notify/mail"]),
    ],
)
def test_a_part(shop: Project, asked: list[str], kept: list[str]) -> None:
    assert [node["id"] for node in shop.call("graph", "--json", *asked).json["nodes"]] == kept
    assert "Graph: shop" in shop.call("graph", *asked).out
    drawn = shop.call("graph", "--format", "mermaid", *asked).out
    assert drawn.startswith("flowchart LR\n")
    assert drawn.count("]:::") == len(kept)


def test_what_waits_for_all_that_a_node_adds_says_so(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    steps = "[{id: each, gather: [a, b], run: make}, {id: then, run: make}]"
    project.write({"shipway.yml": f"version: 1\nname: shop\nsteps: {steps}\n"})
    assert "main/then     ← all of main/each\n" in project.call("graph").out


def test_a_wrong_name_gets_a_guess_and_a_wrong_way_round_too(shop: Project) -> None:
    wrong = shop.call("graph", "--from", "build/imag", code=2)
    assert wrong.err == "there is no node or stage `build/imag`. Did you mean `build/image`?\n"
    backwards = shop.call("graph", "--from", "release/migrate", "--to", "build/image", code=2)
    assert backwards.err.endswith("Try `--from build/image --to release/migrate`\n")


def test_no_command_of_a_step_is_run(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.write({"shipway.yml": "version: 1\nname: a\nsteps: [{run: touch ran, plan: touch planned}]\n"})
    project.call("graph")
    assert not (project.root / "ran").exists()
    assert not (project.root / "planned").exists()


def test_no_line_is_wider_than_the_terminal(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    steps = "".join(f"      {'step-' * 9}{number}: {{run: 'true'}}\n" for number in range(12))
    steps += f"      last: {{run: 'true', needs: [{', '.join('step-' * 9 + str(number) for number in range(12))}]}}\n"
    project.write({"shipway.yml": f"version: 1\nname: a\nstages:\n  build:\n    steps:\n{steps}"})
    for columns in ("80", "60", "40"):
        out = project.call("graph", "-v", env={"COLUMNS": columns}).out
        assert max(map(len, out.splitlines())) <= int(columns)


@pytest.mark.parametrize("seed", range(20))
def test_gates_are_gone_and_every_path_stays(seed: int) -> None:
    plan = random_plan(Random(seed))
    whole, graph = plan.graph(), node_graph(plan)
    assert set(graph.ids) == set(plan.by_id)
    for node in graph.ids:
        assert graph.all_dependents(node) == [other for other in whole.all_dependents(node) if other in plan.by_id]


@pytest.mark.parametrize("seed", range(20))
def test_between_two_nodes_lies_what_is_behind_one_and_before_the_other(seed: int) -> None:
    graph: Graph = node_graph(plan := random_plan(Random(seed)))
    for start in graph.ids:
        for end in graph.all_dependents(start):
            kept = set(part_of(plan, graph, start, end))
            assert {start, end} <= kept
            assert kept - {start, end} == set(graph.all_dependents(start)) & set(graph.all_dependencies(end))


def random_plan(rng: Random) -> Plan:
    """Up to 12 nodes in 4 stages, some of them empty, that need each other forwards only."""
    where = Position("shipway.yml", 1, 1)
    names = ["s0", "s1", "s2", "s3"]
    stages = [
        PlannedStage(name, "steps", "shell", 1, where, tuple(other for other in names[:place] if rng.random() < 0.5))
        for place, name in enumerate(names)
    ]
    nodes: list[Node] = []
    for number in range(rng.randint(1, 12)):
        stage = rng.choice(names)
        needs = tuple(Need(node.id) for node in nodes if node.stage <= stage and rng.random() < 0.3)
        nodes.append(Node(f"{stage}/n{number}", stage, "shell.exec", where, needs=needs))
    source = PlannedSource("shipway.yml", ("shipway.yml",), "sha256:0")
    return Plan("a", "default", "linux/amd64", source, "0.1.0", tuple(stages), tuple(nodes))
