"""`shipway init` below the root, and in repositories of many projects: paths are those of here, and no source is left out."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.command_line import Project, make_project


def reads(project: Project, file: str) -> set[tuple[str, ...]]:
    """The different `reads` of the steps; without the key: none."""
    stages = yaml.safe_load(project.text(file))["stages"].values()
    return {tuple(step.get("reads", ())) for stage in stages for step in stage["steps"]}


def test_paths_are_shown_as_they_are_typed_from_here(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.write({"services/api/a.txt": ""})
    told = project.call("init", cwd="services/api").out
    assert told.startswith(
        "written    ../../shipway.yml\nwritten    ../../.github/workflows/shipway.yml\nwritten    ../../.gitignore\n"
    )
    assert "  edit ../../shipway.yml " in told
    assert "  shipway plan   " in told
    assert "of its own" not in told
    assert project.call("init", cwd="services/api", code=2).err.startswith(
        "`../../.github/workflows/shipway.yml` exists"
    )


def test_what_to_type_next_names_the_file_only_where_another_is_found_first(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.write({"services/api/go.mod": "module x\n", "services/web/a.txt": ""})
    told = project.call("init", "-f", "services/api/shipway.yml").out
    assert "  shipway plan -f services/api/shipway.yml " in told
    told = project.call("init", "--force", "-f", "shipway.yml", cwd="services/api").out
    assert told.startswith("replaced   shipway.yml\nreplaced   ../../.github/workflows/shipway-services-api.yml\n")
    assert "  shipway plan   " in told
    told = project.call("init", cwd="services/api").out
    assert "  shipway plan -f ../../shipway.yml " in told
    project.call("validate", "-f", "../../shipway.yml", cwd="services/api")


@pytest.mark.parametrize("code", [0, 2])
def test_a_project_of_its_own_is_told_how_to_have_its_own_lifecycle(tmp_path: Path, code: int) -> None:
    project = make_project(tmp_path)
    there = {"shipway.yml": "version: 1\nname: shop\nsteps: [{run: make}]\n", ".github/workflows/shipway.yml": ""}
    project.write({"services/api/package.json": "{}", **(there if code else {})})
    done = project.call("init", cwd="services/api", code=code)
    told = " ".join((done.out + done.err).split())
    assert (
        "`services/api` has a `package.json` of its own: `shipway init -f shipway.yml`, called here, "
        "writes `services/api/shipway.yml`"
    ) in told
    project.call("init", "-f", "shipway.yml", cwd="services/api")
    assert (project.root / "services/api/shipway.yml").is_file()


@pytest.mark.parametrize(
    ("manifest", "text"),
    [
        ("package.json", '{"scripts": {"test": "x", "build": "y"}}'),
        ("pyproject.toml", "[build-system]\n"),
        ("go.mod", "module x\n"),
        ("Cargo.toml", ""),
    ],
)
def test_what_a_project_reads_is_never_less_than_its_folder(tmp_path: Path, manifest: str, text: str) -> None:
    project = make_project(tmp_path)
    project.write({f"services/web/{manifest}": text, manifest: text, "index.js": "", "tests/test_a.py": ""})
    project.call("init", "-f", "services/web/shipway.yml")
    assert reads(project, "services/web/shipway.yml") == {("services/web/**",)}
    project.call("init")
    assert reads(project, "shipway.yml") == {()}


def test_infrastructure_with_modules_elsewhere_reads_the_whole_tree(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.write({"infra/main.tf": ""})
    project.call("init")
    assert reads(project, "shipway.yml") == {("infra/**",)}
    project.write({"modules/net/main.tf": ""})
    project.call("init", "--force")
    assert reads(project, "shipway.yml") == {()}
