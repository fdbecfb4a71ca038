"""Shows who may write what another writes or reads, and which edges follow from it; at scale too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.conflicts import Accesses, do_meet, settle
from shipway.errors import Position, Problem
from shipway.globs import globs_meet, match_glob
from shipway.nodes import Need, NeedKind, Node
from shipway.reachability import Reachability
from shipway.resources import Reach, at_path, declared
from shipway.vertices import build_graph
from tests.runs import Ran, call, declare, run, stage

many = settings(max_examples=300, deadline=None)


# What a person sees.


def test_g014_two_writers_of_one_file_with_no_order_between_them_are_refused(tmp_path: Path) -> None:
    declare(
        tmp_path,
        """
        steps:
          first: {uses: file.write, with: {path: out/x, content: a}}
          second: {uses: file.write, with: {path: ./out/x, content: b}}
        """,
    )
    called = call(tmp_path, "plan")
    assert called.exit_code == 2
    assert called.err.startswith(
        "shipway.yml:6:3: `main/first` (shipway.yml:5:3) and `main/second` both write `file:out/x`,"
        " and nothing says which comes first\n"
        "     6 |   second: {uses: file.write, with: {path: ./out/x, content: b}}\n"
        "       |   ^^^^^^ order them with `needs`\n"
    )


@pytest.mark.parametrize("order", ["needs: [first], ", "optional_needs: [first], "])
def test_g014_two_writers_in_an_order_are_fine_and_a_reader_comes_after_the_last(tmp_path: Path, order: str) -> None:
    ran = run(
        tmp_path,
        stage(f"""
            first: {{run: echo a > x, writes: [x]}}
            reader: {{run: cat x > seen, reads: [x]}}
            second: {{{order}run: echo b > x, writes: [x]}}
        """),
    )
    assert (tmp_path / "seen").read_text() == "b\n"
    assert needs(ran, "reader") == [Need("main/second", NeedKind.RESOURCE, "file:x")]


def test_g014_a_later_reader_gets_its_edge_and_the_plan_says_why(tmp_path: Path) -> None:
    declare(
        tmp_path,
        """
        stages:
          make: {steps: [{id: gen, run: ./gen, writes: [gen/**]}]}
          use: {steps: [{id: look, uses: file.source, with: {path: gen/a.txt}}]}
        """,
    )
    called = call(tmp_path, "plan")
    assert "make/gen (reads file:gen/**)" in called.out, called
    graph = call(tmp_path, "graph", "--to", "use/look", "-v")
    assert "waits for make/gen: what it writes (file:gen/**)" in graph.out + graph.err, graph


def test_who_comes_before_a_writer_already_reads_what_was_there_before(tmp_path: Path) -> None:
    ran = run(tmp_path, stage("- {id: look, run: 'true', reads: [x]}\n- {id: make, run: touch x, writes: [x]}"))
    assert needs(ran, "look") == []
    assert needs(ran, "make") == [Need("main/look", NeedKind.ORDER)]


def test_things_that_are_no_files_are_compared_by_name(tmp_path: Path) -> None:
    text = stage("""
        a: {run: ./up, writes: [db:shop]}
        b: {run: ./up, writes: [db:shop2, "queue:shop"]}
        c: {run: ./ask, reads: [db:shop]}
    """)
    ran = run(tmp_path, text, execute=False)
    assert needs(ran, "c") == [Need("main/a", NeedKind.RESOURCE, "db:shop")]
    assert ran.finished.plan is not None
    assert ran.finished.plan.by_id["main/c"].reads.patterns == ("**",), "nothing was said of files: the tree decides"


def test_a_path_that_only_the_run_tells_binds_nobody(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage("""
            name: {run: 'echo path=x >> "$SHIPWAY_OUTPUT"', outputs: {path: string}}
            a: {uses: file.write, with: {path: "${{ steps.name.outputs.path }}", content: a}}
            b: {uses: file.write, with: {path: x, content: b}, needs: [a]}
        """),
    )
    assert ran.exit_code == 0


def test_readers_and_writers_that_wait_for_each_other_are_refused(tmp_path: Path) -> None:
    text = stage("""
        a: {run: ./a, writes: [x], reads: [y]}
        b: {run: ./b, writes: [y], reads: [x]}
    """)
    ran = run(tmp_path, text)
    [problem] = ran.error.problems
    assert problem.text == (
        "these wait for each other: `main/a` → `main/b` (reads `file:x`) → `main/a` (reads `file:y`)"
    )
    assert problem.where is not None and problem.where.line == 8


def test_a_step_left_out_takes_its_edge_with_it(tmp_path: Path) -> None:
    declare(tmp_path, "steps: {a: {run: touch x, writes: [x]}, b: {run: 'true', reads: [x]}}\n")
    called = call(tmp_path, "plan", "--skip", "main/a", "--json")
    assert called.exit_code == 0 and "file:x" not in called.out, called


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("file.mkdir, with: {path: d}", "file.write, with: {path: d/x, content: a}", False),
        ("file.remove, with: {path: d}", "file.write, with: {path: d/x, content: a}", True),
        ("file.move, with: {source: d, path: e}", "file.write, with: {path: d/x, content: a}", True),
        ("file.backup, with: {path: d}", "file.exists, with: {path: d/x}", False),
        ("file.write, with: {path: d, content: a}", "file.write, with: {path: d2, content: a}", False),
        ("file.link, with: {source: d, path: l}", "file.link, with: {source: d, path: l}", True),
        ("file.copy, with: {source: shipway.yml, path: c}", "file.unlink, with: {path: c}", True),
    ],
)
def test_built_in_actions_say_what_they_write(tmp_path: Path, one: str, other: str, clash: bool) -> None:
    ran = run(tmp_path, stage(f"a: {{uses: {one}}}\nb: {{uses: {other}}}"), execute=False)
    if clash:
        [problem] = ran.error.problems
        assert "`main/a` (shipway.yml:7:7)" in problem.text and "which comes first" in problem.text
    else:
        assert ran.finished.plan is not None, ran.finished.error


def test_a_folder_is_made_before_anything_is_written_into_it(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        stage("""
            b: {uses: file.write, with: {path: d/e/x, content: a}}
            a: {uses: file.mkdir, with: {path: d/e, mode: "0700"}}
        """),
    )
    assert needs(ran, "b") == [Need("main/a", NeedKind.RESOURCE, "file:d/e")]
    assert (tmp_path / "d/e").stat().st_mode & 0o777 == 0o700


def test_an_absolute_path_into_the_workspace_is_the_same_file(tmp_path: Path) -> None:
    text = stage(f"""
        a: {{uses: file.write, with: {{path: {tmp_path}/x, content: a}}}}
        b: {{uses: file.write, with: {{path: x, content: b}}}}
    """)
    assert "both write `file:x`" in run(tmp_path, text).error.problems[0].text


def needs(ran: Ran, step: str) -> list[Need]:
    assert ran.finished.plan is not None, ran.finished.error
    return list(ran.finished.plan.by_id[f"main/{step}"].needs)


# Names.


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("dist", "dist/app.js", True),
        ("dist/", "dist", True),
        ("dist", "dist2", False),
        (".", "anything/at/all", True),
        ("dist/*.js", "dist/app.js", True),
        ("dist/*.js", "dist/app.css", False),
        ("dist/*.js", "dist/*.css", False),
        ("dist/*.js", "dist/app.*", True),
        ("**/*.js", "dist", True),
        ("src/**", "src", True),
        ("src/*/x", "src/a/*", True),
        ("src/[ab]*", "src/[b-c]?", True),
        ("src/[ab]", "src/[cd]", False),
        ("file:dist", "dist/x", True),
        ("db:shop", "db:shop", True),
        ("db:shop", "db:*", False),
        ("db:shop", "file:shop", False),
    ],
)
def test_two_names_meet_where_something_belongs_to_both(one: str, other: str, meet: bool) -> None:
    assert declared(one).meets(declared(other)) is declared(other).meets(declared(one)) is meet


@pytest.mark.parametrize(("path", "around"), [("a/b/c", ["a/b", "a"]), ("/a/b", ["/a"]), ("//a/b", ["//a"]), ("c", [])])
def test_a_file_is_in_the_folders_around_it(path: str, around: list[str]) -> None:
    assert list(at_path(path, Reach.ENTRY).ancestors()) == around


def test_an_action_s_path_has_no_special_characters() -> None:
    assert not at_path("a[1]/*.txt", Reach.ENTRY).meets(declared("a[1]/x.txt"))
    assert at_path("a[1]/*.txt", Reach.ENTRY).meets(declared("a[[]1]/*"))
    assert at_path("a[1]", Reach.TREE).meets(declared("a[[]1]/*"))


_names = st.text("ab/", min_size=1, max_size=6)
_globs = st.text("ab/*?", min_size=1, max_size=6)


@many
@given(_globs, _globs, st.lists(_names, min_size=30, max_size=60))
def test_patterns_that_name_the_same_path_meet(one: str, other: str, names: list[str]) -> None:
    if any(match_glob(name, one) and match_glob(name, other) for name in names):
        assert globs_meet(one, other) and globs_meet(other, one)


# The edges, against the plainest way to find them.


@many
@given(st.integers(0, 2**48))
def test_writers_are_in_one_line_and_readers_behind_them(seed: int) -> None:
    rng = Random(seed)
    nodes, accesses = _random_nodes(rng)
    settled, problems = _settled(nodes, accesses)
    before = _above({node.id: [need.node for need in node.needs] for node in nodes})
    clashes = {
        (one.id, other.id)
        for place, one in enumerate(nodes)
        for other in nodes[place + 1 :]
        if _meet(accesses[one.id].writes, accesses[other.id].writes)
        and one.id not in before[other.id]
        and other.id not in before[one.id]
    }
    assert bool(clashes) == any("comes first" in problem.text for problem in problems)
    if problems:
        return
    later = _above({node.id: [need.node for need in node.needs] for node in settled})
    for reader in settled:
        for writer in settled:
            if reader.id != writer.id and _meet(accesses[reader.id].reads, accesses[writer.id].writes):
                assert writer.id in later[reader.id] or reader.id in before[writer.id]
    added = {(need.node, node.id) for node in settled for need in node.needs if need.resource}
    assert all(writer not in before[reader] for writer, reader in added)


@many
@given(st.integers(0, 2**48))
def test_where_nobody_touches_what_another_writes_there_is_nothing_to_settle(seed: int) -> None:
    nodes, accesses = _random_nodes(Random(seed))
    few = {node.id: accesses[node.id] for node in nodes[: seed % 4]}
    if not do_meet(few):
        assert _settled(nodes, few) == (tuple(nodes), [])
    shared = [
        (one, other)
        for one in few
        for other in few
        if one != other and _meet(few[one].writes, (*few[other].writes, *few[other].reads))
    ]
    assert do_meet(few) or not shared


@given(st.integers(0, 2**48))
def test_paths_are_found_wherever_there_are_some(seed: int) -> None:
    rng = Random(seed)
    count = rng.randint(1, 30)
    after = [[late for late in range(place + 1, count) if rng.random() < 0.15] for place in range(count)]
    reach = Reachability(range(count), after)
    pairs = [(rng.randrange(count), rng.randrange(count)) for _ in range(40)]
    before: list[set[int]] = [set() for _ in range(count)]
    for place, followers in enumerate(after):
        for follower in followers:
            before[follower] |= {place} | before[place]
    assert reach.paths(pairs) == {(start, end) for start, end in pairs if start in before[end]}


def _random_nodes(rng: Random) -> tuple[list[Node], dict[str, Accesses]]:
    names = ("a", "a/b", "a/c", "a/**", "*", "q:x")
    nodes: list[Node] = []
    accesses: dict[str, Accesses] = {}
    for number in range(rng.randint(2, 9)):
        earlier = tuple(Need(node.id) for node in nodes if rng.random() < 0.5)
        nodes.append(Node(f"s/n{number}", "s", "shell.exec", Position("f", number + 1, 1), needs=earlier))
        written = tuple(declared(name) for name in names if rng.random() < 0.08)
        accesses[f"s/n{number}"] = Accesses(written, tuple(declared(name) for name in names if rng.random() < 0.15))
    rng.shuffle(nodes)
    return nodes, accesses


def _settled(nodes: Sequence[Node], accesses: Mapping[str, Accesses]) -> tuple[tuple[Node, ...], list[Problem]]:
    return settle(nodes, accesses, build_graph(nodes, {"s": ()}))


def _above(needs: Mapping[str, Sequence[str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}

    def visit(node: str) -> set[str]:
        if node not in found:
            found[node] = set(needs[node]).union(*(visit(need) for need in needs[node]))
        return found[node]

    for node in needs:
        visit(node)
    return found


def _meet(some: Sequence[object], others: Sequence[object]) -> bool:
    return any(one.meets(other) for one in some for other in others)  # type: ignore[attr-defined]


def test_tens_of_thousands_of_nodes_are_settled() -> None:
    count = 20_000
    writers = [Node(f"s/w{n}", "s", "file.write", Position("f", 1, 1)) for n in range(count)]
    readers = [Node(f"s/r{n}", "s", "file.source", Position("f", 1, 1)) for n in range(count)]
    last = Node("s/all", "s", "shell.exec", Position("f", 1, 1))
    accesses = {node.id: Accesses((at_path(f"out/{n // 100}/{n}", Reach.ENTRY),)) for n, node in enumerate(writers)}
    accesses |= {node.id: Accesses((), (at_path(f"out/{n // 100}/{n}", Reach.TREE),)) for n, node in enumerate(readers)}
    accesses["s/all"] = Accesses((), (declared("out/**"),))
    settled, problems = _settled([*writers, *readers, last], accesses)
    assert not problems
    assert [len(node.needs) for node in settled] == [0] * count + [1] * count + [count]
