"""Shows that env files are read back equal by shells and by readers of dotenv files, and leave nothing behind."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from shipway.action import ActionFailed
from shipway.compute_access import Refused
from shipway.env_text import env_text
from shipway.nodes import Change
from tests.preview_world import PreviewWorld
from tests.test_compute_access import HOSTILE

ACTION, NODE = "preview.env_file", "runner/env[.env]"
VALUES = [
    *HOSTILE,
    "ENVEOF\nx",
    "# no comment",
    "a # b",
    'it\'s $HOME \\ "x"',
    "`id`'",
    "end\\",
    "C:\\dir\\'x'",
    "a\\\\b",
    "=",
    "\t",
]


def write(world: PreviewWorld, entries: Mapping[str, str], **more: object) -> bool:
    """Whether it was there already."""
    return world.do(ACTION, NODE, {"path": "services/api/.env", "entries": entries, **more}).unchanged  # type: ignore[dict-item]


def test_case_60_a_header_then_sorted_entries() -> None:
    assert env_text({"PORT": "8042", "API": "http://localhost"}, "shop/pr-1") == (
        "# Written by Shipway for shop/pr-1: each up replaces it.\nAPI=http://localhost\nPORT=8042\n"
    )


def test_case_61_the_file_is_private_whole_and_read_back_equal(world: PreviewWorld) -> None:
    entries = {f"V{number}": value for number, value in enumerate(VALUES)} | {"LONG": "x'$\n" * 250_000}
    write(world, entries)
    file = world.place / "services/api/.env"
    assert file.stat().st_mode & 0o777 == 0o600
    assert by_shell(file.read_text(), entries) == entries
    assert [path.name for path in file.parent.iterdir() if path.name not in ("main", ".env")] == []


def by_shell(text: str, names: Mapping[str, str]) -> dict[str, str]:
    """What a POSIX shell finds in an env file: it is told the file by its input, since one value may be a megabyte."""
    said = "".join(f"printf '%s\\0' \"${name}\"\n" for name in names)
    env = {"PATH": "/nowhere"}
    ran = subprocess.run(["/bin/sh"], input=f"{text}\n{said}", text=True, capture_output=True, env=env, check=True)
    return dict(zip(names, ran.stdout.split("\0"), strict=False))


def by_dotenv(text: str) -> dict[str, str]:
    """What python-dotenv finds, by its own grammar: single quotes take `\\\\'` and `\\\\\\\\`, double ones those of C."""
    found = {}
    pattern = re.compile(r"""^([A-Za-z_]\w*)=(?:'((?:\\'|[^'])*)'|"((?:\\"|[^"])*)"|([^\n]*))$""", re.MULTILINE)
    for name, single, double, bare in pattern.findall(text.split("\n", 1)[1]):
        found[name] = re.sub(r"\\([\\'])", r"\1", single) or re.sub(r'\\([\\"])', r"\1", double) or bare
    return found


TEXTS = st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=30)


@given(st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,5}", fullmatch=True).map("X_".__add__), TEXTS, max_size=4))
@example({f"V{number}": value for number, value in enumerate(VALUES)})
def test_case_61_a_shell_reads_back_every_text(entries: dict[str, str]) -> None:
    assert by_shell(env_text(entries, "x"), entries) == entries


@given(TEXTS)
def test_case_61_so_does_a_reader_of_dotenv_files(value: str) -> None:
    if not ("$" in value or "`" in value) or ("'" not in value and "\\" not in value):
        assert by_dotenv(env_text({"A": value}, "x")) == {"A": value}


def test_what_has_no_place_in_an_environment_is_refused() -> None:
    for entries in ({"A B": ""}, {"": "x"}, {"A": "x\0"}, {"A;id": "x"}):
        with pytest.raises(Refused):
            env_text(entries, "x")


def test_case_36_a_changed_value_rewrites_it_and_an_equal_one_keeps_it(world: PreviewWorld) -> None:
    assert not write(world, {"A": "1"})
    assert write(world, {"A": "1"})
    work = world.node(ACTION, NODE, {"path": "services/api/.env", "entries": {"A": "2"}})
    assert (world.plan(work).change, world.plan(work).why) == (Change.UPDATE, "`env` A changed")
    assert not write(world, {"A": "2"})
    (world.place / "services/api/.env").write_text("A=3\n")
    assert not write(world, {"A": "2"})
    assert (world.place / "services/api/.env").read_text().endswith("A=2\n")


def test_case_63_a_file_of_somebody_else_is_kept_aside_and_comes_back(world: PreviewWorld) -> None:
    file = world.place / "services/api/.env"
    file.write_text("THEIRS=1\n")
    file.chmod(0o640)
    write(world, {"A": "1"})
    write(world, {"A": "2"})
    assert "THEIRS" not in file.read_text()
    write(world, {"A": "2"}, remove=True)
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("THEIRS=1\n", 0o640)
    assert write(world, {"A": "2"}, remove=True)


def test_case_63_what_somebody_put_there_since_stays_and_theirs_comes_back_beside_it(world: PreviewWorld) -> None:
    file = world.place / "services/api/.env"
    file.write_text("THEIRS=1\n")
    write(world, {"A": "1"})
    file.write_text("LATER=1\n")
    write(world, {"A": "1"}, remove=True)
    assert file.read_text() == "LATER=1\n"
    assert (file.parent / ".env.before-shipway").read_text() == "THEIRS=1\n"


def test_undo_takes_it_away_and_brings_back_what_stood_there(world: PreviewWorld) -> None:
    file = world.place / "services/api/.env"
    file.write_text("THEIRS=1\n")
    work = world.node(ACTION, NODE, {"path": "services/api/.env", "entries": {"A": "1"}})
    world.undo(work, world.action(ACTION).do(work))
    assert file.read_text() == "THEIRS=1\n"
    file.unlink()
    world.undo(work, world.action(ACTION).do(work))
    assert not file.exists()


def test_case_61_a_path_that_leads_out_is_refused_and_nothing_is_written(world: PreviewWorld, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (world.place / "out").symlink_to(tmp_path / "outside")
    for path in ("../.env", "/etc/env", "out/.env"):
        with pytest.raises(ActionFailed):
            world.do(ACTION, NODE, {"path": path, "entries": {"A": "1"}})
    assert os.listdir(tmp_path / "outside") == []


def test_a_place_that_is_gone_needs_nothing_taken_away_and_is_written_again(world: PreviewWorld) -> None:
    write(world, {"A": "1"})
    work = world.node(ACTION, NODE, {"path": "services/api/.env", "entries": {"A": "1"}})
    subprocess.run(["rm", "-rf", world.place], check=True)
    assert world.plan(work).why == "inputs unchanged; verify says gone"
    assert write(world, {"A": "1"}, remove=True)
    never = replace(work, inputs={**work.inputs, "remove": True, "compute": None})
    assert world.action(ACTION).do(never).unchanged
