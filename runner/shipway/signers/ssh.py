"""Signs with SSH keys, from a file, a secret or an agent, and checks such signatures: what `ssh-keygen -Y` does, in this process.

Needs cryptography: `pip install 'shipway[signing]'`.
"""

from __future__ import annotations

import base64
import socket
import struct
from datetime import datetime
from typing import TYPE_CHECKING

from shipway.allowed_signers import vouched_for
from shipway.signer import BadSignature, NotChecked, NotSigned, SigningTools
from shipway.signing import NAMESPACE, SSH, Signature, SignerRule, Trust
from shipway.sshsig import HASH, SshSignature, armoured, fingerprint, key_type, packed, parsed, signed_bytes, unpacked

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

_INSTALL = "install it: `pip install 'shipway[signing]'`"
_RSA = "rsa-sha2-512"
_SMALLEST_RSA = 2048

# Source: draft-miller-ssh-agent, section 5 and 7.
_LIST, _LISTED, _SIGN, _SIGNED, _SHA512 = 11, 12, 13, 14, 4
_AGENT_TIMEOUT_S = 30.0
"""An agent may ask a person to touch a key."""
_AGENT_BYTES_MAX = 256 * 1024


class SshSigner:
    """See `signer.Signer`."""

    method = SSH

    def sign(self, message: bytes, rule: SignerRule, tools: SigningTools) -> Signature:
        """See `signer.Signer`. Keys are Ed25519, RSA or ECDSA, not locked by a password."""
        content = signed_bytes(message, NAMESPACE)
        if rule.agent:
            signed = _by_agent(content, rule.agent, tools.env.get("SSH_AUTH_SOCK", ""))
        else:
            signed = _by_key(content, _private(rule, tools), rule)
        return Signature(SSH, fingerprint(signed.key), armoured(signed))

    def verify(self, message: bytes, signature: Signature, trust: Trust, tools: SigningTools) -> str:
        """See `signer.Signer`."""
        try:
            signed = parsed(signature.value)
            content = signed_bytes(message, signed.namespace, signed.hash)
            kind = key_type(signed.key)
        except (ValueError, UnicodeDecodeError) as error:
            raise BadSignature(f"the signature cannot be read: {error}") from error
        if armoured(signed) != signature.value:
            raise BadSignature("the signature is not written as ssh-keygen writes it")
        if signed.namespace != NAMESPACE:
            raise BadSignature(f"the signature was made for `{signed.namespace}`, not for `{NAMESPACE}`")
        if fingerprint(signed.key) != signature.key:
            raise BadSignature(f"the signature is by {fingerprint(signed.key)}, not by {signature.key}")
        _check(content, signed, kind)
        return vouched_for(trust.allowed_signers, signed.key, NAMESPACE, _moment(trust.at))


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _private(rule: SignerRule, tools: SigningTools) -> bytes:
    if rule.secret:
        text = tools.secrets.get(rule.secret, "")
        if not text:
            raise NotSigned(f"the secret `{rule.secret}` is not set", next="set it in the environment of Shipway")
        return text.replace("\r\n", "\n").strip().encode() + b"\n"
    try:
        return tools.path_of(rule.file).read_bytes()
    except OSError as error:
        raise NotSigned(
            f"cannot read the key `{rule.file}`: {error.strerror}", next="see `signing` of the declaration"
        ) from error


def _by_key(content: bytes, private: bytes, rule: SignerRule) -> SshSignature:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm  # late: an optional package
        from cryptography.hazmat.primitives import serialization as s
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    except ImportError as error:
        raise NotSigned("signing with SSH keys needs the package `cryptography`", next=_INSTALL) from error
    try:
        key = s.load_ssh_private_key(private, None)
    except TypeError as error:
        raise NotSigned(
            f"the key of {rule.words} is locked by a password", next="use `agent`, or a key without"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise NotSigned(
            f"{rule.words} is no private key of OpenSSH's format", next="make one with `ssh-keygen -t ed25519`"
        ) from error
    if not isinstance(key, (Ed25519PrivateKey, RSAPrivateKey, EllipticCurvePrivateKey)):
        raise NotSigned(f"{rule.words} is a key of a kind that is not supported", next="use Ed25519, ECDSA or RSA")
    public = key.public_key().public_bytes(s.Encoding.OpenSSH, s.PublicFormat.OpenSSH)
    wire = base64.b64decode(public.split()[1])
    algorithm, raw = _raw(content, key, key_type(wire))
    return SshSignature(wire, NAMESPACE, HASH, algorithm, raw)


def _raw(
    content: bytes, key: Ed25519PrivateKey | RSAPrivateKey | ec.EllipticCurvePrivateKey, kind: str
) -> tuple[str, bytes]:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA512

    if isinstance(key, RSAPrivateKey):
        return _RSA, key.sign(content, PKCS1v15(), SHA512())
    if isinstance(key, EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.sign(content, ECDSA(_curve_hash(kind))))
        return kind, packed(_integer(r), _integer(s))
    return kind, key.sign(content)


def _check(content: bytes, signed: SshSignature, kind: str) -> None:
    """Raises BadSignature unless the key signed `content`."""
    try:
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm  # late: an optional package
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
        from cryptography.hazmat.primitives.hashes import SHA512
    except ImportError as error:
        raise NotChecked("checking SSH signatures needs the package `cryptography`", next=_INSTALL) from error
    try:
        key = serialization.load_ssh_public_key(kind.encode() + b" " + base64.b64encode(signed.key))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise NotChecked(f"keys of the kind `{kind}` are not supported") from error
    try:
        if isinstance(key, Ed25519PublicKey) and signed.algorithm == kind:
            key.verify(signed.raw, content)
        elif isinstance(key, RSAPublicKey) and signed.algorithm == _RSA and key.key_size >= _SMALLEST_RSA:
            key.verify(signed.raw, content, PKCS1v15(), SHA512())
        elif isinstance(key, EllipticCurvePublicKey) and signed.algorithm == kind:
            (r, s), rest = unpacked(signed.raw, 2)
            if rest:
                raise BadSignature("there is something behind the signature")
            der = encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
            key.verify(der, content, ECDSA(_curve_hash(kind)))
        else:
            raise BadSignature(f"a key of the kind `{kind}` does not sign with `{signed.algorithm}`")
    except (InvalidSignature, ValueError) as error:
        raise BadSignature(f"the signature by {fingerprint(signed.key)} is not one of this document") from error


def _curve_hash(kind: str) -> HashAlgorithm:
    from cryptography.hazmat.primitives import hashes

    # Source: RFC 5656, section 6.2.1.
    by_curve: dict[str, HashAlgorithm] = {"nistp256": hashes.SHA256(), "nistp384": hashes.SHA384()}
    return by_curve.get(kind.rpartition("-")[2], hashes.SHA512())


def _integer(number: int) -> bytes:
    """As RFC 4251 has it: two's complement, so that a high bit gets a zero byte before it."""
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


# The agent.


def _by_agent(content: bytes, wanted: str, address: str) -> SshSignature:
    if not address:
        raise NotSigned(
            "there is no SSH agent: `SSH_AUTH_SOCK` is not set", next="start one: `eval $(ssh-agent)`, then `ssh-add`"
        )
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
            agent.settimeout(_AGENT_TIMEOUT_S)
            agent.connect(address)
            wire = _wanted(_asked(agent, bytes([_LIST]), _LISTED), wanted)
            flags = _SHA512 if key_type(wire) == "ssh-rsa" else 0
            answer = _asked(agent, bytes([_SIGN]) + packed(wire, content) + struct.pack(">I", flags), _SIGNED)
            [signature], _ = unpacked(answer, 1)
            (algorithm, raw), _ = unpacked(signature, 2)
    except (OSError, ValueError) as error:
        raise NotSigned(f"the SSH agent did not sign: {error}", next="see `ssh-add -l`") from error
    return SshSignature(wire, NAMESPACE, HASH, algorithm.decode(), raw)


def _wanted(listed: bytes, wanted: str) -> bytes:
    (count,) = struct.unpack(">I", listed[:4])
    rest, keys = listed[4:], []
    for _ in range(count):
        (wire, comment), rest = unpacked(rest, 2)
        if wanted in ("any", fingerprint(wire), comment.decode("utf-8", "replace")):
            keys.append(wire)
    if not keys:
        raise NotSigned(f"the SSH agent has no key `{wanted}`", next="see `ssh-add -l`")
    return keys[0]


def _asked(agent: socket.socket, request: bytes, wanted: int) -> bytes:
    agent.sendall(packed(request))
    (size,) = struct.unpack(">I", _read(agent, 4))
    if not 0 < size <= _AGENT_BYTES_MAX:
        raise ValueError(f"an answer of {size} bytes")
    answer = _read(agent, size)
    if answer[0] != wanted:
        raise ValueError("it refused")
    return answer[1:]


def _read(agent: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        piece = agent.recv(size - len(content))
        if not piece:
            raise ValueError("it closed the connection")
        content += piece
    return content
