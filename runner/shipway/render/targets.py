"""What stands where files are put, and which source lost to which, in words for every form of a plan. Decides nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from shipway.canonical import items_of, object_of
from shipway.plan import Plan
from shipway.preflight import Finding, Status
from shipway.render.foreign import one_line

MOST_LISTED = 10
"""More than these of a kind are only counted."""

_ANSWERS = {
    "stop": "nothing will be started",
    "backup": "it is moved aside first",
    "overwrite": "it is replaced",
    "skip": "it is left alone",
}


def counts(plan: Plan) -> str:
    """`3 missing, 5 linked, 1 conflict`: how the targets stand, in the order of the words; empty where there are none."""
    found: Counter[Status] = Counter()
    for finding in plan.preflight:
        if finding.status is not None:
            found[finding.status] += finding.count
    return ", ".join(f"{found[status]} {status.value}" for status in Status if found[status])


def in_the_way(plan: Plan) -> list[str]:
    """What stands where something else is to be put, and what is done about it: a line for each, the last may only count."""
    backed_up = {finding.path for finding in plan.preflight if finding.node.endswith("=backup")}
    return _listed([_told(finding, backed_up) for finding in plan.preflight if finding.is_in_the_way])


def stops(plan: Plan) -> bool:
    """Whether something is in the way and nothing may be started because of it."""
    return any(finding.is_in_the_way and finding.policy == "stop" for finding in plan.preflight)


def losers(plan: Plan) -> list[str]:
    """Sources that another one of the same target wins over: a line for each, the last may only count."""
    return _listed(list(_losers(plan)))


def left_out(plan: Plan) -> list[str]:
    """What of the trees is put nowhere, and why: a line for each, the last may only count."""
    found = [
        object_of(each)
        for stage in plan.stages
        if stage.mode == "files"
        for each in items_of(stage.context.get("left_out", []))
    ]
    found.sort(key=lambda each: not str(each["why"]).startswith("git "))  # what was forgotten before what was meant
    return _listed([one_line(f"{each['source']}: {each['why']}") for each in found])


def _told(finding: Finding, backed_up: set[str]) -> str:
    answer = _ANSWERS.get(finding.policy, "")
    if finding.policy == "backup" and finding.path not in backed_up:
        answer = ""
    status = "" if finding.status in (None, Status.CONFLICT) else f" ({finding.status.value})"
    return f"{one_line(finding.path)}: {one_line(finding.words)}{status}" + (f"; {answer}" if answer else "")


def _losers(plan: Plan) -> Iterator[str]:
    for stage in plan.stages:
        if stage.mode != "files":
            continue
        for each in items_of(stage.context.get("collisions", [])):
            collision = object_of(each)
            winner, loser = object_of(collision["winner"]), object_of(collision["loser"])
            yield one_line(f"{loser['source']} loses to {winner['source']}")


def _listed(lines: list[str]) -> list[str]:
    more = len(lines) - MOST_LISTED
    return [*lines[:MOST_LISTED], f"and {more} more"] if more > 0 else lines
