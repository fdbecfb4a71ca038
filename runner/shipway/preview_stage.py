"""A stage of mode `preview` as nodes: its place, ports and hooks, in the order in which they have to happen. Starts nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from shipway.builder import GraphBuilder
from shipway.builder_options import NodeHandle, NodeOptions
from shipway.canonical import Json, mapping
from shipway.declaration import Declaration, OutputRule, Stage
from shipway.errors import Position
from shipway.nodes import WHOLE_TREE, Need, NeedKind, Promise
from shipway.preview_expressions import Preview, Scope, names_in, owners_in, rewritten, unnamed_in
from shipway.preview_names import COMPUTE, PORTS, port_variable, service_node
from shipway.preview_settings import HookSettings
from shipway.source import Path_

MADE = "made"
"""The output of every node of a preview that counts how often it was made."""


class PreviewNodes:
    """Adds the nodes of one stage to its builder. What belongs to all of them is decided here."""

    def __init__(self, stage: Stage, lifecycle: Declaration, builder: GraphBuilder, preview: Preview) -> None:
        self.stage = stage
        self.preview = preview
        self._lifecycle = lifecycle
        self._builder = builder

    @property
    def is_home(self) -> bool:
        """Whether this stage makes the place and leases the ports."""
        return self.stage.id == self.preview.home

    def at(self, *path: str) -> Position:
        """Where something of `with` was written; in an overlay it is the stage that counts."""
        where = self._lifecycle.source.locate((*self.stage.path, "with", *path), key=True)
        return where if where.file == self._lifecycle.file else self.stage.where

    def node(
        self,
        action: str,
        name: str,
        slots: Mapping[str, object],
        *,
        path: Path_,
        title: str,
        after: Iterable[NodeHandle] = (),
        reopened_by: Iterable[NodeHandle | str] = (),
        hooks: Sequence[HookSettings | None] = (),
        reads: tuple[str, ...] | None = None,
        env: Mapping[str, str] | None = None,
        outputs: Mapping[str, OutputRule] | None = None,
        need: NeedKind = NeedKind.NEEDS,
    ) -> NodeHandle:
        """Add a node behind those of `after`. `reopened_by` are the nodes, or ids, whose being made anew makes it anew.

        `hooks` are what it runs and what takes that back: the first one's time is the node's, the second one's that of undoing.
        """
        anew = dict.fromkeys(
            [*map(_id_of, reopened_by), *self.makers(text for h in hooks if h for text in h.env.values())]
        )
        made = [f"${{{{ {self._made(each)} }}}}" for each in anew if need is NeedKind.NEEDS]
        timeouts = [hook.timeout_ms if hook is not None else None for hook in (*hooks, None, None)]
        usual = self.stage.timeout_ms or self._lifecycle.defaults.timeout_ms or 0
        timeout = usual if timeouts[0] is None else timeouts[0]
        options = NodeOptions(
            title=title,
            position=self.at(*map(str, path)),
            lasting=self.stage.lasting is not False,
            env=env or {},
            outputs=outputs or {},
            reads=reads,
            reads_commit="compute" in slots and slots.get("where") != "repository" and not self.checkout,
            timeout_ms=timeout,
            undo_timeout_ms=usual if timeouts[1] is None else timeouts[1],
        )
        whole = {"lifecycle": self.preview.lifecycle, "target": self.preview.target, "after": made, **slots}
        return self._builder.add(action, name, whole, needs=[Need(each.id, need) for each in after], options=options)

    def compute(self) -> Promise | Mapping[str, Json]:
        """Where the environment lives, as its node says or, where the stage runs alone, as the manifest does."""
        manifest = self.preview.manifest
        if manifest is not None:
            found = manifest.get("compute")
            return found if isinstance(found, Mapping) else {}
        return Promise(self.compute_id)

    @property
    def tree(self) -> str:
        """The git id of the tree that is planned; empty outside git."""
        return self._builder.site.tree()

    @property
    def reads_of_place(self) -> tuple[str, ...]:
        """The files that decide how the place is made: those that the stage names. All of the tree is brought there anyhow."""
        named = self.stage.reads or ()
        return () if WHOLE_TREE[0] in named else named

    @property
    def left(self) -> Sequence[str]:
        """The nodes of this environment that earlier runs made and nothing took away, by id. Raises StoreError."""
        return self._builder.site.left()

    @property
    def checkout(self) -> str:
        """The checkout that is attached to; empty where one is made."""
        settings = self.preview.settings_of(self.stage.id)
        return settings.checkout if settings is not None else ""

    @property
    def compute_id(self) -> str:
        """The node that makes the place."""
        return f"{self.preview.home}/{COMPUTE}"

    def makers(self, texts: Iterable[str]) -> list[str]:
        """The nodes whose outputs texts refer to: should one be made anew, what is made of them is not what it was."""
        provisioner = self.preview.provisioner
        if provisioner is None or self.preview.manifest is not None:
            return []
        named = dict.fromkeys(owner for text in texts for owner in owners_in(text))
        return [
            f"{self.preview.provisioner_id}/{service_node(name)}"
            for name, rule in sorted(provisioner.owned.items())
            if name in named and rule.seed is not None
        ]

    def in_place(self) -> dict[str, object]:
        """The slots of what happens where the environment lives."""
        return {"compute": self.compute(), **self.ssh()}

    def ssh(self) -> dict[str, object]:
        """The slot with what a connection needs; empty on this machine."""
        if not self.preview.is_remote:
            return {}
        settings = self.preview.provisioner or self.preview.runner
        return {"ssh": dict(settings.compute.ssh or {}) if settings is not None else {}}

    def port(self, lease: str) -> str:
        """The port of a lease as a template."""
        return "${{ " + self._port(lease) + " }}"

    def hook_env(
        self,
        action: str,
        hooks: Iterable[HookSettings | None],
        *,
        service: str = "",
        scope: Scope = Scope.ALL,
        skips_unknown: bool = False,
    ) -> dict[str, str]:
        """The variables of a hook: who asks for what, and where things are as far as that is known by then, and its own.

        With `skips_unknown` one that refers to what is not there any more is left out.
        """
        found = {"SHIPWAY_LIFECYCLE": self.preview.lifecycle, "SHIPWAY_TARGET": self.preview.target}
        found["SHIPWAY_ACTION"] = action
        if service:
            found["SHIPWAY_SERVICE"] = service
        if scope is not Scope.NOTHING:
            found["SHIPWAY_COMPUTE_ROOT"] = self._root()
            found |= {port_variable(name): self.port(name) for name in self._leased()}
        names = names_in(self.preview, scope=scope)
        for hook in reversed([hook for hook in hooks if hook is not None]):
            for name, text in hook.env.items():
                if not skips_unknown or not any(unnamed_in(text, names)):
                    found[name] = rewritten(text, names)
        return found

    def _leased(self) -> Iterable[str]:
        """What has a port: by a manifest only what it says."""
        manifest = self.preview.manifest
        return self.preview.leases if manifest is None else mapping(manifest.get(PORTS))

    def _port(self, lease: str) -> str:
        manifest = self.preview.manifest
        if manifest is None:
            return f"stages['{self.preview.home}'].steps.ports.outputs['{lease}']"
        ports = manifest.get("ports")
        return str(ports.get(lease, "null")) if isinstance(ports, Mapping) else "null"

    def _root(self) -> str:
        compute = self.compute()
        if isinstance(compute, Promise):
            return f"${{{{ stages['{self.preview.home}'].steps.compute.outputs.root }}}}"
        return str(compute.get("root", ""))

    @staticmethod
    def _made(node: str) -> str:
        stage, _, step = node.partition("/")
        return f"stages['{stage}'].steps['{step}'].outputs.{MADE}"


def _id_of(node: NodeHandle | str) -> str:
    return node if isinstance(node, str) else node.id
