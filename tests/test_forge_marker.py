"""The marker is read from one place in one form, and the decision over comments holds for any set of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shipway.canonical import bytes_digest, canonical_bytes
from shipway.forges.forge import Author, Comment
from shipway.forges.sticky import Marker, Move, Purpose, comment_id, decide, own_comments, parse_marker

US = Author(1, "Bot")

HEX = "0123456789abcdef"
TIMES = st.datetimes().map(lambda moment: moment.strftime("2026-%m-%dT%H:%M:%SZ"))
MARKERS = st.builds(
    Marker,
    id=st.sampled_from(["a" * 64, "b" * 64]),
    at=TIMES,
    run=st.integers(1, 3),
    attempt=st.integers(1, 3),
    head=st.sampled_from(["1" * 40, "2" * 40]),
    effect=st.sampled_from(["sha256:" + "c" * 64, "sha256:" + "d" * 64]),
)
TEXTS = st.text(st.sampled_from("ab \n`<!->*|"), max_size=30)


def comment(number: int, body: str, updated_at: str = "2026-12-31T23:59:59Z", author: Author | None = US) -> Comment:
    return Comment(number, f"IC_{number}", author, body, f"https://github.com/c/{number}", updated_at)


@given(MARKERS, TEXTS)
def test_a_marker_is_read_back_from_the_last_line(marker: Marker, text: str) -> None:
    assert parse_marker(f"{text}\n{marker}") == marker
    assert parse_marker(f"{text}\r\n{marker}\r\n\n") == marker


@given(MARKERS, TEXTS.filter(lambda text: bool(text.strip())))
def test_case_8_a_marker_anywhere_else_is_none(marker: Marker, text: str) -> None:
    assert parse_marker(f"{marker}\n{text}") is None
    assert parse_marker(f"{text.strip()}{marker}") is None
    assert parse_marker(f"text {marker} text") is None


@given(MARKERS, st.integers(0, 300), st.sampled_from(HEX + " <>-.:=sx\n"))
def test_a_changed_marker_is_another_one_or_none(marker: Marker, place: int, character: str) -> None:
    text = str(marker)
    place %= len(text)
    changed = text[:place] + character + text[place + 1 :]
    assert (parse_marker(changed) == marker) == (changed.strip() == text)


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    found = parse_marker(text)
    assert found is None or str(found) in text


def test_the_identity_is_the_digest_of_the_canonical_names() -> None:
    told = canonical_bytes(["shipway", 1, "web", "prod", "plan"])
    assert comment_id("web", "prod", Purpose.PLAN) == bytes_digest(told).removeprefix("sha256:")


@given(st.text(max_size=5), st.text(max_size=5), st.text(max_size=5), st.text(max_size=5))
def test_identities_differ_wherever_a_name_differs(one: str, two: str, three: str, four: str) -> None:
    same = comment_id(one, two, Purpose.PLAN) == comment_id(three, four, Purpose.PLAN)
    assert same == ((one, two) == (three, four))
    assert comment_id(one, two, Purpose.PLAN) != comment_id(one, two, Purpose.RECEIPT)


@given(st.lists(MARKERS, max_size=5), MARKERS)
def test_only_the_latest_is_written_and_never_over_a_later_one(found: list[Marker], ours: Marker) -> None:
    own = [comment(index, f"text\n\n{marker}") for index, marker in enumerate(found)]
    decision = decide(own, ours, "new text")
    if not own:
        assert decision.move is Move.CREATE
        return
    latest = max(zip((marker.order for marker in found), range(len(found)), strict=True))
    assert decision.comment == own[latest[1]]
    assert decision.move is (Move.YIELD if latest[0] > ours.order else Move.EDIT)
    if decision.move is Move.EDIT:
        assert {c.id for c in decision.others} == set(range(len(found))) - {latest[1]}


@given(MARKERS, MARKERS, TEXTS)
def test_case_15_an_equal_text_for_the_same_commit_and_effect_is_kept(before: Marker, ours: Marker, text: str) -> None:
    decision = decide([comment(1, f"{text.strip()}\n\n{before}")], ours, text)
    if before.order <= ours.order:
        same = (before.head, before.effect) == (ours.head, ours.effect)
        assert decision.move is (Move.KEEP if same else Move.EDIT)


@given(st.lists(st.tuples(MARKERS, st.sampled_from([US, Author(1, "User"), Author(2, "Bot"), None])), max_size=6))
def test_case_7_own_are_those_of_our_id_and_type_and_identity(rows: list[tuple[Marker, Author | None]]) -> None:
    comments = [comment(index, f"x\n\n{marker}", author=author) for index, (marker, author) in enumerate(rows)]
    expected = [index for index, (marker, author) in enumerate(rows) if author == US and marker.id == "a" * 64]
    assert [c.id for c in own_comments(comments, US, "a" * 64)] == expected


def test_case_16_a_start_after_the_last_edit_is_no_reason_to_yield() -> None:
    forged = Marker("a" * 64, "2099-01-01T00:00:00Z", 9, 9, "1" * 40, "sha256:" + "c" * 64)
    ours = Marker("a" * 64, "2026-11-22T08:00:00Z", 1, 1, "1" * 40, "sha256:" + "c" * 64)
    assert decide([comment(1, f"x\n\n{forged}", "2026-11-22T07:00:00Z")], ours, "y").move is Move.EDIT
