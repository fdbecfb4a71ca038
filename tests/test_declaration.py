"""What a declaration comes to: values, spellings, positions, overlays, and a schema with the same keys."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from shipway import declaration, schema
from shipway.canonical import Json
from shipway.declaration import Backoff, OnCancel, OnFailure, Retry, Rollback
from shipway.declaration_files import overlays
from shipway.durations import PATTERN
from shipway.errors import DeclarationError, Reason, UsageError
from shipway.limits import RATE_PATTERN, Limit
from shipway.loading import load_declaration
from shipway.places import derived_id
from shipway.references import CONTEXTS

_CASES = Path(__file__).parent / "cases" / "good"
_DOCS = Path(__file__).parents[1] / "docs" / "declaration.md"
_HEAD = "version: 1\nname: shop\n"


def _load(tmp_path: Path, text: str, target: str | None = None, **overlays: str) -> declaration.Declaration:
    (tmp_path / "shipway.yml").write_text(_HEAD + text, encoding="utf-8")
    for name, content in overlays.items():
        (tmp_path / f"shipway.{name}.yml").write_text(content, encoding="utf-8")
    return load_declaration(tmp_path / "shipway.yml", root=tmp_path, target=target)


def _case(name: str, target: str | None = None) -> declaration.Declaration:
    folder = _CASES / name
    return load_declaration(folder / "shipway.yml", root=folder, target=target)


def test_every_key_arrives() -> None:
    loaded = _case("every-key", "staging")
    build, release, cluster = loaded.stages
    image, test = build.steps
    assert (loaded.name, loaded.file, loaded.files) == ("shop", "shipway.yml", ("shipway.yml",))
    assert loaded.secrets == ("DB_URL", "TOKEN", "SIGNING_KEY")
    assert loaded.values == {"hosts": ["eu-1", "us-1"], "replicas": 1, "extra": "x"}
    assert loaded.limits == {"docker": Limit(2)}
    company, deletes, quiet = loaded.policies
    assert (company.run, company.timeout_ms, company.targets) == ("./check", 30_000, ("prod", "pr-*"))
    assert company.env == {"LEVEL": "${{ inputs.level }}", "TOKEN": "${{ secrets.TOKEN }}"}
    assert (deletes.deny_delete, deletes.unless_label) == (True, "allow-delete")
    assert (quiet.freeze, quiet.timezone) == (("fri 16:00..mon 08:00", "2026-12-24"), "Europe/Berlin")
    assert [(policy.stage, policy.deny_opaque, policy.only_actions) for policy in release.policies] == [
        ("release", True, ()),
        ("release", False, ("shell.exec", "file.*")),
    ]
    assert loaded.targets is not None
    assert loaded.targets["prod"].on == ("main", "release/*")
    assert loaded.inputs["level"].default == "3.10", "a default of type string keeps its spelling"
    assert loaded.defaults == declaration.Defaults(600_000, 8, OnFailure.DRAIN, Rollback.RUN, OnCancel.LEAVE)
    assert (build.lasting, build.ordered, build.mode) == (False, True, "steps")
    assert image.run is not None
    assert image.run.startswith("make image\n")
    assert image.retry == Retry(3, Backoff.EXPONENTIAL, 1000, 30_000, 10)
    assert image.plan == declaration.PlanCommand("./version")
    assert image.outputs["size"] == declaration.OutputRule("integer", required=False)
    assert (test.id, test.retry) == ("make-test", Retry(attempts=2))
    assert release.needs == ("build",), "a need listed twice counts once"
    assert (release.parallel, release.timeout_ms) == (None, 0)
    assert (release.on_failure, release.rollback) == (OnFailure.CANCEL, Rollback.STAGE)
    assert not release.ordered
    assert [step.id for step in release.steps] == ["backup", "migrate", "rollout", "notes", "publish-notes"]
    migrate, rollout, notes = release.steps[1:4]
    assert migrate.plan == declaration.PlanCommand("./db pending", ("DB_URL",))
    assert rollout.env == {
        "TOKEN": "${{ secrets.TOKEN }}",
        "LEVEL": "${{ inputs.level }}",
        "N": "3.10",
        "QUIET": "true",
        "EMPTY": "",
    }
    assert (notes.action, notes.run) == ("template.render", None)
    assert (cluster.mode, cluster.with_) == ("gitops", {"path": "clusters/prod"})


def test_positions_of_stages_and_steps() -> None:
    loaded = _case("every-key")
    assert str(loaded.stages[0].where) == "shipway.yml:29:3"
    assert str(loaded.stages[0].steps[0].where) == "shipway.yml:32:9"
    assert str(loaded.stages[1].steps[0].where) == "shipway.yml:61:7"
    assert loaded.source.spelling((*loaded.stages[1].steps[2].path, "env", "N")) == "3.10"


def test_overlay_can_turn_steps_into_a_mode(tmp_path: Path) -> None:
    overlay = "stages: {build: {steps: null, mode: files}}"
    (build,) = _load(tmp_path, "stages: {build: {steps: [{run: x}]}}", "prod", prod=overlay).stages
    assert (build.mode, build.steps) == ("files", ())


def test_overlay_of_a_pull_request() -> None:
    loaded = _case("with-overlay", "pr-42")
    assert loaded.files == ("shipway.yml", "shipway.pr.yml")
    assert loaded.values == {"replicas": 2, "region": "eu"}
    assert loaded.stages[0].steps[0].env == {"A": "a", "C": "3.10"}
    assert loaded.stages[0].steps[0].timeout_ms == 60_000


def test_overlay_names(tmp_path: Path) -> None:
    names = [path.name for path in overlays(tmp_path / "deploy.yml", "pr-42")]
    assert names == ["deploy.pr-42.yml", "deploy.pr-42.yaml", "deploy.pr.yml", "deploy.pr.yaml"]
    assert [path.name for path in overlays(tmp_path / "shipway.yaml", "prod")] == [
        "shipway.prod.yaml",
        "shipway.prod.yml",
    ]


def test_an_overlay_of_its_own_is_preferred(tmp_path: Path) -> None:
    loaded = _load(
        tmp_path, "values: {a: 0}\nsteps: [{run: x}]", "pr-4", **{"pr-4": "values: {a: 1}", "pr": "values: {a: 2}"}
    )
    assert loaded.values == {"a": 1}


def test_without_a_target_no_overlay_is_read(tmp_path: Path) -> None:
    assert _load(tmp_path, "steps: [{run: x}]", prod="nonsense: [").files == ("shipway.yml",)


def test_top_level_steps_are_the_stage_main(tmp_path: Path) -> None:
    (stage,) = _load(tmp_path, "steps: [{run: x}]").stages
    assert (stage.id, stage.path, stage.ordered, str(stage.where)) == ("main", (), True, "shipway.yml:3:1")
    assert stage.steps[0].path == ("steps", 0)


@pytest.mark.parametrize("target", ["../x", "Prod", "", "a/b", "x" * 65, ".", "a\n"])
def test_a_target_that_is_no_name_opens_no_file(tmp_path: Path, target: str) -> None:
    with pytest.raises(UsageError, match="is not the name of a target"):
        _load(tmp_path, "steps: [{run: x}]", target)


@pytest.mark.parametrize(
    ("target", "is_listed"), [("prod", True), ("pr-1", True), ("pr-", True), ("stage", False), (None, True)]
)
def test_targets_are_a_closed_list_of_names_and_patterns(tmp_path: Path, target: str | None, is_listed: bool) -> None:
    text = "targets: {prod: {}, pr-*: {}}\nsteps: [{run: x}]"
    if is_listed:
        assert _load(tmp_path, text, target).targets
    else:
        with pytest.raises(DeclarationError):
            _load(tmp_path, text, target)


def test_a_missing_file_is_said_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError) as caught:
        load_declaration(tmp_path / "deploy.yml", root=tmp_path)
    assert caught.value.reason is Reason.DECLARATION_MISSING
    assert caught.value.message == "`deploy.yml` cannot be read: no such file or directory"


def test_scalars_keep_their_spelling_where_text_is_wanted(tmp_path: Path) -> None:
    text = "steps: [{run: 3.10, name: 0.50, if: true, shell: 1e3, env: {A: 1.0, B: ~x, C: on}}]"
    (step,) = _load(tmp_path, text).stages[0].steps
    assert (step.run, step.name, step.condition, step.shell) == ("3.10", "0.50", "true", "1e3")
    assert step.env == {"A": "1.0", "B": "~x", "C": "on"}


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({"id": "a", "name": "B", "run": "c"}, "a"),
        ({"name": "Build the Image!", "run": "c"}, "build-the-image"),
        ({"run": "\n  ./db up --now\nmore"}, "db-up-now"),
        ({"name": "日本", "run": "make all"}, "make-all"),
        ({"uses": "file.write"}, "file-write"),
        ({"run": "echo one two three four five six seven eight"}, "echo-one-two-three-four-five-six"),
        ({"run": "echo " + "x" * 40}, "echo"),
        ({"run": "x" * 40}, "x" * 32),
        ({"run": 3.5}, "3-5"),
        ({"run": "!!"}, ""),
        ({}, ""),
    ],
)
def test_ids_of_steps_without_one(step: dict[str, Json], expected: str) -> None:
    assert derived_id(step) == expected


def test_references_are_compared_without_regard_to_case(tmp_path: Path) -> None:
    text = "secrets: [TOKEN]\nvalues: {Tag: 1}\nsteps: [{run: x, env: {A: '${{ Secrets.token }} ${{ VALUES.tag }}'}}]"
    assert _load(tmp_path, text).secrets == ("TOKEN",)


def test_outputs_of_actions_are_left_to_the_registry(tmp_path: Path) -> None:
    text = "steps: [{uses: file.write}, {run: x, env: {A: '${{ steps.file-write.outputs.any }}'}}]"
    assert _load(tmp_path, text).stages[0].steps[0].action == "file.write"


def test_a_step_may_refer_to_any_step_before_it(tmp_path: Path) -> None:
    text = "steps:\n  b: {run: x, env: {A: '${{ steps.a.outputs.o }}'}}\n  a: {run: x, outputs: {o: string}}"
    assert len(_load(tmp_path, text).stages[0].steps) == 2


# The schema ----------------------------------------------------------------------------------------------------------

_SAME_KEYS: tuple[tuple[tuple[str, ...], type, set[str], set[str]], ...] = (
    ((), declaration.Declaration, {"file", "files", "source", "step_locks"}, {"version", "shipway", "steps"}),
    (("properties", "defaults"), declaration.Defaults, set(), set()),
    (("properties", "targets", "additionalProperties"), declaration.TargetRule, set(), set()),
    (("properties", "inputs", "additionalProperties"), declaration.InputRule, set(), set()),
    (("$defs", "stage"), declaration.Stage, {"id", "path", "where", "ordered"}, set()),
    (("$defs", "step"), declaration.Step, {"action", "body", "path", "templates", "where"}, {"until", "uses", "steps"}),
    (("$defs", "step", "properties", "retry"), declaration.Retry, set(), set()),
    (("$defs", "step", "properties", "plan"), declaration.PlanCommand, set(), set()),
    (("$defs", "step", "properties", "undo"), declaration.UndoCommand, set(), set()),
    (("$defs", "step", "properties", "outputs", "additionalProperties", "then"), declaration.OutputRule, set(), set()),
)
_FIELD_OF_KEY = {
    "compensate": "compensation",
    "if": "condition",
    "lock": "is_locked",
    "policy": "policies",
    "with": "with_",
    "timeout": "timeout_ms",
    "initial": "initial_ms",
    "max": "max_ms",
    "jitter": "jitter_percent",
    "every": "every_ms",
}


def _schema() -> dict[str, Json]:
    loaded: dict[str, Json] = json.loads(schema.schema_text("declaration"))
    return loaded


@pytest.mark.parametrize(
    ("path", "kind", "computed", "folded"), _SAME_KEYS, ids=lambda value: getattr(value, "__name__", "")
)
def test_keys_of_the_schema_are_the_fields_of_the_values(
    path: tuple[str, ...], kind: type[Struct], computed: set[str], folded: set[str]
) -> None:
    """`computed` fields have no key of their own; `folded` keys arrive under another field's name."""
    rules: Json = _schema()
    for part in path:
        assert isinstance(rules, dict)
        rules = rules[part]
    assert isinstance(rules, dict)
    keys = rules["properties"]
    assert isinstance(keys, dict)
    fields = set(kind.__struct_fields__)
    assert {_FIELD_OF_KEY.get(key, key) for key in keys} - folded == fields - computed


def test_every_key_of_the_schema_is_described_and_documented() -> None:
    text = _DOCS.read_text(encoding="utf-8")
    for key, rules in _keys(_schema()):
        is_described = "description" in rules or str(rules.get("$ref")).startswith("#/$defs/step")
        assert is_described, f"`{key}` has no description"
        assert f"`{key}`" in text, f"`{key}` is not in docs/declaration.md"


def _keys(rules: Json) -> list[tuple[str, dict[str, Json]]]:
    found: list[tuple[str, dict[str, Json]]] = []
    if isinstance(rules, dict):
        properties = rules.get("properties")
        if isinstance(properties, dict):
            found += [(key, value) for key, value in properties.items() if isinstance(value, dict)]
        for value in rules.values():
            found += _keys(value)
    return found


def test_patterns_mean_the_same_to_both_validators() -> None:
    patterns = re.findall(r'"pattern": "([^"]*)"', schema.schema_text("declaration"))
    assert patterns
    for pattern in patterns:
        assert not re.search(r"\\[dwspc]", pattern)


@pytest.mark.parametrize(("name", "pattern"), [("duration", PATTERN), ("rate", RATE_PATTERN)])
def test_the_schema_knows_the_form_of_durations_and_rates(name: str, pattern: str) -> None:
    rules = _schema()["$defs"]
    assert isinstance(rules, dict)
    rule = rules[name]
    assert isinstance(rule, dict)
    assert rule["pattern"] == pattern


def test_check_gives_paths_and_texts() -> None:
    data: Json = {"version": 1, "name": "x", "steps": [{"run": "a", "retry": {"attemps": 3}}]}
    assert schema.check("declaration", data) == [
        (("steps", 0, "retry", "attemps"), "unknown key `attemps` in `retry` of step `a` (did you mean `attempts`?)")
    ]


def test_check_refuses_what_no_json_file_can_hold() -> None:
    ((path, text),) = schema.check("declaration", {"version": 1, "name": "\ud800", "steps": []})
    assert path == ()
    assert text.startswith("not a JSON document")


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 10)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("ab1-${}. ", max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "run", "uses", "with", "needs"]), inner, max_size=3)
    ),
    max_leaves=8,
)
_STEP_KEYS = [
    "id",
    "name",
    "needs",
    "if",
    "run",
    "uses",
    "with",
    "env",
    "plan",
    "outputs",
    "retry",
    "timeout",
    "limits",
    "until",
    "rum",
]
_STEPS = st.lists(st.dictionaries(st.sampled_from(_STEP_KEYS), _JSON, max_size=4), max_size=3) | _JSON
_STAGE = st.fixed_dictionaries(
    {}, optional={"steps": _STEPS, "mode": _JSON, "needs": _JSON, "env": _JSON, "if": _JSON, "x": _JSON}
)
_SHAPES = st.fixed_dictionaries(
    {},
    optional={
        "version": st.just(1) | _JSON,
        "name": st.just("x") | _JSON,
        "stages": st.dictionaries(st.sampled_from(["a", "b", "B"]), _STAGE, max_size=3) | _JSON,
        **dict.fromkeys(("steps",), _STEPS),
        **dict.fromkeys(("values", "inputs", "secrets", "limits", "targets", "defaults", "shipway", "y"), _JSON),
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(_SHAPES)
def test_whatever_the_shape_only_a_refusal_comes_out(tmp_path: Path, data: dict[str, Json]) -> None:
    file = tmp_path / "shipway.yml"
    file.write_text(json.dumps(data), encoding="utf-8")
    try:
        loaded = load_declaration(file, root=tmp_path, target="prod")
    except DeclarationError as error:
        problems = error.problems
    else:
        assert loaded.stages
        return
    assert problems
    assert len(set(problems)) == len(problems)
    assert all(problem.where and problem.text == problem.text.strip() for problem in problems)
    assert not any("is not valid under" in problem.text or "does not match" in problem.text for problem in problems)


# The documentation ---------------------------------------------------------------------------------------------------


def _headings(text: str) -> set[str]:
    return {
        re.sub("[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in re.findall("^#+ .*$", text, re.M)
    }


def test_every_section_that_an_error_points_at_exists() -> None:
    headings = _headings(_DOCS.read_text(encoding="utf-8"))
    pointed = set()
    for expected in (Path(__file__).parent / "cases" / "bad").glob("*/expected.err"):
        pointed |= set(re.findall(r"declaration\.md#([a-z-]+)", expected.read_text(encoding="utf-8")))
    assert pointed <= headings
    assert len(pointed) > 10


def test_every_context_is_documented() -> None:
    text = _DOCS.read_text(encoding="utf-8")
    assert all(f"`{context}" in text for context in CONTEXTS)


@pytest.mark.parametrize(
    "example", re.findall(r"```yaml\n(version: 1\n.*?)```", _DOCS.read_text(encoding="utf-8"), re.S)
)
def test_examples_of_the_documentation_load(tmp_path: Path, example: str) -> None:
    file = tmp_path / "shipway.yml"
    file.write_text(example, encoding="utf-8")
    assert load_declaration(file, root=tmp_path).stages
