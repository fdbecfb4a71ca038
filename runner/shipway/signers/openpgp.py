"""Signs with OpenPGP keys through gpg, and checks such signatures. The key stays with gpg and its agent."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from shipway.redaction import strip_control
from shipway.signer import BadSignature, NotChecked, NotSigned, SigningTools
from shipway.signing import OPENPGP, Signature, SignerRule, Trust

TIMEOUT_S = 60.0
"""An agent may wait for a smart card."""

_PASSED = frozenset({"PATH", "HOME", "USER", "TMPDIR", "GNUPGHOME", "XDG_RUNTIME_DIR"})
_STATUS = re.compile(r"^\[GNUPG:\] ([A-Z_]+) ?(.*)$", re.MULTILINE)
_BAD = ("BADSIG", "EXPKEYSIG", "REVKEYSIG", "EXPSIG")


class OpenPgpSigner:
    """See `signer.Signer`. `key` of the rule is a fingerprint, or whatever else gpg takes after `--local-user`."""

    method = OPENPGP

    def sign(self, message: bytes, rule: SignerRule, tools: SigningTools) -> Signature:
        """See `signer.Signer`."""
        if not rule.key or rule.key.startswith("-"):
            raise NotSigned(
                "`openpgp` needs the `key` to sign with", next="name its fingerprint: `gpg --list-secret-keys`"
            )
        arguments = ["--pinentry-mode", "error", "--armor", "--local-user", rule.key, "--status-fd", "2"]
        called = _gpg([*arguments, "--detach-sign"], message, tools.env)
        if called is None:
            raise NotSigned("gpg cannot be run", next="install GnuPG")
        made = [words for word, words in called.status if word == "SIG_CREATED"]
        if called.code != 0 or len(made) != 1:
            raise NotSigned(f"gpg did not sign with `{rule.key}`: {called.said}", next="try `gpg --sign` yourself")
        return Signature(OPENPGP, made[0].split()[-1], called.out)

    def verify(self, message: bytes, signature: Signature, trust: Trust, tools: SigningTools) -> str:
        """See `signer.Signer`. Believed are fingerprints, of the key or of the primary key it belongs to."""
        with tempfile.TemporaryDirectory(prefix="shipway-gpg-") as folder:
            path = Path(folder) / "signature.asc"
            path.write_text(signature.value, encoding="utf-8")
            called = _gpg(["--status-fd", "1", "--verify", str(path), "-"], message, tools.env)
        if called is None:
            raise NotChecked("gpg cannot be run", next="install GnuPG")
        found = dict(called.status)
        if any(word in found for word in _BAD):
            raise BadSignature(f"the OpenPGP signature by {signature.key} is not a good one of this document")
        valid = [words.split() for word, words in called.status if word == "VALIDSIG"]
        if "NO_PUBKEY" in found:
            raise NotChecked(f"gpg does not have the public key {signature.key}", next="import it: `gpg --import`")
        if called.code != 0 or len(valid) != 1:
            raise BadSignature(f"the OpenPGP signature cannot be read: {called.said}")
        [facts] = valid
        if facts[0] != signature.key:
            raise BadSignature(f"the signature is by {facts[0]}, not by {signature.key}")
        believed = {key.replace(" ", "").upper() for key in trust.allowed_keys}
        if believed.isdisjoint({facts[0], facts[-1]}):
            return ""
        return strip_control(found.get("GOODSIG", "").partition(" ")[2]) or facts[-1]


class _Called(Struct, frozen=True):
    code: int
    out: str
    said: str
    status: tuple[tuple[str, str], ...]


def _gpg(arguments: Sequence[str], given: bytes, env: Mapping[str, str]) -> _Called | None:
    """One call of gpg, which asks nobody anything; None where there is no gpg, or it gives no answer."""
    kept = {name: value for name, value in env.items() if name in _PASSED} | {"LC_ALL": "C.UTF-8"}
    command = ["gpg", "--batch", "--no-tty", "--yes", *arguments]
    try:
        done = subprocess.run(command, input=given, env=kept, capture_output=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    out, err = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    said = " ".join(line for line in err.splitlines() if not line.startswith("[GNUPG:]"))
    return _Called(done.returncode, out, strip_control(said)[:400], tuple(_STATUS.findall(f"{out}\n{err}")))
