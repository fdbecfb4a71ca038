"""Encrypts what is secret in a journal to the key that `state` names, and gives it back. Knows no journal and no store.

Needs cryptography: `pip install 'shipway[encryption]'`.
"""

from __future__ import annotations

import base64
import binascii
from importlib.util import find_spec

from shipway.errors import UsageError
from shipway.secrecy import NotOpened

KEY_BYTES = 32
"""What ChaCha20-Poly1305 takes. Source: https://www.rfc-editor.org/rfc/rfc8439#section-2.8"""

_SALT_BYTES = 32
_NONCE = bytes(12)
_USE = b"shipway state 1"

_HOW = "make one with `openssl rand -base64 32`, and keep it where runs find it as this secret"


class Vault:
    """See `secrecy.Vault`: ChaCha20-Poly1305, with a key for each text out of ours and a random salt, which stands before it.

    A key that is used once needs no nonce of its own: nothing has to be counted, and no two texts can meet in one.
    Sources: https://www.rfc-editor.org/rfc/rfc5869 (HKDF), https://www.rfc-editor.org/rfc/rfc8439 (the cipher).
    """

    def __init__(self, name: str, key: str) -> None:
        """`key` is the value of the secret `name`: 32 random bytes in base64 or hexadecimal. Raises UsageError."""
        _check_installed()
        self._name = name
        self._key = _key_bytes(name, key)

    def seal(self, about: str, content: str) -> bytes:
        """See `secrecy.Vault`."""
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305  # late: an optional package

        salt = ChaCha20Poly1305.generate_key()
        return salt + ChaCha20Poly1305(self._derived(salt)).encrypt(_NONCE, content.encode(), about.encode())

    def open(self, about: str, sealed: bytes) -> str:
        """See `secrecy.Vault`."""
        from cryptography.exceptions import InvalidTag  # late: an optional package
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        salt, text = sealed[:_SALT_BYTES], sealed[_SALT_BYTES:]
        try:
            return ChaCha20Poly1305(self._derived(salt)).decrypt(_NONCE, text, about.encode()).decode()
        except (InvalidTag, ValueError):
            raise NotOpened(
                f"it was encrypted to another key than that of `{self._name}`, or was changed since"
            ) from None

    def _derived(self, salt: bytes) -> bytes:
        from cryptography.hazmat.primitives.hashes import SHA256  # late: an optional package
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        return HKDF(SHA256(), KEY_BYTES, salt, _USE).derive(self._key)


def _check_installed() -> None:
    if find_spec("cryptography") is None:
        raise UsageError(
            "`state` names a key, and the package `cryptography` is not installed",
            next="install it: `pip install 'shipway[encryption]'`",
        )


def _key_bytes(name: str, key: str) -> bytes:
    """The key as it was written down. Nothing is made of a password: that would be only as strong as the password."""
    text = key.strip()
    for decode in (bytes.fromhex, _from_base64):
        try:
            found: bytes = decode(text)
        except (ValueError, binascii.Error):
            continue
        if len(found) == KEY_BYTES:
            return found
    raise UsageError(
        f"the secret `{name}` is no key: `state` takes {KEY_BYTES} bytes in base64 or hexadecimal", next=_HOW
    )


def _from_base64(text: str) -> bytes:
    digits = text.rstrip("=").translate(_STANDARD)
    return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)


_STANDARD = str.maketrans("-_", "+/")
