"""Rules of the commit before that a plan would loosen, as values. Pure; decides nothing about them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from shipway.canonical import Json


class Rule(StrEnum):
    """What a rule is about; `base` where the rules before are not known."""

    APPROVAL = "approval"
    POLICY = "policy"
    LOCK = "lock"
    SECRET = "secret"
    PROMOTION = "promotion"
    SIGNING = "signing"
    BASE = "base"


class Weakening(Struct, frozen=True):
    """One rule that a plan would loosen: of what (a stage, a node, a lock, a secret, a commit), and how, in words."""

    rule: Rule
    subject: str
    text: str


def weakening_json(weakening: Weakening) -> Json:
    """`{"rule", "subject", "text"}`."""
    return {"rule": weakening.rule.value, "subject": weakening.subject, "text": weakening.text}


def weakening_from_json(data: Mapping[str, Json]) -> Weakening:
    """What `weakening_json` wrote."""
    return Weakening(Rule(str(data["rule"])), str(data["subject"]), str(data["text"]))
