"""The nodes that end or take away a preview: those that make it, turned round. None waits for another to succeed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from shipway.builder_options import NodeHandle
from shipway.canonical import mapping
from shipway.nodes import NeedKind
from shipway.preview_home import compute_slots
from shipway.preview_left import left_over
from shipway.preview_names import (
    COMPUTE,
    DEPLOY,
    INFRASTRUCTURE,
    MANIFEST,
    PORTS,
    compose_project,
    env_node,
    port_variable,
    service_node,
)
from shipway.preview_runner import in_order
from shipway.preview_settings import (
    ComputeSettings,
    Doing,
    HookSettings,
    PreviewSettings,
    ServiceSettings,
    env_files,
    env_path,
)
from shipway.preview_stage import PreviewNodes
from shipway.source import Path_


def add_removal(on: PreviewNodes, settings: PreviewSettings) -> None:
    """What ends first is what needs others most; the place goes last."""
    _Removal(on, settings).add()


class _Removal:
    def __init__(self, on: PreviewNodes, settings: PreviewSettings) -> None:
        self._on = on
        self._settings = settings
        self._form = "stop" if settings.action is Doing.STOP else "remove"

    def add(self) -> None:
        if self._on.stage.id == self._on.preview.runner_id:
            self._runner()
        elif self._form == "remove":
            self._provisioner()

    def _runner(self) -> None:
        settings = self._settings
        services = {name: rule for name, rule in settings.services.items() if rule.command}
        ended: dict[str, NodeHandle] = {}
        for name in reversed(in_order(services)):
            users = [ended[user] for user, rule in services.items() if name in rule.needs and user in ended]
            ended[name] = self._service(name, services[name], users)
        last = [*ended.values(), *left_over(self._on, settings, self._form, [])]
        if self._form == "remove" and settings.destroy is not None:
            last = [self._hook(DEPLOY, settings.destroy, last, where="compute", run=settings.deploy)]
        if settings.compose_file:
            last = [self._infrastructure(last)]
        if self._form == "stop":
            return
        files = []
        for path, names in sorted(env_files(settings).items()):
            slots = {"path": path, "entries": {}}
            place = ("services", names[0], "env")
            files.append(self._node("preview.env_file", env_node(path), slots, place, path, last))
        if self._on.is_home:
            # They are in the place: what goes away under them would make of each removal a race.
            self._place(ComputeSettings(), [*last, *files])

    def _provisioner(self) -> None:
        settings = self._settings
        owned = [
            self._hook(
                service_node(name),
                rule.destroy,
                [],
                service=name,
                path=("services", name),
                run=rule.seed,
            )
            for name, rule in sorted(settings.owned.items())
            if rule.destroy is not None
        ]
        self._place(settings.compute, owned)

    def _place(self, compute: ComputeSettings, after: list[NodeHandle]) -> None:
        leases = self._on.preview.leases
        last = [*after, self._node("preview.manifest", MANIFEST, {"values": {}}, ("role",), "the manifest", [])]
        if leases:
            named = {"names": list(leases)}
            last.append(self._node("preview.ports", PORTS, named, ("services",), "the leases of ports", after))
        hook = compute.destroy
        env = self._env("destroy", [hook, compute.create, compute.list])
        slots = {**compute_slots(self._on, compute), "remove": True}
        self._on.node(
            "preview.compute",
            COMPUTE,
            slots,
            path=("compute",),
            title="remove the place it lives in",
            after=last,
            hooks=[hook],
            env=env,
            outputs=compute.outputs,
            reads=(),
            need=NeedKind.OPTIONAL,
        )

    def _service(self, name: str, rule: ServiceSettings, users: list[NodeHandle]) -> NodeHandle:
        slots = {"name": name, "path": rule.path, "command": rule.command}
        if rule.env:
            slots["env_file"] = env_path(rule)
        return self._node("preview.service", service_node(name), slots, ("services", name), name, users)

    def _infrastructure(self, after: list[NodeHandle]) -> NodeHandle:
        preview = self._on.preview
        ports = self._known(PORTS)
        slots = {
            "compose_file": self._settings.compose_file,
            "project": compose_project(preview.lifecycle, preview.target),
            "publish": {},
            "variables": {port_variable(name): port for name, port in ports.items()},
        }
        path = ("infrastructure",)
        return self._node("preview.infrastructure", INFRASTRUCTURE, slots, path, "the containers", after)

    def _hook(
        self,
        name: str,
        undo: HookSettings,
        after: list[NodeHandle],
        *,
        where: str = "repository",
        service: str = "",
        path: Path_ = ("destroy",),
        run: HookSettings | None = None,
    ) -> NodeHandle:
        slots = {
            "run": (run or undo).run,
            "where": where,
            "undo": undo.run,
            "undo_where": where,
            "service": service or None,
            "action": "destroy",
        }
        env = self._env("destroy", [undo, run], service=service)
        title = f"destroy {service}" if service else "destroy"
        return self._node("preview.hook", name, slots, path, title, after, hook=undo, env=env)

    def _env(self, action: str, hooks: Iterable[HookSettings | None], service: str = "") -> dict[str, str]:
        return self._on.hook_env(action, hooks, service=service, skips_unknown=True)

    def _known(self, part: str) -> Mapping[str, object]:
        return mapping((self._on.preview.manifest or {}).get(part))

    def _node(
        self,
        action: str,
        name: str,
        slots: Mapping[str, object],
        path: Path_,
        what: str,
        after: Iterable[NodeHandle],
        *,
        hook: HookSettings | None = None,
        env: Mapping[str, str] | None = None,
    ) -> NodeHandle:
        whole = {**self._on.in_place(), **slots, self._form: True}
        if not whole["compute"]:
            whole["compute"] = None  # it was never made
        return self._on.node(
            action,
            name,
            whole,
            path=path,
            title=what if hook is not None else f"{self._form} {what}",
            after=after,
            hooks=[hook],
            env=env,
            reads=(),
            need=NeedKind.OPTIONAL,
        )
