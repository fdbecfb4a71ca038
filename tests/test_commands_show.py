"""`shipway show` by file, by run and by what it is of; and several lifecycles in one repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command_line import Project, make_project

ONE = """
    version: 1
    name: {name}
    steps:
      - id: tag
        run: |
          echo "building {name}"
          echo "tag=v1" >> "$SHIPWAY_OUTPUT"
        outputs: {{tag: string}}
    """


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Two lifecycles, `shop` at the root and `shop-api` in `services/api`."""
    project = make_project(tmp_path)
    project.write({"shipway.yml": ONE.format(name="shop"), "services/api/shipway.yml": ONE.format(name="shop-api")})
    project.commit()
    return project


def run(project: Project, *arguments: str, cwd: str = "") -> str:
    """The id of a new run."""
    return str(project.call("run", "--yes", "--json", *arguments, cwd=cwd).json["run"])


def test_a_run_is_shown_by_its_id_and_the_last_one_without(project: Project) -> None:
    first, second = run(project), run(project)
    assert project.call("show", first, "--json").json["run"] == first
    assert project.call("show", "--json").json["run"] == second
    assert f"run {first}" in project.call("show", first).out


def test_a_mistyped_run_gets_a_guess(project: Project) -> None:
    assert "No run left a receipt here yet" in project.call("show", "x", code=2).err
    name = run(project)
    wrong = project.call("show", name[:-1], code=2)
    assert wrong.err.endswith(f"Did you mean `{name}`?\n")
    assert wrong.err.startswith(f"`{name[:-1]}` is neither a file nor a run whose receipt is here")


def test_the_last_receipt_of_a_lifecycle_or_for_a_target(project: Project) -> None:
    api = run(project, "--target", "eu", cwd="services/api")
    shop = run(project, "--target", "eu")
    other = run(project, "--target", "eu-2")
    assert project.call("show", "--json").json["run"] == other
    assert project.call("show", "--json", "--target", "eu").json["run"] == shop
    assert project.call("show", "--json", "-f", "services/api/shipway.yml").json["run"] == api
    assert project.call("show", "--json", "-f", "shipway.yml", "-t", "eu").json["run"] == shop
    none = project.call("show", "-f", "services/api/shipway.yml", "-t", "us", code=2)
    assert "there is no receipt of `shop-api` for the target `us` in " in none.err


def test_verbose_adds_tries_and_outputs(project: Project) -> None:
    run(project)
    plain, verbose = project.call("show").out, project.call("show", "-v").out
    added = verbose.removeprefix(plain)
    assert added.startswith("\nnode main/tag\n  attempt 1  succeeded after ")
    assert "  output  tag = v1\n" in added
    assert added.endswith("  log        main.tag.log\n")


def test_verbose_shows_every_try_of_a_node_that_failed(project: Project) -> None:
    project.write(
        {
            "shipway.yml": "version: 1\nname: shop\nsteps:\n  - {id: a, run: echo oh; exit 3, retry: {attempts: 2, initial: 0s}}\n"
        }
    )
    project.call("run", "--yes", code=1)
    told = project.call("show", "-v").out
    assert "  attempt 1  failed after " in told
    assert "  attempt 2  failed after " in told
    assert ", exit 3" in told
    assert told.endswith("  | oh\n")


def test_quiet_checks_the_seal_and_prints_nothing(project: Project) -> None:
    run(project)
    (kept,) = (project.root / ".shipway/receipts").glob("*.json")
    assert project.call("show", "-q", str(kept)).out == ""
    kept.write_bytes(kept.read_bytes().replace(b'"shop"', b'"shoq"'))
    refused = project.call("show", "-q", str(kept), "--json", code=5)
    assert refused.json["error"]["reason"] == "receipt-digest"


@pytest.mark.parametrize("inside", ['"shop', '"succeede', '"main/ta', '"digest":"sha256:'])
def test_case_26_one_byte_flipped_in_a_receipt_is_found_and_the_receipt_named(project: Project, inside: str) -> None:
    run(project)
    (kept,) = (project.root / ".shipway/receipts").glob("*.json")
    content = bytearray(kept.read_bytes())
    content[content.index(inside.encode()) + len(inside) - 1] ^= 1
    kept.write_bytes(content)
    refused = project.call("show", "-q", str(kept), "--json", code=5).json["error"]
    assert refused["reason"] == "receipt-digest"
    assert kept.name in refused["message"]


def test_the_nearest_declaration_above_is_taken(project: Project) -> None:
    (project.root / "services/web").mkdir()
    (project.root / "services/api/deep/er").mkdir(parents=True)
    assert " shop → " in project.call("validate", cwd="services/web").out
    assert " shop-api → " in project.call("validate", cwd="services/api/deep/er").out
    assert " shop-api → " in project.call("validate", "-f", "../api/shipway.yml", cwd="services/web").out
    missing = project.call("plan", "-f", "deploy/shipway.yml", code=2)
    assert missing.err == "there is no file `deploy/shipway.yml`. Name the declaration with `-f FILE`\n"
    nowhere = project.call("plan", "--json", cwd="../home", code=2)
    assert nowhere.json["error"]["reason"] == "declaration-missing"


def test_plan_tells_as_much_as_is_asked_for(project: Project) -> None:
    assert project.call("plan", "-q").out == ""
    assert project.call("plan", "-q", "--detailed-exitcode", code=3).out == ""
    assert project.call("plan", "-q", "--json").json["kind"] == "plan"
    assert project.call("plan", "-q", "-o", "plan.json").out == ""
    assert project.call("show", "--json", "plan.json").json == project.call("plan", "--json").json
    assert project.call("plan", "--format", "markdown", "-o", "plan.md").out == ""
    assert project.text("plan.md").startswith("### Shipway plan: shop")
    loud = project.call("plan", "-v")
    assert loud.out == project.call("plan").out
    assert [line.split()[2] for line in loud.err.splitlines()][:5] == ["load", "resolve", "validate", "prepare", "plan"]


def test_case_33_the_exit_code_of_a_plan_tells_changes_from_none_and_from_an_error(project: Project) -> None:
    text = "version: 1\nname: shop\nsteps: [{id: a, uses: file.write, with: {path: made, content: text}}]\n"
    project.write({"shipway.yml": text})
    project.call("plan", "--detailed-exitcode", code=3)
    project.call("run", "--yes")
    project.call("plan", "--detailed-exitcode", code=0)
    project.write({"shipway.yml": text.replace("content", "contents")})
    project.call("plan", "--detailed-exitcode", code=2)


def test_validate_tells_as_much_as_is_asked_for(project: Project) -> None:
    assert project.call("validate").err == ""
    assert project.call("validate", "-q").out == ""
    assert "phase validate done" in project.call("validate", "-v").err
    assert project.call("validate", "--json").json["nodes"] == 1


def test_what_to_type_next_repeats_what_the_plan_was_asked_with(project: Project) -> None:
    told = project.call("plan", "-f", "shipway.yml", "--target", "prod").out
    assert "shipway run -f shipway.yml --target prod\n" in told
    assert "shipway apply plan.json\n" in told
    kept = project.call("plan", "--target", "prod", "-o", "my plan.json").out
    assert "shipway apply 'my plan.json'\n" in kept
    assert "or keep it" not in kept
    shown = project.call("show", "my plan.json").out
    assert "shipway apply 'my plan.json'\n" in shown
    assert "or keep it" not in shown


def test_a_document_that_is_not_there_is_named_once_with_what_to_name_instead(project: Project) -> None:
    missing = project.call("apply", "nope.json", code=2)
    assert missing.err.count("nope.json") == 1
    assert "Name a file that `shipway plan -o FILE` wrote" in missing.err


def test_an_option_that_another_one_needs_is_refused_without_it(project: Project) -> None:
    told = project.call("plan", "--target", "prod", "--workflow", "plan.yml", code=2)
    assert "`--workflow` belongs to `--check`" in told.err


def test_validate_warns_of_a_secret_of_a_preview_that_can_be_kept_nowhere(project: Project) -> None:
    """Without a key a store that others share keeps no secret, so that the service is seeded at each push."""
    text = """
        version: 1
        name: shop
        state: {store: git}
        stages:
          base:
            mode: preview
            with:
              role: provisioner
              services: {db: {outputs: {DSN: {type: secret}, NAME: {type: string}}, seed: "true"}}
        """
    project.write({"shipway.yml": text})
    said = project.call("validate").err
    assert "shipway.yml:9:18: `base/service/db` runs at each up: `DSN`, secret," in said
    assert project.call("validate", "-q").code == 0
    project.write(
        {
            "shipway.yml": text.replace("{store: git}", "{store: git, key: KEY}").replace(
                "state:", "secrets: [KEY]\n        state:"
            )
        }
    )
    assert project.call("validate").err == ""
    project.write({"shipway.yml": text.replace("state: {store: git}", "")})
    assert project.call("validate").err == ""


def test_quiet_says_how_it_ended_what_failed_and_nothing_of_what_did_its_part(project: Project) -> None:
    steps = "  a: {run: 'true'}\n  b: {run: 'echo no; false', needs: [a]}\n  c: {run: 'true', needs: [b]}\n"
    project.write({"shipway.yml": f"version: 1\nname: shop\ndefaults: {{parallel: 1}}\nsteps:\n{steps}"})
    said = project.call("run", "--yes", "--quiet", code=1).out
    assert "b  failed: exit 1" in said and "| no" in said and "receipt: " in said
    assert "1 failed · 1 succeeded · 1 blocked" in said
    assert "\n  ✓ a" in project.call("show").out and "\n  ✓ a" not in said
