"""The records of environments: one each, in every store, whoever else writes; and none hurt by another that is broken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipway.environment_record import (
    MOST_HAPPENINGS,
    Checkpoint,
    EnvironmentRecord,
    EnvironmentState,
    Happening,
    environment_bytes,
    environment_json,
    in_state,
    load_environment,
    marked_stale,
    with_checkpoint,
    with_stuck,
)
from shipway.environments import Damaged, Environments, environment_key
from shipway.store import Store, StoreError
from shipway.stores.local_files import LocalFiles
from tests.contender import open_store
from tests.crowd import GROWN, LIFECYCLE, crowd
from tests.git_remotes import make_remote
from tests.postgres import Server, server

WHOLE = EnvironmentRecord(
    lifecycle="shop",
    target="pr-42",
    state=EnvironmentState.FAILED,
    cause="runner/deploy: exit 1",
    run="20260101T000000-1",
    actor="ada",
    pull_request=42,
    branch="feat/x$(touch p)",
    base="main",
    commit="c" * 40,
    backend="ssh",
    host="h1",
    root="/srv/preview/shop-pr-42",
    created_ms=1,
    touched_ms=2,
    ttl_ms=3,
    urls={"api": "http://h1:61400"},
    checkpoints={
        "provisioner/ports": Checkpoint("sha256:0", {"api": 61_400}, "c2VhbGVk", 3, 4, "why", ("DSN",), {"action": "0"})
    },
    stuck={"provisioner/compute": "host unreachable"},
    declaration='{"name":"shop"}',
    history=(Happening(5, "up", "ada", "r", "c", "opened"),),
    deployment="7",
    made=9,
)


@pytest.fixture(scope="module")
def database() -> Iterator[Server]:
    with server() as running:
        yield running


@pytest.fixture(params=["local", "git", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """What store, and where."""
    what = request.param
    if what == "postgres":
        yield what, request.getfixturevalue("database").url
        _forget(request.getfixturevalue("database").url)
    elif what == "git":
        yield what, str(make_remote(tmp_path)[1][0])
    else:
        (tmp_path / "store").mkdir()
        yield what, str(tmp_path / "store")


def _forget(url: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS shipway_records, shipway_documents")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "store").mkdir()
    return LocalFiles(tmp_path / "store")


def test_p82_a_record_comes_back_as_it_was_kept() -> None:
    assert load_environment(environment_bytes(WHOLE)) == WHOLE
    fresh = EnvironmentRecord("shop", "pr-1")
    assert load_environment(environment_bytes(fresh)) == fresh
    assert environment_json(fresh)["schema"] == 1


def test_p42_integers_stay_integers_in_every_store(place: tuple[str, str]) -> None:
    store = open_store(*place)
    Environments(store, "shop").change("pr-42", lambda record: WHOLE)
    other = open_store(*place)
    found = Environments(other, "shop").read("pr-42")
    assert found == WHOLE
    assert found is not None and type(found.checkpoints["provisioner/ports"].outputs["api"]) is int
    store.close()
    other.close()


def test_p82_nothing_stored_is_no_environment_and_several_are_listed_by_name(store: Store, tmp_path: Path) -> None:
    environments = Environments(store, "shop")
    assert (environments.read("pr-1"), environments.all()) == (None, ([], []))
    for target in ("pr-2", "feat-b", "pr-1"):
        environments.change(target, lambda record, target=target: EnvironmentRecord("shop", target))  # type: ignore[misc]
    Environments(store, "shop-admin").change("pr-1", lambda record: EnvironmentRecord("shop-admin", "pr-1"))
    assert [record.target for record in environments.all()[0]] == ["feat-b", "pr-1", "pr-2"]
    assert [path.name for path in (tmp_path / "store").iterdir() if path.suffix == ".new"] == []


def test_p84_fifty_processes_write_fifty_targets_at_once(place: tuple[str, str]) -> None:
    told = crowd(*place, "write", 50)
    store = open_store(*place)
    found, damaged = Environments(store, LIFECYCLE).all()
    assert sorted(record.commit for record in found) == sorted(map(str, range(50)))
    assert (len(told), damaged) == (50, [])
    store.close()


def test_p84_what_was_changed_by_one_is_never_lost_to_another_not_even_to_one_that_is_killed(
    place: tuple[str, str],
) -> None:
    told = {str(each["did"]) for each in crowd(*place, "grow", 6, kills=3)}
    store = open_store(*place)
    record = Environments(store, LIFECYCLE).read(GROWN)
    assert record is not None
    history = [each.what for each in record.history]
    assert set(history) >= told, "a change that got through is there"
    assert len(history) == len(set(history)), "none is there twice"
    assert len(told) >= 3 * 12
    store.close()


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b"null", b"\xff", b"[" * 100_000], ids=str)
def test_p84_a_damaged_record_hurts_no_other(store: Store, content: bytes) -> None:
    environments = Environments(store, "shop")
    environments.change("pr-1", lambda record: EnvironmentRecord("shop", "pr-1"))
    store.swap(environment_key("shop", "pr-2"), None, content)
    found, damaged = environments.all()
    assert ([record.target for record in found], [each.target for each in damaged]) == (["pr-1"], ["pr-2"])
    with pytest.raises(StoreError, match=r"the record of `pr-2` in local files .* cannot be read") as raised:
        environments.read("pr-2")
    assert raised.value.exit_code == 6 and "previews/shop/pr-2" in raised.value.next
    with pytest.raises(StoreError):
        environments.change("pr-2", lambda record: EnvironmentRecord("shop", "pr-2"))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"schema": 2}, "its schema is 2, and this version knows 1"),
        ({"target": "pr-9"}, "it is of `pr-9` of `shop`"),
        ({"state": "odd"}, "'odd' is not a valid EnvironmentState"),
        ({"made": True}, "`True` is no integer"),
        ({"checkpoints": {"a": {}}}, "it is not whole: 'key'"),
    ],
    ids=["later", "moved", "state", "boolean", "checkpoint"],
)
def test_a_record_is_refused_that_is_not_what_it_should_be(store: Store, change: dict[str, object], why: str) -> None:
    content = json.dumps({**environment_json(EnvironmentRecord("shop", "pr-1")), **change}).encode()
    store.swap(environment_key("shop", "pr-1"), None, content)
    assert Environments(store, "shop").all() == ([], [Damaged("pr-1", why)])


def test_a_change_that_makes_no_difference_writes_nothing(store: Store) -> None:
    environments = Environments(store, "shop")
    environments.change("pr-1", lambda record: EnvironmentRecord("shop", "pr-1"))
    before = store.read(environment_key("shop", "pr-1"))
    environments.change("pr-1", lambda record: record or EnvironmentRecord("shop", "other"))
    assert store.read(environment_key("shop", "pr-1")) == before


def test_p88_of_what_is_gone_history_and_declaration_stay_and_nothing_else() -> None:
    gone = in_state(WHOLE, EnvironmentState.GONE, Happening(6, "down", "bob"))
    assert (gone.checkpoints, gone.urls, gone.stuck, gone.deployment, gone.cause) == ({}, {}, {}, "", "")
    assert [each.what for each in gone.history] == ["up", "down"]
    assert not gone.is_alive and gone.made == WHOLE.made


def test_p89_what_is_stuck_stays_until_it_is_made_or_gone() -> None:
    stuck = with_stuck(EnvironmentRecord("shop", "pr-1"), "provisioner/service/db", "in use")
    assert stuck.stuck == {"provisioner/service/db": "in use"}
    assert with_checkpoint(stuck, "provisioner/service/db", Checkpoint("k")).stuck == {}


def test_history_is_bounded_and_keeps_the_latest() -> None:
    record = EnvironmentRecord("shop", "pr-1")
    for number in range(MOST_HAPPENINGS + 5):
        record = in_state(record, EnvironmentState.READY, Happening(number, "up"))
    assert [record.history[0].at_ms, record.history[-1].at_ms] == [5, MOST_HAPPENINGS + 4]


def test_only_what_has_a_checkpoint_can_be_stale() -> None:
    record = replace(EnvironmentRecord("shop", "pr-1"), checkpoints={"a": Checkpoint("k"), "b": Checkpoint("k")})
    marked = marked_stale(record, ["b", "c"], "--from b")
    assert {name: each.stale for name, each in marked.checkpoints.items()} == {"a": "", "b": "--from b"}
