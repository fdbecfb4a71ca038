"""The action `preview.ports`: probes where the ports are used, leases there, keeps what is leased and gives it back."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipway.action import ActionFailed, Done, Work
from shipway.actions.preview_ports import PreviewPorts
from shipway.canonical import Json
from shipway.environments import Environments
from shipway.nodes import Change, Fidelity, Outcome, Verified
from shipway.port_blocks import Owner
from shipway.port_leases import PortLeases
from shipway.shelf import Shelf
from shipway.stores.local_files import LocalFiles
from tests.contracts.action import CHECKS, ActionCase, plan_work, work
from tests.remote_host import RemoteHost

BASE = {"PATH": os.environ["PATH"], "HOME": "/dev/null/home"}


def inputs_of(root: Path, target: str = "pr-42", **more: Json) -> dict[str, Json]:
    compute: Json = {"kind": "local", "root": str(root)}
    return {"lifecycle": "shop", "target": target, "compute": compute, "names": ["api", "web"], **more}


CASES = [ActionCase("two names", PreviewPorts, inputs_of(Path("/")), env=BASE)]


# What it hands on its node says: a port for each name.
@pytest.mark.parametrize("check", [check for check in CHECKS if check.__name__ != "check_plan_foretells"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_keeps_the_contract_of_actions(check: Callable[[ActionCase], None], case: ActionCase) -> None:
    check(case)


class Place:
    """A workspace with a store."""

    def __init__(self, folder: Path) -> None:
        self.root, store = folder / "root", folder / "store"
        self.root.mkdir()
        store.mkdir()
        self.store = LocalFiles(store)
        self.leases = PortLeases(self.store)

    def work(self, inputs: Mapping[str, Json]) -> Work:
        target = str(inputs["target"])
        shelf = Shelf("shop", target, lambda: self.store, is_private=True)
        made = work(ActionCase("", PreviewPorts, inputs, env=BASE), self.root, self.root)
        return replace(made, shelf=shelf)

    def do(self, inputs: Mapping[str, Json]) -> Done:
        return PreviewPorts().do(self.work(inputs))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_p68_p72_ports_are_leased_kept_and_given_back(place: Place) -> None:
    first = place.do(inputs_of(place.root))
    assert first.outputs == {"api": 61400, "web": 61401, "made": 1}
    assert place.leases.of(platform.node(), Owner("shop", "pr-42")) == {"api": 61400, "web": 61401}
    assert place.do(inputs_of(place.root)).unchanged
    more = place.do(inputs_of(place.root, names=["aaa", "api", "web"]))
    assert more.outputs == {"aaa": 61402, "api": 61400, "web": 61401, "made": 1}, "the others go on as they are"
    gone = place.do(inputs_of(place.root, remove=True))
    assert not gone.unchanged
    assert place.leases.of(platform.node(), Owner("shop", "pr-42")) == {}
    assert place.do(inputs_of(place.root, remove=True)).unchanged
    record = Environments(place.store, "shop").read("pr-42")
    assert record is not None and record.checkpoints == {}


def test_p71_stopped_environments_keep_their_ports(place: Place) -> None:
    ports = [place.do(inputs_of(place.root, f"pr-{number}")).outputs["api"] for number in (3, 18)]
    assert ports == [62500, 62600], "nothing listens on either"


def test_a_failed_first_up_gives_them_back_and_a_later_one_keeps_them(place: Place) -> None:
    done = place.do(inputs_of(place.root))
    more = place.do(inputs_of(place.root, names=["api", "more", "web"]))
    later = replace(place.work(inputs_of(place.root)), outcome=Outcome.SUCCEEDED, state=more.undo)
    PreviewPorts().undo(later)
    assert len(place.leases.of(platform.node(), Owner("shop", "pr-42"))) == 3
    PreviewPorts().undo(replace(later, state=done.undo))
    assert place.leases.of(platform.node(), Owner("shop", "pr-42")) == {}


def test_leases_that_went_are_taken_again(place: Place) -> None:
    place.do(inputs_of(place.root))
    place.leases.release(Owner("shop", "pr-42"))
    assert PreviewPorts().verify(place.work(inputs_of(place.root))) is Verified.GONE
    again = place.do(inputs_of(place.root))
    assert again.outputs == {"api": 61400, "web": 61401, "made": 2}
    assert PreviewPorts().verify(place.work(inputs_of(place.root))) is Verified.HOLDS


def test_p73_a_port_on_which_something_listens_there_is_not_leased(place: Place, where: RemoteHost | None) -> None:
    inputs: dict[str, Json] = inputs_of(place.root)
    name = platform.node()
    if where is not None:
        inputs |= {"compute": where.compute(place.root), "ssh": where.ssh(place.root)}
        name = f"127.0.0.1:{where.port}"
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 61400))
        listener.listen()
        assert place.do(inputs).outputs == {"api": 61401, "web": 61402, "made": 1}
    assert place.leases.of(name, Owner("shop", "pr-42")) == {"api": 61401, "web": 61402}
    assert [each.host for each in place.leases.all()] == [name.replace(":", "-3a-")]


def test_p74_a_fixed_port_that_is_held_fails_the_node_naming_the_holder(place: Place) -> None:
    place.do(inputs_of(place.root, fixed={"api": 61999}))
    with pytest.raises(
        ActionFailed, match=r"port 61999 of `web` is leased by `api` of the environment `pr-42` of `shop`"
    ):
        place.do(inputs_of(place.root, "pr-1", fixed={"web": 61999}))
    with pytest.raises(ActionFailed, match="the fixed port of `web` is `70000`, which is none"):
        place.do(inputs_of(place.root, "pr-1", fixed={"web": 70000}))


def test_an_environment_that_moved_to_another_host_leaves_nothing_on_the_first(place: Place, host: RemoteHost) -> None:
    place.do(inputs_of(place.root))
    there = {**inputs_of(place.root), "compute": host.compute(place.root), "ssh": host.ssh(place.root)}
    done = place.do({**there, "names": ["api", "other", "web"]})
    assert done.outputs["api"] == 61400
    assert place.leases.of(platform.node(), Owner("shop", "pr-42")) == {}


def test_the_plan_says_what_is_kept_made_and_given_back(place: Place) -> None:
    def plan(**more: Json) -> tuple[Change, Fidelity, str, Mapping[str, Json]]:
        inputs = {**inputs_of(place.root), **more}
        planned = plan_work(ActionCase("", PreviewPorts, inputs, env=BASE), place.root)
        said = PreviewPorts().plan(replace(planned, shelf=place.work(inputs).shelf))
        return said.change, said.fidelity, said.why, said.outputs

    assert plan() == (Change.CREATE, Fidelity.OPAQUE, "not made yet", {})
    done = place.do(inputs_of(place.root))
    assert plan() == (Change.NOOP, Fidelity.PREDICTED, "inputs unchanged, verified", done.outputs)
    assert plan(names=["api"])[::2] == (Change.UPDATE, "`names` changed")
    assert plan(remove=True)[0] is Change.DELETE
