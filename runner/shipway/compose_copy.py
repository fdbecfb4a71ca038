"""A compose file as one preview needs it: ports where they are leased, containers labelled, no other word changed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import yaml
from msgspec import Struct

from shipway.compose_file import ContainerPort, read_compose

LABEL = "shipway.preview"
"""What every container of a preview bears, and every image that is built for it alone: `<lifecycle>/<target>`."""

_TEXT, _SEQUENCE, _MAPPING = "tag:yaml.org,2002:str", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"
_HERE = "127.0.0.1"


class Published(Struct, frozen=True):
    """A port of a container and the one that it is leased on; `variable` says in the file where it is published, empty: nothing."""

    container_port: int
    port: int
    variable: str = ""
    protocol: str = "tcp"


class BadCompose(ValueError):
    """A file that is none of compose; the message says why."""


def compose_copy(text: str, owner: str, publish: Mapping[str, Sequence[Published]]) -> str:
    """The copy. Ports that no variable moves are written anew: on all addresses where the file names a port of the host for
    them, else on this machine's own only. Raises BadCompose.
    """
    try:
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise BadCompose(str(error).splitlines()[0]) from None
    services = _member(root, "services") if isinstance(root, yaml.MappingNode) else None
    if not isinstance(services, yaml.MappingNode):
        raise BadCompose("it has no `services`")
    said = {
        container.name: {(port.port, port.protocol): port for port in container.ports}
        for container in read_compose(text.encode(), "").containers
    }
    found = []
    for key, value in services.value:
        if isinstance(key, yaml.ScalarNode) and isinstance(value, yaml.MappingNode):
            value = _built(_labelled(value, owner), owner)
            ports = publish.get(key.value, ())
            if any(not port.variable for port in ports):
                value = _with(value, "ports", _ports(ports, said.get(key.value, {})))
        found.append((key, value))
    services.value = found
    return str(yaml.serialize(root, Dumper=yaml.CSafeDumper))


def _ports(ports: Sequence[Published], said: Mapping[tuple[int, str], ContainerPort]) -> yaml.SequenceNode:
    """Short forms, as both generations of compose read them."""
    entries: list[yaml.Node] = [_text(_short(port, said.get((port.container_port, port.protocol)))) for port in ports]
    return yaml.SequenceNode(_SEQUENCE, entries, flow_style=False)


def _short(port: Published, said: ContainerPort | None) -> str:
    is_public = said is not None and bool(said.host or said.variable)
    address = (said.address if said is not None else "") or ("" if is_public else _HERE)
    shown = f"[{address}]" if ":" in address and not address.startswith("[") else address
    return f"{shown}:{port.port}:{port.container_port}/{port.protocol}".lstrip(":")


def _labelled(service: yaml.MappingNode, owner: str) -> yaml.MappingNode:
    labels = _inherited(service, "labels")
    if isinstance(labels, yaml.SequenceNode):
        more = yaml.SequenceNode(labels.tag, [*labels.value, _text(f"{LABEL}={owner}")], flow_style=labels.flow_style)
        return _with(service, "labels", more)
    base = labels if isinstance(labels, yaml.MappingNode) else yaml.MappingNode(_MAPPING, [], flow_style=False)
    return _with(service, "labels", _with(base, LABEL, _text(owner)))


def _built(service: yaml.MappingNode, owner: str) -> yaml.MappingNode:
    """With the mark on what is built. An image that the file names itself may be anybody's."""
    build = _inherited(service, "build")
    if build is None or _inherited(service, "image") is not None:
        return service
    if isinstance(build, yaml.ScalarNode):
        build = yaml.MappingNode(_MAPPING, [(_text("context"), build)], flow_style=False)
    return _with(service, "build", _labelled(build, owner)) if isinstance(build, yaml.MappingNode) else service


def _with(mapping: yaml.MappingNode, name: str, value: yaml.Node) -> yaml.MappingNode:
    """The mapping with another member; what else refers to it by an anchor stays as it is."""
    kept = [(key, each) for key, each in mapping.value if not _is(key, name)]
    return yaml.MappingNode(mapping.tag, [*kept, (_text(name), value)], flow_style=mapping.flow_style)


def _inherited(mapping: yaml.MappingNode, name: str) -> yaml.Node | None:
    """The member, its own or of what is merged into it by `<<`."""
    found = _member(mapping, name)
    merged = _member(mapping, "<<") if found is None else None
    above = merged.value if isinstance(merged, yaml.SequenceNode) else [merged]
    each = (_inherited(node, name) for node in above if isinstance(node, yaml.MappingNode))
    return found if found is not None else next(filter(None, each), None)


def _member(mapping: yaml.MappingNode, name: str) -> yaml.Node | None:
    return next((value for key, value in mapping.value if _is(key, name)), None)


def _is(key: yaml.Node, name: str) -> bool:
    return isinstance(key, yaml.ScalarNode) and key.value == name


def _text(text: str) -> yaml.ScalarNode:
    return yaml.ScalarNode(_TEXT, text, style='"')
