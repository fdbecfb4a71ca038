"""How long to wait before trying again. Pure: the policy, the retry's number and a random fraction in, milliseconds out."""

from __future__ import annotations

from shipway.declaration import Backoff, Retry


def delay_ms(policy: Retry, retry: int, fraction: float = 0.5) -> int:
    """Milliseconds to wait before retry number `retry` (from 1): constant d, linear d·k, exponential d·2^(k-1), then the cap.

    `fraction` in [0, 1) spreads the delay over ± `jitter_percent`; 0.5 leaves it as it is. Raises ValueError for retry 0.
    """
    if retry < 1:
        raise ValueError("retries are numbered from 1")
    match policy.backoff:
        case Backoff.CONSTANT:
            delay = policy.initial_ms
        case Backoff.LINEAR:
            delay = policy.initial_ms * retry
        case Backoff.EXPONENTIAL:
            # No delay doubles past a century: the exponent is bounded so that the integer stays small.
            delay = policy.initial_ms * 2 ** min(retry - 1, 40)
    if policy.max_ms is not None:
        delay = min(delay, policy.max_ms)
    spread = delay * policy.jitter_percent / 100
    return max(0, round(delay + spread * (2 * fraction - 1)))


def wait_ms(policy: Retry, retry: int, asked_ms: int | None, fraction: float = 0.5) -> int:
    """Like `delay_ms`, but where whoever refused asked for `asked_ms`, that is what it gets, whatever the policy says."""
    return delay_ms(policy, retry, fraction) if asked_ms is None else asked_ms


def has_another(policy: Retry, attempts: int) -> bool:
    """Whether a node that was tried `attempts` times may be tried again."""
    return attempts < policy.attempts
