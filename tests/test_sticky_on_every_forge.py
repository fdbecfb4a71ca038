"""The protocol of the sticky comment, the same on each forge: one implementation, and servers that keep state."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shipway.errors import Reason
from shipway.forges.forge import Capability, Outcome, Posted
from shipway.forges.sticky import Marker, Note, Purpose, comment_id, parse_marker, post
from shipway.redaction import Redacted, trusted
from tests.forge.kinds import Running
from tests.forge.server import Break, Reply
from tests.forge.waiting import Clock
from tests.forge.world import START, Run

HEAD = "a" * 40
EFFECT = "sha256:" + "e" * 64
OLD = "2026-11-21T08:00:00Z"
LATER = "2026-11-22T08:00:01Z"


def note(running: Running, *, target: str = "prod", run: int = 77, head: str = HEAD) -> Note:
    return Note(7, "web", target, Purpose.PLAN, str(run), running.attempt(run), head, EFFECT)


def marker(*, at: str = OLD, run: int = 5, attempt: int = 1, effect: str = EFFECT) -> Marker:
    return Marker(comment_id("web", "prod", Purpose.PLAN), at, run, attempt, HEAD, effect)


def body(text: str) -> Callable[[int], Redacted]:
    return lambda _budget_bytes: trusted(text)


def mark(running: Running, *, at: str = START, run: int = 77, effect: str = EFFECT) -> Marker:
    return marker(at=at, run=run, attempt=running.attempt(run), effect=effect)


def report(
    running: Running, text: str = "the plan", *, target: str = "prod", run: int = 77, head: str = HEAD
) -> Posted:
    what = note(running, target=target, run=run, head=head)
    return post(running.forge(more=running.job(run)), what, body(text))


def texts(running: Running) -> list[str]:
    return [comment.body.split("\n")[0] for comment in running.comments]


def test_the_first_report_is_one_comment_with_the_marker_as_its_last_line(running: Running) -> None:
    posted = report(running)
    (written,) = running.comments
    assert posted.outcome is Outcome.CREATED
    assert str(written.id) in posted.url
    assert written.body == f"the plan\n\n{mark(running)}"
    assert posted.requests == len(running.server.requests) <= 8


def test_a_second_push_edits_the_comment(running: Running) -> None:
    report(running)
    running.server.world.pulls[7].head = "b" * 40
    running.server.world.runs[78] = Run(78, started_at=LATER)
    assert report(running, "the second plan", run=78, head="b" * 40).outcome is Outcome.UPDATED
    assert texts(running) == ["the second plan"]


def test_our_comment_is_found_among_250(running: Running) -> None:
    for index in range(249):
        running.server.world.comment(7, "octocat", f"remark {index}")
    own = running.ours(f"an older plan\n\n{marker()}")
    posted = report(running)
    assert posted.outcome is Outcome.UPDATED
    assert own.body.startswith("the plan")
    assert len(running.comments) == 250
    assert posted.requests <= 11


def test_a_marker_of_another_author_is_left_alone(running: Running) -> None:
    foreign = running.server.world.comment(7, "octocat", f"APPROVED\n\n{marker()}")
    assert report(running).outcome is Outcome.CREATED
    assert foreign.edits == 0
    assert texts(running) == ["APPROVED", "the plan"]


def test_a_marker_quoted_by_the_same_account_is_no_match(running: Running) -> None:
    quoting = running.ours(f"> as said:\n{marker()}\nand so on")
    assert report(running).outcome is Outcome.CREATED
    assert quoting.edits == 0


def test_of_two_own_comments_the_newer_is_edited_and_the_other_hidden_or_folded_once(running: Running) -> None:
    older, newer = running.ours(f"old\n\n{marker(run=5)}"), running.ours(f"newer\n\n{marker(run=6)}")
    assert report(running).outcome is Outcome.UPDATED
    assert newer.body.startswith("the plan")
    if Capability.HIDING in running.forge().lacks:
        assert older.body.startswith("<details><summary>An older report</summary>\n\nold\n")
        assert parse_marker(older.body) is None
    else:
        assert older.minimised == "outdated"
    running.server.requests.clear()
    assert report(running).outcome is Outcome.UNCHANGED
    assert running.server.writes == []


def test_a_later_started_run_keeps_its_report(running: Running) -> None:
    running.server.world.runs[78] = Run(78, started_at=LATER)
    assert report(running, "the later plan", run=78).outcome is Outcome.CREATED
    assert report(running, "the earlier plan").outcome is Outcome.SUPERSEDED
    assert texts(running) == ["the later plan"]


def test_nothing_is_written_once_the_head_has_moved(running: Running) -> None:
    running.server.world.pulls[7].head = "b" * 40
    posted = report(running)
    assert posted.outcome is Outcome.SUPERSEDED
    assert "b" * 40 in posted.why
    assert running.server.writes == []


def test_targets_with_a_common_beginning_have_their_own_comments(running: Running) -> None:
    for target in ("dev", "dev-tokyo", "non-prod", "prod"):
        assert report(running, f"plan of {target}", target=target).outcome is Outcome.CREATED
    assert len(running.comments) == 4


def test_an_equal_body_is_not_written_again(running: Running) -> None:
    report(running)
    running.server.requests.clear()
    running.server.world.runs[78] = Run(78, started_at=LATER)
    assert report(running, run=78).outcome is Outcome.UNCHANGED
    assert running.server.writes == []


@pytest.mark.parametrize(
    "edited",
    [
        f"the plan\n\napproved\n\n{marker(at=START, run=77)}",
        f"the plan\n\n{marker(at=START, run=77, effect='sha256:' + '0' * 64)}",
        f"the plan\n\n{marker(at='2099-01-01T00:00:00Z', run=99)}",
    ],
    ids=["approved", "another effect", "a start in the future"],
)
def test_what_someone_edits_decides_nothing_and_is_restored(running: Running, edited: str) -> None:
    report(running)
    (written,) = running.comments
    running.server.world.edit(written, edited.replace("the plan", "the tampered plan"))
    running.server.world.runs[78] = Run(78, started_at=LATER)
    assert report(running, run=78).outcome is Outcome.UPDATED
    assert written.body == f"the plan\n\n{mark(running, at=LATER, run=78)}"


def test_a_lost_answer_posts_no_second_comment(running: Running) -> None:
    running.server.fault("POST", running.kind.list_path, Break.LOSE)
    assert report(running).outcome is Outcome.CREATED
    assert texts(running) == ["the plan"]


def test_a_post_that_never_arrived_is_repeated(running: Running) -> None:
    running.server.fault("POST", running.kind.list_path, Break.DROP, times=2)
    assert report(running).outcome is Outcome.CREATED
    assert texts(running) == ["the plan"]


@pytest.mark.parametrize("status", [404, 410, 422])
def test_no_refusal_of_the_forge_is_more_than_a_deferral(running: Running, status: int) -> None:
    running.ours(f"an older plan\n\n{marker()}")
    running.server.fault(running.kind.edit_method, running.kind.edit_path, Reply(status, {"message": "gone"}), times=9)
    posted = report(running)
    assert posted.outcome is Outcome.DEFERRED
    assert str(status) in posted.why


def test_a_body_that_is_too_long_is_asked_for_again_in_less(running: Running) -> None:
    words = {"message": "Body is too long (maximum is 65536 characters)"}
    status = 400 if running.kind.name == "gitlab" else 422
    running.server.fault("POST", running.kind.list_path, Reply(status, words))
    asked: list[int] = []

    def draw(budget_bytes: int) -> Redacted:
        asked.append(budget_bytes)
        return trusted("x" * budget_bytes)

    assert post(running.forge(), note(running), draw).outcome is Outcome.CREATED
    assert len(asked) == 2
    assert asked[1] < asked[0]


def test_a_missing_permission_is_named_and_not_tried_again(running: Running) -> None:
    (grant,) = running.server.world.tokens.values()
    grant.permissions.update({name: "read" for name in grant.permissions if name != "actions"})
    posted = report(running)
    assert posted.outcome is Outcome.DEFERRED
    assert posted.reason is Reason.FORGE_PERMISSION
    assert len(running.server.writes) == 1


def test_an_identity_that_cannot_be_told_edits_nothing(running: Running) -> None:
    (grant,) = running.server.world.tokens.values()
    grant.tells_viewer = False
    own = running.ours(f"an older plan\n\n{marker()}")
    assert report(running).outcome is Outcome.DEFERRED
    assert own.edits == 0
    assert running.server.writes == []


def test_a_rival_that_created_at_the_same_time_and_is_later_stays(running: Running) -> None:
    running.server.after("GET", running.kind.list_path, lambda _: running.ours(f"a rival's\n\n{mark(running, run=78)}"))
    assert report(running).outcome is Outcome.SUPERSEDED
    rival, ours = running.comments
    assert (rival.edits, rival.body[:5]) == (0, "a riv")
    assert ours.minimised == "outdated" or parse_marker(ours.body) is None


def test_a_limit_is_waited_for(running: Running) -> None:
    clock = Clock()
    running.server.fault("POST", running.kind.list_path, Reply(429, {"message": "slow down"}, {"Retry-After": "7"}))
    assert post(running.forge(clock), note(running), body("the plan")).outcome is Outcome.CREATED
    assert 7 in clock.waits
