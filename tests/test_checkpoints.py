"""What is kept of an environment's nodes from run to run: what runs again and why, what is handed on, what stays secret."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipway.action import ActionFailed, Completed, Done, PlanWork, Prediction, Work
from shipway.canonical import Json
from shipway.checkpoints import Made, checkpointed, decided, foretold, removed, renewed, undone, verified
from shipway.declaration import OutputRule
from shipway.environment_record import Checkpoint, EnvironmentRecord, marked_stale
from shipway.environments import Environments
from shipway.errors import Position
from shipway.nodes import Change, Computed, Fidelity, Immediate, Node, Outcome, Promise, Reads, Slot, Verified
from shipway.secrecy import Vault
from shipway.shelf import Shelf
from shipway.store import Kept
from shipway.stores.local_files import LocalFiles
from shipway.stores.vault import Vault as KeyVault

HOOK = "runner/deploy"
SECRET = {"DSN": OutputRule("secret", True), "HOST": OutputRule("string", True), "PORT": OutputRule("integer", True)}


class World:
    """An environment of `shop` on `pr-1` whose store is a folder; `made` counts what was really made, by node."""

    def __init__(self, folder: Path, *, is_private: bool = True, key: str = "") -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        vault: Vault | None = KeyVault("KEY", key) if key else None
        self.shelf = Shelf("shop", "pr-1", lambda: LocalFiles(folder), open_vault=lambda: vault, is_private=is_private)
        self.made: list[str] = []
        self.answer = Verified.HOLDS

    def work(
        self,
        node: str = HOOK,
        slots: Mapping[str, Slot] | None = None,
        inputs: Mapping[str, Json] | None = None,
        env: Mapping[str, str] | None = None,
        outputs: Mapping[str, OutputRule] | None = None,
        reads: str = "r1",
    ) -> Work:
        found: Mapping[str, Slot] = slots or {"run": Immediate("./deploy")}
        values = {name: slot.value for name, slot in found.items() if isinstance(slot, Immediate)}
        values |= dict(inputs or {})
        made = Node(
            node,
            node.partition("/")[0],
            "preview.hook",
            Position("shipway.yml", 1, 1),
            slots=found,
            env={name: Immediate(value) for name, value in (env or {}).items()},
            outputs=outputs or {},
            reads=Reads(("**",), reads),
        )
        return Work(made, values, env or {}, self.folder, self.folder, started_ms=1_000, shelf=self.shelf)

    def do(self, work: Work, outputs: Mapping[str, Json] | None = None, **more: object) -> Done:
        def make(given: Work, before: Checkpoint | None) -> Made:
            self.made.append(given.node.id)
            return Made(outputs or {})

        return checkpointed(work, contract=1, verify=lambda given, kept: self.answer, make=make, **more)  # type: ignore[arg-type]

    def plan(self, work: Work, unknown: Sequence[str] = ()) -> Prediction:
        self.shelf.recalled.clear()  # each is the plan of another run
        planned = PlanWork(
            work.node,
            {name: value for name, value in work.inputs.items() if name not in unknown},
            dict.fromkeys(unknown, "`build/image`"),
            work.env,
            {},
            self.folder,
            lambda command: Completed(0),
            shelf=self.shelf,
        )
        return foretold(
            planned, contract=1, verify=lambda given, kept: self.answer, change_when_made=Change.CREATE, reversible=True
        )

    @property
    def record(self) -> EnvironmentRecord:
        found = Environments(self.shelf.store, "shop").read("pr-1")
        assert found is not None
        return found

    def mark(self, nodes: Sequence[str], why: str) -> None:
        def change(record: EnvironmentRecord | None) -> EnvironmentRecord:
            assert record is not None
            return marked_stale(record, nodes, why)

        Environments(self.shelf.store, "shop").change("pr-1", change)
        self.shelf.recalled.clear()  # it is done before a run begins


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "store")


def test_p32_what_is_unchanged_is_made_once_and_verified_each_time(world: World) -> None:
    assert world.plan(world.work()).change is Change.CREATE
    first = world.do(world.work(), {"URL": "http://x"})
    assert (first.unchanged, first.outputs) == (False, {"URL": "http://x", "made": 1})
    said = world.plan(world.work())
    assert (said.change, said.why, said.outputs) == (Change.NOOP, "inputs unchanged, verified", first.outputs)
    second = world.do(world.work(), {"URL": "http://y"})
    assert (second.unchanged, second.outputs) == (True, first.outputs)
    assert world.made == [HOOK]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"env": {"DB_HOST": "b"}}, "`env` DB_HOST changed"),
        ({"slots": {"run": Immediate("./other")}}, "`run` changed"),
        ({"reads": "r2"}, "files under `reads` changed"),
    ],
    ids=["env", "slot", "reads"],
)
def test_p36_p37_what_changed_runs_again_and_says_what_changed(
    world: World, change: Mapping[str, object], why: str
) -> None:
    world.do(world.work(env={"DB_HOST": "a"}))
    given: dict[str, object] = {"env": {"DB_HOST": "a"}, **change}
    said = world.plan(world.work(**given))  # type: ignore[arg-type]
    assert (said.change, said.why) == (Change.UPDATE, why)
    done = world.do(world.work(**given))  # type: ignore[arg-type]
    assert (done.unchanged, done.outputs["made"]) == (False, 2)
    assert done.records[-1].facts["why"] == why


def test_p36_an_entry_of_an_env_file_is_named(world: World) -> None:
    slots: dict[str, Slot] = {"entries": Immediate({"A": "1", "B": "2"})}
    world.do(world.work("runner/env[.env]", slots))
    changed: dict[str, Slot] = {"entries": Immediate({"A": "1", "B": "3", "C": "4"})}
    assert world.plan(world.work("runner/env[.env]", changed)).why == "`env` B changed; `env` C changed"


def test_variables_of_shipway_and_unkeyed_slots_decide_nothing(world: World) -> None:
    world.do(world.work(env={"SHIPWAY_COMMIT": "a"}), unkeyed=("undo",))
    slots: dict[str, Slot] = {"run": Immediate("./deploy"), "undo": Immediate("x"), "ssh": Immediate({"key": "k"})}
    assert world.do(world.work(slots=slots, env={"SHIPWAY_COMMIT": "b"}), unkeyed=("undo",)).unchanged


def test_p37_a_hook_without_cache_runs_each_time_and_reopens_nothing(world: World) -> None:
    slots: dict[str, Slot] = {"run": Immediate("./deploy"), "cache": Immediate(False)}
    assert [world.do(world.work(slots=slots), {"N": n}).outputs for n in (1, 2)] == [
        {"N": 1, "made": 1},
        {"N": 2, "made": 1},
    ]
    said = world.plan(world.work(slots=slots))
    assert (said.change, said.why, said.outputs) == (Change.UPDATE, "its cache is off", {"made": 1})


def test_p34_what_is_marked_runs_again_and_the_rest_is_kept(world: World) -> None:
    for node in ("runner/a", "runner/b", "runner/c"):
        world.do(world.work(node))
    world.mark(["runner/b", "runner/c"], "`--from runner/b`")
    found = [world.do(world.work(node)) for node in ("runner/a", "runner/b", "runner/c")]
    assert [done.unchanged for done in found] == [True, False, False]
    assert [done.records[-1].facts["why"] for done in found if done.records] == ["`--from runner/b`"] * 2
    assert world.do(world.work("runner/b")).unchanged


def test_p38_what_depends_on_a_node_made_anew_runs_again(world: World) -> None:
    def dependent(made: Json) -> Work:
        slots: dict[str, Slot] = {"after": Computed(["${{ stages.provisioner.steps.compute.outputs.made }}"])}
        return world.work("runner/before", slots, {"after": [made]})

    compute = world.do(world.work("provisioner/compute")).outputs["made"]
    world.do(dependent(compute))
    assert world.do(dependent(compute)).unchanged
    world.answer = Verified.GONE
    again = world.do(world.work("provisioner/compute")).outputs["made"]
    world.answer = Verified.HOLDS
    assert world.plan(dependent(again)).why == "`provisioner/compute` was made anew"
    waiting = world.plan(dependent(None), unknown=["after"])
    assert (waiting.change, waiting.why) == (Change.UPDATE, "`provisioner/compute` runs before it")
    assert not world.do(dependent(again)).unchanged


def test_p39_where_it_cannot_be_told_nothing_is_made(world: World) -> None:
    world.do(world.work())
    world.answer = Verified.UNKNOWN
    assert world.plan(world.work()).fidelity is Fidelity.OPAQUE
    with pytest.raises(ActionFailed, match="whether it is still there cannot be told"):
        world.do(world.work())
    assert world.made == [HOOK]
    world.answer = Verified.HOLDS
    assert world.do(world.work()).unchanged


def test_p40_what_is_gone_is_made_again_and_both_is_told(world: World) -> None:
    world.do(world.work())
    world.answer = Verified.GONE
    assert world.plan(world.work()).why == "inputs unchanged; verify says gone"
    done = world.do(world.work())
    assert (done.unchanged, done.outputs, done.records[-1].facts) == (
        False,
        {"made": 2},
        {"why": "inputs unchanged; verify says gone", "made": 2},
    )


def test_p41_what_a_killed_run_made_is_adopted_and_not_made_twice(world: World) -> None:
    def killed(work: Work, before: Checkpoint | None) -> Made:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checkpointed(world.work(), contract=1, verify=lambda work, kept: Verified.HOLDS, make=killed)
    begun = world.record.checkpoints[HOOK]
    assert (begun.made, begun.stale) == (0, "a run began to make it and did not say that it was done")
    done = world.do(world.work(), adopt=lambda work: Made({"HOST": "h"}))
    assert (done.unchanged, done.outputs, world.made) == (True, {"HOST": "h", "made": 1}, [])
    assert world.do(world.work()).outputs == {"HOST": "h", "made": 1}


def test_p41_a_killed_change_runs_again_also_where_the_old_inputs_come_back(world: World) -> None:
    world.do(world.work(reads="r1"))

    def killed(work: Work, before: Checkpoint | None) -> Made:
        assert before is not None
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checkpointed(world.work(reads="r2"), contract=1, verify=lambda work, kept: Verified.HOLDS, make=killed)
    assert not world.do(world.work(reads="r1")).unchanged


def test_p42_integers_stay_integers(world: World) -> None:
    world.do(world.work(), {"api": 61_000})
    assert world.do(world.work()).outputs == {"api": 61_000, "made": 1}


def test_an_update_in_place_reopens_nothing_and_is_not_taken_back(world: World) -> None:
    def compute(tree: str) -> Work:
        return world.work("provisioner/compute", {"root": Immediate("/srv"), "tree": Immediate(tree)})

    assert world.do(compute("t1"), {"root": "/srv"}, in_place=("tree",)).outputs["made"] == 1
    done = world.do(compute("t2"), {"root": "/srv"}, in_place=("tree",))
    assert (done.unchanged, done.outputs["made"], done.undo) == (False, 1, {"how": "updated", "undo": None})
    undone(replace(compute("t2"), outcome=Outcome.SUCCEEDED, state=done.undo), remove=_never)
    assert world.record.checkpoints["provisioner/compute"].stale == "the run that brought it up to date failed"


def test_what_was_kept_is_not_taken_back_and_what_was_made_is(world: World) -> None:
    done = world.do(world.work())
    kept = world.do(world.work())
    undone(replace(world.work(), outcome=Outcome.UNCHANGED, state=kept.undo), remove=_never)
    gone: list[str] = []

    def remove(work: Work, checkpoint: Checkpoint | None) -> bool:
        gone.append(work.node.id)
        return checkpoint is not None

    undone(replace(world.work(), outcome=Outcome.SUCCEEDED, state=done.undo), remove=remove)
    assert gone == [HOOK] and world.record.checkpoints == {}
    assert removed(world.work(), remove=remove).unchanged
    assert world.do(world.work()).outputs["made"] == 2, "a number given once is never given again"


def test_p89_what_cannot_be_removed_is_kept_as_stuck(world: World) -> None:
    world.do(world.work())

    def fail(work: Work, checkpoint: Checkpoint | None) -> bool:
        raise ActionFailed("the database is in use")

    with pytest.raises(ActionFailed, match="in use"):
        removed(world.work(), remove=fail)
    assert world.record.stuck == {HOOK: "the database is in use"}
    assert removed(world.work(), remove=lambda work, checkpoint: checkpoint is not None).unchanged is False
    assert (world.record.stuck, world.record.checkpoints) == ({}, {})


def test_p55_p56_a_reset_replaces_the_outputs_and_the_next_up_keeps_them(world: World) -> None:
    seed = world.work("provisioner/service/db", {"run": Immediate("./clone")})
    reset = world.work("provisioner/service/db", {"run": Immediate("./reclone")})
    with pytest.raises(ActionFailed, match="was never made"):
        renewed(reset, make=lambda work, before: Made())
    world.do(seed, {"DSN": "one"})
    done = renewed(reset, make=lambda work, before: Made({"DSN": "two"}))
    assert done.outputs == {"DSN": "two", "made": 2}
    up = world.do(seed, {"DSN": "three"})
    assert (up.unchanged, up.outputs) == (True, {"DSN": "two", "made": 2})


def test_verify_tells_what_is_there_of_a_node(world: World) -> None:
    def ask(outcome: Outcome | None = None, **inputs: Json) -> Verified:
        slots: dict[str, Slot] = {"run": Immediate("./deploy")}
        work = replace(world.work(slots=slots, inputs=inputs), outcome=outcome)
        return verified(work, verify=lambda given, kept: world.answer)

    assert (ask(), ask(remove=True)) == (Verified.GONE, Verified.HOLDS)
    world.do(world.work())
    assert (ask(), ask(remove=True)) == (Verified.HOLDS, Verified.GONE)
    assert ask(Outcome.UNKNOWN) is Verified.GONE, "it runs again, and finds what is there"
    world.answer = Verified.UNKNOWN
    assert ask() is Verified.UNKNOWN


# Secrets.


def _outputs(dsn: str) -> Mapping[str, Json]:
    return {"DSN": dsn, "HOST": "db", "PORT": 5432}


def _contents(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


def test_p51_secret_outputs_lie_in_private_files_only(world: World) -> None:
    world.do(world.work(outputs=SECRET), _outputs("pg://secret"))
    assert world.do(world.work(outputs=SECRET)).outputs["DSN"] == "pg://secret"
    said = world.plan(world.work(outputs=SECRET))
    assert said.outputs == {"HOST": "db", "PORT": 5432, "made": 1}
    assert {path.stat().st_mode & 0o777 for path in world.folder.iterdir() if path.suffix == ".json"} == {0o600}


def test_secret_outputs_are_sealed_elsewhere(tmp_path: Path) -> None:
    key = base64.b64encode(os.urandom(32)).decode()
    world = World(tmp_path / "store", is_private=False, key=key)
    world.do(world.work(outputs=SECRET), _outputs("pg://secret"))
    assert b"pg://secret" not in _contents(world.folder)
    done = world.do(world.work(outputs=SECRET))
    assert (done.unchanged, done.outputs) == (True, {**_outputs("pg://secret"), "made": 1})
    other = World(tmp_path / "store", is_private=False, key=base64.b64encode(os.urandom(32)).decode())
    with pytest.raises(ActionFailed, match="its secret outputs cannot be read: it was encrypted to another key"):
        other.do(other.work(outputs=SECRET))
    keyless = World(tmp_path / "store", is_private=False)
    with pytest.raises(ActionFailed, match="`state` names no key"):
        keyless.do(keyless.work(outputs=SECRET))


def test_secret_outputs_are_not_kept_where_there_is_no_key_and_the_node_runs_again(tmp_path: Path) -> None:
    world = World(tmp_path / "store", is_private=False)
    world.do(world.work(outputs=SECRET), _outputs("pg://secret"))
    assert b"pg://secret" not in _contents(world.folder)
    again = decided(world.work(outputs=SECRET), 1)
    assert (again.kept, again.why) == (False, "its secret outputs were not kept: `state` names no key")


def test_a_value_made_of_a_secret_enters_by_its_expression(world: World) -> None:
    world.do(world.work("provisioner/service/db", outputs=SECRET), _outputs("pg://one"))

    def file(dsn: str, expression: str = "${{ secrets.TOKEN }}") -> Work:
        promised = Promise("provisioner/service/db", "DSN")
        slots: dict[str, Slot] = {"entries": Computed({"TOKEN": expression, "PLAIN": "x"}), "dsn": promised}
        return world.work("runner/env[.env]", slots, {"entries": {"TOKEN": dsn, "PLAIN": "x"}, "dsn": dsn})

    world.do(file("hunter2-one"))
    before = _contents(world.folder)
    assert world.do(file("hunter2-two")).unchanged
    assert _contents(world.folder) == before
    planned = world.plan(file("hunter2-two"), unknown=["entries", "dsn"])
    assert (planned.change, planned.is_settled) == (Change.NOOP, True)
    assert world.plan(file("hunter2-two", "${{ secrets.OTHER }}")).why == "`env` TOKEN changed"


def test_a_value_that_is_not_known_and_no_secret_is_waited_for(world: World) -> None:
    slots: dict[str, Slot] = {"entries": Computed({"TAG": "${{ stages.build.outputs.tag }}", "PLAIN": "x"})}
    values: Mapping[str, Json] = {"entries": {"TAG": "1", "PLAIN": "x"}}
    world.do(world.work("runner/env[.env]", slots, values))
    planned = world.plan(world.work("runner/env[.env]", slots, values), unknown=["entries"])
    assert (planned.change, planned.why) == (Change.UPDATE, "`env` TAG is known only then")
    assert world.do(world.work("runner/env[.env]", slots, values)).unchanged


def test_a_plan_verifies_where_the_environment_lives_also_while_that_is_not_known_as_a_whole(world: World) -> None:
    world.do(world.work("provisioner/compute", outputs=SECRET), {"root": "/srv", **_outputs("pg://secret")})
    slots: dict[str, Slot] = {"compute": Promise("provisioner/compute"), "run": Immediate("./deploy")}
    world.do(world.work(slots=slots, inputs={"compute": {"root": "/srv"}}))
    asked: list[Json] = []

    def verify(work: PlanWork, checkpoint: Checkpoint) -> Verified:
        asked.append(work.inputs["compute"])
        return Verified.HOLDS

    work = world.work(slots=slots)
    unknown = {"compute": "`provisioner/compute`"}
    planned = PlanWork(
        work.node, work.inputs, unknown, {}, {}, world.folder, lambda command: Completed(0), shelf=work.shelf
    )
    said = foretold(planned, contract=1, verify=verify, change_when_made=Change.CREATE)
    assert said.change is Change.NOOP
    assert [each["root"] for each in asked if isinstance(each, Mapping)] == ["/srv"]


def test_a_run_reads_the_record_once_and_knows_what_its_own_nodes_left(tmp_path: Path) -> None:
    reads: list[str] = []

    class Counting(LocalFiles):
        def read(self, key: str) -> Kept | None:
            reads.append(key)
            return super().read(key)

    world = World(tmp_path / "store")
    for node in ("runner/a", "runner/b"):
        world.do(world.work(node))
    world.shelf = Shelf("shop", "pr-1", lambda: Counting(world.folder), is_private=True)
    for node in ("runner/a", "runner/b", "runner/a"):
        assert world.do(world.work(node)).unchanged
    assert reads == ["previews/shop/pr-1"]
    assert not world.do(world.work("runner/a", reads="r2")).unchanged
    assert world.do(world.work("runner/a", reads="r2")).unchanged


def test_without_a_shelf_everything_is_made(world: World) -> None:
    work = replace(world.work(), shelf=None)
    assert [world.do(work, {"A": 1}).outputs for _ in range(2)] == [{"A": 1, "made": 1}] * 2


def test_a_record_that_cannot_be_read_fails_the_node(world: World) -> None:
    world.do(world.work())
    for path in world.folder.glob("*.json"):
        path.write_text("{")
    world.shelf.recalled.clear()
    with pytest.raises(ActionFailed, match=r"the record of `pr-1` in local files .* cannot be read: it is no JSON"):
        world.do(world.work())


def _never(work: Work, checkpoint: Checkpoint | None) -> bool:
    pytest.fail("it was removed")
