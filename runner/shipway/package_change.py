"""Changes among packages that can be put back: what was there is noted on disk before, what came of it afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from shipway.action import ActionFailed, Done, Drifted, NotUndoable, Work
from shipway.canonical import Json, integer_of, items_of, object_of
from shipway.nodes import Change
from shipway.package_work import PackageWork
from shipway.packages import Listing, Wanted
from shipway.records import SPARED, Record

_BEFORE = "packages.json"


class Difference(Struct, frozen=True):
    """What one change did to the packages: by key what is `added` and `removed`, and the old and new version of others.

    `spared` are added ones of which settings were there before. `made` is how many folders, from the prefix upwards, were not
    there before.
    """

    added: Mapping[str, str] = field(default_factory=dict)
    removed: Mapping[str, str] = field(default_factory=dict)
    changed: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    spared: tuple[str, ...] = ()
    made: int = 0

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def difference(before: Listing, after: Listing) -> Difference:
    """What lies between two listings."""
    old, new = before.versions, after.versions
    added = {name: version for name, version in new.items() if name not in old}
    return Difference(
        added,
        {name: version for name, version in old.items() if name not in new},
        {name: (old[name], version) for name, version in new.items() if old.get(name, version) != version},
        tuple(sorted(before.leftovers & added.keys())),
    )


def difference_json(found: Difference) -> dict[str, Json]:
    """JSON-safe undo state."""
    changed = {name: list(both) for name, both in found.changed.items()}
    return {
        "added": dict(found.added),
        "removed": dict(found.removed),
        "changed": changed,
        "spared": list(found.spared),
        "made": found.made,
    }


def difference_from_json(data: Mapping[str, Json]) -> Difference:
    """What `difference_json` wrote."""
    pairs = {name: items_of(both) for name, both in object_of(data["changed"]).items()}
    return Difference(
        {name: str(version) for name, version in object_of(data["added"]).items()},
        {name: str(version) for name, version in object_of(data["removed"]).items()},
        {name: (str(both[0]), str(both[1])) for name, both in pairs.items()},
        tuple(str(name) for name in items_of(data["spared"])),
        integer_of(data.get("made", 0)),
    )


def changed_packages(
    work: Work, packages: PackageWork, before: Listing, change: Callable[[], None], fault_of: Callable[[Listing], str]
) -> tuple[Listing, Difference]:
    """Carry out `change`, noted so that `undo_packages` can put it back. Where it fails, what it had done is put back.

    `fault_of` says what is wrong with what it came to, if anything. What a try that never reported found before it is what
    counts as before.
    """
    before, made = _noted(work.scratch) or (before, packages.missing_folders())
    _note(work.scratch, before, made)
    try:
        change()
        after = packages.installed()
        fault = fault_of(after)
        if fault:
            raise ActionFailed(fault)
    except ActionFailed as error:
        if not work.cancelled():
            _put_back_failed(work, packages, before, made, error)
        raise
    return after, replace(difference(before, after), made=made)


def done_with(
    packages: PackageWork,
    wanted: Sequence[Wanted],
    now: Listing,
    found: Difference,
    change: Change,
) -> Done:
    """What a node gives that changed, or left as they were, the packages it was asked for."""
    keys = [packages.key(each) for each in wanted]
    present = {key: now.versions[key] for key in keys if key in now.versions}
    outputs: dict[str, Json] = {"names": ", ".join(each.name for each in wanted), "versions": dict(present)}
    touched = {*found.added, *found.changed, *found.removed}
    # Where nothing at all was changed the outcome says so.
    spared = {key for key in keys if key not in touched} if found else set[str]()
    records = tuple(_record(packages, key, present.get(key), is_spared=key in spared) for key in keys)
    if not found:
        return Done(outputs, unchanged=True, change=Change.NOOP, records=records)
    return Done(outputs, undo=difference_json(found), change=change, records=records)


def undo_packages(work: Work) -> None:
    """Put back what `do` changed: nothing that was not noted then. Raises Drifted, NotUndoable, ActionFailed.

    After a `do` that never reported, what is there now is compared with what was there before.
    """
    packages = PackageWork.of(work)
    now = packages.installed()
    if isinstance(work.state, Mapping):
        found = difference_from_json(work.state)
        _refuse_drifted(found, now)
    else:
        noted = _noted(work.scratch)
        if noted is None:
            return
        found = replace(difference(noted[0], now), made=noted[1])
    _put_back(packages, found, now)
    (work.scratch / _BEFORE).unlink(missing_ok=True)


def _put_back(packages: PackageWork, found: Difference, now: Listing) -> None:
    old = {name: both[0] for name, both in found.changed.items()} | dict(found.removed)
    again = [Wanted(name, version) for name, version in old.items() if now.versions.get(name) != version]
    if again:
        _refuse_unobtainable(packages, again)
        packages.install(again)
        now = packages.installed()
    gone = sorted(name for name in found.added if name in now.versions)
    if gone:
        packages.withdraw(gone, found.spared)
        now = packages.installed()
    left = sorted(name for name in found.added if name in now.versions)
    lacking = sorted(name for name, version in old.items() if now.versions.get(name) != version)
    if left or lacking:
        said = [f"still there: {', '.join(left)}"] if left else []
        said += [f"not as before: {', '.join(lacking)}"] if lacking else []
        raise ActionFailed("; ".join(said))
    packages.leave_prefix(found.made)


def _refuse_drifted(found: Difference, now: Listing) -> None:
    """What somebody changed since then is theirs."""
    after = {name: {version} for name, version in found.added.items()}
    after |= {name: set(both) for name, both in found.changed.items()}
    after |= {name: {version} for name, version in found.removed.items()}
    for name, versions in after.items():
        current = now.versions.get(name)
        if current is not None and current not in versions:
            raise Drifted(f"`{name}` is {current} now, and was {' or '.join(sorted(versions))}")
    for name in found.changed:
        if name not in now.versions:
            raise Drifted(f"`{name}` is not installed any more")


def _refuse_unobtainable(packages: PackageWork, again: Sequence[Wanted]) -> None:
    shown = ", ".join(f"{each.name} {each.version}" for each in again)
    if not packages.driver.keeps_versions:
        raise NotUndoable(f"{packages.driver.name} installs no older version; to be put back: {shown}")
    if packages.driver.asks_afar:
        return
    offers = packages.offers(again)
    lacking = [
        each for each in again if not (packages.key(each) in offers and offers[packages.key(each)].has(each.version))
    ]
    if lacking:
        shown = ", ".join(f"{each.name} {each.version}" for each in lacking)
        raise NotUndoable(f"{packages.driver.name} has no more of {shown}")


def _put_back_failed(work: Work, packages: PackageWork, before: Listing, made: int, error: ActionFailed) -> None:
    """Nothing is left half-done; where it is all the same, the rollback tries once more."""
    try:
        now = packages.installed()
        _put_back(packages, replace(difference(before, now), made=made), now)
        (work.scratch / _BEFORE).unlink(missing_ok=True)
    except (ActionFailed, NotUndoable) as second:
        raise ActionFailed(
            f"{error}; and it could not be put back: {second}", is_permanent=error.is_permanent
        ) from error


def _record(packages: PackageWork, key: str, version: str | None, *, is_spared: bool) -> Record:
    facts: dict[str, Json] = {"manager": packages.driver.name}
    if version is not None:
        facts["version"] = version
    if packages.prefix:
        facts["prefix"] = packages.prefix
    if packages.is_cask:
        facts["cask"] = True
    if is_spared:
        facts[SPARED] = True
    return Record("package", packages.record_name(key), version is not None, version or "", facts)


def _note(scratch: Path, before: Listing, made: int) -> None:
    file = scratch / _BEFORE
    scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    noted = {"versions": dict(before.versions), "leftovers": sorted(before.leftovers), "made": made}
    part.write_text(json.dumps(noted))
    part.replace(file)


def _noted(scratch: Path) -> tuple[Listing, int] | None:
    try:
        data = object_of(json.loads((scratch / _BEFORE).read_bytes()))
    except FileNotFoundError:
        return None
    versions = {name: str(version) for name, version in object_of(data["versions"]).items()}
    before = Listing(versions, frozenset(str(name) for name in items_of(data["leftovers"])))
    return before, integer_of(data.get("made", 0))
