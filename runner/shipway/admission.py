"""Whether a plan may run: what its policies say, who approved it, who overrides a refusal. Executes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from shipway.approval import Sanction
from shipway.approvals import AccountedNode
from shipway.errors import ShipwayError
from shipway.events import Warned
from shipway.foretold import keeping
from shipway.logbook import Logbook
from shipway.look_ahead import refuse_other_world
from shipway.plan import Plan
from shipway.policies import Verdict
from shipway.policing import PolicyTools, ask_policies
from shipway.policy import Clearance, covers, refusal
from shipway.preflight import refuse_conflicts
from shipway.undertaking import Request, Surroundings


class Admission:
    """Everything that stands between a plan and its execution, in the order in which it is asked.

    `sanction` is who approved, `clearance` what the policies said and who overrode them: as far as that is known, also after
    a refusal, so that a receipt can tell. `accounted` are approved nodes that the plan lacks, and why that is all right.
    """

    def __init__(
        self, request: Request, around: Surroundings, logbook: Logbook, policy_tools: Callable[[], PolicyTools]
    ) -> None:
        self.sanction = Sanction()
        self.clearance = Clearance()
        self.accounted: tuple[AccountedNode, ...] = ()
        self._request = request
        self._around = around
        self._logbook = logbook
        self._policy_tools = policy_tools

    def judged(self, plan: Plan) -> Plan:
        """The plan with what its policies say of it, but for what the clock decides."""
        return replace(plan, verdicts=ask_policies(plan, self._policy_tools(), None)) if plan.all_policies else plan

    def refuse_early(self, plan: Plan) -> None:
        """Raise what is in the way, or what the policies said when the plan was made, before anybody is asked.

        What policies said is not raised where glass is to be broken.
        """
        if self._request.is_undoing:
            return
        refuse_conflicts(plan.preflight)
        if self._request.breaker is not None:
            return
        refused = self._refusal(plan.verdicts)
        if refused is not None:
            self.clearance = Clearance(plan.verdicts)
            raise refused

    def admitted(self, plan: Plan) -> Plan:
        """The plan, which holds what was foretold to those who approved it. Undoing was approved with what is undone.

        Raises ShipwayError where nobody approved it, where a policy refuses it, or where its commit is off its branch.
        """
        self.sanction = self._approved(plan)
        if self.sanction.reviewed is not None:
            plan = keeping(plan, self.sanction.reviewed)
        if self._request.is_undoing:
            self.clearance = self._logbook.clearance()
            return plan
        self.clearance = self._cleared(plan)
        self._request.check_head(plan)
        refuse_other_world(plan, self._around.repository.root)
        return plan

    def _approved(self, plan: Plan) -> Sanction:
        earlier = self._logbook.sanction()
        asks = plan.approval_rules and not self._request.is_undoing
        sanction = self._request.approver(plan, earlier) if asks else earlier
        return replace(sanction, accounted=sanction.accounted or self.accounted)

    def _cleared(self, plan: Plan) -> Clearance:
        """What the policies say right before the run, and who overrides those that refuse it."""
        tools, emit, breaker = self._policy_tools(), self._around.events.emit, self._request.breaker
        verdicts = ask_policies(plan, tools, self._around.context.now())
        self.clearance = Clearance(verdicts, self._logbook.clearance().broken)
        refused = self._refusal(verdicts)
        if refused is None:
            if breaker is not None:
                emit(Warned("no policy refuses the plan: there was no glass to break"))
            return self.clearance
        if breaker is None:
            raise refused
        against = tuple(verdict for verdict in verdicts if verdict.refuses)
        broken = breaker(plan, against)
        broken = replace(broken, reason=tools.redact(broken.reason))
        names = ", ".join(verdict.words for verdict in against)
        emit(Warned(f"policies are overridden by {broken.by}: {names}: {broken.reason}"))
        return Clearance(verdicts, broken)

    def _refusal(self, verdicts: Sequence[Verdict]) -> ShipwayError | None:
        """Why the policies do not let the plan run; None where they do, or where the run was begun in spite of them."""
        return None if covers(self._logbook.clearance().broken, verdicts) else refusal(verdicts)
