"""Shows what is done with a preview besides making it: other declarations, made of the one that made it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from shipway.action import ActionFailed, Done, Work
from shipway.canonical import Json, object_of
from shipway.environment_record import Checkpoint
from shipway.errors import UsageError
from shipway.loading import load_declaration
from shipway.nodes import Immediate, NeedKind
from shipway.preview_derivation import alone, attached, derived, known_of, recorded_data
from shipway.preview_settings import Doing
from tests.preview_actions import PLACE, StandIn, StandIns
from tests.previews import SHOP, attempt, workspace
from tests.runs import Ran, Setting, declare, run

_OTHER_HOOKS = """\
          destroy: {run: ./scripts/drop-db.sh, env: {AT: "${{ services.api.port }}"}}
          init: ./scripts/clone-db.sh --template
          reset: {run: ./scripts/clone-db.sh --again, timeout: 7s}
"""
_SECRET = ', D: "${{ provisioner.postgres.DSN }}"'
_DEPLOY = f"""\
      deploy: "true"
      destroy: {{run: "false", env: {{H: "${{{{ provisioner.postgres.HOST }}}}"{_SECRET}}}}}
      ttl: 72h"""
FULL = (
    SHOP.replace("          destroy: ./scripts/drop-db.sh\n", _OTHER_HOOKS)
    .replace("      ttl: 72h", _DEPLOY)
    .replace("LISTEN_PORT: ${{ self.port }}\n", "LISTEN_PORT: ${{ self.port }}\n            V: 3.10\n")
)
TOP = "secrets: [TOKEN]\ntargets: {pr-*: {after: [prod]}, prod: {}}\npolicy: {keep: {deny_delete: true}}\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return workspace(tmp_path)


def data_of(root: Path, text: str = FULL) -> dict[str, Json]:
    file = declare(root, text)
    return json.loads(json.dumps(recorded_data(load_declaration(file, root=root, target="pr-42"))))  # type: ignore[no-any-return]


def made(root: Path) -> tuple[Ran, Mapping[str, Json]]:
    """A preview that was made, and what is known of it."""
    ran = attempt(root, FULL, execute=True)
    assert ran.exit_code == 0, ran.outcomes
    checkpoints = {
        result.node: Checkpoint("", result.outputs, secret=("DSN",)) for result in ran.receipt.nodes if result.outputs
    }
    return ran, known_of(checkpoints)


def run_derived(
    root: Path,
    data: Mapping[str, Json],
    registry: StandIns | None = None,
    *,
    execute: bool = True,
    env: Mapping[str, str] | None = None,
) -> Ran:
    folder = root / ".shipway/previews/shop/pr-42"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "derived.yml"
    file.write_text(json.dumps(data))
    made_of = ("shipway.yml", "shipway.pr.yml")
    setting = Setting(env or {}, registry or StandIns(), target="pr-42", derived_from=made_of)
    return run(root, None, setting, execute=execute, file=file)


def nodes_of(ran: Ran) -> list[str]:
    assert ran.finished.plan is not None, ran.finished.error and (ran.error.message, ran.error.problems)
    return [node.id for node in ran.finished.plan.nodes]


DOWN = [
    "runner/service/shopfront",
    "runner/service/api",
    "runner/deploy",
    "runner/infrastructure",
    "runner/env[services%2Fapi%2F.env.local]",
    "runner/env[services%2Fshopfront%2F.env.local]",
    "provisioner/service/postgres",
    "provisioner/manifest",
    "provisioner/ports",
    "provisioner/compute",
]


def test_p86_down_takes_everything_away_in_reverse_services_before_databases(root: Path) -> None:
    _, known = made(root)
    registry = StandIns()
    ran = run_derived(root, derived(data_of(root), Doing.DOWN, known=known), registry)
    assert nodes_of(ran) == DOWN
    assert ran.exit_code == 0, ran.outcomes
    started = ran.started
    for before, after in (
        ("runner/service/shopfront", "runner/service/api"),
        ("runner/service/api", "runner/deploy"),
        ("runner/deploy", "runner/infrastructure"),
        ("runner/infrastructure", "runner/env[services%2Fapi%2F.env.local]"),
        ("runner/infrastructure", "provisioner/service/postgres"),
        ("provisioner/service/postgres", "provisioner/ports"),
        ("provisioner/ports", "provisioner/compute"),
    ):
        assert started.index(before) < started.index(after)
    assert all(work.inputs["remove"] is True for work in registry.seen.values())


def test_p86_what_is_removed_is_told_where_it_is(root: Path) -> None:
    _, known = made(root)
    registry = StandIns()
    run_derived(root, derived(data_of(root), Doing.DOWN, known=known), registry)
    assert object_of(registry.seen["runner/service/api"].inputs["compute"]) == PLACE
    hook = registry.seen["runner/deploy"]
    assert (hook.inputs["undo"], hook.inputs["undo_where"], hook.env["H"]) == ("false", "compute", "HOST's")
    assert "D" not in hook.env, "a secret is not in what is known of it"
    assert hook.env["SHIPWAY_PORT_API"] == "61000" and hook.env["SHIPWAY_COMPUTE_ROOT"] == "/place"
    assert registry.seen["provisioner/service/postgres"].env["AT"] == "61000"


class Failing(StandIn):
    def do(self, work: Work) -> Done:
        super().do(work)
        raise ActionFailed("it would not go")


def test_p89_what_cannot_be_removed_stops_nobody(root: Path) -> None:
    _, known = made(root)
    registry = StandIns()
    registry.put(Failing("preview.service", registry.seen), Failing("preview.hook", registry.seen))
    ran = run_derived(root, derived(data_of(root), Doing.DOWN, known=known), registry)
    failed = {"runner/service/shopfront", "runner/service/api", "runner/deploy", "provisioner/service/postgres"}
    assert {node: ran.outcomes[node] for node in DOWN} == {
        node: "failed" if node in failed else "succeeded" for node in DOWN
    }


def test_p88_down_of_what_was_never_made_has_no_place(root: Path) -> None:
    registry = StandIns()
    ran = run_derived(root, derived(data_of(root), Doing.DOWN), registry)
    assert nodes_of(ran) == DOWN and ran.exit_code == 0
    assert all("compute" not in work.inputs for work in registry.seen.values())


def test_p90_down_looks_at_no_file_of_the_workspace(root: Path) -> None:
    data = data_of(root)
    _, known = made(root)
    for name in ("compose.preview.yaml", "shipway.yml", "scripts/drop-db.sh"):
        (root / name).unlink()
    ran = run_derived(root, derived(data, Doing.DOWN, known=known))
    assert nodes_of(ran) == DOWN and ran.exit_code == 0


def test_down_is_not_held_to_what_making_it_was_held_to(root: Path) -> None:
    build = "stages:\n  build: {steps: [{id: a, run: 'true', outputs: {x: string}}]}\n"
    text = TOP + FULL.replace("stages:\n", build, 1)
    text = text.replace("          env:\n", "          env:\n            X: ${{ stages.build.outputs.x }}\n")
    found = derived(data_of(root, text), Doing.DOWN)
    assert sorted(object_of(found["stages"])) == ["provisioner", "runner"]
    assert "policy" not in found and "targets" not in found and found["secrets"] == ["TOKEN"]
    assert run_derived(root, found).exit_code == 0


def test_stop_ends_what_runs_and_keeps_the_rest(root: Path) -> None:
    _, known = made(root)
    registry = StandIns()
    ran = run_derived(root, derived(data_of(root), Doing.STOP, known=known), registry)
    assert nodes_of(ran) == ["runner/service/shopfront", "runner/service/api", "runner/infrastructure"]
    assert ran.exit_code == 0
    assert {work.inputs.get("remove") for work in registry.seen.values()} == {False}
    assert all(work.inputs["stop"] is True for work in registry.seen.values())


@pytest.mark.parametrize(
    ("doing", "script"), [(Doing.RESET, "./scripts/clone-db.sh --again"), (Doing.SEED, "./scripts/clone-db.sh")]
)
def test_p55_a_hook_on_demand_runs_in_place_of_the_first_one_and_the_rest_follows(
    root: Path, doing: Doing, script: str
) -> None:
    first, _ = made(root)
    ran = run_derived(root, derived(data_of(root), doing, service="postgres"), execute=False)
    assert first.finished.plan is not None and ran.finished.plan is not None
    before, after = first.finished.plan.by_id, ran.finished.plan.by_id
    assert list(after) == list(before)
    name = "provisioner/service/postgres"
    assert {node: after[node].slots for node in after if node != name} == {
        node: before[node].slots for node in before if node != name
    }
    slots = dict(after[name].slots)
    assert str(slots.pop("instead")).count(script) == 1
    assert {key: slot for key, slot in slots.items() if key != "action"} == {
        key: slot for key, slot in before[name].slots.items() if key != "action"
    }
    assert after[name].timeout_ms == (7000 if doing is Doing.RESET else 0)


def test_p56_init_is_one_node_without_place_and_ports(root: Path) -> None:
    registry = StandIns()
    ran = run_derived(root, derived(data_of(root), Doing.INIT, service="postgres"), registry)
    assert nodes_of(ran) == ["provisioner/init"] and ran.exit_code == 0
    work = registry.seen["provisioner/init"]
    assert work.inputs["run"] == "./scripts/clone-db.sh --template" and work.inputs["cache"] is False
    assert "compute" not in work.inputs and not any(name.startswith("SHIPWAY_PORT") for name in work.env)
    assert (work.env["SHIPWAY_ACTION"], work.env["SHIPWAY_SERVICE"]) == ("init", "postgres")


def test_p55_an_unknown_service_and_one_without_the_hook_are_two_errors(root: Path) -> None:
    data = data_of(root, SHOP)
    for service, said, next_ in (
        ("postgers", "the provisioner has no service `postgers`", "did you mean `postgres`?"),
        ("postgres", "service `postgres` has no hook `reset`", "declare it: `services: {postgres: {reset: ./script}}`"),
    ):
        with pytest.raises(UsageError) as caught:
            derived(data, Doing.RESET, service=service)
        assert (caught.value.message, caught.value.next) == (said, next_)
    with pytest.raises(UsageError, match="has no preview"):
        derived({"name": "shop", "stages": {"a": {"steps": []}}}, Doing.DOWN)


def test_what_is_recorded_is_read_again_as_it_was_written(root: Path) -> None:
    first = attempt(root, FULL).finished.plan
    second = run_derived(root, data_of(root), execute=False).finished.plan
    assert first is not None and second is not None
    assert {node.id: (node.slots, node.env, node.reads.digest) for node in second.nodes} == {
        node.id: (node.slots, node.env, node.reads.digest) for node in first.nodes
    }


def test_p30_a_runner_works_alone_with_what_a_manifest_says(root: Path) -> None:
    data = data_of(root)
    _, known = made(root)
    owned = object_of(object_of(known["provisioner"])["postgres"])
    secret = {"secret": "provisioner/service/postgres#DSN"}
    manifest = {**known, "provisioner": {"postgres": {**owned, "DSN": secret}}}
    registry = StandIns()
    ran = run_derived(root, alone(data, manifest), registry, env={"POSTGRES_DSN": "pg://hidden@db"})
    assert {node.partition("/")[0] for node in nodes_of(ran)} == {"runner"} and ran.exit_code == 0, ran.outcomes
    api = registry.seen["runner/service/api"].inputs
    assert (object_of(api["compute"])["root"], api["port"]) == ("/place", 61000)
    env = object_of(registry.seen["runner/env[services%2Fapi%2F.env.local]"].inputs["entries"])
    assert env == {"LISTEN_PORT": "61000", "V": "3.10", "CACHE_PORT": "61001", "DSN": "pg://hidden@db"}


def test_p27_a_checkout_that_is_there_is_attached_to(root: Path) -> None:
    plan = run_derived(root, attached(data_of(root), "../there"), execute=False).finished.plan
    assert plan is not None
    assert plan.by_id["provisioner/compute"].slots["path"] == Immediate("../there")


def test_edges_of_a_removal_hold_nobody_back(root: Path) -> None:
    plan = run_derived(root, derived(data_of(root), Doing.DOWN), execute=False).finished.plan
    assert plan is not None
    assert {need.kind for node in plan.nodes for need in node.needs} == {NeedKind.OPTIONAL}


@pytest.mark.parametrize("doing", list(Doing))
def test_the_real_actions_take_what_every_declaration_gives_them(root: Path, doing: Doing) -> None:
    data = data_of(root)
    _, known = made(root)
    service = "postgres" if doing in (Doing.RESET, Doing.SEED, Doing.INIT) else ""
    file = root / ".shipway/previews/pr-42/derived.yml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(derived(data, doing, service=service, known=known)))
    ran = run(root, None, Setting(target="pr-42"), execute=False, file=file)
    assert nodes_of(ran)
    if doing is Doing.DOWN:
        assert ran.finished.plan is not None
        assert {node.change.value for node in ran.finished.plan.nodes} <= {"delete", "run"}


def test_p86_without_a_provisioner_the_place_goes_once_nothing_in_it_is_being_removed(root: Path) -> None:
    (root / "alone").mkdir()
    service: dict[str, Json] = {"path": "alone", "command": "./serve", "env": {"A": "1"}}
    stage: dict[str, Json] = {"mode": "preview", "with": {"role": "runner", "services": {"web": service}}}
    data: dict[str, Json] = {"version": 1, "name": "shop", "stages": {"runner": stage}}
    plan = run_derived(root, derived(data, Doing.DOWN), execute=False).finished.plan
    assert plan is not None
    waits_for = {need.node for need in plan.by_id["runner/compute"].needs}
    assert {node.id for node in plan.nodes if "/env[" in node.id} <= waits_for
    assert any("/env[" in node.id for node in plan.nodes)
