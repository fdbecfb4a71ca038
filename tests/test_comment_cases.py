"""The first acceptance cases of the comment, from the plan to what stands on the forge, in the log and in the artifact."""

from __future__ import annotations

import re
from pathlib import Path

from shipway.canonical import canonical_bytes
from shipway.commands.documents import read_document
from shipway.forges.forge import Outcome
from shipway.forges.sticky import Note, Purpose, parse_marker, post
from shipway.plan import Plan
from shipway.render.blocks import Links
from shipway.render.plan_comment import plan_comment
from tests.forge.server import GitHubServer
from tests.forge.waiting import Clock, forge_of
from tests.hostile import nasty_plan, obeyed
from tests.markdown_page import read_page
from tests.render_samples import large_plan
from tests.test_action_command import PUSH, Job, pull_request

HEAD = "a" * 40
RUN_URL = "https://github.com/octo/shop/actions/runs/77"
LINKS = Links(
    RUN_URL, "run 77, attempt 1", "41", f"{RUN_URL}/artifacts/41", "https://github.com/octo/shop/blob/a/s.yml"
)

SHOUTS = """\
version: 1
name: shop
steps:
  - id: shout
    plan: sh shout.sh
    run: sh shout.sh
    lasting: false
"""
SHOUT = r"""
printf '::set-output name=outcome::forged\n::add-mask::e\n##[group]forged\n'
printf ' ::error::forged\n::stop-commands::x\n\r::warning::forged\n\033[31m::notice::forged\n' >&2
"""


def posted_body(github: GitHubServer, plan: Plan) -> str:
    note = Note(7, plan.lifecycle, plan.target, Purpose.PLAN, "77", 1, HEAD, plan.effect)
    posted = post(forge_of(github, Clock()), note, lambda budget: plan_comment(plan, budget=budget, links=LINKS))
    assert posted.outcome is Outcome.CREATED
    (written,) = github.world.pulls[7].comments
    return written.body


def test_case_1_five_megabytes_of_traps_are_one_comment_of_60_000_bytes_with_all_that_counts(
    github: GitHubServer,
) -> None:
    plan = nasty_plan(5_000_000)
    body = posted_body(github, plan)
    assert len(body.encode()) <= 60_000
    assert plan.digest in body and plan.effect[:19] in body
    third = len(plan.nodes) // 3
    assert re.search(rf"{third + len(plan.nodes) % 3} delete|{third} noop", body)
    assert {RUN_URL, LINKS.artifact_url, LINKS.declaration_url} == set(read_page(body).links)
    marker = parse_marker(body)
    assert marker is not None and marker.effect == plan.effect


def test_case_2_one_line_only_matches_the_marker_and_nothing_is_rendered_or_left_open(github: GitHubServer) -> None:
    body = posted_body(github, nasty_plan(5_000_000))
    assert len(re.findall(r"^<!-- shipway:v1 .*$", body, re.MULTILINE)) == 1
    page = read_page(body.rpartition("\n")[0])
    assert page.faults == []
    assert "img" not in page.tags
    assert not [text for text in page.text if re.search(r"@org|#12|!\[", text)]


def test_case_3_the_log_of_a_plan_and_of_a_run_holds_no_command_that_the_runner_would_obey(
    tmp_path: Path, github: GitHubServer
) -> None:
    planned = Job(tmp_path / "plan", github, "pull_request", pull_request())
    executed = Job(tmp_path / "run", github, "push", PUSH)
    executed.env |= {"GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch"}
    for job in (planned, executed):
        (job.checkout / "shipway.yml").write_text(SHOUTS)
        (job.checkout / "shout.sh").write_text(SHOUT)
        done = job.part("run")
        assert done.returncode == 0, done.stderr
        said = done.stdout + done.stderr
        assert "forged" in said, "the step did not speak at all"
        assert set(obeyed(said)) <= {"stop-commands", "group", "endgroup"}


def test_case_4_the_artifact_is_the_canonical_plan_and_the_comment_says_what_it_leaves_out(
    tmp_path: Path, github: GitHubServer
) -> None:
    job = Job(tmp_path / "job", github, "pull_request", pull_request())
    assert job.part("run").returncode == 0
    (file,) = [path for path in Path(job.outputs["artifact-path"]).iterdir() if path.name == "plan.json"]
    document = read_document(file)
    assert isinstance(document, Plan)
    assert file.read_bytes() == canonical_bytes(document.document)
    plan = large_plan(5_000)
    body = posted_body(github, plan)
    own_rows = sum(line.startswith("| `") for line in body.split("\n"))
    assert f"{len(plan.nodes) - own_rows} nodes are not shown one by one here" in body
