"""What a step can reach of Shipway and of the job as an ordinary user: tried as one, whoever runs the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from shipway.commands.fence import READY
from shipway.process_identity import is_running
from tests.command_line import Done
from tests.forge.server import GitHubServer
from tests.peers import require
from tests.runs import PATIENCE_S, declare, environment
from tests.test_action_command import PUSH, Job, git, pull_request

TOKEN = "the-token-of-the-job-4711"
RUNTIME = "the-runtime-token-0815"
OTHER = "what-only-one-step-is-given-1234"
HIDDEN = {
    "SHIPWAY_INPUT_TOKEN": TOKEN,
    "GITHUB_TOKEN": TOKEN,
    "ACTIONS_RUNTIME_TOKEN": RUNTIME,
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": RUNTIME,
    "OTHER": OTHER,
}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows one process to another")

# Everything of its parent, and of theirs, that a process of the same user may ask the kernel for.
LOOK = r"""
import ctypes, glob, os, re, sys
wanted = [word[::-1].encode() for word in sys.argv[1:]]
found = []
def look(what, content):
    found.extend(f"{what}" for word in wanted if word in content)
def read(path):
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", 0) as file:
            return file.read(1 << 24) or b""
    except OSError:
        return b""
parents, pid = [], os.getpid()
while pid > 1:
    try:
        pid = int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
    except OSError:
        break
    parents.append(pid)
shipway = parents[1]
for pid in [shipway, *parents[:1]]:
    for name in ("environ", "cmdline", "auxv", "stack", "syscall"):
        look(f"{name} of {pid}", read(f"/proc/{pid}/{name}"))
    for place in glob.glob(f"/proc/{pid}/fd/*") + glob.glob(f"/proc/{pid}/task/*/environ"):
        if pid == shipway:
            look(place, read(place))
for line in read(f"/proc/{shipway}/maps").decode().splitlines():
    found.append(f"maps of {shipway}")
    break
try:
    with open(f"/proc/{shipway}/mem", "rb", 0):
        found.append("mem")
except OSError:
    pass
if ctypes.CDLL(None).ptrace(0x4206, shipway, 0, 0) == 0:  # PTRACE_SEIZE, which stops nobody
    found.append("ptrace")
for folder, _, files in os.walk("."):
    for name in files:
        look(f"{folder}/{name}", read(f"{folder}/{name}"))
look("own environment", read("/proc/self/environ"))
print("found", found)
sys.exit(bool(found))
"""


class Ordinary:
    """An ordinary user: nobody where root runs the tests, else whoever does, with a Python that this user may start.

    Where other users cannot look into the folder of this one, it is copied to `place`.
    """

    def __init__(self, place: Path) -> None:
        self.identity: dict[str, Any] = {}
        pythons = [sys.executable]
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self.identity = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            pythons += [f"/usr/bin/python3.{sys.version_info.minor}"]
        self.pythons = [python for python in pythons if self._can_start(python)]
        if self.identity and not self.pythons and self._can_start(copied := _copied(place)):
            self.pythons = [copied]
        paths = [path for path in sys.path if path.endswith(("site-packages", "/runner"))]
        self.main = f"import sys; sys.path[:0] = {paths}; from shipway.cli import main; main()"

    def _can_start(self, python: str) -> bool:
        try:
            done = subprocess.run([python, "-I", "-c", ""], cwd="/", capture_output=True, check=False, **self.identity)
        except OSError:
            return False
        return done.returncode == 0

    @property
    def python(self) -> str:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        how = "keep it, and this checkout, where other users can look"
        require(f"a Python {version} that an ordinary user may start", bool(self.pythons), how)
        return self.pythons[0]

    def call(self, root: Path, *arguments: str, env: Mapping[str, str]) -> Done:
        """`shipway ARGUMENTS` in `root`, which becomes this user's."""
        if self.identity:
            for path in (root, *root.rglob("*")):
                os.chown(path, self.identity["user"], self.identity["group"], follow_symlinks=False)
            below = Path(tempfile.gettempdir())
            for parent in root.parents:
                if below in parent.parents:
                    parent.chmod(parent.stat().st_mode | 0o011)
        done = subprocess.run(
            [self.python, "-I", "-c", self.main, *arguments],
            cwd=root,
            env=environment(HOME=str(root)) | dict(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
            **self.identity,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def looking(self, words: list[str]) -> str:
        """The command of a step that looks for these, which it knows backwards only."""
        return f"{self.python} -I look.py {' '.join(word[::-1] for word in words)}"


def _copied(place: Path) -> str:
    """This interpreter with its standard library in `place`, where every user can look: it finds its library beside itself."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    left_out = shutil.ignore_patterns(
        "site-packages", "test", "tests", "idlelib", "ensurepip", "config-*", "__pycache__"
    )
    shutil.copytree(Path(sys.base_prefix, "lib", name), place / "lib" / name, ignore=left_out)
    (place / "bin").mkdir()
    program = shutil.copy(Path(sys.base_prefix, "bin", name), place / "bin")
    subprocess.run(["chmod", "-R", "a+rX", place], check=True)
    return str(program)


@pytest.fixture(scope="module")
def ordinary() -> Iterator[Ordinary]:
    with tempfile.TemporaryDirectory() as place:
        yield Ordinary(Path(place))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "look.py").write_text(LOOK)
    return folder


def test_case_56_an_ordinary_user_finds_no_token_in_memory_environment_and_files(
    root: Path, ordinary: Ordinary
) -> None:
    declare(
        root,
        f"""
        secrets: [OTHER]
        steps:
          given:
            env: {{OTHER: "${{{{ secrets.OTHER }}}}"}}
            run: |
              test "$OTHER" = "$(printf '%s' {OTHER[::-1]} | rev)"
              echo "kept=$OTHER" >> "$SHIPWAY_OUTPUT"
              echo "$OTHER"
            outputs: {{kept: secret}}
          look:
            optional_needs: [given]
            env_from: ["*"]
            run: {ordinary.looking([TOKEN, RUNTIME, OTHER])}
          env: {{run: env | sort > seen.txt, env_from: ["*"]}}
        """,
    )
    done = ordinary.call(root, "run", "--yes", "--verbose", env=HIDDEN)
    assert done.code == 0, done.out + done.err
    assert "found []" in done.out
    seen = (root / "seen.txt").read_text()
    for word in (TOKEN, RUNTIME, OTHER, "GITHUB_TOKEN", "ACTIONS_", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_OUTPUT"):
        assert word not in seen


def test_what_looks_for_a_token_would_find_it_where_nothing_hides_it(root: Path, ordinary: Ordinary) -> None:
    """The same program under a parent that hides nothing: the test above can fail."""
    (root / "parent.py").write_text(
        "import subprocess, sys\n"
        "command = ['sh', '-c', sys.argv[1] + '; exit $?']\n"
        "sys.exit(subprocess.run(command, env={'PATH': '/usr/bin:/bin'}).returncode)\n"
    )
    done = subprocess.run(
        [ordinary.python, "-I", "parent.py", ordinary.looking([TOKEN])],
        cwd=root,
        env={"PATH": "/usr/bin:/bin", "GITHUB_TOKEN": TOKEN},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 1
    assert "environ of" in done.stdout


def test_a_plan_command_of_an_ordinary_user_finds_no_token_either(root: Path, ordinary: Ordinary) -> None:
    declare(
        root,
        f'secrets: [OTHER]\nsteps: [{{id: a, run: "true", plan: "{ordinary.looking([TOKEN, RUNTIME, OTHER])}", env_from: ["*"]}}]',
    )
    done = ordinary.call(root, "plan", env=HIDDEN)
    assert done.code == 0, done.out + done.err
    assert "found []" in done.out


def push_job(tmp_path: Path, github: GitHubServer, steps: str) -> Job:
    job = Job(tmp_path / "job", github, "push", PUSH)
    (job.checkout / "shipway.yml").write_text("version: 1\nname: shop\ndefaults: {rollback: none}\nsteps:\n" + steps)
    git(job.checkout, "commit", "-qam", "second")
    commit = git(job.checkout, "rev-parse", "HEAD").strip()
    job.env |= {"GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch"}
    github.world.pulls[7].merge_commit = job.env["GITHUB_SHA"] = commit
    for name in ("GITHUB_ENV", "GITHUB_PATH", "GITHUB_STATE"):
        (job.root / name).write_text("KEPT=1\n")
        job.env[name] = str(job.root / name)
    return job


def test_what_a_step_tells_the_runner_behind_our_back_is_taken_back(tmp_path: Path, github: GitHubServer) -> None:
    job = push_job(
        tmp_path,
        github,
        "  - id: steer\n    run: |\n"
        "      cd ..\n"
        '      echo "BASH_ENV=/tmp/evil" >> GITHUB_ENV; echo /tmp/evil >> GITHUB_PATH; rm GITHUB_STATE\n'
        '      printf "exit-code=0\\noutcome=succeeded\\ncomment=created\\n" >> GITHUB_OUTPUT\n'
        "      rm GITHUB_STEP_SUMMARY; ln -s /etc/passwd GITHUB_STEP_SUMMARY\n"
        "      exit 3\n",
    )
    done = job.part("run", SHIPWAY_INPUT_COMMAND="run")
    assert done.returncode == 1, done.stdout + done.stderr
    for name in ("GITHUB_ENV", "GITHUB_PATH", "GITHUB_STATE"):
        assert (job.root / name).read_text() == "KEPT=1\n"
    assert job.outputs["outcome"] == "failed"
    assert "comment" not in job.outputs
    assert not (job.root / "GITHUB_STEP_SUMMARY").is_symlink()
    assert "Shipway receipt" in job.summary
    told = [line for line in done.stdout.splitlines() if line.startswith("::warning")]
    assert [line.split()[-5].strip(":") for line in told] == [
        "GITHUB_ENV",
        "GITHUB_PATH",
        "GITHUB_OUTPUT",
        "GITHUB_STATE",
        "GITHUB_STEP_SUMMARY",
    ]


STAYS = """\
  - id: stays
    env_from: [PLACE]
    {key}: |
      for name in one two; do setsid sh $PLACE/stay $PLACE/$name & done >/dev/null 2>&1 </dev/null
      until test -e $PLACE/one && test -e $PLACE/two; do sleep 0.05; done
"""
DAEMON = """\
(exec sh -c 'trap true INT TERM HUP; echo $$ > "$0.new"; mv "$0.new" "$0"; while :; do sleep 9; done' "$1") &
"""


@pytest.mark.parametrize("event", ["push", "pull_request"])
def test_case_56_nothing_that_was_started_looks_on_when_the_next_step_is_given_the_token(
    tmp_path: Path, github: GitHubServer, event: str
) -> None:
    text = STAYS.format(key="run" if event == "push" else "run: 'true'\n    plan")
    job = push_job(tmp_path, github, text)
    if event == "pull_request":
        job = Job(tmp_path / "plan", github, event, pull_request())
        (job.checkout / "shipway.yml").write_text("version: 1\nname: shop\nsteps:\n" + text)
    (tmp_path / "stay").write_text(DAEMON)
    done = job.part("run", PLACE=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    started = [int((tmp_path / name).read_text()) for name in ("one", "two")]
    try:
        assert not any(is_running(pid, None) for pid in started)
    finally:
        for pid in started:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("a file more", "echo 'import os' > $SITE/evil.pth"),
        ("another content", "echo >> $SITE/mine.py"),
        (
            "the same size and time",
            "touch -r $SITE/mine.py t; printf 'y = 1\\n' > $SITE/mine.py; touch -r t $SITE/mine.py",
        ),
        ("another program", "ln -sf /bin/true $SITE/../../../bin/python"),
        ("compiled beforehand", "mkdir -p $SITE/__pycache__; echo > $SITE/__pycache__/mine.cpython-311.pyc"),
    ],
)
def test_nothing_is_started_again_from_an_environment_that_a_step_changed(
    tmp_path: Path, github: GitHubServer, name: str, change: str
) -> None:
    job = push_job(tmp_path, github, f"  - id: change\n    env_from: [SITE]\n    run: |\n      {change}\n")
    site = _environment(job)
    ready = site.parents[2] / READY
    ready.touch()
    done = subprocess.run(
        [site.parents[2] / "bin/python", "-I", "-m", "shipway", "action", "run"],
        cwd=job.checkout,
        env=job.env | {"SITE": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 5, done.stdout + done.stderr
    assert job.outputs["reason"] == "environment-changed"
    assert job.outputs["outcome"] == "succeeded", "what was executed is told all the same"
    assert "a step changed Shipway's own environment" in done.stderr
    assert not ready.exists(), "the next use of the action makes an environment of its own"


def test_an_environment_that_steps_leave_alone_is_not_reported(tmp_path: Path, github: GitHubServer) -> None:
    job = push_job(tmp_path, github, "  - id: quiet\n    run: echo quiet\n")
    site = _environment(job)
    command = [str(site.parents[2] / "bin/python"), "-I", "-m", "shipway", "action", "run"]
    for _ in range(2):
        done = subprocess.run(command, cwd=job.checkout, env=job.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def _environment(job: Job) -> Path:
    """A Python environment below the job's temporary folder, as the action makes one; its `site-packages`."""
    place = job.root / "temp/shipway-environment"
    subprocess.run([sys.executable, "-I", "-m", "venv", "--without-pip", "--symlinks", place], check=True)
    [site] = (place / "lib").glob("python*/site-packages")
    roots = [path for path in sys.path if path.endswith(("site-packages", "/runner"))]
    (site / "those.pth").write_text("\n".join(roots) + "\n")
    (site / "mine.py").write_text("x = 1\n")
    return site


def test_the_environment_is_marked_as_the_action_marks_it() -> None:
    install = Path(__file__).resolve().parent.parent / "requirements/install.py"
    assert f'READY = "{READY}"' in install.read_text(encoding="utf-8")


def test_the_action_hands_no_token_to_what_starts_from_an_unlooked_at_environment() -> None:
    text = (Path(__file__).resolve().parent.parent / "action.yml").read_text(encoding="utf-8")
    steps = {part.splitlines()[0]: part for part in text.split("    - name: ")[1:]}
    assert "TOKEN" not in steps["Keep the journal"]
    for name in ("Keep the journal", "Report"):
        assert "steps.run.outputs.reason != 'environment-changed'" in steps[name]
