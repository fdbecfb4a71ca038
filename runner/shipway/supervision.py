"""Services of a preview: started apart from whoever starts them, found again by number, start time and mark, ended as a group.

POSIX sh, the same here and on a host. Where there is no /proc, only the number and the start time tell.
"""

from __future__ import annotations

from enum import StrEnum
from shlex import quote

from msgspec import Struct

from shipway.action import ActionFailed
from shipway.compute_access import Access, Ran, parts_of
from shipway.preview_folder import FOLDER, log_path, make_folder_script

MARK = "SHIPWAY_PREVIEW"
"""The variable that every process of a service bears: `<lifecycle>/<target>/<service>`."""

MARK_ROOT = "SHIPWAY_PREVIEW_ROOT"
"""Beside it: the root of the preview. Another clone of the repository on this machine may have a target of the same name."""

_GONE = 3
_GRACE_TICKS = "INT:40 TERM:100 KILL:100"
_TICK = "sleep 0.05 2>/dev/null || sleep 1"

PRELUDE = f"""started() {{
    if [ -r "/proc/$1/stat" ]; then
        set -- $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null)
        case "${{1:-X}}" in Z|X) ;; *) shift 19; echo "$1" ;; esac
    elif [ ! -d /proc/self ]; then ps -o lstart= -p "$1" 2>/dev/null | tr -s ' ' _; fi
}}
known() {{ p=; s=; [ -f "$1" ] && read -r p s < "$1" && case "$p" in ''|*[!0-9]*) p=; false ;; esac; }}
lives() {{ known "$1" && [ -n "$s" ] && [ "$(started "$p")" = "$s" ]; }}
marked() {{
    for e in $(grep -lzxF -- "{MARK}=$1" /proc/[0-9]*/environ 2>/dev/null); do
        if grep -qzxF -- "{MARK_ROOT}=$2" "$e" 2>/dev/null; then e=${{e#/proc/}}; echo "${{e%/environ}}"; fi
    done
}}
tick() {{ {_TICK}; }}
end_group() {{
    for n in {_GRACE_TICKS}; do
        t=${{n#*:}}; i=0
        kill -"${{n%:*}}" -"$1" 2>/dev/null || return 0
        while [ $i -lt $t ] && kill -0 -"$1" 2>/dev/null; do i=$((i+1)); tick; done
    done
}}
"""
"""`lives FILE`: the process that a file names runs; its number is in `$p`. `end_group NUMBER`: interrupt, terminate, kill.

`marked MARK ROOT`: the numbers of those that bear both.
"""


class Grouped(StrEnum):
    """Whether a service runs."""

    RUNS = "runs"
    GONE = "gone"


class Service(Struct, frozen=True):
    """One service: `path` and `env_file` relative to the root, `mark` what its processes bear."""

    name: str
    mark: str
    command: str = ""
    path: str = "."
    env_file: str = ""

    @property
    def pid_file(self) -> str:
        """Holds the number of its leader and when that started."""
        return f"{FOLDER}/{self.name}.pid"


def start(access: Access, service: Service) -> None:
    """Start it in a session of its own, its output in its log. Raises ActionFailed where it cannot be started."""
    ran = access.run(_start_script(service), env={MARK: service.mark, MARK_ROOT: access.root})
    if ran.exit_code != 0:
        raise ActionFailed(f"`{service.name}` cannot be started: {_told(ran)}", code="start")


def status(access: Access, service: Service) -> Grouped:
    """Whether its leader runs. Raises ActionFailed where that cannot be told."""
    ran = access.run(f"{PRELUDE}lives {quote(service.pid_file)} || exit {_GONE}")
    if ran.exit_code not in (0, _GONE):
        raise ActionFailed(f"whether `{service.name}` runs cannot be told: {_told(ran)}")
    return Grouped.RUNS if ran.exit_code == 0 else Grouped.GONE


def stop(outside: Access, root: str, service: Service) -> bool:
    """End it: interrupt, two seconds later terminate, five later kill, its whole group and all that bears its mark; whether it ran.

    `outside` has the root `/`, since the root of the preview may be gone. Raises ActionFailed for what cannot be ended.
    """
    ran = outside.run(_stop_script(root, service))
    if ran.exit_code not in (0, _GONE):
        raise ActionFailed(f"`{service.name}` cannot be ended: {_told(ran)}", code="stop")
    return ran.exit_code == 0


def tail(access: Access, service: Service, lines: int = 40) -> str:
    """The last lines of its log."""
    ran = access.run(f"tail -n {lines} -- {quote(log_path(service.name))} 2>/dev/null | tail -c 16384")
    return ran.out.decode("utf-8", "replace")


def loading_script(env_file: str) -> str:
    """Take over what an env file holds, as a part of a script; it stands in `$r`, the root."""
    if not env_file:
        return ""
    path = "/".join(parts_of(env_file))
    return f'if [ -f "$r"/{quote(path)} ]; then set -a; . "$r"/{quote(path)}; set +a; fi\n'


def folder_of(service: Service) -> str:
    """Where it runs, as a word for sh; it stands behind `$r`, the root."""
    parts = [] if service.path in ("", ".") else parts_of(service.path)
    return '"$r"/' + quote("/".join(parts)) if parts else '"$r"'


def _start_script(service: Service) -> str:
    log, pid = log_path(service.name), service.pid_file
    child = f'echo $$ > "$r"/{quote(pid + ".new")}\n{loading_script(service.env_file)}unset r; eval "$1"\n'
    return (
        f"{PRELUDE}r=$(pwd -P); export r\n{make_folder_script()}"
        f"[ ! -f {quote(log)} ] || mv -f -- {quote(log)} {quote(log + '.1')}\n"
        f"rm -f -- {quote(pid)} {quote(pid + '.new')}\n"
        f"(umask 077; : > {quote(log)}) || exit 1\n"
        f"l=$r/{quote(log)}; n=$r/{quote(pid + '.new')}; q=$r/{quote(pid)}\n"
        f"cd -- {folder_of(service)} 2>/dev/null || {{ echo {quote(f'there is no folder {service.path}')} >&2; exit 1; }}\n"
        f'begin() {{ {_detached()} </dev/null >>"$l" 2>&1; }}\n'
        f"begin sh -c {quote(child)} sh {quote(service.command)} || exit 1\n"
        'i=0; while ! known "$n" && [ $i -lt 400 ]; do i=$((i+1)); tick; done\n'
        'known "$n" || { echo "it did not say its number" >&2; exit 1; }\n'
        # It may have ended already: its number is kept all the same, and says so.
        'echo "$p $(started "$p")" > "$q.tmp" && mv -f -- "$q.tmp" "$q" && rm -f -- "$n"\n'
    )


def _detached() -> str:
    """Run what is given in a new session, without waiting.

    What sh itself puts into the background ignores an interrupt for ever, so that is only the last resort.
    """
    return (
        'if setsid --fork true 2>/dev/null; then setsid --fork "$@"; '
        'elif command -v setsid >/dev/null; then setsid "$@" & '
        "else perl -e 'use POSIX; fork and exit; POSIX::setsid(); exec @ARGV' \"$@\"; fi"
    )


def _stop_script(root: str, service: Service) -> str:
    return (
        f"{PRELUDE}m={quote(service.mark)}; r={quote(root)}; f=$r/{quote(service.pid_file)}; g=\n"
        'if lives "$f"; then g=$p; fi\n'
        '[ -n "$g$(marked "$m" "$r")" ] || { rm -f -- "$f"; exit 3; }\n'
        'left() { w=$(marked "$m" "$r"); if [ -n "$g" ] && [ -n "$(started "$g")" ]; then w="$w $g"; fi; [ -n "$w" ]; }\n'
        f"for n in {_GRACE_TICKS}; do\n"
        "    t=${n#*:}; n=${n%:*}\n"
        "    left || break\n"
        '    if [ -n "$g" ]; then kill -$n -"$g" 2>/dev/null; fi\n'
        '    for x in $w; do kill -$n "$x" 2>/dev/null; done\n'
        "    i=0; while left && [ $i -lt $t ]; do i=$((i+1)); tick; done\n"
        "done\n"
        'if left; then echo "these still run:" $w >&2; exit 1; fi\n'
        'rm -f -- "$f"\n'
    )


def _told(ran: Ran) -> str:
    return ran.said() or f"exit {ran.exit_code}"
