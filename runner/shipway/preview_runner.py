"""The nodes of a preview that run it: env files, infrastructure, deploy, services by their needs. Starts nothing."""

from __future__ import annotations

from collections.abc import Mapping

from shipway.builder_options import NodeHandle
from shipway.canonical import Json
from shipway.graph import Graph
from shipway.preview_expressions import leases_of, names_in, rewritten_text
from shipway.preview_home import add_manifest, add_place
from shipway.preview_left import left_over
from shipway.preview_names import (
    AFTER,
    BEFORE,
    DEPLOY,
    INFRASTRUCTURE,
    NOTHING_TO_RUN,
    compose_project,
    env_node,
    port_variable,
    service_node,
)
from shipway.preview_settings import (
    DEFAULT_EVERY_MS,
    DEFAULT_WITHIN_MS,
    ComputeSettings,
    HookSettings,
    PreviewSettings,
    ServiceSettings,
    env_files,
    env_path,
)
from shipway.preview_stage import PreviewNodes


def add_runner(on: PreviewNodes, settings: PreviewSettings) -> None:
    """before → env files → infrastructure → deploy → services by `needs` → after; without a provisioner its place first."""
    _Runner(on, settings).add()


class _Runner:
    def __init__(self, on: PreviewNodes, settings: PreviewSettings) -> None:
        self._on = on
        self._settings = settings
        self._last: list[NodeHandle] = []
        self._left: list[NodeHandle] = []

    def add(self) -> None:
        on, settings = self._on, self._settings
        if on.is_home and on.preview.manifest is None:
            self._last = [add_manifest(on, add_place(on, ComputeSettings(), []))]
        self._left = left_over(on, settings, "remove", self._last)
        self._hook(BEFORE, settings.before)
        env = {path: self._env_file(path, names) for path, names in sorted(env_files(settings).items())}
        self._last = [*env.values()] or self._last
        infrastructure = self._infrastructure() if settings.compose_file else None
        self._last = [infrastructure] if infrastructure is not None else self._last
        deployed = self._hook(DEPLOY, settings.deploy, undo=settings.destroy)
        if settings.deploy is None and settings.destroy is not None:
            self._left.append(self._noted(settings.destroy))
        self._services(env, [each for each in (infrastructure, deployed) if each is not None])
        self._hook(AFTER, settings.after)

    def _reopened(self, *more: NodeHandle | str) -> list[NodeHandle | str]:
        """Whatever runs lies in the place that it runs in."""
        return [*([self._on.compute_id] if self._on.preview.manifest is None else []), *more]

    def _hook(self, name: str, hook: HookSettings | None, undo: HookSettings | None = None) -> NodeHandle | None:
        if hook is None:
            return None
        on = self._on
        slots = {
            **on.in_place(),
            "run": hook.run,
            "verify_script": hook.verify,
            "where": "compute",
            "cache": hook.cache,
            "undo": undo.run if undo is not None else None,
            "undo_where": "compute",
            "action": name,
        }
        made = on.node(
            "preview.hook",
            name,
            slots,
            path=(name,),
            title=f"{name} {on.stage.id}" if name != DEPLOY else "deploy",
            after=self._last,
            reopened_by=self._reopened(*_counted(self._last)),
            hooks=[hook, undo],
            env=on.hook_env(name, [hook, undo]),
        )
        self._last = [made]
        return made

    def _noted(self, undo: HookSettings) -> NodeHandle:
        """Of what `destroy` takes back without a `deploy`, as what services make: that it is begun. It makes nothing run again."""
        on = self._on
        slots = {
            **on.in_place(),
            "run": NOTHING_TO_RUN,
            "where": "compute",
            "undo": undo.run,
            "undo_where": "compute",
            "action": DEPLOY,
        }
        return on.node(
            "preview.hook",
            DEPLOY,
            slots,
            path=("destroy",),
            title="note that `destroy` is to run",
            after=self._last,
            hooks=[None, undo],
            env=on.hook_env(DEPLOY, [undo]),
            reads=(),
        )

    def _env_file(self, path: str, names: list[str]) -> NodeHandle:
        on = self._on
        entries: dict[str, str] = {}
        texts = [text for name in names for text in self._settings.services[name].env.values()]
        for name in names:
            known = names_in(on.preview, name)
            entries |= {key: rewritten_text(text, known) for key, text in self._settings.services[name].env.items()}
        return on.node(
            "preview.env_file",
            env_node(path),
            {**on.in_place(), "path": path, "entries": dict(sorted(entries.items()))},
            path=("services", names[0], "env"),
            title=f"write {path}",
            after=self._last,
            reopened_by=self._reopened(*_counted(self._last), *on.makers(texts)),
            reads=(),
        )

    def _infrastructure(self) -> NodeHandle:
        on, preview = self._on, self._on.preview
        publish: dict[str, Json] = {
            container.name: [
                {
                    "container_port": port.port,
                    "variable": port.variable,
                    "port": on.port(lease),
                    "protocol": port.protocol,
                }
                for lease, port in leases_of(container)
            ]
            for container in preview.containers
            if container.ports
        }
        variables = {port_variable(name): on.port(name) for name in preview.leases}
        variables |= {
            port.variable: on.port(lease)
            for container in preview.containers
            for lease, port in leases_of(container)
            if port.variable
        }
        slots = {
            **on.in_place(),
            "compose_file": self._settings.compose_file,
            "project": compose_project(preview.lifecycle, preview.target),
            "publish": publish,
            "variables": variables,
        }
        return on.node(
            "preview.infrastructure",
            INFRASTRUCTURE,
            slots,
            path=("infrastructure",),
            title="start the containers",
            after=[*self._last, *self._left],
            reopened_by=self._reopened(*_counted(self._last)),
        )

    def _services(self, env: Mapping[str, NodeHandle], before: list[NodeHandle]) -> None:
        started = {name: rule for name, rule in self._settings.services.items() if rule.command}
        made: dict[str, NodeHandle] = {}
        for name in in_order(started):
            made[name] = self._service(name, started[name], env, before, made)
        self._last = [*made.values()] or self._last

    def _service(
        self,
        name: str,
        rule: ServiceSettings,
        env: Mapping[str, NodeHandle],
        before: list[NodeHandle],
        made: Mapping[str, NodeHandle],
    ) -> NodeHandle:
        on = self._on
        own = [env[path] for path in (env_path(rule),) if path in env]
        needed = [made[need] for need in rule.needs if need in made]
        owned = on.preview.provisioner.owned if on.preview.provisioner is not None else {}
        provided = [
            NodeHandle(f"{on.preview.provisioner_id}/{service_node(need)}", on.preview.provisioner_id)
            for need in rule.needs
            if need in owned and owned[need].seed is not None and on.preview.manifest is None
        ]
        slots = {
            **on.in_place(),
            "name": name,
            "path": rule.path,
            "command": rule.command,
            "env_file": env_path(rule) if own else None,
            "port": on.port(name),
            "ready": rule.ready or {"tcp": True, "within_ms": DEFAULT_WITHIN_MS, "every_ms": DEFAULT_EVERY_MS},
        }
        return on.node(
            "preview.service",
            service_node(name),
            slots,
            path=("services", name),
            title=f"start {name}",
            after=[*(before or self._last), *needed, *provided, *self._left],
            reopened_by=self._reopened(*own, *before, *needed, *provided),
        )


def in_order(services: Mapping[str, ServiceSettings]) -> list[str]:
    """The services, each behind those that it needs, else by name; those in a circle last."""
    names = sorted(services)
    edges = [(need, name) for name in names for need in services[name].needs if need in services and need != name]
    graph = Graph(names, edges)
    return names if graph.has_cycle() else graph.topological_order()


def _counted(nodes: list[NodeHandle]) -> list[NodeHandle]:
    """Those whose being made anew means anything to what comes after: env files and manifest are for those who read them."""
    return [each for each in nodes if not each.id.endswith("]") and not each.id.endswith("/manifest")]
