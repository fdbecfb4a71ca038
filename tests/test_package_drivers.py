"""What drivers run and how they read answers. Of brew, dnf and winget the answers are recorded shapes of documented output."""

from __future__ import annotations

import json

import pytest

from shipway.packages import HERE, Driver, Listing, Offer, Wanted, Where
from shipway.registry import driver_names, find_driver

BREW_INFO = {
    "formulae": [
        {
            "name": "wget",
            "full_name": "wget",
            "versions": {"stable": "1.24.5", "head": "HEAD", "bottle": True},
            "revision": 0,
        },
        {"name": "node@22", "full_name": "node@22", "versions": {"stable": "22.2.0", "head": None}, "revision": 1},
    ],
    "casks": [{"token": "iterm2", "full_token": "iterm2", "version": "3.5.2"}],
}

WINGET_LIST = """\
Name                    Id                    Version      Available  Source
------------------------------------------------------------------------------
Git                     Git.Git               2.45.1       2.45.2     winget
Microsoft Visual C++ …  Microsoft.VCRedist.x… 14.38.33135             winget
Windows Software        Local\\Thing           1.0
"""

WINGET_SHOW = """\
Found Git [Git.Git]
Version: 2.45.2
Publisher: The Git Development Community
Installer:
  Installer Type: inno
"""

APT_POLICY = """\
hello:
  Installed: 2.9-2
  Candidate: 2.10-3
  Version table:
     2.10-3 500
        500 http://deb.debian.org/debian bookworm/main amd64 Packages
 *** 2.9-2 100
        100 /var/lib/dpkg/status
ghost:
  Installed: (none)
  Candidate: (none)
  Version table:
"""


def driver(name: str) -> Driver:
    found = find_driver(name)
    assert found is not None
    return found


def test_every_manager_has_a_driver_of_its_name() -> None:
    assert driver_names() == ["apt", "brew", "dnf", "npm", "pip", "winget"]
    assert [driver(name).name for name in driver_names()] == driver_names()
    assert find_driver("yum") is None


@pytest.mark.parametrize(
    ("manager", "text", "wanted"),
    [
        ("apt", "g++=4:12.2.0-3", Wanted("g++", "4:12.2.0-3")),
        ("apt", "libc6:i386", Wanted("libc6:i386")),
        ("pip", "coverage[toml]==7.5.1", Wanted("coverage[toml]", "7.5.1")),
        ("npm", "@angular/cli@17.0.0", Wanted("@angular/cli", "17.0.0")),
        ("npm", "@angular/cli", Wanted("@angular/cli")),
        ("brew", "node@22", Wanted("node@22")),
        ("brew", "owner/tap/tool=1.2", Wanted("owner/tap/tool", "1.2")),
        ("dnf", "bind=32:9.18.1-1.fc40", Wanted("bind", "32:9.18.1-1.fc40")),
        ("winget", "Git.Git=2.45.1", Wanted("Git.Git", "2.45.1")),
    ],
)
def test_a_package_is_written_as_its_manager_writes_it(manager: str, text: str, wanted: Wanted) -> None:
    assert driver(manager).parse(text) == wanted


@pytest.mark.parametrize("manager", ["apt", "brew", "dnf", "npm", "pip", "winget"])
@pytest.mark.parametrize("text", ["", "--root", "-y", "a b", "a;b", "$(x)", "a=", "a==", "a@", "../x", "a\nb", "=1"])
def test_no_package_can_pass_for_an_option_or_two_words(manager: str, text: str) -> None:
    if manager == "brew" and text == "a@":
        return  # a formula's name
    with pytest.raises(ValueError, match="no package for"):
        driver(manager).parse(text)


@pytest.mark.parametrize(
    ("manager", "text"),
    [("pip", "x.whl"), ("pip", "x.tar.gz"), ("pip", "X.ZIP[more]"), ("npm", "x.tgz"), ("npm", "x.tar.gz@1.0.0")],
)
def test_no_name_of_a_file_of_the_checkout_is_a_package(manager: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"no package for {manager}"):
        driver(manager).parse(text)


@pytest.mark.parametrize("text", ["hello-", "hello=2.10-3-", "libc6:i386-", "hello:amd64=2.10-"])
def test_apt_takes_no_name_that_would_remove(text: str) -> None:
    with pytest.raises(ValueError, match="no package for apt"):
        driver("apt").parse(text)


@pytest.mark.parametrize(
    ("manager", "where", "install"),
    [
        ("brew", HERE, ["brew install --formula a b"]),
        ("brew", Where(cask=True), ["brew install --cask a b"]),
        ("dnf", HERE, ["dnf --assumeyes --quiet install -- a-1.2 b"]),
        ("dnf", Where("/image"), ["dnf --assumeyes --quiet --installroot=/image install -- a-1.2 b"]),
        ("npm", Where("/tools"), ["npm install --global --prefix=/tools -- a@1.2 b"]),
        ("pip", HERE, ["python3 -I -m pip install -- a==1.2 b"]),
        ("pip", Where("/venv"), ["/venv/bin/python -I -m pip install -- a==1.2 b"]),
        (
            "winget",
            HERE,
            [
                "winget install --exact --id a --version 1.2 --force --accept-package-agreements"
                " --accept-source-agreements --disable-interactivity --silent",
                "winget install --exact --id b --accept-package-agreements --accept-source-agreements"
                " --disable-interactivity --silent",
            ],
        ),
    ],
)
def test_command_lines(manager: str, where: Where, install: list[str]) -> None:
    calls = driver(manager).install([Wanted("a", "1.2"), Wanted("b")], where)
    assert [" ".join(call.argv) for call in calls] == install


def test_apt_reads_states_and_architectures() -> None:
    out = "ii \tdpkg\tamd64\t1.21\nii \tlibc6\tamd64\t2.36\nii \tlibc6\ti386\t2.36\nii \ttz\tall\t2024a\n"
    out += "rc \told\tamd64\t1.0\nun \tnone\t\t\n"
    found = driver("apt").read_installed(out)
    versions = {"dpkg": "1.21", "libc6": "2.36", "libc6:i386": "2.36", "tz": "2024a"}
    assert found == Listing(versions, frozenset({"old"}))
    assert driver("apt").read_installed("") == Listing({})


@pytest.mark.parametrize(
    ("manager", "out", "versions"),
    [
        ("brew", "wget 1.24.5\npython@3.12 3.12.1 3.12.3_1\n", {"wget": "1.24.5", "python@3.12": "3.12.3_1"}),
        ("dnf", "bash\t0:5.2-3.fc40\nbind\t32:9.18-1.fc40\nkernel\t0:6.9-1\nkernel\t0:6.10-1\n",
         {"bash": "5.2-3.fc40", "bind": "32:9.18-1.fc40", "kernel": "6.10-1"}),
        ("npm", '{"name": "lib", "dependencies": {"a": {"version": "1.0.0"}, "b": {"missing": true}}}', {"a": "1.0.0"}),
        ("npm", '{"name": "lib"}', {}),
        ("pip", '[{"name": "Zope.Interface_x", "version": "6.4"}]', {"zope-interface-x": "6.4"}),
        ("winget", WINGET_LIST, {"Git.Git": "2.45.1", "Microsoft.VCRedist.x…": "14.38.33135", "Local\\Thing": "1.0"}),
        ("winget", "\r   - \r" + WINGET_LIST.replace("\n", "\r\n"),
         {"Git.Git": "2.45.1", "Microsoft.VCRedist.x…": "14.38.33135", "Local\\Thing": "1.0"}),
    ],
)  # fmt: skip
def test_what_is_installed_is_read(manager: str, out: str, versions: dict[str, str]) -> None:
    assert driver(manager).read_installed(out).versions == versions


@pytest.mark.parametrize(
    ("manager", "out"),
    [("apt", "hello 1.0\n"), ("dnf", "bash 5.2\n"), ("npm", ""), ("pip", "no"), ("winget", "No package\n")],
)
def test_an_answer_of_another_form_is_refused(manager: str, out: str) -> None:
    with pytest.raises(ValueError):
        driver(manager).read_installed(out)


@pytest.mark.parametrize(
    ("manager", "out", "offers"),
    [
        ("apt", APT_POLICY, {"hello": Offer("2.10-3", ("2.10-3", "2.9-2"))}),
        ("brew", json.dumps(BREW_INFO), {
            "wget": Offer("1.24.5", ("1.24.5",)),
            "node@22": Offer("22.2.0_1", ("22.2.0_1",)),
            "iterm2": Offer("3.5.2", ("3.5.2",)),
        }),
        ("dnf", "wget\t0:1.21-1\nwget\t0:1.24-1\n", {"wget": Offer("1.24-1", ("1.21-1", "1.24-1"))}),
        ("npm", '{"name": "a", "version": "2.0.0", "versions": ["1.0.0", "2.0.0"]}', {"a": Offer("2.0.0", ("1.0.0", "2.0.0"))}),
        ("npm", '{"error": {"code": "E404"}}', {}),
        ("pip", "a_b (1.10)\nAvailable versions: 1.10, 1.9\n", {"a-b": Offer("1.10", ("1.10", "1.9"))}),
        ("pip", "", {}),
        ("winget", WINGET_SHOW, {"Git.Git": Offer("2.45.2")}),
        ("winget", "No package found matching input criteria.\n", {}),
    ],
)  # fmt: skip
def test_what_could_be_installed_is_read(manager: str, out: str, offers: dict[str, Offer]) -> None:
    assert driver(manager).read_offers(out) == offers


@pytest.mark.parametrize(
    ("manager", "installed", "wanted", "holds"),
    [
        ("apt", "0:1.0", "1.0", True),
        ("pip", "1.0+cu118", "1.0.0", True),
        ("pip", "1.0+cu118", "1.0+cpu", False),
        ("npm", "1.0.0+b1", "1.0.0", True),
        ("brew", "1.0_1", "1.0", True),
        ("brew", "1.0_1", "1.0_2", False),
        ("dnf", "1:1.24-2.fc40", "1.24", True),
        ("dnf", "1.24-2.fc40", "1.24-1.fc40", False),
        ("winget", "2.45.1.0", "2.45.1", True),
    ],
)
def test_a_pin_holds_as_far_as_it_says(manager: str, installed: str, wanted: str, holds: bool) -> None:
    assert driver(manager).holds(installed, wanted) is holds
