"""The one comment per lifecycle, target and purpose: how it is found, and whether it is written. Draws no body.

What a comment says decides nothing but whether that same comment is overwritten.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from hashlib import sha256

from msgspec import Struct

from shipway.canonical import canonical_bytes
from shipway.forges import limits
from shipway.forges.forge import (
    Attempt,
    Author,
    BodyTooLong,
    Capability,
    Comment,
    Forge,
    ForgeError,
    Outcome,
    Posted,
    Survey,
)
from shipway.redaction import Redacted, trusted

Body = Callable[[int], Redacted]
"""The report in at most so many UTF-8 bytes, without the marker. Asked again, with less, where it was too long."""

_MARKER = re.compile(
    r"<!-- shipway:v1 id=(?P<id>[0-9a-f]{64})"
    r" at=(?P<at>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)"
    r" run=(?P<run>[0-9]{1,20})\.(?P<attempt>[0-9]{1,20})"
    r" head=(?P<head>[0-9a-f]{40}|[0-9a-f]{64})"
    r" effect=(?P<effect>sha256:[0-9a-f]{64}) -->"
)


class Purpose(StrEnum):
    """What a comment is for; each has its own comment, and drift its own issue. `preview`: of an environment, run after run."""

    PLAN = "plan"
    RECEIPT = "receipt"
    DRIFT = "drift"
    PREVIEW = "preview"


class Marker(Struct, frozen=True):
    """The last line of our comments. `at` is when the run's attempt started, `YYYY-MM-DDTHH:MM:SSZ` by the forge's clock."""

    id: str
    at: str
    run: int
    attempt: int
    head: str
    effect: str

    @property
    def order(self) -> tuple[str, int, int]:
        """Sorts by start, then run, then attempt: the later report is the one that stays."""
        return self.at, self.run, self.attempt

    def __str__(self) -> str:
        return (
            f"<!-- shipway:v1 id={self.id} at={self.at} run={self.run}.{self.attempt}"
            f" head={self.head} effect={self.effect} -->"
        )


class Note(Struct, frozen=True):
    """What is to be posted where: `run` and `attempt` are the CI run's, `head` and `effect` those of the document.

    `started_at` is when that attempt started, by the forge's clock, where it has told that already: else it is asked.
    """

    pull_request: int
    lifecycle: str
    target: str
    purpose: Purpose
    run: str
    attempt: int
    head: str
    effect: str
    started_at: str = ""


class Move(StrEnum):
    """What is to be done about the comments found."""

    CREATE = "create"
    EDIT = "edit"
    KEEP = "keep"
    YIELD = "yield"


class Decision(Struct, frozen=True):
    """`move`, the comment that it concerns (None to create one), and our other comments, which are hidden."""

    move: Move
    comment: Comment | None
    others: tuple[Comment, ...] = ()


def comment_id(lifecycle: str, target: str, purpose: Purpose) -> str:
    """The identity of a comment: 64 hex digits over the canonical names. Equality counts, never a prefix."""
    return sha256(canonical_bytes(["shipway", 1, lifecycle, target, purpose.value])).hexdigest()


def parse_marker(body: str) -> Marker | None:
    """The marker that is the whole last line of `body`; None for any other place or form."""
    match = _MARKER.fullmatch(lines_of(body)[-1])
    if match is None:
        return None
    return Marker(match["id"], match["at"], int(match["run"]), int(match["attempt"]), match["head"], match["effect"])


def marked_comments(comments: Sequence[Comment], identity: str) -> tuple[Comment, ...]:
    """The comments of anyone that carry the marker with this identity."""
    return tuple(comment for comment in comments if (m := parse_marker(comment.body)) and m.id == identity)


def own_comments(comments: Sequence[Comment], author: Author, identity: str) -> tuple[Comment, ...]:
    """The comments of this account that carry the marker with this identity."""
    return tuple(comment for comment in marked_comments(comments, identity) if comment.author == author)


def decide(own: Sequence[Comment], marker: Marker, text: str) -> Decision:
    """What to do, given our comments that are not hidden: of several the latest is edited and the others are hidden.

    Nothing is written over a later run's report, nor where the text is the same already.
    """
    if not own:
        return Decision(Move.CREATE, None)
    *others, latest = sorted(own, key=order_of)
    if order_of(latest)[0] > marker.order:
        return Decision(Move.YIELD, latest)
    found = parse_marker(latest.body)
    is_same = found is not None and (found.head, found.effect) == (marker.head, marker.effect)
    is_same = is_same and lines_of(latest.body)[:-1] == lines_of(with_marker(text, marker))[:-1]
    return Decision(Move.KEEP if is_same else Move.EDIT, latest, tuple(others))


class Surveyor:
    """Looks at a pull request once in a report, whoever of its parts needs that first; as `Forge.survey` does."""

    def __init__(self, forge: Forge, pull_request: int, check: str = "", *, reviewed: bool = False) -> None:
        self._forge = forge
        self._pull_request = pull_request
        self._check = check
        self._reviewed = reviewed
        self._survey: Survey | None = None

    def __call__(self, comments: Sequence[Comment] = ()) -> Survey:
        """What the look told. That some comments are hidden is known only where they were given first. Raises ForgeError."""
        if self._survey is None:
            self._survey = self._forge.survey(self._pull_request, comments, self._check, reviewed=self._reviewed)
        return self._survey


def post(forge: Forge, note: Note, body: Body, surveyed: Surveyor | None = None) -> Posted:
    """Posts the report, or leaves it, as the comments that are there demand. Raises nothing that a forge can cause.

    `surveyed` has not looked yet; the other parts of a report that need the look ask it afterwards.
    """
    try:
        return _post(forge, note, body, surveyed or Surveyor(forge, note.pull_request))
    except ForgeError as error:
        why = f"{error.message}; {error.next}" if error.next else error.message
        return Posted(Outcome.DEFERRED, why=why, reason=error.reason, requests=forge.requests)


def _post(forge: Forge, note: Note, body: Body, surveyed: Surveyor) -> Posted:
    # Of one that is in progress there is no later attempt yet: what was told of it is so still.
    attempt = Attempt(note.attempt, note.started_at) if note.started_at else forge.attempt(note.run)
    if attempt.number > note.attempt:
        return _superseded(forge, f"attempt {attempt.number} of this run has begun")
    marker = marker_of(note, attempt.started_at)
    marked = marked_comments(forge.comments(note.pull_request), marker.id)
    survey = surveyed(marked)
    if survey.head != note.head:
        return _superseded(forge, f"the head of the pull request is `{survey.head}` by now")
    author = survey.author
    if author is None:
        raise ForgeError(
            "the forge does not tell which account this token is, so that no comment can be called our own"
        )
    found = own_comments(marked, author, marker.id)
    own = tuple(comment for comment in found if comment.id not in survey.hidden)
    posted = _write_shorter_until_it_fits(forge, note, marker, own, body)
    if posted.outcome not in (Outcome.CREATED, Outcome.UPDATED):
        return posted
    settled = frozenset(comment.id for comment in found if comment.url != posted.url)
    return _read_back(forge, note, marker, author, posted, body, settled)


def marker_of(note: Note, started_at: str) -> Marker:
    """This run's marker. Raises ForgeError where it could not be read again, so that no comment is posted twice."""
    run = int(note.run) if note.run.isdecimal() else 0
    identity = comment_id(note.lifecycle, note.target, note.purpose)
    marker = Marker(identity, started_at, run, note.attempt, note.head, note.effect)
    if run == 0 or parse_marker(str(marker)) != marker:
        raise ForgeError(
            f"a comment of run `{note.run}`, started `{started_at}`, for `{note.head}` could not be found again"
        )
    return marker


def _write_shorter_until_it_fits(
    forge: Forge, note: Note, marker: Marker, own: Sequence[Comment], body: Body
) -> Posted:
    for budget_bytes in limits.COMMENT_BUDGETS:
        try:
            return _write(forge, note, marker, own, forge.dress(body(budget_bytes - len(str(marker)) - 2)))
        except BodyTooLong as error:
            too_long = error
    raise too_long


def _write(forge: Forge, note: Note, marker: Marker, own: Sequence[Comment], text: Redacted) -> Posted:
    decision = decide(own, marker, text)
    if decision.move is Move.YIELD:
        return _superseded(forge, "a later run has posted already", decision.comment)
    whole = with_marker(text, marker)
    outcome, written = Outcome.UNCHANGED, decision.comment
    if written is None:
        outcome, written = Outcome.CREATED, forge.create_comment(note.pull_request, whole, since=marker.at)
    elif decision.move is Move.EDIT:
        outcome, written = Outcome.UPDATED, forge.edit_comment(written, whole)
    why = _hide(forge, decision.others)
    return Posted(outcome, url=written.url, why=why, requests=forge.requests)


def _read_back(
    forge: Forge,
    note: Note,
    marker: Marker,
    author: Author,
    posted: Posted,
    body: Body,
    settled: frozenset[int],
) -> Posted:
    """Looks whether another run wrote at the same time, and decides again, once, where it did.

    `settled` are the ids of our other comments: they were hidden before, or have been now.
    """
    try:
        recent = own_comments(forge.comments(note.pull_request, since=marker.at), author, marker.id)
        own = tuple(comment for comment in recent if comment.id not in settled)
        if [comment.url for comment in own] == [posted.url] and parse_marker(own[0].body) == marker:
            return Posted(posted.outcome, posted.url, posted.why, requests=forge.requests)
        again = _write_shorter_until_it_fits(forge, note, marker, own, body)
    except ForgeError as error:
        return Posted(posted.outcome, posted.url, f"not read back: {error.message}", requests=forge.requests)
    if again.outcome is Outcome.SUPERSEDED:
        ours = [comment for comment in own if comment.url == posted.url and comment.url != again.url]
        _hide(forge, ours)
        return again
    return Posted(posted.outcome, again.url, again.why, requests=forge.requests)


def _hide(forge: Forge, comments: Sequence[Comment]) -> str:
    """Hides comments, or folds them; what prevents it is a remark, since the report itself is posted."""
    try:
        if comments and Capability.HIDING in forge.lacks:
            for comment in comments:
                forge.edit_comment(comment, _folded(comment.body))
        elif comments:
            forge.minimise(comments)
    except ForgeError as error:
        return f"{len(comments)} older comments were not hidden: {error.message}"
    return ""


def _folded(body: str) -> Redacted:
    """A comment of ours that says less until it is opened. Its marker is no longer the last line, so that it is not found again."""
    return trusted(f"<details><summary>An older report</summary>\n\n{body.strip()}\n\n</details>")


def _superseded(forge: Forge, why: str, comment: Comment | None = None) -> Posted:
    return Posted(Outcome.SUPERSEDED, url=comment.url if comment else "", why=why, requests=forge.requests)


def order_of(comment: Comment) -> tuple[tuple[str, int, int], int]:
    """How late a comment's report is. A start after the comment's last edit is not ours but someone's edit: it counts first."""
    marker = parse_marker(comment.body)
    is_possible = marker is not None and marker.at <= comment.updated_at
    return (marker.order if marker and is_possible else ("", 0, 0), comment.id)


def with_marker(text: str, marker: Marker) -> Redacted:
    """`text` with the marker as its last line, alone on it."""
    return trusted(f"{text.strip()}\n\n{marker}")


def lines_of(body: str) -> list[str]:
    """The lines of a body, without the space around it."""
    return body.replace("\r\n", "\n").strip().split("\n")
