"""Where Shipway was installed from, as a copy of the package finds it out; the workflow is pinned by it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shipway import __version__
from tests.command_line import Done, Project, make_project

ROOT = Path(__file__).parent.parent
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def installed(folder: Path, noted: object) -> Path:
    """A copy of the package as pip installs it, with what pip notes down of where it came from."""
    shutil.copytree(ROOT / "runner/shipway", folder / "shipway", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "schemas", folder / "shipway/schemas")
    information = folder / f"shipway-{__version__}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: shipway\nVersion: {__version__}\n")
    if noted is not None:
        (information / "direct_url.json").write_text(json.dumps(noted))
    return folder


def init(project: Project, packages: Path, *arguments: str) -> Done:
    """`shipway init` of an installed copy."""
    program = f"import sys; sys.path.insert(0, {str(packages)!r}); from shipway.cli import main; main({['init', *arguments]!r})"
    done = subprocess.run(
        [sys.executable, "-I", "-c", program],
        cwd=project.root,
        env=project.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("url", "slug"),
    [
        ("https://github.com/acme/shipway.git", "acme/shipway"),
        ("ssh://git@github.com/acme/shipway", "acme/shipway"),
        ("https://git.example.org/mirror/shipway", "shipway/shipway"),
    ],
)
def test_what_pip_took_from_git_is_pinned_by_its_commit(tmp_path: Path, url: str, slug: str) -> None:
    noted = {"url": url, "vcs_info": {"vcs": "git", "commit_id": COMMIT}}
    told = init(make_project(tmp_path), installed(tmp_path / "packages", noted), "--json")
    assert told.json["action"] == f"{slug}@{COMMIT} # v{__version__}"


@pytest.mark.parametrize("noted", [None, {"url": "file:///x", "dir_info": {}}, {"vcs_info": {"commit_id": "main"}}])
def test_what_came_from_an_index_says_how_to_pin_it(tmp_path: Path, noted: object) -> None:
    project = make_project(tmp_path)
    told = init(project, installed(tmp_path / "packages", noted))
    assert f"  git ls-remote https://github.com/shipway/shipway refs/tags/v{__version__}\n" in told.out
    assert f"uses: shipway/shipway@v{__version__} # pin this" in project.text(".github/workflows/shipway.yml")


def test_a_checkout_is_pinned_by_its_head_and_an_action_may_be_named(tmp_path: Path) -> None:
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    action = make_project(tmp_path).call("init", "--json").json["action"]
    assert action.split("@")[1] == f"{head} # v{__version__}"
    named = make_project(tmp_path, "other").call("init", "--json", "--uses", f"acme/ship@{COMMIT}")
    assert named.json["action"] == f"acme/ship@{COMMIT}"
