"""`shipway verify`: no byte of a receipt can change, no receipt can go missing, and what was altered is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from shipway.canonical import Json, canonical_bytes, digest, load_sealed, object_checksum
from shipway.chain import Chain
from shipway.contradictions import contradictions
from shipway.errors import Reason, ShipwayError
from shipway.links import Anchor, Flaw, Link, check_chain, report
from shipway.verification import Standing, check_document
from shipway.workspace import Workspace
from tests.command_line import Project, make_project
from tests.git_remotes import git, make_remote
from tests.runs import run, stage

STEPS = "- {id: a, run: 'true'}\n- {id: b, run: exit 3}"


def receipt_of(root: Path) -> dict[str, Json]:
    """The document of a real run in which one step failed."""
    return dict(run(root, stage(STEPS)).receipt.document)


def sealed_anew(data: Mapping[str, Json]) -> bytes:
    """The bytes of a document whose digest is right."""
    return canonical_bytes({**data, "digest": digest(data)})


def test_a_flip_of_any_byte_is_noticed(tmp_path: Path) -> None:
    content = canonical_bytes(receipt_of(tmp_path))
    assert check_document("r.json", content).standing is Standing.UNSIGNED
    for place in range(len(content)):
        for flip in (1, 0x20, 0x80):
            changed = bytearray(content)
            changed[place] ^= flip
            found = check_document("r.json", bytes(changed))
            assert found.standing is Standing.INVALID and found.findings, (place, flip)
    for more in (content + b"\n", b" " + content, content[:-1], b"", content + content):
        assert check_document("r.json", more).standing is Standing.INVALID


def test_a_flip_of_any_byte_is_noticed_by_whoever_loads_it(tmp_path: Path) -> None:
    content = canonical_bytes(receipt_of(tmp_path))
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        with pytest.raises(ShipwayError) as raised:
            load_sealed(bytes(changed), kind="receipt", versions=(1,), reason=Reason.RECEIPT_DIGEST)
        assert raised.value.exit_code in (2, 5)


def test_g083_any_other_value_of_any_field_is_noticed_also_in_rollback(tmp_path: Path) -> None:
    data = receipt_of(tmp_path)
    for key in data:
        if key != "digest":
            changed = {**data, key: "other"}
            assert check_document("r.json", canonical_bytes(changed)).standing is Standing.INVALID, key


def test_what_is_sealed_and_no_receipt_is_invalid_with_the_place(tmp_path: Path) -> None:
    found = check_document("r.json", sealed_anew({**receipt_of(tmp_path), "outcome": "splendid"}))
    assert found.standing is Standing.INVALID and "outcome" in found.findings[0]
    later = check_document("r.json", sealed_anew({**receipt_of(tmp_path), "schema": 2}))
    assert later.findings[0] == "receipt schema 2 is not supported (supported: 1)"


@pytest.mark.parametrize(
    "spoil", [lambda text: text + b"\n", lambda text: text[:1] + b" " + text[1:]], ids=["end", "in"]
)
def test_the_byte_is_named_at_which_it_is_not_canonical(spoil: Callable[[bytes], bytes], tmp_path: Path) -> None:
    content = canonical_bytes(receipt_of(tmp_path))
    spoilt = spoil(content)
    place = next((n for n, byte in enumerate(content) if byte != spoilt[n]), len(content))
    found = check_document("r.json", spoilt)
    assert found.findings[1] == f"byte {place + 1} is not where canonical form has it"


def _node(data: Mapping[str, Json], **more: Json) -> dict[str, Json]:
    nodes = [dict(node) for node in data["nodes"]]  # type: ignore[arg-type, union-attr]
    nodes[0] |= more
    return {**data, "nodes": nodes}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda data: {**data, "outcome": "succeeded"}, "`outcome` is `succeeded`, and a stage is not"),
        (lambda data: _node(data, outcome="unchanged"), "`nodes[0].outcome` is not that of its last attempt"),
        (lambda data: {**data, "duration_ms": 99_999_999}, "`started`, `ended` and `duration_ms` do not fit"),
        (lambda data: {**data, "ended": "yesterday"}, "`started` or `ended` is no time"),
        (
            lambda data: {**data, "critical_path": {"nodes": ["x/y"], "duration_ms": 1}},
            "`critical_path` names `x/y`, which is not among `nodes`",
        ),
        (lambda data: {**data, "target": "prod"}, "is not that of the file's name"),
    ],
)
def test_an_altered_field_is_named_by_what_it_contradicts(
    change: Callable[[dict[str, Json]], dict[str, Json]], named: str, tmp_path: Path
) -> None:
    run(tmp_path, stage(STEPS))
    data = receipt_of(tmp_path)
    name = f"test-default-{str(data['started'])[:19].replace('-', '').replace(':', '')}Z-{data['run']}.json"
    assert contradictions(data, name) == []
    found = check_document(name, canonical_bytes(change(data)))
    assert found.findings[0] == "the receipt was altered: its digest does not match"
    assert named in " ".join(found.findings[1:])


def _project(folder: Path, steps: str = "[{id: a, run: 'true'}]") -> Project:
    project = make_project(folder)
    project.write({"shipway.yml": f"version: 1\nname: shop\nsteps: {steps}\n"})
    project.commit()
    return project


def kept(project: Project) -> list[Path]:
    """The receipts, in the order in which they were sealed."""
    found = {path: json.loads(path.read_bytes()) for path in (project.root / ".shipway/receipts").glob("*.json")}
    line: list[Path] = []
    before = None
    while len(line) < len(found):
        [path] = [path for path, data in found.items() if data["previous"] == before]
        line.append(path)
        before = found[path]["digest"]
    return line


def test_an_altered_field_is_named_by_the_journal(tmp_path: Path) -> None:
    project = _project(tmp_path)
    project.call("run", "--yes", "-q")
    [path] = kept(project)
    data = json.loads(path.read_bytes())
    data["nodes"][0]["attempts"][0]["exit_code"] = 7
    path.write_bytes(canonical_bytes(data))
    done = project.call("verify", str(path), code=5)
    assert "`nodes[0].attempts` (`main/a`) is not what the journal says" in " ".join(done.out.split())


def test_case_70_three_runs_make_a_whole_chain_and_each_way_to_break_it_is_said(tmp_path: Path) -> None:
    project = _project(tmp_path)
    for _ in range(3):
        project.call("run", "--yes", "-q")
    whole = project.call("verify")
    one, two, three = kept(project)
    assert "chain shop → default: 3 receipts, whole" in whole.out and "3 unsigned" in whole.out
    told = project.call("verify", "--json").json
    assert told["valid"] and told["chains"][0]["receipts"] == 3 and told["chains"][0]["begins"] == 1
    assert told["documents"][0]["checksums"]["object"] == object_checksum("receipt", one.name, one.read_bytes())
    assert project.call("verify", "-q").out == ""

    removed = two.read_bytes()
    two.unlink()
    gone = project.call("verify", "--json", code=5).json
    [finding] = gone["chains"][0]["findings"]
    assert (gone["reason"], finding["flaw"]) == ("receipt-chain", "missing")
    assert finding["digest"] == json.loads(removed)["digest"] and three.name in finding["text"]
    assert "1 missing" in project.call("verify", code=5).out

    two.write_bytes(removed)
    last = three.read_bytes()
    three.unlink()
    [finding] = project.call("verify", "--json", code=5).json["chains"][0]["findings"]
    assert finding["flaw"] == "missing" and "the note in `.shipway/heads` names it" in finding["text"]

    three.write_bytes(last)
    other = {**json.loads(last), "run": "another"}
    (three.parent / "copy.json").write_bytes(sealed_anew(other))
    [finding] = project.call("verify", "--json", code=5).json["chains"][0]["findings"]
    assert finding["flaw"] == "forked" and "copy.json" in finding["text"]


def test_a_folder_of_downloads_is_verified_and_what_is_no_document_of_ours_is_passed_over(tmp_path: Path) -> None:
    project = _project(tmp_path)
    project.call("run", "--yes", "-q")
    project.call("plan", "-q", "-o", "plan.json")
    folder = project.root / "down/a"
    folder.mkdir(parents=True)
    [receipt] = kept(project)
    (folder / "receipt.json").write_bytes(receipt.read_bytes())
    (folder / "plan.json").write_bytes((project.root / "plan.json").read_bytes())
    (folder / "package.json").write_text('{"name": "x"}')
    told = project.call("verify", "down", "--json").json
    assert [(each["name"], each["standing"]) for each in told["documents"]] == [
        ("a/plan.json", "valid"),
        ("a/receipt.json", "unsigned"),
    ]
    (folder / "receipt.json").write_bytes(receipt.read_bytes()[:-1])
    assert project.call("verify", "down", "--json", code=5).json["reason"] == "receipt-digest"
    assert project.call("verify", "down/a/package.json", "--json", code=5).json["reason"] == "receipt-digest"
    assert "cannot read" in project.call("verify", "nowhere", code=2).err


def test_many_altered_receipts_ask_git_and_the_journal_no_oftener_than_few(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.write({"shipway.yml": f"version: 1\nname: shop\nsteps:\n{STEPS}\n".replace("exit 3", "'true'")})
    project.commit()
    for _ in range(4):
        project.call("run", "--yes")
    real, seen = shutil.which("git", path=project.env["PATH"]), tmp_path / "seen"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").write_text(f'#!/bin/sh\necho "$@" >> {seen}\nexec {real} "$@"\n')
    (tmp_path / "bin/git").chmod(0o755)
    altered = []
    for path in sorted((project.root / ".shipway/receipts").glob("*.json")):
        data = json.loads(path.read_bytes())
        data["nodes"][0]["attempts"][0]["exit_code"] = 7
        altered.append((path.name, canonical_bytes(data)))
    asked = []
    for count in (1, 4):
        folder = tmp_path / f"{count}"
        folder.mkdir()
        for name, content in altered[:count]:
            (folder / name).write_bytes(content)
        seen.write_text("")
        env = {"PATH": f"{tmp_path}/bin:{project.env['PATH']}"}
        told = project.call("verify", str(folder), "--json", env=env, code=5).json
        assert (
            all("what the journal says" in " ".join(each["findings"]) for each in told["documents"])
            and len(told["documents"]) == count
        )
        asked.append(seen.read_text())
    assert asked[0] == asked[1] != ""


def test_the_bundle_of_an_attestation_beside_a_receipt_is_no_document(tmp_path: Path) -> None:
    project = _project(tmp_path)
    project.call("run", "--yes", "-q")
    [path] = kept(project)
    bundle = {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {},
        "dsseEnvelope": {},
    }
    path.with_name("attestation.json").write_text(json.dumps(bundle))
    [document] = project.call("verify", ".shipway/receipts", "--json").json["documents"]
    assert document["name"] == path.name


def test_nothing_to_verify_is_an_error(tmp_path: Path) -> None:
    assert "there is nothing to verify here" in _project(tmp_path).call("verify", code=2).err.lower()


def test_a_receipt_that_was_taken_out_of_a_store_is_missed_by_who_sealed_it_and_by_the_one_after(
    tmp_path: Path,
) -> None:
    bare, [clone] = make_remote(tmp_path)
    project = Project(clone, make_project(tmp_path / "env").env)
    project.write({"shipway.yml": "version: 1\nname: shop\nstate: git\nsteps: [{id: a, run: 'true'}]\n"})
    project.commit()
    for _ in range(3):
        project.call("run", "--yes", "-q")
    assert project.call("verify", "--json").json["chains"][0]["receipts"] == 3
    ref = "refs/shipway/receipts/shop/default"
    git(bare, "update-ref", ref, f"{ref}~1")
    [finding] = project.call("verify", "--json", code=5).json["chains"][0]["findings"]
    assert finding["flaw"] == "missing" and ".shipway/heads" in finding["text"]
    project.call("run", "--yes", "-q")
    assert project.call("verify", "--json").json["valid"], "only an anchor elsewhere remembers"


# The pure part.

L = {name: f"sha256:{name * 64}" for name in "abcdef"}


def link(name: str, previous: str | None) -> Link:
    return Link(name, L[name], L[previous] if previous else None)


@pytest.mark.parametrize(
    ("links", "whole", "flaws"),
    [
        ([], True, []),
        ([link("a", None), link("b", "a"), link("c", "b")], True, []),
        ([link("c", "b"), link("a", None), link("b", "a")], True, []),
        ([link("a", None), link("a", None), link("b", "a")], True, []),
        ([link("a", None), link("c", "b")], True, [Flaw.MISSING]),
        ([link("b", "a")], False, [Flaw.MISSING]),
        ([link("a", None), link("b", "a"), link("c", "a")], True, [Flaw.FORKED]),
        ([link("a", None), link("b", None)], True, [Flaw.BEGINS_AGAIN]),
        ([link("a", None), link("b", None)], False, []),
        ([link("b", "a"), link("c", "a")], False, [Flaw.MISSING, Flaw.FORKED]),
    ],
)
def test_g104_a_broken_link_a_fork_and_a_missing_receipt_are_findings(
    links: list[Link], whole: bool, flaws: list[Flaw]
) -> None:
    assert [found.flaw for found in check_chain(links, is_whole=whole)] == flaws


def test_g104_what_an_anchor_names_has_to_be_there() -> None:
    links = [link("a", None), link("b", "a")]
    assert report("shop", "prod", links, [Anchor("x", L["b"])]).findings == ()
    [found] = report("shop", "prod", links, [Anchor("the check", L["c"])]).findings
    assert found.text == f"the receipt {L['c']} is missing: the check names it"
    assert report("shop", "prod", links).last == (L["b"],) and report("shop", "prod", links).begins == 1


def test_a_note_is_none_that_was_never_made(tmp_path: Path) -> None:
    assert Chain(Workspace(tmp_path), "shop", "prod").head() is None
    assert Workspace(tmp_path).heads_of(None) == []
