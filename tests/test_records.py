"""What a node says it made: in the receipt, in the journal, over a resume, and without a secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from shipway.canonical import Json, NotCanonical, canonical_bytes, digest, items_of
from shipway.nodes import Outcome
from shipway.receipt import Attempt, NodeResult, RanBy, Receipt, RunOutcome
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


def _receipt(*outputs: Json) -> Receipt:
    record = Record("file", "a", True, "link 1", {"how": "link"})
    tried = (Attempt(1, Outcome.SUCCEEDED, 1, 2),)
    return Receipt(
        lifecycle="shop",
        target="default",
        run="1",
        plan_digest=None,
        effect=None,
        started="2026-01-01T00:00:00Z",
        ended="2026-01-01T00:00:01Z",
        duration_ms=1000,
        outcome=RunOutcome.SUCCEEDED,
        nodes=tuple(
            NodeResult(f"main/{number}", Outcome.SUCCEEDED, tried, outputs={"k": output}, records=(record,))
            for number, output in enumerate(outputs)
        ),
        stages=(),
        rollback=(),
        by=RanBy("local"),
        shipway="0",
        platform="linux/amd64",
    )


def test_a_receipt_is_the_same_bytes_whichever_way_its_numbers_have_it_written() -> None:
    plain, odd, late = _receipt("a", 1), _receipt("a", 1, 1.5), _receipt("a", 1, {"\ufb33": "📦", "📦": ""})
    written = [items_of(receipt.document["nodes"]) for receipt in (plain, odd, late)]
    assert written[0] == written[1][:2] == written[2][:2]
    for receipt in (plain, odd, late):
        assert receipt.content == rfc8785.dumps(json.loads(receipt.content))
        assert receipt.digest == digest(receipt.document) == receipt.document["digest"]
        assert load_receipt(receipt.content, lambda data: None) == receipt


@pytest.mark.parametrize("value", ["\ud800", float("nan"), b"x"])
def test_what_no_receipt_can_hold_is_named_with_its_node(value: Any) -> None:
    with pytest.raises(NotCanonical) as caught:
        _receipt("a", value).content  # noqa: B018 - it is made when it is asked for
    assert caught.value.message.startswith("$.nodes[1].outputs.k has no canonical form: ")
