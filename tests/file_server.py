"""A real HTTP server on 127.0.0.1 that hands out one file, with the faults that a test asks for; it remembers what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """What is handed out, and how. `cuts`: of the next answers only so many bytes come before the connection ends."""

    content: bytes = b"content\n"
    etag: str = '"one"'
    last_modified: str = ""
    takes_ranges: bool = True
    is_chunked: bool = False
    status: int = 200
    retry_after: str = ""
    redirect: str = ""
    cuts: list[int] = field(default_factory=list)
    hangs: threading.Event | None = None
    asked: list[dict[str, str]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(server: FileServer) -> Iterator[FileServer]:
    """Within it the server answers at `server.url`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

        def do_GET(self) -> None:
            server.asked.append({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}})
            if server.redirect and self.path == "/moved":
                self._answer(302, b"", Location=server.redirect)
            elif server.status != 200:
                self._answer(server.status, b"no", **{"Retry-After": server.retry_after} if server.retry_after else {})
            else:
                self._file()

        def _file(self) -> None:
            start = self._start()
            if start and start >= len(server.content):  # RFC 9110, 15.5.17
                self._answer(416, b"", **{"Content-Range": f"bytes */{len(server.content)}"})
                return
            more = {"Content-Range": f"bytes {start}-{len(server.content) - 1}/{len(server.content)}"} if start else {}
            self._answer(206 if start else 200, server.content[start:], **more)

        def _start(self) -> int:
            asked = self.headers.get("Range", "")
            holds = self.headers.get("If-Range") in (server.etag or None, server.last_modified or None)
            return int(asked.removeprefix("bytes=").rstrip("-")) if asked and holds and server.takes_ranges else 0

        def _answer(self, status: int, content: bytes, **headers: str) -> None:
            self.send_response(status)
            known = {"ETag": server.etag, "Last-Modified": server.last_modified, **headers}
            for name, value in known.items():
                if value:
                    self.send_header(name, value)
            cut = server.cuts.pop(0) if server.cuts and status in (200, 206) else None
            if server.is_chunked:
                self.send_header("Transfer-Encoding", "chunked")
                content = b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content)
            else:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content if cut is None else content[:cut])
            self.wfile.flush()
            if cut is not None:
                if server.hangs is not None:
                    server.hangs.wait(60)
                self.close_connection = True

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Who goes away in the middle of an answer is part of some tests."""

    with Server(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_port}/file.bin"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            if server.hangs is not None:
                server.hangs.set()
            http.shutdown()
            thread.join()
