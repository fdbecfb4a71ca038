"""Signatures of receipts as values: who is to sign, who is believed, and what stands in a document. Reads and signs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct, field

from shipway.canonical import Json, items_of, mapping

NAMESPACE = "shipway-receipt"
"""What an SSH signature is made for: one made for anything else is none of a receipt. Source: PROTOCOL.sshsig of OpenSSH."""

SSH = "ssh"
OPENPGP = "openpgp"


class SigningPolicy(StrEnum):
    """What becomes of a receipt that nobody who is believed has signed: refused, told, or not looked at."""

    REQUIRE = "require"
    WARN = "warn"
    OFF = "off"


class SignerRule(Struct, frozen=True):
    """One entry of `signers`. Of SSH one of these is set: `file`, a path (`~` is the home); `secret`, the name of one that
    holds the key; `agent`, a fingerprint or comment, or `any`. `key` is what another method knows its key by; `with_` is its own.
    """

    method: str = SSH
    file: str = ""
    secret: str = ""
    agent: str = ""
    key: str = ""
    with_: Mapping[str, Json] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """What to call it, for people."""
        found = next((f"{name} `{value}`" for name, value in self._named if value), "")
        return f"{self.method}, {found}" if found else self.method

    @property
    def _named(self) -> tuple[tuple[str, str], ...]:
        return (("file", self.file), ("secret", self.secret), ("agent", self.agent), ("key", self.key))


class SigningRule(Struct, frozen=True):
    """`signing:` of the declaration. `allowed_signers` is a file in ssh-keygen's format, relative to the root; `allowed_keys`
    are key ids of other methods. `is_declared` is False where nothing is said of signatures.
    """

    policy: SigningPolicy = SigningPolicy.WARN
    signers: tuple[SignerRule, ...] = ()
    allowed_signers: str = ""
    allowed_keys: tuple[str, ...] = ()
    is_declared: bool = False


class Signature(Struct, frozen=True):
    """One signature of a digest: `key` is the key's id (a fingerprint, a URL), `value` what the method writes."""

    method: str
    key: str
    value: str


class Trust(Struct, frozen=True):
    """Who is believed: the text of a file of allowed SSH signers, and ids of keys of other methods. `at` is RFC 3339 UTC: when."""

    allowed_signers: str = ""
    allowed_keys: tuple[str, ...] = ()
    at: str = ""


def message_of(digest: str) -> bytes:
    """What is signed: the digest as it stands in the document, without a line end."""
    return digest.encode()


def signing_rule(written: Json) -> SigningRule:
    """The rule in what the schema has passed; None is no rule."""
    if written is None:
        return SigningRule()
    data = mapping(written)
    return SigningRule(
        policy=SigningPolicy(str(data.get("policy", "require"))),
        signers=tuple(_signer(mapping(item)) for item in items_of(data.get("signers", ()))),
        allowed_signers=str(data.get("allowed_signers", "")),
        allowed_keys=tuple(str(item) for item in items_of(data.get("allowed_keys", ()))),
        is_declared=True,
    )


def signature_json(signature: Signature) -> Json:
    """As it stands in a receipt."""
    return {"method": signature.method, "key": signature.key, "value": signature.value}


def signature_from_json(written: Json) -> Signature:
    """As `signature_json` wrote it."""
    data = mapping(written)
    return Signature(str(data["method"]), str(data["key"]), str(data["value"]))


def _signer(data: Mapping[str, Json]) -> SignerRule:
    texts = {name: str(data.get(name, "")) for name in ("file", "secret", "agent", "key")}
    return SignerRule(method=str(data.get("method", SSH)), with_=mapping(data.get("with")), **texts)
