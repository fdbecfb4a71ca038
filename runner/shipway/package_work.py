"""One package manager at one place, as a node uses it: asks what is there, carries out changes. Decides nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from shipway.action import ActionFailed, PlanWork, SlotRule, SlotType, Work
from shipway.canonical import Json, json_fault
from shipway.errors import did_you_mean
from shipway.file_state import locate
from shipway.packages import HERE, Call, Driver, Listing, Offer, Wanted, Where
from shipway.privilege import elevated, is_root
from shipway.program import Missing, Stopped, Written, find_program, run_program
from shipway.records import Record
from shipway.registry import driver_names, find_driver

_NATIVE = ("apt", "dnf", "brew", "winget")
"""Managers of a platform, in the order in which they are looked for."""

_ENGLISH = {"LC_ALL": "C.UTF-8", "LANGUAGE": "C"}
"""Some answers are written for people: they are read in one language."""

TURNS = {"pip": "packages:pip", "npm": "packages:npm", "": "packages:system"}
"""The limit under which the nodes of one manager take turns; those of a platform's managers share one."""

MANAGER = SlotRule(
    SlotType.STRING,
    description="apt, brew, dnf, npm, pip or winget; default: the platform's",
    turns=TURNS,
)
PREFIX = SlotRule(
    SlotType.STRING,
    description="where it installs: a virtual environment of pip, a prefix of npm, the root of another system of apt or dnf",
)
CASK = SlotRule(SlotType.BOOLEAN, default=False, description="whether they are casks of brew")


class PackageWork:
    """A manager at the place that a node's slots name. Every method raises ActionFailed where the manager cannot do it."""

    def __init__(
        self,
        inputs: Mapping[str, Json],
        env: Mapping[str, str],
        root: Path,
        *,
        privileged: bool = False,
        cancelled: Callable[[], bool] = lambda: False,
        log: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Raises ActionFailed for an unknown manager, one that is not installed, and a prefix where it has none."""
        self.env = {**env, **_ENGLISH}
        self.driver = _driver(inputs.get("manager"), self.env)
        self.prefix = str(inputs.get("prefix") or "")
        self.is_cask = inputs.get("cask") is True
        self._where = _where(self.driver, root, self.prefix, self.is_cask)
        self._root = root
        self._privileged = privileged
        self._cancelled = cancelled
        self._log = log

    @classmethod
    def of(cls, work: PlanWork | Work) -> PackageWork:
        """The manager of a node."""
        if isinstance(work, PlanWork):
            return cls(work.inputs, work.env, work.root)
        privileged = work.node.privileged
        return cls(work.inputs, work.env, work.root, privileged=privileged, cancelled=work.cancelled, log=work.log)

    @property
    def is_there(self) -> bool:
        """Whether the prefix exists, where there is one."""
        return not self._where.prefix or Path(self._where.prefix).exists()

    def missing_folders(self) -> int:
        """How many folders are missing, from the prefix upwards: 0 where it is there, or there is none."""
        prefix = Path(self._where.prefix)
        return sum(not folder.exists() for folder in (prefix, *prefix.parents)) if self._where.prefix else 0

    def leave_prefix(self, made: int) -> None:
        """Remove what a manager made of `made` folders, from the prefix upwards, as far as nothing is in them."""
        if not made:
            return
        prefix = Path(self._where.prefix)
        inside = [Path(folder) for folder, _, _ in os.walk(prefix, topdown=False)]
        for folder in (*inside, *prefix.parents[: made - 1]):
            with suppress(OSError):  # it holds something, which is somebody's
                folder.rmdir()

    def key(self, wanted: Wanted) -> str:
        """Under which name it is listed."""
        return self.driver.key(wanted.name)

    def record_name(self, name: str) -> str:
        """`manager:name`; in a prefix `manager@prefix:name`."""
        return f"{self.driver.name}@{self.prefix}:{name}" if self.prefix else f"{self.driver.name}:{name}"

    def wanted(self, texts: Json) -> list[Wanted]:
        """The packages that a slot lists, each once."""
        if not isinstance(texts, (list, tuple)) or not texts:
            raise ActionFailed("`packages` is empty: list at least one", is_permanent=True)
        found: dict[str, Wanted] = {}
        for text in texts:
            wanted = self._parsed(text)
            other = found.setdefault(self.key(wanted), wanted)
            if other != wanted:
                raise ActionFailed(
                    f"`packages` wants `{other.name}` {other.version or 'newest'} and {wanted.version or 'newest'}",
                    is_permanent=True,
                )
        return list(found.values())

    def satisfied(self, wanted: Wanted, versions: Mapping[str, str]) -> bool:
        """Whether it is installed, at the version asked for."""
        version = versions.get(self.key(wanted))
        return version is not None and (not wanted.version or self.holds(version, wanted.version))

    def holds(self, installed: str, wanted: str) -> bool:
        """Whether an installed version is the one asked for."""
        try:
            return self.driver.holds(installed, wanted)
        except ValueError:
            return installed == wanted

    def installed(self) -> Listing:
        """What is installed now."""
        if not self.is_there:
            return Listing({})
        call = self.driver.installed(self._where)
        done = self._run(call, elevate=False)
        try:
            return self.driver.read_installed(done.out)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ActionFailed(f"`{_shown(call)}` cannot be read: {json_fault(error) or done.said()}") from error

    def offers(self, wanted: Sequence[Wanted]) -> Mapping[str, Offer]:
        """What could be installed of these; what the manager does not know, or cannot find out now, is left out."""
        if not self.is_there and not self.driver.asks_afar:
            return {}
        # Whom the network is asked by is no matter: a prefix that is not there yet has nobody to ask.
        where = self._where if self.is_there else HERE
        found: dict[str, Offer] = {}
        for call in self.driver.offers([each.name for each in wanted], where):
            try:
                found |= self.driver.read_offers(self._run(call, elevate=False).out)
            except (ActionFailed, ValueError, KeyError, TypeError, AttributeError, json.JSONDecodeError):
                continue
        return found

    def install(self, wanted: Sequence[Wanted]) -> None:
        """Install these."""
        self._change(self.driver.install(wanted, self._where))

    def upgrade(self, wanted: Sequence[Wanted]) -> None:
        """Upgrade these."""
        self._change(self.driver.upgrade(wanted, self._where))

    def remove(self, names: Collection[str]) -> None:
        """Remove these."""
        self._change(self.driver.remove(names, self._where))

    def withdraw(self, names: Collection[str], spare: Collection[str]) -> None:
        """Remove these and nothing else."""
        self._change(self.driver.withdraw(names, spare, self._where))

    def update(self) -> bool:
        """Fetch the lists of what there is; False where the manager keeps none."""
        calls = self.driver.update(self._where)
        self._change(calls)
        return bool(calls)

    def _parsed(self, text: Json) -> Wanted:
        try:
            return self.driver.parse(str(text))
        except ValueError as error:
            raise ActionFailed(f"`packages`: {error}", is_permanent=True) from None

    def _change(self, calls: Sequence[Call]) -> None:
        for call in calls:
            done = self._run(call, elevate=self._privileged)
            self._log(f"$ {_shown(call)}\n{done.out}{done.err}".rstrip())

    def _run(self, call: Call, *, elevate: bool) -> Written:
        env = {**self.env, **call.env}
        argv = elevated(call.argv, env, is_root=is_root()) if elevate else call.argv
        try:
            done = run_program(argv, env=env, cwd=self._root, cancelled=self._cancelled)
        except Missing as missing:
            where = "there" if "/" in str(missing) else "on the PATH"
            raise ActionFailed(f"`{missing}` is not {where}", is_permanent=True, code="start") from None
        except Stopped:
            raise ActionFailed(f"`{_shown(call)}` was ended before it was done", code="cancelled") from None
        except OSError as error:
            raise ActionFailed(f"`{_shown(call)}` cannot be started: {error.strerror}", code="start") from None
        if done.exit_code not in call.fine:
            self._log(f"$ {_shown(call)}\n{done.out}{done.err}".rstrip())
            raise ActionFailed(f"`{_shown(call)}` failed (exit {done.exit_code}): {done.said()}")
        return done


def _driver(name: Json, env: Mapping[str, str]) -> Driver:
    if name:
        driver = find_driver(str(name))
        if driver is None:
            known = driver_names()
            hint = did_you_mean(str(name), known) or f"known are: {', '.join(known)}"
            raise ActionFailed(f"there is no driver for the package manager `{name}` ({hint})", is_permanent=True)
    else:
        found = (find_driver(native) for native in _NATIVE)
        driver = next((each for each in found if each is not None and find_program(each.program, env)), None)
        if driver is None:
            text = f"no package manager of a platform is on the PATH ({', '.join(_NATIVE)}): name one with `manager`"
            raise ActionFailed(text, is_permanent=True)
    if find_program(driver.program, env) is None:
        text = f"`{driver.program}` is not on the PATH: {driver.name} cannot be used here"
        raise ActionFailed(text, is_permanent=True, code="start")
    return driver


def _where(driver: Driver, root: Path, prefix: str, cask: bool) -> Where:
    if cask and driver.name != "brew":
        raise ActionFailed(f"`cask` is for brew, not for {driver.name}", is_permanent=True)
    if not prefix:
        return Where(cask=cask)
    if not driver.takes_prefix:
        raise ActionFailed(f"{driver.name} takes no `prefix`", is_permanent=True)
    return Where(str(locate(root, prefix, "prefix")), cask)


def _shown(call: Call) -> str:
    """The command as people know it: without the options that are always the same."""
    words = [word for word in call.argv if not word.startswith("--option=")]
    return " ".join(words)


def observe_package(record: Record, root: Path, env: Mapping[str, str]) -> str | None:
    """The version that a recorded package has now, None where it is not installed. Raises ActionFailed."""
    packages = PackageWork(record.facts, env, root)
    return packages.installed().versions.get(record.name.removeprefix(packages.record_name("")))
