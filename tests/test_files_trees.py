"""Two whole trees, and random ones: planned, run, run again, rolled back to what was there, byte, mode and link."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.command_line import Project, make_project
from tests.contracts.action import tree
from tests.runs import run
from tests.test_files_mode import lay
from tests.tools import make_dotfiles

CASES = Path(__file__).parent / "cases" / "files"
ROOTS = {"workstation": ["home"], "server": ["etc", "home"]}


def checked_out(tmp_path: Path, name: str) -> Project:
    """The case as a clean checkout, with its roots beside the trees and something in them."""
    project = make_project(tmp_path, name)
    shutil.copytree(CASES / name, project.root, dirs_exist_ok=True)
    project.write({".gitignore": "".join(f"/{root}/\n" for root in ROOTS[name])})
    project.commit()
    for root in ROOTS[name]:
        (project.root / root / ".config" / "git").mkdir(parents=True)
        (project.root / root / "kept").write_text("kept")
        (project.root / root / "ssh").symlink_to("kept")
    (project.root / "home/.zshrc").write_text("mine")
    (project.root / "home/.zshrc").chmod(0o640)
    (project.root / "home/.config/git/platform").symlink_to("nowhere")
    return project


def roots(project: Project, name: str) -> dict[str, dict[str, tuple[str, ...]]]:
    return {root: tree(project.root / root) for root in ROOTS[name]}


@pytest.mark.parametrize("name", ROOTS)
def test_the_trees_are_what_their_generator_writes(name: str) -> None:
    texts = {"workstation": make_dotfiles.workstation, "server": make_dotfiles.server}[name]()
    found = {str(path.relative_to(CASES / name)) for path in (CASES / name).rglob("*") if path.is_file()}
    assert found == {*texts, "shipway.yml"}
    assert len(texts) >= 200
    assert all((CASES / name / path).read_text(encoding="utf-8") == text for path, text in texts.items())


@pytest.mark.parametrize("name", ROOTS)
def test_a_whole_tree_is_put_there_once_and_taken_back_whole(tmp_path: Path, name: str) -> None:
    project = checked_out(tmp_path, name)
    if name == "server":
        (project.root / "etc/ssh").unlink()  # a link where a folder is needed: its own test below
    before = roots(project, name)
    planned = project.call("plan", "--json").json
    nodes = [node for node in planned["nodes"] if node["stage"] != "after"]
    assert {node["action"] for node in nodes if node["fidelity"] != "exact"} <= {"file.backup"}
    assert len(nodes) > 150
    context = planned["stages"][0]["context"]
    assert context["collisions"] and context["left_out"]
    project.call("run", "--yes", "-q")
    deployed = roots(project, name)
    assert deployed != before
    again = project.call("plan", "--json").json
    assert {node["change"] for node in again["nodes"] if node["stage"] != "after"} <= {"noop", "read"}
    assert set(Counter(each["status"] for each in again["preflight"])) <= {"linked", "copied", None}
    project.call("run", "--yes", "-q")
    assert roots(project, name) == deployed, "a second run changes nothing"


@pytest.mark.parametrize("name", ROOTS)
def test_a_run_that_fails_after_a_whole_tree_leaves_what_was_there(tmp_path: Path, name: str) -> None:
    project = checked_out(tmp_path, name)
    if name == "server":
        (project.root / "etc/ssh").unlink()
    before = roots(project, name)
    project.call("run", "--yes", "-q", "--input", "boom=yes", code=1)
    assert roots(project, name) == before


@pytest.mark.parametrize("name", ROOTS)
def test_a_rollback_of_a_whole_tree_leaves_what_was_there(tmp_path: Path, name: str) -> None:
    project = checked_out(tmp_path, name)
    if name == "server":
        (project.root / "etc/ssh").unlink()
    before = roots(project, name)
    project.call("run", "--yes", "-q")
    project.call("rollback", "--yes", "-q")
    assert roots(project, name) == before


NAMES = st.sampled_from(["a", "b", "c.j2", "d/e", "d/f.template", "g/h/i"])
LAYERS = st.dictionaries(
    st.tuples(
        st.sampled_from(["base", "team", "personal"]), st.sampled_from(["all", "all.Linux", "all.Darwin"]), NAMES
    ),
    st.sampled_from(["", "text\n", "{{ target }}"]),
    max_size=8,
)
STANDING = st.dictionaries(
    st.sampled_from(["a", "b", "c", "d", "d/e", "g", "g/h/i", "z"]),
    st.sampled_from(["file", "mode", "link", "dangling", "folder"]),
    max_size=5,
)


def _stand(home: Path, standing: dict[str, str]) -> None:
    for name, kind in sorted(standing.items()):
        place = home / name
        if any(above.is_symlink() or above.is_file() for above in (*place.parents, place)) or place.is_dir():
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if kind == "folder":
            place.mkdir()
            (place / "inner").write_text("inner")
        elif kind in ("link", "dangling"):
            place.symlink_to("z" if kind == "link" else "nowhere")
        else:
            place.write_text(kind)
            place.chmod(0o640 if kind == "mode" else 0o644)


@given(LAYERS, STANDING, st.sampled_from(["backup", "overwrite", "skip"]), st.sampled_from(["link", "copy"]))
def test_whatever_stands_there_a_run_that_fails_leaves_it_as_it_was(
    layers: dict[tuple[str, str, str], str], standing: dict[str, str], policy: str, how: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        lay(root, {f"config/{layer}/{project}/{name}": text for (layer, project, name), text in layers.items()})
        _stand(root / "home", standing)
        before = tree(root / "home")
        ran = run(
            root,
            f"""\
            stages:
              dots:
                mode: files
                with:
                  sources: {{base: config/base, team: config/team, personal: config/personal}}
                  roots: {{home: home}}
                  on_conflict: {policy}
                  how: {how}
              boom: {{needs: [dots], steps: [{{run: exit 1, lasting: false}}]}}
            """,
        )
        assert ran.finished.error is not None or ran.exit_code == 1
        assert tree(root / "home") == before
