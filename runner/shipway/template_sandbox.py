"""Renders one template with nothing in reach but its data, and no more work than a budget allows. Reads no file itself.

Templates come with pull requests: neither Python, files, environment nor the machine's memory and time are theirs.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import NoReturn

from jinja2 import BaseLoader, StrictUndefined, TemplateError, TemplateSyntaxError, Undefined, nodes
from jinja2.environment import Environment, Template, TemplateModule
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace, missing
from jinja2.visitor import NodeTransformer

from shipway.canonical import Json
from shipway.errors import did_you_mean

MAX_OUTPUT_CHARACTERS = 1 << 20
"""Where a rendering stops."""

MAX_STEPS = 1 << 22
"""How much one rendering may do: about one step for each character written, item looked at, or turn of a loop."""

_CALL_STEPS = 16
_TEMPLATE_STEPS = 256
_MAX_INTEGER_BITS = 4096
_MAX_EXPONENT = 64
_MAX_PRECISION = 15
_MAX_INDENT = 64

# fmt: off
_FILTERS = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "groupby", "int", "items",
    "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "select",
    "selectattr", "sort", "string", "sum", "title", "trim", "unique", "upper", "urlencode", "wordcount",
)
# fmt: on
"""Filters of Jinja whose work and result are bounded by what they are given. `random` is not deterministic, so not here."""

# fmt: off
_TEXT_METHODS = frozenset({
    "capitalize", "casefold", "count", "endswith", "find", "index", "isalnum", "isalpha", "isdigit", "islower",
    "isnumeric", "isspace", "isupper", "lower", "lstrip", "partition", "removeprefix", "removesuffix", "rfind",
    "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "swapcase", "title",
    "upper",
})
# fmt: on
_MAPPING_METHODS = frozenset({"get", "items", "keys", "values"})
_GLOBALS = ("range", "namespace")
_WRITTEN = (str, int, float, type(None), Mapping, list, tuple, Undefined, TemplateModule)
"""What can stand in `{{ }}`: all else would be written with its address in memory, another one each time."""


class TemplateFault(Exception):
    """A template that cannot be rendered. `name` and `line` say where, as far as that is known (0: not)."""

    def __init__(self, message: str, name: str, line: int) -> None:
        super().__init__(message)
        self.message = message
        self.name = name
        self.line = line


def render(name: str, text: str, data: Mapping[str, Json], read: Callable[[str], str]) -> str:
    """The template `text` with `data`. `name` is what faults call it; `read` gives the text of an included one.

    Raises TemplateFault for a missing name, a wrong template, and one that does too much.
    """
    loader = _Loader(name, text, read)
    environment = _Sandbox(loader, data)
    try:
        chunks = environment.get_template(name).generate(dict(data))
        return _joined(chunks)
    except TemplateSyntaxError as error:
        raise TemplateFault(_told(TemplateError(error.message)), error.name or name, error.lineno) from error
    except _FAULTS as error:
        where, line = _position(error.__traceback__, loader.names) or (name, 0)
        raise TemplateFault(_told(error), where, line) from error


_FAULTS = (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError)


def _joined(chunks: Iterable[str]) -> str:
    found, size = [], 0
    for chunk in chunks:
        size += len(chunk)
        if size > MAX_OUTPUT_CHARACTERS:
            raise SecurityError(f"it renders to more than {MAX_OUTPUT_CHARACTERS} characters")
        found.append(chunk)
    return "".join(found)


def _told(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it calls itself too deeply"
    text = str(error) or type(error).__name__
    return text[0].lower() + text[1:]


def _position(trace: TracebackType | None, names: Sequence[str]) -> tuple[str, int] | None:
    """Name and line of the innermost frame that is a template's: Jinja gives those the template's own lines."""
    found = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename in names:
            found = trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next
    return found


class _Loader(BaseLoader):
    def __init__(self, name: str, text: str, read: Callable[[str], str]) -> None:
        self.names = [name]
        self._text = text
        self._read = read

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        text = self._text if template == self.names[0] else self._read(template)
        self.names.append(template)
        return text, template, lambda: True


class _Sandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, loader: BaseLoader, data: Mapping[str, Json]) -> None:
        super().__init__(
            loader=loader,
            undefined=_missing_in(data),
            keep_trailing_newline=True,
            finalize=self._emitted,
            autoescape=False,
        )
        self._left = MAX_STEPS
        known = self.filters
        self.filters = {name: self._measured(known[name]) for name in _FILTERS}
        for own in (_escape, _indent, _join, _replace, _round, _tojson):
            self.filters[own.__name__.strip("_")] = self._measured(own)
        self.filters |= {"e": self.filters["escape"], "counted": self._counted, "concatenated": self._concatenated}
        self.globals = {"range": self._range, "namespace": Namespace}

    # What costs steps.

    def charge(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise SecurityError("it does too much: a rendering is bounded")

    def _measure(self, value: object) -> None:
        """Charge for a value as it would be written or walked, however often its parts are shared."""
        waiting = [value]
        while waiting:
            item = waiting.pop()
            if isinstance(item, str):
                self.charge(1 + len(item))
                continue
            self.charge(1)
            if isinstance(item, Mapping):
                waiting.extend((*item.keys(), *item.values()))
            elif isinstance(item, (list, tuple)):
                waiting.extend(item)

    def _measured(self, work: Callable[..., object]) -> Callable[..., object]:
        def measured(*args: object, **kwargs: object) -> object:
            for value in (*args, *kwargs.values()):
                self._measure(value)
            return work(*args, **kwargs)

        # Jinja hands a filter its context or environment by this mark.
        mark = getattr(work, "jinja_pass_arg", None)
        if mark is not None:
            measured.jinja_pass_arg = mark  # type: ignore[attr-defined]
        return measured

    def _emitted(self, value: object) -> str:
        if not isinstance(value, _WRITTEN):
            raise SecurityError(
                f"a {type(value).__name__} cannot be written; `join`, `list` or a call makes it a value"
            )
        self._measure(value)
        if isinstance(value, (Mapping, list, tuple)):
            _refuse_missing_within(value)
        return str(value)

    def _counted(self, items: Iterable[object], size: int) -> Iterator[object]:
        for item in items:
            self.charge(1 + size)
            yield item

    def _concatenated(self, parts: Sequence[object]) -> str:
        self._measure(parts)
        return "".join(str(part) for part in parts)

    def _range(self, *bounds: int) -> range:
        numbers = range(*bounds)
        if len(numbers) > self._left:
            self.charge(self._left + 1)
        return numbers

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        if operator == "%" and isinstance(left, str):
            raise SecurityError("`%` formats no text here; join texts with `~`")
        if operator == "+" and isinstance(left, (str, list, tuple)):
            self._measure((left, right))
        if operator == "*":
            self._charge_repeated(left, right)
            self._charge_repeated(right, left)
        if operator in ("*", "**"):
            _refuse_large(operator, left, right)
        return super().call_binop(context, operator, left, right)

    def _charge_repeated(self, part: object, times: object) -> None:
        if isinstance(part, (str, list, tuple)) and isinstance(times, int):
            self.charge(len(part) * max(times, 0))

    def call(__self, __context: Context, __obj: object, *args: object, **kwargs: object) -> object:
        text = getattr(__obj, "__self__", None)
        __self.charge(_CALL_STEPS + (len(text) if isinstance(text, str) else 0))
        return super().call(__context, __obj, *args, **kwargs)

    def get_template(self, *args: object, **kwargs: object) -> Template:
        self.charge(_TEMPLATE_STEPS)
        return super().get_template(*args, **kwargs)  # type: ignore[arg-type]

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        template = super()._parse(source, name, filename)
        _Counting().visit(template)
        template.set_environment(self)
        return template

    # What is in reach.

    def getattr(self, obj: object, attribute: str) -> object:
        if isinstance(obj, Mapping):
            if attribute in obj:
                return obj[attribute]
            return getattr(obj, attribute) if attribute in _MAPPING_METHODS else self.undefined(obj=obj, name=attribute)
        if isinstance(obj, str):
            return getattr(obj, attribute) if attribute in _TEXT_METHODS else self._refused(obj, attribute)
        if type(obj) in (list, tuple, int, float, bool, type(None), range):
            return self._refused(obj, attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: object, argument: object) -> object:
        if isinstance(argument, str) and not isinstance(obj, (Mapping, Undefined)):
            return self.getattr(obj, argument)
        return super().getitem(obj, argument)

    def _refused(self, obj: object, attribute: str) -> Undefined:
        kind = "text" if isinstance(obj, str) else type(obj).__name__
        return self.undefined(f"there is no `{attribute}` of a {kind}", obj=obj, name=attribute)


class _Counting(NodeTransformer):
    """Puts a counter on every loop, which charges for the literal text of its body too, and on every `~`."""

    def visit_For(self, node: nodes.For) -> nodes.For:
        self.generic_visit(node)
        size = sum(len(text.data) for text in node.find_all(nodes.TemplateData))
        cost = nodes.Const(size, lineno=node.lineno)
        node.iter = nodes.Filter(node.iter, "counted", [cost], [], None, None, lineno=node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:
        self.generic_visit(node)
        parts = nodes.List(node.nodes, lineno=node.lineno)
        return nodes.Filter(parts, "concatenated", [], [], None, None, lineno=node.lineno)


def _missing_in(data: Mapping[str, Json]) -> type[StrictUndefined]:
    """What stands for a missing name: any use of it fails, and says which names there are like it."""

    class Missing(StrictUndefined):
        __slots__ = ()

        @property
        def _undefined_message(self) -> str:
            if self._undefined_hint:
                return self._undefined_hint
            name = str(self._undefined_name)
            if self._undefined_obj is missing:
                text, known = f"`{name}` is not given", [*data, *_GLOBALS]
            else:
                text = f"there is no `{name}` in it"
                known = list(map(str, self._undefined_obj)) if isinstance(self._undefined_obj, Mapping) else []
            guess = did_you_mean(name, known) if name not in known else ""
            return f"{text}; {guess}" if guess else text

    return Missing


def _refuse_missing_within(value: object) -> None:
    """A missing name inside a list would be written as the word `Undefined`."""
    if isinstance(value, Undefined):
        str(value)
    elif isinstance(value, Mapping):
        _refuse_missing_within(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for item in value:
            _refuse_missing_within(item)


def _refuse_large(operator: str, left: object, right: object) -> None:
    if not isinstance(left, int) or not isinstance(right, int):
        return
    bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
    if bits > _MAX_INTEGER_BITS or (operator == "**" and abs(right) > _MAX_EXPONENT):
        raise SecurityError("the number would be too large")


def _escape(value: object) -> str:
    return html.escape(str(value))


def _indent(text: str, width: int = 4, first: bool = False) -> str:
    if not 0 <= width <= _MAX_INDENT:
        raise SecurityError(f"`indent` takes 0 to {_MAX_INDENT}, not {width}")
    lines = text.split("\n")
    indented = [(" " * width + line) if line and (first or number) else line for number, line in enumerate(lines)]
    return "\n".join(indented)


def _join(items: Iterable[object], separator: str = "") -> str:
    parts = [str(item) for item in items]
    _refuse_long(len(separator) * len(parts))
    return separator.join(parts)


def _replace(text: str, old: str, new: str) -> str:
    _refuse_long(len(text) + text.count(old) * len(new))
    return text.replace(old, new)


def _round(number: float, precision: int = 0) -> float:
    if abs(precision) > _MAX_PRECISION:
        raise SecurityError(f"`round` takes at most {_MAX_PRECISION} digits, not {precision}")
    return round(number, precision)


def _tojson(value: object, indent: int | None = None) -> str:
    if indent is not None and not 0 <= indent <= _MAX_INDENT:
        raise SecurityError(f"`tojson` indents by 0 to {_MAX_INDENT}, not {indent}")
    return json.dumps(value, indent=indent, ensure_ascii=False, default=_no_json)


def _no_json(value: object) -> NoReturn:
    if isinstance(value, Undefined):
        str(value)  # raises what is missing
    raise TypeError(f"a {type(value).__name__} is no JSON")


def _refuse_long(size: int) -> None:
    if size > MAX_OUTPUT_CHARACTERS:
        raise SecurityError(f"a text would be longer than {MAX_OUTPUT_CHARACTERS} characters")
