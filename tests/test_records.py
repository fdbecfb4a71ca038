"""What a node says it made: in the receipt, in the journal, over a resume, and without a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipway.canonical import canonical_bytes
from shipway.nodes import Outcome
from shipway.receipt import RunOutcome
from shipway.receipt_file import load_receipt
from shipway.records import Record, record_from_json, record_json, redacted_record
from shipway.reopening import Wish
from shipway.schema import check
from shipway.takeover import GoOn
from tests.runs import Setting, declare, journal_of, run, stage

LINK = "l: {uses: file.link, with: {path: ./out/../there, source: here}}"


def test_a_receipt_says_what_each_node_made(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("a\n")
    declare(
        tmp_path, stage(f"{LINK}\nc: {{run: 'true', needs: [l], lasting: false}}\nd: {{run: 'true'}}", lasting=True)
    )
    receipt = run(tmp_path).receipt
    (record,) = receipt.by_id["main/l"].records
    assert (record.kind, record.name, record.present, record.facts) == (
        "file",
        "there",
        True,
        {"how": "link", "source": "here"},
    )
    assert record.fingerprint.startswith("link ")
    assert receipt.by_id["main/l"].action == "file.link"
    assert receipt.by_id["main/c"].records == ()
    assert receipt.by_id["main/d"].records == (Record("step", "main/d"),)
    assert check("receipt", receipt.document) == []
    assert load_receipt(canonical_bytes(receipt.document), lambda data: None) == receipt


def test_a_resumed_run_tells_what_was_made_before(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("a\n")
    declare(
        tmp_path,
        "defaults: {rollback: none}\n" + stage(f"{LINK}\nc: {{run: test -e go, needs: [l], reads: []}}", lasting=True),
    )
    failed = run(tmp_path).receipt
    (tmp_path / "go").touch()
    name = journal_of(tmp_path).runs()[0].run
    resumed = run(tmp_path, None, Setting(go_on=GoOn(name, Wish({}, None)))).receipt
    assert resumed.outcome is RunOutcome.SUCCEEDED
    assert resumed.by_id["main/l"].records == failed.by_id["main/l"].records != ()


def test_what_was_there_already_is_recorded_too(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("a\n")
    declare(tmp_path, stage(LINK, lasting=True))
    first, second = run(tmp_path).receipt, run(tmp_path).receipt
    assert second.by_id["main/l"].outcome is Outcome.UNCHANGED
    assert second.by_id["main/l"].records == first.by_id["main/l"].records


def test_a_record_keeps_no_secret() -> None:
    record = Record("file", "/home/hunter2/x", facts={"source": ["a hunter2 b"]})
    clean = redacted_record(record, lambda text: text.replace("hunter2", "***"))
    assert clean == Record("file", "/home/***/x", facts={"source": ["a *** b"]})


def test_a_record_survives_writing_and_reading() -> None:
    record = Record("package", "apt:jq", present=False, fingerprint="1.6", facts={"version": "1.6"})
    assert record_from_json(record_json(record)) == record


@pytest.mark.parametrize(("kind", "name"), [("File", "a"), ("", "a"), ("file", "")])
def test_a_record_without_a_kind_or_a_name_is_refused(kind: str, name: str) -> None:
    with pytest.raises(ValueError, match="a record needs a kind"):
        Record(kind, name)
