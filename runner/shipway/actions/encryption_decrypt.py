"""The action `encryption.decrypt`: what sops or age has encrypted, as a secret output. Writes nothing; `file.write` does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from shipway.action import Access, ActionFailed, Done, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.canonical import Json
from shipway.ciphers import Cipher, Sealed, told_by
from shipway.declaration import OutputRule
from shipway.file_content import source_file, unplanned
from shipway.nodes import Change, Fidelity, Verified
from shipway.programs import Told, run_program
from shipway.replacement import faults_told

MAX_BYTES = 1 << 20
"""What is larger is no output."""

_COMPLAINT_MAX = 300


class EncryptionDecrypt:
    """Decrypts `content`, or the file `source`, with the real `age` or `sops`, as the content itself says. Plain text passes.

    Output `content` is a secret: masked wherever it would be shown, and kept only encrypted. The key comes from the file
    `identity`, or from SOPS_AGE_KEY_FILE or SOPS_AGE_KEY in the step's environment; sops takes its other keys as always.
    """

    runs_in: Literal["thread"] = "thread"
    name = "encryption.decrypt"
    contract = 1
    slots: Mapping[str, SlotRule] = {
        "source": SlotRule(
            SlotType.STRING, description="the encrypted file; with `content` only its name", access=Access.READS
        ),
        "content": SlotRule(SlotType.STRING, description="the encrypted text"),
        "identity": SlotRule(SlotType.STRING, description="the file with the age key", access=Access.READS),
    }
    outputs: Mapping[str, OutputRule] = {"content": OutputRule("secret")}

    def plan(self, work: PlanWork) -> Prediction:
        """Decrypts nothing: a plan holds no secret. A content that nobody could decrypt is refused now."""
        _refuse_neither(work.inputs.keys() | work.unknown.keys())
        unknown = unplanned(work, Change.READ, *self.slots)
        if unknown is not None:
            return unknown
        if not work.node.needs and ("content" in work.inputs or (work.root / str(work.inputs["source"])).exists()):
            _sealed(work, _encrypted(work.root, work.inputs))
        return Prediction(Change.READ, Fidelity.OPAQUE, why="it is decrypted when it is run")

    def do(self, work: Work) -> Done:
        """Decrypt it. Fails where the program or the key is missing, and for what is no text."""
        _refuse_neither(work.inputs.keys())
        encrypted = _encrypted(work.root, work.inputs)
        sealed = _sealed(work, encrypted)
        content = encrypted if sealed.cipher is Cipher.PLAIN else _decrypted(work, sealed, encrypted)
        if len(content) > MAX_BYTES:
            raise ActionFailed(f"{_shown(work.inputs)} has more than {MAX_BYTES} bytes when it is decrypted")
        try:
            return Done({"content": content.decode()}, change=Change.READ)
        except UnicodeDecodeError:
            raise ActionFailed(f"{_shown(work.inputs)} is no UTF-8 text when it is decrypted") from None

    def undo(self, work: Work) -> None:
        """Nothing was changed."""

    def verify(self, work: Work) -> Verified:
        """Nothing was made that could be gone."""
        return Verified.HOLDS


def _refuse_neither(given: object) -> None:
    if not {"source", "content"} & set(given):  # type: ignore[call-overload]  # keys of a mapping
        raise ActionFailed("give `source` or `content`: what is encrypted")


def _shown(inputs: Mapping[str, Json]) -> str:
    return f"`{inputs['source']}`" if "source" in inputs else "`content`"


def _encrypted(root: Path, inputs: Mapping[str, Json]) -> bytes:
    if "content" in inputs:
        return str(inputs["content"]).encode()
    with faults_told(), source_file(root, inputs["source"]).open("rb") as file:
        content = file.read(4 * MAX_BYTES + 1)
    if len(content) > 4 * MAX_BYTES:
        raise ActionFailed(f"{_shown(inputs)} is larger than {4 * MAX_BYTES} bytes")
    return content


def _sealed(work: PlanWork | Work, encrypted: bytes) -> Sealed:
    sealed = told_by(encrypted)
    if sealed.cipher is Cipher.UNKNOWN:
        raise ActionFailed(
            f"{_shown(work.inputs)} is neither encrypted by sops or age, nor plain text: nothing here decrypts it",
            code="no_decryptor",
            is_permanent=True,
        )
    return sealed


def _decrypted(work: Work, sealed: Sealed, encrypted: bytes) -> bytes:
    place = work.scratch / "encrypted"
    with faults_told():
        work.scratch.mkdir(parents=True, exist_ok=True)
        place.write_bytes(encrypted)
        try:
            told = _age(work, place) if sealed.cipher is Cipher.AGE else _sops(work, place, sealed.form)
        finally:
            place.unlink()
    if told.code != 0:
        why = " ".join(told.complaint.split())[:_COMPLAINT_MAX]
        raise ActionFailed(
            f"{_shown(work.inputs)} is not decrypted by {sealed.cipher.value}: {why}", code="not_decrypted"
        )
    return told.out


def _age(work: Work, place: Path) -> Told:
    key = _identity(work) or work.env.get("SOPS_AGE_KEY_FILE", "")
    if not key and not work.env.get("SOPS_AGE_KEY"):
        raise ActionFailed(
            f"no key for {_shown(work.inputs)}: set `identity`, or SOPS_AGE_KEY_FILE or SOPS_AGE_KEY in the step's `env`",
            code="no_key",
            is_permanent=True,
        )
    given = b"" if key else work.env["SOPS_AGE_KEY"].encode()
    argv = ("age", "--decrypt", "--identity", key or "-", str(place))
    return run_program(argv, cwd=work.root, env=work.env, cancelled=work.cancelled, given=given)


def _sops(work: Work, place: Path, form: str) -> Told:
    key = _identity(work)
    env = {**work.env, "SOPS_AGE_KEY_FILE": key} if key else work.env
    argv = (
        "sops",
        "--decrypt",
        "--input-type",
        "json" if form == "binary" else form,
        "--output-type",
        form,
        str(place),
    )
    return run_program(argv, cwd=work.root, env=env, cancelled=work.cancelled)


def _identity(work: Work) -> str:
    text = work.inputs.get("identity")
    return "" if text is None else str(source_file(work.root, text, "identity"))
