"""Typed calls for the actions on packages and services, beside those of `builder_calls`. Checks nothing: the builder does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Unpack

from shipway.builder_calls import ActionCalls
from shipway.builder_options import Beside, NodeHandle
from shipway.nodes import Promise


class PackageCalls(ActionCalls, Protocol):
    """One call per action, as in `ActionCalls`: a slot left out, or None, takes the action's default."""

    def pkg_install(
        self,
        name: str,
        packages: Sequence[str] | Promise,
        *,
        manager: str | Promise | None = None,
        prefix: str | Promise | None = None,
        cask: bool | None = None,
        unvouched: Sequence[str] | None = None,
        consent: Sequence[str] | None = None,
        **beside: Unpack[Beside],
    ) -> NodeHandle:
        """Install packages; outputs `names` and `versions`. Of `unvouched` ones, what the manager does not know needs `consent`."""
        return self.add(
            "pkg.install",
            name,
            {
                "packages": packages,
                "manager": manager,
                "prefix": prefix,
                "cask": cask,
                "unvouched": unvouched,
                "consent": consent,
            },
            **beside,
        )

    def pkg_upgrade(
        self,
        name: str,
        packages: Sequence[str] | Promise,
        *,
        manager: str | Promise | None = None,
        prefix: str | Promise | None = None,
        cask: bool | None = None,
        **beside: Unpack[Beside],
    ) -> NodeHandle:
        """Upgrade packages that are there; outputs `names` and `versions`."""
        return self.add(
            "pkg.upgrade", name, {"packages": packages, "manager": manager, "prefix": prefix, "cask": cask}, **beside
        )

    def pkg_remove(
        self,
        name: str,
        packages: Sequence[str] | Promise,
        *,
        manager: str | Promise | None = None,
        prefix: str | Promise | None = None,
        cask: bool | None = None,
        **beside: Unpack[Beside],
    ) -> NodeHandle:
        """Remove packages; outputs `names` and `versions`."""
        return self.add(
            "pkg.remove", name, {"packages": packages, "manager": manager, "prefix": prefix, "cask": cask}, **beside
        )

    def pkg_update(
        self,
        name: str,
        *,
        manager: str | Promise | None = None,
        prefix: str | Promise | None = None,
        **beside: Unpack[Beside],
    ) -> NodeHandle:
        """Fetch the lists of what there is; output `manager`."""
        return self.add("pkg.update", name, {"manager": manager, "prefix": prefix}, **beside)

    def pkg_installed(
        self,
        name: str,
        package: str | Promise,
        *,
        manager: str | Promise | None = None,
        prefix: str | Promise | None = None,
        cask: bool | None = None,
        **beside: Unpack[Beside],
    ) -> NodeHandle:
        """Ask whether a package is there; output `installed`."""
        return self.add(
            "pkg.installed", name, {"name": package, "manager": manager, "prefix": prefix, "cask": cask}, **beside
        )

    def pkg_not_installed(
        self,
        name: str,
        package: str | Promise,
        *,
        manager: str | Promise | None = None,
        prefix: str | Promise | None = None,
        cask: bool | None = None,
        **beside: Unpack[Beside],
    ) -> NodeHandle:
        """Ask whether a package is not there; output `not_installed`."""
        return self.add(
            "pkg.not_installed", name, {"name": package, "manager": manager, "prefix": prefix, "cask": cask}, **beside
        )

    def pkg_version_gte(
        self,
        name: str,
        package: str | Promise,
        version: str | Promise,
        *,
        manager: str | Promise | None = None,
        prefix: str | Promise | None = None,
        cask: bool | None = None,
        **beside: Unpack[Beside],
    ) -> NodeHandle:
        """Ask whether a package is there at `version` or later; output `version_gte`."""
        return self.add(
            "pkg.version_gte",
            name,
            {"name": package, "version": version, "manager": manager, "prefix": prefix, "cask": cask},
            **beside,
        )

    def service_start(self, name: str, service: str | Promise, **beside: Unpack[Beside]) -> NodeHandle:
        """Start a service; output `name`."""
        return self.add("service.start", name, {"name": service}, **beside)

    def service_stop(self, name: str, service: str | Promise, **beside: Unpack[Beside]) -> NodeHandle:
        """Stop a service; output `name`."""
        return self.add("service.stop", name, {"name": service}, **beside)

    def service_enable(
        self, name: str, service: str | Promise, *, root: str | Promise | None = None, **beside: Unpack[Beside]
    ) -> NodeHandle:
        """Let a service start with the system; output `name`."""
        return self.add("service.enable", name, {"name": service, "root": root}, **beside)

    def service_disable(
        self, name: str, service: str | Promise, *, root: str | Promise | None = None, **beside: Unpack[Beside]
    ) -> NodeHandle:
        """Let a service not start with the system; output `name`."""
        return self.add("service.disable", name, {"name": service, "root": root}, **beside)

    def service_restart(self, name: str, service: str | Promise, **beside: Unpack[Beside]) -> NodeHandle:
        """Restart a service; output `name`."""
        return self.add("service.restart", name, {"name": service}, **beside)

    def service_exists(
        self, name: str, service: str | Promise, *, root: str | Promise | None = None, **beside: Unpack[Beside]
    ) -> NodeHandle:
        """Ask whether a service is known; output `exists`."""
        return self.add("service.exists", name, {"name": service, "root": root}, **beside)

    def service_running(self, name: str, service: str | Promise, **beside: Unpack[Beside]) -> NodeHandle:
        """Ask whether a service runs; output `running`."""
        return self.add("service.running", name, {"name": service}, **beside)

    def service_enabled(
        self, name: str, service: str | Promise, *, root: str | Promise | None = None, **beside: Unpack[Beside]
    ) -> NodeHandle:
        """Ask whether a service starts with the system; output `enabled`."""
        return self.add("service.enabled", name, {"name": service, "root": root}, **beside)
