"""Shows what the stages of a preview become: nodes, their order, and what each of them is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipway.nodes import NeedKind, Promise
from tests.previews import SHOP, attempt, planned, workspace


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


def test_a_node_is_given_where_things_are_by_promise(root: Path) -> None:
    node = planned(root, SHOP).by_id["runner/service/api"]
    assert node.slots["compute"] == Promise("provisioner/compute")
    assert node.slots["port"] == Promise("provisioner/ports", "api")
