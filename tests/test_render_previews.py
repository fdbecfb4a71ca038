"""Environments as a table, one by one, and as JSON: what is shown, at 80 columns, and what never is."""

from __future__ import annotations

import json

from msgspec.structs import replace

from shipway.environment_record import Checkpoint, EnvironmentRecord, EnvironmentState, Happening
from shipway.nodes import Verified
from shipway.render.previews import (
    Damaged,
    Seen,
    ends_words,
    environment_told,
    render_environment,
    render_environments,
)

HOUR = 3_600_000
NOW = 1_800_000_000_000
READY = EnvironmentRecord(
    "shop",
    "pr-42",
    EnvironmentState.READY,
    run="20261122T144232-26c751",
    actor="octocat",
    pull_request=42,
    branch="topic",
    commit="1f2e3d4c" * 5,
    backend="local",
    root="/srv/shop/.shipway/previews/shop/pr-42/tree",
    created_ms=NOW - 50 * HOUR,
    touched_ms=NOW - 20 * HOUR,
    ttl_ms=72 * HOUR,
    urls={"api": "http://127.0.0.1:61400", "shopfront": "http://127.0.0.1:61401"},
    checkpoints={
        "provisioner/compute": Checkpoint("k", {"root": "/srv"}, at_ms=NOW - HOUR),
        "provisioner/service/postgres": Checkpoint("k", {"DSN": "pg://u:hunter22@h/d"}, secret=("DSN",)),
    },
    history=(Happening(NOW - 20 * HOUR, "up: ready", "octocat", "r1", "1f2e3d4c" * 5),),
)
FAILED = replace(
    READY,
    target="pr-7",
    state=EnvironmentState.FAILED,
    cause="runner/deploy: exit 3",
    stuck={"provisioner/compute": "host unreachable"},
    urls={},
)


def shown(*records: EnvironmentRecord, columns: int = 80) -> str:
    return render_environments(records, [], now_ms=NOW, colour=False, columns=columns)


def test_a_line_says_state_commit_age_and_end_within_eighty_columns() -> None:
    head, line, *_ = shown(READY, FAILED).splitlines()
    assert head.split() == ["TARGET", "STATE", "COMMIT", "AGE", "ENDS", "IN", "URL"]
    assert line.split() == ["pr-42", "ready", "1f2e3d4", "2d2h", "2d4h", "http://127.0.0.1:61400", "+1"]
    assert max(map(len, shown(READY, FAILED).splitlines())) <= 80


def test_below_a_failed_one_stands_why_and_what_is_still_there() -> None:
    lines = shown(FAILED).splitlines()
    assert lines[2:] == ["  runner/deploy: exit 3", "  not removed: provisioner/compute: host unreachable"]


def test_an_address_that_finds_no_room_stands_whole_below_its_line() -> None:
    url = "https://pr-42--shopfront.previews.example.com/a/longer/path"
    lines = shown(replace(READY, urls={"shopfront": url})).splitlines()
    assert "URL" not in lines[0]
    assert lines[2] == f"  {url}"


def test_case_84_a_damaged_record_is_named_beside_the_others() -> None:
    found = render_environments([READY], [Damaged("pr-9", "it is no JSON")], now_ms=NOW, colour=False, columns=80)
    assert found.splitlines()[-1] == "pr-9: its record cannot be read: it is no JSON"
    assert "pr-42" in found
    assert render_environments([], [], now_ms=NOW, colour=False, columns=80) == ""


def test_case_96_the_end_counts_from_the_last_push() -> None:
    assert ends_words(READY, NOW) == "2d4h"
    assert ends_words(READY, NOW + 52 * HOUR) == "over"
    assert ends_words(replace(READY, touched_ms=NOW), NOW) == "3d"
    assert ends_words(replace(READY, ttl_ms=None), NOW) == "-"
    assert ends_words(replace(READY, state=EnvironmentState.GONE), NOW) == "-"


def test_case_83_one_environment_shows_its_state_and_what_every_node_says_and_no_secret() -> None:
    seen = [
        Seen("provisioner/compute", Verified.UNKNOWN, "the host does not answer"),
        Seen("runner/service/api", Verified.HOLDS),
        Seen("runner/infrastructure", Verified.GONE),
        Seen("runner/after", None),
    ]
    text = render_environment(READY, seen, now_ms=NOW, colour=False, columns=80)
    assert text.startswith("shop → pr-42: ready\n")
    assert "unknown    provisioner/compute, made 1h ago: the host does not answer" in text
    now = render_environment(
        READY, seen, now_ms=READY.checkpoints["provisioner/compute"].at_ms, colour=False, columns=80
    )
    assert "provisioner/compute, made just now: the host" in now
    assert " now " in render_environments([READY], [], now_ms=READY.created_ms + 999, colour=False, columns=80)
    assert "holds      runner/service/api" in text
    assert "gone       runner/infrastructure" in text
    assert "not asked  runner/after" in text
    assert "answers   shopfront: http://127.0.0.1:61401" in text
    assert "pull request #42" in text
    assert "up: ready by octocat at 1f2e3d4" in text
    told = json.dumps(environment_told(READY, NOW, seen))
    for sink in (text, told, shown(READY)):
        assert "hunter22" not in sink


def test_as_json_times_are_rfc_3339_and_nodes_have_their_answers() -> None:
    told = environment_told(READY, NOW, [Seen("provisioner/compute", Verified.HOLDS)])
    assert told["ends"] == "2027-01-17T12:00:00Z"
    assert told["age_ms"] == 50 * HOUR
    assert told["nodes"] == [
        {"node": "provisioner/compute", "verify": "holds", "why": "", "made": "2027-01-15T07:00:00Z"}
    ]
    assert environment_told(replace(READY, ttl_ms=None), NOW)["ends"] is None


def test_hostile_names_change_no_line_and_command_no_runner() -> None:
    hostile = replace(READY, branch="x\n::error::forged\x1b[31m", cause="a\r\n::set-output name=x::y")
    for text in (shown(hostile), render_environment(hostile, [], now_ms=NOW, colour=False, columns=80)):
        assert "\x1b" not in text
        assert not any(line.lstrip().startswith("::") for line in text.splitlines())
