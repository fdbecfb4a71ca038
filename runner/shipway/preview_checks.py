"""Whether the stages of a preview fit together and to the files of the workspace: names, needs, ports, paths, expressions.

Reads files and starts nothing. What is wrong with the form of a stage alone, `preview_shape` says.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path

from shipway.canonical import Json, mapping
from shipway.declaration import Declaration, Stage
from shipway.errors import Position, Problem, did_you_mean
from shipway.graph import Graph
from shipway.package_manifest import Page
from shipway.preview_expressions import Preview, Scope, leases_of, names_in, rewritten, unnamed_in
from shipway.preview_names import port_variable
from shipway.preview_parts import stages_of
from shipway.preview_settings import Doing, HookSettings, PreviewSettings, Role, env_path, file_of_hook
from shipway.source import Path_, SourceTree


def preview_faults(stage: Stage, lifecycle: Declaration, preview: Preview, root: Path) -> list[Problem]:
    """Everything wrong with one stage of a preview beyond its form, each with its place."""
    checks = _Checks(stage, lifecycle, preview, root)
    settings = preview.settings_of(stage.id)
    if settings is not None and settings.action in (Doing.DOWN, Doing.STOP):
        return []  # what was made is taken away, whatever the workspace has become
    checks.roles()
    if settings is None:
        return checks.page.problems
    checks.hooks(settings)
    if settings.role is Role.RUNNER:
        checks.needs(settings)
        checks.ports(settings)
        checks.paths(settings)
        checks.env_files(settings)
    else:
        checks.known_hosts(settings)
    return checks.page.problems


class _Checks:
    def __init__(self, stage: Stage, lifecycle: Declaration, preview: Preview, root: Path) -> None:
        self.page = Page(lifecycle.source, (*stage.path, "with"))
        self._stage = stage
        self._lifecycle = lifecycle
        self._source: SourceTree = lifecycle.source
        self._preview = preview
        self._root = root.resolve()
        self._lines: dict[str, list[str]] = {}

    def roles(self) -> None:
        """One stage of each role, the runner behind the provisioner."""
        by_role = stages_of(self._lifecycle)
        role = next((role for role, stage in by_role.items() if stage.id == self._stage.id), None)
        if role is None:
            other = next(each.id for each in by_role.values() if each.with_["role"] == self._stage.with_.get("role"))
            text = f"stage `{self._stage.id}` has the role of stage `{other}`, and a lifecycle has one of each"
            self.page.at("role").report(text, "make one stage of the two")
        provisioner = by_role.get(Role.PROVISIONER)
        settings = self._preview.settings_of(self._stage.id)
        is_up = settings is not None and settings.action is Doing.UP and settings.manifest is None
        if role is Role.RUNNER and provisioner is not None and is_up and provisioner.id not in self._stage.needs:
            where = Page(self._source, self._stage.path, self.page.problems)
            text = f"stage `{self._stage.id}` runs what stage `{provisioner.id}` makes, and does not need it"
            where.report(text, f"write `needs: [{provisioner.id}]`", key=True)

    # Hooks.

    def hooks(self, settings: PreviewSettings) -> None:
        """Files that hooks name, and what their variables refer to."""
        for hook, what, scope in hooks_of(settings):
            place = Page(self._source, hook.path, self.page.problems)
            is_long = isinstance(self._written(hook.path), Mapping)
            for key, script in (("run", hook.run), ("verify", hook.verify)):
                self._script(place.at(key) if is_long else place, script or "", what)
            names = names_in(self._preview, scope=scope)
            for name, text in hook.env.items():
                self._expressions((*hook.path, "env", name), text, names)

    def _script(self, place: Page, script: str, what: str) -> None:
        first = file_of_hook(script)
        if first and not (self._root / first).exists():
            place.report(f"{what} runs `{first}`, which is not found", "write it, or correct the name")

    def _written(self, path: Path_) -> Json:
        found: Json = self._source.data
        for key in path:
            found = mapping(found).get(str(key))
        return found

    def _expressions(self, path: Path_, text: str, names: Mapping[tuple[str, ...], str]) -> None:
        for each in unnamed_in(text, names):
            where = self._source.locate_within(path, each.offset, each.width)
            self.page.problems.append(self._source.problem_at(where, each.text, each.hint))

    # Services.

    def needs(self, settings: PreviewSettings) -> None:
        """Names that are there, and no circle."""
        owned = self._preview.provisioner.owned if self._preview.provisioner is not None else {}
        owned_names = [*owned, *mapping((self._preview.manifest or {}).get("provisioner"))]
        known = [*settings.services, *(each.name for each in self._preview.containers), *owned_names]
        edges = []
        for name, rule in settings.services.items():
            for place, need in enumerate(rule.needs):
                page = self.page.at("services", name, "needs", place)
                if need == name:
                    page.report(f"service `{name}` needs itself", "remove it")
                elif need not in known:
                    hint = did_you_mean(need, known) or "known: " + ", ".join(f"`{each}`" for each in known)
                    page.report(f"unknown name `{need}` in `needs` of service `{name}`", hint)
                elif need in settings.services:
                    edges.append((need, name))
        path = [*reversed(Graph(settings.services, edges).cycle())]
        if path:
            place = settings.services[path[0]].needs.index(path[1])
            text = f"a cycle of services that need each other: {' → '.join(path)}"
            self.page.at("services", path[0], "needs", place).report(text, "take one of the needs away")

    def ports(self, settings: PreviewSettings) -> None:
        """No two things under one name or on one port."""
        containers = {each.name: each for each in self._preview.containers}
        for name in settings.services:
            if name in containers:
                text = f"name clash: `{name}` is a service and a container of `{settings.compose_file}`"
                self.page.at("services", name).report(text, "give the service another name", key=True)
        self._variables(settings)
        taken: dict[tuple[str, int, str], str] = {}
        for name, rule in settings.services.items():
            other = taken.setdefault(("tcp", rule.port, ""), name) if rule.port else name
            if other != name:
                text = f"port clash: services `{other}` and `{name}` both want port {rule.port}"
                self.page.at("services", name, "port").report(text, "leave one of them to Shipway")
        for container in self._preview.containers:
            for port in container.ports:
                if not port.host or port.variable:
                    continue
                other = taken.setdefault((port.protocol, port.host, ""), container.name)
                if other != container.name:
                    text = f"port clash: `{other}` and `{container.name}` are both on host port {port.host}"
                    self._in_compose(port.where or container.where, text, "write a variable: `${NAME:-6379}:6379`")

    def _variables(self, settings: PreviewSettings) -> None:
        leases = [*((name, name) for name in settings.services)]
        leases += [(lease, each.name) for each in self._preview.containers for lease, _ in leases_of(each)]
        taken: dict[str, str] = {}
        for lease, name in leases:
            other = taken.setdefault(port_variable(lease), lease)
            if other != lease:
                text = f"name clash: the ports of `{other}` and `{lease}` would both be `{port_variable(lease)}`"
                if name in settings.services:
                    self.page.at("services", name).report(text, "give one of them another name", key=True)
                else:
                    where = next(each.where for each in self._preview.containers if each.name == name)
                    self._in_compose(where, text, "give one of them another name")

    def _in_compose(self, where: Position, text: str, hint: str) -> None:
        lines = self._lines.get(where.file)
        if lines is None:
            written = (self._root / where.file).read_text(encoding="utf-8", errors="replace")
            lines = self._lines[where.file] = written.splitlines()
        line = lines[where.line - 1] if where.line <= len(lines) else ""
        self.page.problems.append(Problem(text, where, line, hint))

    # Files.

    def paths(self, settings: PreviewSettings) -> None:
        """What services and infrastructure name is in the repository, and there."""
        if settings.compose_file:
            page = self.page.at("infrastructure", "compose_file")
            if self._inside(page, settings.compose_file, "`compose_file`"):
                self._there(page, settings.compose_file, "the compose file", is_folder=False)
        for name, rule in settings.services.items():
            page = self.page.at("services", name, "path")
            if rule.path and self._inside(page, rule.path, f"`path` of service `{name}`"):
                self._there(page, rule.path, f"the folder of service `{name}`", is_folder=True)
                whose = f"`env_file` of service `{name}`"
                given = "env_file" in mapping(self._written((*page.path[:-1],)))
                file = self.page.at("services", name, "env_file") if given else page
                if rule.env_file.startswith("/"):
                    file.report(f"{whose} is outside the repository: `{rule.env_file}`", _BELOW)
                else:
                    self._inside(file, posixpath.join(rule.path, rule.env_file), whose)

    def known_hosts(self, settings: PreviewSettings) -> None:
        """The file with the keys of hosts."""
        file = (settings.compute.ssh or {}).get("known_hosts", "")
        page = self.page.at("compute", "ssh", "known_hosts")
        if file and self._inside(page, file, "`known_hosts`"):
            self._there(page, file, "the file with the keys of hosts", is_folder=False)

    def _inside(self, page: Page, path: str, what: str) -> bool:
        """Whether a path stays in the repository, links followed. One that is not known yet does."""
        if "${{" in path:
            return False
        if not path.startswith("/") and (self._root / path).resolve().is_relative_to(self._root):
            return True
        page.report(f"{what} is outside the repository: `{path}`", _BELOW)
        return False

    def _there(self, page: Page, path: str, what: str, *, is_folder: bool) -> None:
        found = self._root / path
        if not (found.is_dir() if is_folder else found.is_file()):
            page.report(f"{what} is not found: `{path}`", "make it, or correct the name")

    # Env files.

    def env_files(self, settings: PreviewSettings) -> None:
        """What the variables of services refer to, and that no two services give one key of one file two values."""
        given: dict[tuple[str, str], tuple[str, str]] = {}
        for name, rule in settings.services.items():
            names = names_in(self._preview, name)
            for key, text in rule.env.items():
                path = (*self.page.path, "services", name, "env", key)
                before = len(self.page.problems)
                self._expressions(path, text, names)
                if len(self.page.problems) > before:
                    continue
                value = rewritten(text, names)
                other, said = given.setdefault((env_path(rule), key), (name, value))
                if said != value:
                    text = (
                        f"services `{other}` and `{name}` both write `{key}` into `{env_path(rule)}`, with other values"
                    )
                    hint = "give one of them an `env_file` of its own, or the same value"
                    self.page.at("services", name, "env", key).report(text, hint)


_BELOW = "name something below it"


def hooks_of(settings: PreviewSettings) -> Iterator[tuple[HookSettings, str, Scope]]:
    """Every hook that a stage declares, what it is called, and which names its variables may use."""
    is_runner = settings.role is Role.RUNNER
    for name in ("before", "deploy", "destroy", "after"):
        hook: HookSettings | None = getattr(settings, name)
        if hook is not None:
            yield hook, f"`{name}`", Scope.ALL if is_runner or name == "after" else Scope.NOTHING
    compute = settings.compute
    for name, hook in (("create", compute.create), ("destroy", compute.destroy), ("list", compute.list)):
        if hook is not None:
            yield hook, f"`{name}` of `compute`", Scope.NOTHING
    for service, owned in settings.owned.items():
        each = (("init", owned.init), ("seed", owned.seed), ("reset", owned.reset), ("destroy", owned.destroy))
        for name, hook in each:
            if hook is not None:
                scope = Scope.NOTHING if name == "init" else Scope.PORTS
                yield hook, f"`{name}` of service `{service}`", scope
