"""Summaries of runs: each resource once, what was undone apart, and all of it worked out anew from the receipt."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from shipway.nodes import Change, Outcome
from shipway.receipt import NodeResult, Receipt
from shipway.records import Record
from shipway.render.blocks import Links
from shipway.render.receipt_comment import receipt_comment
from shipway.render.receipt_text import render_receipt
from shipway.summary import Summary, made_words, summarise
from tests.runs import run, stage
from tests.test_state import file, node, package, told


def of(*nodes: NodeResult) -> Receipt:
    return told(1, *nodes).receipt


def write(name: str) -> NodeResult:
    return node(f"main/{name}", file(name, "write"), action="file.write")


def test_g107_each_resource_is_counted_once_and_files_and_packages_are_both_shown() -> None:
    receipt = of(
        node("main/l1", file("l1")),
        node("main/l2", file("l2")),
        node("main/render", action="template.render"),
        write("rendered"),
        node("main/decrypt", action="encryption.decrypt"),
        write("decrypted"),
        node("main/copy", file("copied", "copy"), action="file.copy"),
        *(node(f"main/p{n}", package(f"p{n}"), action="pkg.install") for n in range(3)),
        node("main/skipped", outcome=Outcome.SKIPPED),
        node("main/failed", outcome=Outcome.FAILED),
        node("main/not-run", outcome=Outcome.NOT_STARTED),
    )
    found = summarise(receipt)
    assert (found.files, found.links, found.templates, found.secrets, found.copies) == (5, 2, 1, 1, 1)
    assert (found.packages, found.skipped, found.failed, found.not_run) == (3, 1, 1, 1)
    assert summarise(receipt) == found
    assert made_words(found) == ["5 files (2 links, 1 copy, 1 template, 1 secret)", "3 packages"]
    assert found.changes == {Change.CREATE: 10}
    assert found.outcomes == {
        Outcome.SUCCEEDED: 10,
        Outcome.SKIPPED: 1,
        Outcome.FAILED: 1,
        Outcome.NOT_STARTED: 1,
    }


def test_g107_a_file_that_is_decrypted_rendered_and_copied_is_one_file() -> None:
    found = summarise(
        of(
            node("main/a", action="encryption.decrypt"),
            node("main/b", action="template.render"),
            node("main/c", file("token", "copy"), action="file.copy"),
        )
    )
    assert (found.files, found.copies, found.templates, found.secrets) == (1, 1, 1, 1)
    # Written once more, it is still one.
    assert summarise(of(node("main/a", file("x")), node("main/b", file("x", "copy")))).files == 1


def test_g107_an_empty_graph_is_zeros() -> None:
    assert summarise(of()) == Summary()
    assert made_words(Summary()) == []
    assert made_words(Summary(undone=1)) == []


def test_g107_what_was_undone_is_apart() -> None:
    found = summarise(of(node("main/a", file("a"), outcome=Outcome.UNDONE), node("main/b", file("b"))))
    assert (found.files, found.undone) == (1, 1)
    assert made_words(found) == ["1 file (1 link)", "1 undone"]


def test_what_is_gone_is_removed_and_folders_and_steps_are_not_counted() -> None:
    gone = node("main/no", file("a", present=False), action="file.remove")
    folder = node("main/d", file("d", "directory"), action="file.mkdir")
    step = node("main/s", Record("step", "main/s"), action="shell.exec")
    found = summarise(of(gone, folder, step, node("main/r", Record("repository", "src"))))
    assert (found.files, found.removed, found.kinds) == (0, 1, {"repository": 1})
    assert made_words(found) == ["1 repository", "1 removed"]
    assert made_words(replace(found, kinds={"repository": 2})) == ["2 repositories", "1 removed"]


def test_what_was_there_already_was_not_made() -> None:
    assert made_words(summarise(of(node("main/a", file("a"), outcome=Outcome.UNCHANGED)))) == []


def test_terminal_and_comment_show_what_a_run_made(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("a\n")
    steps = """
        l: {uses: file.link, with: {path: there, source: here}}
        w: {uses: file.write, with: {path: written, content: x}}
        """
    receipt = run(tmp_path, stage(steps, lasting=True)).receipt
    assert "made       2 files (1 link)\n" in render_receipt(receipt, None, colour=False, columns=80)
    assert "2 files (1 link)" in receipt_comment(receipt, None, budget=60_000, links=Links())
    assert "summary" not in receipt.document
