"""Case 76: a target with `after: [staging]` takes only a tree that has succeeded there, by a receipt that can be verified."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipway.loading import load_declaration
from tests.command_line import Project, make_project
from tests.git_remotes import make_remote

LIFECYCLE = """\
version: 1
name: shop
targets: {staging: {}, prod: {after: [staging]}, pr-*: {after: [staging]}}
stages:
  build:
    lasting: false
    steps: [{id: image, run: 'true'}, {id: test, run: 'true'}]
  release:
    needs: [build]
    steps: [{id: rollout, run: 'echo "$T" >> ../told', undo: 'echo "undo $T" >> ../told', env: {T: "${{ target }}"}}]
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = make_project(tmp_path)
    made.write({"shipway.yml": LIFECYCLE, ".gitignore": ".shipway\n"})
    made.commit()
    return made


def told(project: Project) -> list[str]:
    path = project.root.parent / "told"
    return path.read_text().splitlines() if path.exists() else []


def refused(project: Project, target: str = "prod") -> str:
    """What is said where the target is refused; nothing was done there."""
    before = told(project)
    error = project.call("run", "--target", target, "--yes", "--json", code=5).json["error"]
    assert error["reason"] == "not-promoted"
    assert told(project) == before
    return str(error["message"])


def test_case_76_a_target_is_refused_before_the_same_tree_succeeded_on_the_one_before(project: Project) -> None:
    tree = project.git("rev-parse", "HEAD^{tree}")[:12]
    message = refused(project)
    assert "`prod` comes after `staging`" in message and tree in message
    assert "not promoted" not in project.call("plan", "--target", "prod").err
    project.call("run", "--target", "staging", "--yes")
    project.call("run", "--target", "prod", "--yes")
    assert told(project) == ["staging", "prod"]


def test_case_76_the_refusal_says_what_came_nearest(project: Project) -> None:
    assert refused(project).endswith("has not succeeded there: no verified receipt of a run there is known here")
    run = project.call("run", "--target", "staging", "--yes", "--stage", "build", "--json").json["run"]
    assert refused(project).endswith(f": run `{run}` of that tree there left out parts of the lifecycle")
    run = project.call("run", "--target", "staging", "--yes", "--json").json["run"]
    project.call("rollback", run, "--yes")
    assert refused(project).endswith(f": run `{run}` of that tree there was rolled back")
    commit, tree = (project.git("rev-parse", name).strip() for name in ("HEAD", "HEAD^{tree}"))
    project.write({"more": "1"})
    project.commit()
    assert refused(project).endswith(
        f": the last run there, `{run}`, was of the tree `{tree[:12]}` of commit `{commit[:7]}`"
    )
    error = project.call("run", "--target", "prod", "--yes", "--json", code=5).json["error"]
    assert error["next"] == "run this tree there first: `shipway run --target staging`"


def test_case_76_another_commit_of_the_same_tree_goes_on_and_another_tree_does_not(project: Project) -> None:
    project.call("run", "--target", "staging", "--yes")
    project.git("commit", "-q", "--allow-empty", "-m", "the same tree")
    project.call("run", "--target", "prod", "--yes")
    project.write({"more": "1"})
    project.commit()
    refused(project)


def test_case_76_a_pattern_of_targets_has_it_too(project: Project) -> None:
    refused(project, "pr-7")
    rules = load_declaration(project.root / "shipway.yml", root=project.root)
    assert [rules.target_rule(name).after for name in ("prod", "pr-7", "staging")] == [("staging",), ("staging",), ()]


def test_case_76_what_failed_or_was_rolled_back_there_proves_nothing(project: Project) -> None:
    project.call("run", "--target", "staging", "--yes")
    project.call("rollback", "--yes")
    refused(project)
    assert told(project) == ["staging", "undo staging"]


def test_case_76_a_run_that_only_found_what_was_rolled_back_since_proves_nothing(project: Project) -> None:
    text = "version: 1\nname: shop\ntargets: {staging: {}, prod: {after: [staging]}}\n"
    step = 'steps: [{id: w, uses: file.write, with: {path: "out/${{ target }}", content: x}}]\n'
    project.write({"shipway.yml": text + step, ".gitignore": ".shipway\nout\n"})
    project.commit()
    first = project.call("run", "--target", "staging", "--yes", "--json").json["run"]
    second = project.call("run", "--target", "staging", "--yes", "--json").json
    assert second["nodes"][0]["outcome"] == "unchanged"
    project.call("rollback", "--target", "staging", "--yes")
    assert not (project.root / "out").exists()
    assert refused(project).endswith(f": run `{first}` of that tree there was rolled back")
    assert project.call("state", "--targets", "--json").json["targets"]["staging"]["succeeded"] is None
    project.call("run", "--target", "staging", "--yes")
    project.call("run", "--target", "prod", "--yes")


def test_case_76_a_part_of_it_proves_nothing(project: Project) -> None:
    project.call("run", "--target", "staging", "--yes", "--stage", "build")
    refused(project)
    project.call("run", "--target", "staging", "--yes", "--skip", "build/test")
    refused(project)


def test_case_76_a_receipt_that_was_altered_proves_nothing(project: Project) -> None:
    project.call("run", "--target", "staging", "--yes")
    [receipt] = (project.root / ".shipway/receipts").iterdir()
    whole = receipt.read_bytes()
    receipt.write_bytes(whole.replace(b'"outcome":"succeeded"', b'"outcome":"unchanged"', 1))
    refused(project)
    receipt.write_bytes(b"{}")
    refused(project)
    receipt.write_bytes(whole)
    project.call("run", "--target", "prod", "--yes")


def test_case_76_a_receipt_of_another_lifecycle_of_the_same_tree_proves_nothing(project: Project) -> None:
    project.write({"other.yml": LIFECYCLE.replace("name: shop", "name: other")})
    project.commit()
    project.call("run", "-f", "other.yml", "--target", "staging", "--yes")
    refused(project)
    project.call("run", "-f", "other.yml", "--target", "prod", "--yes")


def test_case_76_files_that_differ_from_the_commit_are_not_what_was_proven(project: Project) -> None:
    project.call("run", "--target", "staging", "--yes")
    project.write({"shipway.yml": LIFECYCLE + "# more\n"})
    assert "no clean checkout" in refused(project)
    project.call("run", "--target", "staging", "--yes")
    project.git("checkout", "-q", "shipway.yml")
    project.call("run", "--target", "prod", "--yes")


def test_case_76_outside_git_there_is_no_tree_to_prove(tmp_path: Path) -> None:
    project = Project(tmp_path / "plain", {**make_project(tmp_path).env})
    project.root.mkdir()
    project.write({"shipway.yml": LIFECYCLE})
    project.call("run", "--target", "staging", "--yes")
    assert "no clean checkout" in refused(project)


def test_case_76_a_run_that_was_begun_may_be_gone_on_with_and_undone(project: Project) -> None:
    failing = LIFECYCLE.replace("env: {T:", "verify: exit 3, env: {T:").replace(
        "run: 'echo \"$T\" >> ../told'", 'run: \'echo "$T" >> ../told; test "$T" = staging || test -e ../ok\''
    )
    project.write({"shipway.yml": failing + "defaults: {rollback: none}\n"})
    project.commit()
    project.call("run", "--target", "staging", "--yes")
    project.call("run", "--target", "prod", "--yes", code=1)
    for receipt in (project.root / ".shipway/receipts").glob("shop-staging-*"):
        receipt.unlink()
    (project.root.parent / "ok").touch()
    project.call("resume")
    refused(project)


def test_case_76_another_clone_knows_by_the_receipt_in_the_store(tmp_path: Path) -> None:
    _, [one, two] = make_remote(tmp_path, clones=2)
    env = make_project(tmp_path).env
    first, second = Project(one, env), Project(two, env)
    first.write({"shipway.yml": LIFECYCLE + "state: git\n", ".gitignore": ".shipway\n"})
    first.commit()
    first.git("push", "-q")
    second.git("pull", "-q")
    refused(second)
    first.call("run", "--target", "staging", "--yes")
    second.call("run", "--target", "prod", "--yes")
    assert not list((two / ".shipway/receipts").glob("shop-staging-*"))


def test_what_to_run_first_has_the_inputs_that_were_given(project: Project) -> None:
    project.write({"shipway.yml": LIFECYCLE + "inputs: {tag: {}}\n"})
    project.commit()
    told = project.call("run", "--yes", "--target", "prod", "--input", "tag=1 2", "--json", code=5).json["error"]
    assert "`shipway run --target staging --input 'tag=1 2'`" in told["next"]
