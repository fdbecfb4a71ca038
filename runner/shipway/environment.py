"""What a child process is given as environment: a fixed base, what the step declares, and nothing else. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase

BASE_NAMES = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "SHELL", "CI")
"""Passed on to every child where they are set."""

_FORGE_TOKENS = ("GITHUB_*TOKEN", "GH_*TOKEN", "GITEA_*TOKEN", "FORGEJO_*TOKEN", "GITLAB_*TOKEN", "CI_JOB_*TOKEN*")
_NEVER_PASSED = (*_FORGE_TOKENS, "ACTIONS_*", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_OUTPUT", "GITHUB_STATE")
"""No `env_from` pattern reaches these: tokens of the forge, and the files by which a step would steer the runner."""

_OURS = ("SHIPWAY_*", "GITHUB_STEP_SUMMARY", "INPUT_*")


def base_environment(env: Mapping[str, str]) -> dict[str, str]:
    """The fixed base, as far as it is set."""
    return {name: env[name] for name in BASE_NAMES if name in env}


def passed_through(patterns: Sequence[str], env: Mapping[str, str], secrets: Collection[str]) -> dict[str, str]:
    """Variables whose names match `env_from`. Declared secrets are not among them: a step names those it is to get."""
    if not patterns:
        return {}
    return {
        name: value
        for name, value in env.items()
        if name not in secrets
        and any(fnmatchcase(name, pattern) for pattern in patterns)
        and not any(fnmatchcase(name, never) for never in (*_NEVER_PASSED, *_OURS))
    }


def output_variables(outputs: Mapping[str, str]) -> dict[str, str]:
    """A node's outputs as an `undo` or `verify` sees them: `SHIPWAY_OUTPUT_<NAME>`, in capitals, `-` as `_`."""
    return {f"SHIPWAY_OUTPUT_{name.upper().replace('-', '_')}": text for name, text in outputs.items()}
