"""Shows that one table of names decides what is valid and what is rendered: what passes the one does the other."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import pytest

from shipway import expressions
from shipway.canonical import Json
from shipway.compose_file import Container, ContainerPort
from shipway.declaration import OutputRule
from shipway.errors import Position
from shipway.preview_expressions import Preview, Scope, leases_of, names_in, rewritten, unnamed_in
from shipway.preview_settings import OwnedSettings, PreviewSettings, Role, ServiceSettings
from shipway.references import CONTEXTS_OF_MODE

WORDS = ["api", "web", "a-b", "redis", "pg", "postgres", "DSN", "dsn", "HOST", "port", "ports", "url", "number"]
WORDS += ["branch", "base", "5432", "name", "outputs"]
CONTEXTS = CONTEXTS_OF_MODE["preview"]


def random_preview(rng: Random) -> Preview:
    services = {name: ServiceSettings(name) for name in rng.sample(["api", "web", "a-b"], rng.randint(0, 3))}
    owned = {
        name: OwnedSettings({output: OutputRule("string") for output in rng.sample(["DSN", "HOST"], rng.randint(0, 2))})
        for name in rng.sample(["postgres", "api", "pg"], rng.randint(0, 3))
    }
    containers = tuple(
        Container(
            name, Position("c.yml", 1, 1), ports=tuple(map(ContainerPort, rng.sample([5432, 80], rng.randint(0, 2))))
        )
        for name in rng.sample(["redis", "pg"], rng.randint(0, 2))
    )
    provisioner = PreviewSettings(Role.PROVISIONER, owned=owned) if rng.random() < 0.7 else None
    domain = rng.choice(["", "previews.example.com"])
    return Preview(
        lifecycle="shop",
        target=rng.choice(["pr-42", "main"]),
        provisioner_id="place" if provisioner is not None else "",
        provisioner=provisioner,
        runner_id="app",
        runner=PreviewSettings(Role.RUNNER, services=services, domain=domain),
        containers=containers,
        is_remote=rng.random() < 0.5,
    )


def contexts_of(preview: Preview) -> dict[str, Json]:
    """What there is when the nodes run: the outputs of those that went before, and nothing else."""
    steps: dict[str, dict[str, Json]] = {"ports": {name: 61000 + place for place, name in enumerate(preview.leases)}}
    steps["compute"] = {"host": "there"}
    for name, owned in preview.provisioner.owned.items() if preview.provisioner is not None else ():
        steps[f"service/{name}"] = {output: f"{name} {output}" for output in owned.outputs}
    stage: Json = {"steps": {name: {"outputs": outputs} for name, outputs in steps.items()}}
    return {"stages": {preview.home: stage}, "github": {"head_ref": "feat/x", "base_ref": "main"}}


def random_path(rng: Random, known: list[tuple[str, ...]]) -> tuple[str, ...]:
    """A name that is known, one that nearly is, or words put together."""
    path = list(rng.choice(known)) if rng.random() < 0.6 else [rng.choice(CONTEXTS)]
    if rng.random() < 0.4:
        path = path[: rng.randint(1, len(path))]
        path += rng.choices(WORDS, k=rng.randint(0, 3))
    return tuple(path)


def written(rng: Random, path: tuple[str, ...]) -> str:
    text = path[0]
    for part in path[1:]:
        part = rng.choice([part, part, part.upper(), part.lower()])
        text += rng.choice([f".{part}", f"['{part}']"]) if part[0].isalpha() else f"['{part}']"
    around = rng.choice(["{0}", "{0}", "format('{{0}}', {0})", "{0} || 'none'", "!{0}"])
    return f"a ${{{{ {around.format(text)} }}}} b"


def renders(text: str, names: Mapping[tuple[str, ...], str], preview: Preview) -> bool:
    """Whether it comes to a text with nothing left out: every property that is named is there."""
    template = expressions.parse_template(rewritten(text, names), rendered=True)
    there: Mapping[str, Json] = contexts_of(preview)
    for reference in template.references:
        if reference.path[0] in CONTEXTS:
            return False
        value: Json = there
        for part in reference.path:
            if not isinstance(value, Mapping) or part not in value:
                return False
            value = value[str(part)]
        if isinstance(value, Mapping):
            return False
    expressions.evaluate_template(template, there)
    return True


@pytest.mark.parametrize("seed", range(40))
def test_p19_what_validates_renders_and_what_renders_validates(seed: int) -> None:
    rng = Random(seed)
    passed = 0
    for _ in range(25):
        preview = random_preview(rng)
        service = rng.choice([None, *(preview.runner.services if preview.runner is not None else ())])
        names = names_in(preview, service, scope=rng.choice(list(Scope)))
        text = written(rng, random_path(rng, list(names)))
        is_valid = not list(unnamed_in(text, names))
        assert is_valid == renders(text, names, preview), text
        passed += is_valid
    assert 0 < passed < 25


@pytest.mark.parametrize("seed", range(10))
def test_p19_every_name_of_the_table_renders(seed: int) -> None:
    preview = random_preview(Random(seed))
    for service in (None, *(preview.runner.services if preview.runner is not None else ())):
        names = names_in(preview, service)
        for path in names:
            text = written(Random(seed), path)
            assert not list(unnamed_in(text, names))
            assert renders(text, names, preview), text


def test_a_url_is_that_of_the_domain_where_there_is_one() -> None:
    def url(**more: object) -> str:
        settings = PreviewSettings(
            Role.RUNNER, services={"api": ServiceSettings("api")}, domain=str(more.get("domain", ""))
        )
        preview = Preview("shop", "pr-42", runner_id="app", runner=settings, is_remote=bool(more.get("is_remote")))
        text = rewritten("${{ services.api.url }}", names_in(preview))
        return str(expressions.evaluate_template(expressions.parse_template(text, rendered=True), contexts_of(preview)))

    assert url(domain="previews.example.com") == "https://pr-42--api.previews.example.com"
    assert url() == "http://127.0.0.1:61000"
    assert url(is_remote=True) == "http://there:61000"


def test_each_port_of_a_container_has_a_lease_and_the_first_has_its_name() -> None:
    ports = (ContainerPort(5432), ContainerPort(53), ContainerPort(53, protocol="udp"))
    container = Container("pg", Position("c.yml", 1, 1), ports=ports)
    assert [name for name, _ in leases_of(container)] == ["pg", "pg-53", "pg-53-udp"]
