"""`shipway diff`: two plans node by node, as text, Markdown and JSON, by file, by run and by receipt."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command_line import Project, make_project

SHOP = """
    version: 1
    name: shop
    stages:
      build:
        lasting: false
        steps:
          - {id: image, run: make image, outputs: {tag: string}, reads: [src/**]}
          - {id: docs, run: make docs, reads: [docs/**]}
      release:
        needs: [build]
        steps:
          - {id: migrate, run: ./up, undo: ./down, env: {TAG: v1}, reads: [db/**]}
        compensate:
          steps: [{id: tell, run: ./tell, reads: [db/**]}]
    """


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    project = make_project(tmp_path)
    project.write({"shipway.yml": SHOP, "src/a.py": "a", "docs/a.md": "a", "db/001.sql": "a", "Makefile": "all:"})
    project.commit()
    return project


def planned(project: Project, name: str) -> str:
    """The name of a file beside the checkout that holds the plan of what is there now."""
    file = f"../{name}.json"
    project.call("plan", "-q", "-o", file)
    return file


def changed(project: Project, old: str, new: str) -> None:
    text = project.text("shipway.yml")
    assert old in text
    (project.root / "shipway.yml").write_text(text.replace(old, new), encoding="utf-8")
    project.commit()


def test_what_decides_nothing_is_told_apart_and_exits_0(shop: Project) -> None:
    before = planned(shop, "before")
    changed(shop, "name: shop\n", "name: shop\n# a comment moves every step\n")
    told = shop.call("diff", before, planned(shop, "after"))
    assert told.out.startswith("Difference: shop → default, the same effect\n")
    assert "Different without deciding what is done:" in told.out
    assert "  release/migrate: position\n" in told.out
    assert "source.commit" in told.out


def test_every_way_to_differ_is_shown_with_both_values_and_exits_3(shop: Project) -> None:
    before = planned(shop, "before")
    shop.write({"db/002.sql": "b", "db/003.sql": "c"})
    changed(shop, "env: {TAG: v1}", 'env: {TAG: "${{ stages.build.outputs.tag }}"}')
    changed(shop, "- {id: docs, run: make docs, reads: [docs/**]}", "- {id: check, run: make check, reads: [docs/**]}")
    changed(shop, "run: ./tell", "run: ./tell --loud")
    told = shop.call("diff", before, planned(shop, "after"), code=3)
    assert "another effect, 2 changed, 1 added, 1 removed" in told.out.replace("\n", " ")
    shown = told.out[told.out.index("+ build/check") : told.out.index("Besides, ")]
    assert shown == (
        "+ build/check added, shipway.yml:8\n"
        "\n"
        "~ release/migrate changed, shipway.yml:12\n"
        "    - env.TAG: v1\n"
        "    + env.TAG: build/image (tag)\n"
        "    + needs.build/image: promise\n"
        "      reads: changed db/002.sql, db/003.sql\n"
        "\n"
        "~ release.compensate/tell changed, shipway.yml:14\n"
        "      reads: changed db/002.sql, db/003.sql\n"
        "    - slots.run: ./tell\n"
        "    + slots.run: ./tell --loud\n"
        "\n"
        "- build/docs removed, shipway.yml:8\n"
        "\n"
    )


def test_the_json_holds_both_values_whole(shop: Project) -> None:
    before = planned(shop, "before")
    shop.write({"db/002.sql": "b"})
    changed(shop, "run: make image", "run: make image fast")
    told = shop.call("diff", before, planned(shop, "after"), "--json", code=3).json
    assert told["same_effect"] is False
    assert told["before"]["effect"] != told["after"]["effect"]
    fields = {(each["subject"], field["name"]): field for each in told["effect"] for field in each["fields"]}
    assert fields["build/image", "slots.run"]["before"] == {"value": "make image"}
    assert fields["build/image", "slots.run"]["after"] == {"value": "make image fast"}
    assert fields["release/migrate", "reads"]["files"] == ["db/002.sql"]
    assert {each["kind"] for each in told["effect"]} == {"node", "compensation"}
    assert told == shop.call("diff", before, "../after.json", "--format", "json", code=3).json


def test_in_markdown_what_others_wrote_stands_in_code(shop: Project) -> None:
    before = planned(shop, "before")
    changed(shop, "run: make image", 'run: "make ``` @org/team </details>"')
    told = shop.call("diff", before, planned(shop, "after"), "--format", "markdown", code=3).out
    assert told.startswith("### Difference: shop → default, another effect, 1 changed\n")
    assert "````diff\n- slots.run: make image\n+ slots.run: make ``` @org/team </details>\n````" in told


def test_quiet_says_it_with_the_exit_code_alone(shop: Project) -> None:
    before = planned(shop, "before")
    assert shop.call("diff", "-q", before, before).out == ""
    changed(shop, "run: make image", "run: make images")
    assert shop.call("diff", "-q", before, planned(shop, "after"), code=3).out == ""


def test_a_run_or_its_receipt_stands_for_what_it_executed(shop: Project) -> None:
    shop.write({"up": "#!/bin/sh\n", "Makefile": "image docs:\n\techo tag=1 >> $$SHIPWAY_OUTPUT\n"})
    (shop.root / "up").chmod(0o755)
    shop.commit()
    before = planned(shop, "before")
    run = shop.call("run", "--yes", "--json").json["run"]
    [receipt] = (shop.root / ".shipway/receipts").iterdir()
    assert shop.call("diff", before, run).out.startswith("Difference: shop → default, the same effect\n")
    assert shop.call("diff", str(receipt), before).code == 0
    assert "neither a file nor a run" in shop.call("diff", before, f"{run}x", code=2).err
    (shop.root / ".shipway/journal.sqlite").unlink()
    assert "is not in the journal of this checkout" in shop.call("diff", before, str(receipt), code=2).err


def test_where_a_commit_is_not_in_this_clone_no_files_are_named(shop: Project, tmp_path: Path) -> None:
    before = planned(shop, "before")
    shop.write({"db/002.sql": "b"})
    shop.commit()
    after = planned(shop, "after")
    elsewhere = make_project(tmp_path / "elsewhere")
    told = elsewhere.call("diff", str(shop.root / before), str(shop.root / after), code=3).out
    assert NOT_KNOWN in " ".join(told.split())


def test_of_a_policy_that_is_new_only_what_it_says_is_shown(shop: Project) -> None:
    before = planned(shop, "before")
    changed(shop, "stages:\n", "policy: {quiet: {freeze: [sat..sun]}}\nstages:\n")
    told = shop.call("diff", before, planned(shop, "after"), code=3).out
    assert told[told.index("~ plan") : told.index("Besides, ")] == (
        "~ plan changed\n"
        "    + policies.quiet.name: quiet\n"
        "    + policies.quiet.timeout_ms: 60000\n"
        '    + policies.quiet.freeze: ["sat..sun"]\n'
        "    + policies.quiet.timezone: UTC\n"
        "\n"
    )


NOT_KNOWN = "reads: files changed; which, only commits in this clone tell"


def test_of_what_was_not_committed_files_are_named_while_they_are_as_they_were(shop: Project) -> None:
    clean = planned(shop, "clean")
    shop.write({"db/001.sql": "b"})
    dirty = planned(shop, "dirty")
    for asked in ((clean, dirty), (dirty, clean)):
        told = shop.call("diff", *asked, code=3).out
        assert "reads: changed db/001.sql" in told and "sha256:" not in told.partition("\n\n")[2]
    shop.write({"db/001.sql": "c"})
    for asked in ((clean, dirty), (dirty, clean), (dirty, planned(shop, "dirtier"))):
        assert NOT_KNOWN in " ".join(shop.call("diff", *asked, code=3).out.split())


def test_of_what_was_not_committed_and_is_another_by_now_no_files_are_named(shop: Project) -> None:
    shop.write({"db/001.sql": "b"})
    before = planned(shop, "before")
    shop.write({"db/001.sql": "c", "db/002.sql": "c"})
    shop.commit()
    told = shop.call("diff", before, planned(shop, "after"), code=3).out
    assert NOT_KNOWN in " ".join(told.split())


def test_an_altered_plan_is_refused(shop: Project) -> None:
    before = planned(shop, "before")
    file = shop.root / before
    file.write_bytes(file.read_bytes().replace(b"./up", b"./us"))
    assert "altered" in shop.call("diff", before, before, code=5).err
