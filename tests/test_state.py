"""What exists now, as receipts come to it: what counts, what is only history, what an undo takes back, and what is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from msgspec.structs import replace

from shipway.canonical import Json
from shipway.nodes import Change, Outcome
from shipway.receipt import Attempt, NodeResult, RanBy, Receipt, RollbackEntry, RunOutcome
from shipway.records import Record
from shipway.state import Entry, Standing, State, Wanted
from shipway.state_fold import Telling, fold, later, unix_ms

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR_MS = 3_600_000


def node(
    name: str, *records: Record, action: str = "file.link", outcome: Outcome = Outcome.SUCCEEDED, ended_ms: int = 1000
) -> NodeResult:
    own = outcome if outcome not in (Outcome.UNDONE, Outcome.UNDO_FAILED, Outcome.DRIFTED) else Outcome.SUCCEEDED
    attempts = (Attempt(1, own, 0, ended_ms),) if outcome is not Outcome.SKIPPED else ()
    return NodeResult(
        name,
        outcome,
        attempts,
        started_ms=0,
        ended_ms=ended_ms,
        change=Change.CREATE,
        action=action,
        records=records,
    )


def told(
    number: int,
    *nodes: NodeResult,
    at: datetime = NOON,
    run: str = "",
    target: str = "prod",
    undone_ms: int = 2000,
    left: tuple[str, ...] = (),
) -> Telling:
    """The receipt of a run that took two seconds; its digest and run are made of its number."""
    rollback = tuple(
        RollbackEntry(each.node, "main", each.outcome, 1000, undone_ms, left=left)
        for each in nodes
        if each.outcome in (Outcome.UNDONE, Outcome.UNDO_FAILED, Outcome.DRIFTED)
    )
    receipt = Receipt(
        lifecycle="dots",
        target=target,
        run=run or f"run-{number}",
        plan_digest=None,
        effect=None,
        started=_text(at),
        ended=_text(at + timedelta(seconds=2)),
        duration_ms=2000,
        outcome=RunOutcome.SUCCEEDED,
        nodes=nodes,
        stages=(),
        rollback=rollback,
        by=RanBy("local", commit=f"commit-{number}"),
        shipway="1",
        platform="linux/amd64",
    )
    return Telling(f"digest-{number}", receipt)


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.000Z"


def file(name: str, how: str = "link", *, present: bool = True, **facts: Json) -> Record:
    return Record("file", name, present, f"{how} 1", {"how": how, **facts})


def package(name: str) -> Record:
    return Record("package", f"apt:{name}", fingerprint="1")


def found(state: State, name: str) -> Entry:
    [entry] = [entry for entry in state.entries if entry.name == name]
    return entry


def names(entries: Sequence[Entry]) -> list[str]:
    return [entry.name for entry in entries]


def standings(state: State) -> Mapping[str, str]:
    return {entry.name: entry.standing.value for entry in state.entries}


def test_g096_a_file_that_was_linked_and_then_copied_is_one_entry_with_two_records() -> None:
    later = NOON + timedelta(hours=1)
    state = fold(
        [
            told(1, node("main/a", file(".bashrc", layer="base")), node("main/b", file(".gitconfig", layer="base"))),
            told(2, node("main/a", file(".bashrc", "copy", layer="personal"), action="file.copy"), at=later),
        ]
    )
    bashrc, gitconfig = found(state, ".bashrc"), found(state, ".gitconfig")
    assert (state.receipts, len(state.entries)) == (2, 2)
    assert [record.receipt for record in bashrc.history] == ["digest-1", "digest-2"]
    assert bashrc.facts["layer"] == "personal" and bashrc.is_copied and not bashrc.is_linked
    assert bashrc.by is not None and (bashrc.by.run, bashrc.by.commit, bashrc.by.action) == (
        "run-2",
        "commit-2",
        "file.copy",
    )
    assert bashrc.by.at_ms == unix_ms("2026-03-01T13:00:01Z")
    assert gitconfig.is_linked and len(gitconfig.history) == 1


def test_g097_the_history_of_a_package_is_in_the_order_of_its_runs() -> None:
    steps = [("install", "pkg.install"), ("verify", "pkg.installed"), ("upgrade", "pkg.upgrade")]
    receipts = [
        told(n, node(f"main/{word}", package("docker"), action=action), at=NOON + timedelta(hours=n))
        for n, (word, action) in enumerate(steps)
    ]
    receipts.append(told(9, node("main/go", package("golang"), action="pkg.install")))
    state = fold(receipts)
    assert [record.action for record in found(state, "apt:docker").history] == [action for _, action in steps]
    assert found(state, "apt:docker").last_action == "pkg.upgrade"
    assert len(found(state, "apt:golang").history) == 1


def test_g098_a_time_window_takes_both_of_its_ends() -> None:
    hours = {"a": -3, "b": -2, "c": -1, "d": 0}
    receipts = [
        told(n, node(f"main/{name}", file(name), ended_ms=0), at=NOON + timedelta(hours=hour))
        for n, (name, hour) in enumerate(hours.items())
    ]
    noon = unix_ms("2026-03-01T12:00:00Z")
    minute = HOUR_MS // 60
    state = fold(receipts, Wanted(since_ms=noon - 2 * HOUR_MS - minute, until_ms=noon - HOUR_MS + minute))
    assert (state.receipts, names(state.entries)) == (2, ["b", "c"])
    exact = fold(receipts, Wanted(since_ms=noon - 2 * HOUR_MS, until_ms=noon - HOUR_MS))
    assert names(exact.entries) == ["b", "c"]
    narrower = fold(receipts, Wanted(since_ms=noon - 2 * HOUR_MS + 1, until_ms=noon - HOUR_MS - 1))
    assert narrower == State()


def test_g099_a_filter_counts_only_what_it_takes() -> None:
    receipts = [
        told(1, node("main/a", file("a")), node("main/p", package("p"), action="pkg.install")),
        told(2, node("main/b", file("b", project="nvim"), action="file.copy"), target="dev"),
    ]
    files, packages, everything = (fold(receipts, Wanted(kind=kind)) for kind in ("file", "package", None))
    assert (files.receipts, len(files.existing("file")), len(files.existing("package"))) == (2, 2, 0)
    assert (packages.receipts, len(packages.existing("file")), len(packages.existing("package"))) == (1, 0, 1)
    assert (everything.receipts, len(everything.entries)) == (2, 3)
    assert names(fold(receipts, Wanted(tool="pkg")).entries) == ["apt:p"]
    assert names(fold(receipts, Wanted(tool="file.copy")).entries) == ["b"]
    assert names(fold(receipts, Wanted(project="nvim")).entries) == ["b"]
    assert names(fold(receipts, Wanted(target="dev")).entries) == ["b"]
    assert fold(receipts, Wanted(lifecycle="other")) == State()


def test_g100_nothing_is_an_empty_state_and_an_entry_without_history_has_no_action() -> None:
    empty = fold([])
    assert empty == State() and empty.projects == () and empty.of_project("nvim") == ()
    projects = [node(f"main/{n}", file(f"{n}", project=name)) for n, name in enumerate(["zsh", "nvim", "zsh"])]
    state = fold([told(1, *projects, node("main/x", file("x")))])
    assert state.projects == ("nvim", "zsh")
    assert names(state.of_project("zsh")) == ["0", "2"] and state.of_project("unknown") == ()
    bare = Entry(state.entries[0].identity, Standing.GONE)
    assert (bare.last_action, bare.is_linked, bare.is_copied, bare.history) == ("", False, False, ())


@pytest.mark.parametrize("outcome", [Outcome.SKIPPED, Outcome.FAILED, Outcome.BLOCKED, Outcome.UNDONE])
def test_g102_what_did_not_come_about_is_history_and_does_not_exist(outcome: Outcome) -> None:
    for records in ((file("a"),), ()):  # a node that failed tells what it may have begun
        state = fold([told(1, node("main/a", *records, outcome=outcome))])
        assert state.existing() == ()
    # Beside one that did, it is part of the story and changes nothing of it.
    both = fold(
        [told(1, node("main/a", file("a"))), told(2, node("main/a", outcome=outcome), at=NOON + timedelta(hours=1))]
    )
    assert [record.outcome for record in found(both, "a").history] == [Outcome.SUCCEEDED, outcome]
    assert found(both, "a").exists and found(both, "a").by == found(both, "a").history[0]


def test_g102_an_undo_that_failed_leaves_what_may_be_there() -> None:
    for outcome in (Outcome.UNDO_FAILED, Outcome.DRIFTED):
        entry = found(fold([told(1, node("main/a", file("a"), outcome=outcome))]), "a")
        assert entry.standing is Standing.UNCERTAIN and entry.exists


def test_g102_a_change_that_nobody_reported_makes_what_was_there_uncertain() -> None:
    before, after = told(1, node("main/a", file("a"))), told(2, node("main/a", outcome=Outcome.UNKNOWN))
    entry = found(fold([before, replace(after, receipt=replace(after.receipt, started=_text(NOON)))]), "a")
    assert entry.standing is Standing.UNCERTAIN and entry.fingerprint == "link 1"
    assert fold([after]).entries == ()


def test_of_a_node_that_was_taken_back_in_part_only_what_was_left_is_uncertain() -> None:
    hour = timedelta(hours=1)
    old = told(1, node("main/b", file("b", source="old")))
    files = (file("a"), file("b", source="new"), file("c"))
    made = told(2, node("main/d=base", *files), at=NOON + hour, run="r")
    undone = node("main/d=base", *files, outcome=Outcome.DRIFTED)
    state = fold([old, made, told(3, undone, at=NOON + hour, run="r", left=("a",))])
    assert {entry.name: entry.standing for entry in state.entries} == {
        "a": Standing.UNCERTAIN,
        "b": Standing.EXISTS,
        "c": Standing.GONE,
    }
    assert found(state, "b").facts["source"] == "old"
    assert [record.outcome for record in found(state, "c").history] == [Outcome.SUCCEEDED, Outcome.UNDONE]
    whole = fold([old, made, told(3, undone, at=NOON + hour, run="r")])
    assert {entry.standing for entry in whole.entries} == {Standing.UNCERTAIN}, "nothing was taken back"
    entries = {entry.identity: (entry.standing, entry.by) for entry in fold([old, made]).entries}
    assert not later(entries, told(3, undone, at=NOON + hour * 2, run="r", left=("a",))), "it has to be folded anew"


def test_g103_a_removal_retires_and_its_rollback_brings_back() -> None:
    later = NOON + timedelta(hours=1)
    made = told(1, node("main/a", file("a")))
    gone = file("a", present=False)
    removed = told(2, node("main/no-a", gone, action="file.remove"), at=later)
    state = fold([made, removed])
    assert standings(state) == {"a": "gone"} and state.existing() == ()
    rolled_back = told(
        3, node("main/no-a", gone, action="file.remove", outcome=Outcome.UNDONE), at=later, run="run-2", undone_ms=9000
    )
    state = fold([made, removed, rolled_back])
    assert standings(state) == {"a": "exists"} and found(state, "a").by == fold([made]).entries[0].by
    assert [record.outcome for record in found(state, "a").history] == ["succeeded", "succeeded", "undone"]


def test_g102_what_later_runs_found_is_gone_where_the_run_that_made_it_is_rolled_back() -> None:
    hour = timedelta(hours=1)
    made = told(1, node("main/a", file("a")), run="r")
    found_it = told(2, node("main/a", file("a"), outcome=Outcome.UNCHANGED), at=NOON + hour)
    in_a_group = told(3, node("main/d=base", file("a", spared=True), file("b")), at=NOON + 2 * hour)
    made_again = told(4, node("main/a", file("a")), at=NOON + 3 * hour)
    undone = told(5, node("main/a", file("a"), outcome=Outcome.UNDONE), run="r", undone_ms=4 * HOUR_MS)
    other = told(6, node("main/a", file("a", "copy")), at=NOON + 3 * hour)
    removed = told(7, node("main/no-a", file("a", present=False), action="file.remove"), at=NOON + 3 * hour)
    before = told(8, node("main/a", file("a", "copy")), at=NOON - hour)
    for later_ones in ([found_it], [found_it, in_a_group], [in_a_group, made_again]):
        entry = found(fold([made, *later_ones, undone]), "a")
        assert (entry.standing, entry.by) == (Standing.GONE, None) and len(entry.history) == len(later_ones) + 2
    for last in (other, removed):
        assert found(fold([made, found_it, last, undone]), "a").by == found(fold([last]), "a").by
    assert found(fold([before, made, found_it, undone]), "a").by == found(fold([before]), "a").by
    assert found(fold([made, in_a_group, undone]), "b").exists


def test_g102_the_undo_of_a_run_that_only_found_it_takes_nothing_from_what_stands() -> None:
    hour = timedelta(hours=1)
    first = told(1, node("main/p", file("a", spared=True), file("b")), run="r")
    second = told(2, node("main/p", file("a"), file("b"), outcome=Outcome.UNCHANGED), at=NOON + hour)
    both = node("main/p", file("a", spared=True), file("b"), outcome=Outcome.UNDONE)
    state = fold([first, second, told(3, both, run="r", undone_ms=2 * HOUR_MS)])
    assert standings(state) == {"a": "exists", "b": "gone"}


def test_g105_services_clones_and_steps_are_not_files_and_a_package_goes_by_its_name() -> None:
    records = [Record("service", "nginx"), Record("repository", "src"), Record("step", "main/x"), package("jq")]
    state = fold([told(1, *(node(f"main/{n}", record) for n, record in enumerate(records)))])
    assert state.existing("file") == ()
    entry = state.find("package", "apt:jq")
    assert entry is not None and entry.exists and state.find("package", "jq") is None


def test_g105_the_time_is_the_node_s_own_and_equal_times_keep_the_order_of_the_chain() -> None:
    first = told(1, node("main/slow", file("a"), ended_ms=1900), node("main/quick", file("b"), ended_ms=5))
    state = fold([first])
    noon = unix_ms("2026-03-01T12:00:00Z")
    assert [entry.by.at_ms - noon for entry in state.entries if entry.by] == [1900, 5]
    twins = [told(n, node(f"main/{n}", file("a", "copy" if n else "link"))) for n in range(2)]
    assert found(fold(twins), "a").is_copied
    assert found(fold(twins[::-1]), "a").is_linked
    # A run that began earlier and whose node ended later has the last word, wherever its receipt stands.
    late = told(3, node("main/late", file("a", "copy"), ended_ms=8000))
    assert found(fold([late, told(4, node("main/early", file("a"), ended_ms=7000))]), "a").is_copied


def test_a_run_that_is_gone_on_with_tells_what_it_did_once() -> None:
    first = told(1, node("main/a", file("a")), node("main/b", outcome=Outcome.FAILED), run="r")
    again = told(2, node("main/a", file("a")), node("main/b", file("b"), ended_ms=5000), run="r")
    state = fold([first, again])
    assert [record.receipt for record in found(state, "a").history] == ["digest-1"]
    assert [record.outcome for record in found(state, "b").history] == ["failed", "succeeded"]
    assert names(state.existing()) == ["a", "b"]


def test_an_entry_s_history_has_what_failed_before_anything_was_made() -> None:
    failed = told(1, node("main/a", outcome=Outcome.FAILED))
    made = told(2, node("main/a", file("a")), at=NOON + timedelta(hours=1))
    assert [record.outcome for record in found(fold([failed, made]), "a").history] == ["failed", "succeeded"]


@pytest.mark.parametrize("seed", range(20))
def test_rolling_back_the_last_runs_leaves_what_was_there_before_them(seed: int) -> None:
    """Random runs that make and remove three files; then the last ones are undone, the last first."""
    random = Random(seed)
    runs = []
    for number in range(8):
        nodes = [
            node(f"main/{name}", file(name, random.choice(["link", "copy"]), present=random.random() < 0.7))
            for name in random.sample("abc", random.randint(1, 3))
        ]
        runs.append(told(number, *nodes, at=NOON + timedelta(hours=number)))
    kept = random.randint(0, 7)
    undone = [
        told(
            100 + number,
            *(replace(each, outcome=Outcome.UNDONE) for each in runs[number].receipt.nodes),
            at=NOON + timedelta(hours=number),
            run=f"run-{number}",
            undone_ms=(20 - number) * HOUR_MS,
        )
        for number in range(7, kept - 1, -1)
    ]
    before, after = fold(runs[:kept]), fold([*runs, *undone])
    stands = {entry.identity: (entry.standing, entry.by) for entry in after.entries if entry.by}
    assert stands == {entry.identity: (entry.standing, entry.by) for entry in before.entries if entry.by}
