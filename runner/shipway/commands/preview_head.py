"""Whether a pull request's environment is still to be brought to this commit: asked of the forge between the nodes of a run."""

from __future__ import annotations

from collections.abc import Callable

from shipway.commands.stores import github_of
from shipway.context import Context
from shipway.errors import Reason, ShipwayError, VerificationError
from shipway.forges.previews import PullState
from shipway.plan import Plan
from shipway.render.wording import short_commit

KEPT_MS = 2_000
"""How long an answer counts, so that nodes that begin together ask once: an environment has some tens of nodes, a token has
1,000 requests an hour. Source: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api"""


class Superseded(VerificationError):
    """Another run is to have this environment: for a later head, or to take it down."""

    default_reason = Reason.RUN_SUPERSEDED


class PullHead:
    """Asks whether this job's commit is the head of its pull request, and that open. Where nobody answers, that is said once."""

    def __init__(
        self, context: Context, say: Callable[[str], None], ask: Callable[[], PullState] | None = None
    ) -> None:
        assert context.ci is not None and context.ci.pull_request is not None
        self._ci = context.ci
        self._number = context.ci.pull_request
        self._context = context
        self._say = say
        self._ask = ask or self._ask_github
        self._asked_ns: int | None = None
        self._has_said = False

    def __call__(self, plan: Plan) -> None:
        """Raises Superseded where a later head or the end of the pull request has taken over."""
        now = self._context.monotonic_ns()
        if self._asked_ns is not None and now - self._asked_ns < KEPT_MS * 1_000_000:
            return
        self.check()
        self._asked_ns = self._context.monotonic_ns()

    def check(self) -> None:
        """Asks now, whenever it was asked last. Raises Superseded."""
        try:
            state = self._ask()
        except ShipwayError as error:
            if not self._has_said:
                self._say(f"whether {self._ci.head_sha[:7]} is still the head is not known: {error.message}")
            self._has_said = True
            return
        if not state.is_open:
            raise Superseded(
                f"pull request #{state.number} is closed",
                next="the run of that event takes the environment down, or else the next sweep",
            )
        if state.head != self._ci.head_sha:
            raise Superseded(
                f"pull request #{state.number} is at {short_commit(state.head)} by now, not at {short_commit(self._ci.head_sha)}",
                next="the run of that commit brings the environment up; nothing is to be done here",
            )

    def _ask_github(self) -> PullState:
        from shipway.forges.github import GitHub  # late: requests takes 100 ms

        forge = github_of(self._ci, self._context, is_hasty=True)
        assert isinstance(forge, GitHub)
        return forge.pull(self._number)
