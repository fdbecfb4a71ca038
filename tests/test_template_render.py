"""Shows what a template can do, what is said where it is wrong, and all that it cannot reach or use up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shipway.action import ActionFailed, Work
from shipway.actions.template_render import TemplateRender
from shipway.canonical import Json
from shipway.nodes import Change, Fidelity
from tests.contracts.action import CHECKS, ActionCase, plan_work, work


def _written(name: str, text: str) -> Callable[[Path], None]:
    def prepare(root: Path) -> None:
        (root / name).write_text(text)

    return prepare


CASES = [
    ActionCase("a text", TemplateRender, {"content": "Hello {{ name }}!\n", "template_data": {"name": "david"}}),
    ActionCase(
        "a file", TemplateRender, {"source": "a.j2"}, _written("a.j2", "{{ source }}"), breaks={"source": "b.j2"}
    ),
    ActionCase("wrong", TemplateRender, {"content": "fine"}, breaks={"content": "{{ missing }}"}),
    ActionCase("outside", TemplateRender, {"source": "a.j2"}, _written("a.j2", ""), breaks={"source": "../a.j2"}),
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_rendering_keeps_the_contract(case: ActionCase, check: Callable[[ActionCase], None]) -> None:
    check(case)


def _work(root: Path, inputs: Mapping[str, Json]) -> Work:
    return work(ActionCase("", TemplateRender, inputs), root, root)


def _render(root: Path, text: str, **data: Json) -> str:
    done = TemplateRender().do(_work(root, {"content": text, "template_data": data}))
    return str(done.outputs["content"])


def _fault(root: Path, text: str, **data: Json) -> str:
    with pytest.raises(ActionFailed) as caught:
        _render(root, text, **data)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("Hello {{name}}!\n", "Hello david!\n"),
        ("{{ d.a }} {{ d['a'] }} {{ d.items }}", "1 1 own"),
        ("{% for k, v in pairs.items() %}{{ k }}={{ v }}{{ ',' if not loop.last }}{% endfor %}", "x=1,y=2"),
        ("{% for x in [3, 1, 2]|sort %}{{ loop.index }}/{{ loop.length }}:{{ x }} {% endfor %}", "1/3:1 2/3:2 3/3:3 "),
        ("{% for x in range(5) if x is odd %}{{ x }}{% endfor %}", "13"),
        ("{{ 'a' ~ 1 ~ name }} {{ 'ab' * 2 }} {{ [1] + [2] }} {{ 7 % 3 }} {{ 2 ** 10 }}", "a1david abab [1, 2] 1 1024"),
        ("{{ missing|default('none') }} {{ missing is defined }}", "none False"),
        ("{{ pairs|tojson }} {{ pairs|dictsort|map('first')|join('-') }}", '{"x": 1, "y": 2} x-y'),
        ("{{ name.upper() }} {{ 'a,b'.split(',')|last }} {{ name|replace('d', 't') }}", "DAVID b tavit"),
        ("{% macro tag(x) %}<{{ x }}>{% endmacro %}{{ tag('a') }}{{ '<'|e }}", "<a>&lt;"),
        ("{% set ns = namespace(n=0) %}{% for x in [1, 2] %}{% set ns.n = ns.n + x %}{% endfor %}{{ ns.n }}", "3"),
        ("{{ 'a\nb'|indent(2) }} {{ 2.346|round(2) }}", "a\n  b 2.35"),
        ("{% raw %}${{ github.sha }}{% endraw %}", "${{ github.sha }}"),
    ],
)
def test_what_templates_are_made_of(text: str, rendered: str, tmp_path: Path) -> None:
    data: dict[str, Json] = {"name": "david", "d": {"a": 1, "items": "own"}, "pairs": {"x": 1, "y": 2}}
    assert _render(tmp_path, text, **data) == rendered


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("one\n{{ nmae }}\n", "content:2: `nmae` is not given; did you mean `name`?"),
        ("{{ missing }}", "content:1: `missing` is not given"),
        ("\n\n{{ d.tga }}", "content:3: there is no `tga` in it; did you mean `tag`?"),
        ("{% for x in nothing %}{% endfor %}", "content:1: `nothing` is not given"),
        ("{{ [missing] }}", "content:1: `missing` is not given"),
        ("{{ 'a'\n}", "content:2: unexpected '}'"),
        ("{% if x %}", "content:1: unexpected end of template"),
        ("{{ 'x'|nope }}", "content:1: no filter named 'nope'"),
        ("{{ 1 / 0 }}", "content:1: division by zero"),
        ("{{ name|map('upper') }}", "content:1: a generator cannot be written"),
        ("{{ name.upper }}", "cannot be written"),
    ],
)
def test_a_fault_has_its_place_and_the_nearest_name(text: str, said: str, tmp_path: Path) -> None:
    assert said in _fault(tmp_path, text, name="david", d={"tag": 1})


def test_a_fault_in_a_file_or_an_included_one_names_that_file(tmp_path: Path) -> None:
    (tmp_path / "NOTES.md.j2").write_text("{% include 'part.j2' %}")
    (tmp_path / "part.j2").write_text("\n{{ taag }}")
    with pytest.raises(ActionFailed, match=r"^part\.j2:2: `taag` is not given; did you mean `tag`\?$"):
        TemplateRender().do(_work(tmp_path, {"source": "NOTES.md.j2", "template_data": {"tag": "v1"}}))


def test_source_target_and_project_are_added_where_they_are_given(tmp_path: Path) -> None:
    (tmp_path / "a.j2").write_text("{{ source }} {{ target }} {{ project }}")
    inputs: dict[str, Json] = {"source": "a.j2", "path": "out/a", "project": "shop"}
    assert TemplateRender().do(_work(tmp_path, inputs)).outputs == {"content": "a.j2 out/a shop"}
    own = {**inputs, "template_data": {"project": "own"}}
    assert TemplateRender().do(_work(tmp_path, own)).outputs == {"content": "a.j2 out/a own"}
    assert _fault(tmp_path, "{{ target }}") == "content:1: `target` is not given"


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ d.__class__ }}",
        "{{ d['__class__'].__mro__ }}",
        "{{ [].append }}",
        "{{ [d]|map(attribute='__class__')|list }}",
        "{{ ''|attr('__class__') }}",
        "{{ self.__init__.__globals__ }}",
        "{{ range.__self__ }}",
        "{{ namespace.__init__ }}",
        "{% for x in [1] %}{{ loop.__class__ }}{% endfor %}",
        "{% macro m() %}{% endmacro %}{{ m.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.environ }}",
        "{{ environ }}",
        "{{ open('/etc/passwd') }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ lipsum() }}",
        "{{ 5|random }}",
        "{% include '/etc/hostname' %}",
        "{% include '../outside.j2' %}",
        "{% include 'link.j2' %}",
        "{% import '../outside.j2' as x %}{{ x }}",
        "{% extends '../outside.j2' %}",
    ],
)
def test_neither_python_nor_files_nor_environment_are_in_reach(text: str, tmp_path: Path) -> None:
    root = tmp_path / "work"
    root.mkdir()
    (tmp_path / "outside.j2").write_text("outside")
    (root / "link.j2").symlink_to("../outside.j2")
    assert _fault(root, text, d={"k": "v"})


_DOUBLED = "{% set a = 'x' %}" + "{% set a = a ~ a %}" * 60 + "{{ a|length }}"
_NESTED = "{% set a = [1] %}" + "{% set a = [a, a] %}" * 60 + "{{ a }}"


@pytest.mark.parametrize(
    "text",
    [
        "{{ range(10**9) }}",
        "{% for x in range(10**9) %}x{% endfor %}",
        "{{ range(10**9)|list }}",
        "{% set r = range(9999)|list %}{% for x in r %}{% for y in r %}{% endfor %}{% endfor %}",
        "{{ 'x' * 10**9 }}",
        "{{ 10**9 * 'x' }}",
        "{{ [0] * 10**9 }}",
        "{{ 10 ** (10 ** 3) }}",
        "{{ (9 ** 60) ** 60 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '{:>1000000000}'.format(1) }}",
        "{{ 'x'|center(10**9) }}",
        "{{ 'x'.ljust(10**9) }}",
        "{{ 'x'|indent(10**9) }}",
        "{{ (1).to_bytes(10**9) }}",
        "{{ 1|round(-10**9) }}",
        "{{ [1]|tojson(10**9) }}",
        "{{ ('x' * 100000)|replace('x', 'y' * 100000) }}",
        "{{ (['x'] * 100000)|join('y' * 100000) }}",
        _DOUBLED,
        _NESTED,
        _NESTED.replace("{{ a }}", "{{ a|tojson }}"),
        "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m(n) %}{% if n %}{% set x = m(n - 1) %}{% set x = m(n - 1) %}{% endif %}{% endmacro %}{{ m(90) }}",
        "{% set x %}{% for i in range(100000) %}" + "x" * 9999 + "{% endfor %}{% endset %}",
        "{% include 'again.j2' %}",
        "{% set ns = namespace(a='x') %}{% for i in range(60) %}{% set ns.a = ns.a ~ ns.a %}{% endfor %}",
    ],
)
def test_no_template_uses_up_time_or_memory(text: str, tmp_path: Path) -> None:
    (tmp_path / "again.j2").write_text("{% include 'again.j2' %}{% include 'again.j2' %}")
    assert _fault(tmp_path, text)


def test_what_it_renders_to_is_bounded(tmp_path: Path) -> None:
    assert "renders to more than 1048576 characters" in _fault(tmp_path, "{{ a }}{{ a }}", a="x" * (1 << 20))


@given(name=st.text(), number=st.integers(-(2**53), 2**53))
def test_data_is_never_read_as_a_template(name: str, number: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.getbasetemp()
    assert _render(root, "{{ name }}|{{ number }}", name=name, number=number) == f"{name}|{number}"
    hostile = "{{ 7 * 7 }}{% raw %}" + name
    assert _render(root, "{{ name }}", name=hostile) == hostile


def test_a_plan_foretells_the_text_where_all_is_known(tmp_path: Path) -> None:
    given = plan_work(ActionCase("", TemplateRender, {"content": "v{{ n }}", "template_data": {"n": 1}}), tmp_path)
    said = TemplateRender().plan(given)
    assert (said.change, said.fidelity, said.outputs) == (Change.READ, Fidelity.EXACT, {"content": "v1"})


def test_a_plan_waits_for_what_is_not_known(tmp_path: Path) -> None:
    given = plan_work(ActionCase("", TemplateRender, {"content": "v{{ n }}"}), tmp_path)
    said = TemplateRender().plan(replace(given, unknown={"template_data": "`build/image`"}))
    assert (said.change, said.fidelity, said.outputs) == (Change.READ, Fidelity.OPAQUE, {})
    assert said.why == "`template_data` waits for `build/image`"
    later = TemplateRender().plan(plan_work(ActionCase("", TemplateRender, {"source": "made.j2"}), tmp_path))
    assert (later.fidelity, later.why) == (Fidelity.OPAQUE, "`made.j2` is not there yet")


def test_a_plan_shows_nothing_rendered_from_a_secret(tmp_path: Path) -> None:
    given = plan_work(
        ActionCase("", TemplateRender, {"content": "{{ p }}", "template_data": {"p": "hunter2"}}), tmp_path
    )
    said = TemplateRender().plan(replace(given, secret=frozenset({"template_data"})))
    assert said.outputs == {}
    assert "hunter2" not in repr(said)


def test_a_plan_refuses_what_cannot_be_rendered(tmp_path: Path) -> None:
    with pytest.raises(ActionFailed, match="content:1: `n` is not given"):
        TemplateRender().plan(plan_work(ActionCase("", TemplateRender, {"content": "v{{ n }}"}), tmp_path))
    with pytest.raises(ActionFailed, match="give `source` or `content`"):
        TemplateRender().plan(plan_work(ActionCase("", TemplateRender, {}), tmp_path))
