"""Has receipts signed by who is declared, and says what signatures are worth. Knows no method; the registry finds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from msgspec import Struct
from msgspec.structs import replace

from shipway.errors import Reason, ShipwayError, UsageError, VerificationError
from shipway.receipt import Receipt
from shipway.signer import BadSignature, Signer, SigningTools
from shipway.signing import Signature, SigningPolicy, SigningRule, Trust, message_of
from shipway.verification import Signed

FindSigner = Callable[[str], Signer]
"""The signer of a method. Raises UsageError where there is none."""


PROBE = "shipway asks whether this key signs"
"""What is signed to find out whether a signer can: no digest, so that the signature is one of nothing."""


class Attestor:
    """Signs with the first of the declared signers that can. `failures` are those that could not, and why."""

    def __init__(self, rule: SigningRule, find: FindSigner, tools: SigningTools) -> None:
        self._rule = rule
        self._find = find
        self._tools = tools
        self.failures: list[str] = []
        self.signed_by = ""

    def sign(self, receipt: Receipt) -> Receipt:
        """The receipt with a signature, or as it was where nobody signs or could."""
        signature = self._made(message_of(receipt.digest))
        return receipt if signature is None else replace(receipt, signatures=(signature,))

    def probe(self) -> Signature | None:
        """A signature of `PROBE`, by the key that a receipt would be signed with now; None where nobody signs or could."""
        return self._made(message_of(PROBE))

    def _made(self, message: bytes) -> Signature | None:
        self.failures, self.signed_by = [], ""
        if self._rule.policy is SigningPolicy.OFF:
            return None
        for signer in self._rule.signers:
            try:
                signature = self._find(signer.method).sign(message, signer, self._tools)
            except ShipwayError as error:
                self.failures.append(f"{signer.words}: {error.message}" + (f" ({error.next})" if error.next else ""))
                continue
            except Exception as error:  # noqa: BLE001 - a signer is somebody else's code, and says in any way that it cannot
                self.failures.append(f"{signer.words}: {type(error).__name__}: {error}")
                continue
            self.signed_by = f"{signer.words}: {signature.key}"
            return signature
        return None

    def private_keys(self) -> Iterator[tuple[str, str]]:
        """The private keys in files, by the file's name: nothing that a step prints may hold one."""
        for signer in self._rule.signers:
            if signer.file:
                with suppress(OSError, UnicodeDecodeError):
                    yield signer.file, self._tools.path_of(signer.file).read_text(encoding="utf-8")

    def refusal(self, *, is_required: bool = False) -> VerificationError | None:
        """The error of a receipt that was to be signed and was not; None where all is as declared, unless it `is_required`."""
        if self.signed_by or (self._wants_none and not is_required):
            return None
        return self._unsigned(
            "the receipt is not signed",
            "the run stands as it ended, only the signature is missing: mend the signer, then `shipway sign`; "
            "docs/receipts.md#signing",
        )

    def early_refusal(self, *, is_required: bool = False) -> VerificationError | None:
        """The same of a receipt to come, by what the signers can do now: they are asked for a signature of `PROBE`."""
        if (self._wants_none and not is_required) or self.probe() is not None:
            return None
        return self._unsigned(
            "the receipt of this run could not be signed", "mend the signer: `shipway doctor`, docs/receipts.md#signing"
        )

    @property
    def _wants_none(self) -> bool:
        return self._rule.policy is SigningPolicy.OFF or not self._rule.signers

    def _unsigned(self, what: str, then: str) -> VerificationError:
        why = "; ".join(self.failures) or "nobody is declared who signs"
        return VerificationError(f"{what}: {why}", reason=Reason.UNSIGNED, next=then)


def believed(rule: SigningRule, find: FindSigner, tools: SigningTools, allowed_signers: str | None = None) -> Believed:
    """Who counts by a rule; `allowed_signers` is the text of its file, where it is not to be read from the checkout.

    Raises UsageError where that file is not there.
    """
    text = allowed_signers
    if text is None:
        text = ""
        if rule.allowed_signers:
            try:
                text = tools.path_of(rule.allowed_signers).read_text(encoding="utf-8", errors="replace")
            except OSError as error:
                raise UsageError(
                    f"cannot read `{rule.allowed_signers}`, the file of allowed signers: {error.strerror}",
                    next="write it: a line `NAME TYPE KEY` for each; docs/receipts.md#signing",
                ) from error
    return Believed(Trust(text, rule.allowed_keys), find, tools)


class Believed(Struct, frozen=True):
    """Whose signatures count: keys by file and by id, and how a method is found."""

    trust: Trust
    find: FindSigner
    tools: SigningTools

    def ask(self, digest: str, signatures: Sequence[Signature], at: str) -> Signed:
        """What the signatures of a digest are worth; `at` is when the document says that it ended."""
        by, faults, notes = [], [], []
        for signature in signatures:
            try:
                who = self._verified(digest, signature, at)
            except BadSignature as error:
                faults.append(error.message)
            except ShipwayError as error:
                notes.append(error.message + (f": {error.next}" if error.next else ""))
            except Exception as error:  # noqa: BLE001 - a signer is somebody else's code
                faults.append(f"the signer of `{signature.method}` failed: {type(error).__name__}: {error}")
            else:
                if who:
                    by.append(f"{who} ({signature.key})")
                else:
                    notes.append(f"signed by {signature.key}, and nobody says whose key that is")
        return Signed(tuple(by), tuple(faults), tuple(notes))

    def _verified(self, digest: str, signature: Signature, at: str) -> str:
        try:
            signer = self.find(signature.method)
        except ShipwayError as error:
            raise BadSignature(f"nothing here knows the method `{signature.method}` of a signature") from error
        return signer.verify(message_of(digest), signature, replace(self.trust, at=at), self.tools)


class Endorsement:
    """The signatures of one run: its own receipt's, and those of the receipts it relies on.

    `rules` are what is declared, then what held before, each with the text of its file of allowed signers where that is not
    to be read from the checkout. The first says who signs; all of them who counts.
    """

    def __init__(self, rules: Sequence[tuple[SigningRule, str | None]], find: FindSigner, tools: SigningTools) -> None:
        self._rules = rules
        self._find = find
        self._tools = tools
        self._attestor = Attestor(rules[0][0], find, tools)

    def sign(self, receipt: Receipt) -> Receipt:
        """See `Attestor`."""
        return self._attestor.sign(receipt)

    def private_keys(self) -> Iterator[tuple[str, str]]:
        """See `Attestor`."""
        return self._attestor.private_keys()

    def refusal(self) -> VerificationError | None:
        """The error of a receipt that had to be signed and is not, also where only what held before asks for it."""
        return self._attestor.refusal(is_required=self._is_held)

    def early_refusal(self) -> VerificationError | None:
        """The error of a run whose receipt could not be signed as it stands; nothing has run yet."""
        return self._attestor.early_refusal(is_required=self._is_held)

    @property
    def is_required(self) -> bool:
        """Whether what is declared, or what held before, says that receipts have to be signed."""
        return any(rule.policy is SigningPolicy.REQUIRE for rule, _ in self._rules)

    @property
    def _is_held(self) -> bool:
        return any(rule.policy is SigningPolicy.REQUIRE for rule, _ in self._rules[1:])

    def counts(self, receipt: Receipt) -> bool:
        """Whether another run's receipt is signed as every rule asks for: with `require` by somebody who is believed.

        One with a signature that is wrong never counts, unless the policy is `off`.
        """
        for rule, allowed_signers in self._rules:
            if rule.policy is SigningPolicy.OFF or not rule.is_declared:
                continue
            asked = believed(rule, self._find, self._tools, allowed_signers).ask(
                receipt.digest, receipt.signatures, receipt.ended
            )
            if asked.faults or (not asked.by and rule.policy is SigningPolicy.REQUIRE):
                return False
        return True
