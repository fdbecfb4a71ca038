"""What every store must do, as checks over a store that is made twice: as two processes would have it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Barrier, Thread

import pytest

from shipway.holding import Holding
from shipway.locks import Claim, Holder, KeptBy, Life, LockHeld, key_of, lifecycle_lock, load_lock, named_lock
from shipway.store import Store

MakeStore = Callable[[], Store]


def check_nothing_is_there_at_first(make: MakeStore) -> None:
    """An empty store answers, and lists nothing."""
    store = make()
    assert store.read("locks/named/db") is None
    assert dict(store.entries("locks/")) == {}
    store.close()


def check_what_is_written_is_read_by_others(make: MakeStore) -> None:
    """Any bytes, under any key, as they were."""
    one, other = make(), make()
    content = bytes(range(256)) * 40
    version = one.swap("locks/lifecycle/shop/v1.2.x", None, content)
    assert version is not None
    kept = other.read("locks/lifecycle/shop/v1.2.x")
    assert kept is not None and (kept.content, kept.version) == (content, version)
    assert list(other.entries("locks/")) == ["locks/lifecycle/shop/v1.2.x"]
    assert other.swap("locks/empty", None, b"") is not None
    empty = one.read("locks/empty")
    assert empty is not None and empty.content == b""
    one.close()
    other.close()


def check_only_who_saw_it_last_replaces_it(make: MakeStore) -> None:
    """A swap with a version that is no longer the present one changes nothing."""
    one, other = make(), make()
    first = one.swap("locks/named/db", None, b"1")
    assert first is not None
    assert other.swap("locks/named/db", None, b"2") is None
    second = other.swap("locks/named/db", first, b"2")
    assert second is not None and second != first
    assert one.swap("locks/named/db", first, b"3") is None
    kept = one.read("locks/named/db")
    assert kept is not None and kept.content == b"2"
    one.close()
    other.close()


def check_entries_are_those_of_the_prefix(make: MakeStore) -> None:
    """Whole keys, in order, and nothing that only begins alike elsewhere."""
    store = make()
    for key in ("locks/named/b", "locks/named/a", "locks/named-more/c", "journals/shop/prod"):
        assert store.swap(key, None, key.encode()) is not None
    assert [(key, kept.content) for key, kept in store.entries("locks/named/").items()] == [
        ("locks/named/a", b"locks/named/a"),
        ("locks/named/b", b"locks/named/b"),
    ]
    store.close()


def check_one_of_many_wins(make: MakeStore) -> None:
    """Eight at once: one swap succeeds."""
    stores = [make() for _ in range(8)]
    start, won = Barrier(len(stores)), []

    def claim(number: int) -> None:
        start.wait()
        if stores[number].swap("locks/named/db", None, f"{number}".encode()) is not None:
            won.append(number)

    threads = [Thread(target=claim, args=(number,)) for number in range(len(stores))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = stores[0].read("locks/named/db")
    assert kept is not None and [f"{number}".encode() for number in won] == [kept.content]
    for store in stores:
        store.close()


def check_a_lock_has_one_holder_until_it_is_given_back(make: MakeStore) -> None:
    """Held, refused, given back, taken with a greater token."""
    kept_by = KeptBy.PROCESS if make().presence else KeptBy.LEASE
    lease_ms = 0 if kept_by is KeptBy.PROCESS else 600_000
    names = [lifecycle_lock("shop", "prod"), named_lock("db")]

    def holding(who: str) -> Holding:
        return Holding(make(), Claim(Holder(who, actor=who), kept_by, lease_ms), lambda: 1_000, lambda _: Life.UNASKED)

    one, other = holding("one"), holding("other")
    one.take(names)
    with pytest.raises(LockHeld) as raised:
        other.take([named_lock("aaa"), *names])
    assert raised.value.lock.holder is not None and raised.value.lock.holder.actor == "one"
    kept = make().read(key_of(named_lock("aaa")))
    assert kept is None or load_lock(kept.content).holder is None, "what was got on the way is given back"
    one.close()
    other.take(names)
    assert [other.token(name) for name in names] == [2, 2]
    other.close()


def check_documents_are_kept_in_the_order_they_came(make: MakeStore) -> None:
    """Each behind the one that was last for whoever puts it there; those of many who add at once are all there."""
    stores = [make() for _ in range(4)]
    key = "receipts/shop/prod"
    assert list(stores[0].appended(key)) == [] and stores[0].last(key) is None
    assert stores[0].append(key, "first.json", b"1", None)
    assert not stores[1].append(key, "other.json", b"other", None)
    first = stores[1].last(key)
    assert first is not None and (first.name, first.content) == ("first.json", b"1")

    def add(number: int) -> None:
        for turn in range(2):
            name, content = f"{number}-{turn}.json", f"{number}{turn}".encode()
            while True:
                last = stores[number].last(key)
                assert last is not None
                if stores[number].append(key, name, content, last.version):
                    break

    threads = [Thread(target=add, args=(number,)) for number in range(len(stores))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = list(make().appended(key))
    assert len(found) == 9 and found[-1] == ("first.json", b"1")
    assert dict(found)["3-1.json"] == b"31"
    for number in range(len(stores)):
        names = [name for name, _ in found if name.startswith(f"{number}-")]
        assert names == [f"{number}-1.json", f"{number}-0.json"]
    for store in stores:
        store.close()


CHECKS = (
    check_documents_are_kept_in_the_order_they_came,
    check_nothing_is_there_at_first,
    check_what_is_written_is_read_by_others,
    check_only_who_saw_it_last_replaces_it,
    check_entries_are_those_of_the_prefix,
    check_one_of_many_wins,
    check_a_lock_has_one_holder_until_it_is_given_back,
)
