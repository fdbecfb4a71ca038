"""Files taken in, put there, taken back: each a plan with a receipt and an undo, by what the state knows."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from shipway.canonical import canonical_bytes, digest
from tests.command_line import Project, make_project
from tests.contracts.action import tree
from tests.test_files_mode import STAGE, lay

PAGE = (Path(__file__).resolve().parent.parent / "docs/files.md").read_text(encoding="utf-8")
INPUTS = "inputs: {action: {default: deploy}, take: {type: list, default: []}}\n"
WITH = '      action: "${{ inputs.action }}"\n      adopt: "${{ inputs.take }}"\n      into: personal/own\n'


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project whose stage does what the input `action` says, with three files in its trees."""
    made = make_project(tmp_path)
    lay(made.root, {".gitignore": "/home\n", "config/base/all/a/b/f": "f", "config/base/all/a/g": "g"})
    lay(made.root, {"config/base/zsh/.zshrc.j2": "{{ 1 }}"})
    made.write({"shipway.yml": "version: 1\nname: test\n" + INPUTS + STAGE + WITH})
    made.commit()
    return made


def files(project: Project) -> dict[str, tuple[str, ...]]:
    return tree(project.root / "home")


def changes(project: Project, action: str, *more: str) -> dict[str, str]:
    nodes = project.call("plan", "--json", "--input", f"action={action}", *more).json["nodes"]
    return {node["id"].removeprefix("dots/home+"): node["change"] for node in nodes}


def test_case_g113_decommission_takes_back_what_was_put_there_and_the_folders_that_leaves_empty(
    project: Project,
) -> None:
    lay(project.root, {"home/a/own": "mine"})
    before = files(project)
    project.call("run", "--yes", "-q")
    deployed = files(project)
    assert changes(project, "decommission") == {".zshrc": "delete", "a+b+f": "delete", "a+g": "delete"}
    project.call("run", "--yes", "-q", "--input", "action=decommission")
    assert files(project) == before, "`a/b` is gone, and `a` holds a file of somebody else"
    project.call("rollback", "--yes", "-q")
    assert files(project) == deployed
    project.call("run", "--yes", "-q", "--input", "action=decommission")
    assert files(project) == before


def test_case_g103_a_second_decommission_plans_nothing(project: Project) -> None:
    project.call("run", "--yes", "-q")
    project.call("run", "--yes", "-q", "--input", "action=decommission")
    assert changes(project, "decommission") == {}
    assert files(project) == {}


def test_a_folder_with_a_mode_of_its_own_is_taken_back_in_the_state_too(project: Project) -> None:
    text = (project.root / "shipway.yml").read_text()
    project.write({"shipway.yml": text + '      modes: {"a/": "0700"}\n'})
    project.commit()
    project.call("run", "--yes", "-q")
    assert "home/a" in {entry["name"] for entry in project.call("state", "--json").json["entries"]}
    project.call("run", "--yes", "-q", "--input", "action=decommission")
    assert files(project) == {}
    assert project.call("state", "--json").json["entries"] == []
    assert project.call("drift").code == 0
    project.call("rollback", "--yes", "-q")
    assert "home/a" in {entry["name"] for entry in project.call("state", "--json").json["entries"]}


def test_the_plan_says_what_git_does_not_know_before_what_is_left_out_on_purpose(project: Project) -> None:
    lay(project.root, {f"config/base/x{n}.Plan9/f": "x" for n in range(12)})
    project.commit()
    lay(project.root, {"config/base/zsh/.zprofile": "forgotten"})
    shown = project.call("plan").out
    _, _, listed = shown.partition("Put nowhere:\n")
    assert listed.startswith("  config/base/zsh/.zprofile: git does not know it: add it\n")
    assert "config/base/x0.Plan9: `Plan9` is not true here" in listed


@pytest.mark.parametrize("block", re.findall(r"^```yaml\n(version: 1\n.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
def test_the_declarations_of_the_page_are_valid(project: Project, block: str) -> None:
    project.write({"shipway.yml": block})
    assert "is valid" in project.call("validate").out


def test_a_bare_tilde_is_told_from_the_home_folder(project: Project) -> None:
    project.write({"shipway.yml": "version: 1\nname: test\n" + STAGE.replace("{home: home}", "{home: ~}")})
    assert "for the home folder quote it" in project.call("validate", code=2).err


def test_case_g113_what_was_changed_since_is_left_alone(project: Project) -> None:
    project.call("run", "--yes", "-q")
    (project.root / "home/.zshrc").write_text("mine by now")
    assert changes(project, "decommission") == {".zshrc": "noop", "a+b+f": "delete", "a+g": "delete"}
    shown = project.call("plan", "--input", "action=decommission").out
    assert "home/.zshrc: a file of 11 bytes (modified); it is left alone" in shown
    project.call("run", "--yes", "-q", "--input", "action=decommission")
    assert project.text("home/.zshrc") == "mine by now"
    assert sorted(files(project)) == [".zshrc"]


def test_a_run_keeps_what_it_worked_out_of_receipts_and_a_plan_leaves_nothing(project: Project) -> None:
    project.call("run", "--yes", "-q")
    project.call("run", "--yes", "-q", "--input", "action=decommission")
    cache = project.root / ".shipway/cache"
    for path in cache.iterdir():
        path.unlink()
    assert changes(project, "decommission") == {}
    assert not list(cache.iterdir())
    project.call("run", "--yes", "-q", "--input", "action=decommission")
    [kept] = cache.iterdir()
    assert changes(project, "decommission") == {}
    kept.write_bytes(kept.read_bytes()[:-1])
    assert changes(project, "decommission") == {}


def test_no_record_makes_a_folder_with_all_that_is_in_it_ours(project: Project) -> None:
    project.call("run", "--yes", "-q")
    lay(project.root, {"home/theirs/thesis": "mine"})
    (project.root / "home/theirs").chmod(0o755)
    [path] = (project.root / ".shipway/receipts").iterdir()
    data = json.loads(path.read_bytes())
    records = next(node["records"] for node in data["nodes"] if node.get("records"))
    records.append({**records[0], "name": "home/theirs", "fingerprint": "directory 0755"})
    data = {key: value for key, value in data.items() if key not in ("digest", "signatures")}
    path.write_bytes(canonical_bytes({**data, "digest": digest(data), "signatures": []}))
    for note in (project.root / ".shipway/heads").glob("*.json"):
        note.unlink()
    assert changes(project, "decommission")["theirs"] == "noop"
    project.call("run", "--yes", "-q", "--input", "action=decommission")
    assert (project.root / "home/theirs/thesis").read_text() == "mine"


def test_decommission_takes_back_only_what_the_state_knows(project: Project) -> None:
    lay(project.root, {"home/.profile": "mine"})
    (project.root / "home/link").symlink_to("../config/base/all/a/g")
    assert changes(project, "decommission") == {}


def test_case_g114_reconcile_removes_orphans_and_brings_back_what_is_missing(project: Project) -> None:
    project.call("run", "--yes", "-q")
    project.git("rm", "-q", "config/base/all/a/b/f")
    project.commit()
    (project.root / "home/a/g").unlink()
    assert changes(project, "deploy") == {".zshrc=render": "read", ".zshrc": "noop", "a+g": "create"}
    plan = project.call("plan", "--json", "--input", "action=reconcile").json
    found = {each["path"]: each["status"] for each in plan["preflight"]}
    assert found == {"home/.zshrc": "copied", "home/a/g": "missing", "home/a/b/f": "orphan"}
    assert plan["stages"][0]["context"]["retired"] == ["home/a/b/f"]
    project.call("run", "--yes", "-q", "--input", "action=reconcile")
    assert sorted(files(project)) == [".zshrc", "a", "a/g"]


def test_a_run_that_took_back_a_file_and_failed_behind_it_is_gone_on_with(project: Project) -> None:
    behind = "  behind: {needs: [dots], steps: [{id: ask, run: test -e ../ready, lasting: false, reads: []}]}\n"
    text = (
        (project.root / "shipway.yml").read_text().replace("name: test\n", "name: test\ndefaults: {rollback: none}\n")
    )
    project.write({"shipway.yml": text + behind})
    (project.root / "../ready").touch()
    project.git("add", "-A")
    project.commit()
    project.call("run", "--yes", "-q")
    project.git("rm", "-q", "config/base/all/a/b/f")
    project.commit()
    (project.root / "../ready").unlink()
    failed = project.call("run", "--yes", "--json", "--input", "action=reconcile", code=1)
    assert "a/b" not in files(project)
    (project.root / "../ready").touch()
    done = project.call("resume", "--json")
    assert done.json["run"] == failed.json["run"]
    # What it did is before a new run, of which it is no part any more.
    assert changes(project, "reconcile") == {
        ".zshrc=render": "read",
        ".zshrc": "noop",
        "a+g": "noop",
        "behind/ask": "run",
    }


def test_case_g114_a_stale_copy_is_updated_without_a_word_about_conflicts(project: Project) -> None:
    project.call("run", "--yes", "-q")
    project.write({"config/base/zsh/.zshrc.j2": "{{ 2 }}"})
    project.commit()
    found = {each["path"]: each["status"] for each in project.call("plan", "--json").json["preflight"]}
    assert found["home/.zshrc"] == "stale"
    project.call("run", "--yes", "-q")
    assert project.text("home/.zshrc") == "2"


def test_case_g113_adopt_moves_a_file_into_its_layer_and_links_back(project: Project) -> None:
    lay(project.root, {"home/.config/tool/one": "1", "home/.config/tool/two": "2", "home/.vimrc": "set"})
    (project.root / "home/.vimrc").chmod(0o600)
    before, sources = files(project), tree(project.root / "config")
    take = ["--input", "action=adopt", "--input", 'take=[".vimrc", "~/x", "home:.config"]']
    wrong = project.call("plan", *take, code=2)
    assert "`~/x` is below no root" in wrong.err
    take[-1] = 'take=[".vimrc", "home:.config"]'
    assert changes(project, "adopt", *take[2:]) == {
        ".vimrc=adopt": "create",
        ".vimrc": "replace",
        ".config+tool+one=adopt": "create",
        ".config+tool+one": "replace",
        ".config+tool+two=adopt": "create",
        ".config+tool+two": "replace",
    }
    assert "targets    3 to-adopt\n" in project.call("plan", *take).out
    project.call("run", "--yes", "-q", *take)
    assert (project.root / "home/.vimrc").readlink() == Path("../config/personal/own/.vimrc")
    assert project.text("config/personal/own/.vimrc") == "set"
    assert project.text("home/.config/tool/two") == "2"
    project.call("rollback", "--yes", "-q")
    assert files(project) == before
    assert tree(project.root / "config") == sources


def test_backups_of_what_is_not_in_the_way_are_one_line_in_terminal_and_comment(project: Project) -> None:
    project.write({"shipway.yml": project.text("shipway.yml") + "      on_conflict: backup\n"})
    project.commit()
    lay(project.root, {"home/.zshrc": "mine"})
    text, comment = project.call("plan").out, project.call("plan", "--format", "markdown").out
    assert re.findall(".*=backup .*", text)[:2] == [
        "  ~ update  home+.zshrc=backup  file.backup home/.zshrc         predicted  undo",
        "  = noop    …=backup × 2  nothing is in the way                 exact",
    ]
    assert comment.count("=backup` |") == 1 and "| `…=backup × 2` | dots | noop | exact | – |" in comment
    assert "home+a+g=backup</code>" not in comment
    shown = project.call("run", "--yes").out
    assert "  = …=backup × 2" in shown and "unchanged" in shown
    assert "  ✓ home+.zshrc=backup" in shown


def test_what_was_adopted_is_deployed_once_it_is_committed(project: Project) -> None:
    lay(project.root, {"home/.vimrc": "set"})
    project.call("run", "--yes", "-q", "--input", "action=adopt", "--input", 'take=[".vimrc"]')
    assert ".vimrc" not in changes(project, "deploy")
    assert ".vimrc" not in changes(project, "reconcile"), "what git does not know yet is no orphan"
    project.commit()
    assert changes(project, "deploy")[".vimrc"] == "noop"
    project.call("run", "--yes", "-q", "--input", "action=decommission")
    assert project.text("config/personal/own/.vimrc") == "set", "the source is no target"


@pytest.mark.parametrize(
    ("take", "text"),
    [
        ("absent", "`home/absent` is not there, or no file that can be read"),
        ("link", "`home/link` is a link already"),
        ("../out", "`path` `home/../out` leads out of `home`"),
        ("t.j2", "`t.j2` would be rendered or decrypted by its name"),
        ("taken", "`config/personal/own/taken` is there already"),
    ],
)
def test_what_cannot_be_adopted_is_said_with_its_place(project: Project, take: str, text: str) -> None:
    lay(project.root, {"home/t.j2": "", "home/taken": "1", "config/personal/own/taken": "2", "out": ""})
    (project.root / "home/link").symlink_to("taken")
    refused = project.call("plan", "--input", "action=adopt", "--input", f'take=["{take}"]', code=2)
    assert text in refused.err


def test_a_file_that_no_receipt_could_tell_of_is_not_adopted(project: Project) -> None:
    lay(project.root, {f"home/odd/{name}": "x" for name in ("esc\x1b[31m", os.fsdecode(b"no\xff"), "${{ target }}")})
    before = tree(project.root / "home")
    refused = project.call("run", "--yes", "--input", "action=adopt", "--input", 'take=["odd"]', code=2)
    assert "the name of `'odd/esc\\x1b[31m'` holds control characters" in refused.err
    assert "the name of `'odd/no\\udcff'` is no UTF-8" in refused.err and "target" not in refused.err
    assert tree(project.root / "home") == before and not (project.root / "config/personal/own/odd").exists()
    (project.root / "home/odd/esc\x1b[31m").unlink()
    (project.root / os.fsdecode(b"home/odd/no\xff")).unlink()
    project.call("run", "--yes", "-q", "--input", "action=adopt", "--input", 'take=["odd"]')
    assert os.listdir(project.root / "config/personal/own/odd") == ["${{ target }}"]
    assert project.call("drift").code == 0


def test_the_example_of_the_page_does_what_the_page_says(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "docs/files.md").read_text(encoding="utf-8")
    declarations = [block.partition("```")[0] for block in page.split("```yaml\n")[1:]]
    project, own_home = make_project(tmp_path), tmp_path / "home"
    project.write(
        {
            "config/base/zsh/.zshrc": "z",
            "config/base/git.Linux/.gitconfig": "for Linux",
            "config/team/git/.gitconfig.j2": "name = {{ name }}",
            "config/personal/ssh/.ssh/config": "s",
            "shipway.yml": declarations[0],
        }
    )
    project.commit()
    (own_home / ".zshrc").write_text("mine")
    project.call("run", "--yes", "-q")
    assert (own_home / ".gitconfig").read_text() == "name = Ada"
    assert (own_home / ".zshrc").is_symlink() and (own_home / ".zshrc").read_text() == "z"
    assert (own_home / ".ssh/config").read_text() == "s"
    assert [path.read_text() for path in own_home.glob(".zshrc.backup.*")] == ["mine"]
    project.write({"shipway.yml": declarations[1]})
    project.commit()
    (own_home / ".vimrc").write_text("v")
    project.call("run", "--yes", "-q", "--input", "action=adopt", "--input", 'take=[".vimrc"]')
    assert (project.root / "config/personal/own/.vimrc").read_text() == "v"
    project.call("run", "--yes", "-q", "--input", "action=decommission")
    assert sorted(path.name for path in own_home.iterdir() if path.name.startswith((".zshrc", ".git", ".vim"))) == [
        next(own_home.glob(".zshrc.backup.*")).name
    ]


def test_an_input_that_is_no_list_is_shown_how_one_is_written(project: Project) -> None:
    refused = project.call("plan", "--input", "action=adopt", "--input", "take=.vimrc", code=2).err
    assert """A list is given as JSON: `--input 'take=["one", "two"]'`""" in refused


def test_a_mode_that_somebody_changed_does_not_look_like_a_content_that_goes(project: Project) -> None:
    project.write({"shipway.yml": (project.root / "shipway.yml").read_text() + '      modes: {a/g: "0600"}\n'})
    project.commit()
    project.call("run", "--yes", "-q")
    (project.root / "home/a/g").chmod(0o644)
    [node] = [each for each in project.call("plan", "--json").json["nodes"] if each["id"] == "dots/home+a+g"]
    assert (node["before"]["mode"], node["after"]["mode"]) == ("0644", "0600")
    assert "content" not in node["before"]


def test_what_is_brought_back_makes_room_first_where_it_was_replaced_by_hand(project: Project) -> None:
    project.write({"shipway.yml": "version: 1\nname: test\n" + INPUTS + STAGE + WITH + "      on_conflict: backup\n"})
    project.commit()
    project.call("run", "--yes", "-q")
    deployed = files(project)
    (project.root / "home/a/g").unlink()
    lay(project.root, {"home/a/g": "mine"})
    project.call("run", "--reconcile", "--yes", "-q")
    [backup] = set(files(project)) - set(deployed)
    assert backup.startswith("a/g.backup.") and (project.root / "home" / backup).read_text() == "mine"
    assert {path: entry for path, entry in files(project).items() if path != backup} == deployed


@pytest.mark.parametrize("what", ["removed", "changed"])
def test_a_backup_that_somebody_did_away_with_is_no_drift_for_ever(project: Project, what: str) -> None:
    project.write({"shipway.yml": project.text("shipway.yml") + "      on_conflict: backup\n"})
    project.commit()
    lay(project.root, {"home/.zshrc": "mine"})
    project.call("run", "--yes", "-q")
    (backup,) = (project.root / "home").glob(".zshrc.backup.*")
    assert project.call("drift").code == 0
    backup.unlink() if what == "removed" else backup.write_text("mine, and more")
    looked = project.call("drift", "--verbose")
    assert (looked.code, f"a backup, which was {what} since" in looked.out) == (0, True)
    idle = project.call("run", "--reconcile", "--yes", "--json").json
    assert (idle["run"], idle["counts"]["missing"], idle["counts"]["drifted"]) == (None, 0, 0)
    (project.root / "home/.zshrc").unlink()
    assert "missing" in project.call("drift", code=3).out
