"""What of things that bear a mark is left over: only what was this lifecycle's, and of an environment that is no more."""

from __future__ import annotations

import pytest

from shipway.environment_record import EnvironmentRecord, EnvironmentState
from shipway.port_blocks import Owner
from shipway.sweeping import Found, Kind, Leftovers, found_json, leftovers, machines_in, owner_of, told


def found(target: str, kind: Kind = Kind.PROCESS, lifecycle: str = "shop", since_ms: int | None = None) -> Found:
    return Found(kind, "7", Owner(lifecycle, target), "process 7 has a mark", "kill -TERM -- -7", since_ms)


def record(target: str, state: EnvironmentState) -> EnvironmentRecord:
    return EnvironmentRecord("shop", target, state)


def test_p98_only_what_has_no_owner_is_left_over() -> None:
    records = [record("pr-1", EnvironmentState.READY), record("pr-2", EnvironmentState.GONE)]
    seen = leftovers([found(f"pr-{number}") for number in range(1, 4)], "shop", records)
    assert [each.owner.target for each in seen.found] == ["pr-2", "pr-3"]


@pytest.mark.parametrize("state", [each for each in EnvironmentState if each is not EnvironmentState.GONE])
def test_p98_whatever_state_an_environment_is_in_it_owns_what_bears_its_mark(state: EnvironmentState) -> None:
    assert leftovers([found("pr-1")], "shop", [record("pr-1", state)]) == Leftovers(())


def test_p98_shop_never_claims_what_is_of_shop_admin() -> None:
    other = [found("pr-1", lifecycle="shop-admin"), found("admin-pr-1"), found("pr-1", lifecycle="sho")]
    assert [each.owner for each in leftovers(other, "shop", []).found] == [Owner("shop", "admin-pr-1")]
    assert owner_of("shop-admin/pr-1/api") == Owner("shop-admin", "pr-1")


def test_p97_what_is_not_known_is_nobodys() -> None:
    things = [found("pr-1"), found("pr-2"), found("pr-3")]
    seen = leftovers(things, "shop", [], unread=["pr-1"], busy=["pr-2"], unknown=["containers: no answer"])
    assert [each.owner.target for each in seen.found] == ["pr-3"]
    assert seen.unknown == ("containers: no answer",)


def test_what_runs_goes_before_what_it_runs_in() -> None:
    kinds = [Kind.LOCK, Kind.LEASE, Kind.CHECKOUT, Kind.CONTAINERS, Kind.PROCESS]
    seen = leftovers([found("pr-1", kind) for kind in kinds], "shop", [])
    assert [each.kind for each in seen.found] == kinds[::-1]


def test_p98_each_is_told_with_age_evidence_and_command() -> None:
    thing = found("pr-9", since_ms=1_000)
    text = "process 7 of `pr-9` of `shop`, 1m1s old: process 7 has a mark; kill -TERM -- -7"
    assert told(thing, 62_500) == text
    assert found_json(thing, 62_500) == {
        "kind": "process",
        "name": "7",
        "lifecycle": "shop",
        "target": "pr-9",
        "evidence": "process 7 has a mark",
        "age_ms": 61_500,
        "command": "kill -TERM -- -7",
    }
    assert "of unknown age" in told(found("pr-9"), 0)


@pytest.mark.parametrize("mark", ["", "shop", "shop/", "/pr-1", "//"])
def test_what_is_no_mark_is_nobodys(mark: str) -> None:
    assert owner_of(mark) is None


def test_p98_machines_are_those_that_their_hook_says_are_marked() -> None:
    text = "vm-1 shop/pr-1\n\n  vm-2   shop-admin/pr-1 since yesterday\nvm-3\nvm-4 shop\nnot a machine\n"
    machines = machines_in(text, "./destroy 'x'")
    assert [(each.name, each.owner) for each in machines] == [
        ("vm-1", Owner("shop", "pr-1")),
        ("vm-2", Owner("shop-admin", "pr-1")),
    ]
    assert machines[0].command == (
        "SHIPWAY_LIFECYCLE=shop SHIPWAY_TARGET=pr-1 SHIPWAY_ACTION=destroy sh -c './destroy '\"'\"'x'\"'\"''"
    )
    assert machines_in("vm-1 shop/pr-1", "")[0].command == ""
