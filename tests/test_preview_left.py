"""What a declaration does not name any more, and what was never begun: the real command line on a shop of two services."""

from __future__ import annotations

from pathlib import Path

from tests.preview_shop import Shop, changes_of, is_free

_WEB = "runner/service/web"
_WEB_FILE = "runner/env[web%2F.env.local]"


def _drop(shop: Shop, first: str, behind: str) -> None:
    """Take the lines from the one that begins with `first` up to `behind` out of the declaration."""
    path, kept, is_out = shop.project.root / "shipway.yml", [], False
    for line in path.read_text().splitlines(keepends=True):
        is_out = line.lstrip().startswith(first) or (is_out and not line.lstrip().startswith(behind))
        kept += [] if is_out else [line]
    path.write_text("".join(kept))
    shop.project.commit()


def _env_file(shop: Shop) -> Path:
    return Path(shop.worktrees()[0]) / "web/.env.local"


def test_a_service_that_is_not_declared_any_more_ends_with_its_env_file(shop: Shop) -> None:
    """The next up says so in its plan; what is still declared runs on."""
    shop.call("up")
    port = int(str(shop.environments()["feat-login"]["urls"]["web"]).rpartition(":")[2])  # type: ignore[index]
    api = shop.page("feat-login", "api")
    _drop(shop, "web:", "ttl:")
    done = shop.call("up", "--json")
    found = changes_of(done)
    assert found[_WEB] == found[_WEB_FILE] == "succeeded" and found["runner/service/api"] == "unchanged"
    assert is_free(port) and len(shop.processes()) == 1 and not _env_file(shop).exists()
    assert shop.page("feat-login", "api") == api
    assert _WEB not in changes_of(shop.call("up", "--json"))
    shop.call("down")
    assert shop.processes() == [] and shop.worktrees() == []


def test_down_ends_what_a_failed_up_left_undeclared(shop: Shop) -> None:
    """The recorded declaration is the later one; what the earlier one made is known by what it left."""
    shop.call("up")
    _drop(shop, "web:", "ttl:")
    (shop.project.root / "scripts/seed.sh").write_text("#!/bin/sh\nexit 1\n")
    shop.project.commit()
    shop.call("up", code=1)
    assert len(shop.processes()) == 2
    shop.call("down")
    assert shop.processes() == [] and shop.worktrees() == []


def test_nothing_is_destroyed_that_was_never_begun(shop: Shop) -> None:
    """The hook that takes back runs for what a run began, and once."""
    shop.call("up", "--stage", "provisioner")
    drop = shop.project.root / "scripts/drop.sh"
    drop.write_text(drop.read_text() + "exit 1\n")
    shop.call("down", code=4)
    drop.write_text('#!/bin/sh\necho again >> "$DATA/log"\n')
    shop.call("down")
    assert shop.log == ["seed feat-login", "destroy feat-login", "again"]
    path = shop.project.root / "shipway.yml"
    path.write_text(path.read_text().replace("role: provisioner\n", "role: provisioner\n      before: exit 1\n"))
    shop.project.commit()
    shop.call("up", code=4)
    shop.call("down")
    assert shop.log == ["seed feat-login", "destroy feat-login", "again"]


def test_a_database_that_is_not_declared_any_more_goes_with_its_environment(shop: Shop) -> None:
    """It stays until then, since it holds data: over any number of ups, and by the hook that it was declared with."""
    shop.call("up")
    _drop(shop, "data:", "runner:")
    path = shop.project.root / "shipway.yml"
    kept = [line for line in path.read_text().splitlines() if "provisioner.data" not in line]
    outside = "values: {data: " + str(shop.data) + "}"
    path.write_text("\n".join(kept).replace("    stages:", f"    {outside}\n    stages:") + "\n")
    path.write_text(path.read_text().replace("      services:\n  runner", "      services: {}\n  runner"))
    server = shop.project.root / "api/server.py"
    server.write_text(server.read_text().replace('open(os.environ["FILE"], "rb").read()', 'b"no rows"'))
    shop.project.commit()
    shop.call("up")
    shop.call("up")
    assert shop.log == ["seed feat-login"]
    shop.call("down")
    assert shop.log == ["seed feat-login", "destroy feat-login"]
    assert shop.processes() == [] and shop.worktrees() == []


def _with_hooks(shop: Shop, hooks: str) -> None:
    """Give the runner hooks, or other ones, that write to the log."""
    path = shop.project.root / "shipway.yml"
    lines = [
        each
        for each in path.read_text().splitlines()
        if not each.lstrip().startswith(("deploy:", 'destroy: {run: "echo'))
    ]
    path.write_text("\n".join(lines).replace("ttl: 72h", f"{hooks}ttl: 72h") + "\n")
    shop.project.commit()


def _hook(name: str, word: str) -> str:
    return f'{name}: {{run: "echo {word} >> $DATA/log", env: {{DATA: "${{{{ values.data }}}}"}}}}\n      '


def test_a_deployment_that_is_not_declared_any_more_is_taken_back_by_down(shop: Shop) -> None:
    """By the hook that it was declared with, over any number of ups without it."""
    _with_hooks(shop, _hook("deploy", "deployed") + _hook("destroy", "undeployed"))
    shop.call("up")
    _with_hooks(shop, "")
    shop.call("up")
    shop.call("up")
    assert shop.log == ["seed feat-login", "deployed"]
    shop.call("down")
    assert sorted(shop.log[2:]) == ["destroy feat-login", "undeployed"]
    assert shop.processes() == [] and shop.worktrees() == []


def test_what_is_only_destroyed_is_so_once_it_was_begun_and_once(shop: Shop) -> None:
    """A service without `seed`, and a runner without `deploy`."""
    path = shop.project.root / "shipway.yml"
    cache = '        cache: {outputs: {}, destroy: {run: "echo cacheless >> $DATA/log", env: {DATA: "${{ values.data }}"}}}\n'
    path.write_text(path.read_text().replace("        data:\n", f"{cache}        data:\n"))
    _with_hooks(shop, _hook("destroy", "undeployed"))
    path.write_text(path.read_text().replace("role: provisioner\n", "role: provisioner\n      before: exit 1\n"))
    shop.call("up", code=4)
    shop.call("down")
    assert shop.log == []
    path.write_text(path.read_text().replace("      before: exit 1\n", ""))
    shop.project.commit()
    shop.call("up")
    shop.project.write({"README": "another commit"})
    shop.project.commit()
    shop.call("up", "--json")
    drop = shop.project.root / "scripts/drop.sh"
    text = drop.read_text()
    drop.write_text(f"{text}exit 1\n")
    shop.call("down", code=4)
    drop.write_text(text)
    shop.call("down")
    assert sorted(shop.log[1:]) == ["cacheless", "destroy feat-login", "destroy feat-login", "undeployed"]


def _rename(shop: Shop, **names: str) -> None:
    """Call stages otherwise."""
    path = shop.project.root / "shipway.yml"
    text = path.read_text()
    for old, new in names.items():
        text = text.replace(f"  {old}:\n", f"  {new}:\n").replace(f"[{old}]", f"[{new}]")
    path.write_text(text)
    shop.project.commit()


def test_a_stage_with_another_name_goes_on_with_what_is_there(shop: Shop) -> None:
    """It is known by its role: nothing is provisioned a second time, and down takes all of it away."""
    shop.call("up")
    before = shop.environments()["feat-login"]["urls"]
    _rename(shop, provisioner="base", runner="app")
    found = changes_of(shop.call("up", "--json"))
    assert shop.log == ["seed feat-login"]
    assert {found[node] for node in ("base/ports", "base/service/data")} == {"unchanged"}
    assert (shop.environments()["feat-login"]["urls"], len(shop.processes()), len(shop.worktrees())) == (before, 2, 1)
    assert set(changes_of(shop.call("up", "--json")).values()) == {"unchanged"}
    _rename(shop, base="runner", app="base")  # the one's name is the other's by now
    shop.call("up")
    shop.call("down")
    assert shop.log == ["seed feat-login", "destroy feat-login"]
    assert shop.processes() == [] and shop.worktrees() == []


def test_an_up_without_the_stage_that_made_something_is_refused(shop: Shop) -> None:
    """What it made would be left behind; down still takes that away."""
    shop.call("up")
    path = shop.project.root / "shipway.yml"
    text = path.read_text()
    path.write_text(text[: text.index("  runner:\n")])
    shop.project.commit()
    said = shop.call("up", code=2).err
    assert "was made by the stage `runner` too" in said and "shipway preview down --target feat-login" in said
    assert len(shop.processes()) == 2
    shop.call("down")
    assert shop.processes() == [] and shop.worktrees() == []


def test_a_hook_whose_file_went_with_what_it_takes_back_is_had_from_the_commit_that_had_it(shop: Shop) -> None:
    """It runs where it ran before."""
    shop.project.write({"scripts/undeploy.sh": '#!/bin/sh\necho "undeployed in $(basename "$PWD")" >> "$DATA/log"\n'})
    (shop.project.root / "scripts/undeploy.sh").chmod(0o755)
    hook = 'destroy: {run: ./scripts/undeploy.sh, env: {DATA: "${{ values.data }}"}}\n      '
    _with_hooks(shop, _hook("deploy", "deployed") + hook)
    shop.call("up")
    path = shop.project.root / "shipway.yml"
    path.write_text(path.read_text().replace(hook, ""))
    _with_hooks(shop, "")
    for script in ("undeploy.sh", "drop.sh"):
        (shop.project.root / "scripts" / script).unlink()
    path.write_text("".join(line for line in path.read_text().splitlines(True) if "drop.sh" not in line))
    shop.project.commit()
    shop.call("up")
    shop.call("down")
    assert shop.log[-1] == "undeployed in tree"
    assert shop.processes() == [] and shop.worktrees() == []
