"""Back to the state: only what drifted or is missing is planned and done again, with what it takes outputs from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command_line import Project, make_project

LIFECYCLE = """\
version: 1
name: dots
stages:
  main:
    steps:
      name: {run: 'echo "n=made" >> "$SHIPWAY_OUTPUT"; echo name >> ../ran', outputs: {n: string}, lasting: false}
      other: {run: 'echo other >> ../ran', lasting: false}
      link: {uses: file.link, with: {path: home/.bashrc, source: src}}
      write: {uses: file.write, with: {path: home/written, content: x}}
      make: {run: 'touch "home/$N"; echo make >> ../ran', undo: 'rm "home/$N"', needs: [link],
             env: {N: "${{ steps.name.outputs.n }}"}, verify: 'test -e "home/$N" || exit 3'}
      silent: {run: 'echo silent >> ../ran'}
      each:
        gather: {items: [a, b, c], limit: 3}
        env: {I: "${{ item }}"}
        run: 'echo "each $I" >> ../ran; touch "home/$I"'
        undo: 'rm "home/$I"'
        verify: 'test -e "home/$I" || exit 3'
        needs: [link]
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = make_project(tmp_path)
    made.write({"shipway.yml": LIFECYCLE, "src": "a\n", ".gitignore": ".shipway\nhome\n"})
    made.commit()
    made.call("run", "--yes")
    (tmp_path / "ran").unlink()
    return made


def planned(project: Project, *options: str) -> list[str]:
    plan = project.call("plan", "--reconcile", "--json", *options).json
    return [node["id"].removeprefix("main/") for node in plan["nodes"]]


def test_where_all_holds_nothing_is_planned(project: Project) -> None:
    assert planned(project) == []
    done = project.call("plan", "--reconcile", "--detailed-exitcode")
    assert "drift: 6 held, 1 unknown" in done.err


def test_where_all_holds_no_run_is_begun(project: Project) -> None:
    before = project.call("runs", "-q").out
    done = project.call("run", "--reconcile", "--yes")
    assert done.out == "" and "nothing to reconcile: `dots` on `default` is as its receipts say" in done.err
    told = project.call("run", "--reconcile", "--yes", "--json").json
    assert (told["run"], told["counts"]["held"]) == (None, 6)
    assert project.call("runs", "-q").out == before
    (project.root / "home/written").unlink()
    done = project.call("run", "--reconcile", "--yes", "--skip", "main/write")
    assert "nothing of what differs can be brought back by what was asked for" in done.err
    assert project.call("runs", "-q").out == before


def test_with_nothing_recorded_it_says_what_to_do_and_begins_no_run(tmp_path: Path) -> None:
    made = make_project(tmp_path)
    made.write({"shipway.yml": LIFECYCLE, "src": "a\n", ".gitignore": ".shipway\nhome\n"})
    made.commit()
    done = made.call("run", "--reconcile", "--yes")
    assert "no receipt tells of anything of `dots` on `default`, here" in done.err
    assert "make it first with `shipway run --target default`" in done.err
    assert not (made.root / "home").exists() and "no run was begun" in made.call("runs").out


def test_the_plan_says_to_reconcile_and_not_what_it_leaves_out(project: Project) -> None:
    (project.root / "home/written").unlink()
    told = " ".join(project.call("plan", "--reconcile", "--skip", "main/other").out.split())
    assert "run it shipway run --target default --reconcile --skip main/other or keep it shipway plan" in told
    assert told.endswith("--target default --reconcile --skip main/other -o plan.json")


def test_only_what_differs_is_planned_with_what_it_takes_outputs_from(project: Project) -> None:
    (project.root / "home/written").write_text("another")
    assert planned(project) == ["write"]
    (project.root / "home/made").unlink()
    assert planned(project) == ["name", "write", "make"]
    (project.root / "home/b").unlink()
    assert planned(project) == ["name", "write", "make", "each", "each[b]"]
    project.call("plan", "--reconcile", "--detailed-exitcode", code=3)
    assert planned(project, "--skip", "main/write") == ["name", "make", "each", "each[b]"]


def test_a_run_brings_it_back_and_does_nothing_else(project: Project, tmp_path: Path) -> None:
    (project.root / "home/made").unlink()
    (project.root / "home/.bashrc").unlink()
    (project.root / "home/b").unlink()
    project.call("run", "--reconcile", "--yes")
    assert sorted((tmp_path / "ran").read_text().split("\n")) == ["", "each b", "make", "name"]
    assert (project.root / "home/.bashrc").readlink() == Path("../src")
    assert project.call("drift", "--json").json["counts"]["held"] == 6
    assert planned(project) == []


def test_a_kept_plan_says_what_to_leave_out_when_it_is_applied(project: Project, tmp_path: Path) -> None:
    (project.root / "home/made").unlink()
    shown = project.call("plan", "--reconcile", "-o", "../plan.json").out
    skipped = ["main/other", "main/link", "main/write", "main/silent", "main/each"]
    assert all(f"--skip {name}" in " ".join(shown.split()) for name in skipped)
    options = [word for name in skipped for word in ("--skip", name)]
    project.call("apply", "../plan.json", "--yes", *options)
    assert (tmp_path / "ran").read_text() == "name\nmake\n"


def test_what_is_gone_from_the_declaration_is_named_and_not_brought_back(project: Project) -> None:
    (project.root / "home/written").unlink()
    project.write({"shipway.yml": LIFECYCLE.replace("      write: {uses", "      elsewhere: {uses")})
    done = project.call("plan", "--reconcile", "--json")
    assert done.json["nodes"] == []
    assert "not in the declaration any more: file home/written" in done.err


def test_a_receipt_that_cannot_be_counted_refuses(project: Project) -> None:
    [path] = (project.root / ".shipway/receipts").glob("*.json")
    path.write_bytes(path.read_bytes().replace(b"main/make", b"main/mark"))
    error = project.call("plan", "--reconcile", "--json", code=5).json["error"]
    assert error["reason"] == "receipt-digest"


def test_a_run_that_fails_on_the_way_back_is_begun_anew_as_it_was_typed(project: Project) -> None:
    (project.root / "home/made").unlink()
    project.write({"shipway.yml": LIFECYCLE.replace('\'touch "home/$N"', "'false")})
    shown = " ".join(project.call("run", "--reconcile", "--yes", "--skip", "main/other", code=4).out.split())
    assert "shipway run --target default --reconcile --skip main/other, to begin anew" in shown
    assert "--skip main/silent" not in shown


def test_a_run_on_the_way_back_is_shown_and_rolled_back_as_that_and_not_by_what_it_left_out(project: Project) -> None:
    (project.root / "home/written").unlink()
    (project.root / "home/.bashrc").unlink()
    project.call("run", "--yes", "-q", "--reconcile", "--skip", "main/link")
    undone = project.call("rollback", "--yes")
    again = "shipway run --target default --reconcile --skip main/link"
    assert f"next {again}, to do it again" in " ".join(undone.out.split())
    assert f"next {again}, to do it again" in " ".join(project.call("show").out.split())
    assert not (project.root / "home/written").exists()
    project.call(*again.split()[1:], "--yes", "-q")
    assert (project.root / "home/written").exists() and not (project.root / "home/.bashrc").exists()
