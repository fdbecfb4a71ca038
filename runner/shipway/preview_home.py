"""The nodes of a preview that make its place: compute, leases of ports, what the provisioner owns, manifest. Starts nothing."""

from __future__ import annotations

from shipway.builder_options import NodeHandle
from shipway.canonical import Json
from shipway.declaration import OutputRule
from shipway.preview_expressions import Scope, leases_of, names_in
from shipway.preview_names import AFTER, BEFORE, COMPUTE, INIT, MANIFEST, NOTHING_TO_RUN, PORTS, service_node
from shipway.preview_settings import ComputeSettings, Doing, HookSettings, OwnedSettings, PreviewSettings
from shipway.preview_stage import PreviewNodes


def add_provisioner(on: PreviewNodes, settings: PreviewSettings) -> None:
    """before → compute → ports → services at once → manifest → after."""
    if settings.action is Doing.INIT:
        _add_init(on, settings)
        return
    before = add_hook(on, settings, BEFORE, [])
    last = add_place(on, settings.compute, before)
    services = [
        _service(on, settings, name, last)
        for name, rule in sorted(settings.owned.items())
        if rule.seed is not None or rule.destroy is not None
    ]
    manifest = add_manifest(on, services or last)
    add_hook(on, settings, AFTER, [manifest], reopened_by=[*services, *last])


def add_hook(
    on: PreviewNodes,
    settings: PreviewSettings,
    name: str,
    after: list[NodeHandle],
    *,
    reopened_by: list[NodeHandle] | None = None,
) -> list[NodeHandle]:
    """The hook `before` or `after` of the provisioner; none where none is declared."""
    hook = settings.before if name == BEFORE else settings.after
    if hook is None:
        return []
    scope = Scope.ALL if after else Scope.NOTHING
    slots = {
        **(on.in_place() if after else {}),
        "run": hook.run,
        "verify_script": hook.verify,
        "where": "repository",
        "cache": hook.cache,
        "action": name,
    }
    return [
        on.node(
            "preview.hook",
            name,
            slots,
            path=(name,),
            title=f"{name} {on.stage.id}",
            after=after,
            reopened_by=after if reopened_by is None else reopened_by,
            hooks=[hook],
            env=on.hook_env(name, [hook], scope=scope),
        )
    ]


def add_place(on: PreviewNodes, compute: ComputeSettings, before: list[NodeHandle]) -> list[NodeHandle]:
    """The nodes that make the place and lease the ports; what follows waits for the last of them."""
    create = compute.create
    made = on.node(
        "preview.compute",
        COMPUTE,
        {**compute_slots(on, compute), "tree": on.tree, "path": on.checkout or None},
        path=("compute",),
        title="make the place it lives in" if create is not None else "check out the tree",
        after=before,
        reopened_by=before,
        hooks=[create, compute.destroy],
        env=on.hook_env("create", [create, compute.destroy, compute.list], scope=Scope.NOTHING),
        outputs=compute.outputs,
        reads=on.reads_of_place,
    )
    leases = on.preview.leases
    if not leases:
        return [made]
    fixed = {name: port for name, port in leases.items() if port}
    ports = on.node(
        "preview.ports",
        PORTS,
        {**on.in_place(), "names": list(leases), "fixed": fixed},
        path=("services",),
        title="lease ports",
        after=[made],
        reopened_by=[made],
        outputs={name: OutputRule("integer") for name in leases},
        reads=(),
    )
    return [ports]


def add_manifest(on: PreviewNodes, after: list[NodeHandle]) -> NodeHandle:
    """The node that writes down what another job needs, without a secret."""
    return on.node(
        "preview.manifest",
        MANIFEST,
        {**on.in_place(), "values": manifest_values(on)},
        path=("role",),
        title="write the manifest",
        after=after,
        reopened_by=after,
        reads=(),
    )


def manifest_values(on: PreviewNodes) -> dict[str, Json]:
    """What the manifest says: promised values as templates, secrets as the node and output that has them."""
    preview = on.preview
    names = names_in(preview)
    services = preview.runner.services if preview.runner is not None else {}
    owned = preview.provisioner.owned if preview.provisioner is not None else {}
    return {
        "lifecycle": preview.lifecycle,
        "target": preview.target,
        "compute": f"${{{{ stages['{preview.home}'].steps.compute.outputs }}}}",
        "ports": {name: on.port(name) for name in preview.leases},
        "services": {
            name: {
                "path": rule.path,
                "env_file": rule.env_file,
                "port": f"${{{{ {names['services', name, 'port']} }}}}",
                "url": f"${{{{ {names['services', name, 'url']} }}}}",
            }
            for name, rule in sorted(services.items())
        },
        "infrastructure": {
            container.name: {str(port.port): on.port(lease) for lease, port in leases_of(container)}
            for container in preview.containers
        },
        "provisioner": {name: _handed_out(on, name, rule) for name, rule in sorted(owned.items())},
    }


def _handed_out(on: PreviewNodes, name: str, rule: OwnedSettings) -> dict[str, Json]:
    node = service_node(name)
    whole = f"stages['{on.preview.provisioner_id}'].steps['{node}'].outputs"
    return {
        output: {"secret": f"{on.preview.provisioner_id}/{node}#{output}"}
        if declared.type == "secret"
        else f"${{{{ {whole}['{output}'] }}}}"
        for output, declared in rule.outputs.items()
    }


def compute_slots(on: PreviewNodes, compute: ComputeSettings) -> dict[str, object]:
    """The slots by which the place is made, and found again."""
    hooks = {"create": compute.create, "destroy": compute.destroy, "list": compute.list}
    create = compute.create
    return {
        **on.ssh(),
        **{name: hook.run if hook is not None else None for name, hook in hooks.items()},
        "root": compute.root or None,
        "host": compute.host or None,
        "user": compute.user or None,
        "port": compute.port or None,
        "verify_script": create.verify if create is not None else None,
    }


def _service(on: PreviewNodes, settings: PreviewSettings, name: str, after: list[NodeHandle]) -> NodeHandle:
    """Makes what the service is; of one that is only destroyed it is noted that it is begun, so that what is there goes."""
    rule = settings.owned[name]
    seed = rule.seed or HookSettings(NOTHING_TO_RUN, (*on.stage.path, "with", "services", name))
    wanted = settings.service == name
    instead = (rule.reset if settings.action is Doing.RESET else rule.seed) if wanted else None
    action = settings.action.value if wanted else "seed"
    slots = {
        **on.in_place(),
        "run": seed.run,
        "verify_script": seed.verify,
        "where": "repository",
        "cache": seed.cache,
        "undo": rule.destroy.run if rule.destroy is not None else None,
        "undo_where": "repository",
        "service": name,
        "action": action,
    }
    if instead is not None:
        slots["instead"] = instead.run
    hooks = [instead or seed, rule.destroy]
    # A database does not lie in the checkout: a place made anew leaves it alone.
    return on.node(
        "preview.hook",
        service_node(name),
        slots,
        path=("services", name),
        title=f"{action} {name}" if instead or rule.seed else f"note that {name} is to be destroyed",
        after=after,
        reopened_by=[],
        hooks=hooks,
        env=on.hook_env(action, [*hooks, seed], service=name, scope=Scope.PORTS),
        outputs=rule.outputs,
        reads=None if rule.seed is not None else (),
    )


def _add_init(on: PreviewNodes, settings: PreviewSettings) -> None:
    """What is done once for a lifecycle: it needs no place and no ports, and hands nothing out."""
    hook = settings.owned[settings.service].init
    assert hook is not None
    slots = {
        "run": hook.run,
        "verify_script": hook.verify,
        "where": "repository",
        "cache": False,
        "service": settings.service,
        "action": INIT,
    }
    on.node(
        "preview.hook",
        INIT,
        slots,
        path=("services", settings.service, INIT),
        title=f"init {settings.service}",
        hooks=[hook],
        env=on.hook_env(INIT, [hook], service=settings.service, scope=Scope.NOTHING),
    )
