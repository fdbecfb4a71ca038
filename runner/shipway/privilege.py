"""Whether this process could do what needs privilege: it is root, or may become so by sudo without a password."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

_PATIENCE_S = 10


def has_privilege(env: Mapping[str, str]) -> bool:
    """Whether the effective user is root, or `sudo` on the PATH of `env` runs a command without asking for a password."""
    if os.geteuid() == 0:
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
