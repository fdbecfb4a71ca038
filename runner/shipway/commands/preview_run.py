"""One run on an environment: shown as any run is, and told to the environment's record before and after."""

from __future__ import annotations

import json
import os
import shlex
from argparse import Namespace
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from shipway.canonical import Json, canonical_bytes, mapping
from shipway.commands.approving import approver
from shipway.commands.documents import KeptReceipts, write_out
from shipway.commands.preview_desk import Desk
from shipway.commands.preview_requests import refuse_outdated
from shipway.commands.run import concluded, confirmed, open_view
from shipway.commands.setting import heeding_signals, surroundings
from shipway.context import Context
from shipway.declaration import Declaration
from shipway.environment_record import EnvironmentRecord, EnvironmentState, Happening, in_state, with_stuck
from shipway.errors import EXIT_FAILED, EXIT_NOT_UNDONE, Reason, UnreachableError, UsageError
from shipway.events import Events
from shipway.lifecycle import run_lifecycle
from shipway.nodes import FAILURES, Immediate
from shipway.plan import Plan
from shipway.preview_derivation import recorded_data, with_left
from shipway.preview_moving import dropped, moved, roles_of
from shipway.preview_names import service_url
from shipway.preview_seats import Seats
from shipway.preview_settings import Doing
from shipway.redaction import trusted
from shipway.render import terminal
from shipway.render.foreign import inert
from shipway.undertaking import Finished, Request

MODE = "preview"


class Operation(Struct, frozen=True):
    """What is done to an environment: its name for people, the state that it is in meanwhile, and the one after success.

    `removes`: it takes away, so that a failure is something that is still there.
    """

    name: str
    during: EnvironmentState
    after: EnvironmentState
    removes: bool = False


UP = Operation("up", EnvironmentState.CREATING, EnvironmentState.READY)
STOP = Operation("stop", EnvironmentState.DESTROYING, EnvironmentState.STOPPED, removes=True)
DOWN = Operation("down", EnvironmentState.DESTROYING, EnvironmentState.GONE, removes=True)


MOST_PLANS = 3
"""So often is an `up` planned, where what a plan found there is gone by the time it is carried out."""


def is_outrun(operation: Operation, finished: Finished) -> bool:
    """Whether the world was another by the time that an `up` came to it: what is there now is planned anew, and made whole."""
    return operation is UP and finished.error is not None and finished.error.reason is Reason.PREDICTION_BROKEN


def outrun_words(finished: Finished) -> str:
    """Why it is planned anew, for people."""
    return f"{finished.error.message if finished.error is not None else ''}; it is planned anew"


def operate(operation: Operation, request: Request, desk: Desk, arguments: Namespace, context: Context) -> int:
    """Take the request through its phases with the record of the environment kept; the exit code."""
    for left in reversed(range(MOST_PLANS)):
        finished, keeper, record = _operated(operation, request, desk, arguments, context)
        if not left or not is_outrun(operation, finished):
            break
        terminal.write(terminal.standard_error(), trusted(inert(f"{outrun_words(finished)}\n")))
    code = concluded(finished, keeper.path, arguments, context)
    if record is not None and record.state is EnvironmentState.READY and not arguments.json:
        write_out("".join(f"{name}: {url}\n" for name, url in sorted(record.urls.items())))
    return EXIT_NOT_UNDONE if operation.removes and code == EXIT_FAILED else code


def _operated(
    operation: Operation, request: Request, desk: Desk, arguments: Namespace, context: Context
) -> tuple[Finished, KeptReceipts, EnvironmentRecord | None]:
    events, keeper = Events(), KeptReceipts(desk.repository.root)
    view = open_view(arguments, context)
    events.subscribe(view)
    events.wants_output = view.wants_output
    telling = Telling(operation, desk, context)

    def confirm(plan: Plan) -> bool:
        if not confirmed(plan, arguments, context, must_ask=True):
            return False
        view.expect((*plan.nodes, *plan.compensations))
        telling.begin(plan)
        return True

    around = surroundings(context, desk.repository, events, keeper)
    with heeding_signals(around.interruption), view:
        asked = replace(request, execute=True, confirm=confirm)
        if not operation.removes:  # what takes away was approved with what it takes away
            asked = replace(asked, approver=approver(arguments, context, _call(arguments)))
        finished = run_lifecycle(asked, around)
    telling.end(finished)
    return finished, keeper, telling.record


def _call(arguments: Namespace) -> str:
    """How this was asked for, but for what `approver` adds."""
    words = [str(value) for name in ("path", "service") if (value := getattr(arguments, name, None)) is not None]
    return shlex.join(["shipway", "preview", arguments.part, *words])


class Telling:
    """Tells an environment's record what a run does to it: that it begins, under the lock of its target, and how it ended."""

    def __init__(self, operation: Operation, desk: Desk, context: Context) -> None:
        self._operation = operation
        self._desk = desk
        self._context = context
        self._token = context.random_hex(8)
        self._has_begun = False
        self._has_quota = False
        self._before: EnvironmentRecord | None = None
        self.record: EnvironmentRecord | None = None

    def begin(self, plan: Plan) -> None:
        """Note that the run begins. Raises UnreachableError where there are as many environments as may be, or this one changed."""
        facts = preview_facts(plan)
        self._has_quota = facts.get("quota") is not None
        if self._operation.removes:
            refuse_outdated(Doing(self._operation.name), self._desk)
        else:
            self._refuse_stranded(plan)
            self._take_seat(facts)
        self._desk.environments.change(self._desk.target, lambda before: self._begun(before, plan, facts))
        self._has_begun = True

    def end(self, finished: Finished) -> None:
        """Note how it ended, unless another run is at it by now. Raises StoreError."""
        if self._has_begun:
            change = self._desk.environments.change
            self.record = change(self._desk.target, lambda before: self._ended(before, finished))
            if self._has_quota and not self.record.is_alive:
                self._seats.give_back(self._desk.target)

    def _take_seat(self, facts: Mapping[str, Json]) -> None:
        """Raises UnreachableError where there are as many environments as may be."""
        desk, quota = self._desk, facts.get("quota")
        if self._operation.removes or not isinstance(quota, int):
            return
        others = self._seats.take(desk.target, quota)
        if others:
            known = {each.target: each.created_ms for each in desk.environments.all()[0]}
            oldest = min(others, key=lambda target: (known.get(target, desk.clock_ms()), target))
            raise UnreachableError(
                f"`{desk.lifecycle}` has {len(others)} environments, and its quota is {quota}: the oldest is `{oldest}`",
                reason=Reason.QUOTA_REACHED,
                next=f"remove one, for example `shipway preview down --target {oldest}`; nothing was started",
            )

    @property
    def _seats(self) -> Seats:
        return Seats(self._desk.store, self._desk.lifecycle, self._desk.clock_ms)

    def _refuse_stranded(self, plan: Plan) -> None:
        """Refuse what would leave behind, unseen, what was made elsewhere or by stages that are no more. Raises UsageError."""
        record, declared = self._desk.record(), self._desk.declared
        if record is None or not record.is_alive or not record.checkpoints or declared is None:
            return
        stages, host = dropped(record, roles_of(declared)), _host_of(plan)
        if stages:
            was = f"was made by the stage `{stages[0]}` too"
        elif record.backend and backend_of(plan) != record.backend:
            was = f"lives by the backend `{record.backend}`"
        elif record.host and host and host != record.host:
            was = f"lives on the host `{record.host}`"
        else:
            return
        raise UsageError(
            f"the environment `{record.target}` {was}, which the declaration does not name any more",
            reason=Reason.TARGET_REFUSED,
            next=f"take it down as it was declared, then run again: `shipway preview down --target {record.target}`",
        )

    def _begun(self, before: EnvironmentRecord | None, plan: Plan, facts: Mapping[str, Json]) -> EnvironmentRecord:
        self._before = before
        now, ci, repository, own = self._desk.clock_ms(), self._context.ci, self._desk.repository, self._desk.checkout
        known_branch = ci.head_ref if ci else repository.branch
        record = before or EnvironmentRecord(self._desk.lifecycle, self._desk.target, created_ms=now)
        if not record.is_alive:
            record = replace(record, created_ms=now)
        if not self._operation.removes:
            declared = self._desk.declared
            record = moved(record, roles_of(declared)) if declared is not None else record
            record = replace(
                record,
                branch=(own.branch if own else "") or known_branch or record.branch,
                base=(ci.base_ref if ci else "") or record.base,
                commit=self._commit,
                pull_request=ci.pull_request if ci and ci.pull_request is not None else record.pull_request,
                backend=backend_of(plan),
                ttl_ms=_integer_or_none(facts.get("ttl_ms")),
                touched_ms=now,
                declaration=recorded_text(declared, record) if declared is not None else record.declaration,
                file=os.path.relpath(self._desk.file, repository.root),
            )
        record = replace(record, run=self._token, actor=self._actor)
        return in_state(record, self._operation.during, self._happening(self._operation.name))

    def _ended(self, before: EnvironmentRecord | None, finished: Finished) -> EnvironmentRecord:
        assert before is not None
        if before.run != self._token:
            return before
        receipt = finished.receipt
        has_failed = finished.error is not None or receipt is None or receipt.exit_code != 0
        cause = _cause(finished)
        if self._before is not None and has_failed and not (receipt and receipt.nodes):  # refused: nothing was started
            refused = self._happening(f"{self._operation.name}: refused", cause=cause)
            return in_state(self._before, self._before.state, refused, cause=self._before.cause)
        run = receipt.run if receipt is not None else ""
        record = replace(before, run=run)
        if receipt is not None and self._operation.removes:
            for result in receipt.nodes:
                if result.outcome in FAILURES:
                    record = with_stuck(record, result.node, result.error or result.outcome.value)
        state = EnvironmentState.FAILED if has_failed else self._after(finished.plan)
        if not self._operation.removes and finished.plan is not None and not has_failed:
            record = replace(record, **_found(finished.plan, record))
        return in_state(
            record, state, self._happening(f"{self._operation.name}: {state.value}", run, cause), cause=cause
        )

    def _after(self, plan: Plan | None) -> EnvironmentState:
        """An environment without its runner is not ready: nothing answers there."""
        roles = preview_roles(plan) if plan is not None else set()
        is_part = self._operation is UP and "runner" not in roles
        return EnvironmentState.CREATING if is_part else self._operation.after

    def _happening(self, what: str, run: str = "", cause: str = "") -> Happening:
        commit = (self._desk.checkout or self._desk.repository).commit or ""
        return Happening(self._desk.clock_ms(), what, self._actor, run, commit, cause)

    @property
    def _commit(self) -> str:
        """What it is brought to: that of a checkout of somebody's own, the head of the pull request, or what is here."""
        ci, own = self._context.ci, self._desk.checkout
        return (own.commit if own else ci.head_sha if ci else self._desk.repository.commit) or ""

    @property
    def _actor(self) -> str:
        return self._context.ci.actor if self._context.ci else self._context.user


def preview_facts(plan: Plan) -> Mapping[str, Json]:
    """What the preview stages of a plan say of the environment: the context of all of them together."""
    return {name: value for stage in plan.stages if stage.mode == MODE for name, value in stage.context.items()}


def backend_of(plan: Plan) -> str:
    """What an environment lives by: `local` or `ssh`; both of its stages do so by the same."""
    return next((stage.backend or "" for stage in plan.stages if stage.mode == MODE), "")


def preview_roles(plan: Plan) -> set[str]:
    """The roles of the preview stages that are in a plan."""
    return {str(stage.context.get("role", "")) for stage in plan.stages if stage.mode == MODE}


def _host_of(plan: Plan) -> str:
    """The host that the declaration itself names; empty where a hook gives one, or there is none."""
    slots = (node.slots.get("host") for node in plan.nodes if node.action == "preview.compute")
    return next((str(slot.value) for slot in slots if isinstance(slot, Immediate)), "")


def recorded_text(declared: Declaration, record: EnvironmentRecord) -> str:
    """The merged declaration as the record keeps it: with what else there is to be taken away by then."""
    before = mapping(json.loads(record.declaration)) if record.declaration else {}
    return canonical_bytes(with_left(recorded_data(declared), before, record.checkpoints.keys())).decode()


def _found(plan: Plan, record: EnvironmentRecord) -> dict[str, object]:
    """Where the environment lives and answers, by what its nodes have left, in this run and before."""
    left = {node.partition("/")[2]: checkpoint.outputs for node, checkpoint in record.checkpoints.items()}
    compute, ports = dict(left.get("compute", {})), dict(left.get("ports", {}))
    for node in plan.nodes:  # one that runs by a manifest leases nothing itself
        slots = {name: slot.value for name, slot in node.slots.items() if isinstance(slot, Immediate)}
        if node.action == "preview.service":
            ports.setdefault(str(slots["name"]), slots.get("port"))
            compute = compute or dict(mapping(slots.get("compute")))
    host, root = (str(compute.get(name) or "") for name in ("host", "root"))
    domain = str(preview_facts(plan).get("domain") or "")
    names = [node.removeprefix("service/") for node, outputs in left.items() if "log" in outputs]
    urls = {name: service_url(plan.target, name, port, host, domain) for name in names if (port := ports.get(name))}
    return {"host": host, "root": root, "urls": urls}


def _cause(finished: Finished) -> str:
    if finished.error is not None:
        return finished.error.message
    for result in finished.receipt.nodes if finished.receipt is not None else ():
        own = result.attempts[-1].outcome if result.attempts else result.outcome  # that of one that was undone says so
        if own in FAILURES:
            return f"{result.node}: {result.error or own.value}"
    return ""


def _integer_or_none(value: Json) -> int | None:
    return value if isinstance(value, int) else None
