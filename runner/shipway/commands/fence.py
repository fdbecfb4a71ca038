"""What the steps of a run must leave alone though they could reach it, as the same user: noticed afterwards, and put back.

The files by which a step steers the runner, and the environment that the action made for itself and starts from again.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from shipway.errors import Reason, VerificationError

STEERING = ("GITHUB_ENV", "GITHUB_PATH", "GITHUB_OUTPUT", "GITHUB_STATE", "GITHUB_STEP_SUMMARY")
"""The runner reads these when its step has ended. Source:
https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#environment-files"""

READY = ".shipway-ready"
"""What `requirements/install.py` leaves in an environment that is whole, and looks for before it makes another one."""

_Seen = tuple[int, int, int, int]
_SHOWN = 5


class Fence:
    """Built before the first step starts; asked when the last one has ended.

    On Linux nothing that a run has started outlives it (`stragglers`). Elsewhere a daemon can still write afterwards, as what a
    preview starts can anywhere: of that the job is the boundary.
    """

    def __init__(self, env: Mapping[str, str], environment: Path | None) -> None:
        """`environment` is Shipway's own Python environment, where steps have no business; None where it is not its own."""
        self._files = {name: Path(env[name]) for name in STEERING if env.get(name)}
        self._contents = {name: content for name, path in self._files.items() if (content := _read(path)) is not None}
        self._environment = environment
        if environment is not None:
            # What this process imports from now on must not look like somebody's change.
            sys.dont_write_bytecode = True
        self._before = _listed(environment)

    def put_back(self) -> list[str]:
        """The names of the runner's files that somebody wrote to; they are again as they were."""
        changed = [name for name, content in self._contents.items() if _read(self._files[name]) != content]
        for name in changed:
            _replace(self._files[name], self._contents[name])
        return changed

    def check(self) -> None:
        """Raises VerificationError where something in the environment is not as it was; the next use makes it anew."""
        after = _listed(self._environment)
        changed = sorted(path for path in {*self._before, *after} if self._before.get(path) != after.get(path))
        if changed and self._environment is not None:
            with suppress(OSError):
                os.unlink(self._environment / READY)
            listed = "".join(f"\n  {path}" for path in changed[:_SHOWN]) + ("\n  …" if len(changed) > _SHOWN else "")
            raise VerificationError(
                f"a step changed Shipway's own environment; nothing of it is started again in this job{listed}",
                reason=Reason.ENVIRONMENT_CHANGED,
                next="find out which step did it; what it could reach, the job's token included, may be known to others",
            )


def own_environment(temp: Path | None) -> Path | None:
    """The environment of this process, if it is one that the action made below the job's temporary directory."""
    prefix = Path(sys.prefix)
    return prefix if temp is not None and temp in prefix.parents else None


def _listed(environment: Path | None) -> dict[str, _Seen]:
    """Every file and link below, with what changes when it does: only root can set back `ctime`."""
    return {} if environment is None else dict(_below(str(environment), ""))


def _below(folder: str, inside: str) -> Iterator[tuple[str, _Seen]]:
    entries: Iterable[os.DirEntry[str]] = ()
    with suppress(OSError):
        entries = [*os.scandir(folder)]
    for entry in entries:
        name = f"{inside}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path, f"{name}/")
            continue
        with suppress(OSError):
            found = entry.stat(follow_symlinks=False)
            yield name, (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _read(path: Path) -> bytes | None:
    """The content, or None where there is no regular file: a pipe or a link that a step put there is not followed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file, suppress(OSError):
        return file.read()
    return None


def _replace(path: Path, content: bytes) -> None:
    """Put a file in place of whatever is there now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    os.replace(file.name, path)
