"""What `shipway doctor` says of signatures: whether the declared signers can sign, and whether they would count. Keeps nothing."""

from __future__ import annotations

from collections.abc import Iterator

from shipway.attestation import PROBE, Attestor, believed
from shipway.checkup import Check, Verdict, good
from shipway.context import Context
from shipway.declaration import Declaration
from shipway.errors import ShipwayError
from shipway.registry import Registry
from shipway.repository import Repository
from shipway.signer import SigningTools
from shipway.signing import SigningPolicy

_SEE = "docs/receipts.md#signing"


def check_signing(declared: Declaration, context: Context, repository: Repository) -> Iterator[Check]:
    """One check where somebody is declared who signs; a key is asked for a signature, which is thrown away."""
    rule = declared.signing
    if rule.policy is SigningPolicy.OFF or not rule.signers:
        return
    secrets = {name: context.env[name] for name in declared.secrets if context.env.get(name)}
    tools = SigningTools(repository.root, context.home, context.env, secrets)
    find = Registry().make_signer
    attestor = Attestor(rule, find, tools)
    signature = attestor.probe()
    if signature is None:
        is_required = rule.policy is SigningPolicy.REQUIRE
        text = f"nobody can sign: {'; '.join(attestor.failures)}"
        then = "mend the signer: a run is refused until then" if is_required else "mend the signer"
        yield Check("signing", Verdict.BAD if is_required else Verdict.LOOK, text, f"{then}; {_SEE}")
        return
    at = context.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        worth = believed(rule, find, tools).ask(PROBE, (signature,), at)
    except ShipwayError as error:
        yield Check("signing", Verdict.BAD, error.message, error.next)
        return
    if worth.by:
        yield good("signing", f"{attestor.signed_by}, which counts as {worth.by[0].partition(' (')[0]}")
    else:
        why = "; ".join((*worth.faults, *worth.notes))
        text = f"{attestor.signed_by} signs, and does not count: {why}"
        yield Check("signing", Verdict.LOOK, text, f"name the key in `allowed_signers` or `allowed_keys`; {_SEE}")
