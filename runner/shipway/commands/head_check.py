"""Whether what runs is still on its branch: asked of the forge before execution and before what cannot be undone."""

from __future__ import annotations

from collections.abc import Callable

from shipway.ci import CiContext, Provider
from shipway.commands.stores import github_of
from shipway.context import Context
from shipway.errors import Reason, VerificationError
from shipway.forges.forge import Forge, ForgeError
from shipway.plan import Plan

KEPT_MS = 10_000
"""How long an answer counts for nodes, and that there was none: 360 requests an hour at most. A repository's token has 1,000.
Source: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api"""


class HeadCheck:
    """Asks whether this job's commit is on the branch that it was pushed to. What came after it has a run of its own.

    Where a stage needs approval, not to know is to refuse; else it is said once, by `say`, and the run goes on.
    """

    def __init__(self, context: Context, ci: CiContext, say: Callable[[str], None]) -> None:
        self._context = context
        self._ci = ci
        self._say = say
        self._forge: Forge | None = None
        self._asked_ns: int | None = None
        self._failure: ForgeError | None = None
        self._has_begun = False
        self._has_said = False

    def __call__(self, plan: Plan) -> None:
        """Raises VerificationError (`head-moved`) where the commit was taken off its branch, ForgeError where nobody can tell."""
        ci = self._ci
        if ci.provider is not Provider.GITHUB or not ci.branch:
            return
        now = self._context.monotonic_ns()
        if self._asked_ns is not None and now - self._asked_ns < KEPT_MS * 1_000_000:
            self._judge(plan, ci.branch)
            return
        self._failure = None
        try:
            is_there = self._ask(ci.branch)
        except ForgeError as error:
            # Nodes that begin together wait in turn: a forge that does not answer is not to be waited for by each.
            self._failure, self._asked_ns = error, self._context.monotonic_ns()
            self._judge(plan, ci.branch)
            return
        if not is_there:
            raise VerificationError(
                f"{ci.sha[:7]} is not on `{ci.branch}` any more: the branch was put back or written anew",
                reason=Reason.HEAD_MOVED,
                next="look at what the branch holds now, and run that",
            )
        # What was found before anything started is asked again by the first node, however soon that comes.
        self._asked_ns = now if self._has_begun else None
        self._has_begun = True

    def _judge(self, plan: Plan, branch: str) -> None:
        """What the last answer means where it still counts. Raises ForgeError where it is not known and has to be."""
        if self._failure is None:
            return
        if plan.approval_rules:
            raise self._failure
        self._tell(f"whether {self._ci.sha[:7]} is still on `{branch}` is not known: {self._failure.message}")

    def _ask(self, branch: str) -> bool:
        if self._ci.token is None:
            raise ForgeError(
                "the job has no token",
                reason=Reason.FORGE_PERMISSION,
                next="pass the action its `token`, with `permissions: {contents: read}`",
            )
        self._forge = self._forge or github_of(self._ci, self._context, is_hasty=True)
        return self._forge.has_commit(branch, self._ci.sha)

    def _tell(self, text: str) -> None:
        if not self._has_said:
            self._say(text)
        self._has_said = True
