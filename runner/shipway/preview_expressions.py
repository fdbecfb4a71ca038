"""The names that expressions of a preview may use: one table, by which they are checked and by which they are rewritten. Pure.

What is known only when run is rewritten into references that every expression knows: `provisioner.postgres.DSN` becomes
`stages.provisioner.steps['service/postgres'].outputs.DSN`, so that edges, masking and predictions are those of all nodes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

from shipway import expressions
from shipway.canonical import Json, mapping
from shipway.compose_file import Container, ContainerPort
from shipway.errors import did_you_mean
from shipway.expression_tree import Call, Compare, Context, Index, Literal, Logic, Node, Not, render
from shipway.expressions import Reference
from shipway.preview_names import COMPUTE, PORTS, host_label, secret_name, service_node
from shipway.preview_settings import PreviewSettings
from shipway.references import CONTEXTS_OF_MODE

_LOCAL = "127.0.0.1"
_REQUEST = re.compile("pr-([0-9]+)")


class Scope(Enum):
    """How much there is where a text stands: nothing yet; the ports; all of it."""

    NOTHING = "nothing"
    PORTS = "ports"
    ALL = "all"


Names = Mapping[tuple[str, ...], str]
"""What may be written, as a path in lower case, and the expression that stands for it."""


class Unnamed(Struct, frozen=True):
    """A reference that stands for nothing: where in the text, and what to write."""

    text: str
    hint: str
    offset: int
    width: int


class Preview(Struct, frozen=True):
    """All that the stages of a preview say together; a stage that is not there is None, with an empty id.

    `is_remote`: it lives on another host.
    """

    lifecycle: str
    target: str
    provisioner_id: str = ""
    provisioner: PreviewSettings | None = None
    runner_id: str = ""
    runner: PreviewSettings | None = None
    containers: tuple[Container, ...] = ()
    is_remote: bool = False

    @property
    def home(self) -> str:
        """The stage that makes the place a preview lives in, and leases its ports."""
        return self.provisioner_id or self.runner_id

    def settings_of(self, stage: str) -> PreviewSettings | None:
        """What a stage says; None for one that is not of this preview."""
        return {self.provisioner_id: self.provisioner, self.runner_id: self.runner}.get(stage) if stage else None

    @property
    def manifest(self) -> Mapping[str, Json] | None:
        """What is there already, where nothing is made: values in place of what nodes would hand on."""
        settings = self.runner or self.provisioner
        return settings.manifest if settings is not None else None

    @property
    def leases(self) -> dict[str, int]:
        """What gets a port, sorted, each with the one that it asks for (0: any)."""
        services = self.runner.services if self.runner is not None else {}
        found = {name: service.port for name, service in services.items()}
        found |= {name: 0 for container in self.containers for name, _ in leases_of(container)}
        return dict(sorted(found.items()))


def leases_of(container: Container) -> Iterator[tuple[str, ContainerPort]]:
    """The ports of a container, each by the name it is leased under: the first by that of the container itself."""
    for place, port in enumerate(container.ports):
        protocol = "" if port.protocol == "tcp" else f"-{port.protocol}"
        yield (f"{container.name}-{port.port}{protocol}" if place else container.name), port


def names_in(preview: Preview, service: str | None = None, *, scope: Scope = Scope.ALL) -> Names:
    """Every name that may be used, in the texts of a service or, without one, in all others; each once."""
    found: dict[tuple[str, ...], str] = {}
    if scope is not Scope.NOTHING:
        found |= _of_ports(preview)
    if scope is Scope.ALL:
        found |= _of_provisioner(preview)
    if service is not None:
        found["self", "port"], found["self", "url"] = _port(preview, service), _url(preview, service)
    request = _REQUEST.fullmatch(preview.target)
    found["pull_request", "number"] = request[1] if request else "null"
    found["pull_request", "branch"] = "github.head_ref"
    found["pull_request", "base"] = "github.base_ref"
    return {tuple(part.casefold() for part in path): text for path, text in found.items()}


def _of_ports(preview: Preview) -> dict[tuple[str, ...], str]:
    found: dict[tuple[str, ...], str] = {}
    for name in preview.runner.services if preview.runner is not None else ():
        found["services", name, "port"] = _port(preview, name)
        found["services", name, "url"] = _url(preview, name)
    for container in preview.containers:
        for place, (name, port) in enumerate(leases_of(container)):
            if not place:
                found["infrastructure", container.name, "port"] = _port(preview, name)
            found["infrastructure", container.name, "ports", str(port.port)] = _port(preview, name)
    return found


def _of_provisioner(preview: Preview) -> dict[tuple[str, ...], str]:
    found: dict[tuple[str, ...], str] = {}
    if preview.manifest is not None:
        for name, outputs in mapping(preview.manifest.get("provisioner")).items():
            for output, value in mapping(outputs).items():
                # A manifest says of a secret where it is, and nothing of what it is.
                is_secret = isinstance(value, Mapping)
                found["provisioner", name, output] = (
                    f"secrets.{secret_name(name, output)}" if is_secret else _literal(value)
                )
        return found
    for name, owned in preview.provisioner.owned.items() if preview.provisioner is not None else ():
        for output in owned.outputs:
            found["provisioner", name, output] = _output(preview.provisioner_id, service_node(name), output)
    return found


def rewritten(text: str, names: Names) -> str:
    """The template `text` in words that every expression knows. Raises ExpressionError; what `unnamed_in` finds is left."""
    if not expressions.has_expression(text):
        return text
    return expressions.change_template(expressions.parse_template(text), lambda node: _put(node, names)).text


def rewritten_text(text: str, names: Names) -> str:
    """The same for what becomes text, whatever its value is: a port alone is `8042`, not a number. Raises ExpressionError."""
    changed = rewritten(text, names)
    single = expressions.parse_template(changed, rendered=True).single if expressions.has_expression(changed) else None
    return changed if single is None else f"${{{{ format('{{0}}', {single.text}) }}}}"


def owners_in(text: str) -> Iterator[str]:
    """The services of the provisioner whose outputs a text refers to. Raises ExpressionError."""
    for reference in expressions.parse_template(text).references if expressions.has_expression(text) else ():
        if reference.path[0] == "provisioner" and len(reference.path) > 1:
            yield str(reference.path[1]).casefold()


def unnamed_in(text: str, names: Names) -> Iterator[Unnamed]:
    """Every reference to a context of a preview that is no name; none for a text that cannot be read, which others report."""
    try:
        found = expressions.parse_template(text).references if expressions.has_expression(text) else ()
    except expressions.ExpressionError:
        return
    for reference in found:
        if reference.path[0] in CONTEXTS_OF_MODE["preview"] and _path(reference) not in names:
            yield _complaint(reference, names)


def _complaint(reference: Reference, names: Names) -> Unnamed:
    """What is wrong with a name, told by how far it leads."""
    path = tuple("*" if part is None else str(part) for part in reference.path)
    written = ".".join(path)
    known = [".".join(name) for name in names]
    hint = did_you_mean(written.casefold(), known) or "known: " + ", ".join(f"`{name}`" for name in known[:12])
    folded = tuple(part.casefold() for part in path)
    context = path[0]
    if context == "self" and not any(name[0] == "self" for name in names):
        text, hint = f"`{written}` outside a service", "write `services.<name>.port`"
    elif not any(name[: len(folded)] == folded for name in names) and any(name[:2] == folded[:2] for name in names):
        text = f"`{'.'.join(path[:2])}` has no `{'.'.join(path[2:])}`"
    elif any(name[: len(folded)] == folded for name in names):
        ends = sorted({name[len(folded)] for name in names if name[: len(folded)] == folded})
        text, hint = f"`{written}` is no value by itself", f"write `{written}.{ends[0]}`"
    elif context in ("self", "pull_request"):
        text = f"`{context}` has no `{'.'.join(path[1:])}`"
    else:
        what = {"services": "service", "infrastructure": "container", "provisioner": "service of the provisioner"}
        text = f"there is no {what[context]} `{'.'.join(path[1:2])}`: `{written}`"
    return Unnamed(text, hint, reference.offset, reference.width)


def _path(reference: Reference) -> tuple[str, ...] | None:
    if None in reference.path:
        return None
    return tuple(str(part).casefold() for part in reference.path)


def _port(preview: Preview, name: str) -> str:
    if preview.manifest is not None:
        return _literal(mapping(_manifest(preview, "ports")).get(name))
    return _output(preview.home, PORTS, name)


def _url(preview: Preview, service: str) -> str:
    domain = preview.runner.domain if preview.runner is not None else ""
    if domain:
        return _literal(f"https://{host_label(preview.target, service)}.{domain}")
    host = _literal(_LOCAL)
    if preview.is_remote:
        known = mapping(_manifest(preview, "compute")).get("host")
        host = _literal(known) if preview.manifest is not None else _output(preview.home, COMPUTE, "host")
    return f"format('http://{{0}}:{{1}}', {host}, {_port(preview, service)})"


def _manifest(preview: Preview, part: str) -> Json:
    return (preview.manifest or {}).get(part)


def _output(stage: str, step: str, output: str) -> str:
    return "stages" + "".join(f"[{_literal(part)}]" for part in (stage, "steps", step, "outputs", output))


def _literal(value: Json) -> str:
    """A scalar as an expression."""
    return render(Literal(value))


def _put(node: Node, names: Names) -> Node:
    """The tree with every name in it replaced."""
    if isinstance(node, Index):
        text = names.get(_chain(node) or ())
        if text is not None:
            return expressions.parse(text, rendered=True).node
        # A name is replaced whole or not at all: what stands behind it is no part of what it comes to.
        target = node.target if _is_of_preview(node) else _put(node.target, names)
        return replace(node, target=target, key=_put(node.key, names))
    match node:
        case Not():
            return replace(node, operand=_put(node.operand, names))
        case Compare():
            return replace(node, left=_put(node.left, names), right=_put(node.right, names))
        case Logic():
            return replace(node, operands=tuple(_put(operand, names) for operand in node.operands))
        case Call():
            return replace(node, arguments=tuple(_put(argument, names) for argument in node.arguments))
    return node


def _is_of_preview(node: Node) -> bool:
    while isinstance(node, Index):
        node = node.target
    return isinstance(node, Context) and node.name.casefold() in CONTEXTS_OF_MODE["preview"]


def _chain(node: Node) -> tuple[str, ...] | None:
    """The path that a chain of properties amounts to, in lower case; None for anything else."""
    keys: list[str] = []
    while isinstance(node, Index):
        if not isinstance(node.key, Literal) or isinstance(node.key.value, bool | None):
            return None
        keys.insert(0, expressions.to_text(node.key.value).casefold())
        node = node.target
    return (node.name.casefold(), *keys) if isinstance(node, Context) else None
