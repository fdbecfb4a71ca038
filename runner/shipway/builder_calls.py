"""One typed call for each built-in action. Checks nothing: the builder behind it does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, Unpack

from shipway.builder_options import DEFAULT_OPTIONS, Beside, NodeHandle, NodeOptions
from shipway.nodes import Need, Promise


class ActionCalls(Protocol):
    """One call per built-in action. A slot left out, or None, takes the action's default, so that every node runs as built."""

    def add(
        self,
        action: str,
        name: str,
        slots: Mapping[str, object] | None = None,
        *,
        needs: Iterable[Need | NodeHandle] = (),
        options: NodeOptions = DEFAULT_OPTIONS,
    ) -> NodeHandle:
        """Add a node that carries out any action; the calls below name one."""

    def shell_exec(
        self,
        name: str,
        run: str,
        *,
        shell: str | None = None,
        working_directory: str | None = None,
        plan: str | None = None,
        plan_requires: Sequence[str] | None = None,
        undo: str | None = None,
        verify: str | None = None,
        **beside: Unpack[Beside],
    ) -> NodeHandle:
        """Run a script in a child process."""
        return self.add(
            "shell.exec",
            name,
            {
                "run": run,
                "shell": shell,
                "working_directory": working_directory,
                "plan": plan,
                "plan_requires": plan_requires,
                "undo": undo,
                "verify": verify,
            },
            **beside,
        )

    def template_render(
        self,
        name: str,
        *,
        source: str | Promise | None = None,
        content: str | Promise | None = None,
        template_data: Mapping[str, object] | Promise | None = None,
        path: str | Promise | None = None,
        project: str | Promise | None = None,
        **beside: Unpack[Beside],
    ) -> NodeHandle:
        """Render a template from a file or from text; output `content`. `path` and `project` are variables of it."""
        return self.add(
            "template.render",
            name,
            {"source": source, "content": content, "template_data": template_data, "path": path, "project": project},
            **beside,
        )

    def file_write(
        self,
        name: str,
        path: str | Promise,
        content: str | Promise,
        *,
        mode: str | None = None,
        **beside: Unpack[Beside],
    ) -> NodeHandle:
        """Write text to a file; output `path`."""
        return self.add("file.write", name, {"path": path, "content": content, "mode": mode}, **beside)

    def file_copy(
        self,
        name: str,
        source: str | Promise | None,
        path: str | Promise,
        *,
        content: str | Promise | None = None,
        mode: str | None = None,
        **beside: Unpack[Beside],
    ) -> NodeHandle:
        """Copy the file `source`, or the text `content`, to `path`; output `sha256`."""
        return self.add("file.copy", name, {"source": source, "path": path, "content": content, "mode": mode}, **beside)

    def file_link(self, name: str, source: str | Promise, path: str | Promise, **beside: Unpack[Beside]) -> NodeHandle:
        """Make the link `path`, which leads to `source`; output `path`."""
        return self.add("file.link", name, {"source": source, "path": path}, **beside)

    def file_links(
        self,
        name: str,
        source: str | Promise,
        path: str | Promise,
        names: Sequence[str] | Promise,
        **beside: Unpack[Beside],
    ) -> NodeHandle:
        """Make links in the folder `path`, each to the file of its name in the folder `source`; output `path`."""
        listed = names if isinstance(names, Promise) else list(names)
        return self.add("file.links", name, {"source": source, "path": path, "names": listed}, **beside)

    def file_backup(
        self, name: str, path: str | Promise, *, backup_suffix: str | None = None, **beside: Unpack[Beside]
    ) -> NodeHandle:
        """Rename what stands at `path`; output `path` is its new name."""
        return self.add("file.backup", name, {"path": path, "backup_suffix": backup_suffix}, **beside)

    def file_unlink(
        self,
        name: str,
        path: str | Promise,
        *,
        prune: bool | None = None,
        prune_boundary: str | None = None,
        **beside: Unpack[Beside],
    ) -> NodeHandle:
        """Remove the link `path`, and with `prune` the folders that this leaves empty; output `path`."""
        return self.add("file.unlink", name, {"path": path, "prune": prune, "prune_boundary": prune_boundary}, **beside)

    def file_remove(
        self,
        name: str,
        path: str | Promise,
        *,
        prune: bool | None = None,
        prune_boundary: str | None = None,
        **beside: Unpack[Beside],
    ) -> NodeHandle:
        """Remove what stands at `path`, and with `prune` the folders that this leaves empty; output `path`."""
        return self.add("file.remove", name, {"path": path, "prune": prune, "prune_boundary": prune_boundary}, **beside)

    def file_move(self, name: str, source: str | Promise, path: str | Promise, **beside: Unpack[Beside]) -> NodeHandle:
        """Move `source` to `path`; output `path`."""
        return self.add("file.move", name, {"source": source, "path": path}, **beside)

    def file_mkdir(
        self, name: str, path: str | Promise, *, mode: str | None = None, **beside: Unpack[Beside]
    ) -> NodeHandle:
        """Make the directory `path`; output `path`."""
        return self.add("file.mkdir", name, {"path": path, "mode": mode}, **beside)

    def file_source(self, name: str, path: str | Promise, **beside: Unpack[Beside]) -> NodeHandle:
        """Read the text of a file; output `content`."""
        return self.add("file.source", name, {"path": path}, **beside)

    def file_exists(self, name: str, path: str | Promise, **beside: Unpack[Beside]) -> NodeHandle:
        """Ask whether anything stands at `path`; output `exists`."""
        return self.add("file.exists", name, {"path": path}, **beside)

    def file_is_dir(self, name: str, path: str | Promise, **beside: Unpack[Beside]) -> NodeHandle:
        """Ask whether `path` is a directory; output `is_dir`."""
        return self.add("file.is_dir", name, {"path": path}, **beside)
