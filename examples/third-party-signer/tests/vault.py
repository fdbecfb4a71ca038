"""A server that signs and verifies as the transit engine does, with two keys of its own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

TOKEN = "hvs.test"
KEYS = {"shop": b"one", "other": b"two"}


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        *_, what, key = self.path.split("/")
        if self.headers.get("X-Vault-Token") != TOKEN:
            return self._answer(403, {"errors": ["permission denied"]})
        if key not in KEYS:
            return self._answer(404, {"errors": []})
        made = "vault:v1:" + hmac.new(KEYS[key], base64.b64decode(asked["input"]), hashlib.sha256).hexdigest()
        if what == "sign":
            return self._answer(200, {"data": {"signature": made}})
        if not asked["signature"].startswith("vault:v1:"):
            return self._answer(400, {"errors": ["invalid signature: no prefix"]})
        return self._answer(200, {"data": {"valid": asked["signature"] == made}})

    def _answer(self, code: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Keeps standard error quiet."""


@contextmanager
def vault() -> Iterator[dict[str, str]]:
    """The environment that leads to such a server, until the end."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield {"VAULT_ADDR": f"http://127.0.0.1:{server.server_address[1]}", "VAULT_TOKEN": TOKEN}
        finally:
            server.shutdown()
            thread.join()
