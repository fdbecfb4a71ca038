"""The stages of a preview read together, their texts folded as far as they must be known. Starts nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec.structs import replace

from shipway.canonical import Json
from shipway.compose_file import MAX_BYTES, ComposeFile, read_compose
from shipway.declaration import Declaration, Stage
from shipway.errors import Position, Problem
from shipway.preview_expressions import Preview, Scope, names_in, rewritten
from shipway.preview_settings import PreviewSettings, Role, names_host, preview_settings, role_of
from shipway.source import Path_

Folding = Callable[[str, Position], Json]
"""What a text comes to that has to be known; it reports one that is not, and gives None."""


def stages_of(lifecycle: Declaration) -> dict[Role, Stage]:
    """The preview stages by their role; of two with one role the first."""
    found: dict[Role, Stage] = {}
    for stage in lifecycle.stages:
        role = role_of(stage)
        if role is not None:
            found.setdefault(role, stage)
    return found


def folded_with(stage: Stage, lifecycle: Declaration, target: str, fold: Folding) -> Mapping[str, Json]:
    """`with` of a stage with its texts worked out, but for those that are a node's to work out when it runs, and scripts."""
    names = names_in(Preview(lifecycle.name, target), scope=Scope.NOTHING)
    start: Path_ = (*stage.path, "with")

    def folded(value: Json, path: Path_) -> Json:
        if isinstance(value, Mapping):
            return {key: folded(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [folded(item, (*path, place)) for place, item in enumerate(value)]
        if not isinstance(value, str) or "${{" not in value or _stays_open(path[len(start) :]):
            return value
        return fold(rewritten(value, names), lifecycle.source.locate(path))

    return {key: folded(value, (*start, key)) for key, value in stage.with_.items()}


def _stays_open(path: Path_) -> bool:
    """Whether a text is worked out by a node when it runs, or is a script, in which nothing ever is."""
    is_env = len(path) > 1 and path[-2] == "env"
    is_script = path[-1] in ("run", "verify", "command") or (len(path) == 1 and path[0] in _HOOKS)
    return is_env or is_script or path == ("compute", "ssh", "key") or path[0] == "manifest"


_HOOKS = ("before", "after", "deploy", "destroy")


def read_preview(lifecycle: Declaration, target: str, root: Path, fold: Folding) -> tuple[Preview, ComposeFile]:
    """All that the preview stages say, and the compose file that they name; what has not the form it must have is left out."""
    settings: dict[Role, PreviewSettings] = {}
    stages = stages_of(lifecycle)
    for role, stage in stages.items():
        data = folded_with(stage, lifecycle, target, fold)
        settings[role] = preview_settings(replace(stage, with_=data), lifecycle)
    provisioner, runner = settings.get(Role.PROVISIONER), settings.get(Role.RUNNER)
    compose = compose_of(runner.compose_file, root) if runner is not None and runner.compose_file else ComposeFile()
    preview = Preview(
        lifecycle=lifecycle.name,
        target=target,
        provisioner_id=stages[Role.PROVISIONER].id if provisioner is not None else "",
        provisioner=provisioner,
        runner_id=stages[Role.RUNNER].id if runner is not None else "",
        runner=runner,
        containers=compose.containers,
        is_remote=names_host(lifecycle),
    )
    return preview, compose


def compose_of(name: str, root: Path) -> ComposeFile:
    """The compose file `name` of the workspace; one that cannot be read has no containers, and no problem of its own."""
    try:
        with (root / name).open("rb") as stream:
            return read_compose(stream.read(MAX_BYTES + 1), name)
    except OSError:
        return ComposeFile()


def once(problems: list[Problem]) -> list[Problem]:
    """Each problem once: what two looks find is one thing."""
    return list(dict.fromkeys(problems))
