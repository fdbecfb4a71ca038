"""What `with` of a `preview` stage says, as values. Checked by `preview_checks`; looks at no file."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct, field

from shipway.canonical import Json, mapping
from shipway.declaration import Declaration, OutputRule, Stage
from shipway.durations import parse_ms
from shipway.source import Path_

_PLAIN = re.compile(r"\.{0,2}/[A-Za-z0-9._/+@-]+")

DEFAULT_ENV_FILE = ".env.local"
DEFAULT_WITHIN_MS, DEFAULT_EVERY_MS = 60_000, 500


class Role(StrEnum):
    """What a stage of a preview is for: what a target owns outside its checkout, and what runs in it."""

    PROVISIONER = "provisioner"
    RUNNER = "runner"


class Doing(StrEnum):
    """What is done with a preview. A person writes `up` only; the others are put into derived declarations."""

    UP = "up"
    DOWN = "down"
    STOP = "stop"
    RESET = "reset"
    SEED = "seed"
    INIT = "init"


class HookSettings(Struct, frozen=True):
    """One hook. `timeout_ms` None: the stage's. `env` holds templates."""

    run: str
    path: Path_
    cache: bool = True
    timeout_ms: int | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    verify: str | None = None


class ComputeSettings(Struct, frozen=True):
    """Where an environment lives. `ssh` None: on this machine. `port` 0 and empty texts: not given."""

    create: HookSettings | None = None
    destroy: HookSettings | None = None
    list: HookSettings | None = None
    outputs: Mapping[str, OutputRule] = field(default_factory=dict)
    host: str = ""
    user: str = ""
    port: int = 0
    root: str = ""
    ssh: Mapping[str, str] | None = None


class OwnedSettings(Struct, frozen=True):
    """A service of the provisioner: what it hands out, and the hooks that make it, make it again and take it away."""

    outputs: Mapping[str, OutputRule] = field(default_factory=dict)
    init: HookSettings | None = None
    seed: HookSettings | None = None
    reset: HookSettings | None = None
    destroy: HookSettings | None = None


class ServiceSettings(Struct, frozen=True):
    """A service of the runner. `path` is below the repository, `env_file` below that. `port` 0: any that is free.

    `ready` is what `preview.service` takes: `tcp`, `http` or `run`, with `within_ms` and `every_ms`; None: as its port says.
    """

    path: str
    command: str = ""
    needs: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    env_file: str = DEFAULT_ENV_FILE
    ready: Mapping[str, Json] | None = None
    port: int = 0


class PreviewSettings(Struct, frozen=True):
    """A `preview` stage as written. `owned` are the provisioner's services, `services` the runner's, both by name.

    `checkout` is one that is there, to be used and not to be removed.
    """

    role: Role
    action: Doing = Doing.UP
    service: str = ""
    manifest: Mapping[str, Json] | None = None
    checkout: str = ""
    before: HookSettings | None = None
    after: HookSettings | None = None
    deploy: HookSettings | None = None
    destroy: HookSettings | None = None
    compute: ComputeSettings = field(default_factory=ComputeSettings)
    owned: Mapping[str, OwnedSettings] = field(default_factory=dict)
    services: Mapping[str, ServiceSettings] = field(default_factory=dict)
    compose_file: str = ""
    domain: str = ""
    ttl_ms: int | None = None
    quota: int | None = None


def file_of_hook(script: str) -> str:
    """The file that a script begins with, where it plainly names one, such as `./scripts/seed.sh`; else empty."""
    lines = [line.strip() for line in script.splitlines() if line.strip() and not line.strip().startswith("#")]
    try:
        first = shlex.split(lines[0])[0] if lines else ""
    except (ValueError, IndexError):
        return ""
    return first if _PLAIN.fullmatch(first) else ""


def env_path(rule: ServiceSettings) -> str:
    """The env file of a service, from the root of the repository."""
    return posixpath.normpath(posixpath.join(rule.path, rule.env_file))


def env_files(settings: PreviewSettings) -> dict[str, list[str]]:
    """The services whose `env` goes into each env file, by its path; one without `env` has none."""
    found: dict[str, list[str]] = {}
    for name, rule in sorted(settings.services.items()):
        if rule.env:
            found.setdefault(env_path(rule), []).append(name)
    return found


def role_of(stage: Stage) -> Role | None:
    """The role that a stage of mode `preview` says it has; None for any other stage, and where it says none."""
    role = stage.with_.get("role") if stage.mode == "preview" else None
    return Role(role) if role in ("provisioner", "runner") else None


def names_host(lifecycle: Declaration) -> bool:
    """Whether a preview of the lifecycle lives elsewhere: its `compute` has `host`, `ssh`, or an output `HOST`."""
    for stage in lifecycle.stages:
        compute = mapping(stage.with_.get("compute")) if role_of(stage) else {}
        if "host" in compute or "ssh" in compute or "HOST" in mapping(compute.get("outputs")):
            return True
    return False


def preview_settings(stage: Stage, lifecycle: Declaration) -> PreviewSettings:
    """The settings of a stage that has a role. What has not the form it must have is left out, or empty.

    Texts are folded where they have to be known.
    """
    return _Reader(stage, lifecycle).settings()


class _Reader:
    def __init__(self, stage: Stage, lifecycle: Declaration) -> None:
        self._data = stage.with_
        self._path: Path_ = (*stage.path, "with")
        self._source = lifecycle.source

    def settings(self) -> PreviewSettings:
        data = self._data
        role = Role(str(data["role"]))
        is_provisioner = role is Role.PROVISIONER
        services = mapping(data.get("services"))
        manifest = data.get("manifest")
        return PreviewSettings(
            role=role,
            action=Doing(action) if (action := str(data.get("action", "up"))) in list(Doing) else Doing.UP,
            service=str(data.get("service", "")),
            checkout=str(data.get("checkout", "")),
            manifest=manifest if isinstance(manifest, Mapping) else None,
            before=self._hook("before"),
            after=self._hook("after"),
            deploy=self._hook("deploy"),
            destroy=self._hook("destroy"),
            compute=self._compute(mapping(data.get("compute"))),
            owned={name: self._owned(name, mapping(rule)) for name, rule in services.items()} if is_provisioner else {},
            services={} if is_provisioner else {name: self._service(name, mapping(r)) for name, r in services.items()},
            compose_file=str(mapping(data.get("infrastructure")).get("compose_file", "")),
            domain=str(data.get("domain", "")),
            ttl_ms=_ms(data.get("ttl")),
            quota=_whole(data["quota"]) if "quota" in data else None,
        )

    def _compute(self, data: Mapping[str, Json]) -> ComputeSettings:
        ssh = data.get("ssh")
        return ComputeSettings(
            create=self._hook("compute", "create"),
            destroy=self._hook("compute", "destroy"),
            list=self._hook("compute", "list"),
            outputs=_outputs(data.get("outputs")),
            host=str(data.get("host", "")),
            user=str(data.get("user", "")),
            port=_whole(data.get("port", 0)),
            root=str(data.get("root", "")),
            ssh={name: str(text) for name, text in ssh.items()} if isinstance(ssh, Mapping) else None,
        )

    def _owned(self, name: str, data: Mapping[str, Json]) -> OwnedSettings:
        hooks = {each: self._hook("services", name, each) for each in ("init", "seed", "reset", "destroy")}
        return OwnedSettings(outputs=_outputs(data.get("outputs")), **hooks)

    def _service(self, name: str, data: Mapping[str, Json]) -> ServiceSettings:
        needs = data.get("needs")
        ready = data.get("ready")
        return ServiceSettings(
            path=str(data.get("path", "")),
            command=str(data.get("command", "")),
            needs=tuple(dict.fromkeys(str(need) for need in needs)) if isinstance(needs, list) else (),
            env=self._env(("services", name)),
            env_file=str(data.get("env_file", DEFAULT_ENV_FILE)),
            ready=_ready(ready) if isinstance(ready, Mapping) else None,
            port=_whole(data.get("port", 0)),
        )

    def _hook(self, *path: str) -> HookSettings | None:
        written = self._at(path)
        if isinstance(written, str):
            return HookSettings(written, (*self._path, *path))
        if not isinstance(written, Mapping):
            return None
        verify = written.get("verify")
        return HookSettings(
            run=str(written.get("run", "")),
            path=(*self._path, *path),
            cache=written.get("cache") is not False,
            timeout_ms=_ms(written.get("timeout")),
            env=self._env(path),
            verify=str(verify) if verify is not None else None,
        )

    def _env(self, path: tuple[str, ...]) -> Mapping[str, str]:
        return {name: self._text((*path, "env", name)) for name in mapping(mapping(self._at(path)).get("env"))}

    def _text(self, path: tuple[str, ...]) -> str:
        """A scalar where text is wanted: as it was spelled, unless an expression in it has been worked out."""
        value = self._at(path)
        if isinstance(value, str) or not isinstance(value, int | float):
            return value if isinstance(value, str) else ""
        return self._source.spelling((*self._path, *path))

    def _at(self, path: tuple[str, ...]) -> Json:
        found: Json = self._data
        for key in path:
            found = mapping(found).get(key)
        return found


def _outputs(written: Json) -> dict[str, OutputRule]:
    found = {}
    for name, rule in mapping(written).items():
        kind = mapping(rule).get("type", "string") if isinstance(rule, Mapping) else rule
        found[name] = OutputRule(str(kind), mapping(rule).get("required") is not False)
    return found


def _ready(written: Mapping[str, Json]) -> Mapping[str, Json]:
    kind = next((key for key in ("http", "run", "tcp") if key in written), "tcp")
    within, every = _ms(written.get("within")), _ms(written.get("every"))
    return {
        kind: written.get(kind, True),
        "within_ms": DEFAULT_WITHIN_MS if within is None else within,
        "every_ms": DEFAULT_EVERY_MS if every is None else every,
    }


def _ms(written: Json) -> int | None:
    try:
        return parse_ms(written) if isinstance(written, str) else None
    except ValueError:
        return None


def _whole(value: Json) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
