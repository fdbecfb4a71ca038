"""Drift: what receipts say and the world does not, by fingerprint and by `verify`, and that looking changes nothing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from shipway.action import Action, ActionFailed
from shipway.actions.file_link import FileLink
from shipway.deviation import Drift, counts
from shipway.drift import Answer, look
from shipway.nodes import Outcome, Verified
from shipway.records import Record
from shipway.registry import Registry
from shipway.state import Entry, HistoryRecord, Identity, Standing
from tests.command_line import Project, make_project
from tests.git_remotes import make_remote

LIFECYCLE = """\
version: 1
name: dots
STATE
stages:
  main:
    steps:
      name: {run: 'echo "n=made" >> "$SHIPWAY_OUTPUT"', outputs: {n: string}, lasting: false}
      link: {uses: file.link, with: {path: home/.bashrc, source: src}}
      write: {uses: file.write, with: {path: home/written, content: x}}
      make: {run: 'touch "home/$N"', undo: 'rm "home/$N"', needs: [link], env: {N: "${{ steps.name.outputs.n }}"},
             verify: 'test -e "home/$N" || exit 3'}
      unsure: {run: 'true', verify: 'exit 7'}
      silent: {run: 'true'}
"""
HELD = {"home/.bashrc", "home/written", "main/make"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = make_project(tmp_path)
    made.write({"shipway.yml": LIFECYCLE.replace("STATE\n", ""), "src": "a\n", ".gitignore": ".shipway\nhome\n"})
    made.commit()
    made.call("run", "--yes")
    return made


def drift(project: Project, code: int = 0) -> dict[str, tuple[str, str]]:
    found = project.call("drift", "--json", code=code).json
    return {entry["name"]: (entry["drift"], entry["why"]) for entry in found["entries"]}


def tree_digest(root: Path) -> str:
    """One digest over every path, kind, mode, content and link below `root`, git's own folder included."""
    lines = []
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            what = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
            lines.append(repr((str(path), path.lstat().st_mode, what)))
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def test_what_is_as_its_run_left_it_is_held_and_what_nobody_can_tell_is_unknown(project: Project) -> None:
    found = drift(project)
    assert {name for name, (word, _) in found.items() if word == "held"} == HELD
    assert found["main/unsure"] == ("unknown", "`verify` cannot tell: exit 7")
    assert found["main/silent"] == ("unknown", "it has no `verify`")
    assert project.call("drift", "--json").json["counts"] == {"held": 3, "drifted": 0, "missing": 0, "unknown": 2}
    assert project.call("drift", "-q").out == ""


def test_what_changed_and_what_is_gone_is_told_apart_and_ends_with_3(project: Project) -> None:
    home = project.root / "home"
    (home / "made").unlink()
    (home / ".bashrc").unlink()
    (home / ".bashrc").symlink_to("elsewhere")
    (home / "written").chmod(0o600)
    found = drift(project, code=3)
    assert found["home/.bashrc"] == ("drifted", "another target")
    assert found["home/written"] == ("drifted", "mode 0600, was 0644")
    assert found["main/make"] == ("missing", "`verify` does not find it")
    (home / "written").unlink()
    assert drift(project, code=3)["home/written"] == ("missing", "it is not there")
    listed = project.call("drift", code=3).out.splitlines()
    assert listed[0].split() == ["DRIFT", "KIND", "NAME", "WHY", "RUN"]
    assert listed[-1] == "1 drifted, 2 missing, 2 unknown"
    assert "held" not in "".join(listed[:-1])


def test_looking_changes_nothing_anywhere(project: Project) -> None:
    (project.root / "home/made").unlink()
    before = tree_digest(project.root.parent)
    project.call("drift", code=3)
    assert tree_digest(project.root.parent) == before


def test_without_the_journal_fingerprints_still_tell_and_steps_are_unknown_with_the_reason(project: Project) -> None:
    for path in (project.root / ".shipway").glob("journal.sqlite*"):
        path.unlink()
    found = drift(project)
    assert (found["home/.bashrc"][0], found["home/written"][0]) == ("held", "held")
    word, why = found["main/make"]
    assert word == "unknown" and why.startswith("the plan of run ") and "is not here any more" in why


def test_on_another_machine_the_store_has_the_plan_of_the_last_run(tmp_path: Path) -> None:
    made = make_project(tmp_path)
    text = LIFECYCLE.replace("STATE", "state: git")
    made.write({"shipway.yml": text, "src": "a\n", ".gitignore": ".shipway\nhome\n"})
    made.commit()
    remote, _ = make_remote(tmp_path, clones=0)
    made.git("remote", "add", "origin", str(remote))
    made.call("run", "--yes")
    made.git("push", "-q", "origin", "trunk")
    made.git("clone", "-q", "-b", "trunk", str(remote), str(tmp_path / "other"))
    other = Project(tmp_path / "other", made.env)
    found = drift(other, code=3)
    assert found["home/.bashrc"][0] == found["home/written"][0] == found["main/make"][0] == "missing"
    assert not (other.root / ".shipway").exists()


def test_a_receipt_that_cannot_be_counted_is_said_before_drift(project: Project) -> None:
    [path] = (project.root / ".shipway/receipts").glob("*.json")
    path.write_bytes(path.read_bytes().replace(b"main/make", b"main/mark"))
    done = project.call("drift", "--json", code=5)
    assert done.json["findings"][0]["reason"] == "receipt-digest" and "not counted: " in done.err


def test_what_was_undone_or_removed_is_not_looked_for(project: Project) -> None:
    project.call("rollback", "--yes", code=4)
    assert set(drift(project)) <= {"main/silent", "main/unsure"}


def test_an_unset_secret_makes_a_step_unknown(tmp_path: Path) -> None:
    made = make_project(tmp_path)
    made.write(
        {
            "shipway.yml": """
                version: 1
                name: dots
                secrets: [TOKEN]
                steps:
                  - {id: a, run: 'true', undo: 'true', verify: 'test "$TOKEN" = x', env: {TOKEN: "${{ secrets.TOKEN }}"}}
                """
        }
    )
    made.commit()
    made.call("run", "--yes", env={"TOKEN": "x"})
    assert made.call("drift", "--json", env={"TOKEN": "x"}).json["counts"]["held"] == 1
    assert made.call("drift", env={"TOKEN": "x"}).out == "1 held: nothing drifted\n"
    word, why = drift(made)["main/a"]
    assert word == "unknown" and "it cannot be asked" in why and "TOKEN" in why


# By its own action.


class Observed(FileLink):
    """Finds its records again by a text that tests set."""

    name = "test.observed"
    now: str | None = "one"

    def observe(self, record: Record, root: Path, env: Mapping[str, str]) -> str | None:
        if self.now == "?":
            raise ActionFailed("the registry does not answer")
        return self.now


def entry(kind: str, name: str, fingerprint: str, action: str = "test.observed") -> Entry:
    record = HistoryRecord(
        0, "d", "run", "", "main/a", action, Outcome.SUCCEEDED, Standing.EXISTS, fingerprint=fingerprint
    )
    return Entry(Identity("dots", "prod", kind, name), Standing.EXISTS, record, (record,))


def no_answers(run: str, nodes: Sequence[str]) -> Mapping[str, Answer]:
    return {}


@pytest.mark.parametrize(
    ("now", "expected", "why"),
    [
        ("one", Drift.HELD, ""),
        ("two", Drift.DRIFTED, "two, was one"),
        (None, Drift.MISSING, "it is not there"),
        ("?", Drift.UNKNOWN, "the registry does not answer"),
    ],
)
def test_an_action_that_can_observe_is_asked(tmp_path: Path, now: str | None, expected: Drift, why: str) -> None:
    action = Observed()
    action.now = now
    [found] = look([entry("image", "web", "one")], {"test.observed": action}.get, no_answers, tmp_path)
    assert (found.drift, found.why, found.differs) == (expected, why, expected in (Drift.DRIFTED, Drift.MISSING))


def test_what_nobody_can_observe_is_asked_by_verify_once_for_each_run(tmp_path: Path) -> None:
    asked: list[tuple[str, list[str]]] = []

    def ask(run: str, nodes: Sequence[str]) -> Mapping[str, Answer]:
        asked.append((run, list(nodes)))
        return dict.fromkeys(nodes, Answer(Verified.HOLDS))

    entries = [entry("package", "apt:jq", "1.6", "pkg.install"), entry("package", "apt:yq", "4", "pkg.install")]
    action: Mapping[str, Action] = {}
    found = look(entries, action.get, ask, tmp_path)
    assert asked == [("run", ["main/a"])]
    assert counts(found) == {Drift.HELD: 2, Drift.DRIFTED: 0, Drift.MISSING: 0, Drift.UNKNOWN: 0}


def test_a_file_of_an_unknown_action_is_found_by_shipway_s_own_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o755)
    found = look([entry("file", "a", "directory 0755", "gone.away")], Registry().find_action, no_answers, tmp_path)
    assert [each.drift for each in found] == [Drift.HELD]
    [other] = look([entry("file", "a", "file 0644 aa", "gone.away")], Registry().find_action, no_answers, tmp_path)
    assert (other.drift, other.why) == (Drift.DRIFTED, "a directory, was a file")
    [foreign] = look([entry("file", "a", "sha1:aa", "gone.away")], Registry().find_action, no_answers, tmp_path)
    assert foreign.drift is Drift.UNKNOWN
