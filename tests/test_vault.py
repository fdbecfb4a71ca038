"""What is secret in a journal, encrypted to a key: given back elsewhere to whoever has it, and to nobody else."""

from __future__ import annotations

import base64
import json
import sqlite3
import zlib
from pathlib import Path

import pytest

from shipway.errors import UsageError
from shipway.journal_copy import copy_run
from shipway.secrecy import NotOpened, about_attempt
from shipway.stores.vault import Vault
from shipway.workspace import Workspace
from tests.command_line import Project, make_project
from tests.git_remotes import git, make_remote

KEY = base64.b64encode(bytes(range(32))).decode()
OTHER = base64.b64encode(bytes(range(1, 33))).decode()
SECRET = "made-here-and-only-once-4711"

# The first step leaves something behind and says what nobody can ask for again; the second takes it, and fails at first.
SHOP = """
    version: 1
    name: shop
    secrets: [STATE_KEY, TOKEN]
    state: {store: git, key: STATE_KEY}
    defaults: {rollback: none}
    steps:
      - id: make
        env_from: [LOG]
        env: {TOKEN: "${{ secrets.TOKEN }}"}
        run: |
          echo made >> $LOG
          echo "made=$(printf 'made-here-and-only-once-%s' 4711)" >> "$SHIPWAY_OUTPUT"
          echo "with=holds $TOKEN" >> "$SHIPWAY_OUTPUT"
          echo "tag=7" >> "$SHIPWAY_OUTPUT"
        outputs: {made: secret, with: string, tag: string}
      - id: use
        env_from: [LOG]
        env: {MADE: "${{ steps.make.outputs.made }}", WITH: "${{ steps.make.outputs.with }}"}
        run: test -e $LOG.again && echo "$MADE $WITH" >> $LOG && echo "it is $MADE"
"""


@pytest.fixture
def machines(tmp_path: Path) -> tuple[Path, Project, Project]:
    bare, clones = make_remote(tmp_path, clones=2)
    made = make_project(tmp_path / "env")
    env = made.env | {"LOG": str(tmp_path / "log"), "STATE_KEY": KEY, "TOKEN": "correct-horse"}
    first, second = (Project(clone, dict(env)) for clone in clones)
    first.write({"shipway.yml": SHOP})
    first.commit()
    first.git("push", "-q", "origin", "HEAD:main")
    second.git("pull", "-q", "origin", "main")
    first.call("run", "--yes", "-q", code=1)
    (tmp_path / "log.again").touch()
    return bare, first, second


def test_with_the_key_a_run_is_gone_on_with_elsewhere_and_has_its_secret_again(
    machines: tuple[Path, Project, Project], tmp_path: Path
) -> None:
    _, _, second = machines
    done = second.call("resume", "--yes", "--json")
    assert (tmp_path / "log").read_text() == f"made\n{SECRET} holds correct-horse\n", "what made it did not run again"
    outputs = {node["id"]: node.get("outputs") for node in done.json["nodes"]}
    assert list(outputs["main/make"]["made"]) == ["secret"]
    assert outputs["main/make"] | {"made": ""} == {"made": "", "with": "holds ***", "tag": "7"}
    run = done.json["run"]
    assert "it is ***" in second.call("logs", run, "main/use").out, "what came back is masked like any other secret"


def test_nothing_that_is_kept_anywhere_shows_what_is_secret(machines: tuple[Path, Project, Project]) -> None:
    bare, first, _ = machines
    [run] = first.call("runs", "--json").json["runs"]
    kept = zlib.decompress(copy_run(Workspace(first.root).journal, run["run"]))
    pushed = git(bare, "cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)").splitlines()
    blobs = [name.split()[0] for name in pushed if name.endswith(" blob")]
    for content in (kept, *(git_bytes(bare, blob) for blob in blobs)):
        for text in (SECRET, "correct-horse", KEY):
            assert text.encode() not in content
    with sqlite3.connect(Workspace(first.root).journal) as connection:
        [(sealed,)] = connection.execute("SELECT sealed FROM attempt WHERE node='main/make'").fetchall()
    opened = json.loads(Vault("STATE_KEY", KEY).open(about_attempt(run["run"], 1, "main/make"), sealed))
    assert opened == {"outputs": {"made": SECRET, "with": "holds correct-horse"}, "undo": None}


def git_bytes(bare: Path, blob: str) -> bytes:
    import subprocess

    content = subprocess.run(["git", "cat-file", "blob", blob], cwd=bare, capture_output=True, check=True).stdout
    head, _, rest = content.partition(b"\n")
    return zlib.decompress(rest) if b'"journal"' in head else content


def test_with_another_key_it_says_so_and_stops_before_anything_starts(
    machines: tuple[Path, Project, Project], tmp_path: Path
) -> None:
    _, _, second = machines
    second.env["STATE_KEY"] = OTHER
    refused = second.call("resume", "--yes", code=5)
    told = " ".join((refused.out + refused.err).split())
    assert "cannot be read: it was encrypted to another key than that of `STATE_KEY`, or was changed since" in told
    assert "main/make: its output `made` was secret and is not kept, and a later step takes it" in told
    assert (tmp_path / "log").read_text() == "made\n"


def test_without_the_key_nothing_is_gone_on_with(machines: tuple[Path, Project, Project], tmp_path: Path) -> None:
    _, _, second = machines
    del second.env["STATE_KEY"]
    refused = second.call("resume", "--yes", code=2)
    assert "the secret `STATE_KEY` is not set, and `state` takes the key from it" in " ".join(refused.err.split())
    assert (tmp_path / "log").read_text() == "made\n"


def test_a_declaration_that_names_no_key_any_more_is_another_effect(machines: tuple[Path, Project, Project]) -> None:
    _, _, second = machines
    second.write({"shipway.yml": SHOP.replace("{store: git, key: STATE_KEY}", "git")})
    refused = second.call("resume", "--yes", code=5)
    assert "plan: state" in refused.err, "where the record is kept is part of what was approved"


def test_a_local_journal_is_encrypted_to_a_key_too(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.env |= {"LOG": str(tmp_path / "log"), "STATE_KEY": bytes(range(32)).hex(), "TOKEN": "correct-horse"}
    project.write({"shipway.yml": SHOP.replace("store: git, ", "")})
    project.call("run", "--yes", "-q", code=1)
    (tmp_path / "log.again").touch()
    project.call("resume", "--yes", "-q")
    assert (tmp_path / "log").read_text() == f"made\n{SECRET} holds correct-horse\n"


@pytest.mark.parametrize("key", ["correct horse battery staple", "abcd", KEY[:-4], KEY + "AAAA", "0" * 62])
def test_what_is_no_key_is_refused_with_how_to_make_one(tmp_path: Path, key: str) -> None:
    project = make_project(tmp_path)
    project.env |= {"LOG": str(tmp_path / "log"), "STATE_KEY": key, "TOKEN": "correct-horse"}
    project.write({"shipway.yml": SHOP.replace("store: git, ", "")})
    refused = project.call("run", "--yes", code=2)
    told = " ".join(refused.err.split())
    assert "the secret `STATE_KEY` is no key" in told and "openssl rand -base64 32" in told
    assert key not in told
    assert not (tmp_path / "log").exists()


def test_what_was_sealed_opens_with_its_key_as_what_it_is_only() -> None:
    vault = Vault("K", KEY)
    about = about_attempt("run-1", 3, "main/a")
    sealed = vault.seal(about, "content")
    assert vault.open(about, sealed) == "content"
    assert vault.seal(about, "content") != sealed
    assert b"content" not in sealed
    for other, name, content in (
        (Vault("K", OTHER), about, sealed),
        (vault, about_attempt("run-1", 4, "main/a"), sealed),
        (vault, about_attempt("run-2", 3, "main/a"), sealed),
        (vault, about_attempt("run-1", 3, "main/b"), sealed),
        (vault, about, sealed[:-1] + bytes([sealed[-1] ^ 1])),
        (vault, about, sealed[:20]),
        (vault, about, b""),
    ):
        with pytest.raises(NotOpened):
            other.open(name, content)


def test_a_key_may_be_written_in_either_way() -> None:
    urlsafe = base64.urlsafe_b64encode(bytes(range(200, 232))).decode().rstrip("=")
    ways = (base64.b64encode(bytes(range(200, 232))).decode(), bytes(range(200, 232)).hex(), f" {urlsafe}\n")
    sealed = Vault("K", ways[0]).seal("a", "content")
    assert [Vault("K", way).open("a", sealed) for way in ways] == ["content"] * 3
    with pytest.raises(UsageError):
        Vault("K", "")
