"""Plans and receipts as files: schemas that say exactly what is written, seals, round trips, differences, effects."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import TypeAlias

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shipway import schema
from shipway.approvals import ApprovalRule
from shipway.canonical import Json, canonical_bytes, digest, object_of
from shipway.declaration import Backoff, OnCancel, OnFailure, OutputRule, Retry, Rollback, StateRule, StateStore
from shipway.effect_differences import differences
from shipway.errors import Position, Reason, ShipwayError, UnreachableError, UsageError, VerificationError
from shipway.hooks import HookRule
from shipway.limits import Limit, Rate
from shipway.node_json import effect_json
from shipway.nodes import (
    Change,
    Computed,
    Fidelity,
    Gather,
    Immediate,
    Need,
    NeedKind,
    Node,
    Outcome,
    Promise,
    Reads,
    Slot,
)
from shipway.plan import Durability, Plan, PlannedSource, PlannedStage
from shipway.plan_file import load_plan
from shipway.policies import Decision, Policy, Verdict
from shipway.preflight import Finding, Stands, Status
from shipway.receipt import Attempt, NodeResult, RanBy, Receipt, RollbackEntry, RunOutcome, StageResult, file_name
from shipway.receipt_file import load_receipt
from shipway.weakenings import Rule, Weakening
from shipway.workspace import Workspace, write_atomically
from tests.runs import call, declare

Schema: TypeAlias = Mapping[str, "Json"]

WHERE = Position("shipway.yml", 3, 5)
DIGEST = "sha256:" + "5" * 64
SOURCE = PlannedSource("shipway.yml", ("shipway.yml", "shipway.prod.yml"), DIGEST, "acme/shop", "c" * 40, "d" * 40)


def _node(name: str, stage: str = "build", **more: object) -> Node:
    return replace(Node(f"{stage}/{name}", stage, "shell.exec", WHERE), **more)


def _plan(*nodes: Node, **more: object) -> Plan:
    stages = tuple(
        PlannedStage(name, "steps", "shell", 1, WHERE) for name in dict.fromkeys(node.stage for node in nodes)
    )
    plan = Plan("shop", "prod", "linux/amd64", SOURCE, "1.0.0", stages, nodes)
    return replace(plan, **more)


def _check(kind: schema.Kind, data: Mapping[str, Json]) -> None:
    found = schema.check(kind, data)
    assert not found, found


def _reload(plan: Plan) -> Plan:
    return load_plan(canonical_bytes(plan.document), lambda data: _check("plan", data))


# Random plans and receipts that use every field.

_JSON: tuple[Json, ...] = (None, True, -(2**53 - 1), 2**53 - 1, 1.5, 1e20, "", "é\u2028\x00", [[], {"a": [None]}], {})


def _random_plan(seed: int, size: int) -> Plan:
    rng = Random(seed)
    nodes: list[Node] = []
    for number in range(size):
        nodes.append(_random_node(rng, number, nodes))
    used = dict.fromkeys(node.stage for node in nodes)
    stages = tuple(_random_stage(rng, name, list(used)[:place]) for place, name in enumerate(used))
    return Plan(
        "shop",
        "prod",
        "linux/amd64",
        rng.choice((SOURCE, PlannedSource("shipway.yml", ("shipway.yml",), DIGEST, dirty=True))),
        "1.0.0",
        stages,
        tuple(nodes),
        rng.choice(((), ("TOKEN",))),
        _random_limits(rng),
        rng.randint(0, 3),
        rng.choice(list(OnFailure)),
        rng.choice(list(Rollback)),
        rng.choice((None, *OnCancel)),
        preflight=tuple(_random_finding(rng, node.id) for node in nodes if rng.random() < 0.5),
    )


def _random_finding(rng: Random, node: str) -> Finding:
    return Finding(
        node,
        "out",
        rng.choice(list(Stands)),
        rng.choice((None, *Status)),
        rng.choice(("", "stop", "skip")),
        rng.choice((None, 8)),
        rng.choice((None, "a/b")),
        rng.choice(("", "file 0644 0")),
        rng.choice(((), ("a", "b"))),
    )


def _random_limits(rng: Random) -> dict[str, Limit]:
    rates = (None, Rate(rng.randint(1, 9), rng.randint(1, 9), rng.randint(1, 9)))
    return {"docker": Limit(rng.randint(1, 9), rng.choice(rates))} if rng.random() < 0.7 else {}


def _random_node(rng: Random, number: int, earlier: Sequence[Node]) -> Node:
    stage = f"s{min(2, number // 3)}"
    inside = [node.id for node in earlier if node.stage == stage]
    return Node(
        f"{stage}/n{number}",
        stage,
        rng.choice(("shell.exec", "file.write")),
        Position("shipway.yml", rng.randint(1, 99), rng.randint(1, 99)),
        rng.choice(("", "a title")),
        rng.choice(((), ("slow",))),
        {name: _random_slot(rng, inside) for name in rng.sample(["run", "path", "content"], rng.randint(0, 3))},
        {name: _random_slot(rng, inside) for name in rng.sample(["A", "B"], rng.randint(0, 2))},
        rng.choice(((), ("AWS_*",))),
        tuple(
            Need(node, rng.choice([kind for kind in NeedKind if kind is not NeedKind.WITHIN]))
            for node in inside
            if rng.random() < 0.5
        ),
        rng.choice((None, "failure()")),
        rng.choice(({}, {"o": OutputRule("secret", required=False)})),
        rng.choice(list(Change)),
        rng.choice(list(Fidelity)),
        rng.choice(("", "waits for `x`")),
        rng.choice(_JSON),
        rng.choice(_JSON),
        rng.choice(({}, {"o": rng.choice(_JSON)})),
        rng.random() < 0.5,
        rng.random() < 0.5,
        Retry(
            rng.randint(1, 3), rng.choice(list(Backoff)), rng.randint(0, 9), rng.choice((None, 9)), rng.randint(0, 100)
        ),
        rng.randint(0, 9),
        Retry(rng.randint(1, 3)),
        rng.randint(0, 9),
        rng.choice(((), ("docker",))),
        rng.random() < 0.2,
        rng.random() < 0.2,
        rng.choice((Reads((), ""), Reads(("src/**",), DIGEST))),
    )


def _random_slot(rng: Random, inside: Sequence[str]) -> Slot:
    if inside and rng.random() < 0.3:
        return Promise(rng.choice(inside), rng.choice((None, "o")))
    return rng.choice((Immediate(rng.choice(_JSON)), Computed("${{ secrets.TOKEN }}"), Computed(["${{ github.sha }}"])))


def _random_stage(rng: Random, name: str, before: Sequence[str]) -> PlannedStage:
    return PlannedStage(
        name,
        "steps",
        "shell",
        rng.randint(0, 3),
        WHERE,
        tuple(other for other in before if rng.random() < 0.5),
        rng.choice((None, "always()")),
        rng.choice(({}, {"roots": ["a"]})),
        rng.choice(list(OnFailure)),
        rng.choice((None, *Rollback)),
        rng.randint(0, 2),
        tuple(_node(f"c{number}", f"{name}.compensate") for number in range(rng.randint(0, 2))),
        Retry(rng.randint(1, 3)),
    )


def _random_receipt(seed: int, size: int) -> Receipt:
    rng = Random(seed)
    plan = _random_plan(seed, size)
    return Receipt(
        plan.lifecycle,
        plan.target,
        "r1",
        rng.choice((None, plan.digest)),
        rng.choice((None, plan.effect)),
        "2026-11-22T08:00:00Z",
        "2026-11-22T08:00:01Z",
        1000,
        rng.choice(list(RunOutcome)),
        tuple(_random_result(rng, node.id) for node in plan.nodes),
        tuple(StageResult(stage.id, rng.choice(list(Outcome)), rng.randint(1, 3)) for stage in plan.stages),
        tuple(
            RollbackEntry(
                node.id,
                node.stage,
                rng.choice((Outcome.UNDONE, Outcome.UNDO_FAILED)),
                1,
                2,
                "e",
                1,
                left=rng.choice(((), ("home/a",))),
            )
            for node in plan.nodes
        ),
        rng.choice((RanBy("local"), RanBy("ci", "ann", "github", "acme/shop", "12", 1, "https://x", "c" * 40))),
        "1.0.0",
        "linux/amd64",
        rng.choice(({}, {"commit": None, "tree": None, "dirty": True, "file": "shipway.yml"})),
        tuple(node.id for node in plan.nodes[:1]),
        5,
        1500,
        2,
        rng.choice(((), ("careful",))),
        rng.choice(("", "plan: no")),
        rng.choice((None, plan.effect)),
    )


def _random_result(rng: Random, node: str) -> NodeResult:
    ran = rng.random() < 0.7
    return NodeResult(
        node,
        rng.choice(list(Outcome)),
        tuple(
            Attempt(
                n,
                rng.choice(list(Outcome)),
                1,
                2,
                "e",
                rng.choice((None, 3)),
                rng.choice(("", "exit")),
                rng.choice((None, Outcome.UNDONE)),
            )
            for n in range(1, 3)
            if ran
        ),
        rng.choice((None, 0)) if ran else None,
        1 if ran else None,
        2 if ran else None,
        rng.choice(("", "limit docker")),
        rng.choice(("", "build/n0")),
        rng.choice(("", "exit 1")),
        rng.choice(("", "careful")),
        rng.choice((None, *Change)),
        {"o": rng.choice(_JSON)} if ran else {},
        "tail" if ran else "",
        "n.log" if ran else "",
    )


plans = st.builds(_random_plan, st.integers(0, 2**48), st.integers(0, 8))
receipts = st.builds(_random_receipt, st.integers(0, 2**48), st.integers(0, 6))
some = settings(max_examples=80, deadline=None)


# The schemas and what is written.


@pytest.mark.parametrize("kind", ["plan", "receipt"])
def test_a_schema_is_valid_strict_and_described(kind: schema.Kind) -> None:
    text = json.loads(schema.schema_text(kind))
    jsonschema.Draft202012Validator.check_schema(text)
    assert text["$id"] == f"https://shipway.dev/schemas/{kind}-1.schema.json"
    for path, rules in _schemas(text):
        assert rules.get("description"), f"no description at {path}"
        if "properties" in rules:
            assert rules["additionalProperties"] is False, path
            assert set(object_of(rules["properties"])) == set(_texts(rules.get("required"))), path


def _schemas(rules: Schema, path: str = "$") -> Iterator[tuple[str, Schema]]:
    """Every object and property in a schema; alternatives of one property are described by it."""
    yield path, rules
    for key in ("properties", "$defs"):
        for name, inner in object_of(rules.get(key) or {}).items():
            if "$ref" not in object_of(inner):
                yield from _schemas(object_of(inner), f"{path}.{name}")


def _texts(value: Json) -> list[str]:
    return [str(item) for item in value] if isinstance(value, Sequence) else []


@some
@given(plans)
def test_whatever_plan_is_written_its_fields_are_those_of_the_schema(plan: Plan) -> None:
    document = json.loads(canonical_bytes(plan.document))
    _check("plan", document)
    _same_fields("plan", document)


@some
@given(receipts)
def test_whatever_receipt_is_written_its_fields_are_those_of_the_schema(receipt: Receipt) -> None:
    document = json.loads(canonical_bytes(receipt.document))
    _check("receipt", document)
    _same_fields("receipt", document)


def _same_fields(kind: schema.Kind, document: Json) -> None:
    root = json.loads(schema.schema_text(kind))

    def walk(rules: Schema, value: Json, path: str) -> None:
        while "$ref" in rules:
            rules = object_of(object_of(root["$defs"])[str(rules["$ref"]).removeprefix("#/$defs/")])
        if isinstance(value, Mapping):
            properties = object_of(rules.get("properties") or {})
            if properties:
                assert set(value) == set(properties), path
            for name, inner in value.items():
                also = rules.get("additionalProperties")
                found = properties.get(name, also if isinstance(also, Mapping) else {})
                walk(object_of(found), inner, f"{path}.{name}")
        elif isinstance(value, Sequence) and not isinstance(value, str) and "items" in rules:
            for place, item in enumerate(value):
                walk(object_of(rules["items"]), item, f"{path}[{place}]")

    walk(root, document, "$")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("plan", [OnFailure, Rollback, OnCancel, Change, Fidelity, NeedKind, Backoff]),
        ("receipt", [Outcome, RunOutcome, Change]),
    ],
)
def test_closed_lists_of_words_are_the_enums(kind: schema.Kind, words: Sequence[type[StrEnum]]) -> None:
    listed = {
        frozenset(item for item in found if item is not None) for found in _enums(json.loads(schema.schema_text(kind)))
    }
    for enum in words:
        assert frozenset(word.value for word in enum) in listed, enum.__name__


def _enums(rules: Json) -> Iterator[Sequence[Json]]:
    if isinstance(rules, Mapping):
        if isinstance(rules.get("enum"), Sequence):
            yield _items(rules["enum"])
        for inner in rules.values():
            yield from _enums(inner)
    elif isinstance(rules, Sequence) and not isinstance(rules, str):
        for inner in rules:
            yield from _enums(inner)


def _items(value: Json) -> Sequence[Json]:
    assert isinstance(value, Sequence)
    return value


@some
@given(plans, st.randoms(use_true_random=False))
def test_a_field_too_many_or_too_few_is_refused(plan: Plan, rng: Random) -> None:
    document = json.loads(canonical_bytes(plan.document))
    holder = rng.choice(
        [document, document["source"], document["on_rollback"], *document["nodes"], *document["stages"]]
    )
    gone = rng.choice(sorted(holder))
    kept = holder.pop(gone)
    assert schema.check("plan", document), f"without `{gone}`"
    holder[gone] = kept
    holder["more"] = 1
    assert schema.check("plan", document)


def test_g008_a_slot_of_two_forms_is_refused() -> None:
    document = json.loads(canonical_bytes(_plan(_node("a", slots={"run": Immediate("x")})).document))
    document["nodes"][0]["slots"]["run"] = {"value": "x", "node": "build/a", "output": None}
    assert schema.check("plan", document)


_REAL = """\
secrets: [TOKEN]
limits: {docker: {parallel: 2, rate: 10/1m, burst: 3}}
stages:
  build:
    lasting: false
    steps:
      - id: image
        run: echo tag=1.5 >> "$SHIPWAY_OUTPUT"; echo "$TOKEN"
        outputs: {tag: string}
        env: {TOKEN: "${{ secrets.TOKEN }}"}
        limits: [docker]
        retry: 2
  release:
    env: {TAG: "${{ stages.build.outputs.tag }}"}
    steps:
      - {id: write, uses: file.write, with: {path: out.txt, content: hello}}
      - {id: up, run: touch up, undo: rm up, verify: test -e up || exit 3}
      - {id: smoke, run: "test -e fine", lasting: false}
      - {id: after, run: "true", lasting: false}
"""


@pytest.mark.parametrize(("fine", "exit_code"), [(True, 0), (False, 1)])
def test_g074_real_plans_and_receipts_are_valid_and_planning_twice_gives_the_same_bytes(
    tmp_path: Path, fine: bool, exit_code: int
) -> None:
    declare(tmp_path, _REAL)
    if fine:
        (tmp_path / "fine").touch()
    env = {"TOKEN": "hunter2hunter2"}
    for name in ("one.json", "two.json"):
        called = call(tmp_path, "plan", "-o", f"../{name}", env=env)
        assert called.exit_code == 0, called
    content = (tmp_path.parent / "one.json").read_bytes()
    assert content == (tmp_path.parent / "two.json").read_bytes()
    assert b"hunter2" not in content
    document = json.loads(content)
    _check("plan", document)
    _same_fields("plan", document)
    called = call(tmp_path, "apply", "../one.json", env=env)
    assert called.exit_code == exit_code, called
    [kept] = (tmp_path / ".shipway/receipts").glob("*.json")
    receipt = json.loads(kept.read_bytes())
    _check("receipt", receipt)
    _same_fields("receipt", receipt)
    assert receipt["plan"] == document["digest"]
    assert [node["id"] for node in receipt["nodes"]] == [node["id"] for node in document["nodes"]]
    assert kept.name.startswith("test-default-")
    assert kept.stat().st_mode & 0o777 == 0o600
    again = call(tmp_path, "apply", f".shipway/receipts/{kept.name}", env=env)
    assert (again.exit_code, "not a plan" in again.err) == (2, True), again


def test_g070_g071_planning_leaves_everything_as_it_was(tmp_path: Path) -> None:
    declare(tmp_path, _REAL)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    called = call(tmp_path, "plan", "--json")
    assert called.exit_code == 0, called
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert "outcome" not in json.loads(called.out)
    assert all("outcome" not in node for node in json.loads(called.out)["nodes"])


# Round trips and seals.


def test_a_large_number_in_an_environment_is_written_as_the_canonical_form_has_it() -> None:
    plan = _plan(replace(_node("a"), env={"A": Immediate(1e20)}))
    assert b'"A":{"value":100000000000000000000}' in plan.content
    assert load_plan(plan.content, lambda data: None).digest == plan.digest


@some
@given(plans)
def test_g074_g076_a_plan_survives_being_written_and_read(plan: Plan) -> None:
    again = _reload(plan)
    assert again == plan
    assert (again.digest, again.effect) == (plan.digest, plan.effect)
    assert canonical_bytes(again.document) == canonical_bytes(plan.document)


@some
@given(receipts)
def test_a_receipt_survives_being_written_and_read(receipt: Receipt) -> None:
    content = canonical_bytes(receipt.document)
    again = load_receipt(content, lambda data: _check("receipt", data))
    assert again == receipt
    assert canonical_bytes(again.document) == content


@some
@given(plans, st.randoms(use_true_random=False))
def test_g077_g083_any_change_of_a_field_breaks_the_seal(plan: Plan, rng: Random) -> None:
    document = json.loads(json.dumps(plan.document))
    holder = rng.choice(
        [document, document["source"], document["on_rollback"], *document["nodes"], *document["stages"]]
    )
    field = rng.choice(sorted(holder))
    holder[field] = "other" if holder[field] != "other" else "another"
    with pytest.raises(VerificationError) as caught:
        load_plan(canonical_bytes(document), lambda data: None)
    assert caught.value.exit_code == 5


def test_g083_an_effect_that_is_not_that_of_the_nodes_is_refused_although_the_seal_is_whole() -> None:
    document = {**_plan(_node("a")).document, "effect": DIGEST}
    document["digest"] = digest(document)
    with pytest.raises(VerificationError) as caught:
        load_plan(canonical_bytes(document), lambda data: None)
    assert caught.value.reason is Reason.PLAN_DIGEST


def test_g077_the_digest_is_checked_before_version_and_schema() -> None:
    asked: list[str] = []
    document: dict[str, Json] = {**_plan(_node("a")).document, "schema": 2}
    with pytest.raises(VerificationError):
        load_plan(canonical_bytes(document), lambda data: asked.append("schema"))
    document["digest"] = digest(document)
    with pytest.raises(UsageError, match="supported: 1"):
        load_plan(canonical_bytes(document), lambda data: asked.append("schema"))
    assert asked == []


def test_g075_a_loaded_plan_holds_names_and_one_that_is_not_planned_now_is_refused_by_node(tmp_path: Path) -> None:
    declare(tmp_path, "steps: [{id: a, run: 'true'}]\n")
    assert call(tmp_path, "plan", "-o", "../plan.json").exit_code == 0
    content = (tmp_path.parent / "plan.json").read_bytes()
    plan = load_plan(content, lambda data: _check("plan", data))
    other = replace(plan, nodes=(replace(plan.nodes[0], action="shell.exce"),))
    (tmp_path.parent / "plan.json").write_bytes(canonical_bytes(other.document))
    called = call(tmp_path, "apply", "../plan.json")
    assert (called.exit_code, "main/a: action" in called.err) == (5, True), called


# Names, and files that are there whole or not at all.


def test_g078_receipt_names_sort_by_time_and_never_repeat() -> None:
    moments = ["2026-11-22T08:00:00Z", "2026-11-22T08:00:01.250Z", "2026-11-22T10:00:00Z", "2027-01-01T00:00:00Z"]
    names = [file_name("shop", "prod", moment, "r1") for moment in moments]
    assert names == sorted(names)
    assert names[1] == "shop-prod-20261122T080001Z-r1.json"
    assert file_name("shop", "prod", moments[0], "r2") != names[0]


_KILLED = """
import os, sys
from pathlib import Path
from shipway.workspace import write_atomically
os.fsync = lambda descriptor: os.kill(os.getpid(), 9)  # all is written, nothing is renamed
write_atomically(Path(sys.argv[1]), b"new" * 100_000)
"""


@pytest.mark.parametrize("old", [None, b"old"])
def test_g079_killed_before_the_rename_leaves_the_old_file_or_none(tmp_path: Path, old: bytes | None) -> None:
    path = tmp_path / "receipt.json"
    if old is not None:
        path.write_bytes(old)
    done = subprocess.run([sys.executable, "-c", _KILLED, str(path)], check=False)
    assert done.returncode == -9
    assert (path.read_bytes() if path.exists() else None) == old
    assert [found.name for found in tmp_path.glob("*.json")] == ([] if old is None else ["receipt.json"])
    write_atomically(path, b"newer")
    assert path.read_bytes() == b"newer"


def test_g079_half_a_receipt_is_never_taken_for_the_latest(tmp_path: Path) -> None:
    declare(tmp_path, "steps: [{id: a, run: 'true', lasting: false}]\n")
    assert call(tmp_path, "run", "--yes").exit_code == 0
    [whole] = Workspace(tmp_path).receipts.glob("*.json")
    (whole.parent / f".{whole.name}.abc").write_bytes(b'{"half')
    shown = call(tmp_path, "show", "--format", "json")
    assert (shown.exit_code, shown.out.encode()) == (0, whole.read_bytes()), shown


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UnreachableError):
        write_atomically(tmp_path / "folder", b"x")
    assert os.listdir(tmp_path) == ["folder"]


# Effects and differences.

_NODE = _node("a", slots={"run": Immediate("make")}, env={"A": Immediate("1")}, needs=(Need("build/z"),))

_NODE_CHANGES: dict[str, tuple[object, bool]] = {
    "id": ("build/b", True),
    "stage": ("other", False),
    "action": ("file.write", True),
    "position": (Position("x.yml", 9, 9), False),
    "title": ("other", False),
    "tags": (("slow",), False),
    "slots": ({"run": Immediate("make all")}, True),
    "env": ({"A": Immediate("2")}, True),
    "env_from": (("AWS_*",), True),
    "needs": ((Need("build/y"),), True),
    "condition": ("always()", True),
    "outputs": ({"o": OutputRule("string")}, True),
    "change": (Change.NOOP, False),
    "fidelity": (Fidelity.EXACT, False),
    "why": ("other", False),
    "before": ({"x": 1}, False),
    "after": ({"x": 1}, False),
    "predicted": ({"o": 1}, False),
    "lasting": (False, True),
    "reversible": (True, False),
    "retry": (Retry(attempts=2), True),
    "timeout_ms": (1, True),
    "undo_retry": (Retry(attempts=2), True),
    "undo_timeout_ms": (1, True),
    "limits": (("docker",), True),
    "locks": (("db",), True),
    "exclusive": (True, True),
    "allow_failure": (True, True),
    "gather": (Gather(("a", "b"), 2), True),
    "templates": ({"t": (Node("build/a[?]", "build", "shell.exec", Position("x.yml", 1, 1)),)}, True),
    "emits": (3, True),
    "every_ms": (5_000, True),
    "privileged": (True, True),
    "dedup": ("once", True),
    "oidc": (("sts.amazonaws.com",), True),
    "facts": ({"layer": "base"}, False),
    "reads": (Reads(("**",), DIGEST), True),
}
_STAGE_CHANGES: dict[str, tuple[object, bool]] = {
    "id": ("other", True),
    "mode": ("files", True),
    "backend": ("other", True),
    "contract": (2, True),
    "position": (Position("x.yml", 9, 9), False),
    "needs": (("before",), True),
    "condition": ("always()", True),
    "context": ({"root": "x"}, True),
    "on_failure": (OnFailure.CANCEL, True),
    "rollback": (Rollback.NONE, True),
    "parallel": (2, False),
    "compensation": ((_node("sorry", "build.compensate"),), True),
    "retry": (Retry(attempts=2), True),
    "approval": (ApprovalRule(), True),
    "policies": ((Policy("sure", Position("x.yml", 1, 1), deny_opaque=True),), True),
}
_PLAN_CHANGES: dict[str, tuple[object, bool]] = {
    "lifecycle": ("other", True),
    "target": ("other", True),
    "platform": ("darwin/arm64", False),
    "source": (replace(SOURCE, commit="e" * 40, tree="f" * 40, declaration="sha256:" + "6" * 64, dirty=True), False),
    "shipway": ("9.9.9", False),
    "stages": ((), True),
    "nodes": ((), True),
    "secrets": (("TOKEN",), False),
    "limits": ({"docker": Limit(3)}, True),
    "parallel": (3, False),
    "on_failure": (OnFailure.CONTINUE, True),
    "rollback": (Rollback.NONE, True),
    "on_cancel": (OnCancel.UNDO, False),
    "locks": (("db",), True),
    "is_locked": (False, True),
    "durability": (Durability.MACHINE, False),
    "weakens": ((Weakening(Rule.LOCK, "db", "lock `db` would not be held"),), False),
    "policies": ((Policy("sure", Position("x.yml", 1, 1), deny_opaque=True),), True),
    "state": (StateRule(StateStore.GIT), True),
    "hooks": ((HookRule(Position("x.yml", 1, 1), uses="statsd"),), True),
    "preflight": ((Finding("b/n", "out", Stands.FILE, Status.CONFLICT, "stop", 3, None, "file 0644 0"),), False),
    "verdicts": ((Verdict("sure", "", Decision.DENY, ("no",)),), False),
}


@pytest.mark.parametrize("field", list(Node.__struct_fields__))
def test_which_fields_of_a_node_decide_its_effect(field: str) -> None:
    value, decides = _NODE_CHANGES[field]
    other = replace(_NODE, **{field: value})
    needed = (_node("z"), _node("y"))
    assert other != _NODE
    assert (effect_json(other) != effect_json(_NODE)) is decides
    assert (_plan(*needed, other, stages=()).effect != _plan(*needed, _NODE, stages=()).effect) is decides
    assert _plan(*needed, other, stages=()).digest != _plan(*needed, _NODE, stages=()).digest


@pytest.mark.parametrize("field", list(PlannedStage.__struct_fields__))
def test_which_fields_of_a_stage_decide_the_effect(field: str) -> None:
    value, decides = _STAGE_CHANGES[field]
    plan = _plan(_node("a"))
    other = replace(plan, stages=(replace(plan.stages[0], **{field: value}),))
    assert (other.effect != plan.effect) is decides


@pytest.mark.parametrize("field", list(Plan.__struct_fields__))
def test_which_fields_of_a_plan_decide_its_effect(field: str) -> None:
    value, decides = _PLAN_CHANGES[field]
    plan = _plan(_node("a"))
    other = replace(plan, **{field: value})
    assert (other.effect != plan.effect) is decides
    assert other.digest != plan.digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            {"run": Immediate("x")},
            {
                "run": Immediate("x "),
            },
        ),
        ({"undo": Immediate("x")}, {}),
        ({"env": Computed("${{ secrets.A }}")}, {"env": Computed("${{ secrets.B }}")}),
        ({"v": Immediate(None)}, {}),
        ({"v": Immediate("1")}, {"v": Immediate(1)}),
        ({"v": Immediate(True)}, {"v": Immediate(1)}),
        ({"v": Promise("build/z", "o")}, {"v": Promise("build/z")}),
        ({"v": Immediate("${{ x }}")}, {"v": Computed("${{ x }}")}),
    ],
)
def test_whatever_a_node_is_given_decides_its_effect(one: Mapping[str, Slot], other: Mapping[str, Slot]) -> None:
    assert _plan(_node("a", slots=one)).effect != _plan(_node("a", slots=other)).effect


def test_the_order_of_needs_and_keys_decides_nothing() -> None:
    needs = (Need("build/a"), Need("build/b", NeedKind.OPTIONAL))
    slots: dict[str, Slot] = {"a": Immediate(1), "b": Immediate(2)}
    one = _plan(_node("c", needs=needs, slots=slots))
    other = _plan(_node("c", needs=needs[::-1], slots=dict(reversed(slots.items()))))
    assert one.effect == other.effect
    assert differences(one, other) == ()


def test_plans_are_compared_node_by_node() -> None:
    old = _plan(_node("a"), _node("b"), _node("c"))
    changed = _node("b", timeout_ms=5, slots={"run": Immediate("x")}, title="shown only")
    new = _plan(_node("a", position=Position("x", 1, 1)), changed, _node("d"), rollback=Rollback.NONE)
    assert [str(difference) for difference in differences(old, new)] == [
        "plan: rollback",
        "build/b: slots, timeout_ms",
        "build/d: added",
        "build/c: removed",
    ]


@some
@given(plans, st.randoms(use_true_random=False))
def test_plans_differ_where_their_effects_do(plan: Plan, rng: Random) -> None:
    assert differences(plan, _reload(plan)) == ()
    if not plan.nodes:
        return
    place = rng.randrange(len(plan.nodes))
    field = rng.choice([name for name in _NODE_CHANGES if name not in ("id", "stage")])
    node = replace(plan.nodes[place], **{field: _NODE_CHANGES[field][0]})
    other = replace(plan, nodes=(*plan.nodes[:place], node, *plan.nodes[place + 1 :]))
    found = differences(plan, other)
    assert (found == ()) is (plan.effect == other.effect)
    assert all((difference.subject, difference.fields) == (node.id, (field,)) for difference in found)


def test_a_document_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(ShipwayError):
        load_plan(b"{}", lambda data: None)
    called = call(tmp_path, "apply", "missing.json")
    assert (called.exit_code, "cannot read" in called.err) == (2, True)
