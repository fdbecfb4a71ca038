"""Whether this process could do what needs privilege: it is root, or may become so by sudo without a password."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence

_PATIENCE_S = 10


def is_root() -> bool:
    """Whether the effective user is root; False where there is no such user."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def has_privilege(env: Mapping[str, str]) -> bool:
    """Whether the effective user is root, or `sudo` on the PATH of `env` runs a command without asking for a password."""
    if is_root():
        return True
    sudo = shutil.which("sudo", path=env.get("PATH"))
    if sudo is None:
        return False
    import subprocess  # ten milliseconds that a run without privileged steps does not need

    command = [sudo, "-n", "true"]
    try:
        done = subprocess.run(command, env=dict(env), capture_output=True, timeout=_PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def elevated(argv: Sequence[str], env: Mapping[str, str], *, is_root: bool) -> tuple[str, ...]:
    """The command line by which a node that declares `privileged` runs `argv`: itself as root, else by sudo, which never asks.

    sudo keeps the variables of `env`, but for PATH and HOME, which are root's.
    """
    if is_root:
        return tuple(argv)
    kept = ",".join(sorted(name for name in env if name not in ("PATH", "HOME", "USER", "SHELL")))
    return ("sudo", "-n", *([f"--preserve-env={kept}"] if kept else []), "--", *argv)
