"""Records as refs of a git remote: `refs/shipway/<key>`, one commit each. Creating the ref is the first claim, every other
change is a push that names the commit it replaces. No branch, tag or local ref is touched; no hook of the checkout is run.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from shipway.ci import Token, origin
from shipway.errors import Reason
from shipway.redaction import strip_control
from shipway.store import Kept, Last, Presence, StoreError

_REFS = "refs/shipway/"
_FILE = "record"
_DOT = "_"
"""Stands for the dots of a key: git has rules about dots in a ref, and no part of a key has a `_`."""

TIMEOUT_S = 20.0
"""For one call of git, the remote's answer included. One that took so long is not tried again: a lock has to be renewed in time."""

_TRIES = 5
_FIRST_PAUSE_S = 0.2

_SETTINGS = (
    "gc.auto=0",
    "maintenance.auto=false",
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "push.gpgSign=false",
    "push.followTags=false",
    "protocol.ext.allow=never",
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=20",
    "safe.bareRepository=explicit",
)
_QUIET = tuple(part for setting in _SETTINGS for part in ("-c", setting))

_AUTHOR = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in (("NAME", "shipway"), ("EMAIL", "shipway@localhost"))
}

# What git itself needs of the environment: to find its settings, to reach a remote and to prove who asks.
_PASSED = frozenset({"PATH", "HOME", "USER", "TMPDIR", "XDG_CONFIG_HOME", "LD_LIBRARY_PATH", "SSH_AUTH_SOCK"})
_PASSED |= {"SSH_AGENT_PID", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "ALL_PROXY", "all_proxy"}
_PASSED |= {"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"}

_NOT_ALLOWED = re.compile(
    r"error: 403|denied to|access denied|permission denied|write access to repository not granted|not authori[sz]ed"
    r"|authentication failed|could not read (username|password)|insufficient permission|hook declined|protected"
    r"|unpacker error|resource not accessible|prohibited by|not allowed to",
    re.IGNORECASE,
)
_NOT_THERE = re.compile(r"does not appear to be a git repository|repository .*not found|no such remote", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")

_GRANT = (
    "give the job `permissions: {contents: write}`; or say `state: local`, and `lock: none` where the workflow's"
    " `concurrency` is guard enough"
)


class Remote(Struct, frozen=True):
    """Where the refs are: the checkout whose git settings hold, the remote's `name` there, and a token for its `url`."""

    root: Path
    name: str
    url: str
    token: Token | None = None


class GitRefs:
    """A store on a git remote. `sleep` pauses between tries; `redact` masks what is quoted of the remote's answers."""

    def __init__(
        self,
        remote: Remote,
        env: Mapping[str, str],
        *,
        sleep: Callable[[float], None],
        redact: Callable[[str], str],
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        kept = {name: value for name, value in env.items() if name in _PASSED or name.startswith("GIT_")}
        self._env = {**kept, **_AUTHOR, "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}
        self._remote = remote
        self._sleep = sleep
        self._redact = redact
        self._timeout_s = timeout_s

    @property
    def name(self) -> str:
        """What to call it."""
        return f"refs of the git remote `{self._remote.name}`"

    @property
    def presence(self) -> Presence | None:
        """Nobody can be seen through a remote."""
        return None

    def read(self, key: str) -> Kept | None:
        """The record, or None where there is none."""
        return self.entries(key).get(key)

    def entries(self, prefix: str) -> Mapping[str, Kept]:
        """Every record whose key begins with `prefix`, by key in order."""
        for _ in range(_TRIES):
            found = self._refs(prefix)
            contents = self._contents(found)
            if contents is not None:
                return {key: Kept(contents[commit], commit) for key, commit in sorted(found.items())}
        raise StoreError(f"{self.name} change faster than they can be read", next="run again")

    def swap(self, key: str, before: str | None, content: bytes) -> str | None:
        """Replace the record if its version is still `before`: one push that names what it replaces.

        Where the answer got lost, the ref is asked: the commit is unlike any other, so that it tells whether it arrived.
        """
        commit = self._commit(key, content)
        return commit if self._push(key, before, commit) else None

    def _push(self, key: str, before: str | None, commit: str) -> bool:
        """Whether the ref went from `before` to `commit`; False where somebody else was faster."""
        lease = f"--force-with-lease={_ref(key)}:{before or ''}"
        pause_s, said = _FIRST_PAUSE_S, ""
        for attempt in range(_TRIES):
            if attempt:
                self._sleep(pause_s)
                pause_s *= 2
            pushed = self._run("push", "--porcelain", "--no-verify", lease, self._remote.name, f"{commit}:{_ref(key)}")
            if pushed.code == 0:
                return True
            said = pushed.said
            now = self._refs(key).get(key)
            if now == commit:
                return True
            if now != before:
                return False
            if _NOT_ALLOWED.search(said) or pushed.is_late:
                break
        raise self._failed("cannot be written", said)

    def last(self, key: str) -> Last | None:
        """The document that the ref's commit holds."""
        for _ in range(_TRIES):
            commit = self._refs(key).get(key)
            if commit is None:
                return None
            self._fetch([_ref(key)], [commit])
            if self._run("cat-file", "-e", commit).code == 0:  # else it moved on before it was fetched
                for name, content in self._documents(commit):
                    return Last(name, content, commit)
                return Last(
                    "", b"", commit
                )  # somebody else's commit: a chain goes on behind it, and verifying it says so
        raise StoreError(f"{self.name} change faster than they can be read", next="run again")

    def append(self, key: str, name: str, content: bytes, after: str | None) -> bool:
        """Put a document behind the one before: one commit that holds it alone, whose parent is the commit `after`."""
        blob = self._made("hash-object", "-w", "--stdin", given=content)
        tree = self._made("mktree", given=f"100644 blob {blob}\t{name}\n".encode())
        parent = ["-p", after] if after else []
        return self._push(key, after, self._made("commit-tree", tree, *parent, "-m", name))

    def appended(self, key: str) -> Iterable[tuple[str, bytes]]:
        """The documents under `key`, the latest first."""
        latest = self._refs(key).get(key)
        if latest is None:
            return
        self._fetch([_ref(key)], [latest])
        for commit in self._made("rev-list", "--first-parent", latest).split():
            yield from self._documents(commit)

    def close(self) -> None:
        """Nothing is held open between calls."""

    def _documents(self, commit: str) -> Iterable[tuple[str, bytes]]:
        listed = self._run("ls-tree", "-z", commit).out.decode("utf-8", "replace").split("\0")
        for entry in filter(None, listed):
            facts, _, name = entry.partition("\t")
            yield name, self._run("cat-file", "blob", facts.split()[2]).out

    def _refs(self, prefix: str) -> dict[str, str]:
        """Key to commit, as the remote has them now."""
        pause_s, asked = _FIRST_PAUSE_S, _Called(1, b"", "")
        for attempt in range(_TRIES):
            if attempt:
                self._sleep(pause_s)
                pause_s *= 2
            asked = self._run("ls-remote", "--quiet", self._remote.name, f"{_ref(prefix)}*")
            if asked.code == 0:
                pairs = (line.split("\t") for line in asked.out.decode("utf-8", "replace").splitlines())
                known = {_key(ref): commit for commit, ref in pairs}
                return {key: commit for key, commit in known.items() if key.startswith(prefix)}
            if _NOT_ALLOWED.search(asked.said) or _NOT_THERE.search(asked.said) or asked.is_late:
                break
        raise self._failed("cannot be read", asked.said)

    def _contents(self, found: Mapping[str, str]) -> dict[str, bytes] | None:
        """What the commits hold, by commit; None where a ref moved on before it was fetched."""
        known = self._read_objects(list(found.values()))
        missing = [_ref(key) for key, commit in found.items() if commit not in known]
        if missing:
            self._fetch(missing, [])
            known = self._read_objects(list(found.values()))
        return known if all(commit in known for commit in found.values()) else None

    def _fetch(self, refs: Sequence[str], commits: Sequence[str]) -> None:
        """Get what the refs hold; nothing where these commits are here already."""
        if commits and all(self._run("cat-file", "-e", commit).code == 0 for commit in commits):
            return
        fetched = self._run(
            "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--refmap=", self._remote.name, *refs
        )
        if fetched.code and "couldn't find remote ref" not in fetched.said:
            raise self._failed("cannot be read", fetched.said)

    def _read_objects(self, commits: Sequence[str]) -> dict[str, bytes]:
        """The contents of those commits that are here already."""
        if not commits:
            return {}
        wanted = "".join(f"{commit}:{_FILE}\n" for commit in commits)
        out = self._run("cat-file", "--batch", given=wanted.encode()).out
        found: dict[str, bytes] = {}
        for commit in commits:
            head, _, rest = out.partition(b"\n")
            out = rest
            if head.endswith(b"missing"):
                continue
            size = int(head.rpartition(b" ")[2])
            found[commit], out = rest[:size], rest[size + 1 :]
        return found

    def _commit(self, key: str, content: bytes) -> str:
        """The id of a new commit that holds the record."""
        blob = self._made("hash-object", "-w", "--stdin", given=content)
        tree = self._made("mktree", given=f"100644 blob {blob}\t{_FILE}\n".encode())
        return self._made("commit-tree", tree, "-m", f"shipway: {key}")

    def _made(self, *arguments: str, given: bytes = b"") -> str:
        made = self._run(*arguments, given=given)
        if made.code != 0:
            raise self._failed("cannot be written", made.said)
        return made.out.decode().strip()

    def _failed(self, what: str, said: str) -> StoreError:
        shown = self._redact(_CREDENTIALS.sub("", " ".join(strip_control(said).split())))[:400]
        text = f"{self.name} {what}: {shown or 'git gave no reason'}"
        if _NOT_ALLOWED.search(said):
            return StoreError(text, reason=Reason.LOCK_PERMISSION, next=_GRANT)
        return StoreError(text, next="see that the remote answers, then run again")

    def _run(self, *arguments: str, given: bytes = b"") -> _Called:
        """One call of git, in a session of its own: it asks nobody for a password, and Ctrl-C leaves it alone."""
        helper, pipe = self._credentials()
        command = ["git", *_QUIET, *helper, *arguments]
        try:
            child = subprocess.Popen(
                command,
                cwd=self._remote.root,
                env=self._env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                pass_fds=pipe,
            )
        except OSError as error:
            raise StoreError(f"git cannot be run: {error.strerror or error}", next="install git") from error
        finally:
            for descriptor in pipe:
                os.close(descriptor)
        try:
            out, err = child.communicate(given, timeout=self._timeout_s)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
            return _Called(1, b"", f"no answer within {self._timeout_s:.0f} s", is_late=True)
        said = err.decode("utf-8", "replace")
        if arguments[0] == "push":
            said += "\n" + out.decode("utf-8", "replace")
        return _Called(child.returncode, out, said)

    def _credentials(self) -> tuple[list[str], tuple[int, ...]]:
        """Settings that let git read the job's token from a pipe; neither arguments nor environment nor files hold it."""
        token = self._remote.token
        if token is None:
            return [], ()
        reading, writing = os.pipe()
        os.write(writing, f"username=x-access-token\npassword={token.value}\n".encode())
        os.close(writing)
        key = f"credential.{token.origin}.helper"
        return ["-c", f"{key}=", "-c", f"{key}=!f() {{ cat /dev/fd/{reading}; }}; f"], (reading,)


class _Called(Struct, frozen=True):
    code: int
    out: bytes
    said: str
    is_late: bool = False


def find_remote(root: Path, env: Mapping[str, str], wanted: str, token: Token | None, server_url: str) -> Remote:
    """The remote called `wanted`, else `origin`, else the only one. `token` is handed to it only where it is on `server_url`.

    Raises StoreError where there is none.
    """
    kept = {name: value for name, value in env.items() if name in _PASSED or name.startswith("GIT_")}
    command = ["git", "-c", "safe.bareRepository=explicit", "remote"]
    try:
        listed = subprocess.run(command, cwd=root, env=kept, capture_output=True, text=True, check=False)
        names = listed.stdout.split()
        name = wanted or ("origin" if "origin" in names or not names else names[0])
        address = subprocess.run(
            [*command, "get-url", "--push", name], cwd=root, env=kept, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise StoreError(f"git cannot be run: {error.strerror or error}", next="install git") from error
    if address.returncode != 0:
        raise StoreError(
            f"`state: git` needs a git remote, and there is no remote `{name}` in `{root}`",
            next="add one with `git remote add`, or keep the state elsewhere: docs/locks.md#stores",
        )
    url = address.stdout.strip()
    may_have_it = token is not None and origin(url) == origin(server_url) and origin(url) != ""
    return Remote(root, name, url, Token(token.value, origin(url)) if token is not None and may_have_it else None)


def _ref(key: str) -> str:
    return _REFS + key.replace(".", _DOT)


def _key(ref: str) -> str:
    return ref.removeprefix(_REFS).replace(_DOT, ".")
