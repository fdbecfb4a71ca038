"""The store on a git remote: the contract, many pushers to a real bare repository, and remotes that fail half-way."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.ci import Token
from shipway.errors import Reason
from shipway.store import Store, StoreError
from shipway.stores.git_refs import GitRefs, Remote, find_remote
from tests.contention import contend
from tests.contracts.store import CHECKS
from tests.git_remotes import git, hook, make_remote, served

ENV = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
KEY = "locks/named/db"


def store_of(clone: Path, **more: float) -> GitRefs:
    remote = find_remote(clone, ENV, "", None, "")
    return GitRefs(remote, ENV, sleep=lambda seconds: None, redact=lambda text: text, **more)


@pytest.mark.parametrize("check", CHECKS)
def test_it_keeps_the_contract_of_stores(check: Callable[[Callable[[], Store]], None], tmp_path: Path) -> None:
    _, clones = make_remote(tmp_path, clones=2)
    made: list[Store] = []

    def make() -> Store:
        made.append(store_of(clones[len(made) % 2]))
        return made[-1]

    check(make)


def test_eight_pushers_contend_for_a_lock_on_a_real_remote(tmp_path: Path) -> None:
    _, [clone] = make_remote(tmp_path)
    found = contend("git", str(clone), tmp_path / "oracle", processes=8, rounds=2)
    assert found.failures == []
    assert found.tokens == list(range(1, 17))


def test_nothing_of_the_checkout_changes(tmp_path: Path) -> None:
    bare, [clone] = make_remote(tmp_path)
    before = git(clone, "for-each-ref"), git(clone, "status", "--porcelain", "--branch")
    one = store_of(clone)
    version = one.swap(KEY, None, b"{}")
    assert one.swap(KEY, version, b"{ }") is not None
    assert (git(clone, "for-each-ref"), git(clone, "status", "--porcelain", "--branch")) == before
    assert not (clone / ".git" / "FETCH_HEAD").exists()
    assert git(bare, "for-each-ref", "--format=%(refname)").split() == [
        "refs/heads/main",
        "refs/shipway/locks/named/db",
    ]
    assert git(bare, "show", "refs/shipway/locks/named/db:record") == "{ }"
    assert git(bare, "rev-list", "--count", "refs/shipway/locks/named/db") == "1\n", "no history grows"


def test_no_hook_of_the_checkout_is_run(tmp_path: Path) -> None:
    _, [clone] = make_remote(tmp_path)
    hook(clone / ".git", "pre-push", f"touch {tmp_path}/ran; exit 1")
    hook(clone / ".git", "reference-transaction", f"touch {tmp_path}/ran")
    assert store_of(clone).swap(KEY, None, b"{}") is not None
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "script"),
    [
        # The ref is changed, and then the answer gets lost: the server's process dies before it can send it.
        ("post-receive", "kill -9 $PPID"),
        # It dies before anything is changed, once.
        ("pre-receive", 'if mkdir "$GIT_DIR/died" 2>/dev/null; then kill -9 $PPID; fi'),
        ("update", 'if mkdir "$GIT_DIR/died" 2>/dev/null; then kill -9 $PPID; fi'),
    ],
)
def test_a_remote_that_dies_half_way_is_asked_what_became_of_the_push(name: str, script: str, tmp_path: Path) -> None:
    bare, clones = make_remote(tmp_path, clones=2)
    dying = hook(bare, name, script)
    first = store_of(clones[0]).swap(KEY, None, b"1")
    assert first is not None
    second = store_of(clones[1]).swap(KEY, first, b"2")
    assert second is not None
    assert store_of(clones[0]).swap(KEY, first, b"3") is None
    dying.unlink()
    kept = store_of(clones[0]).read(KEY)
    assert kept is not None and (kept.content, kept.version) == (b"2", second)


def test_a_remote_that_always_dies_is_an_error_and_never_a_free_lock(tmp_path: Path) -> None:
    bare, [clone] = make_remote(tmp_path)
    hook(bare, "pre-receive", "kill -9 $PPID")
    waits: list[float] = []
    store = GitRefs(find_remote(clone, ENV, "", None, ""), ENV, sleep=waits.append, redact=str)
    with pytest.raises(StoreError, match="refs of the git remote `origin` cannot be written") as raised:
        store.swap(KEY, None, b"1")
    assert raised.value.reason is Reason.STORE_UNREACHABLE and raised.value.exit_code == 6
    assert waits == [0.2, 0.4, 0.8, 1.6]


def test_a_remote_that_refuses_the_ref_says_so_and_names_the_permission(tmp_path: Path) -> None:
    bare, [clone] = make_remote(tmp_path)
    hook(bare, "update", 'echo "GH013: protected by a rule" >&2; exit 1')
    with pytest.raises(StoreError, match="protected by a rule") as raised:
        store_of(clone).swap(KEY, None, b"1")
    assert raised.value.reason is Reason.LOCK_PERMISSION
    assert "contents: write" in raised.value.next and "lock: none" in raised.value.next


def test_a_remote_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    bare, [clone] = make_remote(tmp_path)
    bare.rename(tmp_path / "moved")
    for ask in (lambda: store_of(clone).read(KEY), lambda: store_of(clone).swap(KEY, None, b"1")):
        with pytest.raises(StoreError) as raised:
            ask()
        assert raised.value.reason is Reason.STORE_UNREACHABLE


def test_a_remote_that_never_answers_is_given_up(tmp_path: Path) -> None:
    _, [clone] = make_remote(tmp_path)
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexec sleep 600\n")
    silent.chmod(silent.stat().st_mode | stat.S_IXUSR)
    env = {**ENV, "GIT_SSH": str(silent), "GIT_SSH_VARIANT": "simple"}
    remote = Remote(clone, "origin", "")
    git(clone, "remote", "set-url", "origin", "ssh://example.invalid/x.git")
    store = GitRefs(remote, env, sleep=lambda seconds: None, redact=str, timeout_s=0.2)
    with pytest.raises(StoreError, match="no answer within"):
        store.read(KEY)


def test_the_token_reaches_the_remote_and_stands_in_no_argument_environment_or_file(tmp_path: Path) -> None:
    bare, [clone] = make_remote(tmp_path)
    git(bare, "config", "http.receivepack", "true")
    spy = tmp_path / "bin"
    spy.mkdir()
    real = next(path for part in ENV["PATH"].split(":") if (path := Path(part) / "git").exists())
    (spy / "git").write_text(f'#!/bin/sh\n{{ echo "$@"; env; }} >> {tmp_path}/seen\nexec {real} "$@"\n')
    (spy / "git").chmod(0o755)
    env = {**ENV, "PATH": f"{spy}:{ENV['PATH']}"}
    with served(bare, "ghs_secret") as (url, seen):
        git(clone, "remote", "set-url", "origin", url)
        token = Token("ghs_secret", url.rpartition("/")[0])
        store = GitRefs(find_remote(clone, env, "", token, url), env, sleep=lambda seconds: None, redact=str)
        assert store.swap(KEY, None, b"1") is not None
        kept = store.read(KEY)
        assert kept is not None and kept.content == b"1"
        assert len([one for one in seen if one]) >= 2
        elsewhere = find_remote(clone, env, "", token, "https://github.com")
        assert elsewhere.token is None, "a token goes to its own host only"
        wrong = GitRefs(
            find_remote(clone, env, "", Token("ghs_other", token.origin), url), env, sleep=lambda s: None, redact=str
        )
        with pytest.raises(StoreError) as raised:
            wrong.swap(KEY, kept.version, b"2")
        assert raised.value.reason is Reason.LOCK_PERMISSION
    assert "push" in (tmp_path / "seen").read_text()
    assert "ghs_secret" not in (tmp_path / "seen").read_text()
    assert "ghs_secret" not in (clone / ".git" / "config").read_text()


def test_what_a_remote_says_is_quoted_without_credentials_and_control_characters(tmp_path: Path) -> None:
    _, [clone] = make_remote(tmp_path)
    git(clone, "remote", "set-url", "origin", "https://me:hunter2@127.0.0.1:1/x.git")
    with pytest.raises(StoreError) as raised:
        store_of(clone).read(KEY)
    assert "hunter2" not in raised.value.message and "127.0.0.1:1" in raised.value.message


def test_without_a_remote_it_says_what_to_do(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", ".")
    with pytest.raises(StoreError, match="there is no remote `origin`") as raised:
        find_remote(tmp_path, ENV, "", None, "")
    assert "git remote add" in raised.value.next
