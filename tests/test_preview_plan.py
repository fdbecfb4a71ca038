"""Shows what the stages of a preview become: nodes, their order, and what each of them is given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipway.errors import UsageError
from shipway.exchange import file_name
from shipway.explanation import explain
from shipway.nodes import NeedKind, Promise
from shipway.planning import Selection, select
from shipway.render.blocks import Links
from shipway.render.mermaid import flowchart
from shipway.render.plan_comment import plan_comment
from shipway.render.receipt_text import render_receipt
from tests.contracts.backend import CHECKS, BackendCase
from tests.preview_actions import StandIns
from tests.previews import COMPOSE, SHOP, attempt, planned, workspace


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return workspace(tmp_path)


def needs_of(root: Path, text: str) -> dict[str, list[str]]:
    plan = planned(root, text)
    return {node.id: [need.node for need in node.needs if need.kind is NeedKind.NEEDS] for node in plan.nodes}


def test_p21_nodes_stand_in_the_order_in_which_they_happen(root: Path) -> None:
    ran = attempt(root, SHOP, execute=True)
    assert [node.id for node in ran.finished.plan.nodes] == [  # type: ignore[union-attr]
        "provisioner/compute",
        "provisioner/ports",
        "provisioner/service/postgres",
        "provisioner/manifest",
        "runner/env[services%2Fapi%2F.env.local]",
        "runner/env[services%2Fshopfront%2F.env.local]",
        "runner/infrastructure",
        "runner/service/api",
        "runner/service/shopfront",
    ]
    assert ran.exit_code == 0, ran.outcomes
    assert ran.started[0] == "provisioner/compute"
    assert ran.started.index("provisioner/manifest") < ran.started.index("runner/env[services%2Fapi%2F.env.local]")
    assert ran.started[-3:] == ["runner/infrastructure", "runner/service/api", "runner/service/shopfront"]


def test_p22_a_plan_of_many_provisioner_services_is_the_same_each_time(root: Path) -> None:
    services = "\n".join(
        f"        {name}: {{outputs: {{}}, seed: 'true'}}" for name in ("delta", "alpha", "charlie", "bravo")
    )
    text = SHOP.replace("      services:\n        postgres:", f"      services:\n{services}\n        postgres:")
    first = planned(root, text).document
    listed = [node.id for node in planned(root, text).nodes if "service" in node.id and node.stage == "provisioner"]
    assert listed == [f"provisioner/service/{name}" for name in ("alpha", "bravo", "charlie", "delta", "postgres")]
    assert all(planned(root, text).document == first for _ in range(2))


def test_p24_a_service_waits_for_what_it_needs(root: Path) -> None:
    text = SHOP.replace("needs: [cache]", "needs: [cache, postgres]")
    found = needs_of(root, text)
    assert found["runner/service/api"] == ["runner/infrastructure", "provisioner/service/postgres"]
    assert found["runner/service/shopfront"] == ["runner/infrastructure", "runner/service/api"]


def test_p23_services_come_behind_what_they_need_else_by_name(root: Path) -> None:
    def order(**needs: str) -> list[str]:
        rules = "".join(
            f"        {name}: {{path: services/api, command: x, needs: [{listed}]}}\n" for name, listed in needs.items()
        )
        text = f"stages:\n  app:\n    mode: preview\n    with:\n      role: runner\n      services:\n{rules}"
        text += "      infrastructure: {compose_file: compose.preview.yaml}\n"
        plan = planned(root, text)
        return [node.step.removeprefix("service/") for node in plan.nodes if "service/" in node.step]

    assert order(backend="", web="backend") == ["backend", "web"]
    assert order(backend="zeta", zeta="") == ["zeta", "backend"]
    assert order(d="b, c", c="a", b="a", a="") == ["a", "b", "c", "d"]
    assert order(c="", b="", a="") == ["a", "b", "c"]
    assert order(web="cache", backend="cache, web") == ["web", "backend"]


def test_a_node_is_given_where_things_are_by_promise(root: Path) -> None:
    node = planned(root, SHOP).by_id["runner/service/api"]
    assert node.slots["compute"] == Promise("provisioner/compute")
    assert node.slots["port"] == Promise("provisioner/ports", "api")


# Names with more parts than others have.


def test_services_and_env_files_are_drawn_and_shown_by_their_names(root: Path) -> None:
    ran = attempt(root, SHOP, execute=True)
    plan = ran.finished.plan
    assert plan is not None
    chart = flowchart(plan, ran.receipt)
    assert 'n7["service/api"]' in chart and 'n4["env[services/api/.env.local]"]' in chart
    text = render_receipt(ran.receipt, plan, colour=False, columns=120)
    comment = plan_comment(plan, budget=60_000, links=Links())
    for name in ("service/api", "env[services/api/.env.local]"):
        assert name in text and name in comment


def test_a_service_is_inside_of_no_other_node(root: Path) -> None:
    assert explain(planned(root, SHOP), "runner/service/api").inside == ()


def test_each_node_keeps_a_log_of_its_own_name() -> None:
    names = ["runner/service/a", "runner/service/a-b", "runner/env[a%2F.env]", "runner/env[a.env]", "runner/before"]
    assert [file_name(name) for name in names[:1]] == ["runner.service.a"]
    assert len({file_name(name).lower() for name in names}) == len(names)
    assert not any("/" in file_name(name) for name in names)


@pytest.mark.parametrize(
    ("skipped", "left"),
    [
        ("runner/service/shopfront", 8),
        ("runner/service", 7),
        ("runner/env", 7),
        ("runner/env[services%2Fapi%2F.env.local]", 8),
    ],
)
def test_a_service_or_all_of_them_may_be_left_out(root: Path, skipped: str, left: int) -> None:
    plan = planned(root, SHOP.replace("needs: [api]", "needs: []"))
    stages = list(plan.stages)
    nodes = [replace(node, needs=tuple(n for n in node.needs if n.kind is NeedKind.NEEDS)) for node in plan.nodes]
    _, kept = select(stages, nodes, Selection(skip=(skipped,)))
    assert len(kept) == left
    with pytest.raises(UsageError, match="there is no stage or step"):
        select(stages, nodes, Selection(skip=("runner/serv",)))


# Which backend carries it out.


@pytest.mark.parametrize(
    ("compute", "backend"),
    [
        ("", "local"),
        ("      compute: {root: previews}\n", "local"),
        ("      compute: {host: box, ssh: {known_hosts: compose.preview.yaml}}\n", "ssh"),
        ("      compute: {create: 'true', outputs: {HOST: string}, ssh: {known_hosts: compose.preview.yaml}}\n", "ssh"),
        ("      compute: {create: 'true', outputs: {HOST: string}}\n", "ssh"),
    ],
)
def test_both_stages_are_carried_out_where_the_place_is(root: Path, compute: str, backend: str) -> None:
    plan = planned(root, SHOP.replace("      role: provisioner\n", f"      role: provisioner\n{compute}"))
    assert [stage.backend for stage in plan.stages] == [backend, backend]
    assert {"ssh" in plan.by_id[node].slots for node in ("provisioner/compute", "runner/service/api")} == {
        backend == "ssh"
    }


def test_a_backend_that_cannot_reach_the_place_is_refused(root: Path) -> None:
    text = SHOP.replace("      role: provisioner\n", "      role: provisioner\n      compute: {host: box}\n")
    text = text.replace("    mode: preview\n", "    mode: preview\n    backend: local\n")
    ran = attempt(root, text)
    assert [each.text for each in ran.error.problems] == [
        'stage "provisioner": backend local lacks: remote',
        'stage "runner": backend local lacks: remote',
    ]


HEAD = "version: 1\nname: shop\nstages:\n"
PROVISIONER = HEAD + SHOP[SHOP.index("  provisioner:") : SHOP.index("  runner:")]
RUNNER = HEAD + SHOP[SHOP.index("  runner:") :].replace("    needs: [provisioner]\n", "").replace(
    "            DSN: ${{ provisioner.postgres.DSN }}\n", ""
)
FILES = {
    "compose.preview.yaml": COMPOSE,
    "services/api/serve": "",
    "services/shopfront/x": "",
    "scripts/clone-db.sh": "",
    "scripts/drop-db.sh": "",
    "known_hosts": "",
}
WRONG = "version: 1\nname: shop\nstages:\n  a:\n    mode: preview\n    with: {role: runner, servcies: {}}\n"
REMOTE = PROVISIONER.replace(
    "role: provisioner\n", "role: provisioner\n      compute: {host: box, ssh: {known_hosts: known_hosts}}\n"
)
CASES = [
    BackendCase("local", "preview", "local", RUNNER, WRONG, FILES, StandIns),
    BackendCase("ssh", "preview", "ssh", REMOTE, WRONG, FILES, StandIns),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_backends_of_previews_keep_the_contract(check: Callable[[BackendCase], None], case: BackendCase) -> None:
    check(case)


def test_p36_what_is_made_of_an_output_is_opened_again_with_who_gave_it(root: Path) -> None:
    text = SHOP.replace(
        "      ttl: 72h", '      after: {run: "true", env: {H: "${{ provisioner.postgres.HOST }}"}}\n      ttl: 72h'
    )
    plan = planned(root, text)
    made = "${{ stages.provisioner.steps['service/postgres'].outputs.made }}"
    opened = {node.id for node in plan.nodes if made in str(node.slots["after"])}
    assert opened == {"provisioner/manifest", "runner/env[services%2Fapi%2F.env.local]", "runner/after"}
    compute = "${{ stages.provisioner.steps.compute.outputs.made }}"
    kept = {node.id for node in plan.nodes if compute not in str(node.slots["after"])}
    assert kept == {"provisioner/compute", "provisioner/service/postgres", "provisioner/manifest"}
