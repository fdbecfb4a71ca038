"""The one issue per lifecycle and target that tells of drift: the comment's protocol, on an issue. Draws no body.

What an issue says decides nothing but whether that same issue is overwritten.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from shipway.forges import limits
from shipway.forges.forge import Attempt, Author, BodyTooLong, Comment, ForgeError, Outcome, Posted
from shipway.forges.sticky import Marker, Note, lines_of, marker_of, order_of, own_comments, parse_marker, with_marker
from shipway.redaction import Redacted

Body = Callable[[int], Redacted]
"""The report in at most so many UTF-8 bytes, without the marker."""


class Issue(Struct, frozen=True):
    """An issue as the forge holds it; `text` is what it says, by whom, and when it was edited last."""

    number: int
    title: str
    is_open: bool
    text: Comment


class Issues(Protocol):
    """What is asked of a forge that has issues. Every method raises ForgeError, after its own retries, and nothing else."""

    @property
    def requests(self) -> int:
        """How many requests were sent so far, retries included."""

    def whoami(self) -> Author | None:
        """The account that our issues will have, or None where the forge does not tell."""

    def attempt(self, run_id: str) -> Attempt:
        """The latest attempt of a run of this repository."""

    def own_issues(self) -> Sequence[Issue]:
        """Every issue of this account, open or closed."""

    def create_issue(self, title: str, body: Redacted) -> Issue:
        """Opens an issue. Where the answer is lost, one of ours with this body is the one."""

    def edit_issue(self, issue: Issue, title: str, body: Redacted, *, is_open: bool) -> Issue:
        """Replaces title and body of an issue, and opens or closes it."""

    def close_issue(self, issue: Issue) -> None:
        """Closes an issue that another one of ours stands for."""


def settle(forge: Issues, note: Note, title: str, body: Body, *, is_open: bool) -> Posted:
    """Leaves one issue that says `body` and is open or closed; none is opened to be closed. Raises nothing that a forge can cause.

    `note.effect` is a digest of what is told, `note.pull_request` means nothing.
    """
    try:
        return _settle(forge, note, title, body, is_open=is_open)
    except ForgeError as error:
        why = f"{error.message}; {error.next}" if error.next else error.message
        return Posted(Outcome.DEFERRED, why=why, reason=error.reason, requests=forge.requests)


def _settle(forge: Issues, note: Note, title: str, body: Body, *, is_open: bool) -> Posted:
    attempt = forge.attempt(note.run)
    if attempt.number > note.attempt:
        return Posted(
            Outcome.SUPERSEDED, why=f"attempt {attempt.number} of this run has begun", requests=forge.requests
        )
    marker = marker_of(note, attempt.started_at)
    author = forge.whoami()
    if author is None:
        raise ForgeError("the forge does not tell which account this token is, so that no issue can be called our own")
    own = _own(forge.own_issues(), author, marker)
    posted = _write(forge, own, marker, title, body, is_open=is_open)
    if posted.outcome is not Outcome.CREATED:
        return posted
    # Another run may have opened one at the same time: what each of them then does leaves the later one open.
    again = _own(forge.own_issues(), author, marker)
    if [issue.text.url for issue in again if issue.is_open] == [posted.url]:
        return Posted(posted.outcome, posted.url, posted.why, requests=forge.requests)
    settled = _write(forge, again, marker, title, body, is_open=is_open)
    return Posted(posted.outcome if settled.url == posted.url else settled.outcome, settled.url, settled.why)


def _own(issues: Sequence[Issue], author: Author, marker: Marker) -> list[Issue]:
    """Our issues with this identity, the latest report last."""
    texts = {comment.id for comment in own_comments([issue.text for issue in issues], author, marker.id)}
    return sorted((issue for issue in issues if issue.text.id in texts), key=lambda issue: order_of(issue.text))


def _write(forge: Issues, own: Sequence[Issue], marker: Marker, title: str, body: Body, *, is_open: bool) -> Posted:
    latest = own[-1] if own else None
    if latest is not None and order_of(latest.text)[0] > marker.order:
        _close(forge, [issue for issue in own[:-1] if issue.is_open])
        return Posted(Outcome.SUPERSEDED, latest.text.url, "a later run has told already", requests=forge.requests)
    _close(forge, [issue for issue in own[:-1] if issue.is_open])
    if not is_open and (latest is None or not latest.is_open):
        return Posted(Outcome.UNCHANGED, why="nothing drifted, and no issue is open", requests=forge.requests)
    for budget in limits.COMMENT_BUDGETS:
        text = with_marker(body(budget - len(str(marker)) - 2), marker)
        try:
            return _written(forge, latest, marker, title, text, is_open=is_open)
        except BodyTooLong as error:
            too_long = error
    raise too_long


def _written(
    forge: Issues, latest: Issue | None, marker: Marker, title: str, text: Redacted, *, is_open: bool
) -> Posted:
    if latest is None:
        made = forge.create_issue(title, text)
        return Posted(Outcome.CREATED, made.text.url, requests=forge.requests)
    found = parse_marker(latest.text.body)
    is_same = found is not None and found.effect == marker.effect and (latest.title, latest.is_open) == (title, is_open)
    if is_same and lines_of(latest.text.body)[:-1] == lines_of(text)[:-1]:
        return Posted(Outcome.UNCHANGED, latest.text.url, requests=forge.requests)
    edited = forge.edit_issue(latest, title, text, is_open=is_open)
    why = "" if is_open == latest.is_open else "opened again" if is_open else "closed"
    return Posted(Outcome.UPDATED, edited.text.url, why, requests=forge.requests)


def _close(forge: Issues, issues: Sequence[Issue]) -> None:
    for issue in issues:
        forge.close_issue(issue)
