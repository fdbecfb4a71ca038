"""Whole previews of hostile branches, values and hooks, here and on a host: all arrives as it is, nothing of it runs or stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from shipway.process_identity import carrying
from tests.command_line import Done, Project, make_project
from tests.preview_shop import changes_of
from tests.remote_host import RemoteHost

BRANCH = "x$(touch${IFS}p)'\"`touch${IFS}p`;touch${IFS}p;é"
VALUES = {
    "SPACES": "  two  words ",
    "SINGLE": "it's 'quoted'",
    "DOUBLE": 'say "it" twice""',
    "BOTH": "'\"'\"'\\'\\\"",
    "COMMANDS": "$(touch p) `touch p` ;touch p; && touch p | touch p > p",
    "VARIABLES": "$HOME ${HOME} $$ $1 %HOME% %s %n ~ *",
    "LINES": "one\ntwo\n\nfour\n",
    "RETURNS": "one\r\ntwo\rthree",
    "HEREDOC": "EOF\nENVEOF\nEND_OF\n_GitHubActionsFileCommandDelimeter_",
    "CONTROLS": "\x01\x02\x07\x08\x0b\x0c\x1b[31mred\x1b]0;title\x07\x1f\x7f",
    "COMMAND_OF_RUNNER": "::error::forged\n::set-output name=A::b\n##[group]x\n::stop-commands::y",
    "SLASHES": "\\ \\\\ \\n \\0 \\c \\' end\\",
    "UNICODE": "é ☃ \u202e \u2028 \U0001f680 \ufeff",
    "ASSIGNS": "A=b\nexport C=d\n# comment",
    "LITERAL": "${{ secrets.KEY }} }} {{ x }}",
    "DASH": "-n -e --",
    "EMPTY": "",
}
LONG = "x'$\n\\" * 20_000
SERVER = """\
import http.server, json, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(json.dumps(dict(os.environ)).encode())
    def log_message(self, *a): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["LISTEN_PORT"])), Handler).serve_forever()
"""
# Hands on each value that it is given, and prints all of them, commands of a runner and of a terminal among them.
SEED = """\
#!/usr/bin/env python3
import os, sys
with open(os.environ["SHIPWAY_OUTPUT"], "w", newline="") as file:
    for name in os.environ["NAMES"].split():
        value = os.environ["V_" + name]
        print(value)
        file.write(f"{name}<<END-OF-IT\\n{value}\\nEND-OF-IT\\n")
"""


def literal(value: str) -> str:
    """The text as a declaration has to write it to come to itself."""
    return value.replace("${{", "${{ '${{' }}")


def declared(compute: Mapping[str, object], place: Path) -> dict[str, object]:
    names = [*VALUES, "LONG"]
    env = {"NAMES": " ".join(names)} | {f"V_{name}": literal(value) for name, value in everything().items()}
    seed, reset = ({"run": "./scripts/seed.py", "env": {**env}} for _ in range(2))
    handed = {name: f"${{{{ provisioner.data.{name} }}}}" for name in names}
    provisioner = {
        "role": "provisioner",
        "services": {
            "data": {
                "outputs": dict.fromkeys(names, "string"),
                "seed": seed,
                "reset": reset,
                "destroy": 'printf %s "$SHIPWAY_BRANCH" > "$SHIPWAY_ROOT/.shipway/gone"',
            }
        },
    }
    if compute:
        provisioner["compute"] = compute
    deploy = {
        "run": 'python3 -c \'import json, os; json.dump(dict(os.environ), open("deployed.json", "w"))\'',
        "env": handed,
    }
    api = {
        "path": "api",
        "command": "exec python3 server.py",
        "env": {"LISTEN_PORT": "${{ self.port }}", **handed},
        "ready": {"http": "/", "within": "60s"},
    }
    runner = {"role": "runner", "deploy": deploy, "services": {"api": api}}
    return {
        "version": 1,
        "name": "shop",
        "secrets": ["KEY"],
        "stages": {
            "provisioner": {"mode": "preview", "with": provisioner},
            "runner": {"mode": "preview", "needs": ["provisioner"], "with": runner},
        },
    }


def everything() -> dict[str, str]:
    return {**VALUES, "LONG": LONG}


def sourced(file: Path, names: list[str]) -> dict[str, str]:
    """What a POSIX shell finds in an env file."""
    said = "".join(f"printf '%s\\0' \"${name}\"\n" for name in names)
    ran = subprocess.run(["/bin/sh", "-c", f". {file}\n{said}"], env={}, capture_output=True, check=True)
    return dict(zip(names, ran.stdout.decode().split("\0"), strict=False))


@dataclass
class Hostile:
    """The project, and the host that its previews live on."""

    project: Project
    host: RemoteHost | None

    def call(self, part: str, *arguments: str, code: int = 0) -> Done:
        env = {"KEY": self.host.key if self.host else "none"}
        return self.project.call("preview", part, *arguments, env=env, code=code)

    @property
    def record(self) -> dict[str, object]:
        (found,) = self.call("list", "--all", "--json").json["environments"]
        assert isinstance(found, dict)
        return found


@pytest.fixture
def hostile(where: RemoteHost | None, tmp_path: Path) -> Iterator[Hostile]:
    """A repository on a branch with a name that shells would run, if they were let."""
    made = Hostile(make_project(tmp_path), where)
    compute = (
        {}
        if where is None
        else {
            **where.address,
            "root": str(where.root / tmp_path.name),
            "ssh": {"key": "${{ secrets.KEY }}", "known_hosts": "known_hosts"},
        }
    )
    text = yaml.safe_dump(declared(compute, tmp_path), width=1 << 30, sort_keys=False)
    project = made.project
    project.write({"shipway.yml": text, ".gitignore": ".shipway/\n", "api/server.py": SERVER, "scripts/seed.py": SEED})
    (project.root / "scripts/seed.py").chmod(0o755)
    if where is not None:
        project.write({"known_hosts": where.known_hosts})
    project.commit()
    project.git("checkout", "-q", "-b", BRANCH)
    yield made
    for pid in carrying(f"SHIPWAY_PREVIEW_ROOT={made.record['root']}"):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def arrived(hostile: Hostile) -> None:
    """The service, the hook of the runner, the env file and the manifest have each value as it was declared."""
    record, expected = hostile.record, everything()
    place = Path(str(record["root"]))
    with urllib.request.urlopen(record["urls"]["api"], timeout=30) as answered:  # type: ignore[index]
        served = json.loads(answered.read())
    assert {name: served.get(name) for name in expected} == expected, "the environment of the service"
    given = json.loads((place / "deployed.json").read_text())
    assert {name: given.get(name) for name in expected} == expected, "what the hook was given"
    assert given["SHIPWAY_BRANCH"] == BRANCH
    assert sourced(place / "api/.env.local", list(expected)) == expected, "the env file"
    (written,) = (hostile.project.root / ".shipway/previews").rglob("manifest.json")
    assert json.loads(written.read_bytes())["provisioner"]["data"] == expected, "the manifest"


def test_values_arrive_as_they_are_wherever_they_go_and_nothing_of_them_runs(hostile: Hostile, tmp_path: Path) -> None:
    told = hostile.call("up", "--yes", "--verbose")
    assert (hostile.record["state"], hostile.record["branch"]) == ("ready", BRANCH)
    arrived(hostile)
    shown = told.out + told.err
    assert "::error::forged" in shown
    assert [each for each in VALUES["CONTROLS"] + "\u202e\r" if each in shown and not each.isprintable()] == []
    assert set(changes_of(hostile.call("up", "--yes", "--json")).values()) == {"unchanged"}

    place = Path(str(hostile.record["root"]))
    (place / "deployed.json").unlink()
    hostile.call("reset", "data", "--yes")
    arrived(hostile)

    hostile.call("down", "--yes")
    assert (hostile.project.root / ".shipway/gone").read_text() == BRANCH
    assert not place.exists() and carrying(f"SHIPWAY_PREVIEW_ROOT={place}") == []
    assert hostile.project.git("worktree", "list").count("\n") == 1
    assert list(tmp_path.rglob("p")) == [], "nothing of it ran"


MEGABYTE = "x'$\n" * 250_000
MEGABYTE_SEED = """\
#!/usr/bin/env python3
import os
with open(os.environ["SHIPWAY_OUTPUT"], "w") as file:
    file.write("LONG<<END-OF-IT\\n" + "x'$\\n" * 250_000 + "\\nEND-OF-IT\\n")
"""


def test_a_megabyte_gets_whole_into_files_and_no_program_is_started_with_it(hostile: Hostile) -> None:
    """Nor does git become another one by what a hook is told."""
    project, text = hostile.project, yaml.safe_load(hostile.project.text("shipway.yml"))
    handed = {"LONG": "${{ provisioner.data.LONG }}"}
    owned = {"outputs": {"LONG": "string"}, "seed": "./scripts/seed.py"}
    text["stages"]["provisioner"]["with"]["services"]["data"] = owned
    deploy = {"run": 'echo "$GIT_DIR $SHIPWAY_COMMIT" > said', "env": {"GIT_DIR": "/nowhere"}}
    runner = {"role": "runner", "deploy": deploy, "services": {"api": {"path": "api", "env": handed}}}
    text["stages"]["runner"]["with"] = runner
    project.write({"scripts/seed.py": MEGABYTE_SEED, "shipway.yml": json.dumps(text)})
    project.commit()
    hostile.call("up", "--yes")
    place = Path(str(hostile.record["root"]))
    assert sourced(place / "api/.env.local", ["LONG"]) == {"LONG": MEGABYTE}
    (written,) = (project.root / ".shipway/previews").rglob("manifest.json")
    assert json.loads(written.read_bytes())["provisioner"]["data"] == {"LONG": MEGABYTE}
    assert (place / "said").read_text() == f"/nowhere {project.git('rev-parse', 'HEAD')}"

    deploy |= {"run": "echo it ran > said", "env": handed}
    project.write({"shipway.yml": json.dumps(text)})
    project.commit()
    said = hostile.call("up", "--yes", code=4)
    assert "the variable `LONG` holds 1000000 bytes" in " ".join(said.out.split())
    assert (place / "said").read_text().startswith("/nowhere"), "nothing was run"
    hostile.call("down", "--yes")
    assert not place.exists()
