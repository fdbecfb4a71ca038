"""What a change among packages will come to, as a plan shows it: versions that are there, and versions wanted. Read-only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shipway.action import ActionFailed, PlanWork, Prediction
from shipway.canonical import Json
from shipway.nodes import Change, Fidelity
from shipway.package_work import PackageWork
from shipway.packages import Offer, Wanted

NEWEST = "newest"
"""What a plan shows of a version that only the manager will tell."""


def plan_install(work: PlanWork) -> Prediction:
    """What will be there. Exact where every version is named or there; a package nobody vouches for needs consent."""
    packages = PackageWork.of(work)
    wanted = packages.wanted(work.inputs["packages"])
    versions = packages.installed().versions
    missing = [each for each in wanted if not packages.satisfied(each, versions)]
    unvouched = [each for each in missing if each in _listed(packages, work.inputs.get("unvouched"))]
    asks = unvouched if packages.driver.asks_afar else missing
    offers = packages.offers(asks) if asks else {}
    unknown = [each for each in asks if not _is_offered(packages, each, offers)]
    _refuse_without_consent(work, packages, [each for each in unknown if each in unvouched])
    after = {packages.key(each): _version_after(packages, each, versions, offers) for each in wanted}
    fidelity, why = _fidelity(packages, missing, unknown, unvouched)
    return _prediction(packages, wanted, versions, after, fidelity, why, reversible=True)


def plan_upgrade(work: PlanWork) -> Prediction:
    """What will be there. Reversible where the manager still has the versions that are there now."""
    packages = PackageWork.of(work)
    wanted = packages.wanted(work.inputs["packages"])
    versions = packages.installed().versions
    absent = [each.name for each in wanted if packages.key(each) not in versions]
    if absent:
        text = f"{', '.join(absent)}: not installed yet, and `pkg.upgrade` installs nothing"
        return Prediction(Change.UPDATE, Fidelity.OPAQUE, why=text, reversible=packages.driver.keeps_versions)
    offers = {} if packages.driver.asks_afar else packages.offers(wanted)
    newer = [each for each in wanted if not _is_newest(packages, each, versions, offers)]
    after = {
        packages.key(each): _version_after(packages, each, {} if each in newer else versions, offers) for each in wanted
    }
    fidelity, why = _fidelity(packages, newer, [], [])
    keeps = packages.driver.keeps_versions and all(
        offers[packages.key(each)].has(versions[packages.key(each)]) for each in newer if packages.key(each) in offers
    )
    if not keeps and newer:
        why = f"{why}; {packages.driver.name} cannot bring the old versions back".removeprefix("; ")
    return _prediction(packages, wanted, versions, after, fidelity, why, reversible=keeps)


def plan_remove(work: PlanWork) -> Prediction:
    """What will be gone."""
    packages = PackageWork.of(work)
    wanted = packages.wanted(work.inputs["packages"])
    versions = packages.installed().versions
    there = [each for each in wanted if packages.key(each) in versions]
    after: dict[str, str | None] = {packages.key(each): None for each in wanted}
    keeps = packages.driver.keeps_versions
    why = "" if keeps or not there else f"{packages.driver.name} cannot bring their versions back"
    return _prediction(packages, wanted, versions, after, Fidelity.EXACT, why, reversible=keeps)


def _prediction(
    packages: PackageWork,
    wanted: Sequence[Wanted],
    versions: Mapping[str, str],
    after: Mapping[str, str | None],
    fidelity: Fidelity,
    why: str,
    *,
    reversible: bool,
) -> Prediction:
    before: dict[str, Json] = {packages.key(each): versions.get(packages.key(each)) for each in wanted}
    outputs: dict[str, Json] = {"names": ", ".join(each.name for each in wanted)}
    return Prediction(
        _change(before, after),
        fidelity,
        why=why,
        before={"manager": packages.driver.name, "packages": before},
        after={"manager": packages.driver.name, "packages": dict(after)},
        outputs=outputs,
        reversible=reversible,
    )


def _change(before: Mapping[str, Json], after: Mapping[str, str | None]) -> Change:
    if dict(before) == dict(after):
        return Change.NOOP
    if not any(after.values()):
        return Change.DELETE
    changed = [name for name in after if before[name] != after[name]]
    return Change.CREATE if all(before[name] is None for name in changed) else Change.UPDATE


def _fidelity(
    packages: PackageWork, changing: Sequence[Wanted], unknown: Sequence[Wanted], unvouched: Sequence[Wanted]
) -> tuple[Fidelity, str]:
    if not packages.is_there:
        return Fidelity.PREDICTED, f"`{packages.prefix}` is not there yet"
    if unknown:
        names = ", ".join(_shown(each) for each in unknown)
        return Fidelity.OPAQUE, f"{packages.driver.name} does not know {names}"
    if any(not each.version for each in changing):
        return Fidelity.PREDICTED, "versions that are not named are the newest when it runs"
    if unvouched:
        return Fidelity.PREDICTED, f"known to {packages.driver.name}, and vouched for by nobody"
    return Fidelity.EXACT, ""


def _refuse_without_consent(work: PlanWork, packages: PackageWork, unknown: Sequence[Wanted]) -> None:
    listed = work.inputs.get("consent")
    # Names only: the list is that of the stage, and names packages of other managers as well.
    consented = set(map(str, listed)) if isinstance(listed, (list, tuple)) else set()
    refused = [each.name for each in unknown if not consented & {each.name, packages.key(each)}]
    if refused:
        listed = ", ".join(f"`{name}`" for name in refused)
        name = packages.driver.name
        if not packages.is_there:
            said = f"`{packages.prefix}` is not there, so that {name} cannot be asked about {listed}"
            mend = f"make `{packages.prefix}` first"
        else:
            said = f"{name} does not know {listed}" + (", or cannot be reached" if packages.driver.asks_afar else "")
            mend = "correct the name"
        raise ActionFailed(
            f"{said}, and no definition vouches for it: {mend}, or list it under `consent`", is_permanent=True
        )


def _listed(packages: PackageWork, texts: Json) -> list[Wanted]:
    return packages.wanted(texts) if texts else []


def _is_offered(packages: PackageWork, wanted: Wanted, offers: Mapping[str, Offer]) -> bool:
    offer = offers.get(packages.key(wanted))
    if offer is None or not wanted.version:
        return offer is not None
    return not offer.versions or any(packages.holds(version, wanted.version) for version in offer.versions)


def _is_newest(packages: PackageWork, wanted: Wanted, versions: Mapping[str, str], offers: Mapping[str, Offer]) -> bool:
    installed = versions[packages.key(wanted)]
    if wanted.version:
        return packages.holds(installed, wanted.version)
    offer = offers.get(packages.key(wanted))
    return offer is not None and offer.newest == installed


def _version_after(
    packages: PackageWork, wanted: Wanted, versions: Mapping[str, str], offers: Mapping[str, Offer]
) -> str:
    key = packages.key(wanted)
    if key in versions and packages.satisfied(wanted, versions):
        return versions[key]
    offer = offers.get(key)
    return wanted.version or (offer.newest if offer is not None else NEWEST)


def _shown(wanted: Wanted) -> str:
    return f"`{wanted.name}` {wanted.version}".rstrip()
