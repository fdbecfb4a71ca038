"""Which folders are for a machine, what a file's name says is done with it, and who wins a target: the seeds' numbers."""

from __future__ import annotations

import pytest

from shipway.canonical import object_of
from shipway.collisions import Candidate, settle
from shipway.file_names import Destined, Making, destined
from shipway.segments import Machine, Segmented, UnknownSegment, platform_words, settled, take_apart

MAC = Machine("Darwin", "arm64")
UBUNTU = Machine("Linux", "amd64", "Ubuntu")


def fits(name: str, machine: Machine) -> bool:
    return take_apart(name).fits(machine.words)


def test_case_g108_a_folder_is_a_project_and_its_suffixes() -> None:
    assert take_apart("all.Darwin.arm64") == Segmented("all", ("Darwin", "arm64"))
    assert take_apart("all.Darwin.arm64").specificity == 2
    assert take_apart("all") == Segmented("all", ())
    assert take_apart("all").specificity == 0
    assert take_apart(".config") == Segmented(".config", ())


@pytest.mark.parametrize("suffix", ["", ".Darwin", ".Unix", ".arm64", ".Darwin.arm64", ".Unix.arm64"])
def test_case_g109_what_is_for_a_mac(suffix: str) -> None:
    assert fits("all" + suffix, MAC)


@pytest.mark.parametrize("suffix", [".Linux", ".amd64", ".Ubuntu", ".Darwin.amd64"])
def test_case_g109_what_is_not_for_a_mac(suffix: str) -> None:
    assert not fits("all" + suffix, MAC)


def test_case_g109_a_distribution_and_the_family() -> None:
    assert fits("all.Linux.Ubuntu", UBUNTU)
    assert fits("all.Unix.Ubuntu", UBUNTU)
    assert not fits("all.Darwin", UBUNTU)
    assert not fits("all.Debian", UBUNTU)
    for system in ("Windows", "FreeBSD"):
        assert not fits("all.Unix", Machine(system, "amd64"))
    assert platform_words("linux", "debian") == ("Linux", "Debian")
    assert platform_words("freebsd", "") == ("FreeBSD", "")


def test_case_g110_a_declared_segment() -> None:
    unset = Machine("Linux", "amd64", custom=settled({"ROLE": None}, {}, {}))
    assert not fits("x.desktop", unset)
    desktop = Machine("Linux", "amd64", custom=settled({"ROLE": None}, {"ROLE": "desktop"}, {}))
    assert fits("x.desktop", desktop)
    assert not fits("x.server", desktop)


def test_case_g110_only_a_declared_segment_can_be_set() -> None:
    with pytest.raises(UnknownSegment, match="`ROLLE`") as caught:
        settled({"ROLE": None}, {"ROLLE": "desktop"}, {})
    assert caught.value.hint == "did you mean `ROLE`?"
    env = {"SHIPWAY_SEGMENT_ROLE": "server", "SHIPWAY_SEGMENT_OTHER": "x"}
    assert settled({"ROLE": "desktop"}, {"ROLE": "laptop"}, env) == {"ROLE": "server"}


@pytest.mark.parametrize(
    ("name", "target", "makings"),
    [
        ("foo", "foo", ()),
        ("foo.template", "foo", (Making.RENDER,)),
        ("foo.j2", "foo", (Making.RENDER,)),
        ("foo.sops", "foo", (Making.DECRYPT,)),
        ("foo.age", "foo", (Making.DECRYPT,)),
        ("config.yaml.template.sops", "config.yaml", (Making.DECRYPT, Making.RENDER)),
        ("config.yaml.age.j2", "config.yaml", (Making.RENDER, Making.DECRYPT)),
        (".template", ".template", ()),
    ],
)
def test_case_g111_a_name_says_target_and_what_is_done(name: str, target: str, makings: tuple[Making, ...]) -> None:
    assert destined(name) == Destined(target, makings)
    assert destined(name).is_secret == (Making.DECRYPT in makings)


def test_case_g111_a_name_may_be_taken_as_it_is() -> None:
    assert destined("foo.age", ["*.age"]) == Destined("foo.age")
    assert destined("foo.template.sops", ["*.template"]) == Destined("foo.template", (Making.DECRYPT,))


def candidate(path: str, layer: str, specificity: int = 0, *, root: str = "home", project: str = "all") -> Candidate:
    height = ["base", "team", "personal"].index(layer)
    source = f"{layer}/{project}{'.x' * specificity}/{path}"
    return Candidate(root, path, source, layer, height, project, specificity, destined(path))


def test_case_g112_the_highest_layer_wins_whatever_the_specificity() -> None:
    base, team, personal = candidate("f", "base", 1), candidate("f", "team"), candidate("f", "personal")
    settled_ = settle([base, personal, team])
    assert settled_.winners == (personal,)
    assert [(one.winner, one.loser) for one in settled_.collisions] == [(personal, team), (personal, base)]
    assert not settled_.undecided
    told = object_of(settled_.collisions[1].to_json())
    assert object_of(told["loser"]) == {"layer": "base", "project": "all", "specificity": 1, "source": base.source}
    assert object_of(told["winner"])["layer"] == "personal"


def test_case_g112_within_a_layer_the_more_specific_wins() -> None:
    general, special = candidate("f", "base"), candidate("f", "base", 2)
    assert settle([general, special]).winners == (special,)
    assert settle([general, candidate("g", "base", 2)]).collisions == ()


def test_case_g112_files_of_two_roots_never_meet() -> None:
    home, etc = candidate("f", "base"), candidate("f", "personal", root="etc")
    assert settle([home, etc]).winners == (etc, home)
    assert settle([home, etc]).collisions == ()


def test_case_g112_what_is_equally_specific_is_not_decided() -> None:
    [text] = settle([candidate("f", "base"), candidate("f", "base", project="zsh")]).undecided
    assert "`base/all/f` and `base/zsh/f` both are for `f` of root `home`" in text
    hidden = settle([candidate("f", "base"), candidate("f", "base", project="zsh"), candidate("f", "team")])
    assert hidden.undecided == (), "a higher layer decides it"


def test_a_file_is_not_put_where_another_needs_a_folder() -> None:
    [text] = settle([candidate("a/b", "base"), candidate("a/b/c/d", "team"), candidate("a/b/c/e", "team")]).undecided
    assert "`base/all/a/b` is put where `team/all/a/b/c/d` needs a folder: `a/b` of root `home`" in text
