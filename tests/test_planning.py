"""What a plan says of what it cannot know, of secrets, and of nodes by tag: through the command line, on real files."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipway.canonical import Json, object_of
from tests.command_line import Project, make_project
from tests.runs import run

LIFECYCLE = """\
version: 1
name: shop
secrets: [PASSWORD]
steps:
  a: {run: 'true', tags: [deploy]}
  b: {run: 'true', tags: [build]}
  c: {run: 'true', tags: [deploy, late]}
  told: {run: 'echo n=1 >> $SHIPWAY_OUTPUT', plan: 'echo n=1 >> $SHIPWAY_OUTPUT', outputs: {n: string}}
  untold: {run: 'echo m=1 >> $SHIPWAY_OUTPUT', outputs: {m: string}}
  from-told: {uses: file.write, with: {path: told.txt, content: "${{ steps.told.outputs.n }}"}}
  from-untold: {uses: file.write, with: {path: untold.txt, content: "${{ steps.untold.outputs.m }}"}}
  secret: {uses: file.write, with: {path: secret.env, content: "PASSWORD=${{ secrets.PASSWORD }}", mode: "0600"}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with the lifecycle above."""
    made = make_project(tmp_path)
    made.write({"shipway.yml": LIFECYCLE})
    return made


def planned(project: Project, **env: str) -> dict[str, dict[str, Json]]:
    """The nodes of the plan by step name."""
    nodes = project.call("plan", "--json", env=env).json["nodes"]
    return {node["id"].partition("/")[2]: node for node in nodes}


def test_c006_nodes_by_tag_come_in_declared_order(project: Project) -> None:
    assert project.call("graph", "--tag", "deploy", "-q").out == "main/a\nmain/c\n"
    wrong = project.call("graph", "--tag", "deplo", code=2)
    assert "Did you mean `deploy`?" in wrong.err


def test_case_32_g072_a_promise_that_cannot_be_known_is_shown_as_such(project: Project) -> None:
    nodes = planned(project)
    assert nodes["from-told"]["fidelity"] == "predicted"
    assert object_of(nodes["from-told"]["after"])["content"] == "1"
    assert nodes["from-untold"]["fidelity"] == "opaque"
    assert "main/untold" in str(nodes["from-untold"]["why"])
    assert nodes["from-untold"]["slots"] != nodes["from-told"]["slots"]


def test_case_32_what_cannot_be_planned_is_counted_and_never_shown_as_nothing_to_do(project: Project) -> None:
    project.write({"untold.txt": "", "told.txt": "1"})
    nodes = planned(project)
    assert nodes["from-told"]["change"] == "noop", "what a promise is predicted to be is known"
    opaque = {name for name, node in nodes.items() if node["fidelity"] == "opaque"}
    assert opaque >= {"a", "untold", "from-untold"}
    assert not [name for name in opaque if nodes[name]["change"] == "noop"]
    markdown = project.call("plan", "--format", "markdown").out
    for shown in (project.call("plan").out, markdown):
        assert f"{len(opaque)} opaque" in shown


def test_g073_a_secret_that_is_to_be_written_is_planned_by_digest_and_size(project: Project) -> None:
    after = object_of(planned(project, PASSWORD="correct-horse")["secret"]["after"])
    assert after["size"] == len("PASSWORD=correct-horse")
    assert str(after["digest"]).startswith("sha256:")
    assert "correct-horse" not in project.call("plan", "--json", env={"PASSWORD": "correct-horse"}).out


def test_only_a_plan_command_that_failed_is_told_how_plans_look(tmp_path: Path) -> None:
    failed = run(tmp_path, "steps: [{run: 'true', plan: exit 3}]", execute=False).error
    assert failed.next.startswith("a plan must be able to look without changing anything")
    refused = run(tmp_path, "steps: [{uses: pkg.install, with: {manager: atp, packages: [x]}}]", execute=False).error
    assert refused.next == "put that right, then plan again"
