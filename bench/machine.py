"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path


def facts() -> str:
    """One paragraph: processor, cores, kernel, Python, and how busy the machine was when measuring began."""
    busy = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    cores = os.cpu_count()
    return (
        f"Measured on {_processor()}, {cores} cores, {platform.system()} {platform.release()}, "
        f"{platform.python_implementation()} {sys.version.split()[0]}. "
        f"Load average at the start: {busy}; above {cores} others were using the machine too, and only ratios count."
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
