"""Shows what things of a preview are called, and that two previews never share a name."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from shipway.errors import UsageError
from shipway.preview_names import compose_project, found_node, host_label, mark, port_variable, preferred_block
from tests.previews import SHOP, planned, workspace


@pytest.mark.parametrize(
    ("target", "block"),
    [("feat-auth", 61200), ("pr-1", 62300), ("pr-2", 64600), ("pr-42", 61400), ("pr-100", 63900), ("main", 64200)],
)
def test_p68_a_target_prefers_a_block_by_its_name(target: str, block: int) -> None:
    assert preferred_block(target) == block


def test_p71_two_targets_may_prefer_one_block() -> None:
    assert preferred_block("pr-3") == preferred_block("pr-18") == 62500


def test_p67_a_project_is_called_by_lifecycle_and_target() -> None:
    assert compose_project("shop", "pr-42") == "shop-pr-42"
    assert host_label("pr-42", "api") == "pr-42--api"


def test_p67_two_previews_have_two_names_however_odd_they_are() -> None:
    odd = ["feat/x", "feat_x", "feat-x", "FEAT-X", "é", "-", "--", "x" * 80, "x" * 81, "pr-1--api", "pr-1"]
    odd += [name.partition("/")[0] for name in odd]
    odd += [compose_project("shop", name).removeprefix("shop-") for name in odd]
    pairs = list(product(["shop", "shop-admin", "shop-admin-pr"], dict.fromkeys([*odd, "admin-pr-1", "1"])))
    projects = [compose_project(*pair) for pair in pairs]
    labels = [
        host_label(target, service) for target, service in product(dict.fromkeys(odd), ["", "api", "a--b", "a_b"])
    ]
    for names in (projects, labels):
        assert len(set(names)) == len(names)
        assert all(0 < len(name) <= 63 and name == name.lower() and name.isascii() for name in names)
        assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") and name[0] != "-" for name in names)


def test_p53_a_variable_is_named_for_its_service() -> None:
    assert port_variable("a-b") == port_variable("a_b") == "SHIPWAY_PORT_A_B"


def test_a_mark_says_whose_it_is() -> None:
    assert mark("shop", "pr-42", "api") == "shop/pr-42/api"
    assert mark("shop", "pr-42") == "shop/pr-42"


def test_p35_a_node_that_is_not_there_lists_those_that_are_in_their_order(tmp_path: Path) -> None:
    plan = planned(workspace(tmp_path), SHOP)
    assert found_node(plan, "runner/service/api") == "runner/service/api"
    with pytest.raises(UsageError) as caught:
        found_node(plan, "nosuch")
    assert caught.value.exit_code == 2
    assert caught.value.next == (
        "the nodes are `provisioner/compute`, `provisioner/ports`, `provisioner/service/postgres`,"
        " `provisioner/manifest`, `runner/env[services/api/.env.local]`,"
        " `runner/env[services/shopfront/.env.local]`, `runner/infrastructure`, `runner/service/api`,"
        " `runner/service/shopfront`"
    )
