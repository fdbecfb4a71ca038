"""Typed calls for what comes from elsewhere: archives, downloads, repositories, encrypted texts, PowerShell. Checks nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Unpack

from shipway.builder_calls import ActionCalls
from shipway.builder_options import Beside, NodeHandle
from shipway.nodes import Promise


class ForeignCalls(ActionCalls, Protocol):
    """One call per action, as in `ActionCalls`: a slot left out, or None, takes the action's default."""

    def archive_extract(
        self,
        name: str,
        source: str | Promise,
        prefix: str | Promise,
        *,
        max_bytes: int | None = None,
        **beside: Unpack[Beside],
    ) -> NodeHandle:
        """Unpack `source` below `prefix`; output `prefix`."""
        slots = {"source": source, "prefix": prefix, "max_bytes": max_bytes}
        return self.add("archive.extract", name, slots, **beside)

    def encryption_decrypt(
        self,
        name: str,
        *,
        source: str | Promise | None = None,
        content: str | Promise | None = None,
        identity: str | Promise | None = None,
        **beside: Unpack[Beside],
    ) -> NodeHandle:
        """Decrypt `content`, or the file `source`; output `content`, a secret."""
        slots = {"source": source, "content": content, "identity": identity}
        return self.add("encryption.decrypt", name, slots, **beside)

    def git_clone(self, name: str, url: str | Promise, path: str | Promise, **beside: Unpack[Beside]) -> NodeHandle:
        """Clone `url` to `path`; outputs `path` and `commit`."""
        return self.add("git.clone", name, {"url": url, "path": path}, **beside)

    def git_checkout(self, name: str, repo: str | Promise, ref: str | Promise, **beside: Unpack[Beside]) -> NodeHandle:
        """Check `ref` out in `repo`; outputs `ref` and `commit`."""
        return self.add("git.checkout", name, {"repo": repo, "ref": ref}, **beside)

    def git_pull(self, name: str, repo: str | Promise, **beside: Unpack[Beside]) -> NodeHandle:
        """Go forward in `repo` to what its remote has; outputs `repo` and `commit`."""
        return self.add("git.pull", name, {"repo": repo}, **beside)

    def net_download(
        self,
        name: str,
        url: str | Promise,
        *,
        path: str | Promise | None = None,
        sha256: str | Promise | None = None,
        timeout: str | None = None,
        max_bytes: int | None = None,
        mode: str | None = None,
        **beside: Unpack[Beside],
    ) -> NodeHandle:
        """Fetch `url`, to `path` if that is given; outputs `file`, `sha256` and `path`."""
        slots = {"url": url, "path": path, "sha256": sha256, "timeout": timeout, "max_bytes": max_bytes, "mode": mode}
        return self.add("net.download", name, slots, **beside)

    def shell_power_shell(
        self,
        name: str,
        command: str,
        *,
        working_directory: str | None = None,
        plan: str | None = None,
        plan_requires: Sequence[str] | None = None,
        undo: str | None = None,
        verify: str | None = None,
        **beside: Unpack[Beside],
    ) -> NodeHandle:
        """Run a script in PowerShell."""
        slots = {
            "command": command,
            "working_directory": working_directory,
            "plan": plan,
            "plan_requires": plan_requires,
            "undo": undo,
            "verify": verify,
        }
        return self.add("shell.power_shell", name, slots, **beside)
