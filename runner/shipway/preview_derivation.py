"""What is done with a preview besides making it, as declarations made of the one that made it. Data in, data out; pure.

Each is planned, journalled and taken up again like any other. The file it is written to lies below `.shipway`: only there is
`with.action` another than `up`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping

from shipway.canonical import Json, mapping
from shipway.declaration import Declaration
from shipway.environment_record import Checkpoint
from shipway.errors import Reason, UsageError, did_you_mean
from shipway.preview_names import COMPUTE, DEPLOY, PORTS, secret_name
from shipway.preview_settings import Doing, Role
from shipway.source import Path_, SourceTree

_REFERS_TO_STAGES = re.compile(r"\$\{\{[^}]*\bstages\s*[.\[]", re.IGNORECASE)
_REMOVING = ("mode", "backend", "with", "env", "env_from", "timeout", "reads")
_TOP_OF_REMOVING = ("version", "shipway", "name", "secrets", "values", "limits", "locks", "lock", "state", "signing")
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What JSON may hold in a text and YAML does not take, or takes for the end of a line."""

_HOOK_OF = {Doing.RESET: "reset", Doing.SEED: "seed", Doing.INIT: "init"}


def recorded_data(declared: Declaration) -> dict[str, Json]:
    """The merged declaration as data that is read again as it was written: where text is wanted, in its spelling.

    A run of it has to be told the files that it was made of (`Request.derived_from`): no node reads them unless it says so.
    """
    return dict(mapping(_spelled(declared.source.data, (), declared.source)))


def as_file(content: Mapping[str, Json]) -> bytes:
    """A declaration as a file that is read again as the same data."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    return (_NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n").encode()


def with_left(data: Mapping[str, Json], before: Mapping[str, Json], left: Collection[str]) -> dict[str, Json]:
    """`data`, and of `before` what is no longer declared and a node of `left` made: services of the provisioner, and `deploy`.

    Of each only the hook that takes it back stays: what it holds goes with the environment, not with a declaration.
    """
    return _with_deployed(_with_services(data, before, left), before, left)


def _with_deployed(data: Mapping[str, Json], before: Mapping[str, Json], left: Collection[str]) -> dict[str, Json]:
    now, earlier = _found_stages(data).get(Role.RUNNER), _found_stages(before).get(Role.RUNNER)
    if now is None or earlier is None or now[0] != earlier[0] or f"{now[0]}/{DEPLOY}" not in left:
        return dict(data)
    name, stage = now
    with_, destroy = mapping(stage.get("with")), mapping(earlier[1].get("with")).get("destroy")
    if destroy is None or "deploy" in with_ or "destroy" in with_:
        return dict(data)
    whole = {**stage, "with": {**with_, "destroy": destroy}}
    return {**data, "stages": {**mapping(data.get("stages")), name: whole}}


def _with_services(data: Mapping[str, Json], before: Mapping[str, Json], left: Collection[str]) -> dict[str, Json]:
    now, earlier = _found_stages(data).get(Role.PROVISIONER), _found_stages(before).get(Role.PROVISIONER)
    if now is None or earlier is None:
        return dict(data)
    (name, stage), (old_name, old) = now, earlier
    with_ = mapping(stage.get("with"))
    declared = mapping(with_.get("services"))
    carried: dict[str, Json] = {
        service: {"outputs": {}, "destroy": hook}
        for service, rule in mapping(mapping(old.get("with")).get("services")).items()
        if service not in declared
        and f"{old_name}/service/{service}" in left
        and (hook := mapping(rule).get("destroy"))
    }
    if not carried or name != old_name:
        return dict(data)
    whole = {**stage, "with": {**with_, "services": {**declared, **carried}}}
    return {**data, "stages": {**mapping(data.get("stages")), name: whole}}


def known_of(checkpoints: Mapping[str, Checkpoint]) -> dict[str, Json]:
    """What the checkpoints of an environment say of its place, its ports and what its provisioner handed out, without secrets."""
    found: dict[str, dict[str, Json]] = {COMPUTE: {}, PORTS: {}, "provisioner": {}}
    for node, checkpoint in checkpoints.items():
        step = node.partition("/")[2]
        outputs = {
            name: value
            for name, value in checkpoint.outputs.items()
            if name != "made" and name not in checkpoint.secret
        }
        if step in (COMPUTE, PORTS):
            found[step] = outputs
        elif step.startswith("service/") and "log" not in outputs:
            found["provisioner"][step.removeprefix("service/")] = outputs
    return dict(found)


def derived(
    data: Mapping[str, Json], doing: Doing, *, service: str = "", known: Mapping[str, Json] | None = None
) -> dict[str, Json]:
    """The declaration that takes away (`down`), ends (`stop`) or renews (`reset`, `seed`, `init`) what `data` makes.

    `known` is what `known_of` gave: without it what lies in a place is taken to be nowhere. Raises UsageError where the
    lifecycle has no preview, no such service, or none with such a hook.
    """
    stages = _preview_stages(data)
    match doing:
        case Doing.DOWN | Doing.STOP:
            return _turned(data, stages, doing, known or {})
        case Doing.RESET | Doing.SEED | Doing.INIT:
            return _renewing(data, stages, doing, service)
    return dict(data)


def attached(data: Mapping[str, Json], checkout: str) -> dict[str, Json]:
    """The declaration that makes everything in a checkout that is there. Raises UsageError where there is no preview."""
    stages = _preview_stages(data)
    name, stage = stages.get(Role.PROVISIONER) or stages[Role.RUNNER]
    home = {**stage, "with": {**mapping(stage.get("with")), "checkout": checkout}}
    return {**data, "stages": {**mapping(data.get("stages")), name: home}}


def alone(data: Mapping[str, Json], manifest: Mapping[str, Json]) -> dict[str, Json]:
    """The declaration in which the runner works with a manifest, and nothing is provisioned.

    A secret that the manifest only refers to is to be handed over under the name that `secret_name` gives it.
    """
    stages = _preview_stages(data)
    found = {
        name: {**stage, "with": {**mapping(stage.get("with")), "manifest": manifest}} for name, stage in stages.values()
    }
    secrets = [
        secret_name(service, output)
        for service, outputs in mapping(manifest.get("provisioner")).items()
        for output, value in mapping(outputs).items()
        if isinstance(value, Mapping)
    ]
    listed = data.get("secrets")
    all_secrets = dict.fromkeys([*(map(str, listed) if isinstance(listed, list) else ()), *secrets])
    whole = {name: found.get(name, stage) for name, stage in mapping(data.get("stages")).items()}
    return {**data, **({"secrets": [*all_secrets]} if all_secrets else {}), "stages": whole}


def _preview_stages(data: Mapping[str, Json]) -> dict[Role, tuple[str, Mapping[str, Json]]]:
    found = _found_stages(data)
    if not found:
        raise UsageError(
            f"`{data.get('name', '')}` has no preview: no stage has `mode: preview`",
            reason=Reason.DECLARATION_INVALID,
            next="see docs/preview.md",
        )
    return found


def _found_stages(data: Mapping[str, Json]) -> dict[Role, tuple[str, Mapping[str, Json]]]:
    found: dict[Role, tuple[str, Mapping[str, Json]]] = {}
    for name, rule in mapping(data.get("stages")).items():
        stage = mapping(rule)
        role = mapping(stage.get("with")).get("role")
        if stage.get("mode") == "preview" and role in list(Role):
            found.setdefault(Role(str(role)), (name, stage))
    return found


def _turned(
    data: Mapping[str, Json],
    stages: Mapping[Role, tuple[str, Mapping[str, Json]]],
    doing: Doing,
    known: Mapping[str, Json],
) -> dict[str, Json]:
    """The runner first, the provisioner behind it whatever became of that; what fails stops nobody."""
    found: dict[str, Json] = {}
    before: list[str] = []
    for role in (Role.RUNNER, Role.PROVISIONER):
        if role not in stages:
            continue
        name, stage = stages[role]
        with_ = {**mapping(stage.get("with")), "action": doing.value, "manifest": dict(known)}
        kept = {key: stage[key] for key in _REMOVING if key in stage}
        turned = {**kept, "with": with_, "on_failure": "continue", "rollback": "none", "needs": [*before]}
        found[name] = {**_without_stages(turned), **({"if": "always()"} if before else {})}
        before = [name]
    top = {key: data[key] for key in _TOP_OF_REMOVING if key in data}
    inputs = {name: {**mapping(rule), "required": False} for name, rule in mapping(data.get("inputs")).items()}
    defaults = {**mapping(data.get("defaults")), "on_failure": "continue", "rollback": "none"}
    return {**top, **({"inputs": inputs} if inputs else {}), "defaults": defaults, "stages": found}


def _renewing(
    data: Mapping[str, Json],
    stages: Mapping[Role, tuple[str, Mapping[str, Json]]],
    doing: Doing,
    service: str,
) -> dict[str, Json]:
    name, stage = stages.get(Role.PROVISIONER, ("", {}))
    services = mapping(mapping(stage.get("with")).get("services"))
    if service not in services:
        known = "it has " + ", ".join(f"`{each}`" for each in services) if services else "it has none"
        raise UsageError(f"the provisioner has no service `{service}`", next=did_you_mean(service, services) or known)
    hook = _HOOK_OF[doing]
    if hook not in mapping(services[service]):
        text = f"service `{service}` has no hook `{hook}`"
        raise UsageError(text, next=f"declare it: `services: {{{service}: {{{hook}: ./script}}}}`")
    with_ = {**mapping(stage["with"]), "action": doing.value, "service": service}
    renewed: dict[str, Json] = {**stage, "with": with_}
    if doing is not Doing.INIT:
        return {**data, "stages": {**mapping(data["stages"]), name: renewed}}
    # It needs nothing but its own hook, and hands nothing out.
    renewed["with"] = {
        "role": Role.PROVISIONER.value,
        "action": doing.value,
        "service": service,
        "services": {service: {"outputs": {}, hook: mapping(services[service])[hook]}},
    }
    alone = {
        key: value for key, value in renewed.items() if key not in ("needs", "if", "approval", "policy", "backend")
    }
    top = {key: value for key, value in data.items() if key not in ("stages", "targets", "policy")}
    return {**top, "stages": {name: _without_stages(alone)}}


def _without_stages(value: Mapping[str, Json]) -> dict[str, Json]:
    """Without the variables that refer to stages, which are not there any more."""
    found: dict[str, Json] = {}
    for key, inner in value.items():
        if key == "env":
            found[key] = {
                name: text
                for name, text in mapping(inner).items()
                if not (isinstance(text, str) and _REFERS_TO_STAGES.search(text))
            }
        else:
            found[key] = _without_stages(inner) if isinstance(inner, Mapping) else inner
    return found


def _spelled(value: Json, path: Path_, source: SourceTree) -> Json:
    if isinstance(value, Mapping):
        return {key: _spelled(inner, (*path, key), source) for key, inner in value.items()}
    if isinstance(value, list):
        return [_spelled(inner, (*path, place), source) for place, inner in enumerate(value)]
    is_text = len(path) > 1 and (path[-2] == "env" or path[-1] in ("default", "shipway"))
    if is_text and isinstance(value, int | float):
        return source.spelling(path) if path[-1] != "default" or isinstance(value, float) else value
    return value
