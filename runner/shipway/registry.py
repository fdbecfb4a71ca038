"""Finds actions, backends and hooks by name: built-in ones by a literal table, others by entry point, each when asked for.

The one module that loads code by dotted name. A name belongs to one origin; a second claim is refused, never resolved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import TypeAlias, TypeVar

from msgspec import Struct

from shipway.action import Action
from shipway.backend import Backend, Capability
from shipway.errors import UsageError, did_you_mean
from shipway.hook import Hook
from shipway.hooks import HOOK_EVENTS
from shipway.packages import Driver
from shipway.signer import Signer

BackendKey: TypeAlias = tuple[str, str]
"""Mode and name of a backend, shown as `mode/name`."""

ACTION_GROUP = "shipway.actions"
"""Entry points whose name is an action's dotted name."""

BACKEND_GROUP = "shipway.backends"
"""Entry points whose name is `mode/name`."""

HOOK_GROUP = "shipway.hooks"
"""Entry points whose name is what a declaration lists under `hooks: {uses: …}`."""

SIGNER_GROUP = "shipway.signers"
"""Entry points whose name is a method of signing."""

_BUILT_IN = "shipway"

_ACTIONS: Mapping[str, str] = {
    "archive.extract": "shipway.actions.archive_extract:ArchiveExtract",
    "encryption.decrypt": "shipway.actions.encryption_decrypt:EncryptionDecrypt",
    "file.backup": "shipway.actions.file_backup:FileBackup",
    "file.copy": "shipway.actions.file_copy:FileCopy",
    "file.exists": "shipway.actions.file_question:FileExists",
    "file.is_dir": "shipway.actions.file_question:FileIsDir",
    "file.link": "shipway.actions.file_link:FileLink",
    "file.links": "shipway.actions.file_links:FileLinks",
    "file.mkdir": "shipway.actions.file_mkdir:FileMkdir",
    "file.move": "shipway.actions.file_move:FileMove",
    "file.remove": "shipway.actions.file_remove:FileRemove",
    "file.source": "shipway.actions.file_source:FileSource",
    "file.unlink": "shipway.actions.file_unlink:FileUnlink",
    "file.write": "shipway.actions.file_write:FileWrite",
    "git.checkout": "shipway.actions.git_checkout:GitCheckout",
    "git.clone": "shipway.actions.git_clone:GitClone",
    "git.pull": "shipway.actions.git_pull:GitPull",
    "net.download": "shipway.actions.net_download:NetDownload",
    "pkg.install": "shipway.actions.pkg_change:PkgInstall",
    "pkg.installed": "shipway.actions.pkg_question:PkgInstalled",
    "pkg.not_installed": "shipway.actions.pkg_question:PkgNotInstalled",
    "pkg.remove": "shipway.actions.pkg_change:PkgRemove",
    "pkg.update": "shipway.actions.pkg_change:PkgUpdate",
    "pkg.upgrade": "shipway.actions.pkg_change:PkgUpgrade",
    "pkg.version_gte": "shipway.actions.pkg_question:PkgVersionGte",
    "preview.compute": "shipway.actions.preview_compute:PreviewCompute",
    "preview.env_file": "shipway.actions.preview_env_file:PreviewEnvFile",
    "preview.hook": "shipway.actions.preview_hook:PreviewHook",
    "preview.infrastructure": "shipway.actions.preview_infrastructure:PreviewInfrastructure",
    "preview.manifest": "shipway.actions.preview_manifest:PreviewManifest",
    "preview.ports": "shipway.actions.preview_ports:PreviewPorts",
    "preview.service": "shipway.actions.preview_service:PreviewService",
    "service.disable": "shipway.actions.service_change:ServiceDisable",
    "service.enable": "shipway.actions.service_change:ServiceEnable",
    "service.enabled": "shipway.actions.service_question:ServiceEnabled",
    "service.exists": "shipway.actions.service_question:ServiceExists",
    "service.restart": "shipway.actions.service_change:ServiceRestart",
    "service.running": "shipway.actions.service_question:ServiceRunning",
    "service.start": "shipway.actions.service_change:ServiceStart",
    "service.stop": "shipway.actions.service_change:ServiceStop",
    "shell.exec": "shipway.actions.shell_exec:ShellExec",
    "shell.power_shell": "shipway.actions.shell_exec:PowerShell",
    "template.render": "shipway.actions.template_render:TemplateRender",
}

_DRIVERS: Mapping[str, str] = {
    "apt": "shipway.drivers.apt:Apt",
    "brew": "shipway.drivers.brew:Brew",
    "dnf": "shipway.drivers.dnf:Dnf",
    "npm": "shipway.drivers.npm:Npm",
    "pip": "shipway.drivers.pip:Pip",
    "winget": "shipway.drivers.winget:Winget",
}

_BACKENDS: Mapping[BackendKey, str] = {
    ("files", "tree"): "shipway.backends.files_tree:FilesTree",
    ("packages", "system"): "shipway.backends.packages_system:PackagesSystem",
    ("preview", "local"): "shipway.backends.preview_local:PreviewLocal",
    ("preview", "ssh"): "shipway.backends.preview_ssh:PreviewSsh",
    ("steps", "shell"): "shipway.backends.steps_shell:StepsShell",
}


_SIGNERS: Mapping[str, str] = {
    "openpgp": "shipway.signers.openpgp:OpenPgpSigner",
    "ssh": "shipway.signers.ssh:SshSigner",
}


class Extension(Struct, frozen=True):
    """What an installed distribution offers: an entry point's `name`, its `target` (`module:attribute`), and who offers it."""

    name: str
    target: str
    origin: str


class _Claim(Struct, frozen=True):
    """Who answers a name, and where it is: `target` to be imported, or `made` by a function that was handed over."""

    origin: str
    target: str = ""
    make: Callable[[], object] | None = None


def installed_extensions(group: str) -> list[Extension]:
    """The entry points of `group` in this environment, in no particular order."""
    from importlib.metadata import entry_points  # 38 ms, which a lifecycle of built-in names never pays

    found = []
    for point in entry_points(group=group):
        origin = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
        found.append(Extension(point.name, point.value, origin))
    return found


class Registry:
    """Actions and backends by name. `scan` gives the installed extensions of an entry-point group; it is called at most once
    for each, and only for a name that is not built in.
    """

    def __init__(self, scan: Callable[[str], Iterable[Extension]] = installed_extensions) -> None:
        self._scan = scan
        self._scanned: set[str] = set()
        self._action_claims = {name: _Claim(_BUILT_IN, target) for name, target in _ACTIONS.items()}
        self._backend_claims = {key: _Claim(_BUILT_IN, target) for key, target in _BACKENDS.items()}
        self._hook_claims: dict[str, _Claim] = {}
        self._signer_claims = {name: _Claim(_BUILT_IN, target) for name, target in _SIGNERS.items()}
        self._actions: dict[str, Action] = {}

    # Actions.

    def find_action(self, name: str) -> Action | None:
        """The action of that name, the same one each time, or None. Raises UsageError for one that cannot be loaded."""
        if name not in self._actions:
            claim = self._action_claims.get(name) or self._all_actions().get(name)
            if claim is None:
                return None
            self._actions[name] = _loaded_action(name, claim)
        return self._actions[name]

    def require_action(self, name: str) -> Action:
        """The action of that name. Raises UsageError with the nearest names where there is none."""
        found = self.find_action(name)
        if found is None:
            near = get_close_matches(name, self.action_names(), n=3, cutoff=0.6)
            known = ", ".join(f"`{other}`" for other in near or self.action_names())
            next_ = f"did you mean {known}?" if near else f"known are: {known}"
            raise UsageError(f"unknown action `{name}`", next=next_)
        return found

    def action_names(self) -> list[str]:
        """Every name that has an action, sorted."""
        return sorted(self._all_actions())

    def register_action(self, action: Action, origin: str) -> None:
        """Add an action under its own name. Raises UsageError where the name is taken, naming both origins."""
        _claim(self._action_claims, f"action `{action.name}`", action.name, _Claim(origin, make=lambda: action))

    # Backends.

    def backends(self, mode: str, *, installed: bool = True) -> dict[str, Backend]:
        """A fresh backend of `mode` for each name, sorted by name; without `installed` the built-in and registered ones only."""
        claims = self._all_backends() if installed else self._backend_claims
        return {key[1]: _loaded_backend(key, claims[key]) for key in sorted(claims) if key[0] == mode}

    def find_backend(self, mode: str, name: str) -> Backend | None:
        """A fresh backend each time, or None. Raises UsageError for one that cannot be loaded."""
        key = (mode, name)
        claim = self._backend_claims.get(key) or self._all_backends().get(key)
        return None if claim is None else _loaded_backend(key, claim)

    def make_backend(self, mode: str, name: str) -> Backend:
        """A fresh backend each time. Raises UsageError, with the names of that mode, where there is none."""
        found = self.find_backend(mode, name)
        if found is None:
            raise UsageError(unknown_backend(mode, name, self.backend_names(mode), self.modes()))
        return found

    def backend_names(self, mode: str) -> list[str]:
        """The names of the backends that answer `mode`, sorted."""
        return sorted(name for of, name in self._all_backends() if of == mode)

    def modes(self) -> list[str]:
        """Every mode that some backend answers, sorted."""
        return sorted({mode for mode, _ in self._all_backends()})

    def register_backend(self, make: Callable[[], Backend], origin: str) -> None:
        """Add a backend under the mode and name that it says. Raises UsageError where they are taken, naming both origins,
        and for a capability that does not exist.
        """
        first = make()
        key = (first.mode, first.name)
        _refuse_unknown_capabilities(first, origin)
        _claim(self._backend_claims, f"backend {show(key)}", key, _Claim(origin, make=make))

    # Hooks.

    def make_hook(self, name: str) -> Hook:
        """A fresh hook each time. Raises UsageError, with the nearest name, where there is none or it cannot be loaded."""
        for found in self._unscanned(HOOK_GROUP):
            _claim(self._hook_claims, f"hook `{found.name}`", found.name, _Claim(found.origin, found.target))
        claim = self._hook_claims.get(name)
        if claim is None:
            names = sorted(self._hook_claims)
            known = f"known are: {', '.join(names)}" if names else "no package that is installed here has one"
            raise UsageError(f"unknown hook `{name}`", next=did_you_mean(name, names) or known)
        return _loaded_hook(name, claim)

    def register_hook(self, name: str, make: Callable[[], Hook], origin: str) -> None:
        """Add a hook under a name. Raises UsageError where that is taken, naming both origins."""
        _claim(self._hook_claims, f"hook `{name}`", name, _Claim(origin, make=make))

    # Signers.

    def make_signer(self, method: str) -> Signer:
        """A fresh signer each time. Raises UsageError, with the nearest name, where there is none or it cannot be loaded."""
        if method not in _SIGNERS:
            for found in self._unscanned(SIGNER_GROUP):
                _claim(self._signer_claims, f"signer `{found.name}`", found.name, _Claim(found.origin, found.target))
        claim = self._signer_claims.get(method)
        if claim is None:
            names = sorted(self._signer_claims)
            next_ = did_you_mean(method, names) or f"known are: {', '.join(names)}"
            raise UsageError(f"unknown signer `{method}`", next=next_)
        made: Signer = _made(f"signer `{method}`", claim)  # type: ignore[assignment]  # untyped code enters here
        _refuse_incomplete(made, ("method", "sign", "verify"), f"signer `{method}`", claim.origin)
        return made

    # Extensions.

    def _all_actions(self) -> dict[str, _Claim]:
        for found in self._unscanned(ACTION_GROUP):
            _claim(self._action_claims, f"action `{found.name}`", found.name, _Claim(found.origin, found.target))
        return self._action_claims

    def _all_backends(self) -> dict[BackendKey, _Claim]:
        for found in self._unscanned(BACKEND_GROUP):
            mode, slash, name = found.name.partition("/")
            if not (mode and slash and name):
                raise UsageError(
                    f"{found.origin} offers a backend as `{found.name}`: the name of its entry point is not `mode/name`"
                )
            _claim(self._backend_claims, f"backend {found.name}", (mode, name), _Claim(found.origin, found.target))
        return self._backend_claims

    def _unscanned(self, group: str) -> list[Extension]:
        """The extensions of a group, sorted, the first time; then none."""
        if group in self._scanned:
            return []
        self._scanned.add(group)
        return sorted(self._scan(group), key=lambda found: (found.name, found.origin))


def find_driver(manager: str) -> Driver | None:
    """The driver of a package manager by its name, or None."""
    target = _DRIVERS.get(manager)
    if target is None:
        return None
    driver: Driver = _made(f"driver `{manager}`", _Claim(_BUILT_IN, target))  # type: ignore[assignment]  # as for actions
    return driver


def driver_names() -> list[str]:
    """The package managers that have a driver, sorted."""
    return sorted(_DRIVERS)


def show(key: BackendKey) -> str:
    """`mode/name`."""
    return "/".join(key)


def unknown_backend(mode: str, name: str, names: Iterable[str], modes: Iterable[str]) -> str:
    """What to say where no backend answers `mode` under `name`, given the names of that mode and all modes."""
    has = ", ".join(names)
    if has:
        return f'mode {mode} has no backend "{name}" (it has: {has})'
    return f'no backend answers mode "{mode}" (known: {", ".join(modes)})'


_Key = TypeVar("_Key")


def _claim(claims: dict[_Key, _Claim], what: str, key: _Key, claim: _Claim) -> None:
    held = claims.get(key)
    if held is not None:
        raise UsageError(
            f"{what} is registered twice: by {held.origin} and by {claim.origin}", next="remove one of the two"
        )
    claims[key] = claim


def _made(what: str, claim: _Claim) -> object:
    """What a claim stands for: the class at `target`, called without arguments."""
    if claim.make is not None:
        return claim.make()
    module, _, attribute = claim.target.partition(":")
    try:
        make: Callable[[], object] = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"{what} of {claim.origin} cannot be loaded from `{claim.target}`: {error}",
            next="install it again, or remove it",
        ) from error
    return make()


def _loaded_action(name: str, claim: _Claim) -> Action:
    action: Action = _made(f"action `{name}`", claim)  # type: ignore[assignment]  # untyped code enters here
    _refuse_incomplete(
        action, ("runs_in", "name", "contract", "slots", "outputs", "plan"), f"action `{name}`", claim.origin
    )
    if action.name != name:
        raise UsageError(f"action `{name}` of {claim.origin} calls itself `{action.name}`", next="give it one name")
    return action


def _loaded_backend(key: BackendKey, claim: _Claim) -> Backend:
    backend: Backend = _made(f"backend {show(key)}", claim)  # type: ignore[assignment]  # untyped code enters here
    needed = ("mode", "name", "contract", "capabilities", "validate", "prepare", "plan")
    _refuse_incomplete(backend, needed, f"backend {show(key)}", claim.origin)
    if (backend.mode, backend.name) != key:
        own = show((backend.mode, backend.name))
        raise UsageError(f"backend {show(key)} of {claim.origin} calls itself {own}", next="give it one name")
    _refuse_unknown_capabilities(backend, claim.origin)
    return backend


def _loaded_hook(name: str, claim: _Claim) -> Hook:
    hook: Hook = _made(f"hook `{name}`", claim)  # type: ignore[assignment]  # untyped code enters here
    _refuse_incomplete(hook, ("events", "on_event"), f"hook `{name}`", claim.origin)
    for word in sorted(hook.events):
        if word not in HOOK_EVENTS:
            raise UsageError(
                f"hook `{name}` of {claim.origin} wants to be told of `{word}`, and there is no such event",
                next=did_you_mean(word, HOOK_EVENTS) or f"known are: {', '.join(HOOK_EVENTS)}",
            )
    return hook


def _refuse_incomplete(loaded: object, needed: Iterable[str], what: str, origin: str) -> None:
    missing = [f"`{name}`" for name in needed if not hasattr(loaded, name)]
    if missing:
        raise UsageError(f"{what} of {origin} has no {', '.join(missing)}", next="see docs/extending.md")


def _refuse_unknown_capabilities(backend: Backend, origin: str) -> None:
    known = [capability.value for capability in Capability]
    for word in sorted(backend.capabilities):
        if word not in known:
            raise UsageError(
                f"backend {show((backend.mode, backend.name))} of {origin} declares the unknown capability `{word}`",
                next=did_you_mean(word, known) or f"known are: {', '.join(known)}",
            )
