"""What a compose file says of containers and the ports they publish. Knows its forms, and starts no container.

Source: https://github.com/compose-spec/compose-spec/blob/main/05-services.md#ports
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml
from msgspec import Struct

from shipway.errors import Position, Problem

MAX_BYTES = 1_000_000
_MAX_DEPTH, _MAX_EVENTS, _MAX_RANGE = 100, 200_000, 1000
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::?[-?+]([^${}]*))?\}|\$([A-Za-z_][A-Za-z0-9_]*)")
_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")


class ContainerPort(Struct, frozen=True):
    """A port that a container offers. `variable` is what says in the file where it is published, empty where nothing does.

    `host` is the port on the host that the file itself names, 0 where it names none; `address` the one it listens at there.
    """

    port: int
    variable: str = ""
    host: int = 0
    protocol: str = "tcp"
    address: str = ""
    where: Position | None = None


class Container(Struct, frozen=True):
    """A service of a compose file; one without an image is built."""

    name: str
    where: Position
    image: str = ""
    ports: tuple[ContainerPort, ...] = ()


class ComposeFile(Struct, frozen=True):
    """The containers in the order of the file, and what is wrong with it."""

    containers: tuple[Container, ...] = ()
    problems: tuple[Problem, ...] = ()


def read_compose(content: bytes, name: str) -> ComposeFile:
    """The containers of a compose file called `name`; what cannot be read is a problem of its own."""
    return _Reader(content, name).file()


class _Reader:
    def __init__(self, content: bytes, name: str) -> None:
        self._content = content
        self._name = name
        self._lines: list[str] = []
        self._problems: list[Problem] = []

    def file(self) -> ComposeFile:
        root = self._root()
        if root is None:
            return ComposeFile(problems=tuple(self._problems))
        services = _member(root, "services")
        if not isinstance(services, yaml.MappingNode):
            self._report(root, "the compose file has no `services`", "write `services: {redis: {image: redis}}`")
            return ComposeFile(problems=tuple(self._problems))
        found = tuple(
            self._container(key, value) for key, value in _members(services) if isinstance(value, yaml.MappingNode)
        )
        return ComposeFile(found, tuple(self._problems))

    def _root(self) -> yaml.Node | None:
        if len(self._content) > MAX_BYTES:
            self._refuse(f"the compose file is larger than {MAX_BYTES // 1000} kB")
            return None
        try:
            text = self._content.decode("utf-8-sig")
            self._lines = text.splitlines()
            if _is_too_deep(text):
                self._refuse("the compose file is too deep or too large to be read")
                return None
            root = yaml.compose(text, Loader=yaml.CSafeLoader)
            if root is None:
                self._refuse("the compose file is empty")
            return root
        except UnicodeDecodeError:
            self._refuse("the compose file is no UTF-8 text")
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            where = Position(self._name, mark.line + 1, mark.column + 1, 1) if mark else None
            self._refuse(f"the compose file is no YAML: {error.problem or 'it cannot be read'}", where)
        except yaml.YAMLError as error:
            self._refuse(f"the compose file is no YAML: {str(error).splitlines()[0]}")
        return None

    def _container(self, key: yaml.ScalarNode, value: yaml.MappingNode) -> Container:
        image = _member(value, "image")
        written = _member(value, "ports")
        ports: list[ContainerPort] = []
        if isinstance(written, yaml.SequenceNode):
            for entry in written.value:
                try:
                    ports += _long(entry, self._where(entry)) if _is_long(entry) else self._short(entry)
                except ValueError as error:
                    self._report(entry, f"{error} in `ports` of `{key.value}`", _FORMS)
        elif written is not None:
            self._report(written, f"`ports` of `{key.value}` is no list", _FORMS)
        return Container(
            name=str(key.value),
            where=self._where(key),
            image=str(image.value) if isinstance(image, yaml.ScalarNode) else "",
            ports=tuple(ports),
        )

    def _short(self, entry: yaml.Node) -> list[ContainerPort]:
        if not isinstance(entry, yaml.ScalarNode):
            raise ValueError("what is neither a text nor a mapping cannot be a port")
        return _short(str(entry.value), self._where(entry))

    def _where(self, node: yaml.Node) -> Position:
        start, end = node.start_mark, node.end_mark
        width = end.column - start.column if end.line == start.line else 1
        return Position(self._name, start.line + 1, start.column + 1, max(width, 1))

    def _report(self, node: yaml.Node, text: str, hint: str) -> None:
        where = self._where(node)
        line = self._lines[where.line - 1] if where.line <= len(self._lines) else ""
        self._problems.append(Problem(text, where, line, hint))

    def _refuse(self, text: str, where: Position | None = None) -> None:
        where = where or Position(self._name, 1, 1, 1)
        line = self._lines[where.line - 1] if where.line <= len(self._lines) else ""
        self._problems.append(Problem(text, where, line, "correct it, or name another file"))


_FORMS = 'write `"${REDIS_PORT:-6379}:6379"`, or `{target: 6379, published: 6379}`'


def _is_too_deep(text: str) -> bool:
    """Whether the composer, which is recursive and ends the process where it is too deep, had better not see it."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.CSafeLoader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH or count > _MAX_EVENTS:
            return True
    return False


def _is_long(entry: yaml.Node) -> bool:
    return isinstance(entry, yaml.MappingNode)


def _short(text: str, where: Position) -> list[ContainerPort]:
    """`[address:][host:]container[/protocol]`, where host and container may be ranges, and variables may stand anywhere."""
    variables = _VARIABLE.findall(text)
    names = [named or bare for named, _, bare in variables]
    # Each variable becomes one that holds no colon, so that what separates the parts is left.
    plain = _VARIABLE.sub("\0", text)
    body, _, protocol = plain.partition("/")
    *address, container = body.rsplit(":", 2) if "]" not in body else _behind_bracket(body)
    host = address.pop() if address else ""
    before = sum(part.count("\0") for part in address)
    variable = names[before] if host == "\0" else ""
    default = variables[before][1] if variable else host.strip()
    return list(
        _each(
            _spelled(container, variables[before + host.count("\0") :]),
            _spelled(default, variables[before:]) if not variable else default,
            variable,
            protocol or "tcp",
            (address[0] if address else "").strip("[]").replace("\0", ""),
            where,
        )
    )


def _behind_bracket(body: str) -> list[str]:
    """The parts of a port at an address of IPv6, which has colons itself."""
    address, _, rest = body.rpartition("]")
    return [address + "]", *rest.removeprefix(":").split(":")]


def _spelled(part: str, variables: list[tuple[str, str, str]]) -> str:
    """A part with the defaults of the variables that stand in it."""
    for _, default, _ in variables[: part.count("\0")]:
        part = part.replace("\0", default, 1)
    return part.strip()


def _each(
    container: str, host: str, variable: str, protocol: str, address: str, where: Position
) -> Iterator[ContainerPort]:
    inside, outside = _range(container), _range(host) if host else []
    if outside and len(inside) != len(outside) and len(inside) > 1:
        raise ValueError(f"`{host}` and `{container}` are ranges of different lengths")
    for place, port in enumerate(inside):
        published = outside[place] if len(outside) == len(inside) else 0
        # One variable says where one port is published; a range is published port by port.
        named = variable if len(inside) == 1 else ""
        yield ContainerPort(port, named, published, protocol, address, where)


def _range(text: str) -> list[int]:
    found = _PORTS.fullmatch(text)
    if found is None:
        raise ValueError(f"`{text}` is no port")
    first, last = int(found[1]), int(found[2] or found[1])
    if not 0 < first <= last <= 65_535 or last - first >= _MAX_RANGE:
        raise ValueError(f"`{text}` is no port, nor a range of at most {_MAX_RANGE}")
    return list(range(first, last + 1))


def _long(entry: yaml.Node, where: Position) -> list[ContainerPort]:
    """`{target, published, protocol, host_ip}`."""
    words = {str(key.value): str(value.value) for key, value in _members(entry) if isinstance(value, yaml.ScalarNode)}
    if "target" not in words:
        raise ValueError("a port without `target`")
    published = words.get("published", "")
    found = _VARIABLE.fullmatch(published)
    variable = (found[1] or found[3]) if found else ""
    host = (found[2] or "") if found else published
    protocol, address = words.get("protocol", "tcp"), words.get("host_ip", "")
    variables = _VARIABLE.findall(words["target"])
    target = _spelled(_VARIABLE.sub("\0", words["target"]), variables)
    return list(_each(target, host, variable, protocol, address, where))


def _members(node: yaml.Node) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    """Keys with their values, merged ones (`<<`) first so that the mapping's own count."""
    if not isinstance(node, yaml.MappingNode):
        return
    own = {str(key.value): (key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)}
    merged: dict[str, tuple[yaml.ScalarNode, yaml.Node]] = {}
    if "<<" in own:
        base = own.pop("<<")[1]
        for each in base.value if isinstance(base, yaml.SequenceNode) else [base]:
            pairs = each.value if isinstance(each, yaml.MappingNode) else []
            merged |= {str(key.value): (key, value) for key, value in pairs if isinstance(key, yaml.ScalarNode)}
    yield from {**merged, **own}.values()


def _member(node: yaml.Node, name: str) -> yaml.Node | None:
    return next((value for key, value in _members(node) if key.value == name), None)
