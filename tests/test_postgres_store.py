"""The store in PostgreSQL, with a real server: the contract, many processes, lost connections and missing rights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from shipway.errors import Reason
from shipway.store import Store, StoreError
from shipway.stores.postgres import Postgres
from tests.contention import contend
from tests.contracts.store import CHECKS
from tests.postgres import Server, server

KEY = "locks/named/db"


@pytest.fixture(scope="module")
def database() -> Iterator[Server]:
    with server() as running:
        yield running


@pytest.fixture
def url(database: Server) -> Iterator[str]:
    yield database.url
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS shipway_records, shipway_documents")


def store_of(url: str) -> Postgres:
    return Postgres(url, sleep=lambda seconds: None, redact=lambda text: text)


@pytest.mark.parametrize("check", CHECKS)
def test_it_keeps_the_contract_of_stores(check: Callable[[Callable[[], Store]], None], url: str) -> None:
    made: list[Postgres] = []

    def make() -> Store:
        made.append(store_of(url))
        return made[-1]

    check(make)
    for store in made:
        store.close()


def test_eight_processes_contend_for_a_lock(url: str, tmp_path: Path) -> None:
    found = contend("postgres", url, tmp_path / "oracle", processes=8, rounds=4)
    assert found.failures == []
    assert found.tokens == list(range(1, 33))


def test_a_connection_that_broke_is_made_again(url: str) -> None:
    store = store_of(url)
    first = store.swap(KEY, None, b"1")
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'shipway'")
    assert store.swap(KEY, first, b"2") is not None
    kept = store.read(KEY)
    assert kept is not None and kept.content == b"2"
    store.close()


def test_a_server_that_is_gone_is_unreachable_and_one_that_comes_back_is_used() -> None:
    with server() as running:
        store = store_of(running.url)
        version = store.swap(KEY, None, b"1")
        running.stop()
        with pytest.raises(StoreError, match="PostgreSQL cannot be used") as raised:
            store.swap(KEY, version, b"2")
        assert (raised.value.reason, raised.value.exit_code) == (Reason.STORE_UNREACHABLE, 6)
        running.start()
        assert store.swap(KEY, version, b"2") is not None
        store.close()


def test_a_user_without_rights_is_told_which(url: str) -> None:
    store = store_of(url)
    assert store.swap(KEY, None, b"1") is not None
    store.close()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute("CREATE ROLE reader LOGIN")
        connection.execute("GRANT SELECT ON shipway_records TO reader")
    reader = store_of(url.replace("postgres@", "reader@"))
    kept = reader.read(KEY)
    assert kept is not None
    with pytest.raises(StoreError) as raised:
        reader.swap(KEY, kept.version, b"2")
    assert raised.value.reason is Reason.LOCK_PERMISSION and "shipway_records" in raised.value.next
    reader.close()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP OWNED BY reader; DROP ROLE reader")


def test_an_address_is_not_quoted_with_its_password() -> None:
    store = Postgres(
        "postgresql://me:hunter2@127.0.0.1:1/x",
        sleep=lambda seconds: None,
        redact=lambda text: text.replace("hunter2", "***"),
    )
    with pytest.raises(StoreError) as raised:
        store.read(KEY)
    assert "hunter2" not in raised.value.message
