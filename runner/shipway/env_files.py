"""The env files of a preview where it lives: written whole, kept apart from what stood there before, and taken away again."""

from __future__ import annotations

import hashlib
from shlex import quote

from msgspec import Struct

from shipway.action import ActionFailed
from shipway.compute_access import Access
from shipway.env_text import header
from shipway.nodes import Verified
from shipway.preview_folder import FOLDER, make_folder_script

_MODE = 0o600


class EnvFile(Struct, frozen=True):
    """The file `path`, relative to the root of a preview that is called `owner`."""

    access: Access
    path: str
    owner: str

    def write(self, text: str) -> None:
        """Replace it; what stands there and is not ours is kept aside first."""
        content = text.encode("utf-8", "surrogateescape")
        before = self.access.read(self.path)
        if before is not None and _digest(before) != self._noted():
            self._keep_aside()
        self._run(make_folder_script())
        # First the note: whoever is ended in between finds either what was there, or what is noted.
        self.access.write(self._note, _digest(content).encode(), _MODE)
        self.access.write(self.path, content, _MODE)

    def verify(self, text: str | None) -> Verified:
        """Whether it holds this text, or, where that is not known yet, what was written last."""
        found = self.access.read(self.path)
        wanted = self._noted() if text is None else _digest(text.encode("utf-8", "surrogateescape"))
        return Verified.HOLDS if found is not None and _digest(found) == wanted else Verified.GONE

    def remove(self) -> bool:
        """Take it away, and put back what stood there before; whether anything of ours was there."""
        noted = self._noted()
        if noted is None:
            return False
        found = self.access.read(self.path)
        is_ours = found is not None and (_digest(found) == noted or found.startswith(header(self.owner).encode()))
        if is_ours:
            self.access.delete(self.path)
        # Somebody has put a file of their own there since: what stood there before comes back beside it.
        beside = self.path if found is None or is_ours else f"{self.path}.before-shipway"
        kept, place = quote("./" + self._kept), quote("./" + beside)
        self._run(f"[ ! -f {kept} ] || mv -f -- {kept} {place}\n")
        self.access.delete(self._note)
        return True

    def _keep_aside(self) -> None:
        """Copy what stands there, the first time only: what comes after that was made out of ours."""
        kept = quote("./" + self._kept)
        self._run(
            f"{make_folder_script()}[ ! -f {kept} ] || exit 0\n"
            f't={kept}.new; cp -p -- {quote("./" + self.path)} "$t" && mv -f -- "$t" {kept}\n'
        )

    def _run(self, script: str) -> None:
        ran = self.access.run(script)
        if ran.exit_code != 0:
            raise ActionFailed(f"`{self.path}`: {ran.said() or f'exit {ran.exit_code}'}")

    def _noted(self) -> str | None:
        content = self.access.read(self._note)
        return None if content is None else content.decode("ascii", "replace")

    @property
    def _name(self) -> str:
        return hashlib.sha256(self.path.encode("utf-8", "surrogateescape")).hexdigest()[:24]

    @property
    def _note(self) -> str:
        return f"{FOLDER}/env-{self._name}"

    @property
    def _kept(self) -> str:
        return f"{FOLDER}/kept-{self._name}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
