"""The one comment per lifecycle, target and purpose, against a GitHub that keeps state."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shipway.errors import Reason
from shipway.forges import limits
from shipway.forges.forge import Outcome, Posted
from shipway.forges.sticky import Marker, Note, Purpose, comment_id, parse_marker, post
from shipway.redaction import Redacted, trusted
from tests.forge.server import Break, GitHubServer, Reply
from tests.forge.waiting import Clock, forge_of
from tests.forge.world import JOB_ID, JOB_LOGIN, START, Grant, Run, World, Written

HEAD = "a" * 40
EFFECT = "sha256:" + "e" * 64
OLD = "2026-11-21T08:00:00Z"
LATER = "2026-11-22T08:00:01Z"

NOTE = Note(
    pull_request=7, lifecycle="web", target="prod", purpose=Purpose.PLAN, run="77", attempt=1, head=HEAD, effect=EFFECT
)


def note(*, target: str = "prod", run: str = "77", attempt: int = 1, head: str = HEAD) -> Note:
    return Note(7, "web", target, Purpose.PLAN, run, attempt, head, EFFECT)


def marker(
    *, at: str = OLD, run: int = 5, attempt: int = 1, target: str = "prod", head: str = HEAD, effect: str = EFFECT
) -> Marker:
    return Marker(comment_id("web", target, Purpose.PLAN), at, run, attempt, head, effect)


def body(text: str = "the plan") -> Callable[[int], Redacted]:
    return lambda _budget_bytes: trusted(text)


def ours(world: World, found: Marker, text: str = "an older plan") -> Written:
    return world.comment(7, JOB_LOGIN, f"{text}\n\n{found}")


def report(
    github: GitHubServer, what: Note = NOTE, text: str = "the plan", clock: Clock | None = None, timeout_s: float = 5.0
) -> Posted:
    return post(forge_of(github, clock or Clock(), timeout_s=timeout_s), what, body(text))


def texts(github: GitHubServer) -> list[str]:
    return [comment.body.split("\n")[0] for comment in github.world.pulls[7].comments]


def test_the_first_report_is_one_comment_with_the_marker_as_its_last_line(github: GitHubServer) -> None:
    posted = report(github)
    (written,) = github.world.pulls[7].comments
    assert posted.outcome is Outcome.CREATED
    assert posted.url.endswith(f"-{written.id}")
    assert written.body == f"the plan\n\n{marker(at=START, run=77)}"
    assert posted.requests == len(github.requests) <= 8


def test_l94_a_second_push_edits_the_comment(github: GitHubServer) -> None:
    report(github)
    github.world.pulls[7].head = "b" * 40
    github.world.runs[78] = Run(78, started_at=LATER)
    posted = report(github, note(run="78", head="b" * 40), "the second plan")
    assert posted.outcome is Outcome.UPDATED
    assert texts(github) == ["the second plan"]
    assert posted.requests <= 8


def test_case_6_our_comment_on_the_third_page_is_found_in_at_most_11_requests(github: GitHubServer) -> None:
    for index in range(249):
        github.world.comment(7, "octocat", f"remark {index}")
    own = ours(github.world, marker())
    posted = report(github)
    assert posted.outcome is Outcome.UPDATED
    assert own.body.startswith("the plan")
    assert len(github.world.pulls[7].comments) == 250
    assert posted.requests <= 11


@pytest.mark.parametrize(
    ("login", "number", "type"),
    [("octocat", 583231, "User"), ("other[bot]", 999, "Bot"), ("github-actions", 1234, "User"), ("x", JOB_ID, "User")],
    ids=["a user", "another bot", "a login like the bot's slug", "our id as another type"],
)
def test_case_7_a_marker_of_another_author_is_left_alone(
    github: GitHubServer, login: str, number: int, type: str
) -> None:
    github.world.account(login, number, type)
    foreign = github.world.comment(7, login, f"APPROVED\n\n{marker()}")
    assert report(github).outcome is Outcome.CREATED
    assert foreign.edits == 0
    assert foreign.minimised == ""
    assert texts(github) == ["APPROVED", "the plan"]


def test_case_8_a_marker_quoted_by_the_same_bot_is_no_match(github: GitHubServer) -> None:
    quoting = github.world.comment(7, JOB_LOGIN, f"> as said:\n{marker()}\nand so on")
    inline = github.world.comment(7, JOB_LOGIN, f"see {marker()}")
    assert report(github).outcome is Outcome.CREATED
    assert quoting.edits == inline.edits == 0


def test_case_9_a_minimised_comment_stays_so_and_a_new_one_is_created(github: GitHubServer) -> None:
    hidden = ours(github.world, marker())
    hidden.minimised = "resolved"
    assert report(github).outcome is Outcome.CREATED
    assert (hidden.edits, hidden.minimised) == (0, "resolved")
    assert texts(github) == ["an older plan", "the plan"]


@pytest.mark.parametrize("newer_first", [True, False])
def test_case_10_of_two_own_comments_the_newer_is_edited_and_the_other_minimised(
    github: GitHubServer, newer_first: bool
) -> None:
    ages = [marker(run=6), marker(run=5)] if newer_first else [marker(run=5), marker(run=6)]
    written = [ours(github.world, found) for found in ages]
    newer, older = written if newer_first else reversed(written)
    posted = report(github)
    assert posted.outcome is Outcome.UPDATED
    assert newer.body.startswith("the plan")
    assert (older.edits, older.minimised) == (0, "outdated")
    assert posted.requests <= 9


def test_case_11_a_later_started_run_keeps_its_report(github: GitHubServer) -> None:
    github.world.runs[78] = Run(78, started_at=LATER)
    assert report(github, note(run="78"), "the later plan").outcome is Outcome.CREATED
    posted = report(github, note(run="77"), "the earlier plan")
    assert posted.outcome is Outcome.SUPERSEDED
    assert texts(github) == ["the later plan"]


def test_case_11_runs_of_one_moment_are_ordered_by_their_id(github: GitHubServer) -> None:
    github.world.runs[78] = Run(78)
    report(github, note(run="78"), "the later plan")
    assert report(github, note(run="77"), "the earlier plan").outcome is Outcome.SUPERSEDED


def test_case_12_a_later_attempt_replaces_the_earlier_one(github: GitHubServer) -> None:
    report(github, text="attempt 1")
    github.world.runs[77] = Run(77, attempt=2, started_at=LATER)
    assert report(github, note(attempt=2), "attempt 2").outcome is Outcome.UPDATED
    assert texts(github) == ["attempt 2"]


def test_case_12_an_earlier_attempt_writes_nothing_once_a_later_one_has_begun(github: GitHubServer) -> None:
    github.world.runs[77] = Run(77, attempt=2, started_at=LATER)
    assert report(github, note(attempt=1)).outcome is Outcome.SUPERSEDED
    assert github.writes == []


def test_case_13_nothing_is_written_once_the_head_has_moved(github: GitHubServer) -> None:
    github.world.pulls[7].head = "b" * 40
    posted = report(github)
    assert posted.outcome is Outcome.SUPERSEDED
    assert "b" * 40 in posted.why
    assert github.writes == []


def test_case_14_targets_with_a_common_beginning_have_their_own_comments(github: GitHubServer) -> None:
    for target in ("dev", "dev-tokyo", "non-prod", "prod"):
        assert report(github, note(target=target), f"plan of {target}").outcome is Outcome.CREATED
    assert texts(github) == ["plan of dev", "plan of dev-tokyo", "plan of non-prod", "plan of prod"]


def test_case_15_an_equal_body_is_not_written_again(github: GitHubServer) -> None:
    report(github)
    github.requests.clear()
    github.world.runs[78] = Run(78, started_at=LATER)
    assert report(github, note(run="78")).outcome is Outcome.UNCHANGED
    assert github.writes == []


def test_case_15_line_ends_of_a_web_form_are_no_difference(github: GitHubServer) -> None:
    written = ours(github.world, marker(), "the\r\nplan")
    assert report(github, text="the\nplan").outcome is Outcome.UNCHANGED
    assert written.edits == 0


@pytest.mark.parametrize(
    "edited",
    [
        f"the plan\n\napproved\n\n{marker(at=START, run=77)}",
        f"the plan\n\n{marker(at=START, run=77, effect='sha256:' + '0' * 64)}",
        f"the plan\n\n{marker(at='2099-01-01T00:00:00Z', run=99)}",
    ],
    ids=["approved", "another effect", "a start in the future"],
)
def test_case_16_what_a_maintainer_edits_decides_nothing_and_is_restored(github: GitHubServer, edited: str) -> None:
    report(github)
    (written,) = github.world.pulls[7].comments
    github.world.edit(written, edited.replace("the plan", "the tampered plan"))
    github.world.runs[78] = Run(78, started_at=LATER)
    assert report(github, note(run="78")).outcome is Outcome.UPDATED
    assert written.body == f"the plan\n\n{marker(at=LATER, run=78)}"


def test_case_16_a_changed_effect_alone_is_restored(github: GitHubServer) -> None:
    written = ours(github.world, marker(effect="sha256:" + "0" * 64), "the plan")
    assert report(github).outcome is Outcome.UPDATED
    found = parse_marker(written.body)
    assert found is not None
    assert found.effect == EFFECT


def test_case_17_a_locked_conversation_defers_the_report_with_its_cause(github: GitHubServer) -> None:
    github.world.pulls[7].is_locked = True
    posted = report(github)
    assert posted.outcome is Outcome.DEFERRED
    assert posted.reason is Reason.FORGE_PERMISSION
    assert "issue is locked" in posted.why


def test_case_17_a_full_pull_request_defers_the_report_with_its_cause(github: GitHubServer) -> None:
    github.world.comments_max = 2
    for _ in range(2):
        github.world.comment(7, "octocat", "remark")
    posted = report(github)
    assert posted.outcome is Outcome.DEFERRED
    assert "more than 2500 comments" in posted.why


@pytest.mark.parametrize("status", [404, 410, 422])
@pytest.mark.parametrize("path", ["/graphql", "/comments$", "/comments/[0-9]+"])
def test_l99_no_refusal_of_the_forge_is_more_than_a_deferral(github: GitHubServer, path: str, status: int) -> None:
    ours(github.world, marker())
    method = {"/graphql": "POST", "/comments$": "GET"}.get(path, "PATCH")
    github.fault(method, path, Reply(status, {"message": "gone"}), times=9)
    posted = report(github)
    assert posted.outcome is Outcome.DEFERRED
    assert str(status) in posted.why


def test_case_65_a_lost_answer_posts_no_second_comment(github: GitHubServer) -> None:
    github.fault("POST", "/comments$", Break.LOSE)
    assert report(github).outcome is Outcome.CREATED
    assert texts(github) == ["the plan"]


def test_case_65_a_post_that_never_arrived_is_repeated(github: GitHubServer) -> None:
    github.fault("POST", "/comments$", Break.DROP, times=2)
    assert report(github).outcome is Outcome.CREATED
    assert texts(github) == ["the plan"]


def test_case_65_a_server_error_after_the_work_was_done_posts_no_second_comment(github: GitHubServer) -> None:
    github.fault("POST", "/comments$", Reply(502, {"message": "bad gateway"}))
    github.world.runs[77] = Run(77, started_at=START)
    own = github.world.comment(7, JOB_LOGIN, f"the plan\n\n{marker(at=START, run=77)}")
    github.fault("GET", "/comments$", Reply(200, []))
    assert report(github).outcome is Outcome.CREATED
    assert len(github.world.pulls[7].comments) == 1
    assert own.edits == 0


def test_case_65_a_forge_that_never_answers_defers_the_report(github: GitHubServer) -> None:
    clock = Clock()
    github.fault("GET", "/comments$", Break.HANG, times=99)
    posted = report(github, clock=clock, timeout_s=0.05)
    assert posted.outcome is Outcome.DEFERRED
    assert posted.reason is Reason.FORGE_UNREACHABLE
    assert clock.waits == [1, 2, 4]


def test_case_66_a_body_that_is_too_long_is_asked_for_again_in_less(github: GitHubServer) -> None:
    github.world.comment_bytes_max = 40_000
    asked: list[int] = []

    def draw(budget_bytes: int) -> Redacted:
        asked.append(budget_bytes)
        return trusted("x" * budget_bytes)

    posted = post(forge_of(github, Clock()), NOTE, draw)
    assert posted.outcome is Outcome.CREATED
    assert len(github.world.pulls[7].comments[0].body.encode()) == limits.COMMENT_BUDGETS[1]
    assert asked == [budget - len(str(marker(run=77))) - 2 for budget in limits.COMMENT_BUDGETS[:2]]


def test_case_66_a_body_that_never_fits_is_deferred(github: GitHubServer) -> None:
    github.world.comment_bytes_max = 10
    posted = report(github)
    assert posted.outcome is Outcome.DEFERRED
    assert "too long" in posted.why
    assert texts(github) == []


def test_case_68_a_missing_permission_is_named_and_not_tried_again(github: GitHubServer) -> None:
    github.world.tokens["ghs_job"] = Grant(JOB_LOGIN, {"pull-requests": "read", "actions": "read"})
    posted = report(github)
    assert posted.outcome is Outcome.DEFERRED
    assert posted.reason is Reason.FORGE_PERMISSION
    assert "pull_requests=write" in posted.why
    assert len(github.writes) == 1


def test_an_identity_that_cannot_be_told_edits_nothing(github: GitHubServer) -> None:
    github.world.tokens["ghs_job"].tells_viewer = False
    own = ours(github.world, marker())
    posted = report(github)
    assert posted.outcome is Outcome.DEFERRED
    assert posted.reason is Reason.FORGE_PERMISSION
    assert own.edits == 0
    assert github.writes == []


def test_a_rival_that_created_at_the_same_time_and_is_older_is_minimised(github: GitHubServer) -> None:
    rivals: list[Written] = []
    github.after("GET", "/comments$", lambda world: rivals.append(ours(world, marker(at=START, run=76), "a rival's")))
    posted = report(github)
    assert posted.outcome is Outcome.CREATED
    assert rivals[0].minimised == "outdated"
    assert [c.minimised for c in github.world.pulls[7].comments] == ["outdated", ""]


def test_a_rival_that_created_at_the_same_time_and_is_later_stays(github: GitHubServer) -> None:
    github.after("GET", "/comments$", lambda world: ours(world, marker(at=START, run=78), "a rival's"))
    posted = report(github)
    assert posted.outcome is Outcome.SUPERSEDED
    assert [(c.body[:5], c.minimised) for c in github.world.pulls[7].comments] == [("a riv", ""), ("the p", "outdated")]


def test_a_rival_that_wrote_over_us_with_an_older_report_is_written_over_once(github: GitHubServer) -> None:
    own = ours(github.world, marker())
    stale = f"stale\n\n{marker(at=START, run=76)}"
    github.after("PATCH", "/comments/", lambda world: world.edit(own, stale))
    assert report(github).outcome is Outcome.UPDATED
    assert own.body.startswith("the plan")


def test_an_older_comment_that_cannot_be_minimised_is_a_remark(github: GitHubServer) -> None:
    ours(github.world, marker(run=5))
    ours(github.world, marker(run=6))
    github.after("PATCH", "/comments/", lambda _world: github.fault("POST", "/graphql", Reply(403, {"message": "no"})))
    posted = report(github)
    assert posted.outcome is Outcome.UPDATED
    assert "not hidden" in posted.why


def test_a_run_that_has_no_number_posts_nothing(github: GitHubServer) -> None:
    github.world.runs[0] = Run(0)
    posted = report(github, note(run="0"))
    assert posted.outcome is Outcome.DEFERRED
    assert github.writes == []
