"""Shows that the signer keeps Shipway's contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from shipway_transit_signer.signer import TransitSigner
from vault import vault

from contracts.signer import CHECKS, MESSAGE, Case
from shipway.signer import NotChecked, NotSigned, SigningTools
from shipway.signing import SignerRule, Trust


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    with vault() as env:
        rules = [SignerRule(method="transit", key=key) for key in ("shop", "other", "absent")]
        trust = Trust(allowed_keys=("transit/shop",))
        yield Case(TransitSigner(), *rules, trust, SigningTools(tmp_path, tmp_path, env, {}))


@pytest.mark.parametrize("check", CHECKS)
def test_it_keeps_the_contract(check: Callable[[Case], None], case: Case) -> None:
    check(case)


def test_a_server_that_is_not_there_or_refuses_is_no_signature_and_no_bad_one(case: Case, tmp_path: Path) -> None:
    made = case.signer.sign(MESSAGE, case.rule, case.tools)
    for env in ({}, {"VAULT_ADDR": "http://127.0.0.1:1"}, {**case.tools.env, "VAULT_TOKEN": "x"}):
        tools = SigningTools(tmp_path, tmp_path, env, {})
        with pytest.raises(NotSigned):
            case.signer.sign(MESSAGE, case.rule, tools)
        with pytest.raises(NotChecked):
            case.signer.verify(MESSAGE, made, case.trust, tools)
