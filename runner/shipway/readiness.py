"""Whether a service answers: a script that asks where it runs, again and again, until it does, has ended, or the time is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from shlex import quote

from msgspec import Struct

from shipway.action import ActionFailed, TimedOut
from shipway.canonical import Json
from shipway.compute_access import Access, Ran
from shipway.supervision import PRELUDE, Service, folder_of, loading_script

_ENDED = 4
_EARLY_MS = (25, 50, 100, 200, 400)
_ONCE_MS = 10_000

# What a host has to ask with differs: the first of these that is there. Both say on stderr what came instead.
_TCP = """ask() {
    for h in 127.0.0.1 ::1; do
        if command -v bash >/dev/null; then bash -c 'exec 3<>"/dev/tcp/$0/$1"' $h $1 2>/dev/null && return 0
        elif command -v python3 >/dev/null; then
            python3 -c 'import socket, sys; socket.create_connection(sys.argv[1:3], 5)' $h $1 2>/dev/null && return 0
        elif command -v curl >/dev/null; then
            [ $h = ::1 ] && h='[::1]'; curl -s -m 5 -o /dev/null "telnet://$h:$1" </dev/null; [ $? != 7 ] && return 0
        else nc -z $h $1 2>/dev/null && return 0; fi
    done
    w="nothing listens on port $1"; return 1
}
"""
_HTTP = """ask() {
    for h in 127.0.0.1 '[::1]'; do
        if command -v curl >/dev/null; then
            a=$(curl -g -s -m 5 -o /dev/null -w '%{http_code}' --noproxy '*' "http://$h:$1$2")
        elif command -v bash >/dev/null; then
            a=$(timeout 5 bash -c 'h=${0#\\[}; exec 3<>"/dev/tcp/${h%]}/$1" || exit 1
                printf "GET %s HTTP/1.0\\r\\nHost: %s:%s\\r\\nConnection: close\\r\\n\\r\\n" "$2" "$0" "$1" >&3
                read -r v a o <&3; echo "$a"' "$h" $1 "$2" 2>/dev/null)
        elif command -v python3 >/dev/null; then
            a=$(python3 -c 'import http.client, sys
c = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=5); c.request("GET", sys.argv[3])
print(c.getresponse().status)' "$h" $1 "$2" 2>/dev/null)
        else
            wget -q -T 5 -O /dev/null "http://$h:$1$2" 2>/dev/null && a=200 || a=
        fi
        case "$a" in 2??|3??) return 0 ;; ''|000) w="nothing answers on port $1" ;; *) w="$2 answers $a"; return 1 ;; esac
    done
    return 1
}
"""


class Ready(Struct, frozen=True):
    """How to tell: by a connection to `port`, an answer 2xx or 3xx to `http` there, or the exit code of `script`."""

    port: int = 0
    http: str = ""
    script: str = ""
    within_ms: int = 60_000
    every_ms: int = 500


def ready_of(slot: Mapping[str, Json], port: int) -> Ready | None:
    """What the slot `ready` says; None where nothing can be asked."""
    within, every = slot.get("within_ms"), slot.get("every_ms")
    found = Ready(
        port=port,
        http=str(slot.get("http") or ""),
        script=str(slot.get("run") or ""),
        within_ms=within if isinstance(within, int) else 60_000,
        every_ms=every if isinstance(every, int) else 500,
    )
    return found if found.script or port else None


def wait_ready(access: Access, service: Service, ready: Ready, cancelled: Callable[[], bool]) -> None:
    """Wait until it answers. Raises TimedOut after `within_ms` with what it answered last, ActionFailed where it ended."""
    # Most are there at once: the first looks come sooner than `every` says.
    early = " ".join(f"{each / 1000:.3f}" for each in _EARLY_MS if each < ready.every_ms)
    pause = f'p=${{1-{ready.every_ms / 1000:.3f}}}; [ $# -eq 0 ] || shift; sleep "$p" 2>/dev/null || sleep 1'
    lives = f"lives {quote(service.pid_file)} || {{ echo it has ended >&2; exit {_ENDED}; }}\n"
    loop = (
        f'while :; do\n{lives}if probe; then {lives}exit 0; fi\n[ "$w" = "$o" ] || echo "$w" >&2; o=$w\n{pause}\ndone\n'
    )
    ran = access.run(
        _script(service, ready) + f"o=; set -- {early}\n" + loop, timeout_ms=ready.within_ms, cancelled=cancelled
    )
    if ran.stopped == "timeout":
        raise TimedOut(
            f"`{service.name}` was not ready within {ready.within_ms / 1000:g}s: {ran.said(1) or 'no answer'}"
        )
    if ran.stopped:
        raise ActionFailed("it was ended before it was done", code="cancelled")
    if ran.exit_code != 0:
        raise ActionFailed(f"`{service.name}` ended before it was ready: {ran.said(1)}", code="ended")


def answers(access: Access, service: Service, ready: Ready) -> bool:
    """Whether it answers now."""
    ran: Ran = access.run(_script(service, ready) + "probe", timeout_ms=_ONCE_MS)
    return ran.exit_code == 0 and not ran.stopped


def _script(service: Service, ready: Ready) -> str:
    start = f"{PRELUDE}r=$(pwd -P); w=\n"
    if ready.script:
        inner = f"{loading_script(service.env_file)}cd -- {folder_of(service)} && eval {quote(ready.script)}"
        return f'{start}probe() {{ w=$( ( {inner}\n) 2>&1 ) && return 0; w="its check fails: $w"; return 1; }}\n'
    if ready.http:
        path = ready.http if ready.http.startswith("/") else f"/{ready.http}"
        return f"{start}{_HTTP}probe() {{ ask {ready.port} {quote(path)}; }}\n"
    return f"{start}{_TCP}probe() {{ ask {ready.port}; }}\n"
