"""Options of the test run. Owns `--update`, which rewrites what the case folders expect."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

pytest_plugins = [
    "tests.forge.fixtures",
    "tests.remote_host",
    "tests.preview_world",
    "tests.preview_shop",
    "tests.real_parts",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="rewrite the expected.* files of the case folders")


@pytest.fixture
def is_update(request: pytest.FixtureRequest) -> bool:
    """Whether what is expected is to be rewritten and not compared."""
    return bool(request.config.getoption("--update"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: many a test waits, for a service, a disk or a process that ends."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Whole files, in the order of `pytest_collection_modifyitems`; those that take turns all go to one worker.

    So what is set up for a module is set up once, and no worker waits for the lock that another one holds for long.
    """
    config.option.loadscopereorder = False
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = _work_of
    return scheduler


def _work_of(node: str) -> str:
    file = node.partition("::")[0]
    return "previews" if _is_on_ports(Path(file)) else file


_LONG = (
    "action",
    "action_forks",
    "action_approval",
    "package_actions",
    "resume_model",
    "kills",
    "action_command",
)
"""What takes long comes first, behind those that take turns: else the last worker would be alone with it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files by when they had better begin; inside a file nothing moves."""
    items.sort(key=lambda item: _rank(item.path))


def _rank(file: Path) -> int:
    if _is_on_ports(file):
        return 0
    name = file.stem.removeprefix("test_")
    return 1 + _LONG.index(name) if name in _LONG else 1 + len(_LONG)


_ON_PORTS = {
    "act",
    "commands",
    "databases",
    "example",
    "full",
    "hostile",
    "kills",
    "left",
    "places",
    "ports",
    "pull_requests",
    "remote",
}
_ON_PORTS |= {"renewal", "services", "views", "test_port_claims"}


@pytest.fixture(autouse=True)
def one_preview_at_a_time(request: pytest.FixtureRequest) -> Iterator[None]:
    """Previews of equal names in different homes would meet on the ports of this machine, where tests run side by side."""
    if not _is_on_ports(request.path):
        yield
        return
    with open(Path(tempfile.gettempdir()) / f"shipway-previews-{os.getuid()}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@cache
def _is_on_ports(file: Path) -> bool:
    """Whether previews are made there that bind ports: by name, by whom it has make them, or because they are measured."""
    if file.stem == "test_bench" or file.stem.removeprefix("test_preview_") in _ON_PORTS:
        return True
    text = (Path(__file__).parent / file.name).read_text("utf-8") if file.stem.startswith("test_preview_") else ""
    return any(word in text for word in ("from tests.preview_shop import", "from tests.preview_pulls import", '"up"'))
