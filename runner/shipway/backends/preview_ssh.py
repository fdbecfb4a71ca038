"""Backend `preview/ssh`: an environment for each target on another host, reached by OpenSSH."""

from __future__ import annotations

from shipway.backend import Capability
from shipway.preview_planning import PreviewBackend


class PreviewSsh(PreviewBackend):
    """Answers mode `preview` where `compute` names a host."""

    name = "ssh"
    capabilities = PreviewBackend.capabilities | {Capability.REMOTE}
