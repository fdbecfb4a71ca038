"""How files are written, read and deleted below the root of a preview: POSIX sh, the same here and on a host. Pure.

Each script runs in the root and walks to its file part by part, so that neither `..` nor a link leads it out.
"""

from __future__ import annotations

from shlex import quote

from shipway.action import ActionFailed
from shipway.compute_access import Ran, Refused

ABSENT = 3
"""There is no such file."""

_OUTSIDE = 43
_NO_FILE = 44
_CUT_OFF = 45

_INSIDE = f"""inside() {{ case "$(pwd -P)/" in "$r"/*) ;; *) exit {_OUTSIDE} ;; esac; }}
r=$(pwd -P); [ "$r" != / ] || r=
"""


def parts_of(path: str) -> list[str]:
    """The parts of a path below the root. Raises Refused for one that is absolute, empty, or leads out."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or not parts or ".." in parts or "\0" in path:
        raise Refused(f"`{path}` is no path below the root of the preview")
    return parts


def enter_script(path: str) -> str:
    """Go to the folder `path` below the root, as the start of a script."""
    if not path or path == ".":
        return ""
    missing = f"{{ echo {quote(f'there is no folder {path}')} >&2; exit {_NO_FILE}; }}"
    steps = "".join(f"cd -P -- {quote('./' + part)} 2>/dev/null || {missing}; inside\n" for part in parts_of(path))
    return _INSIDE + steps


def write_script(path: str, size: int, mode: int) -> str:
    """Replace the file by what comes on stdin, `size` bytes."""
    return f"""umask 077
{_walk(path, makes=True)}[ ! -d "$f" ] || exit {_NO_FILE}
t="./.shipway-$$.new"
trap 'rm -f -- "$t"' EXIT
cat > "$t" || exit 1
[ "$(wc -c < "$t")" -eq {size} ] || exit {_CUT_OFF}
chmod {mode:04o} "$t" && mv -f -- "$t" "$f"
"""


def read_script(path: str) -> str:
    """Print the file."""
    return f'{_walk(path)}[ -f "$f" ] || exit {ABSENT}\ncat -- "$f"\n'


def delete_script(path: str) -> str:
    """Remove the file, or the link that stands there."""
    return f'{_walk(path, follows=False)}if [ -d "$f" ] && [ ! -L "$f" ]; then exit {_NO_FILE}; fi\nrm -f -- "$f"\n'


def check(path: str, ran: Ran) -> Ran:
    """What came of one of these scripts. Raises Refused or ActionFailed."""
    match ran.exit_code:
        case 0 | 3:
            return ran
        case 43:
            raise Refused(f"`{path}` leads out of the root of the preview")
        case 44:
            raise ActionFailed(f"`{path}` is no file, or a part of it is no folder", is_permanent=True)
        case 45:
            raise ActionFailed(f"`{path}` was cut off on its way, and is as it was before")
    raise ActionFailed(f"`{path}`: {ran.said() or f'exit {ran.exit_code}'}")


def _walk(path: str, *, makes: bool = False, follows: bool = True) -> str:
    """Stand in the folder of the file, with its name in `$f`."""
    *folders, name = parts_of(path)
    missing = f"mkdir -m 755 -- {{0}} 2>/dev/null || [ -d {{0}} ] || exit {_NO_FILE}" if makes else f"exit {ABSENT}"
    lines = [_INSIDE]
    for part in folders:
        step = quote("./" + part)
        lines.append(f"[ -d {step} ] || {{ {missing.format(step)}; }}; cd -P -- {step} || exit {_NO_FILE}; inside\n")
    lines.append(f"f={quote('./' + name)}\n")
    if follows:
        lines.append(
            'if [ -L "$f" ]; then\n'
            '    l=$(readlink -f -- "$f") || l=\n'
            f'    case "$l" in "$r"/*) f=$l; cd -P -- "$(dirname -- "$l")" || exit {_NO_FILE} ;; *) exit {_OUTSIDE} ;; esac\n'
            "fi\n"
        )
    return "".join(lines)
