"""`shipway preview status` and `gc` on the command line: an environment asked live, and what nobody needs any more."""

from __future__ import annotations

import json
import os

import pytest
from msgspec.structs import replace

from shipway.environment_record import EnvironmentRecord
from tests.command_line import Done, Project
from tests.forge.fixtures import github as github
from tests.preview_pulls import NUMBER, PreviewShop
from tests.test_preview_pull_requests import shop as shop

TARGET = f"pr-{NUMBER}"


@pytest.fixture
def made(shop: PreviewShop) -> PreviewShop:
    """A shop whose environment is up."""
    assert shop.event("opened").code == 0
    return shop


def call(shop: PreviewShop, *arguments: str, code: int = 0, **more: str) -> Done:
    env = {"PATH": os.environ["PATH"], "HOME": str(shop.root), "COLUMNS": "80", "PREVIEW_KEY": "correct-horse-battery"}
    env |= more
    return Project(shop.work, env).call("preview", *arguments, code=code)


def test_case_83_status_asks_each_part_and_shows_no_secret(made: PreviewShop) -> None:
    told = call(made, "status", "--target", TARGET)
    assert told.out.startswith("shop → pr-7: ready\n")
    assert "holds      runner/service/web" in told.out
    assert "holds      runner/compute" in told.out
    assert max(map(len, told.out.splitlines())) <= 80 or "/tmp/" in told.out
    nodes = {each["node"]: each["verify"] for each in call(made, "status", "--target", TARGET, "--json").json["nodes"]}
    assert nodes["runner/service/web"] == "holds"
    assert call(made, "status", "--target", TARGET, "-q").out == "ready\n"
    assert "correct-horse" not in told.out
    call(made, "status", "--target", "pr-8", code=2)


def test_case_97_gc_lists_only_and_takes_away_when_told_to(made: PreviewShop) -> None:
    assert nothing(call(made, "gc"))

    def older(record: EnvironmentRecord | None) -> EnvironmentRecord:
        assert record is not None
        return replace(record, touched_ms=record.touched_ms - 72 * 3_600_000)

    made.environments.change(TARGET, older)
    listed = call(made, "gc", "--detailed-exitcode", code=3)
    assert f"{TARGET}: expired; shipway preview down --target {TARGET}" in listed.out
    assert json.loads(call(made, "gc", "--json").out)["over"] == [{"target": TARGET, "why": "expired"}]
    assert made.left() != []
    call(made, "gc", "--remove", code=2)
    assert made.left() != [], "it was not confirmed"
    call(made, "gc", "--remove", "--yes")
    assert made.left() == []
    assert nothing(call(made, "gc", "--detailed-exitcode"))


def nothing(done: Done) -> bool:
    """Whether nothing was found, and nothing is unknown."""
    return done.out == "nothing is left over\n"


def test_an_engine_that_does_not_answer_is_told_of_only_where_there_are_containers(made: PreviewShop) -> None:
    engine = made.root / "bin/docker"
    engine.parent.mkdir()
    engine.write_text("#!/bin/sh\necho cannot connect >&2; exit 1\n")
    engine.chmod(0o755)
    path = f"{engine.parent}:{os.environ['PATH']}"
    assert nothing(call(made, "gc", PATH=path))
    declared = made.work / "shipway.yml"
    text = declared.read_text()
    declared.write_text(
        text.replace("services:\n", "infrastructure: {compose_file: compose.yaml}\n      services:\n", 1)
    )
    said = "not known: containers: docker ps: cannot connect"
    assert said in call(made, "gc", PATH=path).out.splitlines()


def test_gc_of_one_target_leaves_alone_what_is_left_of_others(made: PreviewShop) -> None:
    places = [made.work / f".shipway/previews/shop/{target}" for target in ("pr-8", "pr-9")]
    for place in places:
        (place / "tree").mkdir(parents=True)
        (place / "manifest.json").write_text(json.dumps({"lifecycle": "shop", "target": place.name}))
    told = call(made, "gc", "--remove", "--yes", "--target", "pr-8").out
    assert "pr-8/tree: taken away" in told and "pr-9" not in told
    assert [place.exists() for place in places] == [False, True]
