"""Backend `preview/local`: an environment for each target in a worktree of this machine."""

from __future__ import annotations

from shipway.preview_planning import PreviewBackend


class PreviewLocal(PreviewBackend):
    """Answers mode `preview` where nothing names a host."""

    name = "local"
