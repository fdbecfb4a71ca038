"""What the core asks of the place where a preview lives: run a script there, and write, read and delete files. Reaches nothing.

Files are written, read and deleted by POSIX sh, the same here and on a host. Each script runs in the root and walks to its
file part by part, so that neither `..` nor a link leads it out.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from shlex import quote

from msgspec import Struct

from shipway.action import ActionFailed

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_LONGEST = 131_071
"""Linux gives a program no longer `NAME=value` than this. Source: execve(2), MAX_ARG_STRLEN less its zero byte."""

ROOT_MISSING = "root_missing"
"""The code of the ActionFailed that says that the root is not there."""

_ABSENT = 3
_OUTSIDE = 43
_NO_FILE = 44
_CUT_OFF = 45

_INSIDE = f"""inside() {{ case "$(pwd -P)/" in "$r"/*) ;; *) exit {_OUTSIDE} ;; esac; }}
r=$(pwd -P); [ "$r" != / ] || r=
"""


class Ran(Struct, frozen=True):
    """How a script ended: exit code (negative: the signal), and what it wrote, bounded: of `out` the start, of `err` the end.

    `stopped` is `timeout` or `cancelled` where it was ended before it was done, else empty.
    """

    exit_code: int
    out: bytes = b""
    err: bytes = b""
    stopped: str = ""

    @property
    def text(self) -> str:
        """What it printed, without the last newline."""
        return self.out.decode("utf-8", "replace").rstrip("\n")

    def said(self, lines: int = 3) -> str:
        """The last lines of what it complained of, else of what it printed, joined by `; `."""
        text = (self.err.strip() or self.out.strip()).decode("utf-8", "replace")
        return "; ".join(line.strip() for line in text.splitlines()[-lines:] if line.strip())


class Unreachable(ActionFailed):
    """The place cannot be reached: nothing is known of what is there, and nothing follows from that."""

    def __init__(self, text: str) -> None:
        super().__init__(text, code="unreachable")


class Refused(ActionFailed):
    """A path or a name that is not taken; nothing was run."""

    def __init__(self, text: str) -> None:
        super().__init__(text, code="refused", is_permanent=True)


class Script(Struct, frozen=True):
    """One run of a script in the root, with what `Access.run` was given for it."""

    text: str
    env: Mapping[str, str]
    stdin: bytes
    cancelled: Callable[[], bool]
    timeout_ms: int
    on_output: Callable[[bytes], None] | None


class Access(ABC):
    """One place: this machine, or a host. Scripts are POSIX sh; paths are relative to `root`, and neither they nor links lead out.

    `root` is where the preview lives, absolute. Every method raises Refused for what no place takes, Unreachable where the
    place cannot be reached, and ActionFailed where `root` is not there.
    """

    root: str

    @abstractmethod
    def carry_out(self, script: Script) -> Ran:
        """Run a script in a process group of its own."""

    def run(
        self,
        script: str,
        *,
        cwd: str = "",
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        cancelled: Callable[[], bool] = lambda: False,
        timeout_ms: int = 0,
        on_output: Callable[[bytes], None] | None = None,
    ) -> Ran:
        """Run a script in `root`, or in the folder `cwd` below it, with `env` over the base environment of the place.

        It gets a process group of its own, which is ended (interrupt, terminate, kill) when `cancelled()` or after `timeout_ms`
        (0: never), and of which nothing is left when it has ended. `on_output` is given what it writes to stderr.
        """
        if "\0" in self.root + script:
            raise Refused("a script holds a zero byte")
        checked_env(env or {})
        return self.carry_out(Script(_enter_script(cwd) + script, env or {}, stdin, cancelled, timeout_ms, on_output))

    def write(self, path: str, content: bytes, mode: int) -> None:
        """Replace a file in one step; missing parents are made."""
        _check(path, self.run(_write_script(path, len(content), mode), stdin=content))

    def read(self, path: str) -> bytes | None:
        """The content of a file; None where there is none."""
        ran = _check(path, self.run(_read_script(path)))
        return None if ran.exit_code == _ABSENT else ran.out

    def delete(self, path: str) -> None:
        """Remove a file, if it is there."""
        _check(path, self.run(_delete_script(path)))


def checked_names(env: Mapping[str, str]) -> None:
    """Raises Refused for a name or value that no environment can hold."""
    for name, value in env.items():
        if not _NAME.fullmatch(name):
            raise Refused(f"`{name}` is no name of an environment variable")
        if "\0" in value:
            raise Refused(f"the variable `{name}` holds a zero byte")


def checked_env(env: Mapping[str, str]) -> None:
    """Raises Refused for a name or value that cannot be handed to a program."""
    checked_names(env)
    for name, value in env.items():
        size = len(value.encode("utf-8", "surrogateescape"))
        if len(name) + 1 + size > _LONGEST:
            raise Refused(
                f"the variable `{name}` holds {size} bytes, and no program is given one of more than {_LONGEST} with its name:"
                " hand it over in a file"
            )


def parts_of(path: str) -> list[str]:
    """The parts of a path below the root. Raises Refused for one that is absolute, empty, or leads out."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or not parts or ".." in parts or "\0" in path:
        raise Refused(f"`{path}` is no path below the root of the preview")
    return parts


def _enter_script(path: str) -> str:
    """Go to the folder `path` below the root, as the start of a script."""
    if not path or path == ".":
        return ""
    missing = f"{{ echo {quote(f'there is no folder {path}')} >&2; exit {_NO_FILE}; }}"
    steps = "".join(f"cd -P -- {quote('./' + part)} 2>/dev/null || {missing}; inside\n" for part in parts_of(path))
    return _INSIDE + steps


def _write_script(path: str, size: int, mode: int) -> str:
    """Replace the file by what comes on stdin, `size` bytes."""
    return f"""umask 077
{_walk(path, makes=True)}[ ! -d "$f" ] || exit {_NO_FILE}
t="./.shipway-$$.new"
trap 'rm -f -- "$t"' EXIT
cat > "$t" || exit 1
[ "$(wc -c < "$t")" -eq {size} ] || exit {_CUT_OFF}
chmod {mode:04o} "$t" && mv -f -- "$t" "$f"
"""


def _read_script(path: str) -> str:
    """Print the file."""
    return f'{_walk(path)}[ -f "$f" ] || exit {_ABSENT}\ncat -- "$f"\n'


def _delete_script(path: str) -> str:
    """Remove the file, or the link that stands there."""
    return f'{_walk(path, follows=False)}if [ -d "$f" ] && [ ! -L "$f" ]; then exit {_NO_FILE}; fi\nrm -f -- "$f"\n'


def _check(path: str, ran: Ran) -> Ran:
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
    missing = f"mkdir -m 755 -- {{0}} 2>/dev/null || [ -d {{0}} ] || exit {_NO_FILE}" if makes else f"exit {_ABSENT}"
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
