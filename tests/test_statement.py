"""The in-toto Statement of a receipt: its form, its subjects and its predicate, as `actions/attest` takes them."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import jsonschema_rs
from msgspec.structs import replace

from shipway.canonical import canonical_bytes
from shipway.nodes import Outcome
from shipway.receipt import NodeResult
from shipway.statement import MOST_SUBJECTS, PREDICATE_TYPE, checksums, predicate, statement, subjects
from tests.runs import declare, run

SCHEMA = Path(__file__).parents[1] / "schemas/receipt-predicate-1.schema.json"
STEPS = """
steps:
  - id: make
    run: echo built > out.bin; echo "binary=out.bin" >> "$SHIPWAY_OUTPUT"
    outputs: {binary: file}
  - {id: fail, run: exit 3}
"""


def test_the_subjects_are_the_receipt_and_what_the_run_gave_out(tmp_path: Path) -> None:
    declare(tmp_path, STEPS)
    receipt = run(tmp_path).receipt
    content = canonical_bytes(receipt.document)
    made = statement(receipt, "receipt.json")
    assert made["_type"] == "https://in-toto.io/Statement/v1" and made["predicateType"] == PREDICATE_TYPE
    assert made["subject"] == [
        {"name": "receipt.json", "digest": {"sha256": hashlib.sha256(content).hexdigest()}},
        {"name": "out.bin", "digest": {"sha256": hashlib.sha256(b"built\n").hexdigest()}},
    ]
    (tmp_path / "receipt.json").write_bytes(content)
    (tmp_path / "subjects").write_text(checksums(receipt, "receipt.json"))
    subprocess.run(["sha256sum", "--quiet", "-c", "subjects"], cwd=tmp_path, check=True)


def test_no_name_of_a_file_makes_one_more_subject(tmp_path: Path) -> None:
    declare(tmp_path, STEPS)
    receipt = run(tmp_path).receipt
    forged = f"x\n{0:064}  app.tar\r\u2028y"
    outputs = {"f": {"file": f"sha256:{1:064x}", "name": forged}}
    hostile = replace(receipt, nodes=(replace(receipt.nodes[0], outputs=outputs),))
    told = checksums(hostile, "receipt.json")
    assert len(told.splitlines()) == 2 and told.splitlines()[1].startswith(f"{1:064x}  x?0")
    assert len(statement(hostile, "receipt.json")["subject"]) == 2  # type: ignore[arg-type]


def test_the_predicate_is_of_its_published_schema_whatever_came_of_the_run(tmp_path: Path) -> None:
    validator = jsonschema_rs.Draft202012Validator(json.loads(SCHEMA.read_text()))
    declare(tmp_path, STEPS)
    receipt = run(tmp_path).receipt
    assert predicate(receipt)["counts"] == {"succeeded": 1, "failed": 1}
    for each in (
        receipt,
        replace(receipt, nodes=(), source={}, plan_digest=None, effect=None, previous="sha256:" + "0" * 64),
    ):
        validator.validate(predicate(each))
    assert not validator.is_valid({**predicate(receipt), "more": 1})


def test_no_more_subjects_than_an_attestation_takes(tmp_path: Path) -> None:
    declare(tmp_path, STEPS)
    receipt = run(tmp_path).receipt
    files = {f"f{number}": {"file": f"sha256:{number:064x}", "name": f"f{number}"} for number in range(2_000)}
    many = replace(receipt, nodes=(NodeResult("main/many", Outcome.SUCCEEDED, outputs=files),))
    assert len(subjects(many, "receipt.json")) == MOST_SUBJECTS and subjects(many, "r.json")[0][0] == "r.json"
