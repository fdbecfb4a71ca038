"""The texts that `init --gitlab` writes: the jobs of a pipeline that plan and execute, and the line that includes them. Pure."""

from __future__ import annotations

from shipway.scaffold import Scaffold, scalar, workflow_title

PIPELINE = ".gitlab-ci.yml"
"""Where GitLab looks for a project's pipeline."""

KEPT = ".shipway/shipway-handover"
"""What `shipway action run` leaves to be uploaded, below the root of the checkout."""


def jobs_path(scaffold: Scaffold) -> str:
    """Where the jobs are; the project's own pipeline includes them."""
    return f".gitlab/{workflow_title(scaffold)}.gitlab-ci.yml"


def include_text(scaffold: Scaffold) -> str:
    """A pipeline that has the jobs of this lifecycle and nothing else."""
    return f"include:\n  - local: {jobs_path(scaffold)}\n"


def jobs_text(scaffold: Scaffold) -> str:
    """A job that plans each merge request, and one that executes what was merged."""
    title = workflow_title(scaffold)
    group = f"{title}-{scaffold.target or 'default'}"
    inputs = {"FILE": scaffold.file if scaffold.file != "shipway.yml" else "", "TARGET": scaffold.target}
    variables = [f"    SHIPWAY_INPUT_{name}: {scalar(value)}" for name, value in inputs.items() if value]
    return "\n".join(
        [
            "# Written by `shipway init --gitlab`. A merge request is shown the plan; what is",
            "# merged is executed, and leaves a receipt. The note and the status need the",
            "# masked variable `GITLAB_TOKEN`: a project access token with the scope `api`",
            "# and the role Developer. Secrets reach their steps as variables of these names.",
            f".{title}:",
            "  image: python:3.13 # what the steps need is in it, or in `before_script`",
            "  variables:",
            '    GIT_DEPTH: "0" # the merge base is part of the plan',
            *variables,
            "  script:",
            f"    - pip install --quiet {_requirement(scaffold)}",
            "    - shipway action run",
            "  artifacts:",
            "    when: always",
            f"    paths: [{KEPT}/]",
            "",
            f"{title} plan:",
            f"  extends: .{title}",
            "  interruptible: true",
            "  rules:",
            "    - if: $CI_PIPELINE_SOURCE == 'merge_request_event'",
            "",
            f"{title} execute:",
            f"  extends: .{title}",
            f"  resource_group: {group} # one run at a time for a target",
            *_state(scaffold),
            "  rules:",
            f"    - if: {_pushed_to(scaffold.branch)}",
            "",
        ]
    )


def _requirement(scaffold: Scaffold) -> str:
    return f'"git+https://github.com/{scaffold.action.partition(" ")[0]}"'


def _state(scaffold: Scaffold) -> list[str]:
    if not scaffold.has_remote:
        return []
    return [
        "  # Lock and journal are refs/shipway/… of this repository: allow the job token",
        "  # to push, in Settings, CI/CD, Job token permissions.",
    ]


def _pushed_to(branch: str) -> str:
    quoted = f'"{branch}"' if "'" in branch else f"'{branch}'"
    return scalar(f"$CI_PIPELINE_SOURCE == 'push' && $CI_COMMIT_BRANCH == {quoted}")
