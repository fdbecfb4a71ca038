"""Case 54 at the forges: of all that is sent to GitHub, Gitea and GitLab, request by request, nothing holds a form of a secret."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipway.canonical import Json
from tests.forge.kinds import KINDS, Kind
from tests.forge.server import ForgeServer, GitHubServer
from tests.preview_pulls import PreviewShop
from tests.test_action_command import PUSH, Job, git
from tests.test_lacking import ForeignJob
from tests.test_masked_sinks import PASSWORD, TOKEN, assert_clean, declaration, environment
from tests.test_preview_pull_requests import shop as shop


def texts(document: Json) -> Iterator[str]:
    """Every text in a document, names of members too."""
    if isinstance(document, dict):
        for name, member in document.items():
            yield name
            yield from texts(member)
    elif isinstance(document, list):
        for member in document:
            yield from texts(member)
    else:
        yield str(document)


def sent(server: ForgeServer) -> dict[str, str]:
    """What each request said, by its method and path: as it was sent, and as it is read there."""
    found = {}
    for place, seen in enumerate(server.requests):
        body = seen.body.decode()
        said = [*seen.query.values(), body, *(texts(json.loads(body)) if body else ())]
        found[f"{place} {seen.method} {seen.path}"] = "\n".join((seen.path, *said))
    return found


def assert_reached(told: dict[str, str], *sinks: str) -> None:
    for sink in sinks:
        assert any(sink in place for place in told), f"nothing was sent to {sink}"


def test_case_54_comment_check_annotation_and_deployment_on_github(tmp_path: Path, github: GitHubServer) -> None:
    github.world.tokens["ghs_job"].permissions["deployments"] = "write"
    job = Job(tmp_path / "job", github, "push", PUSH)
    (job.checkout / "shipway.yml").write_text(declaration())
    git(job.checkout, "commit", "-qam", "second")
    job.env |= environment() | {"GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch"}
    github.world.pulls[7].merge_commit = job.env["GITHUB_SHA"] = git(job.checkout, "rev-parse", "HEAD").strip()
    job.part("run")
    job.report()
    told = sent(github)
    assert_reached(told, "POST /repos/octo/shop/issues/7/comments", "POST /repos/octo/shop/check-runs")
    assert_reached(told, "POST /repos/octo/shop/deployments", "/statuses")
    assert [check.annotations for check in github.world.checks] != [[]]
    [deployment] = github.world.deployments
    assert [status["state"] for status in deployment.statuses] == ["in_progress", "failure"]
    assert "***" in "".join(told.values())
    assert_clean(told)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name != "github"], ids=lambda kind: kind.name)
def test_case_54_comment_and_commit_status_on_other_forges(kind: Kind, tmp_path: Path) -> None:
    with kind.server() as server:
        job = ForeignJob(kind, server, tmp_path, declaration())
        server.world.pulls[7].merge_commit = job.commit
        job.call("action", "run", push=True, more=environment())
        if kind.name != "gitlab":  # which reports by itself
            job.report()
        told = sent(server)
        assert_reached(told, kind.list_path.rstrip("$"), "/statuses/")
        assert "***" in "".join(told.values())
        assert_clean(told)
        assert server.violations == []


DRIFTING = """\
version: 1
name: web
secrets: [PASSWORD]
steps:
  - id: name
    env_from: [FORMS_*]
    run: printf 'it=page-%s\\n' "$FORMS_TOKEN" >> "$SHIPWAY_OUTPUT"
    outputs: {it: string}
    lasting: false
  - id: page
    uses: file.write
    with: {path: "${{ steps.name.outputs.it }}", content: "all is well"}
  - id: db
    env: {PASSWORD: "${{ secrets.PASSWORD }}"}
    env_from: [FORMS_*]
    run: touch ../world/db
    undo: rm ../world/db
    verify: |
      printf '%s\\n' "$PASSWORD" "$FORMS_ALL" >&2; printf '%s\\n' "$PASSWORD" "$FORMS_ALL"
      test -e ../world/db || exit "$(cat ../world/code)"
"""


def test_case_54_the_issue_about_drift(tmp_path: Path, github: GitHubServer) -> None:
    github.world.tokens["ghs_job"].permissions["issues"] = "write"
    world = tmp_path / "job" / "world"
    job = Job(tmp_path / "job", github, "schedule", {"repository": PUSH["repository"], "schedule": "17 4 * * *"})
    world.mkdir()
    (job.checkout / "shipway.yml").write_text(DRIFTING)
    job.env |= environment() | {"GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch"}
    ran = job.part("run", GITHUB_EVENT_NAME="push", GITHUB_SHA=git(job.checkout, "rev-parse", "HEAD").strip())
    assert ran.returncode == 0, ran.stdout + ran.stderr
    # It is gone, then nobody can tell; and a file whose name holds a credential stands there with another content.
    (world / "db").unlink()
    (job.checkout / f"page-{TOKEN}").write_text(PASSWORD)
    for code in ("3", "5"):
        (world / "code").write_text(code)
        done = job.part("run")
        assert done.returncode == 3, done.stdout + done.stderr
    told = sent(github)
    assert_reached(told, "POST /repos/octo/shop/issues")
    assert "page-***" in github.world.issues[0].body
    assert_clean(told | {"summary": job.summary})


def test_case_54_the_comment_about_an_environment(shop: PreviewShop) -> None:
    before = 'run: echo "before $SHIPWAY_COMMIT $KEY" >> "$MARK"\n'
    text = (shop.work / "shipway.yml").read_text()
    assert before in text
    failing = """run: printf '%s\\n' "$KEY"; printf %s "$KEY" | base64; printf '%s\\n' "$KEY" >&2; exit 3\n"""
    text = text.replace(before, failing)
    shop.push({"shipway.yml": text})
    done = shop.event("opened", PREVIEW_KEY=PASSWORD)
    assert done.code != 0
    assert "***" in done.text
    told = sent(shop.github)
    assert_reached(told, "POST /repos/octo/shop/issues/7/comments", "/deployments")
    assert_clean(told)
