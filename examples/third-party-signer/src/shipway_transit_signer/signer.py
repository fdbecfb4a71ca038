"""Signs with a key of a Vault server's transit engine, and asks it whether a signature is one."""

from __future__ import annotations

import base64
import json
import re
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from shipway.signer import BadSignature, NotChecked, NotSigned, SigningTools
from shipway.signing import Signature, SignerRule, Trust

_NAME = re.compile("[A-Za-z0-9_-]+")
_PREFIX = "transit/"
_TIMEOUT_S = 10


class TransitSigner:
    """See `shipway.signer.Signer`. `key` of the rule is the key's name; signatures name it as `transit/NAME`."""

    method = "transit"

    def sign(self, message: bytes, rule: SignerRule, tools: SigningTools) -> Signature:
        if not _NAME.fullmatch(rule.key):
            raise NotSigned("`transit` needs the name of a `key`", next="see `vault list transit/keys`")
        try:
            value = _asked("sign", rule.key, {"input": _encoded(message)}, tools).get("signature")
        except (OSError, ValueError) as error:
            raise NotSigned(
                f"Vault did not sign with `{rule.key}`: {error}", next="see VAULT_ADDR and VAULT_TOKEN"
            ) from error
        if not isinstance(value, str):
            raise NotSigned("Vault answered without a signature")
        return Signature(self.method, _PREFIX + rule.key, value)

    def verify(self, message: bytes, signature: Signature, trust: Trust, tools: SigningTools) -> str:
        name = signature.key.removeprefix(_PREFIX)
        if not signature.key.startswith(_PREFIX) or not _NAME.fullmatch(name):
            raise BadSignature(f"`{signature.key}` is no key of Vault's")
        try:
            asked = {"input": _encoded(message), "signature": signature.value}
            is_valid = _asked("verify", name, asked, tools).get("valid") is True
        except HTTPError as error:
            if error.code not in (400, 404):  # 400: it is no signature; 404: there is no such key
                raise NotChecked(f"Vault cannot be asked: {error}") from error
            is_valid = False
        except (URLError, OSError, ValueError) as error:
            raise NotChecked(f"Vault cannot be asked: {error}", next="see VAULT_ADDR and VAULT_TOKEN") from error
        if not is_valid:
            raise BadSignature(f"the signature is not one of this document by {signature.key}")
        return signature.key if signature.key in trust.allowed_keys else ""


def _encoded(message: bytes) -> str:
    return base64.b64encode(message).decode()


def _asked(what: str, key: str, document: dict[str, str], tools: SigningTools) -> dict[str, object]:
    request = Request(
        f"{tools.env.get('VAULT_ADDR', '')}/v1/transit/{what}/{key}",
        data=json.dumps(document).encode(),
        headers={"X-Vault-Token": tools.env.get("VAULT_TOKEN", "")},
    )
    with urlopen(request, timeout=_TIMEOUT_S) as answer:
        data = json.load(answer).get("data")
    return data if isinstance(data, dict) else {}
