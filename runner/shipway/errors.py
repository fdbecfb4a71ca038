"""Every way Shipway refuses or fails, with its exit code and reason. Owns no text layout: `render` draws, `cli` exits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from msgspec import Struct

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CHANGES = 3
EXIT_NOT_UNDONE = 4
EXIT_UNVERIFIED = 5
EXIT_UNREACHABLE = 6
EXIT_BUG = 70
EXIT_INTERRUPTED = 130


class Reason(StrEnum):
    """The closed list of words a machine may match on. Documented in docs/exit-codes.md."""

    DECLARATION_INVALID = "declaration-invalid"
    DECLARATION_MISSING = "declaration-missing"
    USAGE = "usage"
    NO_BACKEND = "no-backend"
    CAPABILITY_MISSING = "capability-missing"
    BACKEND_FAILED = "backend-failed"
    DOCUMENT_INVALID = "document-invalid"
    PLAN_DIGEST = "plan-digest"
    RECEIPT_DIGEST = "receipt-digest"
    RECEIPT_CHAIN = "receipt-chain"
    UNSIGNED = "unsigned"
    PLAN_DIFFERS = "plan-differs"
    CONFLICT = "conflict"
    TARGET_CHANGED = "target-changed"
    PREDICTION_BROKEN = "prediction-broken"
    PLAN_EXPIRED = "plan-expired"
    POLICY_DENIED = "policy-denied"
    POLICY_ERROR = "policy-error"
    BREAK_GLASS_REFUSED = "break-glass-refused"
    APPROVAL_MISSING = "approval-missing"
    APPROVAL_STALE = "approval-stale"
    APPROVAL_EXPIRED = "approval-expired"
    ARTIFACT_FOREIGN = "artifact-foreign"
    BASE_MOVED = "base-moved"
    BASE_UNKNOWN = "base-unknown"
    NOT_PROMOTED = "not-promoted"
    HEAD_MOVED = "head-moved"
    DECLARATION_CHANGED = "declaration-changed"
    VERSION_CHANGED = "version-changed"
    PLATFORM_DIFFERS = "platform-differs"
    TARGET_REFUSED = "target-refused"
    EVENT_REFUSED = "event-refused"
    FORK_CODE = "fork-code"
    ARTIFACT_INVALID = "artifact-invalid"
    NOT_CONFIRMED = "not-confirmed"
    PLATFORM_UNSUPPORTED = "platform-unsupported"
    UNWRITABLE = "unwritable"
    LOCK_HELD = "lock-held"
    LEASE_LOST = "lease-lost"
    QUOTA_REACHED = "quota-reached"
    JOURNAL_DAMAGED = "journal-damaged"
    JOURNAL_NEWER = "journal-newer"
    RUN_UNKNOWN = "run-unknown"
    RUN_SUPERSEDED = "run-superseded"
    OUTCOME_UNKNOWN = "outcome-unknown"
    LOCK_LOST = "lock-lost"
    LOCK_PERMISSION = "lock-permission"
    STORE_UNREACHABLE = "store-unreachable"
    FORGE_UNREACHABLE = "forge-unreachable"
    FORGE_PERMISSION = "forge-permission"
    ENVIRONMENT_CHANGED = "environment-changed"
    STEP_FAILED = "step-failed"
    NOT_UNDONE = "not-undone"
    DRIFTED = "drifted"
    INTERRUPTED = "interrupted"
    BUG = "bug"


class Position(Struct, frozen=True):
    """A place in a text file: `line` and `column` count from 1, columns in code points, `width` code points long."""

    file: str
    line: int
    column: int
    width: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Problem(Struct, frozen=True):
    """One thing wrong in a declaration: what (`text`), where, the source line as written, and a hint under the caret.

    `text` and `hint` are lower case and carry no position; `line` is empty where there is no source to show.
    """

    text: str
    where: Position | None = None
    line: str = ""
    hint: str = ""


class ShipwayError(Exception):
    """Base of every error with an exit code. Fields, not text, carry the facts: terminal, comment and tests see the same.

    `where` and `line` point into the declaration; `next` is what to type or change; `problems` lists them all at once.
    `trace` is the traceback of a bug, masked, where somebody knew what to mask.
    """

    exit_code: int = EXIT_BUG
    default_reason: Reason = Reason.BUG

    def __init__(
        self,
        message: str,
        *,
        reason: Reason | None = None,
        phase: str = "",
        stage: str = "",
        backend: str = "",
        where: Position | None = None,
        line: str = "",
        next: str = "",
        problems: Sequence[Problem] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.phase = phase
        self.stage = stage
        self.backend = backend
        self.where = where
        self.line = line
        self.next = next
        self.problems = tuple(problems)
        self.trace = ""

    def __str__(self) -> str:
        return self.message


class RunFailed(ShipwayError):
    """Something that ran failed, and what was to be undone was: exit 1."""

    exit_code = EXIT_FAILED
    default_reason = Reason.STEP_FAILED


class UsageError(ShipwayError):
    """The declaration or the call is wrong; nothing was started: exit 2."""

    exit_code = EXIT_USAGE
    default_reason = Reason.USAGE


class DeclarationError(UsageError):
    """The declaration has problems, all of them in `problems`: exit 2."""

    default_reason = Reason.DECLARATION_INVALID


class VerificationError(ShipwayError):
    """What would run or was read is not what was approved or sealed: exit 5."""

    exit_code = EXIT_UNVERIFIED
    default_reason = Reason.PLAN_DIFFERS


class UnreachableError(ShipwayError):
    """A store, lock, forge or disk that is needed cannot be reached or written: exit 6."""

    exit_code = EXIT_UNREACHABLE
    default_reason = Reason.FORGE_UNREACHABLE


class Interrupted(ShipwayError):
    """Stopped by a signal before it was done: exit 130."""

    exit_code = EXIT_INTERRUPTED
    default_reason = Reason.INTERRUPTED


def trace_of(error: BaseException) -> str:
    """The traceback of an error, for whoever corrects it. Not masked."""
    import traceback  # late: only a bug pays for it

    return "".join(traceback.format_exception(error))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, or None where nothing is close. Deterministic: ties fall to sorted order."""
    from difflib import get_close_matches  # late: only a mistake needs it, and every start would pay for it

    found = get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return found[0] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """ "did you mean `x`?" for the nearest known word, or an empty text where there is none."""
    guess = nearest(word, known)
    return f"did you mean `{guess}`?" if guess else ""
