"""Shows that a preview is reached in the same way here and on a host: what is run, written and refused, and what leaks."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Event, Thread

import pytest

from shipway.action import ActionFailed
from shipway.compute_access import Access, Refused, Unreachable
from shipway.local_access import LocalAccess
from shipway.process_identity import carrying
from shipway.ssh_access import SshAccess
from shipway.ssh_control import Control, Host
from tests.remote_host import RemoteHost, remote_host
from tests.runs import PATIENCE_S

BASE = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
HOSTILE = [
    "has space",
    "$(echo inj)",
    "`id`",
    "'quoted' \"twice\"",
    "two\nlines\n",
    "back\\slash \\n \\0 %s",
    "é ☃",
    "-n",
    "",
]


def ssh_access(host: RemoteHost, root: Path | str) -> SshAccess:
    known = host.known_hosts.encode()
    return SshAccess(str(root), Control(Host("127.0.0.1", host.user, host.port, host.key, known), BASE))


@pytest.fixture
def access(where: RemoteHost | None, tmp_path: Path) -> Access:
    """Access to the folder `root`, here or by way of sshd."""
    root = tmp_path / 'ro\'ot "x"'
    root.mkdir()
    return LocalAccess(str(root), BASE) if where is None else ssh_access(where, root)


def test_case_75_a_file_is_written_with_its_parents_and_a_command_runs_in_the_root(access: Access) -> None:
    access.write("subdir/deeper/x", b"content\n\0\xff", 0o640)
    assert access.read("subdir/deeper/x") == b"content\n\0\xff"
    assert access.read("subdir/none") is None
    assert access.read("none/none") is None
    ran = access.run("pwd; cat; echo err >&2; exit 7", stdin=b"given")
    assert (ran.exit_code, ran.text, ran.err) == (7, f"{access.root}\ngiven", b"err\n")
    assert access.run("pwd", cwd="subdir/deeper").text == f"{access.root}/subdir/deeper"
    missing = access.run("echo ran", cwd="subdir/none")
    assert missing.exit_code != 0 and missing.text == "" and "no folder subdir/none" in missing.said()


def test_case_76_nothing_leads_out_of_the_root(access: Access, tmp_path: Path) -> None:
    root, outside = Path(access.root), tmp_path / "outside"
    outside.mkdir()
    (outside / "theirs").write_text("theirs")
    (root / "out").symlink_to(outside)
    (root / "file").symlink_to(outside / "theirs")
    (root / "dangling").symlink_to(outside / "new")
    for path in ("../x", "/etc/x", "a/../../x", "out/x", "", ".", "dangling", "file"):
        with pytest.raises(Refused):
            access.write(path, b"ours", 0o600)
    for path in ("../outside/theirs", "out/theirs", "file"):
        with pytest.raises(Refused):
            access.read(path)
    with pytest.raises(Refused):
        access.delete("out/theirs")
    access.delete("file")
    assert not (root / "file").is_symlink()
    assert [path.read_text() for path in outside.iterdir()] == ["theirs"]
    assert access.run("echo ran", cwd="out").text == ""


def test_case_76_the_mode_is_set_on_existing_files_too_and_deleting_is_its_own_operation(access: Access) -> None:
    file = Path(access.root, "file")
    file.write_text("before")
    file.chmod(0o644)
    access.write("file", b"after", 0o600)
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("after", 0o600)
    access.write("file", b"", 0o644)
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"", 0o644)
    access.delete("file")
    access.delete("file")
    access.delete("none/file")
    assert os.listdir(access.root) == []
    (file.parent / "folder").mkdir()
    with pytest.raises(ActionFailed, match="folder"):
        access.write("folder", b"", 0o600)
    with pytest.raises(ActionFailed, match="folder"):
        access.delete("folder")


def test_a_megabyte_arrives_and_a_link_within_the_root_is_followed(access: Access) -> None:
    content = os.urandom(1 << 20)
    Path(access.root, "link").symlink_to("real")
    access.write("link", content, 0o600)
    assert access.read("real") == content
    assert Path(access.root, "link").is_symlink()


def test_case_77_a_failing_command_leaves_what_it_wrote_within_bounds(access: Access) -> None:
    ran = access.run("echo out; head -c 5000000 /dev/zero | tr '\\0' 'x' >&2; echo last >&2; exit 3")
    assert (ran.exit_code, ran.text) == (3, "out")
    assert ran.err.endswith(b"last\n") and len(ran.err) < 4_000_000


def test_case_78_values_arrive_as_they_are(access: Access) -> None:
    env = {f"V{number}": value for number, value in enumerate(HOSTILE)} | {"LONG": "x'" * 50_000}
    ran = access.run(
        'for n in 0 1 2 3 4 5 6 7 8; do eval "printf \'%s\\0\' \\"\\$V$n\\""; done; printf %s "$LONG"', env=env
    )
    assert ran.out.decode().split("\0") == [*HOSTILE, "x'" * 50_000]
    assert os.listdir(access.root) == []
    with pytest.raises(Refused):
        access.run("true", env={"A B": "x"})
    with pytest.raises(Refused):
        access.run("true", env={"A": "x\0"})
    with pytest.raises(Refused):
        access.run("true\0")


def test_case_78_without_the_root_nothing_is_run(access: Access, tmp_path: Path) -> None:
    os.rmdir(access.root)
    with pytest.raises(ActionFailed, match="is not there"):
        access.run(f"touch {tmp_path}/ran")
    assert not (tmp_path / "ran").exists()


def test_case_78_an_unknown_host_key_is_refused(host: RemoteHost, tmp_path: Path) -> None:
    for known in (
        b"",
        b"[127.0.0.1]:%d ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB\n"
        % host.port,
    ):
        access = SshAccess(str(tmp_path), Control(Host("127.0.0.1", host.user, host.port, host.key, known), BASE))
        with pytest.raises(Unreachable, match=r"(?i)host key"):
            access.run("true")


@pytest.mark.parametrize("name", ["-oProxyCommand=touch x", "a b", "a;b", "$(id)", ""])
def test_what_is_no_host_or_user_is_refused_before_ssh_sees_it(name: str) -> None:
    with pytest.raises(Refused):
        Control(Host(name), BASE)
    if name:
        with pytest.raises(Refused):
            Control(Host("host", user=name), BASE)


def test_a_host_is_told_nothing_of_this_environment(host: RemoteHost, tmp_path: Path) -> None:
    env = {**BASE, "GITHUB_TOKEN": "ghs_x", "LC_NAME": "told", "SHIPWAY_X": "told", "CI": "true"}
    control = Control(Host("127.0.0.1", host.user, host.port, host.key, host.known_hosts.encode()), env)
    told = SshAccess(str(tmp_path), control).run("env", env={"DECLARED": "1"}).text
    names = {line.partition("=")[0] for line in told.splitlines()}
    assert "DECLARED" in names
    assert not names & {"GITHUB_TOKEN", "LC_NAME", "SHIPWAY_X", "CI", "SSH_CONNECTION", "p"}


def test_one_connection_serves_all_and_no_key_stays_behind(host: RemoteHost, tmp_path: Path) -> None:
    access = ssh_access(host, tmp_path)
    shown = {access.run("echo $SSHD; ps -o ppid= -p $PPID || true").text for _ in range(3)}
    assert len(shown) == 1
    folder = Path(f"/tmp/shipway-{os.getuid()}")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path for path in folder.rglob("*") if path.is_file() and host.key.encode() in path.read_bytes()] == []
    assert all(len(str(path)) <= 100 for path in folder.iterdir())


def test_many_at_once_share_the_sessions_that_the_host_allows(host: RemoteHost, tmp_path: Path) -> None:
    access = ssh_access(host, tmp_path)
    said: list[str] = []
    threads = [Thread(target=lambda n=n: said.append(access.run(f"sleep 0.2; echo {n}").text)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sorted(map(int, said)) == list(range(16))


STUBBORN = """trap '' INT TERM
(trap '' INT TERM; echo started >&2; sleep 1000) &
wait
sleep 1000
"""


@pytest.mark.parametrize("how", ["timeout", "cancelled"])
def test_case_54_the_whole_group_is_ended(access: Access, how: str) -> None:
    started = Event()
    mark = f"SHIPWAY_TEST={access.root}"
    ran = access.run(
        STUBBORN,
        env={"SHIPWAY_TEST": access.root},
        on_output=lambda piece: started.set(),
        timeout_ms=1 if how == "timeout" else 0,
        cancelled=started.is_set if how == "cancelled" else lambda: False,
    )
    assert ran.stopped == how
    assert carrying(mark) == []


def test_what_a_script_leaves_in_its_group_is_ended_with_it(access: Access) -> None:
    ran = access.run("sleep 1000 & echo done", env={"SHIPWAY_TEST": access.root})
    assert (ran.exit_code, ran.text) == (0, "done")
    assert carrying(f"SHIPWAY_TEST={access.root}") == []


def test_case_39_a_host_that_went_away_is_unreachable_and_comes_back(tmp_path: Path) -> None:
    with remote_host() as own:
        access = ssh_access(own, tmp_path)
        assert access.run("echo here").text == "here"
        own.stop()
        with pytest.raises(Unreachable):
            access.run("echo here")
        own.start()
        assert access.run("echo here").text == "here"


def test_the_end_of_a_connection_is_no_exit_code_of_the_script(host: RemoteHost, tmp_path: Path) -> None:
    access = ssh_access(host, tmp_path)
    assert access.run("exit 255").exit_code == 255
    assert access.run("printf 'shipway-ran 0\\n' >&2; exit 4").exit_code == 4
    with pytest.raises(Unreachable, match="lost"):
        access.run("kill -9 $PPID $$")


def test_a_long_script_runs(access: Access) -> None:
    assert access.run("true " + "x" * 300_000 + "\necho done").text == "done"


def test_ssh_reads_no_settings_of_the_user(host: RemoteHost, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh/config").write_text(
        f"Host *\nPermitLocalCommand yes\nLocalCommand touch {tmp_path}/ran\nSetEnv X=1\n"
    )
    control = Control(
        Host("127.0.0.1", host.user, host.port, host.key, host.known_hosts.encode()), {**BASE, "HOME": str(home)}
    )
    assert SshAccess(str(tmp_path), control).run('echo "$X"').text == ""
    assert not (tmp_path / "ran").exists()


def test_what_the_login_shell_of_a_host_prints_is_no_output(host: RemoteHost, tmp_path: Path) -> None:
    rc = host.home / ".bashrc"
    rc.write_text("echo hello; echo oops >&2\n")
    try:
        ran = ssh_access(host, tmp_path).run("echo out; echo err >&2; exit 3")
    finally:
        rc.unlink()
    assert (ran.exit_code, ran.out, ran.err) == (3, b"out\n", b"err\n")
