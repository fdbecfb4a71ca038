"""Ports claimed on the machine that binds them, so that environments whose leases lie in different stores do not meet either.

A claim is a file named by the port in one folder of the account, and says whose place it is for: one whose place is gone
counts for nothing. Leases decide, claims only keep strangers apart: where no folder can be had, none is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from shlex import quote

from shipway.compute_access import Access

_FOLDER = """d=${HOME:-/nowhere}/.local/state/shipway/ports
(umask 077; mkdir -p "$d") 2>/dev/null || exit 0
"""
"""Where XDG's base directories have state by default. Source: https://specifications.freedesktop.org/basedir-spec/latest/"""


def claimed_by_others(outside: Access, root: str) -> frozenset[int]:
    """The ports that other places on the machine have claimed. `outside` has the root `/`. Raises what reaching it raises."""
    script = (
        f'{_FOLDER}for f in "$d"/*; do\n[ -f "$f" ] || continue\nread -r r < "$f" || continue\n'
        f'[ "$r" != {quote(root)} ] || continue\nif [ -d "$r" ]; then echo "${{f##*/}}"; else rm -f -- "$f"; fi\ndone\n'
    )
    return _numbers(outside.run(script).text)


def claim(outside: Access, root: str, ports: Iterable[int]) -> frozenset[int]:
    """Claim ports for a place; those that another one was faster to claim."""
    listed = " ".join(map(str, ports))
    script = (
        f"{_FOLDER}for p in {listed}; do\n"
        f"(set -C; umask 077; printf '%s\\n' {quote(root)} > \"$d/$p\") 2>/dev/null && continue\n"
        f'r=; read -r r < "$d/$p"; [ "$r" = {quote(root)} ] || echo "$p"\ndone\n'
    )
    return _numbers(outside.run(script).text)


def give_up(outside: Access, root: str) -> None:
    """Take back every claim of a place."""
    script = (
        f'{_FOLDER}for f in "$d"/*; do\n[ -f "$f" ] || continue\nread -r r < "$f" || continue\n'
        f'[ "$r" != {quote(root)} ] || rm -f -- "$f"\ndone\n'
    )
    outside.run(script)


def _numbers(text: str) -> frozenset[int]:
    return frozenset(int(line) for line in text.split() if line.isdigit())
