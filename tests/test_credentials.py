"""What looks like a credential is masked although nobody declared it; what only resembles one stays as it is."""

from __future__ import annotations

import base64
import itertools
import json
from textwrap import fill
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.credential_shapes import SHAPES, Shape
from shipway.redaction import MASK, Redactor

_BODY = "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX2yZ3aB4cD5eF6gH7"
_KEY = "\n".join(("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj",) * 8)
_PEM = f"-----BEGIN PRIVATE KEY-----\n{_KEY}\nAgEAAoIBAQ==\n-----END PRIVATE KEY-----"
_JWT = ".".join(("eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiIxMjM0NTY3ODkwIn0", "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"))

# In pieces, so that no scanner takes this file for a leak. The first is the credential, the second what of it must be gone.
EXAMPLES: dict[str, list[tuple[str, str]]] = {
    "GitHub token": [(f"gh{letter}_" + _BODY[:36], _BODY[:36]) for letter in "pousr"]
    + [("ghs" + "_" + f"123456_{_JWT}" + _BODY, _JWT)],
    "GitHub fine-grained token": [("github_" + "pat_" + _BODY[:22] + "_" + _BODY + _BODY[:7], _BODY)],
    "AWS access key id": [
        ("AK" + "IAIOSFODNN7EXAMPLE"[0:18], "IOSFODNN7EXAMPLE"),
        ("AS" + "IAIOSFODNN7EXAMPLE", "IOSFODNN"),
    ],
    "AWS secret access key": [
        ("aws_secret_access_key = " + "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI"),
        ('"SecretAccessKey": "' + "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI"),
        ('{\\"SecretAccessKey\\":\\"' + "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI"),
        ("export AWS_SECRET_ACCESS_KEY=" + "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI"),
    ],
    "AWS session token": [('"SessionToken": "' + "IQoJb3JpZ2luX2VjEPT/" * 12, "IQoJb3JpZ2lu")],
    "GitLab token": [("gl" + "pat-" + _BODY[:20], _BODY[:20]), ("gl" + "rt-t1_" + _BODY[:20], _BODY[:20])],
    "Slack token": [("xo" + "xb-123456789012-123456789012-" + _BODY[:24], _BODY[:24])],
    "Slack webhook": [("https://hooks.slack.com/" + "services/T00000000/B00000000/" + _BODY[:24], _BODY[:24])],
    "JSON web token": [(_JWT, "dozjgNryP4J3")],
    "private key": [
        (_PEM, "MIIEvQIBADANBg"),
        (
            _PEM.replace("PRIVATE", "RSA PRIVATE").replace("KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\n\n", 1),
            "MIIEvQ",
        ),
        (_PEM.replace("PRIVATE", "OPENSSH PRIVATE"), "MIIEvQIBADANBg"),
        (_PEM.replace("PRIVATE KEY", "PGP PRIVATE KEY BLOCK"), "MIIEvQIBADANBg"),
        (json.dumps(_PEM), "MIIEvQIBADANBg"),
        (quote(_PEM), "MIIEvQIBADANBg"),
    ],
    "password in an address": [
        ("postgres://" + "app:correct-horse@db.example.org/app", "correct-horse"),
        ("https:" + "\\/\\/app:correct-horse@example.org", "correct-horse"),
        ("redis://" + ":correct-horse@cache:6379", "correct-horse"),
    ],
    "password in an escaped address": [("url=https%3A%2F%2F" + "app%3Ac0rrect%2Dh0rse%40example.org", "c0rrect")],
    "authorization header": [
        ("> Authorization: " + "Bearer correct-horse-battery", "correct-horse"),
        ('{"authorization": "' + "Basic YXBwOmNvcnJlY3QtaG9yc2U=", "YXBwOmNv"),
    ],
    "npm token": [("np" + "m_" + _BODY[:36], _BODY[:36])],
    "PyPI token": [("py" + "pi-AgEIcHlwaS5vcmc" + _BODY * 2, _BODY)],
    "Stripe key": [("sk" + "_live_" + _BODY[:24], _BODY[:24])],
    "Google API key": [("AI" + "za" + _BODY[:35], _BODY[:35])],
    "Vault token": [("hv" + "s." + _BODY[:24], _BODY[:24])],
    "Docker token": [("dckr" + "_pat_" + _BODY[:27], _BODY[:27])],
    "Anthropic key": [
        ("sk-" + "ant-api03-" + (_BODY * 2)[:93] + "AA", _BODY),
        ("sk-" + "ant-admin01-" + (_BODY * 2)[:93] + "AA", _BODY),
    ],
    "OpenAI key": [
        ("sk-" + "proj-" + _BODY + "T3BlbkFJ" + _BODY, _BODY),
        ("sk-" + "svcacct-" + _BODY, _BODY),
        ("sk-" + "admin-" + _BODY, _BODY),
    ],
    "Hugging Face token": [("h" + "f_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH", "aBcDeFgHiJkL")],
    "SendGrid key": [("S" + "G." + _BODY[:22] + "." + _BODY[:43], _BODY[:22])],
    "DigitalOcean token": [(f"do{letter}" + "_v1_" + "0123456789abcdef" * 4, "0123456789abcdef") for letter in "por"],
    "Azure storage key": [
        ("AccountName=shop;Account" + "Key=" + "aB3+" * 21 + "aB==;EndpointSuffix=core.windows.net", "aB3+aB3+")
    ],
    "password that is assigned": [
        (before + "hunter2-now" + behind, "hunter2")
        for before, behind in (
            ("password=", ""),
            ("POSTGRES_PASSWORD: ", ""),
            ("export DB_PASSWORD=", ""),
            ("Server=db;Database=shop;User Id=app;Password=", ";Encrypt=true"),
            ("host=db password='", "' user=app"),
            ('{"password": "', '", "user": "app"}'),
            ('{\\"password\\":\\"', '\\"}'),
            ("https://example.org/?user=app&password=", "&next=/"),
            ("db_passwd = ", ""),
            ("+ psql --password=", " -c"),
        )
    ]
    + [("PASSWORD=correct-horse", "correct-horse"), ("PASSWORD: 1234567", "1234567")],
}
ALL = [(text, gone) for examples in EXAMPLES.values() for text, gone in examples]


def masked(text: str) -> str:
    return Redactor({}).clean(text)


def pieces(text: str, cuts: list[int]) -> list[str]:
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    return [text[start:end] for start, end in itertools.pairwise(places)]


def test_every_shape_has_an_example_and_a_source() -> None:
    assert list(EXAMPLES) == [shape.name for shape in SHAPES]
    assert all(shape.source.startswith("https://") for shape in SHAPES)


def test_no_beginning_of_a_shape_begins_another_one() -> None:
    openings = [opening for shape in SHAPES for opening in shape.opens]
    assert [(a, b) for a, b in itertools.permutations(openings, 2) if a.startswith(b)] == []


@pytest.mark.parametrize(("text", "gone"), ALL)
def test_g054_what_looks_like_a_credential_is_masked_where_it_stands(text: str, gone: str) -> None:
    redactor = Redactor({})
    assert gone in text
    shown = redactor.clean(f"before {text}\nbehind")
    assert gone not in shown
    assert MASK in shown
    assert shown.startswith("before ")
    assert shown.endswith("behind")
    assert redactor.count == 1
    assert redactor.finds(text)


def test_g054_a_private_key_that_is_cut_off_is_masked() -> None:
    assert "MIIE" not in masked(_PEM.partition("-----END")[0] + "\n" + _KEY)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.encoded], ids=lambda shape: shape.name)
@pytest.mark.parametrize("before", ["", "x", "xy", "user:"])
@pytest.mark.parametrize("behind", ["", "\n", '"}'])
def test_g054_a_credential_in_base64_is_masked(shape: Shape, before: str, behind: str) -> None:
    text, gone = EXAMPLES[shape.name][0]
    content = (before + text + behind).encode()
    whole = base64.b64encode(content).decode()
    for encoded in (whole, whole.rstrip("="), base64.urlsafe_b64encode(content).decode(), fill(whole, 76)):
        shown = masked(f"data: {encoded}\n  next line")
        kept = shown.replace(MASK, "").removeprefix("data: ").removesuffix("\n  next line")
        # What stays are the digits of what stands around it, and of its beginning, which is no secret.
        assert len(kept.replace("\n", "")) <= (len(before) + len(behind)) * 4 // 3 + 8
        assert MASK in shown
        assert gone not in shown
        assert shown.endswith("\n  next line")


@pytest.mark.parametrize(
    "text",
    [
        "git@github.com:octo/shop.git",
        "see https://example.org/a:b/@team and http://localhost:8080/x@y",
        "http://[::1]:8080/ ssh://git@host:22/x",
        '{"url": "https://example.org", "mail": "a:b@example.org"}',
        "https://app:***@example.org",
        "ghp_short gho_ glpat-short xoxb-1 npm_config_user_agent",
        "AKIA is a prefix, AKIAlower0123456789 is none",
        "eyJhbGciOiJIUzI1NiJ9 alone",
        "-----BEGIN CERTIFICATE-----\nMIIEvQIBADANBg\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----",
        "Authorization: none",
        "sha256:" + "0123456789abcdef" * 4,
        "SecretAccessKey is not set",
        "sk-ant-api03 and sk-proj- begin keys, hf_hub_download is a function, MSG.short.text is none, dop_v1_xyz neither",
        "AccountKey=… of AccountName=shop;AccountKey=short==",
        "password=${PASSWORD} password=$X PASSWORD: ${{ secrets.PASSWORD }} password=*** password=%s password=%(pw1)s",
        "password={{ vault.db1 }} password=<hidden1> password=[REDACTED1] password=/run/secrets/db-password-1",
        "Password: required. password: must have 8 characters or more; Password for app@db-1.example.org:",
        "password = getpass1() or password=environ['PW_1'] or password=call(x1) if password == 'abc1234'",
        "PASSWORD_FILE=/run/secrets/db1 password_hash=none passwordLength=123456 PWD=/home/app1",
        'password: "" password= password=None password=null PASSWORD: string',
        "the password of db-1 was changed on 2026-11-22",
        "password:\nnext-line1",
        "time://12:30@noon/x " + "a" * 5000,
    ],
)
def test_what_only_resembles_a_credential_is_left_alone(text: str) -> None:
    expected = text.replace("12:30@", "12:***@")
    assert masked(text) == expected


def test_a_declared_secret_that_is_a_credential_too_is_counted_once() -> None:
    token = "gh" + "p_" + _BODY[:36]
    redactor = Redactor({"TOKEN": token})
    assert redactor.redact(f"it is {token}") == f"it is {MASK}"
    assert redactor.redact(f"https://{'x'}:{token}@example.org") == f"https://x:{MASK}@example.org"
    assert redactor.count == 2


_TEXTS = st.lists(
    st.sampled_from([*(text for text, _ in ALL), "password", "PASSWD: ", "='", "-1"])
    | st.text(st.sampled_from('ghp_eyJ.-:/@%AKI \n\\"x0'), max_size=12),
    max_size=5,
)


@given(_TEXTS, st.lists(st.integers(0, 1500), max_size=8))
def test_g054_pieces_equal_the_whole(texts: list[str], cuts: list[int]) -> None:
    text = "".join(texts)
    whole, in_pieces = Redactor({}), Redactor({})
    stream = in_pieces.stream()
    shown = "".join([*(stream.feed(piece) for piece in pieces(text, cuts)), stream.flush()])
    assert shown == whole.clean(text)
    assert in_pieces.count == whole.count


@pytest.mark.parametrize(("text", "gone"), ALL)
def test_g054_a_credential_that_comes_character_by_character_is_masked(text: str, gone: str) -> None:
    stream = Redactor({}).stream()
    shown = "".join([*map(stream.feed, f"a {text} b\n"), stream.flush()])
    assert gone not in shown
    assert MASK in shown


def test_a_stream_holds_back_no_more_than_the_longest_credential() -> None:
    stream = Redactor({}).stream()
    for beginning in ("eyJ", "-----BEGIN PRIVATE KEY-----\n", "gh" + "p_"):
        stream.feed(beginning)
        for _ in range(200):
            stream.feed("a" * 1000)
        assert len(stream._unknown) <= 20_000
