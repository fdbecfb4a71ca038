"""Shows which backend a stage gets, and that everything in the way is said at once and where it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

from shipway.backend import Backend, Capability, Cleanups, StageFacts, StagePlace, derive_required
from shipway.builder import GraphBuilder
from shipway.canonical import Json
from shipway.declaration import Declaration, Rollback, Stage
from shipway.errors import EXIT_USAGE, Problem, Reason, RunFailed, UsageError
from shipway.loading import load_declaration
from shipway.registry import Registry
from shipway.resolution import backend_failed, check_capabilities, check_stages, resolve
from shipway.source import parse
from shipway.state import Prior

ALL = tuple(Capability)


class Recorder:
    """A backend that notes when it is called, and fails with `fault` if it has one."""

    contract = 1

    def __init__(self, mode: str, name: str, lacks: Iterable[str], called: list[str], fault: str) -> None:
        self.mode = mode
        self.name = name
        self.capabilities = frozenset(capability for capability in ALL if capability not in set(lacks))
        self._called = called
        self._fault = fault

    def validate(self, stage: Stage, lifecycle: Declaration) -> list[Problem]:
        self._called.append(stage.id)
        if self._fault:
            raise ValueError(self._fault)
        return []

    def prepare(self, stage: Stage, place: StagePlace, cleanups: Cleanups) -> None:
        return

    def plan(self, stage: Stage, lifecycle: Declaration, builder: GraphBuilder, prior: Prior) -> Mapping[str, Json]:
        return {}


class World:
    """A registry with the given backends, `mode/name` to what it lacks."""

    def __init__(self, lacking: Mapping[str, Iterable[str]], fault: str = "") -> None:
        self.called: list[str] = []
        self.registry = Registry(lambda group: ())
        for key, lacks in lacking.items():
            self.registry.register_backend(self._maker(key, tuple(lacks), fault), key)

    def _maker(self, key: str, lacks: tuple[str, ...], fault: str) -> Callable[[], Backend]:
        mode, _, name = key.partition("/")
        return lambda: Recorder(mode, name, lacks, self.called, fault)


def _declared(text: str) -> Declaration:
    """A declaration of stages that the schema of today would not all pass: modes are what is resolved here."""
    tree = parse(text.encode(), "shipway.yml")
    data = tree.data
    assert isinstance(data, dict)
    stages = tuple(
        Stage(
            id=name,
            path=("stages", name),
            where=tree.locate(("stages", name), key=True),
            mode=stage["mode"],
            backend=stage.get("backend"),
            requires=tuple(stage.get("requires", ())),
            rollback=Rollback(stage["rollback"]) if "rollback" in stage else None,
        )
        for name, stage in data["stages"].items()
    )
    return Declaration("shop", "shipway.yml", ("shipway.yml",), tree, stages)


def _problems(call: Callable[[], object]) -> list[str]:
    with pytest.raises(UsageError) as caught:
        call()
    assert caught.value.exit_code == EXIT_USAGE
    return [f"{problem.where}: {problem.text}" for problem in caught.value.problems]


def test_l19_two_stages_of_one_backend_get_two_instances() -> None:
    world = World({"gitops/flux": []})
    found = resolve(_declared("stages: {a: {mode: gitops}, b: {mode: gitops, backend: flux}}"), world.registry)
    assert found["a"].key == found["b"].key == ("gitops", "flux")
    assert found["a"].backend is not found["b"].backend


def test_l20_a_mode_that_nobody_answers_lists_the_registered_ones_with_a_line_for_each_stage() -> None:
    world = World({"packages/brew": [], "compose/links": []})
    declaration = _declared('stages:\n  a: {mode: image}\n  b: {mode: compose}\n  c: {mode: ""}\n')
    assert _problems(lambda: resolve(declaration, world.registry)) == [
        'shipway.yml:2:13: no backend answers mode "image" (known: compose, files, packages, preview, steps)',
        'shipway.yml:4:13: no backend answers mode "" (known: compose, files, packages, preview, steps)',
    ]


def test_l20_the_error_names_phase_and_reason() -> None:
    with pytest.raises(UsageError) as caught:
        resolve(_declared("stages: {a: {mode: image}}"), World({}).registry)
    assert (caught.value.phase, caught.value.reason) == ("resolve", Reason.NO_BACKEND)
    assert caught.value.line == "stages: {a: {mode: image}}"


def test_l21_a_backend_that_the_mode_does_not_have_lists_those_it_has_and_nothing_else_is_tried() -> None:
    world = World({"gitops/flux": []})
    assert _problems(lambda: resolve(_declared("stages: {a: {mode: gitops, backend: argo}}"), world.registry)) == [
        'shipway.yml:1:37: mode gitops has no backend "argo" (it has: flux)'
    ]
    world = World({"gitops/flux": [], "gitops/argo": [], "gitops/werf": []})
    assert _problems(lambda: resolve(_declared("stages: {a: {mode: gitops, backend: fluxx}}"), world.registry)) == [
        'shipway.yml:1:37: mode gitops has no backend "fluxx" (it has: argo, flux, werf)'
    ]
    assert world.called == []


def test_l23_the_only_one_with_every_capability_is_chosen() -> None:
    world = World({"gitops/argo": ["reconcile"], "gitops/flux": [], "gitops/werf": ["rollback"]})
    declaration = _declared("stages: {a: {mode: gitops, rollback: stage}}")
    assert resolve(declaration, world.registry)["a"].key == ("gitops", "flux")


def test_l23_where_none_has_all_each_is_listed_with_what_it_lacks() -> None:
    world = World({"gitops/argo": ["reconcile", "rollback"], "gitops/flux": ["rollback"]})
    declaration = _declared("stages: {a: {mode: gitops, rollback: stage}}")
    assert _problems(lambda: resolve(declaration, world.registry)) == [
        'shipway.yml:1:20: stage "a": no backend of mode gitops has all that is required'
        " (argo lacks: reconcile, rollback; flux lacks: rollback)"
    ]


def test_l23_where_several_have_all_they_are_listed_and_a_name_is_asked_for() -> None:
    world = World({"gitops/argo": [], "gitops/flux": [], "gitops/werf": ["reconcile"]})
    with pytest.raises(UsageError) as caught:
        resolve(_declared("stages: {a: {mode: gitops}}"), world.registry)
    [problem] = caught.value.problems
    assert problem.text.endswith("more than one backend that can carry it out: argo, flux")
    assert problem.hint == "name one with `backend:`"


def test_an_installed_backend_changes_no_stage_that_a_built_in_one_carries_out() -> None:
    def fail(group: str) -> Iterable[object]:
        raise AssertionError("what is installed was looked at")

    declaration = _declared("stages: {a: {mode: steps}}")
    assert resolve(declaration, Registry(fail))["a"].key == ("steps", "shell")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "required"),
    [
        (StageFacts("playbooks"), "plan-execute reconcile"),
        (StageFacts("steps"), "plan-execute"),
        (StageFacts("steps", rollback=True), "plan-execute rollback"),
        (StageFacts("steps", requires=("container",), approval=True), "plan-execute container dry-run"),
        (StageFacts("preview", remote=True), "plan-execute remote"),
        (StageFacts("preview"), "plan-execute"),
        (StageFacts("files", with_={"scope": "impacted", "cluster": {}}), "plan-execute"),
        (
            StageFacts("steps", with_={"output": "live"}, records_deployment=True),
            "plan-execute forge-auth structured-progress",
        ),
        (StageFacts("gitops", requires=("reconcile", "dry-run"), approval=True), "plan-execute reconcile dry-run"),
    ],
)
def test_l24_each_stage_requires_what_it_itself_asks_for(facts: StageFacts, required: str) -> None:
    assert list(derive_required(facts)) == required.split()


def test_l25_all_that_a_gitops_stage_may_require_in_derivation_order() -> None:
    facts = StageFacts("gitops", with_={"cluster": {"name": "edge-1"}, "scope": "impacted"}, approval=True)
    assert [*derive_required(facts)] == ["plan-execute", "reconcile", "impact-analysis", "cluster-auth", "dry-run"]


def test_l26_what_a_named_backend_lacks_is_listed_in_derivation_order() -> None:
    world = World({"compose/docker": ["impact-analysis", "cluster-auth"]})
    declaration = _declared(
        "stages:\n  x:\n    mode: compose\n    backend: docker\n    requires: [impact-analysis, cluster-auth]\n"
    )
    resolved = resolve(declaration, world.registry)
    assert _problems(lambda: check_capabilities(declaration, resolved)) == [
        'shipway.yml:5:15: stage "x": backend docker lacks: impact-analysis, cluster-auth'
    ]


def test_l27_l28_all_stages_are_checked_before_any_backend_is_called() -> None:
    world = World({"gitops/flux": ["dry-run"], "steps/ours": []})
    declaration = _declared(
        "stages:\n"
        "  a: {mode: steps, backend: ours}\n"
        "  b: {mode: gitops, backend: flux, requires: [dry-run]}\n"
        "  c: {mode: gitops, backend: flux, requires: [dry-run]}\n"
    )
    resolved = resolve(declaration, world.registry)
    assert [line.partition(": ")[2] for line in _problems(lambda: check_stages(declaration, resolved))] == [
        'stage "b": backend flux lacks: dry-run',
        'stage "c": backend flux lacks: dry-run',
    ]
    assert world.called == []


def test_backends_check_their_stages_once_nothing_is_lacking() -> None:
    world = World({"gitops/flux": []})
    declaration = _declared("stages: {a: {mode: gitops}, b: {mode: gitops}}")
    check_stages(declaration, resolve(declaration, world.registry))
    assert world.called == ["a", "b"]


def test_l30_what_a_backend_raises_is_told_with_phase_stage_backend_and_place() -> None:
    world = World({"gitops/flux": []}, fault="no kustomization found")
    declaration = _declared("stages:\n  cluster: {mode: gitops}\n")
    with pytest.raises(RunFailed) as caught:
        check_stages(declaration, resolve(declaration, world.registry))
    error = caught.value
    assert str(error) == 'validate: stage "cluster" (gitops/flux): no kustomization found'
    assert isinstance(error.__cause__, ValueError)


def test_l30_an_error_of_ours_keeps_its_class_reason_and_next_step() -> None:
    declaration = _declared("stages:\n  cluster: {mode: gitops}\n")
    cause = UsageError("`path` is not there", reason=Reason.DECLARATION_INVALID, next="write `path`")
    error = backend_failed("validate", declaration, declaration.stages[0], ("gitops", "flux"), cause)
    assert isinstance(error, UsageError)
    assert (error.phase, error.stage, error.backend) == ("validate", "cluster", "gitops/flux")
    assert (error.reason, error.next) == (Reason.DECLARATION_INVALID, "write `path`")
    assert str(error.where) == "shipway.yml:2:3"
    assert error.line == "  cluster: {mode: gitops}"


def test_a_real_declaration_is_resolved(tmp_path: Path) -> None:
    (tmp_path / "shipway.yml").write_text("version: 1\nname: hello\nsteps:\n  - run: echo hello\n")
    declaration = load_declaration(tmp_path / "shipway.yml", root=tmp_path)
    assert {stage: found.key for stage, found in resolve(declaration, Registry()).items()} == {
        "main": ("steps", "shell")
    }
