"""What a node of an environment left, kept from run to run: whether it has to be made again, why, and what it gave.

Makes, verifies and removes nothing itself: the action that it is called by does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from shipway.action import ActionFailed, Done, NotBegun, PlanWork, Prediction, Work
from shipway.canonical import Json, mapping
from shipway.checkpoint_keys import Producers, changed, given_to, parts_of, told
from shipway.checkpoint_store import change_environment, checkpoint_of, keep, known_environment, mark_begun, opened
from shipway.environment_record import Checkpoint, marked_stale, with_stuck, without_checkpoint
from shipway.nodes import FAILURES, Change, Fidelity, Outcome, Promise, Verified
from shipway.records import STEP, Record

MADE = "made"
"""The output that every node of an environment has: it is greater each time the node was really made anew."""

_KEPT = "inputs unchanged, verified"
_BEGUN = "a run began to make it and did not say that it was done"
_UPDATING = "a run began to bring it up to date and did not say that it was done"
_FAILED_SINCE = "the run that brought it up to date failed"
_UPDATED, _NEW = "updated", "new"


class Made(Struct, frozen=True):
    """What making a node gave. Without `is_anew` it was only brought up to date, or is as good as what was there before.

    What depends on it stays as it is then.
    """

    outputs: Mapping[str, Json] = field(default_factory=dict)
    undo: Json = None
    is_anew: bool = True
    records: tuple[Record, ...] = ()


class Decision(Struct, frozen=True):
    """Whether a node is kept, and why; `checkpoint` is what it left. To be kept it has to be verified besides.

    `is_in_place`: it has to be brought up to date, `is_repeated`: it has to run again as it did; neither makes it anew.
    """

    kept: bool
    key: str
    why: str
    checkpoint: Checkpoint | None
    parts: Mapping[str, str] = field(default_factory=dict)
    is_in_place: bool = False
    is_repeated: bool = False


Verify = Callable[[Work, Checkpoint], Verified]
PlanVerify = Callable[[PlanWork, Checkpoint], Verified]
Make = Callable[[Work, Checkpoint | None], Made]
Adopt = Callable[[Work], Made | None]
Remove = Callable[[Work, Checkpoint | None], bool]


def decided(
    work: Work | PlanWork, contract: int, unkeyed: Collection[str] = (), in_place: Collection[str] = ()
) -> Decision:
    """What the node's checkpoint says. Reads the record, asks nobody else. Raises ActionFailed where it cannot be read.

    Slots named by `unkeyed` decide nothing; where only slots named by `in_place` changed, it is brought up to date.
    """
    record = known_environment(work)
    checkpoints = record.checkpoints if record else {}
    checkpoint = checkpoints.get(work.node.id)
    parts = parts_of(work.node, contract, given_to(work), unkeyed, Producers(checkpoints))
    if checkpoint is None:
        return Decision(False, parts.key, "not made yet", None, parts.digests)
    names = changed(checkpoint.parts, parts)
    found = Decision(False, parts.key, "", checkpoint, parts.digests)
    if checkpoint.stale:
        return replace(found, why=checkpoint.stale)
    if names:
        inside = {f"slot {name}" for name in in_place}
        is_in_place = all(" ".join(name.split(" ")[:2]) in inside for name in names)
        return replace(found, why=told(names, parts.waits), is_in_place=is_in_place)
    if work.inputs.get("cache") is False:
        return replace(found, why="its cache is off", is_repeated=True)
    if not checkpoint.has_secrets:
        return replace(found, why="its secret outputs were not kept: `state` names no key")
    return replace(found, kept=True, why=_KEPT)


def checkpointed(
    work: Work,
    *,
    contract: int,
    verify: Verify,
    make: Make,
    unkeyed: Collection[str] = (),
    in_place: Collection[str] = (),
    adopt: Adopt | None = None,
    is_one_step: bool = False,
) -> Done:
    """Keep what the node left, or have it made; what it hands on either way, `made` included.

    `verify` asks whether it is still there: where that cannot be told, ActionFailed is raised and nothing is made. `make` is
    given the checkpoint of what may still be there, None where nothing was made or it is gone. `adopt` looks for what a
    killed run may have left where nothing was ever kept of it. `is_one_step`: it is made whole, or not at all.
    """
    with _before_anything():
        decision = decided(work, contract, unkeyed, in_place)
    checkpoint, why = decision.checkpoint, decision.why
    if decision.kept and checkpoint is not None:
        if _holds(work, checkpoint, verify):
            return Done({**opened(work, checkpoint), MADE: checkpoint.made}, unchanged=True, change=Change.NOOP)
        why = "inputs unchanged; verify says gone"
    never_made = checkpoint is None or not checkpoint.made
    before = None if decision.kept or never_made else checkpoint
    made = _adopted(work, adopt) if adopt is not None and never_made else None
    is_adopted = made is not None
    if made is None:
        work.log(f"{work.node.id} runs: {why}\n")
        if not is_one_step:
            _begin(work, _UPDATING if decision.is_in_place else _BEGUN)
        made = make(work, before)
    is_known = checkpoint is not None and not never_made
    is_update = is_known and (not made.is_anew or (decision.is_in_place and before is not None))
    stays = is_update or (decision.is_repeated and before is not None)
    number = checkpoint.made if checkpoint is not None and stays else None
    kept = keep(work, decision.key, decision.parts, made.outputs, number)
    return Done(
        {**made.outputs, MADE: kept.made},
        undo={"how": _UPDATED if is_update else _NEW, "undo": made.undo},
        unchanged=is_adopted,
        records=(*made.records, Record(STEP, work.node.id, facts={"why": why, MADE: kept.made})),
    )


def foretold(
    work: PlanWork,
    *,
    contract: int,
    verify: PlanVerify,
    change_when_made: Change,
    unkeyed: Collection[str] = (),
    in_place: Collection[str] = (),
    reversible: bool = False,
) -> Prediction:
    """What `checkpointed` will do, as far as it can be told; of what is kept, also what it hands on."""
    decision = decided(work, contract, unkeyed, in_place)
    checkpoint, why = decision.checkpoint, decision.why
    if checkpoint is None or not checkpoint.made:
        return Prediction(change_when_made, Fidelity.OPAQUE, why, reversible=reversible)
    shown = {name: value for name, value in checkpoint.outputs.items() if name not in checkpoint.secret}
    if decision.kept:
        answer, why = _looked(_placed(work), checkpoint, verify)
        if answer is Verified.HOLDS:
            outputs = {**shown, MADE: checkpoint.made}
            return Prediction(Change.NOOP, Fidelity.PREDICTED, why, outputs=outputs, is_settled=True)
        return Prediction(change_when_made, Fidelity.OPAQUE, why, reversible=reversible)
    outputs = {**(shown if decision.is_in_place else {}), MADE: checkpoint.made}
    if not decision.is_in_place and not decision.is_repeated:
        outputs = {}
    return Prediction(Change.UPDATE, Fidelity.OPAQUE, why, outputs=outputs, reversible=reversible)


def renewed(work: Work, *, make: Make) -> Done:
    """Run something on what is there, as `reset` and `seed` on demand do: its outputs replace those of the checkpoint.

    The key stays, so that the next run keeps what is there now. Raises ActionFailed where nothing was made before.
    """
    checkpoint = checkpoint_of(work)
    if checkpoint is None or not checkpoint.made:
        raise ActionFailed(
            f"`{work.node.id}` was never made: nothing is there yet", code="never_made", is_permanent=True
        )
    if checkpoint.stale:
        raise ActionFailed(f"`{work.node.id}` is not whole: {checkpoint.stale}", code="stale", is_permanent=True)
    _begin(work, _BEGUN)
    made = make(work, checkpoint)
    kept = keep(work, checkpoint.key, checkpoint.parts, made.outputs, None)
    return Done({**made.outputs, MADE: kept.made}, undo={"how": _UPDATED}, records=made.records)


def is_ending(work: Work | PlanWork) -> bool:
    """Whether the node is one that takes away what it would make else, or half of that."""
    return bool(work.inputs.get("remove") or work.inputs.get("stop"))


def is_update(work: Work) -> bool:
    """Whether what is being made was begun as an update of what is there: only slots changed that make nothing anew."""
    checkpoint = checkpoint_of(work)
    return checkpoint is not None and checkpoint.stale == _UPDATING


def removed(work: Work, *, remove: Remove) -> Done:
    """Take away what the node left. `remove` is given its checkpoint, None where nothing was ever begun; False: nothing was there.

    What cannot be taken away is kept as stuck, and ActionFailed goes on.
    """
    checkpoint = checkpoint_of(work)
    try:
        was_there = remove(work, checkpoint)
    except ActionFailed as error:
        cause = str(error)
        change_environment(work, lambda record: with_stuck(record, work.node.id, cause))
        raise
    change_environment(work, lambda record: without_checkpoint(record, work.node.id))
    return Done(unchanged=not was_there, records=(Record(STEP, work.node.id, present=False),))


def undone(work: Work, *, remove: Remove) -> None:
    """Take back what this run made. What it kept stays, and so does what it never began to make.

    What it only brought up to date stays too, to be looked at again.
    """
    is_done = work.outcome is Outcome.SUCCEEDED
    if work.outcome is Outcome.UNCHANGED or not (is_done or _note(work).exists()):
        return
    if mapping(work.state).get("how") == _UPDATED or is_update(work):
        change_environment(work, lambda record: marked_stale(record, [work.node.id], _FAILED_SINCE))
        return
    removed(work, remove=remove)


def _begin(work: Work, why: str) -> None:
    """Say that it is begun, to this run and to the next one."""
    try:
        work.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        _note(work).touch()
    except OSError as error:
        raise ActionFailed(f"`{work.scratch}` cannot be written: {error.strerror or error}") from error
    mark_begun(work, why)


def _note(work: Work) -> Path:
    """Is there once this run has begun to make the node."""
    return work.scratch / "begun"


def verified(work: Work, *, verify: Verify) -> Verified:
    """Whether what the node did is there, or, of one that removes, is gone.

    Of one that was begun and never reported: gone, so that it runs again. It keeps what it finds, and only so are its
    outputs known.
    """
    checkpoint = checkpoint_of(work)
    if is_ending(work):
        return Verified.HOLDS if checkpoint is None else Verified.GONE
    if work.shelf is None and work.outputs:
        return verify(work, Checkpoint("", work.outputs))
    if checkpoint is None or work.outcome is Outcome.UNKNOWN:
        return Verified.GONE
    if work.outcome in FAILURES:
        return Verified.HOLDS if checkpoint.stale == _BEGUN else Verified.GONE  # something of it may be there
    return Verified.GONE if checkpoint.stale else verify(work, checkpoint)


def _placed(work: PlanWork) -> PlanWork:
    """The work with what its place handed on when it was made last, where all that is not known yet: it is still that one."""
    form, record = work.node.slots.get("compute"), known_environment(work)
    if "compute" in work.inputs or not isinstance(form, Promise) or record is None:
        return work
    place = record.checkpoints.get(form.node)
    return work if place is None else replace(work, inputs={**work.inputs, "compute": place.outputs})


def _looked(work: PlanWork, checkpoint: Checkpoint, verify: PlanVerify) -> tuple[Verified, str]:
    try:
        answer = verify(work, checkpoint)
    except ActionFailed as error:
        return Verified.UNKNOWN, f"inputs unchanged; whether it is there cannot be told: {error}"
    words = {Verified.HOLDS: _KEPT, Verified.GONE: "inputs unchanged; verify says gone"}
    return answer, words.get(answer, "inputs unchanged; verify cannot tell")


def _holds(work: Work, checkpoint: Checkpoint, verify: Verify) -> bool:
    """Whether it is there. Raises ActionFailed where that cannot be told: a second one might be made of it."""
    try:
        answer = verify(work, checkpoint)
    except ActionFailed as error:
        raise NotBegun(f"whether it is still there cannot be told: {error}", code="verify_unknown") from error
    if answer is Verified.UNKNOWN:
        text = "whether it is still there cannot be told: its `verify` says neither that it holds nor that it is gone"
        raise NotBegun(text, code="verify_unknown")
    return answer is Verified.HOLDS


def _adopted(work: Work, adopt: Adopt) -> Made | None:
    with _before_anything():
        return adopt(work)


@contextmanager
def _before_anything() -> Iterator[None]:
    """What fails in here is not undone: a host that does not answer is no reason to remove what may be on it."""
    try:
        yield
    except NotBegun:
        raise
    except ActionFailed as error:
        raise NotBegun(
            str(error), code=error.code, is_permanent=error.is_permanent, retry_after_ms=error.retry_after_ms
        ) from error
