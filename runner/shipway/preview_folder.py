"""The folder in which a preview keeps what is Shipway's own where it lives: logs, process numbers, what was kept aside. Pure."""

from __future__ import annotations

FOLDER = ".shipway/preview"
"""Below the root of the preview. git does not see it."""


def log_path(service: str) -> str:
    """The log of a service, relative to the root; that of the start before it has `.1` behind it."""
    return f"{FOLDER}/{service}.log"


def make_folder_script() -> str:
    """Make it, as the start of a script that runs in the root. It is never made behind a link."""
    return (
        f"for d in .shipway {FOLDER}; do\n"
        '    if [ -L "$d" ]; then echo "$d is a link, which is not followed" >&2; exit 1; fi\n'
        '    [ -d "$d" ] || mkdir -m 700 -- "$d" 2>/dev/null || [ -d "$d" ] || exit 1\n'
        f"done\n[ -f {FOLDER}/.gitignore ] || echo '*' > {FOLDER}/.gitignore\n"
    )


def remove_folder_script() -> str:
    """Remove it, and `.shipway` where nothing else is in that."""
    return f"[ -L .shipway ] || {{ rm -rf -- {FOLDER}; rmdir .shipway 2>/dev/null; }}\ntrue\n"
