"""The flowchart: read by Mermaid itself, bounded in size, with nothing in a label that could be syntax."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shipway.nodes import Need, Node, Promise
from shipway.plan import Plan
from shipway.receipt import Receipt
from shipway.render.mermaid import MAX_EDGES, MAX_NODES, flowchart
from tests.hostile import FRAGMENTS, hostile_plans
from tests.peers import require
from tests.render_samples import WHERE, failed_receipt, large_plan, mixed_plan, plan_of, small_plan, stage

TOOL = Path(__file__).parent / "tools/mermaid"
LINE = re.compile(
    r"flowchart LR|  subgraph s\d+\[\"[^\"`<%{}]*\"\]|    n\d+\[\"[^\"`<%{}]*\"\]:::[a-z]+|  end|  [ns]\d+ --> [ns]\d+"
    r"|  n\d+\[\"[^\"`%{}]*<br>[^\"`<%{}]*\"\]:::[a-z]+|  classDef [a-z]+ [a-z0-9#:, -]+|  class [ns0-9,]+ [a-z]+"
)


def parse(texts: list[str]) -> list[str | None]:
    """What Mermaid says to each flowchart: None where it can be read."""
    node = shutil.which("node")
    is_there = bool(node) and (TOOL / "node_modules/mermaid").is_dir()
    require("mermaid", is_there, "install node, then `npm ci --ignore-scripts --prefix tests/tools/mermaid`")
    done = subprocess.run(
        [str(node), TOOL / "parse.mjs"], input=json.dumps(texts), capture_output=True, text=True, check=True
    )
    answers: list[str | None] = json.loads(done.stdout)
    return answers


def trap_plan() -> Plan:
    """One node for each text that could be taken for syntax, in stages named the same way."""
    words = [
        *FRAGMENTS,
        "end",
        "subgraph",
        "1. one",
        "- one",
        "* one",
        "style x fill:#f00;",
        "n0 --> n1",
        "a:::run",
        "#35;",
        "`md`",
    ]
    words = [word.replace("/", "∕") for word in words]
    nodes = tuple(
        Node(f"s{place % 3}{words[place % 3]}/{word}{place}", f"s{place % 3}{words[place % 3]}", "shell.exec", WHERE)
        for place, word in enumerate(words[:MAX_NODES])
    )
    return plan_of(tuple(stage(f"s{place}{words[place]}") for place in range(3)), nodes)


def samples() -> list[tuple[Plan, Receipt | None]]:
    return [
        (small_plan(), None),
        (mixed_plan(), None),
        (mixed_plan(), failed_receipt()),
        (large_plan(), None),
        (trap_plan(), None),
        (large_plan(MAX_NODES), None),
    ]


def test_mermaid_reads_every_flowchart() -> None:
    texts = [flowchart(plan, receipt) for plan, receipt in samples()]
    assert parse([*texts, 'flowchart LR\n  n0["never closed'])[:-1] == [None] * len(texts)


def test_mermaid_refuses_what_is_no_flowchart() -> None:
    assert parse(["flowchart LR\n  end((x"])[0] is not None


@settings(max_examples=80, deadline=None)
@given(hostile_plans())
def test_every_line_is_one_of_ours_whatever_the_names(plan: Plan) -> None:
    text = flowchart(plan)
    assert [line for line in text.split("\n") if line and not LINE.fullmatch(line)] == []


def test_hostile_names_of_a_whole_plan_are_labels_only() -> None:
    text = flowchart(trap_plan())
    assert [line for line in text.split("\n") if not LINE.fullmatch(line)] == []
    assert text.count("-->") == 0
    assert "click" not in re.sub(r'"[^"]*"', "", text)


def test_more_than_eighty_nodes_are_drawn_by_stage() -> None:
    assert 'n79["' in flowchart(large_plan(MAX_NODES))
    by_stage = flowchart(large_plan(MAX_NODES + 1))
    assert 'n0["region-0<br>' in by_stage
    assert "subgraph" not in by_stage


@given(st.integers(14, 30))
def test_edges_are_bounded_too(count: int) -> None:
    nodes = tuple(
        Node(f"main/n{place}", "main", "shell.exec", WHERE, needs=tuple(Need(f"main/n{each}") for each in range(place)))
        for place in range(count)
    )
    text = flowchart(plan_of((stage("main"),), nodes))
    assert text.count("-->") == (count * (count - 1) // 2 if count * (count - 1) // 2 <= MAX_EDGES else 0)


def test_too_many_stages_are_not_drawn_at_all() -> None:
    stages = tuple(stage(f"s{place}") for place in range(MAX_NODES + 1))
    nodes = tuple(Node(f"s{place}/n", f"s{place}", "shell.exec", WHERE) for place in range(MAX_NODES + 1))
    assert flowchart(plan_of(stages, nodes)) == ""


def test_a_promise_is_an_edge_and_two_reasons_are_one() -> None:
    first = Node("main/a", "main", "shell.exec", WHERE)
    second = Node("main/b", "main", "shell.exec", WHERE, env={"X": Promise("main/a", "tag")}, needs=(Need("main/a"),))
    text = flowchart(plan_of((stage("main"),), (first, replace(second, slots={"y": Promise("main/a")}))))
    assert text.count("n0 --> n1") == 1


def test_a_receipt_is_coloured_by_outcome_and_a_failure_stays_red_when_undone() -> None:
    text = flowchart(mixed_plan(), failed_receipt())
    assert '"rollout-eu-2"]:::bad' in text
    assert '"rollout-eu-1"]:::back' in text
    assert '"prune"]:::idle' in text
