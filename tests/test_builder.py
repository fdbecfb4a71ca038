"""Shows what the builder makes of typed calls: slots checked, edges found, and nodes that run as built."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from shipway.action import Done, SlotRule, SlotType, Work
from shipway.actions.file_write import FileWrite
from shipway.builder import GraphBuilder
from shipway.builder_options import BuilderScope, NodeHandle, NodeOptions
from shipway.canonical import Json
from shipway.declaration import OutputRule, Stage
from shipway.errors import Position
from shipway.node_json import node_from_json, node_json
from shipway.nodes import Computed, Immediate, Need, NeedKind, Node, Promise, Reads, Slot
from shipway.registry import Registry


class Decrypt(FileWrite):
    """A stand-in for a real decryption: letters moved by thirteen, since nothing of it is Shipway's to test."""

    name = "example.decrypt"
    slots: Mapping[str, SlotRule] = {"content": SlotRule(SlotType.STRING, required=True)}
    outputs: Mapping[str, OutputRule] = {"content": OutputRule("secret")}

    def do(self, work: Work) -> Done:
        text = str(work.inputs["content"])
        letters = "abcdefghijklmnopqrstuvwxyz"
        return Done({"content": text.translate(str.maketrans(letters, letters[13:] + letters[:13]))})


def _builder(
    known: Mapping[str, Json] | None = None, planned: Mapping[str, Sequence[Node]] | None = None, **stage: str
) -> GraphBuilder:
    registry = Registry(lambda group: ())
    registry.register_action(Decrypt(), "this test")
    scope = BuilderScope(
        known or {},
        registry.find_action,
        registry.action_names,
        planned or {},
        lambda patterns: Reads(patterns or (), ""),
    )
    return GraphBuilder(Stage("build", ("stages", "build"), Position("shipway.yml", 3, 3), env=stage), scope)


def _texts(builder: GraphBuilder) -> list[str]:
    builder.check_references()
    return [f"{problem.text} {problem.hint}".strip() for problem in builder.problems]


def _run(builder: GraphBuilder, root: Path) -> dict[str, Done]:
    """Carry out all nodes in the order they were added, promises taken from what came before."""
    assert _texts(builder) == []
    registry = Registry(lambda group: ())
    registry.register_action(Decrypt(), "this test")
    done: dict[str, Done] = {}
    for node in builder.nodes():
        action = registry.require_action(node.action)
        assert action.runs_in == "thread"
        inputs = {name: _value(slot, done) for name, slot in node.slots.items()}
        done[node.id] = action.do(Work(node, inputs, {}, root, root.parent / "recovery", started_ms=1_792_000_000_000))
    return done


def _value(slot: Slot, done: Mapping[str, Done]) -> Json:
    match slot:
        case Immediate(value):
            return value
        case Promise(node, output):
            return dict(done[node].outputs) if output is None else done[node].outputs[output]
        case _:
            raise AssertionError("nothing is computed here")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


# Slots.


def test_g004_a_promise_of_an_output_that_is_not_declared_names_node_slot_and_outputs() -> None:
    builder = _builder()
    rendered = builder.template_render("notes", content="x")
    builder.file_write("publish", "a", rendered.output("contnet"))
    assert _texts(builder) == [
        "slot `content` of `build/publish` takes output `contnet`, which `build/notes` does not declare"
        " (declared: `content`) did you mean `content`?"
    ]


def test_g006_a_promise_of_an_unknown_node_names_the_nearest() -> None:
    builder = _builder()
    builder.template_render("notes", content="x")
    builder.file_write("publish", "a", Promise("build/note", "content"))
    assert _texts(builder) == [
        "slot `content` of `build/publish` takes from the unknown node `build/note` did you mean `build/notes`?"
    ]


def test_g009_g015_a_promise_is_an_edge_and_one_output_may_fill_many_slots() -> None:
    builder = _builder()
    rendered = builder.template_render("notes", content="x")
    for name in ("one", "two", "three"):
        builder.file_write(name, name, rendered.output("content"))
    promise = (Need("build/notes", NeedKind.PROMISE),)
    assert [node.needs for node in builder.nodes()] == [(), promise, promise, promise]


def test_g010_all_that_is_wrong_with_slots_is_said_at_once() -> None:
    builder = _builder()
    builder.add("file.write", "a", {"path": 5, "contents": "x", "mode": ["0644"]})
    assert _texts(builder) == [
        "action `file.write` has no slot `contents` (node `build/a`) did you mean `content`?",
        "slot `path` of `build/a` takes a string, not a integer (5)",
        "slot `content` of `build/a` is not set: it takes a string",
        "slot `mode` of `build/a` takes a string, not a list (['0644'])",
    ]


def test_g011_an_empty_text_is_set_and_an_absent_one_is_not() -> None:
    builder = _builder()
    builder.file_write("a", "x", "")
    assert _texts(builder) == []
    builder.add("file.write", "b", {"path": "x"})
    assert _texts(builder) == ["slot `content` of `build/b` is not set: it takes a string"]


def test_g012_a_known_context_never_fills_a_promise() -> None:
    builder = _builder(known={"values": {"content": "from the context"}})
    rendered = builder.template_render("notes", content="x")
    builder.file_write("publish", "a", rendered.output("content"))
    assert builder.nodes()[1].slots["content"] == Promise("build/notes", "content")


@pytest.mark.parametrize("value", ["text", 5, True, ["a", 1], {"k": ["v"]}])
def test_g016_text_integer_boolean_list_and_mapping_are_kept(value: object) -> None:
    builder = _builder()
    builder.template_render("a", content="x", template_data={"value": value})
    assert builder.nodes()[0].slots["template_data"] == Immediate({"value": value})  # type: ignore[dict-item]


def test_g016_none_leaves_a_slot_unset() -> None:
    builder = _builder()
    builder.template_render("a", content="x", source=None)
    assert "source" not in builder.nodes()[0].slots


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (b"bytes", "a value of type bytes"),
        ({1, 2}, "a value of type set"),
        (2**53, "the integer 9007199254740992, beyond 2^53-1"),
        ({1: "a"}, "a mapping with keys that are not text"),
        ({"path": [Path("x")]}, "a value of type PosixPath"),
    ],
)
def test_g016_anything_else_is_an_error_naming_the_slot(value: object, what: str) -> None:
    builder = _builder()
    builder.add("template.render", "a", {"content": "x", "template_data": value})
    assert _texts(builder) == [f"slot `template_data` of `build/a` cannot hold {what}"]


def test_g018_an_unknown_action_is_named_with_the_nearest() -> None:
    builder = _builder()
    builder.add("file.wrte", "a", {})
    assert _texts(builder) == ["unknown action `file.wrte` did you mean `file.write`?"]


def test_what_is_known_when_planned_enters_as_a_value_and_what_is_not_as_its_expression() -> None:
    builder = _builder(known={"values": {"tag": "v1"}})
    builder.file_write("a", "out/${{ values.tag }}", "${{ values.tag }} by ${{ github.actor }}")
    slots = builder.nodes()[0].slots
    assert slots["path"] == Immediate("out/v1")
    assert slots["content"] == Computed("v1 by ${{ github.actor }}")


def test_a_reference_alone_is_a_promise_and_an_edge() -> None:
    builder = _builder()
    builder.template_render("notes", content="x")
    builder.file_write("publish", "a", "${{ steps.notes.outputs.content }}")
    assert builder.nodes()[1].slots["content"] == Promise("build/notes", "content")
    assert builder.nodes()[1].needs == (Need("build/notes", NeedKind.PROMISE),)


def test_a_reference_to_another_stage_is_a_need_of_the_stage() -> None:
    other = Node(
        "image/tag", "image", "shell.exec", Position("shipway.yml", 1, 1), outputs={"tag": OutputRule("string")}
    )
    builder = _builder(planned={"image": [other]})
    builder.file_write("a", "x", "${{ stages.image.outputs.tag }}")
    assert builder.nodes()[0].slots["content"] == Promise("image/tag", "tag")
    assert list(builder.stage_needs) == ["image"]


# Ids, modes, order.


def test_g020_ids_are_unique_and_modes_are_remembered() -> None:
    builder = _builder()
    builder.file_mkdir("folder", "d")
    builder.file_copy("plain", "a", "b")
    builder.file_copy("private", "a", "b", mode="0600")
    assert [node.slots["mode"] for node in builder.nodes()] == [Immediate("0755"), Immediate("0644"), Immediate("0600")]
    assert len({node.id for node in builder.nodes()}) == 3
    builder.file_mkdir("folder", "e")
    assert _texts(builder) == ["node `build/folder` is declared twice"]


def test_g021_a_node_more_leaves_all_other_ids_as_they_were() -> None:
    def ids(*names: str) -> list[str]:
        builder = _builder()
        for name in names:
            builder.file_mkdir(name, name)
        return [node.id for node in builder.nodes()]

    assert set(ids("a", "c")) < set(ids("a", "b", "c"))


@pytest.mark.parametrize("name", ["Upper", "a b", "", "-a"])
def test_an_id_that_is_no_name_is_refused(name: str) -> None:
    builder = _builder()
    builder.file_mkdir(name, "d")
    assert _texts(builder)[0].startswith(f"`{name}` is no name for a node")


def test_g023_order_says_which_is_first_once() -> None:
    builder = _builder()
    x, y = builder.file_mkdir("x", "x"), builder.file_mkdir("y", "y")
    builder.order(before=x, after=y)
    builder.order(before=x, after=y)
    assert [node.needs for node in builder.nodes()] == [(), (Need("build/x", NeedKind.NEEDS),)]


def test_needs_and_options_reach_the_node() -> None:
    builder = _builder(STAGE="s", BOTH="stage")
    first = builder.file_mkdir("x", "x")
    options = NodeOptions(title="A title", env={"BOTH": "step"}, lasting=False, timeout_ms=5, reads=("src/**",))
    builder.file_mkdir("y", "y", needs=[first], options=options)
    node = builder.nodes()[1]
    assert (node.title, node.lasting, node.timeout_ms) == ("A title", False, 5)
    assert node.env == {"STAGE": Immediate("s"), "BOTH": Immediate("step")}
    assert node.needs == (Need("build/x"),)
    assert node.reads.patterns == ("src/**",)


# Typed calls: each names its action, fills every slot, and survives being written into a plan.

CALLS: list[tuple[str, Callable[[GraphBuilder], NodeHandle]]] = [
    ("shell.exec", lambda builder: builder.shell_exec("a", "true")),
    ("template.render", lambda builder: builder.template_render("a", content="x")),
    ("archive.extract", lambda builder: builder.archive_extract("a", "x", "y")),
    ("encryption.decrypt", lambda builder: builder.encryption_decrypt("a", content="x")),
    ("git.clone", lambda builder: builder.git_clone("a", "x", "y")),
    ("git.checkout", lambda builder: builder.git_checkout("a", "x", "y")),
    ("git.pull", lambda builder: builder.git_pull("a", "x")),
    ("net.download", lambda builder: builder.net_download("a", "x")),
    ("shell.power_shell", lambda builder: builder.shell_power_shell("a", "x")),
    ("file.write", lambda builder: builder.file_write("a", "x", "text")),
    ("file.copy", lambda builder: builder.file_copy("a", "x", "y")),
    ("file.link", lambda builder: builder.file_link("a", "x", "y")),
    ("file.links", lambda builder: builder.file_links("a", "x", "y", ["z"])),
    ("file.backup", lambda builder: builder.file_backup("a", "x")),
    ("file.unlink", lambda builder: builder.file_unlink("a", "x")),
    ("file.remove", lambda builder: builder.file_remove("a", "x")),
    ("file.move", lambda builder: builder.file_move("a", "x", "y")),
    ("file.mkdir", lambda builder: builder.file_mkdir("a", "x")),
    ("file.source", lambda builder: builder.file_source("a", "x")),
    ("file.exists", lambda builder: builder.file_exists("a", "x")),
    ("file.is_dir", lambda builder: builder.file_is_dir("a", "x")),
    ("pkg.install", lambda builder: builder.pkg_install("a", ["x"])),
    ("pkg.upgrade", lambda builder: builder.pkg_upgrade("a", ["x"])),
    ("pkg.remove", lambda builder: builder.pkg_remove("a", ["x"])),
    ("pkg.update", lambda builder: builder.pkg_update("a")),
    ("pkg.installed", lambda builder: builder.pkg_installed("a", "x")),
    ("pkg.not_installed", lambda builder: builder.pkg_not_installed("a", "x")),
    ("pkg.version_gte", lambda builder: builder.pkg_version_gte("a", "x", "1")),
    ("service.start", lambda builder: builder.service_start("a", "x")),
    ("service.stop", lambda builder: builder.service_stop("a", "x")),
    ("service.enable", lambda builder: builder.service_enable("a", "x")),
    ("service.disable", lambda builder: builder.service_disable("a", "x")),
    ("service.restart", lambda builder: builder.service_restart("a", "x")),
    ("service.exists", lambda builder: builder.service_exists("a", "x")),
    ("service.running", lambda builder: builder.service_running("a", "x")),
    ("service.enabled", lambda builder: builder.service_enabled("a", "x")),
]


@pytest.mark.parametrize(("action", "call"), CALLS, ids=[action for action, _ in CALLS])
def test_each_built_in_action_has_a_call_whose_node_is_complete(
    action: str, call: Callable[[GraphBuilder], NodeHandle]
) -> None:
    builder = _builder()
    handle = call(builder)
    [node] = builder.nodes()
    assert _texts(builder) == []
    assert (node.action, node.id) == (action, handle.id)
    found = Registry(lambda group: ()).require_action(action)
    assert {name for name, rule in found.slots.items() if rule.default is not None} <= set(node.slots)
    assert node.outputs == found.outputs
    assert node_from_json(node_json(node)) == node


def test_every_built_in_action_has_a_typed_call() -> None:
    # Those of a preview are put together by its own nodes, out of slots that only they have.
    others = [name for name in Registry(lambda group: ()).action_names() if not name.startswith("preview.")]
    assert sorted(action for action, _ in CALLS) == others


# Nodes that run as built.


def test_g022_a_copy_built_without_options_has_the_bytes(root: Path) -> None:
    (root / "a").write_bytes(b"\x00\xff bytes")
    builder = _builder()
    builder.file_copy("copy", "a", "b")
    _run(builder, root)
    assert (root / "b").read_bytes() == b"\x00\xff bytes"


def test_g022_backup_remove_unlink_and_move_run_without_options(root: Path) -> None:
    for name in ("backup", "remove", "move"):
        (root / name).write_text(name)
    (root / "unlink").symlink_to("nowhere")
    builder = _builder()
    builder.file_backup("one", "backup")
    builder.file_remove("two", "remove")
    builder.file_unlink("three", "unlink")
    builder.file_move("four", "move", "moved")
    _run(builder, root)
    assert sorted(path.name for path in root.iterdir()) == ["backup.backup.20261014-174640", "moved"]


def test_g026_rendered_then_written_by_promises(root: Path) -> None:
    (root / "hello.j2").write_text("Hello {{name}}!")
    builder = _builder()
    rendered = builder.template_render("render", source="hello.j2", template_data={"name": "david"})
    builder.file_write("write", "out/hello.txt", rendered.output("content"))
    builder.file_copy("copy", None, "out/copy.txt", content=rendered.output("content"))
    _run(builder, root)
    assert (root / "out/hello.txt").read_text() == (root / "out/copy.txt").read_text() == "Hello david!"


def test_g027_decrypted_rendered_and_copied_by_promises(root: Path) -> None:
    (root / "secret.j2.rot13").write_text("gbxra={{gbxra}}")
    builder = _builder()
    source = builder.file_source("source", "secret.j2.rot13")
    plain = builder.add("example.decrypt", "decrypt", {"content": source.output("content")})
    rendered = builder.template_render("render", content=plain.output("content"), template_data={"token": "abc123"})
    builder.file_copy("copy", None, "secret", content=rendered.output("content"), mode="0600")
    _run(builder, root)
    assert (root / "secret").read_text() == "token=abc123"
    assert (root / "secret").stat().st_mode & 0o777 == 0o600
