"""Leases of ports: which block a target gets, that nobody else gets it, and that what is leased stays as it is."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from shipway.port_blocks import Block, Owner, PortsRefused, Wanted, block_bytes, first_of, load_block
from shipway.port_leases import PortLeases
from shipway.store import Store
from shipway.stores.local_files import LocalFiles
from tests.contender import open_store
from tests.crowd import crowd
from tests.git_remotes import make_remote
from tests.postgres import Server, server


@pytest.fixture(scope="module")
def database() -> Iterator[Server]:
    with server() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "store").mkdir()
    return LocalFiles(tmp_path / "store")


def take(
    store: Store,
    target: str,
    names: Sequence[str] = ("a", "b", "c"),
    *,
    fixed: Mapping[str, int] | None = None,
    busy: Collection[int] = (),
    lifecycle: str = "shop",
) -> dict[str, int]:
    return PortLeases(store).take("h1", Wanted(Owner(lifecycle, target), names, fixed or {}), busy)


@pytest.mark.parametrize(
    ("target", "first"),
    [("feat-auth", 61200), ("pr-1", 62300), ("pr-2", 64600), ("pr-42", 61400), ("pr-100", 63900), ("main", 64200)],
)
def test_p68_a_target_gets_the_block_that_its_name_prefers(store: Store, target: str, first: int) -> None:
    assert take(store, target) == {"a": first, "b": first + 1, "c": first + 2}


def test_p69_names_get_consecutive_free_ports_by_name_and_the_same_each_time(store: Store) -> None:
    expected = {"a": 61400, "b": 61402, "c": 61403}
    assert take(store, "pr-42", ["c", "a", "b"], busy=[61401]) == expected
    assert take(store, "pr-42", ["b", "c", "a"], busy=[61400, 61402, 61403]) == expected, (
        "their own services listen there"
    )


def test_p70_too_many_names_and_no_port_left_are_refused(store: Store) -> None:
    with pytest.raises(PortsRefused, match="101 names need a port, and a block has 100"):
        take(store, "pr-1", [f"n{number}" for number in range(101)])
    assert len(take(store, "pr-1", [f"n{number}" for number in range(100)])) == 100
    with pytest.raises(PortsRefused, match="no block of ports with 3 free ones is left between 61000 and 64999"):
        take(store, "pr-2", busy=range(61000, 65000))


def test_p70_a_full_block_makes_way_for_the_next_free_one(store: Store) -> None:
    assert take(store, "pr-42", busy=range(61400, 61498))["a"] == 61500
    assert take(store, "main", busy=range(64200, 65000))["a"] == 61000, "behind the last one comes the first"


def test_p71_two_that_prefer_one_block_get_two_and_twenty_have_no_port_twice(store: Store) -> None:
    assert (take(store, "pr-3")["a"], take(store, "pr-18")["a"]) == (62500, 62600)
    ports = [port for number in range(20) for port in take(store, f"pr-{number}").values()]
    assert len(set(ports)) == 60


def test_the_forty_first_environment_is_refused_and_gets_what_another_gives_back(store: Store) -> None:
    blocks = {first_of(take(store, f"pr-{number}")["a"]) for number in range(40)}
    assert len(blocks) == 40
    with pytest.raises(PortsRefused, match="no block of ports"):
        take(store, "pr-40")
    leases = PortLeases(store)
    given = leases.of("h1", Owner("shop", "pr-7"))
    assert leases.release(Owner("shop", "pr-7"))
    assert not leases.release(Owner("shop", "pr-7"))
    assert take(store, "pr-40") == given


def test_p72_a_name_added_later_leaves_the_others_where_they_are(store: Store) -> None:
    before = take(store, "pr-42", ["b", "c"])
    after = take(store, "pr-42", ["aaa", "b", "c"])
    assert {name: after[name] for name in before} == before and after["aaa"] == 61402
    assert take(store, "pr-42", ["aaa", "c"]) == {"aaa": 61402, "c": 61401}, "what is not declared any more goes"


def test_more_names_than_are_free_in_its_block_get_the_rest_in_another(store: Store) -> None:
    first = take(store, "pr-42", ["a"])
    more = take(store, "pr-42", ["a", "b", "c"], busy=range(61402, 61500))
    assert more == {**first, "b": 61401, "c": 61500} or more == {**first, "b": 61401, "c": 61501}
    assert take(store, "feat-x", ["a"], busy=[])["a"] not in more.values()


def test_p73_leases_of_one_host_say_nothing_of_another(store: Store) -> None:
    leases = PortLeases(store)
    wanted = Wanted(Owner("shop", "pr-1"), ["a"], {})
    other = Wanted(Owner("other", "pr-1"), ["a"], {})
    assert leases.take("h1", wanted, ()) == leases.take("H2_x:22", other, ()) == {"a": 62300}
    leases.take("h2", wanted, ())
    assert leases.release(Owner("shop", "pr-1"), but="h2")
    assert (leases.of("h1", Owner("shop", "pr-1")), leases.of("h2", Owner("shop", "pr-1"))) == ({}, {"a": 62300})


def test_p74_a_fixed_port_that_is_held_is_refused_naming_the_holder(store: Store) -> None:
    assert take(store, "pr-1", ["api"], fixed={"api": 8080}) == {"api": 8080}
    with pytest.raises(PortsRefused, match="port 8080 of `web` is leased by `api` of the environment `pr-1` of `shop`"):
        take(store, "pr-2", ["web"], fixed={"web": 8080})
    with pytest.raises(PortsRefused, match="port 8081 of `web` is the port of `api` too"):
        take(store, "pr-2", ["api", "web"], fixed={"api": 8081, "web": 8081})
    with pytest.raises(PortsRefused, match="port 9000 of `web` is in use on the host by something else"):
        take(store, "pr-2", ["web"], fixed={"web": 9000}, busy=[9000])
    assert take(store, "pr-1", ["api"], fixed={"api": 8080}, busy=[8080]) == {"api": 8080}, "its own service listens"
    free = take(store, "pr-42", ["a"])["a"]
    with pytest.raises(PortsRefused, match="is leased by `a` of the environment `pr-42`"):
        take(store, "pr-2", ["web"], fixed={"web": free})


def test_a_fixed_port_in_a_block_is_left_alone_by_whoever_holds_the_block(store: Store) -> None:
    assert take(store, "pr-1", ["api"], fixed={"api": 61400}) == {"api": 61400}
    assert take(store, "pr-42", ["a"]) == {"a": 61401}
    assert take(store, "pr-1", ["api"]) == {"api": 62300}, "no longer fixed, it is in a block of its own"


def test_a_block_that_cannot_be_read_counts_as_held(store: Store) -> None:
    store.swap("ports/h1/61400", None, b"{")
    assert take(store, "pr-42")["a"] == 61500
    with pytest.raises(PortsRefused, match="whether port 61401 of `api` is leased cannot be read"):
        take(store, "pr-42", ["api"], fixed={"api": 61401})


def test_a_block_comes_back_as_it_was_kept() -> None:
    for block in (Block(61000), Block(61000, Owner("shop", "pr-1"))):
        assert load_block(block_bytes(block)) == block
    for content in (b"{", b"null", b"{}", b'{"kind":"ports","schema":2}', b"[" * 100_000):
        with pytest.raises(ValueError, match=r"line|no (whole )?"):
            load_block(content)


@pytest.mark.parametrize("what", ["local", "git", "postgres"])
def test_forty_environments_at_once_have_forty_blocks(
    what: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    match what:
        case "postgres":
            place = request.getfixturevalue("database").url
        case "git":
            place = str(make_remote(tmp_path)[1][0])
        case _:
            (tmp_path / "store").mkdir()
            place = str(tmp_path / "store")
    told = crowd(what, place, "lease", 40)
    found = [each["did"] for each in told]
    assert len(found) == 40
    blocks = set()
    for ports in found:
        assert isinstance(ports, dict)
        assert sorted(ports) == ["api", "cache", "web"]
        assert len({first_of(port) for port in ports.values()}) == 1
        blocks.add(first_of(ports["api"]))
    assert blocks == set(range(61000, 65000, 100))
    store = open_store(what, place)
    (host,) = PortLeases(store).all()
    held = [lease.port for block in host.blocks.values() if block for lease in block.leases]
    assert (host.host, len(held), len(set(held))) == ("host", 120, 120)
    store.close()
