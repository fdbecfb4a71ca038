"""`shipway preview` as a person uses it: a real repository, services that answer, a database that hooks make."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import Project
from tests.preview_shop import SECRET, Shop, changes_of

SERVICES = ("runner/service/api", "runner/service/web")
pytestmark = pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="processes are looked up in /proc")


def test_up_makes_what_answers_and_down_leaves_nothing(shop: Shop) -> None:
    said = shop.call("up").out
    assert re.search(r"^web: http://127\.0\.0\.1:\d+$", said, re.MULTILINE)
    assert shop.page("feat-login", "web") == "web of rows of feat-login 1\n"
    assert len(shop.worktrees()) == 1

    shop.call("down")
    assert (shop.processes(), shop.worktrees(), [*shop.data.glob("*.db")]) == ([], [], [])
    found = shop.environments()["feat-login"]
    assert (found["state"], found["urls"]) == ("gone", {})
    assert shop.log == ["seed feat-login", "destroy feat-login"]


def test_p32_a_second_up_changes_nothing(shop: Shop) -> None:
    shop.call("up")
    before = shop.processes()
    again = changes_of(shop.call("up", "--json"))
    assert set(again.values()) == {"unchanged"}
    assert shop.processes() == before
    urls = shop.environments()["feat-login"]["urls"]
    assert shop.call("up", "-q").out.endswith("".join(f"{name}: {url}\n" for name, url in sorted(urls.items())))  # type: ignore[attr-defined]
    assert shop.log == ["seed feat-login"]


def test_p33_without_cache_every_node_runs_in_the_checkout_that_is_there(shop: Shop) -> None:
    shop.call("up")
    trees = shop.worktrees()
    again = changes_of(shop.call("up", "--no-cache", "--json"))
    assert {node for node, outcome in again.items() if outcome == "unchanged"} <= {"provisioner/compute"}
    assert shop.worktrees() == trees
    assert shop.log == ["seed feat-login", "seed feat-login"]


def test_p34_from_a_node_runs_it_and_what_is_behind_it(shop: Shop) -> None:
    shop.call("up")
    done = shop.call("up", "--from", "runner/service/api", "--json")
    assert {node for node, outcome in changes_of(done).items() if outcome == "succeeded"} == set(SERVICES)
    assert shop.log == ["seed feat-login"]
    assert set(changes_of(shop.call("up", "--json")).values()) == {"unchanged"}


def test_p34_an_env_file_is_named_by_its_path(shop: Shop) -> None:
    """As `status` shows it, and as its id has it."""
    shop.call("up")
    assert "runner/env[web/.env.local]" in shop.call("status").out
    for name in ("runner/env[web/.env.local]", "runner/env[web%2F.env.local]"):
        assert changes_of(shop.call("up", "--from", name, "--json"))["runner/env[web%2F.env.local]"] == "succeeded"


def test_p35_from_a_node_that_is_none_lists_them(shop: Shop) -> None:
    said = shop.call("up", "--from", "nosuch", code=2).err
    assert "`nosuch`" in said and "`provisioner/compute`, `provisioner/ports`" in said
    assert shop.processes() == []


def test_p37_only_what_reads_a_changed_file_runs_again(shop: Shop) -> None:
    shop.call("up")
    shop.project.write({"web/server.py": (shop.project.root / "web/server.py").read_text() + "# changed\n"})
    shop.project.commit()
    found = changes_of(shop.call("up", "--json"))
    assert found["provisioner/service/data"] == "unchanged"
    assert found["runner/service/web"] == "succeeded"
    assert shop.log == ["seed feat-login"]
    shop.project.commit()  # another commit, and the same tree
    assert set(changes_of(shop.call("up", "--json")).values()) == {"unchanged"}


def test_p36_a_changed_value_rewrites_its_env_file_and_restarts_what_reads_it(shop: Shop) -> None:
    shop.call("up")
    text = shop.project.text("shipway.yml")
    (shop.project.root / "shipway.yml").write_text(text.replace("API: ", "MORE: changed, API: "))
    shop.project.commit()
    found = changes_of(shop.call("up", "--json"))
    ran = {node for node, outcome in found.items() if outcome == "succeeded"}
    assert {"runner/service/web", "runner/env[web%2F.env.local]"} <= ran
    assert "provisioner/service/data" not in ran and "runner/env[api%2F.env.local]" not in ran


def test_stop_ends_services_and_up_starts_them_on_the_same_ports(shop: Shop) -> None:
    shop.call("up")
    before = shop.environments()["feat-login"]["urls"]
    shop.call("stop")
    assert shop.processes() == []
    assert shop.environments()["feat-login"]["state"] == "stopped"
    assert "nothing to do" in shop.call("stop").out
    shop.call("up")
    assert shop.environments()["feat-login"]["urls"] == before
    assert shop.log == ["seed feat-login"]


def test_p55_reset_renews_the_database_and_what_depends_on_it(shop: Shop) -> None:
    shop.call("up")
    shop.call("reset", "data")
    assert shop.log == ["seed feat-login", "reset feat-login"]
    assert shop.page("feat-login", "api") == "rows of feat-login 2\n"
    assert set(changes_of(shop.call("up", "--json")).values()) == {"unchanged"}
    assert "no service `nosuch`" in shop.call("reset", "nosuch", code=2).err
    assert "there is no environment `other`" in shop.call("reset", "data", "--target", "other", code=2).err


def test_p56_init_needs_no_environment(shop: Shop) -> None:
    shop.call("init", "data")
    assert shop.log == ["init"]
    assert shop.environments() == {}


def test_p88_down_of_nothing_and_down_again_have_nothing_to_do(shop: Shop) -> None:
    assert "nothing to do" in shop.call("down").out
    shop.call("up")
    shop.call("down")
    assert "nothing to do" in shop.call("down").out
    assert shop.environments()["feat-login"]["history"]


def test_p89_what_cannot_be_removed_is_kept_and_removed_by_the_next_down(shop: Shop) -> None:
    shop.call("up")
    drop = shop.project.root / "scripts/drop.sh"
    text = drop.read_text()
    drop.write_text(f"{text}exit 1\n")
    shop.call("down", code=4)
    found = shop.environments()["feat-login"]
    assert found["state"] == "failed" and "provisioner/service/data" in str(found["stuck"])
    assert (shop.processes(), shop.worktrees()) == ([], [])
    drop.write_text(text)
    again = changes_of(shop.call("down", "--json"))
    assert {node for node, outcome in again.items() if outcome == "succeeded"} == {"provisioner/service/data"}
    assert shop.environments()["feat-login"]["state"] == "gone"


def test_p90_down_goes_by_what_was_declared_then(shop: Shop) -> None:
    shop.call("up")
    (shop.project.root / "shipway.yml").write_text(
        "version: 1\nname: shop\nstages: {broken: {mode: nosuch, wrong: 1}}\n"
    )
    shop.call("down", "--target", "feat-login")
    assert (shop.processes(), shop.worktrees(), [*shop.data.glob("*.db")]) == ([], [], [])


def test_p44_a_first_up_that_fails_is_taken_back_whole(shop: Shop) -> None:
    shop.project.write({"web/server.py": "raise SystemExit(3)\n"})
    shop.project.commit()
    shop.call("up", code=1)
    assert (shop.processes(), shop.worktrees(), [*shop.data.glob("*.db")]) == ([], [], [])
    found = shop.environments()["feat-login"]
    assert found["state"] == "failed" and "runner/service/web" in str(found["cause"])


def test_p28_p87_a_checkout_is_attached_used_and_left_alone(shop: Shop) -> None:
    shop.project.git("worktree", "add", "-q", "-b", "other", "../other")
    other = Project(shop.project.root.parent / "other", shop.project.env)
    other.write({"README": "a commit of its own"})
    other.commit()
    shop.call("attach", "../other")
    found = shop.environments()["other"]
    assert (found["branch"], found["commit"]) == ("other", other.git("rev-parse", "HEAD").strip())
    assert shop.page("other", "web") == "web of rows of other 1\n"
    assert "lives in" in shop.call("attach", ".", "--target", "other", code=2).err
    assert set(changes_of(shop.call("attach", "../other", "--json")).values()) == {"unchanged"}
    assert set(changes_of(shop.call("up", "--target", "other", "--json")).values()) == {"unchanged"}
    shop.call("down", "--target", "other")
    assert other.git("status", "--short", "--ignored") == ""


def test_p51_a_secret_stands_in_the_env_file_and_the_closed_record_only(shop: Shop) -> None:
    said = shop.call("up", "--verbose")
    assert SECRET not in said.out + said.err
    found = {
        path.relative_to(shop.project.root).as_posix(): oct(path.stat().st_mode & 0o777)
        for path in (shop.project.root / ".shipway").rglob("*")
        if path.is_file() and f"{SECRET}feat".encode() in path.read_bytes()
    }
    assert found == {
        ".shipway/previews/shop/feat-login/tree/api/.env.local": "0o600",
        ".shipway/records/previews@shop@feat-login.json": "0o600",
    }


def test_p81_the_checkout_one_stands_in_names_the_environment(shop: Shop) -> None:
    shop.call("up", "--target", "pr-7")
    found = shop.project.call("preview", "stop", "--yes", "--json", cwd=".shipway/previews/shop/pr-7/tree/api").json
    assert found["target"] == "pr-7"
    tree = ".shipway/previews/shop/pr-7/tree"
    assert "there is no environment `pr-70`" in shop.call("reset", "data", "--target", "pr-70", code=2).err
    (shop.project.root / ".shipway/previews/shop/pr-70/tree").mkdir(parents=True)
    other = shop.project.call("preview", "reset", "data", "--yes", cwd=".shipway/previews/shop/pr-70/tree", code=2).err
    assert "there is no environment `pr-70`" in other, "one name is no beginning of another"
    shop.project.git("checkout", "-q", "--detach")
    assert "Name the environment" in shop.call("status", code=2).err
    told = shop.project.call("preview", "status", "--json", cwd=tree).json
    assert told["target"] == "pr-7"


def test_p99_no_more_environments_than_the_quota(shop: Shop) -> None:
    text = shop.project.text("shipway.yml")
    (shop.project.root / "shipway.yml").write_text(text.replace("quota: 3", "quota: 1"))
    shop.project.commit()
    shop.call("up", "--target", "pr-1")
    said = shop.call("up", "--target", "pr-2", code=6).err
    assert "its quota is 1" in said and "`pr-1`" in said
    assert [*shop.environments()] == ["pr-1"]
    assert set(changes_of(shop.call("up", "--target", "pr-1", "--json")).values()) == {"unchanged"}


def test_two_branches_with_one_name_are_not_taken_for_each_other(shop: Shop) -> None:
    shop.call("up")
    shop.project.git("checkout", "-q", "-b", "feat_login")
    assert "of the branch `feat/login`, not of `feat_login`" in shop.call("up", code=2).err


def test_exec_runs_a_command_in_the_checkout_with_what_hooks_know(shop: Shop) -> None:
    shop.call("up")
    told = shop.call("exec", "--", "sh", "-c", 'pwd; echo "$SHIPWAY_TARGET $SHIPWAY_PORT_API"')
    port = str(shop.environments()["feat-login"]["urls"]).split("'api': 'http://127.0.0.1:")[1].split("'")[0]
    assert told.out == f"{shop.worktrees()[0]}\nfeat-login {port}\n"
    shop.call("exec", "--", "sh", "-c", "exit 7", code=7)
    assert "`nosuch-program` cannot be run" in shop.call("exec", "--", "nosuch-program", code=2).err


def test_logs_show_what_a_service_printed(shop: Shop) -> None:
    shop.project.write(
        {"api/server.py": 'print("one\\ntwo\\nthree", flush=True)\n' + shop.project.text("api/server.py")}
    )
    shop.project.commit()
    shop.call("up")
    assert shop.call("logs", "api").out == "one\ntwo\nthree\n"
    assert shop.call("logs", "api", "--lines", "1").out == "three\n"
    assert shop.call("logs", "--lines", "1").out.startswith("api | three\n")
    assert "runs no service `ap`" in shop.call("logs", "ap", code=2).err


def test_exec_and_logs_need_an_environment(shop: Shop) -> None:
    for part in (("exec",), ("logs", "api")):
        assert "there is no environment `feat-login`" in shop.call(*part, code=2).err


def test_two_lifecycles_of_a_repository_do_not_share_the_checkout_of_a_target(shop: Shop) -> None:
    shop.call("up")
    other = shop.project.text("shipway.yml").replace("name: shop\n", "name: admin\n")
    (shop.project.root / "admin.yml").write_text(other)
    shop.call("up", "--file", "admin.yml")
    assert len(shop.worktrees()) == 2
    shop.call("down", "--file", "admin.yml")
    shop.data.joinpath("feat-login.db").write_text("rows\n")  # both name one database, which that has dropped
    assert shop.page("feat-login", "web") == "web of rows\n"


MANIFEST = ".shipway/previews/shop/feat-login/manifest.json"


def test_p29_p30_a_runner_works_from_the_manifest_of_another_job(shop: Shop) -> None:
    deploy = 'deploy: {run: echo "$FILE $SHIPWAY_PORT_API" > deployed, env: {FILE: "${{ provisioner.data.FILE }}"}}'
    text = shop.project.text("shipway.yml").replace("role: runner\n", f"role: runner\n      {deploy}\n", 1)
    (shop.project.root / "shipway.yml").write_text(text)
    shop.project.commit()
    shop.call("up", "--stage", "provisioner")
    assert shop.environments()["feat-login"]["state"] == "creating"
    assert (shop.processes(), shop.log) == ([], ["seed feat-login"])
    assert SECRET not in shop.project.text(MANIFEST)

    ran = changes_of(shop.call("up", "--manifest", MANIFEST, "--json"))
    assert set(SERVICES) <= set(ran) and not [node for node in ran if node.startswith("provisioner/")]
    found = shop.environments()["feat-login"]
    assert found["state"] == "ready"
    port = str(found["urls"]["api"]).rpartition(":")[2]  # type: ignore[index]
    assert Path(shop.worktrees()[0], "deployed").read_text() == f"{shop.data}/feat-login.db {port}\n", "hooks work too"
    assert shop.page("feat-login", "web") == "web of rows of feat-login 1\n"
    shop.call("down")
    assert (shop.processes(), shop.worktrees(), shop.log[-1]) == ([], [], "destroy feat-login")


def test_p30_a_manifest_of_another_tree_or_altered_starts_nothing(shop: Shop) -> None:
    shop.call("up", "--stage", "provisioner")
    kept = shop.project.text(MANIFEST)
    (shop.data / "altered.json").write_text(kept.replace("feat-login.db", "other.db"))
    assert "was altered" in shop.call("up", "--manifest", str(shop.data / "altered.json"), code=5).err
    shop.project.write({"new": "x"})
    shop.project.commit()
    assert "is of the tree" in shop.call("up", "--manifest", MANIFEST, code=5).err
    assert shop.processes() == []


def test_p85_a_second_run_is_refused_while_one_is_at_it_and_makes_nothing(shop: Shop) -> None:
    begun, go_on = shop.data / "begun", shop.data / "go-on"
    for fifo in (begun, go_on):
        os.mkfifo(fifo)
    seed = shop.project.root / "scripts/seed.sh"
    seed.write_text(seed.read_text().replace("set -eu\n", f"set -eu\necho now > {begun}\ncat {go_on}\n"))
    shop.project.commit()
    argv = [sys.executable, "-I", "-m", "shipway", "preview", "up", "--yes", "-q"]
    with subprocess.Popen(
        argv, cwd=shop.project.root, env=shop.project.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as first:
        assert begun.read_text() == "now\n"
        said = shop.call("up", code=6).err
        assert re.search(r"`[^`]*feat-login` is held by (run `?[0-9a-zT-]+`?|.*)root.* since .*\d\d:\d\d", said), said
        go_on.write_text("")
        assert first.wait() == 0
    assert (shop.log, len(shop.worktrees())) == (["seed feat-login"], 1)


def test_a_stage_that_needs_approval_is_brought_up_by_who_approves_what_it_would_do(shop: Shop) -> None:
    text = shop.project.text("shipway.yml")
    needing = text.replace("needs: [provisioner]\n", "needs: [provisioner]\n    approval: required\n", 1)
    (shop.project.root / "shipway.yml").write_text(needing)
    shop.project.commit()
    refused = shop.call("up", code=5)
    assert "stage `runner` needs approval, and nobody gave one" in refused.err
    assert (shop.log, shop.processes(), shop.worktrees()) == ([], [], [])
    [approving] = re.findall(r"`shipway preview (up --target feat-login --approve sha256:[0-9a-f]{64})`", refused.err)
    another = "sha256:" + "0" * 64
    assert "was approved" in shop.call("up", "--approve", another, code=5).err
    done = shop.call(*approving.split())
    assert "option" in done.out or "approved" in done.out, done.out
    before = shop.environments()["feat-login"]
    shop.call("up", code=5)
    found = shop.environments()["feat-login"]
    assert found.pop("history") != before.pop("history")
    assert {**found, "age_ms": 0} == {**before, "age_ms": 0}, "what was refused changes nothing"
    assert shop.page("feat-login", "web") == "web of rows of feat-login 1\n"
    again = shop.call("reset", "data", code=5).err
    [approving] = re.findall(r"`shipway preview (reset data --target feat-login --approve sha256:\S+)`", again)
    assert shop.log == ["seed feat-login"]
    shop.call(*approving.split())
    assert shop.log == ["seed feat-login", "reset feat-login"]
    shop.call("down")
    assert (shop.processes(), shop.worktrees()) == ([], [])
