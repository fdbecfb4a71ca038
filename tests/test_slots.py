"""Shows the three kinds of slots: a value, what another node gives, and the item of an enclosing gather."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipway.builder import GraphBuilder
from shipway.builder_options import BuilderScope, GatherOptions
from shipway.canonical import Json, canonical_bytes, digest
from shipway.declaration import OutputRule, Stage
from shipway.errors import Position
from shipway.evaluation import Evaluation
from shipway.nodes import Immediate, Node, Outcome, Promise, Proxy, Reads, Slot
from shipway.plan_file import load_plan
from shipway.registry import Registry
from tests.command_line import make_project
from tests.render_samples import plan_of
from tests.render_samples import stage as planned_stage
from tests.runs import run, stage

_WHERE = Position("shipway.yml", 1, 1)


def _evaluated(slot: Slot, given: dict[str, Json], outcome: Outcome = Outcome.SUCCEEDED) -> dict[str, Json]:
    evaluation = Evaluation(github={}, runner={}, secrets={}, known={}, root=Path())
    producer = Node("m/p", "m", "a.b", _WHERE, outputs={name: OutputRule("object") for name in given})
    evaluation.record(producer, outcome, given)
    return evaluation.inputs(Node("m/n", "m", "a.b", _WHERE, slots={"s": slot}), {})


def _builder() -> GraphBuilder:
    registry = Registry(lambda group: ())
    scope = BuilderScope(
        {}, registry.find_action, registry.action_names, {}, lambda patterns: Reads(patterns or (), "")
    )
    return GraphBuilder(Stage("build", ("stages", "build"), _WHERE), scope)


@pytest.mark.parametrize("value", ["/a", None, "", 0, [1, None], {"k": None}])
def test_g001_an_immediate_slot_is_its_value_and_null_is_present(value: Json) -> None:
    assert _evaluated(Immediate(value), {}) == {"s": value}


def test_g002_a_promise_without_an_output_is_the_whole_value() -> None:
    assert _evaluated(Promise("m/p"), {"k": 1}) == {"s": {"k": 1}}


def test_g003_g006_a_promise_of_an_output_is_that_and_null_is_present() -> None:
    assert _evaluated(Promise("m/p", "k"), {"k": 1}) == {"s": 1}
    assert _evaluated(Promise("m/p", "k"), {"k": None}) == {"s": None}


@pytest.mark.parametrize(
    ("field", "item", "value"),
    [(None, {"a": 1}, {"a": 1}), ("a", {"a": 1}, 1), ("b", {"a": 1}, None), ("a", "text", None), ("a", None, None)],
)
def test_g005_a_proxy_is_the_item_or_a_field_of_it(field: str | None, item: Json, value: Json) -> None:
    assert Proxy("each", field).of(item) == value


def test_g005_each_slot_of_a_node_goes_by_its_own_rule() -> None:
    builder = _builder()
    made = builder.template_render("notes", content="x")
    slots = {"path": Proxy("each", "to"), "content": made.output("content"), "mode": "0600"}
    builder.add("file.write", "each", slots, gather=GatherOptions({"items": [{"to": "a"}]}))
    builder.check_references()
    assert builder.problems == []
    [node] = [node for node in builder.nodes() if node.id == "build/each[a]"]
    assert node.slots["path"] == Immediate("a")
    assert node.slots["content"] == Promise("build/notes", "content")
    assert node.slots["mode"] == Immediate("0600")


def test_g007_a_proxy_outside_its_gather_is_refused_and_the_enclosing_ones_are_named() -> None:
    builder = _builder()
    builder.file_write("plain", "a", Proxy("each"))  # type: ignore[arg-type]
    slots = {"path": "a", "content": Proxy("echa")}
    builder.add("file.write", "each", slots, gather=GatherOptions({"items": ["a"]}))
    texts = [f"{problem.text}; {problem.hint}".rstrip("; ") for problem in builder.problems]
    assert any("no gather `each` encloses it (node `build/plain`)" in text for text in texts), texts
    assert any("no gather `echa` encloses it" in text and "did you mean `each`?" in text for text in texts), texts


def test_g009_a_promise_is_an_edge_in_a_document_that_does_not_write_it_down() -> None:
    producer = Node("main/p", "main", "file.exists", _WHERE, slots={"path": Immediate("x")})
    taker = Node("main/t", "main", "shell.exec", _WHERE, slots={"run": Promise("main/p", "exists")})
    plan = plan_of((planned_stage("main"),), (producer, taker))
    read = load_plan(canonical_bytes(plan.document), lambda data: None)
    assert read.by_id["main/t"].needs == ()
    assert read.graph().depends_on("main/t") == ["main/p"]
    around = replace(taker, slots={"run": Promise("main/t", "exists")})
    document = dict(plan_of((planned_stage("main"),), (producer, taker)).document)
    assert document["digest"] == digest(document)
    with pytest.raises(Exception, match="needs itself"):
        plan_of((planned_stage("main"),), (producer, around)).graph()


def test_g009_a_promise_of_a_body_waits_for_all_of_it(tmp_path: Path) -> None:
    steps = """
    body: {steps: {a: {run: 'echo "n=1" >> "$SHIPWAY_OUTPUT"', outputs: {n: integer}}, b: {run: "sleep 0.1; touch b"}}}
    takes: {run: test -e b, env: {N: "${{ steps.body.outputs.n }}"}}
    """
    assert run(tmp_path, "defaults: {parallel: 4}\n" + stage(steps)).exit_code == 0


def test_g013_a_circle_through_a_body_is_refused_when_planned(tmp_path: Path) -> None:
    steps = """
    a: {steps: {x: {run: "true", env: {N: "${{ steps.b.outcome }}"}}}}
    b: {run: "true", needs: [a]}
    """
    done = run(tmp_path, stage(steps), execute=False)
    assert "circle" in str(done.error.problems), done.error


def test_a_wrong_slot_is_pointed_at_where_it_was_written(tmp_path: Path) -> None:
    text = """
steps:
  - id: notes
    uses: file.write
    with:
      path: out/NOTES.md
      contnt: hello
      mode: [a]
"""
    problems = run(tmp_path, text, execute=False).error.problems
    assert [(str(problem.where), problem.text.split(" (")[0]) for problem in problems] == [
        ("shipway.yml:7:5", "slot `content` of `main/notes` is not set: it takes a string"),
        ("shipway.yml:9:7", "action `file.write` has no slot `contnt`"),
        ("shipway.yml:10:7", "slot `mode` of `main/notes` takes a string, not a list"),
    ]


def test_what_is_not_there_is_pointed_at_where_it_belongs(tmp_path: Path) -> None:
    text = """
steps:
  - id: named
    uses: file.wrte
    with: {path: a, content: b}
  - {id: bare, uses: file.mkdir}
  - {id: asked, until: {uses: service.runnng, with: {name: x}}, timeout: 1m}
"""
    problems = run(tmp_path, text, execute=False).error.problems
    found = [(str(problem.where), problem.where.width if problem.where else 0) for problem in problems]
    assert found == [("shipway.yml:6:11", 9), ("shipway.yml:8:22", 10), ("shipway.yml:9:31", 14)]


WRONG = """\
version: 1
name: shop
stages:
  files:
    steps:
      - {id: note, uses: file.write, with: {pth: x, content: y}}
      - {id: other, uses: file.writ, with: {path: x}}
      - {id: each, gather: {items: [a]}, uses: file.remove, with: {paht: x}}
      - id: body
        steps:
          - {id: inner, uses: file.move, with: {source: x, too: y}}
    compensate:
      steps: [{id: back, uses: file.remove, with: {pathh: x}}]
"""
SLOTS = [
    "6:38: slot `path` of `files/note` is not set: it takes a string",
    "6:45: action `file.write` has no slot `pth` (node `files/note`)",
    "7:27: unknown action `file.writ`",
    "8:68: action `file.remove` has no slot `paht` (node `files/each`)",
    "11:42: slot `path` of `files/inner` is not set: it takes a string",
    "11:60: action `file.move` has no slot `too` (node `files/inner`)",
    "13:45: slot `path` of `files/back` is not set: it takes a string",
    "13:52: action `file.remove` has no slot `pathh` (node `files/back`)",
]


@pytest.mark.parametrize(
    ("more", "others"),
    [
        ("defults: {}\n", ["14:1: unknown key `defults`"]),
        (
            "  dots: {mode: files, with: {sorces: {a: b}, roots: {home: home}}}\n",
            ["14:23: `with` of stage `dots` needs `sources`", "14:30: unknown key `sorces` in `with` of stage `dots`"],
        ),
    ],
    ids=["refused when read", "refused by a backend"],
)
def test_wrong_slots_are_told_with_whatever_else_is_wrong(tmp_path: Path, more: str, others: list[str]) -> None:
    project = make_project(tmp_path)
    project.write({"shipway.yml": WRONG + more})
    said = re.findall(
        r"^shipway\.yml:(.*)$", project.call("validate", code=2, env={"COLUMNS": "300"}).err, re.MULTILINE
    )
    assert said == [*SLOTS, *others]
