"""The texts that `init --forks` writes: a workflow that plans without secrets, and one that publishes what it planned. Pure."""

from __future__ import annotations

from shipway.scaffold import Scaffold, given, plan_concurrency, scalar, workflow_title


def fork_workflows(scaffold: Scaffold) -> dict[str, str]:
    """The two workflows by path. The first calls the reusable one of the action's repository, at the action's commit; the
    second is a job of its own, since one that is called could be given more than a publisher needs.
    """
    title, path = f"{workflow_title(scaffold)}-plan", plan_path(scaffold)
    return {
        path: _plan_text(scaffold, title),
        f".github/workflows/{workflow_title(scaffold)}-publish.yml": _publish_text(scaffold, title, path),
    }


def plan_path(scaffold: Scaffold) -> str:
    """Where the workflow is that plans."""
    return f".github/workflows/{workflow_title(scaffold)}-plan.yml"


def _plan_text(scaffold: Scaffold, title: str) -> str:
    inputs = given(scaffold, " " * 6)
    lines = ["    with:", *inputs] if inputs else []
    return "\n".join(
        [
            "# Written by `shipway init --forks`. Plans every pull request, also a fork's,",
            "# without secrets and with a token that can only read. Where `plan` commands",
            "# need a tool: write the called job here, with its set-up in front.",
            f"name: {scalar(title)}",
            "",
            "on:",
            "  pull_request:",
            "",
            "permissions: {}",
            "",
            "jobs:",
            "  plan:",
            "    name: plan",
            "    permissions:",
            "      contents: read # the tree that is planned",
            plan_concurrency(scaffold, "    "),
            f"    uses: {_called(scaffold, 'plan')}",
            *lines,
            "",
        ]
    )


def _publish_text(scaffold: Scaffold, title: str, path: str) -> str:
    return f"""\
# Written by `shipway init --forks`. Posts the plan that the workflow before has
# made, as data; nothing of the pull request is checked out.
name: {scalar(workflow_title(scaffold) + "-publish")}

# The only event behind a fork's run that may write here. What may be dangerous
# is to run that fork's code, and nothing does.
on: # zizmor: ignore[dangerous-triggers]
  workflow_run:
    workflows: [{scalar(title)}]
    types: [completed]

permissions: {{}}

# Each run's plan is posted once, in turn.
concurrency:
  group: shipway-publish-{scaffold.name}-${{{{ github.event.workflow_run.head_sha }}}}
  cancel-in-progress: false

jobs:
  publish:
    name: publish
    if: github.event.workflow_run.event == 'pull_request' && github.event.workflow_run.conclusion == 'success'
    permissions:
      pull-requests: write # the comment
      checks: write # the checks on the head of the pull request
      actions: read # the run before, and its artifacts
      contents: read # what is on the base by now
    runs-on: ubuntu-24.04
    timeout-minutes: 10
    steps:
      - uses: {scaffold.action}
        with:
          command: publish
          workflow: {scalar(path)}
"""


def _called(scaffold: Scaffold, name: str) -> str:
    """What stands behind `uses:` for a workflow of the repository of `scaffold.action`, with its comment."""
    action, mark, comment = scaffold.action.partition(" #")
    repository, at, ref = action.partition("@")
    return f"{repository.rstrip('/')}/.github/workflows/{name}.yml{at}{ref}{mark}{comment}"
