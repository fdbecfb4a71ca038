"""Encrypts what is secret in a journal to the key that `state` names, and gives it back. Knows no journal and no store.

Needs PyNaCl: `pip install 'shipway[encryption]'`.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from shipway.errors import UsageError
from shipway.secrecy import NotOpened

if TYPE_CHECKING:
    from nacl.secret import Aead

KEY_BYTES = 32
"""What XChaCha20-Poly1305 takes. Source: https://doc.libsodium.org/secret-key_cryptography/aead/chacha20-poly1305"""

_HOW = "make one with `openssl rand -base64 32`, and keep it where runs find it as this secret"


class Vault:
    """See `secrecy.Vault`: XChaCha20-Poly1305, with a random nonce of 24 bytes before each ciphertext."""

    def __init__(self, name: str, key: str) -> None:
        """`key` is the value of the secret `name`: 32 random bytes in base64 or hexadecimal. Raises UsageError."""
        self._name = name
        self._box = _box(_key_bytes(name, key))

    def seal(self, about: str, content: str) -> bytes:
        """See `secrecy.Vault`."""
        return bytes(self._box.encrypt(content.encode(), about.encode()))

    def open(self, about: str, sealed: bytes) -> str:
        """See `secrecy.Vault`."""
        from nacl.exceptions import CryptoError  # late: an optional package

        try:
            return self._box.decrypt(sealed, about.encode()).decode()
        except (CryptoError, ValueError):
            raise NotOpened(
                f"it was encrypted to another key than that of `{self._name}`, or was changed since"
            ) from None


def _box(key: bytes) -> Aead:
    try:
        from nacl.secret import Aead  # late: an optional package
    except ImportError as error:
        raise UsageError(
            "`state` names a key, and the package `PyNaCl` is not installed",
            next="install it: `pip install 'shipway[encryption]'`",
        ) from error
    return Aead(key)


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
