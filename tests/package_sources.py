"""Small real packages, made by the test that installs them: .deb files in an apt repository, wheels, an npm registry.

Nothing here asks a network: apt reads a folder, pip a folder, npm a server on 127.0.0.1.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.peers import require


def need(*programs: str) -> None:
    """Skips loudly where one of them is missing."""
    for program in programs:
        require(program, shutil.which(program) is not None, "`bash .ci/packages` installs it on Debian")


class AptRoot:
    """The root of a system that has no package yet, and a repository that it installs from."""

    def __init__(self, folder: Path) -> None:
        need("apt-get", "dpkg-deb", "dpkg-query")
        self.root = folder / "system"
        self._repository = folder / "repository"
        self._build = folder / "build"
        self._index: list[str] = []
        for name in (
            "var/lib/dpkg/updates",
            "var/lib/dpkg/info",
            "var/lib/apt/lists/partial",
            "var/cache/apt/archives/partial",
        ):
            (self.root / name).mkdir(parents=True)
        for name in (
            "etc/apt/apt.conf.d",
            "etc/apt/preferences.d",
            "etc/apt/sources.list.d",
            "etc/apt/trusted.gpg.d",
            "var/log/apt",
        ):
            (self.root / name).mkdir(parents=True)
        (self.root / "var/lib/dpkg/status").touch()
        self._repository.mkdir()
        (self.root / "etc/apt/sources.list").write_text(f"deb [trusted=yes] copy:{self._repository} ./\n")

    def offer(self, name: str, version: str, *, depends: str = "", conffile: str = "") -> None:
        """Put a package into the repository, beside its other versions."""
        tree = self._build / f"{name}-{version.replace(':', '_')}"
        share = tree / "usr/share" / name
        share.mkdir(parents=True)
        (share / "version").write_text(version + "\n")
        (tree / "DEBIAN").mkdir()
        fields = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\n"
        fields += f"Depends: {depends}\n" if depends else ""
        (tree / "DEBIAN/control").write_text(f"{fields}Description: made by a test\n")
        if conffile:
            (tree / "etc").mkdir()
            (tree / f"etc/{conffile}").write_text("as packaged\n")
            (tree / "DEBIAN/conffiles").write_text(f"/etc/{conffile}\n")
        file = self._repository / f"{tree.name}.deb"
        subprocess.run(["dpkg-deb", "--build", tree, file], check=True, capture_output=True)
        content = file.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        entry = (
            f"{fields}Filename: ./{file.name}\nSize: {len(content)}\nSHA256: {digest}\nDescription: made by a test\n"
        )
        self._index.append(entry)
        (self._repository / "Packages").write_text("\n".join(self._index))

    def forget(self, version: str) -> None:
        """Take a version out of the repository, as archives do when there is a newer one."""
        self._index = [entry for entry in self._index if f"Version: {version}\n" not in entry]
        (self._repository / "Packages").write_text("\n".join(self._index))

    def apt(self, *arguments: str) -> None:
        """What somebody else does by hand."""
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def command(self, *arguments: str) -> list[str]:
        """The command line for that."""
        options = [f"Dir={self.root}", f"Dir::State::status={self.root}/var/lib/dpkg/status"]
        options += [f"DPkg::Options::=--root={self.root}"]
        return ["apt-get", "-y", "-q", *(word for option in options for word in ("-o", option)), *arguments]

    def installed(self) -> dict[str, str]:
        """By dpkg's own word."""
        form = "-f=${db:Status-Status} ${Package} ${Version}\\n"
        done = subprocess.run(
            ["dpkg-query", f"--root={self.root}", "--show", form], capture_output=True, text=True, check=False
        )
        rows = [line.split() for line in done.stdout.splitlines()]
        return {row[1]: row[2] for row in rows if row[0] == "installed"}


def wheel(folder: Path, name: str, version: str, requires: str = "") -> None:
    """A wheel with one module in it."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += f"Requires-Dist: {requires}\n" if requires else ""
    files = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(path, text)


class NpmRegistry:
    """What npm asks a registry for, of packages that a test adds; `url` while it serves."""

    def __init__(self) -> None:
        self.url = ""
        self._packages: dict[str, dict[str, bytes]] = {}

    def offer(self, name: str, version: str) -> None:
        """Publish a package."""
        manifest = json.dumps({"name": name, "version": version, "bin": {name: "main.js"}}).encode()
        files = {"package/package.json": manifest, "package/main.js": b"#!/usr/bin/env node\n"}
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for path, content in files.items():
                member = tarfile.TarInfo(path)
                member.size, member.mode = len(content), 0o755
                archive.addfile(member, io.BytesIO(content))
        self._packages.setdefault(name, {})[version] = packed.getvalue()

    def answer(self, path: str) -> tuple[int, bytes]:
        """Status and body."""
        name, _, file = path.strip("/").partition("/-/")
        versions = self._packages.get(name)
        if versions is None:
            return 404, b'{"error": "Not found"}'
        if file:
            return 200, versions[file.removeprefix(f"{name}-").removesuffix(".tgz")]
        document = {
            "name": name,
            "dist-tags": {"latest": list(versions)[-1]},
            "versions": {version: self._version(name, version, content) for version, content in versions.items()},
        }
        return 200, json.dumps(document).encode()

    def _version(self, name: str, version: str, content: bytes) -> Mapping[str, object]:
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
        tarball = f"{self.url}/{name}/-/{name}-{version}.tgz"
        dist = {"tarball": tarball, "integrity": integrity, "shasum": hashlib.sha1(content).hexdigest()}
        return {"name": name, "version": version, "bin": {name: "main.js"}, "dist": dist}


@contextmanager
def npm_registry() -> Iterator[NpmRegistry]:
    """A registry on 127.0.0.1."""
    need("npm")
    registry = NpmRegistry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = registry.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    registry.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
