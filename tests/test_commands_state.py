"""`shipway state` by the real command line: what exists after real runs, and what is said of receipts that cannot be counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipway.canonical import canonical_bytes, digest
from shipway.deviation import Drift, Found
from shipway.links import ChainReport
from shipway.nodes import Outcome
from shipway.render.drift import render_drift
from shipway.render.state import render_entries
from shipway.render.verification import render_verified
from shipway.state import Entry, HistoryRecord, Identity, Standing
from shipway.state_tree import trees
from shipway.verification import Checked
from shipway.verification import Standing as Shown
from tests.command_line import Project, make_project
from tests.git_remotes import make_remote

LIFECYCLE = """\
version: 1
name: dots
targets: {staging: {}, prod: {after: [staging]}}
STATE
stages:
  main:
    steps:
      link: {uses: file.link, with: {path: home/.bashrc, source: src}}
      step: {run: 'true', undo: 'true'}
      quick: {run: 'true', lasting: false}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = make_project(tmp_path)
    made.write({"shipway.yml": LIFECYCLE.replace("STATE\n", ""), "src": "a\n", ".gitignore": ".shipway\nhome\n"})
    made.commit()
    return made


def standings(project: Project, *options: str, code: int = 0) -> dict[str, str]:
    entries = project.call("state", "--json", *options, code=code).json["entries"]
    return {entry["name"]: entry["standing"] for entry in entries}


def receipts(project: Project) -> list[Path]:
    return sorted((project.root / ".shipway/receipts").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)


def test_what_a_run_made_exists_until_it_is_rolled_back(project: Project) -> None:
    assert project.call("state").out == "no receipt tells of anything\n"
    project.call("run", "--target", "staging", "--yes")
    assert standings(project) == {"home/.bashrc": "exists", "main/step": "exists"}
    listed = project.call("state").out.splitlines()
    assert listed[0].split() == ["KIND", "NAME", "TARGET", "STANDING", "BY", "SINCE", "RUN", "COMMIT"]
    assert listed[1].startswith("file  home/.bashrc  staging  exists    file.link ")
    project.call("rollback", "--yes")
    assert standings(project) == {}
    assert standings(project, "--all") == {"home/.bashrc": "gone", "main/step": "gone"}
    [link, _] = project.call("state", "--history", "--json").json["entries"]
    assert [record["outcome"] for record in link["history"]] == ["succeeded", "undone"]
    assert "undone" in project.call("state", "--history").out


def test_what_a_second_run_only_found_is_gone_with_the_run_that_made_it(project: Project) -> None:
    run = ("run", "--target", "staging", "--stage", "main", "--skip", "main/step", "--yes", "-q")
    project.call(*run)
    project.call(*run)
    project.call("rollback", "--target", "staging", "--yes", "-q")
    assert not (project.root / "home").exists() and standings(project) == {}
    assert project.call("drift", "--target", "staging").code == 0
    project.call(*run)
    assert standings(project) == {"home/.bashrc": "exists"}


def test_filters_take_what_they_name(project: Project) -> None:
    for target in ("staging", "prod"):
        project.call("run", "--target", target, "--yes")
    assert len(project.call("state", "--json").json["entries"]) == 4
    assert standings(project, "--target", "prod", "--kind", "file") == {"home/.bashrc": "exists"}
    assert standings(project, "--tool", "shell") == {"main/step": "exists"}
    assert standings(project, "--project", "none") == {}
    assert standings(project, "--since", "2030-01-01") == {} == standings(project, "--until", "2001-01-01T00:00:00Z")
    assert standings(project, "--since", "1h", "--target", "prod") == {"home/.bashrc": "exists", "main/step": "exists"}
    error = project.call("state", "--since", "yesterday", code=2).err
    assert "`--since yesterday` is no time" in error
    assert project.call("state", "-q").out == ""


def test_g100_other_files_pointers_and_folders_are_no_receipts(project: Project) -> None:
    project.call("run", "--target", "staging", "--yes")
    folder = project.root / ".shipway/receipts"
    (folder / "latest.json").symlink_to(receipts(project)[0])
    (folder / "notes.json").write_text("{}")
    (folder / "folder.json").mkdir()
    assert standings(project) == {"home/.bashrc": "exists", "main/step": "exists"}
    assert project.call("state", "--json").json["receipts"] == 1


@pytest.mark.parametrize(
    "command", ["apply FILE --yes", "show FILE", "diff FILE FILE", "why main/link --plan FILE", "verify FILE"]
)
def test_g084_a_plan_that_was_altered_is_read_by_nobody(project: Project, command: str) -> None:
    project.call("plan", "--target", "staging", "-q", "-o", "../plan.json")
    plan = project.root.parent / "plan.json"
    plan.write_bytes(plan.read_bytes().replace(b"home/.bashrc", b"home/.bashrd"))
    done = project.call(*command.replace("FILE", "../plan.json").split(), "--json", code=5)
    assert "plan-digest" in done.out and not (project.root / "home").exists()


@pytest.mark.parametrize("command", ["state", "drift", "verify", "plan --reconcile", "run --reconcile --yes"])
def test_g084_a_receipt_that_was_altered_counts_nowhere(project: Project, command: str) -> None:
    project.call("run", "--target", "staging", "--yes", "-q")
    (project.root / "home/.bashrc").unlink()
    [receipt] = receipts(project)
    receipt.write_bytes(receipt.read_bytes().replace(b"home/.bashrc", b"home/.bashrd"))
    done = project.call(*command.split(), "--target", "staging", "--json", code=5)
    assert "receipt-digest" in done.out and not (project.root / "home/.bashrc").is_symlink()


def test_g104_an_altered_receipt_is_a_finding_and_the_others_are_still_shown(project: Project) -> None:
    project.call("run", "--target", "staging", "--yes")
    project.call("run", "--target", "prod", "--yes")
    altered = next(path for path in receipts(project) if "prod" in path.name)
    altered.write_bytes(altered.read_bytes().replace(b'"main/step"', b'"main/stop"'))
    done = project.call("state", "--json", code=5)
    assert {entry["target"] for entry in done.json["entries"]} == {"staging"}
    [finding, lost] = done.json["findings"]
    assert (lost["reason"], lost["place"]) == ("receipt-chain", "dots, prod")
    assert finding["reason"] == "receipt-digest" and altered.name in finding["place"]
    assert "not counted: " in done.err and altered.name in done.err
    assert standings(project, "--target", "staging") == {"home/.bashrc": "exists", "main/step": "exists"}


def test_g104_a_receipt_of_another_form_is_a_finding(project: Project) -> None:
    project.call("run", "--target", "staging", "--yes")
    [path] = receipts(project)
    data = {**json.loads(path.read_bytes()), "more": 1}
    path.write_bytes(canonical_bytes({**data, "digest": digest(data)}))
    finding = project.call("state", "--json", code=5).json["findings"][0]
    assert finding["reason"] == "document-invalid"


def test_g104_a_missing_link_of_the_chain_is_a_finding(project: Project) -> None:
    for _ in range(3):
        project.call("run", "--target", "staging", "--yes")
    removed = receipts(project)[1]
    name = json.loads(removed.read_bytes())["digest"]
    removed.unlink()
    done = project.call("state", "--json", code=5)
    [finding] = done.json["findings"]
    assert finding["reason"] == "receipt-chain" and name in finding["text"]
    assert len(done.json["entries"]) == 2


def test_g104_a_missing_last_receipt_is_a_finding(project: Project) -> None:
    for _ in range(2):
        project.call("run", "--target", "staging", "--yes")
    assert standings(project) == {"home/.bashrc": "exists", "main/step": "exists"}
    receipts(project)[-1].unlink()
    [finding] = project.call("state", "--json", code=5).json["findings"]
    assert finding["reason"] == "receipt-chain" and "the last receipt is missing" in finding["text"]


def test_receipts_in_the_store_of_the_state_count_on_a_machine_that_ran_nothing(tmp_path: Path) -> None:
    made = make_project(tmp_path)
    made.write(
        {"shipway.yml": LIFECYCLE.replace("STATE", "state: git"), "src": "a\n", ".gitignore": ".shipway\nhome\n"}
    )
    made.commit()
    remote, _ = make_remote(tmp_path, clones=0)
    made.git("remote", "add", "origin", str(remote))
    made.call("run", "--target", "staging", "--yes")
    made.call("rollback", "--yes")
    made.call("run", "--target", "staging", "--yes")
    here = made.call("state", "--json", "--history").json
    made.git("push", "-q", "origin", "trunk")
    made.git("clone", "-q", "-b", "trunk", str(remote), str(tmp_path / "other"))
    other = Project(tmp_path / "other", made.env)
    assert other.call("state", "--json", "--history").json == here
    run = here["entries"][0]["by"]["run"]
    assert other.call("show", run, "--json").json["run"] == run
    assert here["receipts"] == 3 and {entry["standing"] for entry in here["entries"]} == {"exists"}


def test_targets_say_which_commit_is_where_and_what_may_go_on(project: Project) -> None:
    project.call("run", "--target", "staging", "--yes")
    first = project.git("rev-parse", "HEAD").strip()
    found = project.call("state", "--targets", "--json").json["targets"]
    assert (found["staging"]["succeeded"]["commit"], found["prod"]["succeeded"]) == (first, None)
    assert (found["prod"]["after"], found["prod"]["waits_for"]) == (["staging"], [])
    assert "takes this tree" in project.call("state", "--targets", "--target", "prod").out
    project.call("run", "--target", "prod", "--yes")
    project.write({"src": "b\n"})
    project.commit()
    found = project.call("state", "--targets", "--json").json["targets"]
    assert found["prod"]["waits_for"] == ["staging"] and found["prod"]["succeeded"]["commit"] == first
    project.call("run", "--target", "staging", "--yes")
    project.call("rollback", "--target", "staging", "--yes")
    found = project.call("state", "--targets", "--json").json["targets"]
    assert found["staging"]["succeeded"]["commit"] == first
    assert found["staging"]["last"]["outcome"] == "rolled_back"
    lines = project.call("state", "--targets").out.splitlines()
    assert lines[1].split()[0] == "staging" and "rolled_back" in lines[1] and "waits for staging" in lines[2]


def test_without_a_declaration_it_is_about_all_that_was_run_here(project: Project) -> None:
    project.call("run", "--target", "staging", "--yes")
    (project.root / "shipway.yml").unlink()
    assert standings(project) == {"home/.bashrc": "exists", "main/step": "exists"}
    assert "needs a declaration" in project.call("state", "--targets", code=2).err


def test_g101_files_are_a_tree_under_their_root(project: Project) -> None:
    record = HistoryRecord(0, "", "", "", "", "file.link", Outcome.SUCCEEDED, Standing.EXISTS)
    [[key, top]] = trees(
        [
            Entry(
                Identity("dots", "laptop", "file", "/home/user/.config/nvim/init.lua"),
                Standing.EXISTS,
                replace(record, facts={"root": "/home/user"}),
            ),
            Entry(Identity("dots", "laptop", "package", "apt:jq"), Standing.EXISTS, record),
        ]
    ).items()
    assert key == ("dots", "laptop", "/home/user")
    walked = [(depth, branch.name, branch.entry is not None) for depth, branch in top.walk()]
    assert walked == [(0, "user", False), (1, ".config", False), (2, "nvim", False), (3, "init.lua", True)]
    project.call("run", "--target", "staging", "--yes")
    assert project.call("state", "--tree").out == "dots on staging: .\n./\n  home/\n    .bashrc  file.link\n"


def test_a_tree_begins_where_paths_part(project: Project) -> None:
    def tops(*names: str) -> dict[str, list[str]]:
        entries = [Entry(Identity("dots", "laptop", "file", name), Standing.EXISTS) for name in names]
        return {key[2]: sorted(top.branches) for key, top in trees(entries).items()}

    assert tops("/home/ada/.config/a", "/home/ada/.vimrc", "x") == {".": ["x"], "/home/ada": [".config", ".vimrc"]}
    assert tops("/home/ada/.config/tool/a") == {"/home/ada/.config/tool": ["a"]}
    assert tops("/etc/hosts", "/home/a") == {"/": ["etc", "home"]}
    assert tops("/etc/x", "/etc/x/y") == {"/etc": ["x"]}


def test_no_line_of_history_drift_or_verification_is_wider_than_the_terminal() -> None:
    record = HistoryRecord(0, "", "2" * 22, "", "release/" + "n" * 40, "file.link", Outcome.SUCCEEDED, Standing.EXISTS)
    entry = Entry(Identity("shop", "prod", "file", "some/" + "a" * 40), Standing.EXISTS, record, (record,))
    why = "`verify` says something that nobody has ever heard of before: " + "it is long " * 4
    found = [Found(entry, Drift.DRIFTED, why)]
    chain = ChainReport("shop", "prod", 1, 1, ("sha256:" + "0" * 64,))
    checked = Checked(
        "shop-" + "x" * 60 + ".json", Shown.VALID, digest="sha256:" + "0" * 64, lifecycle="shop", target="prod"
    )
    pages = (
        render_entries([entry], with_history=True, colour=False, columns=80),
        render_drift(found, every=False, colour=False, columns=80),
        render_verified([checked], [chain], verbose=True, colour=False, columns=80),
    )
    for page in pages:
        assert [line for line in page.splitlines() if len(line) > 80] == [] and "…" not in page
    assert " ".join(pages[1].split()).count(" ".join(why.split())) == 1
    assert "2" * 22 in pages[0] and pages[2].count("0" * 64) == 2


def test_a_narrow_terminal_leaves_out_columns_and_cuts_none() -> None:
    entry = Entry(Identity("shop", "prod", "file", "a" * 30), Standing.EXISTS)
    wide = render_entries([entry], with_history=False, colour=False, columns=200).splitlines()[0]
    narrow = render_entries([entry], with_history=False, colour=False, columns=70).splitlines()
    assert wide.split()[-1] == "COMMIT" and narrow[0].split()[:4] == ["KIND", "NAME", "TARGET", "STANDING"]
    assert all(len(line) <= 70 and "…" not in line for line in narrow)
