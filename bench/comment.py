"""Is the comment of a large plan drawn while nobody notices, and does it fit, whatever changed since the plan before?"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.large import PLAN, write, write_stages
from bench.measure import Answer, Figure, Scale, at_most, computed, interleaved, started
from shipway.forges.limits import COMMENT_BYTES
from shipway.plan import Plan
from shipway.plan_file import load_plan
from shipway.render.blocks import Links
from shipway.render.plan_comment import plan_comment


def drawn(scale: Scale, directory: Path) -> Answer:
    """The comment of one plan, of one of which every tenth step is another than in the plan before, and of one of many stages."""
    before, after = (
        _planned(directory / name, scale.large, every)
        for name, every in (("before", lambda number: "x"), ("after", lambda number: "xy"[number % 10 == 0]))
    )
    staged = _sealed(directory / "staged", partial(write_stages, count=scale.large))
    draw = {
        "alone": partial(_draw, after, None),
        "changed": partial(_draw, after, before),
        "staged": partial(_draw, staged, None),
    }
    taken = interleaved({name: partial(computed, work) for name, work in draw.items()}, scale.rounds)
    size = max(len(work().encode()) for work in draw.values())
    figures: list[Figure] = [
        at_most("the first plan of a pull request", taken["alone"].wall * 1000, 300, " ms"),
        at_most("one that differs in each tenth node", taken["changed"].wall * 1000, 300, " ms"),
        at_most(
            f"one in {len(staged.stages)} stages, each step after the one before",
            taken["staged"].wall * 1000,
            300,
            " ms",
        ),
        at_most("bytes", size, COMMENT_BYTES, ""),
    ]
    return Answer(f"The comment of a plan of {scale.large:,} nodes, drawn from the sealed plan", figures)


def _planned(directory: Path, count: int, word: Callable[[int], str]) -> Plan:
    return _sealed(directory, partial(write, count=count, command=lambda number: f"./deploy {number} {word(number)}"))


def _sealed(directory: Path, declare: Callable[[Path], None]) -> Plan:
    """The plan of what `declare` writes into a new folder."""
    directory.mkdir()
    declare(directory)
    started(PLAN, directory)
    return load_plan((directory / ".plan.json").read_bytes(), lambda document: None)


def _draw(plan: Plan, before: Plan | None) -> str:
    return plan_comment(plan, budget=COMMENT_BYTES, links=Links(), previous=before)
