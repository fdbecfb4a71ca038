"""The containers of a preview where it lives, by docker and either generation of compose. POSIX sh, the same here and on a host."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Mapping, Sequence
from shlex import quote

from msgspec import Struct

from shipway.action import ActionFailed
from shipway.compose_copy import LABEL, BadCompose, Published, compose_copy
from shipway.compute_access import Access, Ran, parts_of
from shipway.hook_runs import check_stopped
from shipway.nodes import Verified
from shipway.preview_folder import FOLDER, make_folder_script
from shipway.supervision import PRELUDE

_COPY = f"{FOLDER}/compose.yaml"
_PID = f"{FOLDER}/compose.pid"
"""Holds the number of the group in which compose starts them and when that began: a killed run may leave it at work."""
_ABSENT = 3
_MISSING = 5

# The plugin of docker, else the program of its own that came before.
_FIND = f"""command -v docker >/dev/null || {{ echo docker is not on PATH >&2; exit {_MISSING}; }}
if docker compose version >/dev/null 2>&1; then c='docker compose'
elif command -v docker-compose >/dev/null; then c=docker-compose
else echo neither docker compose nor docker-compose is there >&2; exit {_MISSING}; fi
"""
_SHOWN = '{{.Label "com.docker.compose.service"}}|{{.State}}|{{.Status}}|{{.Ports}}'


class Project(Struct, frozen=True):
    """The containers of one compose file, called `name` together. `env` is what docker and the file are told.

    `root` is where the preview lives; what only ends them has an `access` from outside of it.
    """

    access: Access
    root: str
    name: str
    file: str
    owner: str
    env: Mapping[str, str]

    def up(
        self, publish: Mapping[str, Sequence[Published]], cancelled: Callable[[], bool], log: Callable[[str], None]
    ) -> None:
        """Start them, those that are changed anew; done once none is still starting. Raises ActionFailed with their ends."""
        content = self.access.read(self.file)
        if content is None:
            raise ActionFailed(f"there is no compose file `{self.file}` in the preview", is_permanent=True)
        try:
            text = compose_copy(content.decode("utf-8-sig"), self.owner, publish)
        except (BadCompose, UnicodeDecodeError) as error:
            raise ActionFailed(f"`{self.file}`: {error}", is_permanent=True) from error
        folder = posixpath.dirname("/".join(parts_of(self.file)))
        self._run(make_folder_script(), cancelled)
        self.access.write(_COPY, text.encode(), 0o600)
        script = (
            f'r=$(pwd -P)\n{_FIND}{self._ending()}echo "$$ $(started $$)" > "$f" || exit 1\n'
            f'$c -p {quote(self.name)} --project-directory "$r"/{quote(folder or ".")} '
            f'-f "$r"/{_COPY} up -d --remove-orphans </dev/null\nc=$?\nrm -f -- "$f"\nexit $c\n'
        )
        ran = check_stopped(self.access.run(script, env=self.env, cancelled=cancelled))
        log((ran.out + ran.err).decode("utf-8", "replace"))
        self._raise(ran, "cannot be started")
        ports = {name: [port.port for port in ports] for name, ports in publish.items()}
        self._settle(ports, cancelled, log)

    def verify(self, publish: Mapping[str, Sequence[int]]) -> Verified:
        """Whether all of them run, and publish the ports that they should. Raises what reaching docker raises."""
        return Verified.GONE if self._faults(self._lines(), publish) else Verified.HOLDS

    def stop(self, cancelled: Callable[[], bool]) -> bool:
        """End them and keep the rest; whether any ran."""
        find = f'{self._ending()}i=$(docker ps -q --filter {self._filter}) || exit 1\n[ -n "$i" ] || exit {_ABSENT}\n'
        ran = self._run(f"{find}docker stop $i >/dev/null\n", cancelled)
        return ran.exit_code == 0

    def remove(self, cancelled: Callable[[], bool]) -> bool:
        """Remove them with networks, volumes and what was built for them, compose file or not; whether there was anything."""
        script = (
            f"{self._ending()}i=$(docker ps -aq --filter {self._filter}) || exit 1\n"
            f"n=$(docker network ls -q --filter {self._filter}) || exit 1\n"
            f"v=$(docker volume ls -q --filter {self._filter}) || exit 1\n"
            f"m=$(docker images -q --filter {quote(f'label={LABEL}={self.owner}')} | sort -u) || exit 1\n"
            f'[ -n "$i$n$v$m" ] || exit {_ABSENT}\n'
            '[ -z "$i" ] || { docker stop $i >/dev/null; docker rm -f -v $i >/dev/null || exit 1; }\n'
            '[ -z "$n" ] || docker network rm $n >/dev/null || exit 1\n'
            '[ -z "$v" ] || docker volume rm -f $v >/dev/null || exit 1\n'
            # One that somebody else uses by now stays.
            '[ -z "$m" ] || docker rmi $m >/dev/null 2>&1 || :\n'
        )
        return self._run(script, cancelled).exit_code == 0

    def _settle(
        self, publish: Mapping[str, Sequence[int]], cancelled: Callable[[], bool], log: Callable[[str], None]
    ) -> None:
        """Wait for those that have a check of their own; none may have failed."""
        waiting = f"docker ps --filter {self._filter} --format '{{{{.Status}}}}'"
        self._run(
            f"while {waiting} | grep -q 'health: starting'; do sleep 0.2 2>/dev/null || sleep 1; done\n", cancelled
        )
        faults = self._faults(self._lines(), publish)
        if faults:
            ended = f"for i in $(docker ps -aq --filter {self._filter}); do docker logs --tail 20 $i 2>&1; done\n"
            log(self._run(ended, cancelled).out.decode("utf-8", "replace"))
            raise ActionFailed("; ".join(faults), code="containers")

    def _faults(self, lines: Collection[Sequence[str]], publish: Mapping[str, Sequence[int]]) -> list[str]:
        """What is wrong with the containers that are there, and which are not. One that ended with 0 was meant to."""
        found = [f"container `{name}`: {status}" for name, state, status, _ in lines if not _is_well(state, status)]
        running = {name for name, state, _, _ in lines if state == "running"}
        found += [f"container `{name}` does not run" for name in publish if name not in running]
        bound = {name: ports for name, _, _, ports in lines}
        return found + [
            f"container `{name}` does not publish port {port}"
            for name, ports in publish.items()
            for port in ports
            if name in running and f":{port}->" not in bound[name]
        ]

    def _lines(self) -> list[list[str]]:
        ran = self._run(f"docker ps -a --filter {self._filter} --format '{_SHOWN}'\n", lambda: False)
        return [line.split("|", 3) for line in ran.text.splitlines() if line.count("|") >= 3]

    def _ending(self) -> str:
        """End what a killed run left starting them: it would go on behind our back. Its file is `$f` from then on."""
        return f'{PRELUDE}f={quote(self.root)}/{_PID}\nif lives "$f"; then end_group "$p"; fi\n'

    @property
    def _filter(self) -> str:
        return quote(f"label=com.docker.compose.project={self.name}")

    def _run(self, script: str, cancelled: Callable[[], bool]) -> Ran:
        ran = check_stopped(self.access.run(script, env=self.env, cancelled=cancelled))
        return ran if ran.exit_code == _ABSENT else self._raise(ran, "cannot be asked for")

    def _raise(self, ran: Ran, what: str) -> Ran:
        if ran.exit_code != 0:
            raise ActionFailed(
                f"the containers of `{self.name}` {what}: {ran.said() or ran.exit_code}", code="containers"
            )
        return ran


def is_engine_there(access: Access) -> bool:
    """Whether there is a docker to ask."""
    return access.run("command -v docker >/dev/null").exit_code == 0


def _is_well(state: str, status: str) -> bool:
    if state == "running":
        return "unhealthy" not in status
    return state == "exited" and status.startswith("Exited (0)")
