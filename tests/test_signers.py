"""The signers that are built in, against ssh-keygen, ssh-agent and gpg themselves."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipway.allowed_signers import allowed as allowed_lines
from shipway.registry import Extension, Registry
from shipway.signer import BadSignature, NotChecked, NotSigned, SigningTools
from shipway.signers.openpgp import OpenPgpSigner
from shipway.signers.ssh import SshSigner
from shipway.signing import NAMESPACE, Signature, SignerRule, Trust
from shipway.sshsig import fingerprint, parsed, unpacked
from tests.contracts.signer import AT, CHECKS, MESSAGE, Case
from tests.signing_keys import agent, allowed, gpg_home, ssh_key, tools_of

KINDS = ("ed25519", "ecdsa", "rsa")


def ssh_case(root: Path, kind: str) -> Case:
    mine = ssh_key(root, "mine", kind)
    ssh_key(root, "other", kind)
    return Case(
        SshSigner(),
        SignerRule(file="mine"),
        SignerRule(file="other"),
        SignerRule(file="nowhere"),
        Trust(allowed(mine), at=AT),
        tools_of(root),
    )


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("kind", KINDS)
def test_an_ssh_key_in_a_file_keeps_the_contract(check: Callable[[Case], None], kind: str, tmp_path: Path) -> None:
    check(ssh_case(tmp_path, kind))


@pytest.mark.parametrize("check", CHECKS)
def test_an_ssh_key_in_a_secret_keeps_the_contract(check: Callable[[Case], None], tmp_path: Path) -> None:
    case = ssh_case(tmp_path, "ed25519")
    secrets = {"KEY": (tmp_path / "mine").read_text().strip(), "OTHER": (tmp_path / "other").read_text()}
    tools = SigningTools(tmp_path, tmp_path, {}, secrets)
    check(
        Case(
            case.signer,
            SignerRule(secret="KEY"),
            SignerRule(secret="OTHER"),
            SignerRule(secret="ABSENT"),
            case.trust,
            tools,
        )
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_keys_of_an_agent_keep_the_contract(kind: str, tmp_path: Path) -> None:
    mine, other = ssh_key(tmp_path, "mine", kind), ssh_key(tmp_path, "other", kind)
    with agent(mine, other) as address:
        tools = tools_of(tmp_path, SSH_AUTH_SOCK=address)
        stranger = SignerRule(agent=SshSigner().sign(MESSAGE, SignerRule(file="other"), tools).key)
        case = Case(
            SshSigner(), SignerRule(agent="mine@example"), stranger, SignerRule(agent="x"), Trust(allowed(mine)), tools
        )
        for check in CHECKS:
            check(case)
        assert SshSigner().sign(MESSAGE, SignerRule(agent="any"), tools).key
    with pytest.raises(NotSigned, match="the SSH agent did not sign"):
        SshSigner().sign(MESSAGE, SignerRule(agent="any"), tools)
    with pytest.raises(NotSigned, match="SSH_AUTH_SOCK"):
        SshSigner().sign(MESSAGE, SignerRule(agent="any"), tools_of(tmp_path))


def keygen(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["ssh-keygen", "-Y", *arguments], input=given, capture_output=True, check=False)


@pytest.mark.parametrize("kind", KINDS)
def test_plain_ssh_keygen_verifies_what_is_signed_here(kind: str, tmp_path: Path) -> None:
    key = ssh_key(tmp_path, "mine", kind)
    (tmp_path / "allowed").write_text(allowed(key, options=f'namespaces="{NAMESPACE}"'))
    made = SshSigner().sign(MESSAGE, SignerRule(file="mine"), tools_of(tmp_path))
    (tmp_path / "sig").write_text(made.value)
    verify = ("verify", "-f", str(tmp_path / "allowed"), "-I", "mine@example", "-s", str(tmp_path / "sig"), "-n")
    good = keygen(*verify, NAMESPACE, given=MESSAGE)
    assert good.returncode == 0 and made.key.encode() in good.stdout
    assert keygen(*verify, NAMESPACE, given=MESSAGE + b"x").returncode != 0
    assert keygen(*verify, "git", given=MESSAGE).returncode != 0


@pytest.mark.parametrize("kind", KINDS)
def test_what_ssh_keygen_signed_is_verified_here(kind: str, tmp_path: Path) -> None:
    key, trust = ssh_key(tmp_path, "mine", kind), Trust("", at=AT)
    made = keygen("sign", "-q", "-f", str(key), "-n", NAMESPACE, given=MESSAGE).stdout.decode()
    trust = Trust(allowed(key), at=AT)
    signature = Signature("ssh", fingerprint(parsed(made).key), made)
    assert SshSigner().verify(MESSAGE, signature, trust, tools_of(tmp_path)) == "mine@example"
    other = keygen("sign", "-q", "-f", str(key), "-n", "git", given=MESSAGE).stdout.decode()
    with pytest.raises(BadSignature, match="was made for `git`"):
        SshSigner().verify(MESSAGE, replace(signature, value=other), trust, tools_of(tmp_path))


def test_no_byte_of_a_signature_can_change(tmp_path: Path) -> None:
    case = ssh_case(tmp_path, "ed25519")
    made = case.signer.sign(MESSAGE, case.rule, case.tools)
    for place in range(len(made.value)):
        for flip in (1, 0x20):
            changed = bytearray(made.value.encode())
            changed[place] ^= flip
            with pytest.raises(BadSignature):
                case.signer.verify(MESSAGE, replace(made, value=changed.decode("latin-1")), case.trust, case.tools)


def test_a_key_with_a_password_and_what_is_no_key_are_refused_with_the_way_out(tmp_path: Path) -> None:
    ssh_key(tmp_path, "locked", password="five-words")
    with pytest.raises(NotSigned) as raised:
        SshSigner().sign(MESSAGE, SignerRule(file="locked"), tools_of(tmp_path))
    assert "locked by a password" in raised.value.message and "`agent`" in raised.value.next
    (tmp_path / "text").write_text("hello")
    with pytest.raises(NotSigned, match="is no private key"):
        SshSigner().sign(MESSAGE, SignerRule(file="text"), tools_of(tmp_path))


def test_a_line_of_allowed_signers_holds_for_its_namespaces_and_its_time(tmp_path: Path) -> None:
    key = ssh_key(tmp_path, "mine")
    made = SshSigner().sign(MESSAGE, SignerRule(file="mine"), tools_of(tmp_path))

    def who(options: str, at: str = AT) -> str:
        return SshSigner().verify(MESSAGE, made, Trust(allowed(key, options=options), at=at), tools_of(tmp_path))

    assert who("") == who(f'namespaces="git,{NAMESPACE}"') == who('namespaces="shipway-*"') == "mine@example"
    assert who('namespaces="git"') == who("cert-authority") == who('verify-required,namespaces="x"') == ""
    assert who(f'namespaces="*,!{NAMESPACE}"') == who(f'namespaces="!{NAMESPACE},*"') == ""
    assert who('namespaces="*,!git"') == "mine@example" and who('namespaces="!git"') == ""
    assert who('namespaces="[s]hipway-receipt"') == ""
    assert who('valid-before="20250101",valid-before="20270101"') == ""
    hidden = Trust("# ada has left\u2028" + allowed(key), at=AT)
    assert SshSigner().verify(MESSAGE, made, hidden, tools_of(tmp_path)) == ""
    assert who('valid-after="20260101Z",valid-before="20270101"') == "mine@example"
    assert who('valid-after="20260201Z"') == who('valid-before="202601020304"') == who('valid-before="soon"') == ""
    assert who('valid-before="20270101"', at="") == ""
    text = (
        "# a comment\n\n  \nnonsense\nada@example ssh-ed25519\nada@example ssh-ed25519 !!\n"
        + '"a b",c'
        + allowed(key)[12:]
    )
    assert [line.principals for line in allowed_lines(text)] == ["a b,c"] or len(list(allowed_lines(text))) == 1


def test_what_is_no_signature_is_refused() -> None:
    begin, end = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
    for text in (
        "",
        "x",
        f"{begin}\n{end}",
        f"{begin}\n!!\n{end}",
        f"{begin}\nU1NIU0lH\n{end}",
        f"{begin}\nAAAA\n{end}",
    ):
        with pytest.raises(ValueError, match=r"SSH signature"):
            parsed(text)
    for content in (b"", b"\0\0\0\5ab", b"\xff\xff\xff\xff"):
        with pytest.raises(ValueError, match="too early"):
            unpacked(content, 1)


@pytest.fixture(scope="module")
def pgp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    # A path for its agent's socket must be short.
    root = tmp_path_factory.mktemp("pgp")
    with gpg_home(root / "g", "Ada <ada@example.invalid>", "Bob <bob@example.invalid>") as (env, (ada, bob)):
        yield Case(
            OpenPgpSigner(),
            SignerRule(method="openpgp", key=ada),
            SignerRule(method="openpgp", key=bob),
            SignerRule(method="openpgp", key="0" * 40),
            Trust(allowed_keys=(ada,), at=AT),
            SigningTools(root, root, env, {}),
        )


@pytest.mark.parametrize("check", CHECKS)
def test_openpgp_keeps_the_contract_with_real_gpg(check: Callable[[Case], None], pgp: Case) -> None:
    check(pgp)


def test_gpg_itself_verifies_what_was_signed_and_the_user_is_named(pgp: Case, tmp_path: Path) -> None:
    made = pgp.signer.sign(MESSAGE, pgp.rule, pgp.tools)
    assert pgp.signer.verify(MESSAGE, made, pgp.trust, pgp.tools) == "Ada <ada@example.invalid>"
    (tmp_path / "s.asc").write_text(made.value)
    for content, code in ((MESSAGE, 0), (MESSAGE + b"x", 1)):
        call = ["gpg", "--batch", "--verify", str(tmp_path / "s.asc"), "-"]
        assert subprocess.run(call, input=content, env=dict(pgp.tools.env), capture_output=True).returncode == code


def test_without_the_public_key_nothing_can_be_told_and_without_gpg_neither(pgp: Case, tmp_path: Path) -> None:
    made = pgp.signer.sign(MESSAGE, pgp.rule, pgp.tools)
    (tmp_path / "empty").mkdir(mode=0o700)
    elsewhere = tools_of(tmp_path, GNUPGHOME=str(tmp_path / "empty"))
    with pytest.raises(NotChecked, match="does not have the public key"):
        pgp.signer.verify(MESSAGE, made, pgp.trust, elsewhere)
    nowhere = SigningTools(tmp_path, tmp_path, {"PATH": str(tmp_path)}, {})
    with pytest.raises(NotChecked, match="gpg cannot be run"):
        pgp.signer.verify(MESSAGE, made, pgp.trust, nowhere)
    with pytest.raises(NotSigned, match="gpg cannot be run"):
        pgp.signer.sign(MESSAGE, pgp.rule, nowhere)
    with pytest.raises(NotSigned, match="needs the `key`"):
        pgp.signer.sign(MESSAGE, SignerRule(method="openpgp"), pgp.tools)


def test_the_registry_finds_signers_and_refuses_what_is_none() -> None:
    assert Registry().make_signer("ssh").method == "ssh" and Registry().make_signer("openpgp").method == "openpgp"
    with pytest.raises(Exception, match="unknown signer `shh`"):
        Registry().make_signer("shh")
    offers = [Extension("broken", "shipway.signing:SigningRule", "x 1"), Extension("ssh", "a:b", "y 1")]
    with pytest.raises(Exception, match="registered twice: by shipway and by y 1"):
        Registry(lambda group: offers).make_signer("broken")
    with pytest.raises(Exception, match="broken"):
        Registry(lambda group: offers[:1]).make_signer("broken")
