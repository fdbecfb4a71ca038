"""Canonical bytes and digests: the published vectors, round trips, and what has no canonical form."""

from __future__ import annotations

import json
import math
import struct
from hashlib import sha256

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.canonical import (
    MAX_SAFE_INTEGER,
    Json,
    NotCanonical,
    bytes_digest,
    canonical_bytes,
    digest,
    json_fault,
    keyed_digest,
    load_sealed,
    object_checksum,
    parse,
)
from shipway.errors import Position, Reason, UsageError, VerificationError
from shipway.node_json import has_odd_value
from shipway.nodes import Immediate, Node

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
integers = st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER)
scalars = st.none() | st.booleans() | integers | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=8
)
documents = st.dictionaries(texts, values, max_size=5)


@pytest.mark.parametrize(
    ("kind", "name", "content", "checksum"),
    [
        ("graph", "test.yaml", b"hello world", "2517e0dd76472fd367eb4416f952c07ae886da9f08d431eb257cdf0f076d81a9"),
        ("graph", "a.yaml", b"", "da91c5ecc6f41c0ed6e27df85bb95e3b2b9305f93cf12a8e452823750af65d39"),
        ("graph", "b.yaml", b"", "530a43706e2dd4a3238f7220f71b26d9ac6ca85185dc54fdd6e8c0448918c85f"),
        ("plan", "a.yaml", b"", "b1245320d376193f6f3ddc1846aaeedb48395272c63866642bc93759d37487eb"),
        ("receipt", "receipt.json", b"{}", "a5d682586ddce786fe7c320ed82d012db70e1f80cf0344d1cad7c43768618b34"),
        ("receipt", "receipt.json", b"{}\n", "6ef6ff9474ae687260a4d34d7b3ee0d47780a0ead55cf093b9d09261e87522f6"),
        ("file", "na\u00efve.txt", b"\xc3\xa9\n", "be7ce03db431a623d7d136b288351c7d0e68fa6c7fbd26e62dc0cbec161e8aa9"),
        ("blob", "x", b"\x00\x01\xff", "4dcc42d5dd77c2bf908dd736ce7a32820747a99f922e78f3e970499e35f1f8dc"),
    ],
)
def test_g080_object_checksums(kind: str, name: str, content: bytes, checksum: str) -> None:
    assert object_checksum(kind, name, content) == f"sha256:{checksum}"


object_types = st.from_regex(r"\A[a-z][a-z0-9-]{0,8}\Z")
objects = st.tuples(object_types, texts, st.binary(max_size=8))


@settings(max_examples=150, deadline=None)
@given(objects, objects)
def test_g081_only_equal_objects_have_equal_checksums(
    one: tuple[str, str, bytes], other: tuple[str, str, bytes]
) -> None:
    assert (object_checksum(*one) == object_checksum(*other)) == (one == other)


@pytest.mark.parametrize("kind", ["", "Graph", "1a", "a b", "a\n", "-a", "é"])
def test_g081_a_type_is_lower_case_so_that_no_header_is_ambiguous(kind: str) -> None:
    with pytest.raises(ValueError, match="object type"):
        object_checksum(kind, "x", b"")


def test_g082_document_digests() -> None:
    assert digest({}) == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    wanted = "sha256:17c8c6f7f948ee1c9b93b1bc35f6edc29cbaf3022bff7d076d1c4831dd8a44a2"
    body: dict[str, Json] = {"b": 1, "a": [True, None, "é"]}
    assert digest(body) == digest(dict(reversed(body.items()))) == wanted
    assert digest({"digest": "x", **body, "signatures": [1]}) == wanted
    assert digest({**body, "b": 2}) == "sha256:64a3139c5c14333562917d71bff10c381d17a9d50d8aed4236a5aa4c1344a734"


# RFC 8785, section 3.2.2 and its appendix B: IEEE 754 bits and the text of the number.
_NUMBERS = [
    ("0000000000000000", "0"),
    ("8000000000000000", "0"),
    ("0000000000000001", "5e-324"),
    ("8000000000000001", "-5e-324"),
    ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("ffefffffffffffff", "-1.7976931348623157e+308"),
    ("4340000000000000", "9007199254740992"),
    ("c340000000000000", "-9007199254740992"),
    ("4430000000000000", "295147905179352830000"),
    ("44b52d02c7e14af5", "9.999999999999997e+22"),
    ("44b52d02c7e14af6", "1e+23"),
    ("44b52d02c7e14af7", "1.0000000000000001e+23"),
    ("444b1ae4d6e2ef4e", "999999999999999700000"),
    ("444b1ae4d6e2ef4f", "999999999999999900000"),
    ("444b1ae4d6e2ef50", "1e+21"),
    ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
    ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("41b3de4355555553", "333333333.3333332"),
    ("41b3de4355555554", "333333333.33333325"),
    ("41b3de4355555555", "333333333.3333333"),
    ("41b3de4355555556", "333333333.3333334"),
    ("41b3de4355555557", "333333333.33333343"),
    ("becbf647612f3696", "-0.0000033333333333333333"),
    ("43143ff3c1cb0959", "1424953923781206.2"),
]


@pytest.mark.parametrize(("bits", "text"), _NUMBERS)
def test_rfc_8785_numbers(bits: str, text: str) -> None:
    [number] = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical_bytes(number).decode() == text


def test_rfc_8785_example() -> None:
    given = (
        '{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],'
        '"string":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/","literals":[null,true,false]}'
    )
    wanted = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical_bytes(json.loads(given)).decode() == wanted


def test_rfc_8785_sorts_keys_by_utf_16_units() -> None:
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    wanted = ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    assert list(json.loads(canonical_bytes(dict.fromkeys(keys)))) == wanted


@settings(max_examples=150, deadline=None)
@given(values)
def test_bytes_read_back_as_the_same_value_and_write_the_same_bytes(value: Json) -> None:
    content = canonical_bytes(value)
    again = parse(content)
    assert again == value
    assert canonical_bytes(again) == content


@settings(max_examples=100, deadline=None)
@given(documents)
def test_digest_is_of_the_bytes_whatever_the_order_of_keys(document: dict[str, Json]) -> None:
    body = {key: value for key, value in document.items() if key not in ("digest", "signatures")}
    assert digest(document) == "sha256:" + sha256(canonical_bytes(body)).hexdigest()
    assert digest(dict(reversed(document.items()))) == digest(document)
    assert bytes_digest(canonical_bytes(body)) == digest(body)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (math.nan, "$"),
        ({"a": [1, {"b": math.inf}]}, "$.a[1].b"),
        ([0, 2**53], "$[1]"),
        ([-(2**53)], "$[0]"),
        ({"a": "\ud800"}, "$.a"),
        ({"a": (1, b"x")}, "$.a[1]"),
    ],
)
def test_what_has_no_canonical_form_is_named_by_its_path(value: Json, path: str) -> None:
    with pytest.raises(NotCanonical) as caught:
        canonical_bytes(value)
    assert caught.value.message.startswith(f"{path} has no canonical form: ")


def test_the_largest_integers_are_kept() -> None:
    assert canonical_bytes([MAX_SAFE_INTEGER, -MAX_SAFE_INTEGER]) == b"[9007199254740991,-9007199254740991]"


def test_a_nested_value_too_deep_to_write_is_refused_and_does_not_crash() -> None:
    deep: Json = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(NotCanonical):
        canonical_bytes(deep)


@pytest.mark.parametrize("number", [1e16, 1e20, -1e20, 2.0**53, 123456789012345680000.0, 1e21, 1e300])
def test_a_large_number_survives_its_document(number: float) -> None:
    loaded = load_sealed(_sealed(a=number), kind="plan", versions=(1,), reason=Reason.PLAN_DIGEST)
    assert loaded["a"] == number


def test_a_keyed_digest_says_nothing_without_its_key() -> None:
    assert keyed_digest(b"k", b"secret") == keyed_digest(b"k", b"secret") != keyed_digest(b"l", b"secret")
    assert "secret" not in keyed_digest(b"k", b"secret")


def _sealed(**more: Json) -> bytes:
    body: dict[str, Json] = {"kind": "plan", "schema": 1, **more}
    return canonical_bytes({**body, "digest": digest(body)})


def _load(content: bytes) -> object:
    return load_sealed(content, kind="plan", versions=(1,), reason=Reason.PLAN_DIGEST)


def test_a_sealed_document_is_taken_as_it_is() -> None:
    assert _load(_sealed(a=1)) == json.loads(_sealed(a=1))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"NaN",
        b"[" * 100_000,
        _sealed()[:-1],
        _sealed() + b"\n",
        _sealed().replace(b'"schema":1', b'"schema": 1'),
        _sealed().replace(b'"schema":1', b'"schema":1,"schema":1'),
        _sealed().replace(b'"schema":1', b'"schema":1.0'),
        _sealed().replace(b'"schema":1', b'"schema":2'),
        _sealed().replace(b'"plan"', b'"receipt"'),
        canonical_bytes({"kind": "plan", "schema": 1}),
        canonical_bytes({"kind": "plan", "schema": 1, "digest": None}),
    ],
)
def test_g077_whatever_is_not_exactly_what_was_sealed_is_refused_with_exit_5(content: bytes) -> None:
    with pytest.raises(VerificationError) as caught:
        _load(content)
    assert (caught.value.exit_code, caught.value.reason) == (5, Reason.PLAN_DIGEST)


def test_g077_another_version_or_kind_is_told_only_after_the_digest_held() -> None:
    with pytest.raises(UsageError, match=r"plan schema 9 is not supported \(supported: 1\)") as caught:
        _load(_sealed(schema=9))
    assert caught.value.exit_code == 2
    with pytest.raises(UsageError, match="this is a `receipt`, not a plan"):
        _load(_sealed(kind="receipt"))


@settings(max_examples=500)
@given(values)
def test_the_bytes_are_those_of_rfc8785_whichever_way_they_are_written(value: Json) -> None:
    assert canonical_bytes(value) == rfc8785.dumps(value)


@given(st.characters(exclude_categories=["Cs"]))
def test_every_character_is_written_as_rfc8785_writes_it(character: str) -> None:
    assert canonical_bytes([character, {"k": character}]) == rfc8785.dumps([character, {"k": character}])
    assert canonical_bytes({character: 1, "k": 2}) == rfc8785.dumps({character: 1, "k": 2})


def test_control_characters_and_quotes_are_escaped_as_rfc8785_does() -> None:
    text = "".join(map(chr, range(0x100))) + "\u2028\u2029\ufeff\U0001f600"
    assert canonical_bytes(text) == rfc8785.dumps(text)


@pytest.mark.parametrize(("value", "is_odd"), [(0.0, True), (-0.0, True), (0, False), (False, False), ("", False)])
def test_a_node_with_a_fraction_is_written_by_rfc8785_also_where_that_is_zero(value: Json, is_odd: bool) -> None:
    node = Node("a/b", "a", "c.d", Position("shipway.yml", 1, 1), slots={"with": Immediate(value)})
    assert has_odd_value(node) is is_odd


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("no json", "no value stands at character 1"),
        ("{'a': 1}", "no name in double quotes stands at character 2"),
        ('{"a": 1,\n "b" 2}', "no `:` stands at line 2, character 6"),
        ("[1 2]", "no `,` and no end stands at character 4"),
        ("[1", "no `,` and no end stands at character 3"),
        ('{"a": 1} {', "something follows behind its end at character 10"),
        ('["a', "a text without a closing quote begins at character 2"),
        ('"\t"', "a control character that has to be escaped stands at character 2"),
        ('"\\x"', "a `\\` with nothing that it escapes stands at character 2"),
        ("[" * 100_000, "it is nested too deeply"),
    ],
)
def test_what_is_wrong_with_a_json_text_is_said_without_the_words_of_its_reader(text: str, said: str) -> None:
    with pytest.raises((ValueError, RecursionError)) as raised:
        parse(text.encode())
    assert json_fault(raised.value) == said


def test_bytes_that_are_no_text_are_said() -> None:
    with pytest.raises(ValueError) as raised:
        parse(b'{"a": "\xff"}')
    assert json_fault(raised.value) == "byte 8 is no UTF-8"
