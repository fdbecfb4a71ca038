"""The example that docs/preview.md begins with, pasted: it works, each command of it, and leaves nothing."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.command_line import Project, make_project
from tests.preview_shop import Shop, changes_of

REPOSITORY = Path(__file__).resolve().parent.parent
EXAMPLE = REPOSITORY / "examples/preview"
START = (REPOSITORY / "docs/preview.md").read_text("utf-8").partition("## From nothing")[2].partition("\n## ")[0]
PASTED = re.findall(r"```sh\n(.*?)```", START, re.DOTALL)
COMMANDS = [
    shlex.split(line, comments=True)[2:] for line in re.findall(r"^\$ (shipway preview .*)$", START, re.MULTILINE)
]
pytestmark = pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="processes are looked up in /proc")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    env = make_project(tmp_path, "elsewhere").env
    somebody = {
        f"GIT_{who}_{what}": "t@example.invalid" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    [paste] = PASTED
    subprocess.run(["sh", "-e", "-c", paste], cwd=tmp_path, env=env | somebody, check=True, capture_output=True)
    opened = Shop(Project(tmp_path / "shop", env), tmp_path / "shop/data")
    try:
        yield opened
    finally:
        for pid in opened.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_what_is_pasted_is_the_example_that_can_be_copied(shop: Shop) -> None:
    def files(root: Path) -> dict[str, str]:
        found = {path.relative_to(root) for path in root.rglob("*") if path.is_file()}
        return {str(each): (root / each).read_text("utf-8") for each in sorted(found) if each.parts[0] != ".git"}

    copied = files(EXAMPLE)
    copied["shipway.yml"] = copied["shipway.yml"].partition("\n")[2]  # its first line names the schema beside it
    assert files(shop.project.root) == copied


def test_each_command_of_the_page_does_what_it_says(shop: Shop) -> None:
    said = {}
    for words in COMMANDS:
        said[" ".join(words)] = shop.project.call("preview", *words).out
        if words[0] == "up":
            assert (shop.page("feat-login", "api"), shop.page("feat-login", "web")) == ("apple", "<h1>Shop</h1>\n")
    assert "a shop with previews" in said["exec -- git log -1"].lower()
    assert shop.environments()["feat-login"]["state"] == "gone"
    assert (shop.processes(), shop.worktrees(), [*shop.data.iterdir()]) == ([], [], [])


def test_a_commit_starts_the_services_anew_and_keeps_the_database(shop: Shop) -> None:
    shop.call("up")
    (shop.project.root / "web/index.html").write_text("<h1>Sale</h1>\n")
    shop.project.commit()
    again = changes_of(shop.call("up", "--json"))
    assert shop.page("feat-login", "web") == "<h1>Sale</h1>\n"
    assert again["provisioner/service/db"] == "unchanged"
    assert again["runner/service/web"] == "succeeded"
    shop.call("down")


def test_what_is_not_committed_is_no_part_of_it_and_counts_once_it_is(shop: Shop) -> None:
    serve = shop.project.root / "api/serve.py"
    serve.write_text(serve.read_text("utf-8").replace("(name for", '("a " + name for'))
    shop.call("up")
    assert shop.page("feat-login", "api") == "apple"
    shop.project.commit()
    again = changes_of(shop.call("up", "--json"))
    assert (again["runner/service/api"], shop.page("feat-login", "api")) == ("succeeded", "a apple")
    shop.call("down")


def test_what_is_shown_says_what_to_type_next_and_fits_the_terminal(shop: Shop) -> None:
    made = shop.call("up").out
    assert "shipway preview down --target feat-login" in " ".join(made.split())
    assert "shipway rollback" not in made
    assert "SHIPWAY_" not in made
    assert "made =" not in shop.call("up", "--from", "runner/service/api").out
    assert " reset db: ready by" in shop.call("reset", "db").out + shop.call("status").out
    assert "to start it again" in shop.call("stop").out
    stopped = shop.call("status").out
    assert "shipway preview up --target feat-login, to start it again" in " ".join(stopped.split())
    assert "http://" not in stopped + shop.call("list").out
    (shop.project.root / "api/serve.py").write_text("raise SystemExit('no config')\n")
    shop.project.commit()
    failed = shop.call("up", code=1).out
    assert "shipway preview up --target feat-login, once the cause is gone" in " ".join(failed.split())
    assert [line for line in shop.call("status").out.splitlines() if len(line) > 80] == []
    assert "to make it again" in shop.call("down").out
