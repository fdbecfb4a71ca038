"""Shows that the action and the backend keep Shipway's contracts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from shipway_json_settings.action import JsonSet
from shipway_json_settings.backend import SettingsJson

from contracts import action as actions
from contracts import backend as backends
from contracts.action import ActionCase
from contracts.backend import BackendCase
from shipway.canonical import Json
from shipway.registry import Registry

EXAMPLE = Path(__file__).parents[1]


def _flags(root: Path) -> None:
    (root / "flags.json").write_text('{"checkout": {"new": false}, "theme": "plain"}')


def _changed(root: Path) -> None:
    (root / "flags.json").write_text('{"checkout": {"new": "someone else\'s"}}')


def _registry() -> Registry:
    registry = Registry(lambda group: ())
    registry.register_action(JsonSet(), "this test")
    registry.register_backend(SettingsJson, "this test")
    return registry


SET: dict[str, Json] = {"path": "flags.json", "key": "checkout.new", "value": True}

ACTIONS = [
    ActionCase("set", JsonSet, SET, _flags, _changed, {"path": "missing.json"}),
    ActionCase("add", JsonSet, {**SET, "key": "limits.items", "value": 20}, _flags, breaks={"path": "../flags.json"}),
    ActionCase("leave", JsonSet, {**SET, "value": False}, _flags),
]

BACKEND = BackendCase(
    "settings",
    "settings",
    "json",
    declaration=(EXAMPLE / "shipway.yml").read_text(),
    wrong="version: 1\nname: shop\nstages:\n  flags: {mode: settings, with: {fiel: a.json, set: {}}}\n",
    registry=_registry,
)


@pytest.mark.parametrize("check", actions.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", ACTIONS, ids=lambda case: case.name)
def test_action(case: ActionCase, check: Callable[[ActionCase], None]) -> None:
    check(case)


@pytest.mark.parametrize("check", backends.CHECKS, ids=lambda check: check.__name__)
def test_backend(check: Callable[[BackendCase], None]) -> None:
    check(BACKEND)
