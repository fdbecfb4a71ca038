"""Texts that try to be more than text, and plans made of them."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from shipway.declaration import Retry, Rollback
from shipway.nodes import Change, Computed, Fidelity, Immediate, Need, Node, Outcome, Promise, Slot
from shipway.plan import Plan
from shipway.receipt import Attempt, NodeResult, RanBy, Receipt, RollbackEntry, RunOutcome, StageResult
from tests.render_samples import WHERE, plan_of, stage

MARKER = f"<!-- shipway:v1 id={'0' * 64} at=2026-11-22T10:00:00Z run=1.1 head=x effect=sha256:{'0' * 64} -->"

FRAGMENTS = (
    *(
        "`",
        "``",
        "```",
        "````\n",
        "~~~\n",
        "\n```\n",
        "\n\n",
        "\n",
        "\r",
        "\u2028",
        "\t",
        "\\",
        "|",
        "\\|",
        " | a | b |\n|---|---|\n",
    ),
    *(
        "</details>",
        "<details>",
        "</summary>",
        "<script>alert(1)</script>",
        "<img src=http://e.example/x.png>",
        "<b>",
        "</code>",
    ),
    *("<!--", "-->", "<!-", MARKER, f"\n{MARKER}\n", "::set-output name=a::b", "##[group]x", "\n::add-mask::x"),
    *("@org/team", "@mona", "#12", "GH-7", "org/repo#3", "0123456789abcdef0123456789abcdef01234567", "a@b.example"),
    *(
        "![x](http://e.example/x.png)",
        "[l](http://e.example)",
        "http://evil.example",
        "www.evil.example",
        "<http://e.example>",
    ),
    *(
        "\x1b[31m",
        "\x1b]8;;http://e.example\x07",
        "\x1b[2J",
        "\x00",
        "\x9b31m",
        "\u202e",
        "\u200b",
        "\ufeff",
        "\U000e0041",
    ),
    *("\n# title", "\n- item", "\n> quote", "1. one", "***", "_x_", "~~x~~", "&lt;", "&#64;mona", "$x$", ":tada:"),
    # What GitLab makes references of, or obeys.
    *("!12", "&3", "%milestone", "~label", "$7", "[issue:5]", "\n/close\n", "\n\r/merge", "/approve", "[[_TOC_]]"),
    *("%%{init: {}}%%", '"]', "end", "click n0", "😀", "日本語", "e\u0301"),
)

_snippets = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
hostile_text = st.lists(st.sampled_from(FRAGMENTS) | _snippets, max_size=5).map("".join)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | hostile_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hostile_text, inner, max_size=3),
    max_leaves=6,
)


def obeyed(log: str) -> list[str]:
    """The commands that GitHub's runner would obey in `log`: after leading space `::name`, and `##[name` anywhere."""
    found: list[str] = []
    word = ""
    for line in re.split("\r\n|\r|\n", log):
        match = re.match(r"\s*::([^:]*)::(.*)|.*?##\[([^\]]*)\]", line)
        name = (match[1] or match[3] or "").split(" ")[0] if match else ""
        if word:
            word = "" if name == word else word
        elif name == "stop-commands" and match:
            word = match[2]
            found.append(name)
        elif match:
            found.append(name)
    return [*found, *([f"never resumed: {word}"] if word else [])]


def nasty_plan(size: int) -> Plan:
    """A plan of more than `size` bytes made of what breaks comments."""
    nasty = f"`` ``` ```` </details> 😀 \x1b[31m @org/team #12 ![x](http://e/x.png)\n{MARKER}\n::set-output name=a::b\n"
    nodes = tuple(
        Node(
            f"main/step-{place}",
            "main",
            "shell.exec",
            WHERE,
            title=nasty,
            change=(Change.DELETE, Change.UPDATE, Change.NOOP)[place % 3],
            fidelity=Fidelity.EXACT,
            before=nasty * 40,
            after={"text": nasty * 40},
        )
        for place in range(size // (len(nasty.encode()) * 80) + 1)
    )
    return plan_of((stage("main"),), nodes)


@st.composite
def hostile_nodes(draw: st.DrawFn, place: int, stages: tuple[str, ...], earlier: tuple[str, ...]) -> Node:
    owner = draw(st.sampled_from(stages))
    needs = draw(st.lists(st.sampled_from(earlier), max_size=2, unique=True)) if earlier else []
    env: dict[str, Slot] = {
        draw(hostile_text): draw(st.one_of(hostile_text.map(Immediate), hostile_text.map(Computed)))
    }
    if earlier:
        env["TAKEN"] = Promise(draw(st.sampled_from(earlier)), draw(hostile_text))
    return Node(
        f"{owner}/step{place}{draw(hostile_text)}",
        owner,
        draw(hostile_text),
        WHERE,
        title=draw(hostile_text),
        slots={"run": Immediate(draw(hostile_text)), "undo": Immediate(draw(hostile_text))},
        env=env,
        env_from=(draw(hostile_text),),
        needs=tuple(map(Need, needs)),
        condition=draw(st.none() | hostile_text),
        change=draw(st.sampled_from(Change)),
        fidelity=draw(st.sampled_from(Fidelity)),
        why=draw(hostile_text),
        before=draw(values),
        after=draw(values),
        predicted={draw(hostile_text): draw(values)},
        lasting=draw(st.booleans()),
        reversible=draw(st.booleans()),
        retry=Retry(attempts=draw(st.integers(1, 3))),
        limits=(draw(hostile_text),),
    )


@st.composite
def hostile_plans(draw: st.DrawFn, max_nodes: int = 6) -> Plan:
    """Plans in which every text that a schema does not restrict, and most that it does, is hostile."""
    stages = tuple(f"s{place}{draw(hostile_text).replace('/', '')}" for place in range(draw(st.integers(1, 2))))
    nodes: list[Node] = []
    for place in range(draw(st.integers(0, max_nodes))):
        nodes.append(draw(hostile_nodes(place, stages, tuple(node.id for node in nodes))))
    plan = plan_of(tuple(map(stage, stages)), tuple(nodes), draw(hostile_text), draw(hostile_text))
    return Plan(
        plan.lifecycle,
        plan.target,
        plan.platform,
        plan.source,
        plan.shipway,
        plan.stages,
        plan.nodes,
        rollback=draw(st.sampled_from(Rollback)),
    )


@st.composite
def hostile_receipts(draw: st.DrawFn, plan: Plan) -> Receipt:
    """A receipt of `plan` in which every text is hostile."""
    nodes = tuple(draw(_results(node)) for node in plan.nodes)
    rollback = tuple(
        RollbackEntry(
            node.id, node.stage, draw(st.sampled_from((Outcome.UNDONE, Outcome.UNDO_FAILED))), 1, 2, draw(hostile_text)
        )
        for node in plan.nodes
        if draw(st.booleans())
    )
    return Receipt(
        lifecycle=plan.lifecycle,
        target=plan.target,
        run=draw(hostile_text),
        plan_digest=plan.digest,
        effect=plan.effect,
        started="2026-11-22T10:15:00Z",
        ended="2026-11-22T10:16:00Z",
        duration_ms=60_000,
        outcome=draw(st.sampled_from(RunOutcome)),
        nodes=nodes,
        stages=tuple(StageResult(each.id, Outcome.FAILED) for each in plan.stages),
        rollback=rollback,
        by=RanBy("ci", actor=draw(hostile_text), commit=draw(hostile_text)),
        shipway="1.0.0",
        platform="linux-x86_64",
        critical_path=tuple(node.id for node in plan.nodes),
        parallelism_thousandths=draw(st.integers(0, 9_000)),
        warnings=(draw(hostile_text),),
        error=draw(hostile_text),
    )


@st.composite
def _results(draw: st.DrawFn, node: Node) -> NodeResult:
    outcome = draw(st.sampled_from(Outcome))
    attempts = tuple(
        Attempt(
            number,
            draw(st.sampled_from(Outcome)),
            number,
            number + 5,
            draw(hostile_text),
            draw(st.none() | st.integers(0, 255)),
        )
        for number in range(1, draw(st.integers(1, 4)))
    )
    return NodeResult(
        node.id,
        outcome,
        attempts,
        started_ms=0 if attempts else None,
        ended_ms=9 if attempts else None,
        cause=draw(hostile_text),
        error=draw(hostile_text),
        warning=draw(hostile_text),
        outputs={draw(hostile_text): draw(values)},
        tail=draw(hostile_text),
        log=draw(hostile_text),
    )
