"""What does a preview cost besides what its own hooks and services take? Made, kept, listed, and reached over ssh."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from tests.remote_host import remote_host

from bench.measure import SHIPWAY, Answer, Figure, Scale, at_most, commit, started
from shipway.environment_record import Checkpoint, EnvironmentRecord, EnvironmentState, Happening
from shipway.environments import Environments
from shipway.ssh_access import SshAccess
from shipway.ssh_control import Control, Host
from shipway.stores.local_files import LocalFiles
from shipway.workspace import Workspace

_NODES, _HAPPENINGS = 12, 100
_TEXT = "version: 1\nname: bench\nstages: {runner: {mode: preview, with: {role: runner, services: {a: {path: .}}}}}\n"


_SERVICES = ("api", "shop", "web")
_SERVER = """\
import http.server, os
http.server.ThreadingHTTPServer(
    ("127.0.0.1", int(os.environ["PORT"])), http.server.SimpleHTTPRequestHandler
).serve_forever()
"""


def preview_made(scale: Scale, directory: Path) -> Answer:
    """Three HTTP services in a chain of needs, made from nothing, kept by the next `up`, and taken down."""
    repository = directory / "repository"
    for name in _SERVICES:
        (repository / name).mkdir(parents=True)
        (repository / name / "server.py").write_text(_SERVER, encoding="utf-8")
    (repository / "shipway.yml").write_text(_declared(), encoding="utf-8")
    (repository / ".gitignore").write_text(".shipway/\n", encoding="utf-8")
    commit(repository)
    made: list[float] = []
    kept: list[float] = []
    gone: list[float] = []
    for _ in range(scale.rounds):
        for part, times in (("up", made), ("up", kept), ("down", gone)):
            call = [*SHIPWAY, "preview", part, "--target", "bench", "--yes"]
            times.append(started(call, repository).wall)
    figures = [
        at_most("`up` from nothing, the services' own start included", min(made), 5, " s"),
        at_most("`up` where nothing changed", min(kept), 1, " s"),
        Figure("`down`", f"{min(gone):.2f} s"),
    ]
    return Answer("A preview of three local services", figures)


def preview_remote(scale: Scale, directory: Path) -> Answer:
    """What one step on a host takes over the connection that all of them share: a script that does nothing."""
    question, count = "A step on a host, over a connection that is there", 3 if scale.is_quick else 50
    if shutil.which("sshd", path=os.defpath + ":/usr/sbin") is None:
        return Answer(question, [], ["not measured: there is no sshd"])
    with remote_host() as host:
        (host.root / "place").mkdir()
        facts = Host("127.0.0.1", host.user, host.port, host.key, host.known_hosts.encode())
        access = SshAccess(str(host.root / "place"), Control(facts, dict(os.environ)))
        access.run("true")
        times = sorted(_timed(access) for _ in range(count))
    return Answer(question, [at_most("median", times[len(times) // 2] * 1000, 60, " ms")])


def _timed(access: SshAccess) -> float:
    begun = time.perf_counter()
    assert access.run("true").exit_code == 0
    return time.perf_counter() - begun


def _declared() -> str:
    services = "".join(
        f"""        {name}:
          path: {name}
          command: exec python3 server.py
          needs: [{", ".join(_SERVICES[:place][-1:])}]
          env: {{PORT: "${{{{ self.port }}}}"}}
          ready: {{http: /, within: 60s, every: 50ms}}
"""
        for place, name in enumerate(_SERVICES)
    )
    head = "version: 1\nname: bench\nstages:\n  runner:\n    mode: preview\n    with:\n      role: runner\n      services:\n"
    return head + services


def preview_list(scale: Scale, directory: Path) -> Answer:
    """Forty environments with long histories listed by the command, and their records read in this process."""
    count = 3 if scale.is_quick else 40
    repository = directory / "repository"
    repository.mkdir()
    (repository / "shipway.yml").write_text(_TEXT, encoding="utf-8")
    commit(repository)
    environments = Environments(LocalFiles(Workspace(repository).make_records()), "bench")
    for number in range(count):
        record = _record(f"pr-{number}")
        environments.change(record.target, lambda before, record=record: record)  # type: ignore[misc]
    listed = [started([*SHIPWAY, "preview", "list"], repository).wall for _ in range(scale.rounds)]
    read = [_read(environments) for _ in range(scale.rounds)]
    figures = [
        at_most("listed by `shipway preview list`", min(listed) * 1000, 200, " ms"),
        at_most("their records read", min(read) * 1000, 50, " ms"),
    ]
    return Answer(f"{count} environments listed, of {_NODES} nodes and {_HAPPENINGS} lines of history each", figures)


def _read(environments: Environments) -> float:
    begun = time.perf_counter()
    environments.all()
    return time.perf_counter() - begun


def _record(target: str) -> EnvironmentRecord:
    kept = Checkpoint(
        "sha256:" + "0a" * 32, {"path": "/srv/x", "port": 61_000}, parts={f"env A{n}": "0" * 16 for n in range(20)}
    )
    return EnvironmentRecord(
        "bench",
        target,
        EnvironmentState.READY,
        urls={"a": "http://127.0.0.1:61000"},
        checkpoints={f"runner/service/s{number}": kept for number in range(_NODES)},
        history=tuple(Happening(number, "up", "ada", "r" * 20, "c" * 40) for number in range(_HAPPENINGS)),
        declaration=_TEXT * 20,
    )
