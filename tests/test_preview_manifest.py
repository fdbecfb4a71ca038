"""The manifest of an environment: complete, sealed, without a secret, and refused where it is not of what it is used for."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipway.action import Completed, Done, PlanWork, Work
from shipway.actions.preview_manifest import PreviewManifest
from shipway.canonical import Json, canonical_bytes, digest
from shipway.environment_record import Checkpoint, EnvironmentRecord, with_checkpoint
from shipway.environments import Environments
from shipway.errors import ShipwayError, UsageError, VerificationError
from shipway.nodes import Change, Computed, Immediate, Slot, Verified
from shipway.preview_manifest import load_manifest, manifest_bytes, secrets_in, split_reference, with_references
from shipway.shelf import Shelf
from shipway.stores.local_files import LocalFiles
from tests.contracts.action import CHECKS, ActionCase, work
from tests.git_remotes import git

BASE = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
VALUES: Mapping[str, Json] = {
    "lifecycle": "shop",
    "target": "pr-42",
    "compute": {"kind": "local", "root": "/srv/shop-pr-42", "managed": True},
    "ports": {"api": 61400, "cache": 61401},
    "services": {
        "api": {"path": "services/api", "env_file": ".env.local", "port": 61400, "url": "http://127.0.0.1:61400"}
    },
    "infrastructure": {"cache": {"6379": 61401}},
    "provisioner": {"postgres": {"DSN": {"secret": "provisioner/service/postgres#DSN"}, "HOST": "db", "PORT": 5432}},
}


def test_p31_a_manifest_is_read_back_equal() -> None:
    found = load_manifest(manifest_bytes(VALUES, "t1"), lifecycle="shop", target="pr-42", tree="t1")
    assert {name: found[name] for name in VALUES} == VALUES
    assert (found["kind"], found["schema"], found["tree"]) == ("preview-manifest", 1, "t1")


def _with(**changes: Json) -> bytes:
    document = {**json.loads(manifest_bytes(VALUES, "t1")), **changes}
    del document["digest"]
    return canonical_bytes({**document, "digest": digest(document)})


@pytest.mark.parametrize(
    ("content", "error", "text"),
    [
        (_with(schema=2), UsageError, "preview-manifest schema 2 is not supported"),
        (_with(kind="plan"), UsageError, "this is a `plan`, not a preview-manifest"),
        (_with(ports={"api": "61400"}), UsageError, "not a valid preview-manifest: ports/api"),
        (_with(more=1), UsageError, "not a valid preview-manifest"),
        (_with(target="pr-1"), UsageError, "the manifest is of `pr-1` of `shop`, not of `pr-42` of `shop`"),
        (_with(tree="t2"), VerificationError, "the manifest is of the tree t2, and this is t1"),
        (manifest_bytes(VALUES, "t1").replace(b"61400", b"61402"), VerificationError, "was altered"),
        (manifest_bytes(VALUES, "t1") + b"\n", VerificationError, "not in canonical form"),
        (b"{", VerificationError, "not a preview-manifest"),
    ],
    ids=["version", "kind", "type", "unknown", "target", "tree", "altered", "form", "broken"],
)
def test_p30_p31_what_is_no_manifest_of_this_is_refused(content: bytes, error: type[ShipwayError], text: str) -> None:
    with pytest.raises(error, match=text) as raised:
        load_manifest(content, lifecycle="shop", target="pr-42", tree="t1")
    assert raised.value.exit_code == (2 if error is UsageError else 5)


def test_references_are_listed_and_can_be_filled_in_by_whoever_has_the_secrets() -> None:
    assert secrets_in(VALUES) == ["provisioner/service/postgres#DSN"]
    assert split_reference("provisioner/service/postgres#DSN") == ("provisioner/service/postgres", "DSN")
    filled = with_references(VALUES, lambda named: f"<{named}>")
    assert isinstance(filled, Mapping)
    assert secrets_in(filled) == []
    assert filled["provisioner"] == {
        "postgres": {"DSN": "<provisioner/service/postgres#DSN>", "HOST": "db", "PORT": 5432}
    }


INPUTS: Mapping[str, Json] = {"lifecycle": "shop", "target": "pr-42", "values": VALUES}
CASES = [ActionCase("the example", PreviewManifest, INPUTS, env=BASE)]


# The folder `.shipway` stays when it is undone: it is that of every run.
@pytest.mark.parametrize("check", [check for check in CHECKS if check.__name__ != "check_undo"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_keeps_the_contract_of_actions(check: Callable[[ActionCase], None], case: ActionCase) -> None:
    check(case)


class Place:
    """A repository with one commit, and a store."""

    def __init__(self, folder: Path) -> None:
        self.root, store = folder / "root", folder / "store"
        self.root.mkdir()
        store.mkdir()
        git(self.root, "init", "-q", "-b", "main")
        git(self.root, "commit", "-q", "--allow-empty", "-m", "first")
        self.tree = git(self.root, "rev-parse", "HEAD^{tree}").strip()
        self.shelf = Shelf("shop", "pr-42", lambda: LocalFiles(store), is_private=True)
        self.file = self.root / ".shipway/previews/shop/pr-42/manifest.json"

    def work(self, values: Mapping[str, Json] = VALUES, form: Slot | None = None, **more: Json) -> Work:
        inputs: dict[str, Json] = {"lifecycle": "shop", "target": "pr-42", "values": values, **more}
        made = work(ActionCase("", PreviewManifest, inputs, env=BASE), self.root, self.root)
        node = replace(made.node, slots={**made.node.slots, "values": form or Immediate(values)})
        return replace(made, node=node, shelf=self.shelf)

    def do(self, values: Mapping[str, Json] = VALUES, form: Slot | None = None, **more: Json) -> Done:
        return PreviewManifest().do(self.work(values, form, **more))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_p31_the_file_is_private_and_says_which_tree(place: Place) -> None:
    place.do()
    assert stat.S_IMODE(place.file.stat().st_mode) == 0o600
    load_manifest(place.file.read_bytes(), lifecycle="shop", target="pr-42", tree=place.tree)


def test_p31_no_secret_is_written_neither_alone_nor_among_all_that_a_node_hands_on(place: Place) -> None:
    kept = {
        "provisioner/compute": Checkpoint("k", {"root": "/srv", "TOKEN": "hunter2-token"}, secret=("TOKEN",)),
        "provisioner/service/postgres": Checkpoint("k", {"DSN": "pg://hunter2"}, secret=("DSN",)),
    }

    def change(record: EnvironmentRecord | None) -> EnvironmentRecord:
        found = EnvironmentRecord("shop", "pr-42")
        for node, checkpoint in kept.items():
            found = with_checkpoint(found, node, checkpoint)
        return found

    Environments(place.shelf.store, "shop").change("pr-42", change)
    all_of_it = "${{ stages['provisioner'].steps.compute.outputs }}"
    dsn = "${{ stages['provisioner'].steps['service/postgres'].outputs['DSN'] }}"
    compute: dict[str, Json] = {"kind": "local", "root": "/srv", "TOKEN": "hunter2-token", "made": 3, "host": None}
    values: dict[str, Json] = {**VALUES, "compute": compute, "provisioner": {"postgres": {"DSN": "pg://hunter2"}}}
    place.do(values, Computed({**VALUES, "compute": all_of_it, "provisioner": {"postgres": {"DSN": dsn}}}))
    assert b"hunter2" not in place.file.read_bytes()
    found = load_manifest(place.file.read_bytes(), lifecycle="shop", target="pr-42", tree=None)
    assert found["compute"] == {"kind": "local", "root": "/srv", "TOKEN": {"secret": "provisioner/compute#TOKEN"}}
    assert secrets_in(found) == ["provisioner/compute#TOKEN", "provisioner/service/postgres#DSN"]
    kept_parts = json.dumps(dict(_record(place).checkpoints["stage/step"].parts))
    place.do({**values, "compute": {**compute, "TOKEN": "hunter2-other"}}, None)
    assert "hunter2" not in kept_parts


def _record(place: Place) -> EnvironmentRecord:
    found = Environments(place.shelf.store, "shop").read("pr-42")
    assert found is not None
    return found


def test_it_is_kept_while_it_says_what_it_should_and_written_anew_for_another_tree(place: Place) -> None:
    first = place.do()
    assert place.do().unchanged
    place.file.write_text("{}")
    assert PreviewManifest().verify(place.work()) is Verified.GONE
    assert not place.do().unchanged
    (place.root / "new").write_text("x")
    git(place.root, "add", "new")
    git(place.root, "commit", "-q", "-m", "second")
    tree = git(place.root, "rev-parse", "HEAD^{tree}").strip()
    assert planned(place) is Change.CREATE, "the plan knows it too, while its values are not known"
    again = place.do()
    assert not again.unchanged
    assert again.outputs == first.outputs, "nothing is made anew by it"
    assert planned(place) is Change.NOOP
    load_manifest(place.file.read_bytes(), lifecycle="shop", target="pr-42", tree=tree)
    assert first.outputs["made"] == 1


def planned(place: Place) -> Change:
    work = place.work()
    known = {name: value for name, value in work.inputs.items() if name != "values"}
    told = PlanWork(work.node, known, {"values": "`a/b`"}, work.env, {}, place.root, lambda command: Completed(0))
    return PreviewManifest().plan(replace(told, shelf=place.shelf)).change


def test_it_is_removed_and_what_is_not_there_is_no_error(place: Place) -> None:
    place.do()
    assert not place.do(remove=True).unchanged
    assert not place.file.parent.exists()
    assert place.do(remove=True).unchanged
