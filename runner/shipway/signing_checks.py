"""What a schema cannot say of `signing`: which key is whose, that no step has it, and that `require` can be kept. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from shipway.canonical import Json, items_of, mapping
from shipway.errors import did_you_mean
from shipway.outline import leaves, texts
from shipway.places import Finding, place
from shipway.signing import SSH, SigningPolicy
from shipway.source import Path_

_SOURCES = ("file", "secret", "agent")


def signing_findings(data: Json) -> Iterator[Finding]:
    """Everything wrong with `signing` that the schema lets pass."""
    top = mapping(data)
    rule = mapping(top.get("signing"))
    written = rule.get("signers")
    signers = [mapping(item) for item in items_of(written)] if isinstance(written, list) else []
    secrets = [name for _, name in texts(top, (), "secrets")]
    for number, signer in enumerate(signers):
        path: Path_ = ("signing", "signers", number)
        yield from _sources(signer, path)
        name = signer.get("secret")
        if isinstance(name, str):
            if name not in secrets:
                hint = did_you_mean(name, secrets) or f"list it: `secrets: [{name}]`"
                yield Finding((*path, "secret"), f"unknown secret `{name}` of `signing`", hint, anchor="secrets")
            yield from _handed_out(data, name)
    if rule and rule.get("policy", SigningPolicy.REQUIRE.value) == SigningPolicy.REQUIRE.value:
        if not signers:
            yield Finding(
                ("signing",), "`signing` requires signatures, and nobody signs", "add `signers`", anchor="signing"
            )
        if not {"allowed_signers", "allowed_keys"} & rule.keys():
            text = "`signing` requires signatures, and does not say whose count"
            yield Finding(("signing",), text, "add `allowed_signers` or `allowed_keys`", anchor="signing")


def _sources(signer: Mapping[str, Json], path: Path_) -> Iterator[Finding]:
    method = signer.get("method", SSH)
    given = [name for name in _SOURCES if name in signer]
    if method == SSH:
        if len(given) != 1:
            text = "a signer of the method `ssh` needs exactly one of `file`, `secret`, `agent`"
            yield Finding(path, text, "say where its key is", anchor="signing")
        others = [name for name in ("key", "with") if name in signer]
    else:
        others = given
    for name in others:
        text = f"`{name}` is nothing that a signer of the method `{method}` takes"
        yield Finding((*path, name), text, "remove it", is_key=True, anchor="signing")


def _handed_out(data: Json, name: str) -> Iterator[Finding]:
    """Where the key is given to something that is executed: whoever has it signs what they like."""
    wanted = re.compile(rf"\bsecrets\s*(\.\s*{re.escape(name)}\b|\[\s*'{re.escape(name)}'\s*\])", re.IGNORECASE)
    for path, text in leaves(data):
        if "${{" in text and path[:1] != ("signing",) and wanted.search(text):
            where = f"the key `{name}` signs receipts, and {place(path, data)} would be handed it"
            yield Finding(path, where, "use another secret there", anchor="signing")
