"""What every signer must do, as checks over a signer, a rule that names a key of it, and who is believed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec import Struct
from msgspec.structs import replace

from shipway.errors import VerificationError
from shipway.signer import BadSignature, Signer, SigningTools
from shipway.signing import SignerRule, Trust, message_of

MESSAGE = message_of("sha256:" + "ab" * 32)
AT = "2026-01-02T03:04:05.000Z"


class Case(Struct, frozen=True):
    """A signer with a key: `trust` believes that key, `stranger` is another key of the same method, `absent` is none."""

    signer: Signer
    rule: SignerRule
    stranger: SignerRule
    absent: SignerRule
    trust: Trust
    tools: SigningTools


def check_g085_what_it_signs_is_valid_and_anything_else_is_not(case: Case) -> None:
    """verify(sign(x)) says who; of another message, key or value it says that it is bad."""
    made = case.signer.sign(MESSAGE, case.rule, case.tools)
    assert made.method == case.signer.method == case.rule.method and made.key and made.value
    assert case.signer.verify(MESSAGE, made, case.trust, case.tools)
    for other in (MESSAGE + b"\n", MESSAGE[:-1], b"", MESSAGE.replace(b"a", b"b", 1)):
        with pytest.raises(BadSignature):
            case.signer.verify(other, made, case.trust, case.tools)
    for broken in (replace(made, value="x"), replace(made, value=""), replace(made, key=made.key[:-1] + "_")):
        with pytest.raises(BadSignature):
            case.signer.verify(MESSAGE, broken, case.trust, case.tools)


def check_a_key_that_nobody_vouches_for_is_nobodys(case: Case) -> None:
    """The signature is right, and that says nothing."""
    made = case.signer.sign(MESSAGE, case.rule, case.tools)
    assert case.signer.verify(MESSAGE, made, Trust(at=AT), case.tools) == ""
    other = case.signer.sign(MESSAGE, case.stranger, case.tools)
    assert case.signer.verify(MESSAGE, other, case.trust, case.tools) == ""
    with pytest.raises(BadSignature):
        case.signer.verify(MESSAGE, replace(other, key=made.key), case.trust, case.tools)


def check_a_key_that_is_not_there_signs_nothing(case: Case) -> None:
    """It says what to do, and gives no signature."""
    with pytest.raises(VerificationError) as raised:
        case.signer.sign(MESSAGE, case.absent, case.tools)
    assert raised.value.message and raised.value.reason.value == "unsigned"


CHECKS = (
    check_g085_what_it_signs_is_valid_and_anything_else_is_not,
    check_a_key_that_nobody_vouches_for_is_nobodys,
    check_a_key_that_is_not_there_signs_nothing,
)


def names(checks: Sequence[object]) -> list[str]:
    """What each check is called."""
    return [str(getattr(check, "__name__", check)) for check in checks]
