"""Real bare repositories as remotes: over a path, and over HTTP with a password, by git's own server program."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")


def git(folder: Path, *arguments: str, given: str = "") -> str:
    """What git prints; `given` is its input."""
    call = ["git", *IDENTITY, *arguments]
    return subprocess.run(call, cwd=folder, input=given, capture_output=True, text=True, check=True).stdout


def make_remote(folder: Path, *, clones: int = 1) -> tuple[Path, list[Path]]:
    """A bare repository with one commit on `main`, and clones of it."""
    bare, seed = folder / "remote.git", folder / "seed"
    git(folder, "init", "-q", "--bare", "-b", "main", str(bare))
    git(folder, "init", "-q", "-b", "main", str(seed))
    git(seed, "commit", "-q", "--allow-empty", "-m", "first")
    git(seed, "push", "-q", str(bare), "main")
    made = [folder / f"clone-{number}" for number in range(clones)]
    for clone in made:
        git(folder, "clone", "-q", str(bare), str(clone))
    return bare, made


def hook(bare: Path, name: str, script: str) -> Path:
    """Give the bare repository a hook."""
    path = bare / "hooks" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@contextmanager
def served(bare: Path, password: str) -> Iterator[tuple[str, list[str]]]:
    """The repository at an address that asks for `password`, and the `Authorization` of each request so far."""
    seen: list[str] = []
    wanted = "Basic " + base64.b64encode(f"x-access-token:{password}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, format: str, *args: object) -> None:
            """Keeps standard error quiet."""

        def _answer(self) -> None:
            seen.append(self.headers.get("Authorization", ""))
            if seen[-1] != wanted:
                self.send_response(403 if seen[-1] else 401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            head, _, body = self._run_git().partition(b"\r\n\r\n")
            fields = [line.partition(": ") for line in head.decode().split("\r\n")]
            status = next((value for name, _, value in fields if name == "Status"), "200")
            self.send_response(int(status.split()[0]))
            for name, _, value in fields:
                if name != "Status":
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _run_git(self) -> bytes:
            parts = urlsplit(self.path)
            env = {
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(bare.parent),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": parts.path,
                "QUERY_STRING": parts.query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "REMOTE_USER": "someone",
            }
            return subprocess.run(
                ["git", "http-backend"], input=self._body(), env=env, capture_output=True, check=True
            ).stdout

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", "0")))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/{bare.name}", seen
        finally:
            server.shutdown()
            thread.join()
