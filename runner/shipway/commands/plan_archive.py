"""The artifact that a plan travels in: what it is called, and what it holds, read as anybody's data."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from shipway.archive import ARCHIVE_BYTES_MAX, HostileArchive, read_archive
from shipway.canonical import Json, mapping, parse
from shipway.commands.documents import plan_in
from shipway.commands.handover import PLAN_FILE, PLAN_MEMBERS, PULL_REQUEST_FILE
from shipway.forges.forge import Artifact, Forge
from shipway.plan import Plan

_NAME = re.compile(r"shipway-plan-(?P<subject>.+)-(?P<run>[0-9]{1,20})-(?P<attempt>[0-9]{1,20})-(?P<job>[0-9]{1,9})")


class PlanName(Struct, frozen=True):
    """What `handover.artifact_name` put together: `subject` is `<lifecycle>-<target>`, `job` the index in a matrix."""

    subject: str
    run: str
    attempt: int
    job: int


def plan_name(artifact: Artifact) -> PlanName | None:
    """The parts of an artifact's name; None where it is not called as the artifact of a plan is."""
    match = _NAME.fullmatch(artifact.name)
    return PlanName(match["subject"], match["run"], int(match["attempt"]), int(match["job"])) if match else None


def open_plan(forge: Forge, artifact: Artifact) -> tuple[Plan, Mapping[str, bytes]]:
    """The plan in an artifact, by its seal and schema, and all members; whoever calls says what they are worth.

    Raises HostileArchive for what the action does not upload, ForgeError (`artifact-invalid` for another digest than the
    forge has of it), and ShipwayError for a plan that was altered or is none.
    """
    if artifact.size > ARCHIVE_BYTES_MAX:
        raise HostileArchive(f"it has {artifact.size} bytes, more than {ARCHIVE_BYTES_MAX}")
    members = read_archive(forge.archive(artifact), PLAN_MEMBERS)
    return plan_in(members.get(PLAN_FILE, b"")), members


def asked_in(members: Mapping[str, bytes]) -> Mapping[str, Json]:
    """What is said of the pull request (`number`, `base`); nothing where nothing is said: such a plan is no pull request's."""
    try:
        return mapping(parse(members.get(PULL_REQUEST_FILE, b"")))
    except (ValueError, RecursionError):
        return {}
