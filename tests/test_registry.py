"""Shows who is found under which name, who is refused, and that built-in names cost no scan of what is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pytest

from shipway.actions.file_write import FileWrite
from shipway.backend import Backend, Capability
from shipway.backends.steps_shell import StepsShell
from shipway.errors import EXIT_USAGE, UsageError
from shipway.registry import ACTION_GROUP, BACKEND_GROUP, Extension, Registry, installed_extensions

BUILT_IN = {
    "archive.extract",
    "encryption.decrypt",
    "file.backup",
    "file.copy",
    "file.exists",
    "file.is_dir",
    "file.link",
    "file.links",
    "file.mkdir",
    "file.move",
    "file.remove",
    "file.source",
    "file.unlink",
    "file.write",
    "git.checkout",
    "git.clone",
    "git.pull",
    "net.download",
    "pkg.install",
    "pkg.installed",
    "pkg.not_installed",
    "pkg.remove",
    "pkg.update",
    "pkg.upgrade",
    "pkg.version_gte",
    "preview.compute",
    "preview.env_file",
    "preview.hook",
    "preview.infrastructure",
    "preview.manifest",
    "preview.ports",
    "preview.service",
    "service.disable",
    "service.enable",
    "service.enabled",
    "service.exists",
    "service.restart",
    "service.running",
    "service.start",
    "service.stop",
    "shell.exec",
    "shell.power_shell",
    "template.render",
}


@dataclass
class Scan:
    """Stands for what is installed, and counts how often it was looked at."""

    actions: Iterable[Extension] = ()
    backends: Iterable[Extension] = ()
    times: int = 0

    def __call__(self, group: str) -> Iterable[Extension]:
        self.times += 1
        return {ACTION_GROUP: self.actions, BACKEND_GROUP: self.backends}[group]


class Renamed(StepsShell):
    """A backend under any key, with any capabilities."""

    def __init__(self, mode: str, name: str, capabilities: Iterable[str] = (Capability.PLAN_EXECUTE,)) -> None:
        self.mode = mode
        self.name = name
        self.capabilities = frozenset(capabilities)  # type: ignore[arg-type]  # as foreign code may


class Louder(FileWrite):
    name = "example.shout"


class Quiet:
    """Lacks everything that an action has."""


def test_g017_the_built_in_actions_are_there_and_the_constructs_are_not() -> None:
    names = Registry(Scan()).action_names()
    assert set(names) == BUILT_IN
    assert len([name for name in names if name.startswith("file.")]) == 12
    assert not [name for name in names if name.startswith("flow.")]


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_built_in_action_is_loaded_under_its_own_name(name: str) -> None:
    assert Registry(Scan()).require_action(name).name == name


def test_g018_an_unknown_action_is_an_error_with_the_nearest_names_and_absent_when_looked_up() -> None:
    registry = Registry(Scan())
    assert registry.find_action("file.wriet") is None
    with pytest.raises(UsageError, match=r"unknown action `file\.wriet`") as caught:
        registry.require_action("file.wriet")
    assert caught.value.exit_code == EXIT_USAGE
    assert "`file.write`" in caught.value.next


def test_g019_a_name_registered_twice_is_an_error_naming_both_origins() -> None:
    registry = Registry(Scan())
    registry.register_action(Louder(), "loud 1.0")
    with pytest.raises(UsageError, match=r"`example\.shout` is registered twice: by loud 1\.0 and by other 2\.0"):
        registry.register_action(Louder(), "other 2.0")
    with pytest.raises(UsageError, match=r"`file\.write` is registered twice: by shipway and by mine"):
        registry.register_action(FileWrite(), "mine")


def test_g019_an_installed_action_does_not_replace_a_built_in_one() -> None:
    registry = Registry(Scan(actions=[Extension("file.write", "evil:Write", "evil 1.0")]))
    assert isinstance(registry.require_action("file.write"), FileWrite)
    with pytest.raises(UsageError, match=r"twice: by shipway and by evil 1\.0"):
        registry.action_names()


def test_l22_two_distributions_with_one_backend_are_refused_by_name() -> None:
    both = [Extension("gitops/flux", "a:B", "shipway-flux 1.0"), Extension("gitops/flux", "c:D", "flux-fork 2.0")]
    with pytest.raises(
        UsageError, match=r"backend gitops/flux is registered twice: by flux-fork 2\.0 and by shipway-flux"
    ):
        Registry(Scan(backends=both)).modes()


def test_l22_a_backend_registered_twice_is_refused() -> None:
    registry = Registry(Scan())
    registry.register_backend(lambda: Renamed("gitops", "flux"), "one")
    with pytest.raises(UsageError, match="gitops/flux is registered twice: by one and by two"):
        registry.register_backend(lambda: Renamed("gitops", "flux"), "two")


def test_l19_a_backend_is_made_afresh_each_time() -> None:
    registry = Registry(Scan())
    assert registry.make_backend("steps", "shell") is not registry.make_backend("steps", "shell")


def test_l29_an_unknown_capability_is_refused_with_the_nearest_word() -> None:
    registry = Registry(Scan())
    with pytest.raises(
        UsageError, match=r"gitops/flux of shipway-flux 1\.0 declares the unknown capability `dryrun`"
    ) as caught:
        registry.register_backend(lambda: Renamed("gitops", "flux", ["plan-execute", "dryrun"]), "shipway-flux 1.0")
    assert "`dry-run`" in caught.value.next
    assert "gitops" not in registry.modes()


def test_an_installed_action_is_found_and_loaded_when_asked_for() -> None:
    scan = Scan(actions=[Extension("example.shout", f"{__name__}:Louder", "loud 1.0")])
    registry = Registry(scan)
    assert registry.require_action("example.shout").name == "example.shout"
    assert registry.find_action("example.shout") is registry.find_action("example.shout")
    assert scan.times == 1


def test_built_in_names_cost_no_scan() -> None:
    scan = Scan()
    registry = Registry(scan)
    registry.require_action("file.write")
    registry.make_backend("steps", "shell")
    assert list(registry.backends("steps", installed=False)) == ["shell"]
    assert scan.times == 0


@pytest.mark.parametrize(
    ("target", "what"),
    [
        ("no_such_module:X", "cannot be loaded from `no_such_module:X`: No module named"),
        (f"{__name__}:Missing", "cannot be loaded"),
        (f"{__name__}:Quiet", "has no `runs_in`, `name`"),
        ("shipway.actions.file_write:FileWrite", "calls itself `file.write`"),
    ],
)
def test_an_extension_that_is_no_action_is_told_with_its_distribution(target: str, what: str) -> None:
    registry = Registry(Scan(actions=[Extension("example.shout", target, "loud 1.0")]))
    with pytest.raises(UsageError) as caught:
        registry.find_action("example.shout")
    assert what in caught.value.message
    assert "loud 1.0" in caught.value.message


@pytest.mark.parametrize("name", ["flux", "/flux", "gitops/"])
def test_a_backend_entry_point_is_named_mode_slash_name(name: str) -> None:
    with pytest.raises(UsageError, match="not `mode/name`"):
        Registry(Scan(backends=[Extension(name, "a:B", "shipway-flux 1.0")])).modes()


def test_backends_of_a_mode_come_sorted_by_name() -> None:
    registry = Registry(Scan())
    for name in ("flux", "argo"):
        registry.register_backend(_maker("gitops", name), "test")
    assert list(registry.backends("gitops")) == ["argo", "flux"]
    assert {"gitops", "steps"} <= set(registry.modes())


def _maker(mode: str, name: str) -> Callable[[], Backend]:
    return lambda: Renamed(mode, name)


def test_what_is_really_installed_can_be_scanned() -> None:
    assert all(isinstance(found, Extension) for found in installed_extensions("console_scripts"))
    assert [found for found in installed_extensions("console_scripts") if found.origin.startswith("pytest ")]
