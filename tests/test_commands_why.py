"""`shipway why`: what put a node into the plan, what it waits for and why, and what changed it since the last receipt."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command_line import Project, make_project

SHOP = """
    version: 1
    name: shop
    secrets: [DB_URL]
    limits: {docker: {parallel: 1}}
    values: {hosts: [eu, us]}
    stages:
      build:
        lasting: false
        steps:
          - {id: image, run: 'echo tag=v1 >> $SHIPWAY_OUTPUT', outputs: {tag: string}, reads: [src/**], limits: [docker]}
      release:
        needs: [build]
        env: {TAG: "${{ stages.build.outputs.tag }}"}
        steps:
          - {id: backup, run: echo backup, reads: [db/**], lasting: false, writes: [dump]}
          - id: migrate
            run: cat db/*
            undo: 'true'
            reads: [db/**]
            locks: [shop-db]
            env: {DB_URL: "${{ secrets.DB_URL }}"}
          - id: rollout
            gather: {items: "${{ values.hosts }}", limit: 2}
            env: {HOST: "${{ item }}"}
            if: github.actor != 'nobody'
            run: echo $HOST $TAG
            undo: 'true'
            reads: [src/**]
        compensate:
          steps: [{id: tell, run: echo undone}]
    locks: {shop-db: step}
    """


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    project = make_project(tmp_path)
    project.env["DB_URL"] = "postgres://there"
    project.write({"shipway.yml": SHOP, "src/a": "a", "db/1": "1"})
    project.commit()
    return project


def executed(project: Project) -> str:
    """The id of a new run of what is there."""
    return str(project.call("run", "--yes", "--json").json["run"])


def changed(project: Project, old: str, new: str) -> None:
    text = project.text("shipway.yml")
    assert old in text
    (project.root / "shipway.yml").write_text(text.replace(old, new), encoding="utf-8")


def test_without_a_receipt_it_tells_declaration_edges_and_bounds(shop: Project) -> None:
    told = shop.call("why", "release/migrate")
    assert told.out == (
        "release/migrate: cat db/*, shipway.yml:16\n"
        "  in the plan  stage release declares it (shipway.yml:16)\n"
        "               stage release comes after stage build\n"
        "  does         run by shell.exec, opaque: only running it tells\n"
        "  waits for    release/backup: it stands before this one in the list\n"
        "               build/image: env.TAG refers to stages.build.outputs.tag\n"
        "               (shipway.yml:13)\n"
        "  reads        db/**\n"
        "  locks        shop-db\n"
        "  secrets      DB_URL\n"
        "  before       release/rollout\n"
    )
    assert "no receipt of this lifecycle and target is here" in told.err
    assert shop.call("why", "-q", "release/migrate").err == ""


def test_what_changed_since_the_last_receipt_names_files_members_and_what_is_behind_it(shop: Project) -> None:
    run = executed(shop)
    same = shop.call("why", "release/migrate").out
    assert f"Nothing that decides its work changed since run {run}, which succeeded" in " ".join(same.split())
    shop.write({"db/3": "3", "db/4": "4", "src/a": "b"})
    changed(shop, 'env: {DB_URL: "${{ secrets.DB_URL }}"}', 'env: {DB_URL: "${{ secrets.DB_URL }}", TAG: latest}')
    shop.commit()
    told = shop.call("why", "release/migrate").out
    assert told.endswith(
        "What differs:\n"
        "    - env.TAG: build/image (tag)\n"
        "    + env.TAG: latest\n"
        "      reads: changed db/3, db/4\n"
        "    - needs.build/image: promise\n"
        "  Of what it waits for, however far, these changed:\n"
        "    build/image: what it `reads` changed (`src/a`)\n"
        "    release/backup: what it `reads` changed (`db/3`, `db/4`)\n"
    )


def test_files_changed_in_the_work_tree_are_named_before_they_are_committed(shop: Project) -> None:
    executed(shop)
    shop.write({"db/1": "2"})
    assert "reads: changed db/1\n" in shop.call("why", "release/migrate").out


def test_what_was_found_in_the_world_is_shown_with_both_values(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    step = "{id: note, uses: file.write, with: {path: note.txt, content: hello}, reads: [shipway.yml]}"
    project.write({"shipway.yml": f"version: 1\nname: shop\nsteps:\n  - {step}\n"})
    project.commit()
    executed(project)
    told = project.call("why", "main/note").out
    assert "Nothing that decides its work changed" in told
    assert "is another:\n" in told
    assert "    - change: create\n    + change: noop\n" in told


def test_a_new_node_and_one_that_is_gone(shop: Project) -> None:
    run = executed(shop)
    changed(shop, "- {id: backup, run: echo backup", "- {id: save, run: echo backup")
    assert f"It is new since run {run}, which succeeded." in shop.call("why", "release/save").out
    assert shop.call("why", "release/backup").out.startswith("release/backup is not in the plan\n")
    assert shop.call("why", "release/backup", "--json").json["since"]["change"]["presence"] == "removed"
    assert "Did you mean `release/rollout`?" in shop.call("why", "release/rolout", code=2).err
    assert "`release` is a stage; name one of its nodes" in shop.call("why", "release", code=2).err


def test_what_is_inside_another_or_only_on_rollback_is_told(shop: Project) -> None:
    inside = " ".join(shop.call("why", "release/rollout[eu]").out.split())
    assert "it belongs to release/rollout, which stage release declares" in inside
    assert "`github.actor != 'nobody'`, decided when it is its turn" in " ".join(
        shop.call("why", "release/rollout").out.split()
    )
    rollback = " ".join(shop.call("why", "release.compensate/tell").out.split())
    assert (
        "`compensate` of stage release declares it (shipway.yml:30); it runs only when that is rolled back" in rollback
    )


def test_the_json_holds_causes_and_differences(shop: Project) -> None:
    run = executed(shop)
    changed(shop, "  release:\n", "  release:\n    retry: {attempts: 2}\n")
    told = shop.call("why", "release/migrate", "--json").json
    assert told["waits"][1] == {
        "node": "build/image",
        "kind": "promise",
        "is_whole": False,
        "resource": "",
        "outputs": ["tag"],
        "references": [{"member": "env.TAG", "text": "stages.build.outputs.tag", "position": ["shipway.yml", 14, 21]}],
    }
    assert told["since"]["name"] == f"run {run}, which succeeded"
    assert told["since"]["outcome"] == "succeeded"
    [around] = told["since"]["around"]
    assert (around["subject"], [field["name"] for field in around["fields"]]) == ("release", ["retry"])


def test_kept_plans_are_explained_without_planning(shop: Project, tmp_path: Path) -> None:
    shop.call("plan", "-q", "-o", "../old.json")
    changed(shop, "run: cat db/*", "run: cat db/* src/*")
    shop.call("plan", "-q", "-o", "../new.json")
    (shop.root / "shipway.yml").unlink()
    told = shop.call("why", "release/migrate", "--plan", "../new.json", "--against", "../old.json").out
    assert (
        "Changed since `../old.json`. What differs:\n    - slots.run: cat db/*\n    + slots.run: cat db/* src/*\n"
        in told
    )
    assert "this one takes its output tag" in told


def test_where_the_receipt_is_in_a_store_it_is_found_from_a_fresh_clone(shop: Project, tmp_path: Path) -> None:
    bare = tmp_path / "remote.git"
    shop.git("init", "-q", "--bare", str(bare))
    shop.git("remote", "add", "origin", str(bare))
    changed(shop, "name: shop\n", "name: shop\nstate: git\n")
    shop.commit()
    shop.git("push", "-q", "origin", "trunk")
    run = executed(shop)
    shop.git("clone", "-q", str(bare), "-b", "trunk", str(tmp_path / "fresh"))
    fresh = Project(tmp_path / "fresh", shop.env)
    fresh.write({"src/a": "b"})
    told = " ".join(fresh.call("why", "build/image").out.split())
    assert f"Changed since run {run}, which succeeded" in told
    assert "reads: changed src/a" in told


def test_a_receipt_whose_plan_is_gone_says_so_and_compares_the_effects(shop: Project) -> None:
    run = executed(shop)
    (shop.root / ".shipway/journal.sqlite").unlink()
    assert f"the last receipt, of run {run}, has the same effect as this plan" in shop.call("why", "build/image").err
    shop.write({"src/a": "b"})
    assert "has another effect than this plan" in shop.call("why", "build/image").err
