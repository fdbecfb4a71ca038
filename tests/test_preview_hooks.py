"""Shows what hooks of a preview are told, what they hand on, and how they end, here and on a host."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipway.action import ActionFailed
from shipway.attempt import Grace
from shipway.canonical import Json
from shipway.declaration import OutputRule
from shipway.nodes import Verified
from shipway.process_identity import carrying
from tests.preview_world import PreviewWorld
from tests.remote_host import remote_host
from tests.runs import PATIENCE_S, Setting
from tests.runs import run as in_process
from tests.test_compute_access import HOSTILE

HOOK, NODE = "preview.hook", "runner/deploy"
TEXT = OutputRule("string")


def run(
    world: PreviewWorld,
    script: str,
    rules: Mapping[str, OutputRule] | None = None,
    env: Mapping[str, str] | None = None,
    **more: Json,
) -> Mapping[str, Json]:
    given = {"run": script, "where": "compute", **more}
    done = world.do(HOOK, NODE, given, outputs=rules or {}, env=env or {})
    return {name: value for name, value in done.outputs.items() if name != "made"}


def test_case_45_declared_names_are_taken_and_what_is_printed_is_log_only(world: PreviewWorld) -> None:
    script = """echo DB_HOST=printed; echo "::set-output name=DB_HOST::printed"
printf 'DB_HOST=localhost\\nU=pg://u:p@h/d?a=b\\n\\nA=1\\nA=2\\n' >> "$SHIPWAY_OUTPUT"
"""
    found = run(world, script, dict.fromkeys(("DB_HOST", "U", "A"), TEXT))
    assert found == {"DB_HOST": "localhost", "U": "pg://u:p@h/d?a=b", "A": "2"}
    assert "DB_HOST=printed\n::set-output name=DB_HOST::printed\n" in "".join(world.log)


@pytest.mark.parametrize("line", ["# x", "junk"])
def test_case_45_a_malformed_line_fails_with_its_number(world: PreviewWorld, line: str) -> None:
    with pytest.raises(ActionFailed, match=r"line 2 of \$SHIPWAY_OUTPUT"):
        run(world, f"printf 'A=1\\n{line}\\n' >> \"$SHIPWAY_OUTPUT\"", {"A": TEXT})


def test_case_46_what_is_missing_is_named_in_declared_order(world: PreviewWorld) -> None:
    with pytest.raises(ActionFailed, match=r"`A` is declared .*`B` is declared"):
        run(world, 'echo C=1 >> "$SHIPWAY_OUTPUT"', dict.fromkeys("ABC", TEXT))
    assert run(world, 'echo A= >> "$SHIPWAY_OUTPUT"', {"A": TEXT}) == {"A": ""}
    assert run(world, "true; true") == {}


def test_case_47_a_failing_hook_says_its_status_and_hands_on_nothing(world: PreviewWorld) -> None:
    with pytest.raises(ActionFailed, match="exit 3"):
        run(world, 'echo A=1 >> "$SHIPWAY_OUTPUT"; echo said; exit 3', {"A": TEXT})
    assert "said" in "".join(world.log)
    checkpoint = world.checkpoint(NODE)
    assert checkpoint is not None and checkpoint.outputs == {} and checkpoint.stale
    with pytest.raises(ActionFailed, match="exit 1"):
        run(world, "false\necho not reached")
    assert "not reached" not in "".join(world.log)


def test_case_48_the_folder_is_the_repository_or_the_place(world: PreviewWorld) -> None:
    run(world, "pwd", where="repository")
    run(world, "pwd; cat tracked")
    said = "".join(world.log)
    assert f"\n{world.root}\n" in said and f"\n{world.place}\n1\n" in said
    assert world.place != world.root


def test_case_49_an_undeclared_name_is_a_warning(world: PreviewWorld) -> None:
    script = 'export A=1; echo time=1 level=info; echo A_B=1 >> "$SHIPWAY_OUTPUT"'
    assert run(world, script) == {}
    assert "output `A_B` is not declared" in "".join(world.log)


def test_case_50_lines_come_back_as_they_were(world: PreviewWorld) -> None:
    pem = "-----BEGIN KEY-----\nab/+=$(x)\n-----END KEY-----"
    script = f"cat >> \"$SHIPWAY_OUTPUT\" <<'E'\nKEY<<END_OF\n{pem}\nEND_OF\nE\n"
    assert run(world, script, {"KEY": TEXT}) == {"KEY": pem}


def test_case_50_a_large_output_is_whole_and_one_that_is_too_large_is_refused(world: PreviewWorld) -> None:
    script = """{ printf A=; head -c 1000000 /dev/zero | tr '\\0' 'x'; echo; } >> "$SHIPWAY_OUTPUT" """
    assert run(world, script, {"A": TEXT}) == {"A": "x" * 1_000_000}
    with pytest.raises(ActionFailed, match="more than 1048576 bytes"):
        run(world, script.replace("1000000", "1100000"), {"A": TEXT})


def test_case_51_a_secret_that_a_failing_hook_wrote_is_not_in_its_log(world: PreviewWorld) -> None:
    script = 'echo "DSN=pg://u:hunter22@h" >> "$SHIPWAY_OUTPUT"; echo "using pg://u:hunter22@h"; echo say a=b; exit 1'
    with pytest.raises(ActionFailed) as failed:
        run(world, script, {"DSN": OutputRule("secret")})
    said = "".join(world.log) + str(failed.value)
    assert "hunter22" not in said and "using ***" in said and "say a=b" in said
    with pytest.raises(ActionFailed) as failed:
        run(
            world,
            'printf "DSN=hunter22\\nhunter22\\n" >> "$SHIPWAY_OUTPUT"; echo hunter22',
            {"DSN": OutputRule("secret")},
        )
    assert "hunter22" not in "".join(world.log) + str(failed.value)


def test_case_52_a_hook_has_its_own_environment_and_nothing_else(world: PreviewWorld) -> None:
    os.environ["GITHUB_TOKEN"] = "ghs_must_not_be_seen"
    try:
        run(world, "env", env={"DECLARED": "d", "SHIPWAY_PORT_API": "61000"}, service="api", action="deploy")
    finally:
        del os.environ["GITHUB_TOKEN"]
    lines = "".join(world.log).splitlines()
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    assert "ghs_must_not_be_seen" not in "".join(lines)
    assert {
        name: found.get(name) for name in ("SHIPWAY_LIFECYCLE", "SHIPWAY_TARGET", "SHIPWAY_ACTION", "SHIPWAY_SERVICE")
    } == {
        "SHIPWAY_LIFECYCLE": "shop",
        "SHIPWAY_TARGET": "pr-1",
        "SHIPWAY_ACTION": "deploy",
        "SHIPWAY_SERVICE": "api",
    }
    assert (found["DECLARED"], found["SHIPWAY_PORT_API"], found["SHIPWAY_BRANCH"]) == ("d", "61000", "main")
    assert len(found["SHIPWAY_COMMIT"]) == 40 and found["SHIPWAY_OUTPUT"].endswith("/output")
    assert ("SHIPWAY_ROOT" in found) == (world.host is None)
    assert ("CI" in found) == (world.host is None)


def test_case_54_a_hook_that_is_stopped_leaves_no_process(world: PreviewWorld) -> None:
    began = world.place / "began"
    script = "trap '' INT TERM; (trap '' INT TERM; touch began; sleep 1000) & wait; sleep 1000"
    work = world.node(HOOK, NODE, {"run": script, "where": "compute"}, {"MARK": str(world.place)})
    with pytest.raises(ActionFailed, match="ended before it was done"):
        world.action(HOOK).do(replace(work, cancelled=began.exists))
    assert carrying(f"MARK={world.place}") == []


def test_case_80_values_and_scripts_arrive_as_they_are(world: PreviewWorld) -> None:
    env = {f"V{number}": value for number, value in enumerate(HOSTILE)}
    script = (
        "for n in 0 1 2 3 4 5 6 7 8; do eval \"printf '%s|' \\\"\\$V$n\\\"\"; done; printf 'it'\"'\"'s $HOME \\\\ %%'"
    )
    run(world, script, env=env)
    assert "|".join(HOSTILE) + "|it's $HOME \\ %" in "".join(world.log)


def test_what_is_the_same_is_kept_and_verify_has_three_answers(world: PreviewWorld) -> None:
    given: dict[str, Json] = {
        "run": 'echo ran >> count; echo A=1 >> "$SHIPWAY_OUTPUT"',
        "where": "compute",
        "verify_script": 'test "$SHIPWAY_OUTPUT_A" = 1 || exit 9; exit $(cat answer 2>/dev/null || echo 0)',
    }

    def up() -> bool:
        return world.do(HOOK, NODE, given, outputs={"A": TEXT}).unchanged

    assert [up(), up()] == [False, True]
    answer = world.place / "answer"
    answer.write_text("3")
    assert not up()
    answer.write_text("7")
    with pytest.raises(ActionFailed, match="cannot be told"):
        up()
    answer.unlink()
    assert up()
    assert (world.place / "count").read_text() == "ran\nran\n"


def test_a_hook_is_taken_back_by_the_other_with_its_outputs(world: PreviewWorld) -> None:
    given: dict[str, Json] = {
        "run": 'echo DB=shop_1 >> "$SHIPWAY_OUTPUT"',
        "undo": 'echo "dropped $SHIPWAY_OUTPUT_DB $SHIPWAY_ACTION" >> "$SHIPWAY_ROOT/dropped"',
    }
    work = world.node(HOOK, NODE, given, outputs={"DB": TEXT})
    if world.host is not None:
        work = replace(work, inputs={name: value for name, value in work.inputs.items() if name != "ssh"})
    done = world.action(HOOK).do(work)
    world.undo(work, done)
    assert (world.root / "dropped").read_text() == "dropped shop_1 destroy\n"
    assert world.checkpoint(NODE) is None
    removing = replace(work, inputs={**work.inputs, "remove": True})
    world.action(HOOK).do(removing)
    assert world.action(HOOK).verify(removing) is Verified.HOLDS


def test_case_39_an_outage_during_verify_is_unknown_and_makes_nothing_again(tmp_path: Path) -> None:
    with remote_host() as own:
        world = PreviewWorld(tmp_path, own)
        world.make_compute()
        given: dict[str, Json] = {"run": "echo ran >> count", "where": "compute", "verify_script": "true"}
        world.do(HOOK, NODE, given)
        work = world.node(HOOK, NODE, given)
        own.stop()
        assert world.plan(work).why == "inputs unchanged; verify cannot tell"
        with pytest.raises(ActionFailed, match="cannot be told"):
            world.action(HOOK).do(work)
        own.start()
        assert world.action(HOOK).do(work).unchanged
        assert (world.place / "count").read_text() == "ran\n"


def test_case_41_what_a_killed_run_left_of_a_hook_is_ended_before_it_runs_again(world: PreviewWorld) -> None:
    env = {"MARK": str(world.place)}
    world.killed(HOOK, NODE, {"run": "touch began; sleep 1000", "where": "compute"}, env=env)
    assert carrying(f"MARK={world.place}") != []
    assert not world.do(HOOK, NODE, {"run": "echo again", "where": "compute"}).unchanged
    assert carrying(f"MARK={world.place}") == []


def test_case_54_a_hook_that_takes_too_long_is_timed_out(tmp_path: Path) -> None:
    script = "(sleep 1000 & sleep 1000)"
    slots = f'{{lifecycle: shop, target: pr-1, run: "{script}"}}'
    step = f"{{id: hook, uses: preview.hook, with: {slots}, env: {{MARK: '{tmp_path}'}}, timeout: 1s}}"
    patient = Setting(grace=Grace(PATIENCE_S * 1000, PATIENCE_S * 1000))
    ran = in_process(tmp_path, f"defaults: {{rollback: none}}\nsteps: [{step}]\n", patient)
    assert ran.outcomes == {"hook": "timed_out"}
    assert carrying(f"MARK={tmp_path}") == []


def test_a_hook_in_a_place_that_was_never_made_has_nothing_to_take_back(tmp_path: Path) -> None:
    world = PreviewWorld(tmp_path)
    given: dict[str, Json] = {
        "run": "true",
        "where": "compute",
        "undo": "exit 1",
        "undo_where": "compute",
        "remove": True,
    }
    assert world.do(HOOK, NODE, given).unchanged


@pytest.mark.parametrize("runs_in", ["repository", "compute"])
def test_case_41_what_a_killed_run_left_of_a_hook_that_nothing_takes_back_ends_with_the_preview(
    world: PreviewWorld, runs_in: str
) -> None:
    env = {"MARK": str(world.place)}
    world.killed(HOOK, NODE, {"run": "touch began; sleep 1000", "where": runs_in}, env=env)
    assert carrying(f"MARK={world.place}") != []
    there = {} if world.host is None else {**world.host.address, "root": str(world.place.parent)}
    world.do("preview.compute", "runner/compute", {**there, "remove": True})
    assert carrying(f"MARK={world.place}") == [] and not world.place.exists()
