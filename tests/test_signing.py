"""Receipts that are signed when they are sealed: whose keys, what a signer that fails means, and who is believed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from shipway.attestation import Believed
from shipway.canonical import canonical_bytes, digest
from shipway.later_signatures import added, later_bytes, later_signatures, signed_content
from shipway.registry import Registry
from shipway.signing import Signature, Trust
from shipway.verification import Standing, check_document
from tests.command_line import Project, make_project
from tests.git_remotes import git, make_remote
from tests.signing_keys import agent, allowed, gpg_home, public, ssh_key, tools_of

DECLARED = """
    version: 1
    name: shop
    targets: {{staging: {{}}, prod: {{after: [staging]}}}}
    {more}
    signing: {signing}
    steps:
      - {{id: a, run: "{run}", undo: "true"}}
"""
SIGNING = "{policy: require, allowed_signers: allowed, signers: [{file: ~/key}]}"
LOSES = "test ! -e ../home/lose || mv ../home/key ../home/away"
"""A step that takes the key away from its signer, once `lose` is there."""


def make(folder: Path, signing: str = SIGNING, more: str = "", run: str = "true") -> Project:
    project = make_project(folder)
    key = ssh_key(folder / "home", "key")
    project.write(
        {"shipway.yml": DECLARED.format(signing=signing, more=more or "values: {}", run=run), "allowed": allowed(key)}
    )
    project.commit()
    return project


def receipts(project: Project) -> list[Path]:
    return sorted((project.root / ".shipway/receipts").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)


def staged(project: Project, code: int = 0, **env: str) -> Any:
    return project.call("run", "--yes", "--json", "--target", "staging", env=env, code=code)


def doctored(project: Project, code: int = 0) -> dict[str, str]:
    """What `shipway doctor` says of the signers."""
    checks = project.call("doctor", "--target", "staging", "--json", code=code).json["checks"]
    return next(check for check in checks if check["name"] == "signing")


def test_g086_a_receipt_is_signed_and_its_signature_is_outside_the_digest(tmp_path: Path) -> None:
    project = make(tmp_path)
    receipt = staged(project).json
    [signature] = receipt["signatures"]
    assert signature["method"] == "ssh" and signature["key"].startswith("SHA256:")
    assert receipt["digest"] == digest(receipt) == digest({**receipt, "signatures": []})
    told = project.call("verify", "--json").json
    assert told["valid"] and told["documents"][0]["standing"] == "valid"
    assert told["documents"][0]["signed_by"] == [f"key@example ({signature['key']})"]
    assert f"signed     ssh, {signature['key']}" in project.call("show").out


def test_plain_tools_verify_it(tmp_path: Path) -> None:
    """The commands of docs/receipts.md."""
    project = make(tmp_path)
    staged(project)
    script = """
        receipt=$1
        python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["digest"], end="")' "$receipt" > digest
        python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["signatures"][0]["value"], end="")' "$receipt" > signature
        ssh-keygen -Y verify -f allowed -I key@example -n shipway-receipt -s signature < digest
    """
    call = ["bash", "-euc", script, "verify", str(receipts(project)[0])]
    done = subprocess.run(call, cwd=project.root, env=project.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Good" in done.stdout, done


def test_what_ssh_keygen_signed_afterwards_counts(tmp_path: Path) -> None:
    project = make(tmp_path, signing="{policy: warn, allowed_signers: allowed}")
    receipt = staged(project).json
    assert receipt["signatures"] == []
    assert project.call("verify", "--json").json["documents"][0]["standing"] == "unsigned"
    call = ["ssh-keygen", "-Y", "sign", "-q", "-f", str(tmp_path / "home/key"), "-n", "shipway-receipt"]
    made = subprocess.run(call, input=receipt["digest"], capture_output=True, text=True, check=True).stdout
    listed = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(tmp_path / "home/key.pub")], capture_output=True, text=True, check=True
    )
    signature = {"method": "ssh", "key": listed.stdout.split()[1], "value": made}
    receipts(project)[0].write_bytes(canonical_bytes({**receipt, "signatures": [signature]}))
    assert project.call("verify", "--json").json["documents"][0]["standing"] == "valid"


def test_no_byte_of_a_signed_receipt_can_change(tmp_path: Path) -> None:
    project = make(tmp_path)
    staged(project)
    content = receipts(project)[0].read_bytes()
    ask = Believed(Trust((project.root / "allowed").read_text()), Registry().make_signer, tools_of(tmp_path)).ask
    assert check_document("r.json", content, ask).standing is Standing.VALID
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        assert check_document("r.json", bytes(changed), ask).standing is Standing.INVALID, place


def test_a_secret_holds_the_key_which_no_step_gets_and_nobody_can_print(tmp_path: Path) -> None:
    signing = "{allowed_signers: allowed, signers: [{secret: SIGNING_KEY}]}"
    project = make(tmp_path, signing, "secrets: [SIGNING_KEY]", "env; cat ../home/key")
    key = (tmp_path / "home/key").read_text()
    receipt = staged(project, SIGNING_KEY=key).json
    assert len(receipt["signatures"]) == 1
    body = key.splitlines()[2]
    for path in (project.root / ".shipway").rglob("*"):
        assert not path.is_file() or body.encode() not in path.read_bytes(), path
    assert "SIGNING_KEY" not in project.call("logs").out and "***" in project.call("logs").out
    later = staged(project, code=5).json["error"]
    assert "the secret `SIGNING_KEY` is not set" in later["message"]


def test_a_key_in_a_file_is_masked_in_what_steps_print(tmp_path: Path) -> None:
    project = make(tmp_path, run="cat ../home/key")
    staged(project)
    body = (tmp_path / "home/key").read_text().splitlines()[2]
    assert body not in project.call("logs").out
    for path in (project.root / ".shipway").rglob("*"):
        assert not path.is_file() or body.encode() not in path.read_bytes(), path


def test_an_agent_signs(tmp_path: Path) -> None:
    project = make(tmp_path, "{allowed_signers: allowed, signers: [{agent: key@example}]}", run="env")
    with agent(tmp_path / "home/key") as address:
        staged(project, SSH_AUTH_SOCK=address)
    assert "SSH_AUTH_SOCK" not in project.call("logs").out
    assert project.call("verify", "--json").json["documents"][0]["standing"] == "valid"


def test_openpgp_signs_through_gpg(tmp_path: Path) -> None:
    with gpg_home(tmp_path / "g", "Ada <ada@example.invalid>") as (env, [ada]):
        signing = f"{{allowed_keys: [{ada}], signers: [{{method: openpgp, key: {ada}}}]}}"
        project = make(tmp_path / "p", signing)
        staged(project, GNUPGHOME=env["GNUPGHOME"])
        told = project.call("verify", "--json", env=env).json["documents"][0]
        assert told["signed_by"] == [f"Ada <ada@example.invalid> ({ada})"]
        elsewhere = project.call("verify", "--json", code=5).json
        assert elsewhere["reason"] == "unsigned"
        assert "does not have the public key" in elsewhere["documents"][0]["notes"][0]


def test_case_71_a_signer_that_fails_is_exit_5_after_the_receipt_was_kept_and_nothing_is_undone(tmp_path: Path) -> None:
    project = make(tmp_path, "{allowed_signers: allowed, signers: [{file: ~/key}, {agent: any}]}", run=LOSES)
    (tmp_path / "home/lose").touch()
    done = staged(project, code=5)
    assert done.json["outcome"] == "succeeded" and done.json["rollback"] == [] and done.json["signatures"] == []
    said = " ".join(done.err.split())
    assert "the receipt is not signed: ssh, file `~/key`: cannot read the key" in said
    assert "ssh, agent `any`: there is no SSH agent" in said
    assert json.loads(receipts(project)[0].read_bytes())["digest"] == done.json["digest"]
    [run] = project.call("runs", "--json").json["runs"]
    assert (run["status"], run["receipt"]) == ("succeeded", done.json["digest"])
    assert project.call("verify", "--json", code=5).json["reason"] == "unsigned"


@pytest.mark.parametrize(
    ("signers", "why"),
    [
        ("[{file: nowhere}, {agent: any}]", "ssh, file `nowhere`: cannot read the key"),
        ("[{file: allowed}]", "ssh, file `allowed` is no private key"),
        ("[{agent: any}]", "there is no SSH agent"),
        ("[{secret: KEY}]", "the secret `KEY` is not set"),
        ("[{method: openpgp, key: nobody}]", "openpgp, key `nobody`: gpg"),
    ],
)
def test_case_71_nothing_is_executed_where_the_receipt_could_not_be_signed(
    signers: str, why: str, tmp_path: Path
) -> None:
    project = make(tmp_path, f"{{allowed_signers: allowed, signers: {signers}}}", "secrets: [KEY]", "touch ran")
    project.call("plan", "--target", "staging", "-o", "plan.json")
    for call in (("run", "--yes", "--target", "staging"), ("apply", "plan.json")):
        done = project.call(*call, "--json", code=5)
        assert done.json["error"]["reason"] == "unsigned"
        assert "could not be signed" in done.json["error"]["message"] and why in done.json["error"]["message"]
    assert not (project.root / "ran").exists() and receipts(project) == []
    assert project.call("runs", "--json").json["runs"] == []
    signing = doctored(project, code=2)
    assert signing["verdict"] == "bad" and why in signing["text"]


def test_a_run_goes_on_where_signatures_are_not_required_and_is_warned_before_it(tmp_path: Path) -> None:
    project = make(tmp_path, "{policy: warn, allowed_signers: allowed, signers: [{file: nowhere}]}")
    done = staged(project, code=5)
    assert done.json["outcome"] == "succeeded"
    assert "could not be signed" in done.err and "is not signed" in done.err


def test_doctor_says_who_signs_and_whether_that_counts(tmp_path: Path) -> None:
    project = make(tmp_path)
    told = doctored(project)
    assert told["verdict"] == "good" and "which counts as key@example" in told["text"]
    project.write({"allowed": allowed(ssh_key(tmp_path / "home", "other"))})
    told = doctored(project)
    assert told["verdict"] == "look" and "does not count" in told["text"]


def test_g087_signers_are_tried_in_order_and_the_first_that_can_signs(tmp_path: Path) -> None:
    project = make(tmp_path, "{allowed_signers: allowed, signers: [{file: nowhere}, {file: ~/other}, {file: ~/key}]}")
    other = ssh_key(tmp_path / "home", "other")
    [signature] = staged(project).json["signatures"]
    listed = subprocess.run(["ssh-keygen", "-l", "-f", str(other)], capture_output=True, text=True, check=True)
    assert signature["key"] == listed.stdout.split()[1]


@pytest.mark.parametrize("policy", ["warn", "off"])
def test_g087_without_require_an_unsigned_receipt_is_told_or_not_looked_at(policy: str, tmp_path: Path) -> None:
    project = make(tmp_path, f"{{policy: '{policy}', signers: [{{file: nowhere}}]}}")
    staged(project, code=5 if policy == "warn" else 0)
    assert project.call("verify", "--json").json["documents"][0]["standing"] == "unsigned"
    assert project.call("verify", "--json", "--require", code=5).json["reason"] == "unsigned"


def test_whose_signatures_count_can_be_named_where_there_is_no_declaration(tmp_path: Path) -> None:
    project = make(tmp_path)
    staged(project)
    (tmp_path / "away").mkdir()
    (tmp_path / "away/r.json").write_bytes(receipts(project)[0].read_bytes())
    away = Project(tmp_path / "away", project.env)
    told = away.call("verify", "r.json", "--json").json["documents"][0]
    assert told["standing"] == "unsigned" and "nobody says whose key that is" in told["notes"][0]
    (tmp_path / "away/who").write_text(allowed(tmp_path / "home/key"))
    assert away.call("verify", "r.json", "--signers", "who", "--json").json["documents"][0]["standing"] == "valid"
    (tmp_path / "away/who").write_text(allowed(tmp_path / "home/key", options='namespaces="git"'))
    assert away.call("verify", "r.json", "--signers", "who", "--require", code=5).code == 5


# Promotion.


def prod(project: Project, code: int = 0) -> Any:
    return project.call("run", "--yes", "--json", "--target", "prod", code=code)


def resealed(path: Path, **change: Any) -> dict[str, Any]:
    """A receipt forged by somebody who may write where receipts are: whole, but for a signature."""
    data = json.loads(path.read_bytes()) | change
    data = {key: value for key, value in data.items() if key not in ("digest", "signatures")}
    data |= {"digest": digest(data), "signatures": []}
    path.write_bytes(canonical_bytes(data))
    return data


def test_a_signed_receipt_promotes_and_a_forged_one_does_not(tmp_path: Path) -> None:
    project = make(tmp_path)
    staged(project)
    prod(project)
    [path, last] = receipts(project)
    last.unlink()
    data = resealed(path)
    assert prod(project, code=5).json["error"]["reason"] == "not-promoted"
    stranger = ssh_key(tmp_path / "stranger", "key")
    call = ["ssh-keygen", "-Y", "sign", "-q", "-f", str(stranger), "-n", "shipway-receipt"]
    made = subprocess.run(call, input=data["digest"], capture_output=True, text=True, check=True).stdout
    listed = subprocess.run(["ssh-keygen", "-l", "-f", str(stranger)], capture_output=True, text=True, check=True)
    signature = {"method": "ssh", "key": listed.stdout.split()[1], "value": made}
    path.write_bytes(canonical_bytes({**data, "signatures": [signature]}))
    error = prod(project, code=5).json["error"]
    assert error["reason"] == "not-promoted"
    assert (
        f"run `{data['run']}` succeeded there with this tree, but its receipt is signed by nobody who counts"
        in error["message"]
    )
    assert project.call("verify", "--target", "staging", "--json", code=5).json["reason"] == "unsigned"


def test_a_rollback_whose_receipt_nobody_signed_takes_the_proof_away(tmp_path: Path) -> None:
    project = make(tmp_path)
    staged(project)
    (tmp_path / "home/key").rename(tmp_path / "home/away")
    project.call("rollback", "--target", "staging", "--yes", code=5)
    (tmp_path / "home/away").rename(tmp_path / "home/key")
    [done, undone] = [json.loads(path.read_bytes()) for path in receipts(project)]
    assert (done["outcome"], undone["outcome"], undone["signatures"]) == ("succeeded", "rolled_back", [])
    assert prod(project, code=5).json["error"]["reason"] == "not-promoted"


def test_a_rollback_whose_receipt_was_taken_away_does_not_let_the_earlier_success_count_again(tmp_path: Path) -> None:
    project = make(tmp_path)
    staged(project)
    project.call("rollback", "--target", "staging", "--yes")
    [_, undone] = receipts(project)
    undone.rename(tmp_path / "away")
    error = prod(project, code=5).json["error"]
    assert error["reason"] == "receipt-chain" and "undone since is missing" in error["message"]
    assert "the note in `.shipway/heads`" in error["message"]
    assert project.call("state", "--targets", "--json", code=5).json["targets"]["prod"]["waits_for"] == ["staging"]
    staged(project)
    assert prod(project).json["outcome"] == "succeeded", "what was lost before the newest proof takes nothing from it"


def test_a_receipt_that_another_names_and_is_not_there_takes_the_proof_before_it_away(tmp_path: Path) -> None:
    """In a store: what was taken out is named by the receipt after it, wherever that is read."""
    bare, [one, two] = make_remote(tmp_path, clones=2)
    key, env = ssh_key(tmp_path / "home", "key"), make_project(tmp_path).env
    first, second = Project(one, env), Project(two, env)
    declared = DECLARED.format(signing=SIGNING, more="state: git", run="! test -e ../fail")
    first.write({"shipway.yml": declared, "allowed": allowed(key), ".gitignore": ".shipway\n"})
    first.commit()
    first.git("push", "-q")
    second.git("pull", "-q")
    staged(first)
    first.call("rollback", "--target", "staging", "--yes")
    (tmp_path / "fail").touch()
    staged(first, code=1)
    (tmp_path / "fail").unlink()
    assert prod(second, code=5).json["error"]["reason"] == "not-promoted"
    ref = "refs/shipway/receipts/shop/staging"
    [failed, _, proof] = git(bare, "rev-list", ref).split()
    git(bare, "update-ref", ref, git(bare, "commit-tree", f"{failed}^{{tree}}", "-p", proof, "-m", "cut").strip())
    error = prod(second, code=5).json["error"]
    assert error["reason"] == "receipt-chain" and "names as the one before it" in error["message"]
    staged(second)
    assert prod(second).json["outcome"] == "succeeded"


def test_nobody_can_bring_a_proof_back_by_spoiling_the_signature_of_its_rollback(tmp_path: Path) -> None:
    project = make(tmp_path)
    staged(project)
    project.call("rollback", "--target", "staging", "--yes")
    [_, path] = receipts(project)
    data = json.loads(path.read_bytes())
    path.write_bytes(canonical_bytes({**data, "signatures": [{"method": "ssh", "key": "SHA256:x", "value": "x"}]}))
    assert prod(project, code=5).json["error"]["reason"] == "not-promoted"


def test_where_a_target_stands_is_told_by_signatures_too(tmp_path: Path) -> None:
    project = make(tmp_path, "{policy: warn, allowed_signers: allowed, signers: [{file: ~/key}]}")
    staged(project)
    assert project.call("state", "--targets", "--json").json["targets"]["prod"]["waits_for"] == []
    [path] = receipts(project)
    data = json.loads(path.read_bytes())
    path.write_bytes(canonical_bytes({**data, "signatures": [{"method": "ssh", "key": "SHA256:x", "value": "x"}]}))
    assert project.call("state", "--targets", "--json").json["targets"]["prod"]["waits_for"] == ["staging"]


def test_a_signature_of_another_receipt_promotes_nothing_under_any_policy_but_off(tmp_path: Path) -> None:
    project = make(tmp_path, "{policy: warn, allowed_signers: allowed, signers: [{file: ~/key}]}")
    staged(project)
    [path] = receipts(project)
    signature = json.loads(path.read_bytes())["signatures"]
    data = resealed(path, warnings=["x"])
    path.write_bytes(canonical_bytes({**data, "signatures": signature}))
    assert prod(project, code=5).json["error"]["reason"] == "not-promoted"
    path.write_bytes(canonical_bytes(data))
    prod(project)


def test_a_change_can_neither_turn_signatures_off_nor_add_a_signer_that_it_is_judged_by(tmp_path: Path) -> None:
    project = make(tmp_path)
    base = project.git("rev-parse", "HEAD").strip()
    stranger = ssh_key(tmp_path / "stranger", "key")
    for signing, signers in (
        ("{policy: 'off'}", project.text("allowed")),
        (SIGNING, project.text("allowed") + f"mallory {public(stranger)}\n"),
    ):
        project.write({"shipway.yml": DECLARED.format(signing=signing, more="values: {}", run="true")})
        (project.root / "allowed").write_text(signers)
        project.commit()
        event = tmp_path / "event.json"
        event.write_text(json.dumps({"before": base, "after": project.git("rev-parse", "HEAD").strip()}))
        env = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": "push",
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_REPOSITORY": "o/r",
            "GITHUB_SHA": project.git("rev-parse", "HEAD").strip(),
            "GITHUB_REF": "refs/heads/main",
            "GITHUB_SERVER_URL": "https://github.com",
        }
        plan = project.call("plan", "--json", "--target", "prod", env=env).json
        assert [each["rule"] for each in plan["weakens"]] == ["signing"], plan["weakens"]


def test_a_part_is_accounted_for_by_a_signed_receipt_and_by_no_other(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    key = ssh_key(tmp_path / "home", "key")
    stages = "{one: {steps: [{run: 'true'}]}, two: {steps: [{run: 'true'}]}}"
    text = f"version: 1\nname: shop\nsigning: {SIGNING}\nstages: {stages}\n"
    project.write({"shipway.yml": text, "allowed": allowed(key)})
    project.commit()
    project.call("plan", "-q", "-o", "../plan.json")
    apply = ("apply", "../plan.json", "--yes", "-q")
    project.call(*apply)
    [path] = receipts(project)
    kept = path.read_bytes()
    for journal in (project.root / ".shipway").glob("journal.sqlite*"):
        journal.unlink()
    resealed(path)
    assert project.call(*apply, "--skip", "one", "--json", code=5).json["error"]["reason"] == "plan-differs"
    path.write_bytes(kept)
    project.call(*apply, "--skip", "one")


def test_receipts_from_before_anybody_signed_count_and_those_after_do_not(tmp_path: Path) -> None:
    project = make(tmp_path, signing="{policy: 'off'}")
    staged(project)
    unsigned = project.text("shipway.yml")
    signed = unsigned.replace("{policy: 'off'}", "{allowed_signers: allowed, signers: [{file: ~/key}]}")
    assert signed != unsigned
    project.write({"shipway.yml": signed})
    assert project.call("state", "--target", "staging", "--json").json["findings"] == []
    staged(project)
    assert project.call("state", "--target", "staging", "--json").json["findings"] == [], "the second covers the first"
    project.write({"shipway.yml": unsigned})
    staged(project)
    project.write({"shipway.yml": signed})
    [finding] = project.call("state", "--target", "staging", "--json", code=5).json["findings"]
    assert finding["reason"] == "unsigned"
    staged(project)
    [finding] = project.call("state", "--target", "staging", "--json", code=5).json["findings"]
    assert finding["reason"] == "unsigned", "a later signature covers nothing that came between"


def test_what_a_signer_could_not_sign_is_signed_later_and_counts(tmp_path: Path) -> None:
    project = make(tmp_path, run=LOSES)
    staged(project)
    key = tmp_path / "home/key"
    (tmp_path / "home/lose").touch()
    staged(project, code=5)
    [finding] = project.call("state", "--target", "staging", "--json", code=5).json["findings"]
    assert finding["reason"] == "unsigned" and "shipway sign" in finding["text"]
    assert "cannot read the key" in project.call("sign", "--target", "staging", code=5).err
    key.with_name("away").rename(key)
    assert "is signed by SHA256:" in project.call("sign", "--target", "staging").out
    assert project.call("state", "--target", "staging", "--json").json["findings"] == []
    assert project.call("verify", "--json").json["valid"]
    assert "is signed already" in project.call("sign", "--target", "staging").out


def test_one_between_two_signed_ones_is_signed_later_in_the_store_too_and_counts_everywhere(tmp_path: Path) -> None:
    bare, [one, two] = make_remote(tmp_path, clones=2)
    key, env = ssh_key(tmp_path / "home", "key"), make_project(tmp_path).env
    first, second = Project(one, env), Project(two, env)
    declared = DECLARED.format(signing=SIGNING, more="state: git", run=LOSES)
    first.write({"shipway.yml": declared, "allowed": allowed(key), ".gitignore": ".shipway\n"})
    first.commit()
    first.git("push", "-q")
    second.git("pull", "-q")
    staged(first)
    (tmp_path / "home/lose").touch()
    between = staged(first, code=5).json
    (tmp_path / "home/lose").unlink()
    (tmp_path / "home/away").rename(key)
    staged(first)
    [finding] = second.call("state", "--target", "staging", "--json", code=5).json["findings"]
    assert finding["reason"] == "unsigned" and f"`shipway sign {between['run']}`" in finding["text"]
    before = git(bare, "rev-parse", "refs/shipway/receipts/shop/staging")
    assert "no sealed run" in second.call("sign", between["run"], code=2).err
    said = first.call("sign", between["run"]).out
    assert "is signed by SHA256:" in said and "; in refs of the git remote `origin` too" in said
    assert git(bare, "rev-parse", "refs/shipway/receipts/shop/staging") == before, "no receipt is written again"
    assert second.call("state", "--target", "staging", "--json").json["findings"] == []
    told = second.call("verify", "--chain", "--target", "staging", "--json").json
    assert told["valid"] and [each["standing"] for each in told["documents"]] == ["valid"] * 3
    assert "is signed already" in first.call("sign", between["run"]).out
    assert prod(second).json["outcome"] == "succeeded"
    # Whoever may write in the store can spoil it, and nothing more.
    mark = {"method": "ssh", "key": "SHA256:x", "value": "x"}
    spoilt = canonical_bytes({"kind": "signatures", "schema": 1, "signatures": {between["digest"]: [mark]}})
    blob = git(bare, "hash-object", "-w", "--stdin", given=spoilt.decode()).strip()
    tree = git(bare, "mktree", given=f"100644 blob {blob}\trecord\n").strip()
    ref = "refs/shipway/signatures/shop/staging"
    git(bare, "update-ref", ref, git(bare, "commit-tree", tree, "-p", ref, "-m", "x").strip())
    assert second.call("verify", "--target", "staging", "--json", code=5).json["reason"] == "unsigned"


def test_a_signature_beside_a_receipt_is_joined_to_its_own_bytes_only() -> None:
    signature = Signature("ssh", "SHA256:x", "y")
    receipt = {"digest": "sha256:" + "a" * 64, "kind": "receipt", "signatures": []}
    content = canonical_bytes(receipt)
    known = added({}, str(receipt["digest"]), signature)
    assert added(known, str(receipt["digest"]), signature) == known
    assert later_signatures(later_bytes(known)) == known
    joined = json.loads(signed_content(content, known))
    assert joined == {**receipt, "signatures": [{"method": "ssh", "key": "SHA256:x", "value": "y"}]}
    assert signed_content(content + b" ", known) == content + b" ", "what was altered is not put right"
    for other in (
        canonical_bytes({**receipt, "digest": "sha256:b"}),
        signed_content(content, known),
        b"[]",
        b'{"signatures":[]',
    ):
        assert signed_content(other, known) == other
    for broken in (
        b"",
        b"[]",
        b'{"kind":"signatures","schema":2}',
        b'{"kind":"signatures","schema":1,"signatures":{"a":"b"}}',
    ):
        with pytest.raises(ValueError):
            later_signatures(broken)


def test_a_receipt_that_this_checkout_did_not_seal_is_not_signed(tmp_path: Path) -> None:
    project = make(tmp_path, signing="{policy: 'off', signers: [{file: ~/key}]}")
    staged(project)
    project.write({"shipway.yml": project.text("shipway.yml").replace("policy: 'off'", "policy: warn")})
    [path] = receipts(project)
    forged = {**json.loads(path.read_bytes()), "outcome": "failed"}
    forged["digest"] = digest(forged)
    path.write_bytes(canonical_bytes(forged))
    assert "this checkout has no last receipt" in project.call("sign", "--target", "staging", code=2).err
