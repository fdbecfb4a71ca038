"""`shipway preview up` killed at every node: the next `up` or `down` makes it whole, with one checkout and no stray process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.preview_shop import Shop, killed_at

NODES = (
    "provisioner/compute",
    "provisioner/ports",
    "provisioner/service/data",
    "provisioner/manifest",
    "runner/env[api%2F.env.local]",
    "runner/env[web%2F.env.local]",
    "runner/service/api",
    "runner/service/web",
)
pytestmark = pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="processes are looked up in /proc")


def test_p41_killed_in_any_node_the_next_up_makes_it_whole_and_down_leaves_nothing(shop: Shop) -> None:
    for node in NODES:
        killed_at(shop.project.root, shop.project.env, node, ">")
        shop.call("up")
        found = shop.environments()["feat-login"]
        assert found["state"] == "ready", node
        assert shop.page("feat-login", "web").startswith("web of rows of feat-login"), node
        assert (len(shop.worktrees()), len(shop.processes())) == (1, 2), node
        shop.call("down")
        assert (shop.processes(), shop.worktrees(), [*shop.data.glob("*.db")]) == ([], [], []), node


def test_p41_killed_after_any_node_a_down_leaves_nothing(shop: Shop) -> None:
    for node in NODES:
        killed_at(shop.project.root, shop.project.env, node, "✓")

        shop.call("down")
        assert shop.environments()["feat-login"]["state"] == "gone", node
        assert (shop.processes(), shop.worktrees(), [*shop.data.glob("*.db")]) == ([], [], []), node
