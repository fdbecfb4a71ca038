"""A job of GitLab: where its report is kept, and where that is found once the job has ended. Sends nothing."""

from __future__ import annotations

from collections.abc import Mapping

from shipway.context import Context
from shipway.gitlab_pipeline import KEPT
from shipway.render.plain_log import PlainLog
from shipway.render.workflow import WorkflowLog


def plain_log(context: Context, log: WorkflowLog) -> PlainLog:
    """The log of the job, with summary and outputs as files among what is uploaded."""
    return PlainLog(log.env, log.stream, log.random_hex, context.cwd / KEPT)


def uploaded_by_gitlab(context: Context, path: str) -> Mapping[str, str]:
    """What the report is told of the artifact that the job will upload; nothing of it where no document was written."""
    url = context.env.get("CI_JOB_URL", "")
    told = {"SHIPWAY_ARTIFACT_PATH": path}
    if not path or not url:
        return told
    return {
        **told,
        "SHIPWAY_ARTIFACT_ID": context.env.get("CI_JOB_ID", ""),
        "SHIPWAY_ARTIFACT_URL": f"{url}/artifacts/browse",
    }
