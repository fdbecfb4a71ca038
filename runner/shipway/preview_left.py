"""The nodes that take away what earlier runs made of a preview and its declaration does not name any more. Starts nothing."""

from __future__ import annotations

from collections.abc import Mapping

from shipway.builder_options import NodeHandle
from shipway.nodes import NeedKind
from shipway.preview_names import INFRASTRUCTURE, compose_project, env_path_of, service_node
from shipway.preview_settings import Doing, PreviewSettings, env_files
from shipway.preview_stage import PreviewNodes

_SERVICE = service_node("")


def left_over(on: PreviewNodes, settings: PreviewSettings, form: str, after: list[NodeHandle]) -> list[NodeHandle]:
    """One node, with the id of the one that made it, for each service, env file and set of containers that has none.

    `form` is `remove` or `stop`; what is only stopped keeps its env files. `after` has to be there before anything can go.
    """
    preview = on.preview
    inside = f"{on.stage.id}/"
    names = [node.removeprefix(inside) for node in on.left if node.startswith(inside)]
    running = {service_node(name) for name, rule in settings.services.items() if rule.command}
    files = env_files(settings)
    need = NeedKind.NEEDS if settings.action is Doing.UP else NeedKind.OPTIONAL

    def gone(action: str, name: str, slots: Mapping[str, object], what: str, behind: list[NodeHandle]) -> NodeHandle:
        whole = {**on.in_place(), **slots, form: True}
        whole["compute"] = whole["compute"] or None  # it was never made
        title = f"{form} {what}, which is not declared any more"
        return on.node(action, name, whole, path=("role",), title=title, after=behind, reads=(), need=need)

    ended = [
        gone("preview.service", name, {"name": service, "command": ":"}, service, after)
        for name in names
        if (service := name.removeprefix(_SERVICE)) != name and name not in running
    ]
    if INFRASTRUCTURE in names and not settings.compose_file:
        slots = {"compose_file": "compose.yaml", "project": compose_project(preview.lifecycle, preview.target)}
        ended.append(gone("preview.infrastructure", INFRASTRUCTURE, slots, "the containers", [*after, *ended]))
    if form != "remove":
        return ended
    behind = ended or after
    return ended + [
        gone("preview.env_file", name, {"path": path, "entries": {}}, path, behind)
        for name in names
        if (path := env_path_of(name)) and path not in files
    ]
