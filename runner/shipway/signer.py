"""What a method of signing is to Shipway: a Protocol, and what it is given. Signs nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from shipway.errors import Reason, VerificationError
from shipway.signing import Signature, SignerRule, Trust


class SigningTools(Struct, frozen=True):
    """What a signer may use: the root of the checkout, the home, the environment of Shipway, and the declared secrets by name.

    A signer changes none of it, and starts no program with more of the environment than that program needs.
    """

    root: Path
    home: Path
    env: Mapping[str, str]
    secrets: Mapping[str, str]

    def path_of(self, name: str) -> Path:
        """The path of a file that a declaration names: below the home where it begins with `~/`, else in the checkout."""
        return self.home / name[2:] if name.startswith("~/") else self.root / name


class Signer(Protocol):
    """One method of signing, made without arguments from the entry point `shipway.signers` whose name is the method's.

    Message and signature are small: a digest as text, and whatever the method writes, as text. `verify` says whose a
    signature is and never only that it is one: anybody can make a key.
    """

    @property
    def method(self) -> str:
        """The method's name, as `signers` of a declaration and `signatures` of a receipt have it."""

    def sign(self, message: bytes, rule: SignerRule, tools: SigningTools) -> Signature:
        """Sign with the key that `rule` names. Raises NotSigned, which says what to do; asks nobody for a password."""

    def verify(self, message: bytes, signature: Signature, trust: Trust, tools: SigningTools) -> str:
        """Who signed, as whoever is to be believed calls them; empty where the signature is right and nobody vouches for its key.

        Raises BadSignature where it is not right, or not of the key that it names; NotChecked where that cannot be told here.
        """


class NotSigned(VerificationError):
    """A signer that was asked to sign did not: exit 5."""

    default_reason = Reason.UNSIGNED


class BadSignature(VerificationError):
    """A signature is not one of this message by the key that it names: exit 5."""

    default_reason = Reason.UNSIGNED


class NotChecked(VerificationError):
    """Whether a signature is right cannot be told here, for want of a program or a key: exit 5 where it has to be."""

    default_reason = Reason.UNSIGNED
