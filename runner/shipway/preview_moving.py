"""What an environment is recorded by, once its declaration names its stages otherwise: a stage is known by its role. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache

from msgspec.structs import replace

from shipway.canonical import Json, canonical_bytes, mapping
from shipway.declaration import Declaration
from shipway.environment_record import Checkpoint, EnvironmentRecord
from shipway.preview_names import COMPUTE, MANIFEST, PORTS
from shipway.preview_settings import Role, role_of

Roles = Mapping[str, str]
"""The stage of each role, by the role's word."""

AFTER_PART = "after "
"""What the name of a part of a checkpoint's key begins with which tells how often a node was made; its id stands behind."""

_OF_THE_PLACE = (COMPUTE, PORTS, MANIFEST)


def roles_of(declared: Declaration) -> dict[str, str]:
    """The stages of a declaration by their role; of two with one role the first."""
    found: dict[str, str] = {}
    for stage in declared.stages:
        role = role_of(stage)
        if role is not None:
            found.setdefault(role.value, stage.id)
    return found


@lru_cache(maxsize=8)
def recorded_roles(declaration: str) -> Roles:
    """The same of the declaration that a record holds."""
    found: dict[str, str] = {}
    for name, rule in mapping(mapping(json.loads(declaration or "{}")).get("stages")).items():
        stage = mapping(rule)
        role = mapping(stage.get("with")).get("role")
        if stage.get("mode") == "preview" and role in list(Role):
            found.setdefault(str(role), name)
    return found


def moving(record: EnvironmentRecord, now: Roles) -> Callable[[str], str]:
    """What a node of the record is called by a declaration with the stages `now`; as it was where that has none for it."""
    before = recorded_roles(record.declaration)
    renamed = {name: now[role] for role, name in before.items() if role in now}
    home = now.get(Role.PROVISIONER.value) or now.get(Role.RUNNER.value, "")

    def moved_id(node: str) -> str:
        stage, _, step = node.partition("/")
        if step in _OF_THE_PLACE and stage in before.values() and home:
            return f"{home}/{step}"
        return f"{renamed.get(stage, stage)}/{step}" if step else node

    return moved_id


def moved(record: EnvironmentRecord, now: Roles) -> EnvironmentRecord:
    """The record as a declaration with the stages `now` would have made it; the same where no stage has another name.

    What is secret of a checkpoint is sealed for a node of its own name, so that it is lost, and its node runs again.
    """
    if not (now and record.checkpoints and record.declaration) or recorded_roles(record.declaration) == now:
        return record
    moved_id = moving(record, now)
    return replace(
        record,
        checkpoints={moved_id(node): _moved(each, moved_id, node) for node, each in record.checkpoints.items()},
        stuck={moved_id(node): why for node, why in record.stuck.items()},
        declaration=_renamed(record.declaration, now),
    )


def dropped(record: EnvironmentRecord, now: Roles) -> list[str]:
    """The stages that made something which is recorded, and whose role no stage has any more."""
    moved_id = moving(record, now)
    gone = {name for role, name in recorded_roles(record.declaration).items() if role not in now}
    return sorted({moved_id(node).partition("/")[0] for node in record.checkpoints} & gone)


def _moved(checkpoint: Checkpoint, moved_id: Callable[[str], str], node: str) -> Checkpoint:
    parts = {
        AFTER_PART + moved_id(name.removeprefix(AFTER_PART)) if name.startswith(AFTER_PART) else name: digest
        for name, digest in checkpoint.parts.items()
    }
    return replace(checkpoint, parts=parts, sealed=checkpoint.sealed if moved_id(node) == node else "")


def _renamed(declaration: str, now: Roles) -> str:
    before = recorded_roles(declaration)
    names = {name: now[role] for role, name in before.items() if role in now}
    data = mapping(json.loads(declaration or "{}"))
    stages: dict[str, Json] = {}
    for name, rule in mapping(data.get("stages")).items():
        stage, needs = dict(mapping(rule)), mapping(rule).get("needs")
        if isinstance(needs, list):
            stage["needs"] = [names.get(str(need), need) for need in needs]
        stages[names.get(name, name)] = stage
    return canonical_bytes({**data, "stages": stages}).decode()
