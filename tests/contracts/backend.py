"""What every backend must do, as checks that anyone may run over their own. Needs Shipway and the standard library only.

Each check takes a BackendCase and raises AssertionError. `CHECKS` lists them.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shipway.backend import Backend, Capability, StagePlace
from shipway.builder import GraphBuilder
from shipway.builder_options import BuilderScope
from shipway.canonical import Json, canonical_bytes
from shipway.cleanup import remove_path
from shipway.declaration import Declaration, Stage
from shipway.errors import Problem
from shipway.loading import load_declaration
from shipway.node_json import node_from_json, node_json
from shipway.nodes import Node, Reads
from shipway.registry import Registry
from shipway.site import Site
from shipway.state import State

from .action import unchanged_process


@dataclass(frozen=True, slots=True)
class BackendCase:
    """A declaration that uses a backend in every stage. `registry` knows it; `files` stand beside the declaration.

    `wrong` is one in which the backend's own checks find a problem in every stage; empty where it checks nothing. `prior` is
    what exists before the run.
    """

    name: str
    mode: str
    backend: str
    declaration: str
    wrong: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    registry: Callable[[], Registry] = Registry
    prior: State = field(default_factory=State)


class _Cleanups:
    def __init__(self) -> None:
        self.removals: list[tuple[str, Callable[[], None]]] = []

    def register(self, name: str, remove: Callable[[], None]) -> None:
        self.removals.append((name, remove))

    def register_path(self, name: str, path: Path) -> None:
        self.register(name, lambda: remove_path(path))

    def run(self) -> None:
        while self.removals:
            self.removals.pop()[1]()


def check_description(case: BackendCase) -> None:
    """Key, contract and capabilities are what a stage is resolved by."""
    backend = _make(case)
    assert (backend.mode, backend.name) == (case.mode, case.backend)
    assert isinstance(backend.contract, int) and backend.contract >= 1
    assert set(backend.capabilities) <= set(Capability)
    assert Capability.PLAN_EXECUTE in backend.capabilities, "every stage requires it"


def check_is_fresh(case: BackendCase) -> None:
    """Each stage gets a backend of its own."""
    registry = case.registry()
    assert registry.make_backend(case.mode, case.backend) is not registry.make_backend(case.mode, case.backend)


def check_plan(case: BackendCase) -> None:
    """It plans without a problem, at least one node, all of them its stage's, each with an action that is there."""
    with _workspace(case, case.declaration) as (lifecycle, root):
        for stage in lifecycle.stages:
            nodes, context, problems = _planned(case, stage, lifecycle, root)
            assert not problems, problems
            assert nodes
            canonical_bytes(context)
            for node in nodes:
                assert node.stage.partition(".")[0] == stage.id and node.id.startswith(f"{node.stage}/")
                assert node.position.file == lifecycle.file, (
                    "a node does not say where in the declaration it comes from"
                )
                case.registry().require_action(node.action)


def check_plan_is_deterministic(case: BackendCase) -> None:
    """Two backends plan the same bytes, and nothing in the workspace changes."""
    with _workspace(case, case.declaration) as (lifecycle, root):
        before = _files(root)
        for stage in lifecycle.stages:
            first, second = (_bytes(_planned(case, stage, lifecycle, root)[0]) for _ in range(2))
            assert first == second
        assert _files(root) == before


def check_plan_is_enough(case: BackendCase) -> None:
    """A node that was written into a plan and read again is the same: nothing that it needs stays in the backend."""
    with _workspace(case, case.declaration) as (lifecycle, root):
        for stage in lifecycle.stages:
            for node in _planned(case, stage, lifecycle, root)[0]:
                assert node_json(node_from_json(node_json(node))) == node_json(node)
                assert str(root) not in str(node_json(node)), "a node holds a path of this machine"


def check_validate(case: BackendCase) -> None:
    """It finds nothing in what is right, and every fault, with its position, in what is wrong."""
    with _workspace(case, case.declaration) as (lifecycle, _):
        for stage in lifecycle.stages:
            assert _make(case).validate(stage, lifecycle) == []
    if case.wrong:
        with _workspace(case, case.wrong) as (lifecycle, _):
            for stage in lifecycle.stages:
                problems = _make(case).validate(stage, lifecycle)
                assert problems
                assert all(problem.text and problem.where is not None for problem in problems)


def check_cleanup(case: BackendCase) -> None:
    """What `prepare` made is gone once its removals have run, also where they run twice."""
    with _workspace(case, case.declaration) as (lifecycle, root):
        before = _files(root)
        for stage in lifecycle.stages:
            cleanups = _Cleanups()
            _make(case).prepare(stage, StagePlace(root, "prod"), cleanups)
            removals = list(cleanups.removals)
            cleanups.run()
            for _, remove in reversed(removals):
                remove()
        assert _files(root) == before


def check_leaves_process_alone(case: BackendCase) -> None:
    """Environment, working directory, open files, stdout and stderr are as before, whatever was asked of it."""
    with _workspace(case, case.declaration) as (lifecycle, root), unchanged_process():
        for stage in lifecycle.stages:
            cleanups = _Cleanups()
            _make(case).validate(stage, lifecycle)
            _make(case).prepare(stage, StagePlace(root, "prod"), cleanups)
            _planned(case, stage, lifecycle, root)
            cleanups.run()


CHECKS: tuple[Callable[[BackendCase], None], ...] = (
    check_description,
    check_is_fresh,
    check_plan,
    check_plan_is_deterministic,
    check_plan_is_enough,
    check_validate,
    check_cleanup,
    check_leaves_process_alone,
)


def _make(case: BackendCase) -> Backend:
    return case.registry().make_backend(case.mode, case.backend)


@contextlib.contextmanager
def _workspace(case: BackendCase, declaration: str) -> Iterator[tuple[Declaration, Path]]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, text in {**case.files, "shipway.yml": declaration}.items():
            root.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
            root.joinpath(name).write_text(text)
        yield load_declaration(root / "shipway.yml", root=root), root


def _planned(
    case: BackendCase, stage: Stage, lifecycle: Declaration, root: Path
) -> tuple[tuple[Node, ...], Mapping[str, Json], list[Problem]]:
    registry = case.registry()
    known: dict[str, Json] = {"target": "prod", "values": lifecycle.values}
    site = Site(root)
    scope = BuilderScope(known, registry.find_action, registry.action_names, {}, lambda patterns: Reads((), ""), site)
    builder = GraphBuilder(stage, scope)
    context = registry.make_backend(case.mode, case.backend).plan(stage, lifecycle, builder, lambda: case.prior)
    builder.check_references()
    return builder.nodes(), context, builder.problems


def _bytes(nodes: tuple[Node, ...]) -> bytes:
    return canonical_bytes([node_json(node) for node in nodes])


def _files(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
