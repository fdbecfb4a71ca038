"""Shows what `net.download` fetches from a real server, what it does about a faulty one, and that it asks none when it plans."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipway.action import ActionFailed, Done, Drifted
from shipway.actions.net_download import NetDownload
from shipway.canonical import Json
from shipway.nodes import Change, Fidelity, Outcome, Verified
from tests.contracts.action import (
    CHECKS,
    ActionCase,
    check_leaves_process_alone,
    check_undo,
    plan_work,
    tree,
    undo_work,
    work,
)
from tests.file_server import FileServer, serving
from tests.runs import declare, run

CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(FileServer(CONTENT)) as served:
        yield served


class Place:
    """A workspace into which something is downloaded."""

    def __init__(self, folder: Path, url: str, **slots: Json) -> None:
        self.root, self.recovery = folder / "work", folder / "recovery"
        self.root.mkdir()
        self.case = ActionCase("", NetDownload, {"url": url, "path": "out/file", **slots})

    def with_slots(self, **slots: Json) -> Place:
        self.case = replace(self.case, inputs={**self.case.inputs, **slots})
        return self

    def do(self) -> Done:
        return NetDownload().do(work(self.case, self.root, self.recovery))

    @property
    def part(self) -> Path:
        """Where the action keeps what came so far."""
        return work(self.case, self.root, self.recovery).scratch / "download/file.bin"

    @property
    def content(self) -> bytes:
        return (self.root / "out/file").read_bytes()


@pytest.fixture
def place(tmp_path: Path, server: FileServer) -> Place:
    return Place(tmp_path, server.url)


def _there(text: bytes, mode: int = 0o644) -> Callable[[Path], None]:
    def prepare(root: Path) -> None:
        (root / "out").mkdir()
        (root / "out/file").write_bytes(text)
        (root / "out/file").chmod(mode)

    return prepare


def _theirs(root: Path) -> None:
    (root / "out/file").write_text("theirs")


CASES = [
    ("new", {"path": "out/file"}, lambda root: None, _theirs, {"sha256": "0" * 64}),
    ("digest", {"path": "out/file", "sha256": DIGEST}, lambda root: None, None, {"max_bytes": 10}),
    ("there", {"path": "out/file", "sha256": f"sha256:{DIGEST.upper()}"}, _there(CONTENT), None, {"timeout": "5"}),
    ("over", {"path": "out/file", "mode": "0755"}, _there(b"old", 0o600), _theirs, {"path": "../x"}),
    ("artifact", {}, lambda root: None, None, {"sha256": "f" * 64}),
]


HERE = [check for check in CHECKS if check is not check_leaves_process_alone]
"""What is asked with the server in this process, whose open files come and go."""


@pytest.mark.parametrize("check", HERE, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize(("name", "slots", "prepare", "disturb", "breaks"), CASES, ids=[case[0] for case in CASES])
def test_downloading_keeps_the_contract(
    name: str,
    slots: dict[str, Json],
    prepare: Callable[[Path], None],
    disturb: Callable[[Path], None] | None,
    breaks: dict[str, Json],
    check: Callable[[ActionCase], None],
    server: FileServer,
) -> None:
    check(ActionCase(name, NetDownload, {"url": server.url, **slots}, prepare, disturb, breaks))


def test_downloading_leaves_the_process_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    command = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(tmp_path), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        try:
            port = server.stdout.readline().split(" port ")[1].split()[0]
            case = ActionCase("", NetDownload, {"url": f"http://127.0.0.1:{port}/file", "path": "out/file"})
            check_undo(case)  # so that what is imported once is
            check_leaves_process_alone(case)
        finally:
            server.kill()


def test_a_plan_asks_no_network_and_knows_by_the_digest_that_the_file_is_there(
    place: Place, server: FileServer
) -> None:
    _there(CONTENT)(place.root)
    said = NetDownload().plan(plan_work(place.with_slots(sha256=DIGEST).case, place.root))
    assert (said.change, said.fidelity) == (Change.NOOP, Fidelity.EXACT)
    assert place.do().unchanged
    assert server.asked == []


def test_what_comes_is_what_is_there_and_its_record_names_no_query(place: Place, server: FileServer) -> None:
    done = place.with_slots(url=server.url + "?token=hunter2").do()
    assert place.content == CONTENT
    assert done.outputs["sha256"] == DIGEST
    (record,) = done.records
    assert record.facts == {"how": "downloaded", "mode": "0644", "digest": f"sha256:{DIGEST}", "source": server.url}


def test_nobody_is_told_who_asks(place: Place, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.root / "netrc").write_text("machine 127.0.0.1 login me password hunter2")
    monkeypatch.setenv("NETRC", str(place.root / "netrc"))
    server.redirect = server.url.replace("http://", "http://me:hunter2@")
    place.with_slots(url=server.url.replace("file.bin", "moved")).do()
    assert len(server.asked) == 2
    assert all("authorization" not in asked and "cookie" not in asked for asked in server.asked)


@pytest.mark.parametrize(("status", "is_permanent"), [(404, True), (403, True), (500, False), (429, False)])
def test_an_answer_that_is_none_is_named_with_its_status(
    status: int, is_permanent: bool, place: Place, server: FileServer
) -> None:
    server.status, server.retry_after = status, "7"
    before = tree(place.root)
    with pytest.raises(ActionFailed, match=rf"`{server.url}` answered {status}") as caught:
        place.with_slots(url=f"{server.url}?key=hunter2").do()
    assert "hunter2" not in str(caught.value)
    assert (caught.value.is_permanent, caught.value.retry_after_ms) == (is_permanent, 7000)
    assert tree(place.root) == before


def test_a_cut_off_download_goes_on_where_it_was(place: Place, server: FileServer) -> None:
    server.cuts = [300_000, 300_000]
    place.do()
    assert place.content == CONTENT
    assert [asked.get("range") for asked in server.asked] == [None, "bytes=300000-", "bytes=600000-"]
    assert server.asked[1]["if-range"] == '"one"'


def test_the_next_attempt_goes_on_where_the_one_before_was_cut_off(place: Place, server: FileServer) -> None:
    server.cuts = [300_000, 0]
    with pytest.raises(ActionFailed, match="cannot be downloaded"):
        place.do()
    assert not (place.root / "out").exists()
    place.do()
    assert place.content == CONTENT
    assert server.asked[-1]["range"] == "bytes=300000-"


def test_a_time_of_change_serves_where_there_is_no_etag(place: Place, server: FileServer) -> None:
    server.etag, server.last_modified, server.cuts = "", "Sun, 22 Nov 2026 10:00:00 GMT", [1000]
    place.do()
    assert place.content == CONTENT
    assert server.asked[1]["if-range"] == server.last_modified


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_a_strong_validator_nothing_is_put_together(etag: str, place: Place, server: FileServer) -> None:
    server.etag, server.cuts = etag, [1000]
    with pytest.raises(ActionFailed, match="cannot be downloaded"):
        place.do()
    place.do()
    assert place.content == CONTENT
    assert all("range" not in asked for asked in server.asked)


def test_a_file_that_changed_meanwhile_is_fetched_anew(place: Place, server: FileServer) -> None:
    server.cuts = [1000, 0]
    with pytest.raises(ActionFailed, match="cannot be downloaded"):
        place.do()
    server.etag, server.content = '"two"', b"another"
    place.do()
    assert place.content == b"another"


def test_a_server_that_knows_no_ranges_sends_all_of_it_again(place: Place, server: FileServer) -> None:
    server.takes_ranges, server.cuts = False, [1000]
    place.do()
    assert place.content == CONTENT


def test_a_whole_download_that_nobody_took_is_asked_for_once_more(place: Place, server: FileServer) -> None:
    """Killed between the last byte and its digest: the range behind the end is not to be had, and what is there serves no one."""
    place.part.parent.mkdir(parents=True)
    place.part.write_bytes(CONTENT)
    place.part.with_name("file.bin.json").write_text(f'{{"url": "{server.url}", "validator": "\\"one\\""}}')
    place.do()
    assert place.content == CONTENT
    assert [asked.get("range") for asked in server.asked] == [f"bytes={len(CONTENT)}-", None]


def test_another_digest_puts_nothing_anywhere_and_is_not_kept(place: Place) -> None:
    with pytest.raises(ActionFailed, match=rf"has the digest {DIGEST}, not 0000"):
        place.with_slots(sha256="0" * 64).do()
    assert not (place.root / "out").exists()
    assert place.part.parent.is_dir() and not place.part.exists()


@pytest.mark.parametrize("is_chunked", [False, True], ids=["told", "not-told"])
def test_too_much_is_refused_by_what_is_told_or_by_what_comes(
    is_chunked: bool, place: Place, server: FileServer
) -> None:
    server.is_chunked = is_chunked
    with pytest.raises(ActionFailed, match="has more than 1000 bytes"):
        place.with_slots(max_bytes=1000).do()
    assert not (place.root / "out").exists()


def test_a_body_whose_length_is_not_told_comes_whole(place: Place, server: FileServer) -> None:
    server.is_chunked = True
    place.do()
    assert place.content == CONTENT


def test_who_does_not_go_on_is_not_waited_for(place: Place, server: FileServer) -> None:
    server.hangs, server.cuts, server.etag = threading.Event(), [1000], ""
    with pytest.raises(ActionFailed, match=r"cannot be downloaded: (no answer in time|ReadTimeoutError)"):
        place.with_slots(timeout="200ms").do()
    assert not (place.root / "out").exists()


def test_one_that_is_stopped_leaves_nothing(place: Place) -> None:
    with pytest.raises(ActionFailed, match="was stopped"):
        NetDownload().do(replace(work(place.case, place.root, place.recovery), cancelled=lambda: True))
    assert tree(place.root) == {}


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://x", "data:text/plain,x"])
def test_a_redirect_to_something_else_than_http_is_not_followed(to: str, place: Place, server: FileServer) -> None:
    server.redirect = to
    with pytest.raises(ActionFailed, match="which is not followed"):
        place.with_slots(url=server.url.replace("file.bin", "moved")).do()


def test_a_redirect_that_goes_round_is_given_up(place: Place, server: FileServer) -> None:
    server.redirect = "/moved"
    with pytest.raises(ActionFailed, match="redirects more than 10 times"):
        place.with_slots(url=server.url.replace("file.bin", "moved")).do()


def test_https_is_never_left_for_http() -> None:
    from shipway.downloads import _followed

    assert _followed("http://a/x", "https://b/y") == "https://b/y"
    assert _followed("https://a/x", "/y") == "https://a/y"
    for url in ("https://a/x", "HTTPS://a/x"):
        with pytest.raises(ActionFailed, match="redirects to `http:`"):
            _followed(url, "HTTP://a/x")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "/x", "http://", "http://me:pw@127.0.0.1/", "http://a b/", "http://[/", ""]
)
def test_an_address_that_is_none_or_holds_a_password_is_refused_when_planned(url: str, place: Place) -> None:
    with pytest.raises(ActionFailed) as caught:
        NetDownload().plan(plan_work(place.with_slots(url=url).case, place.root))
    assert "pw" not in str(caught.value)


def test_a_step_environment_names_the_proxy(place: Place, server: FileServer) -> None:
    proxy = server.url.removesuffix("/file.bin")
    case = replace(place.with_slots(url="http://elsewhere.invalid/f").case, env={"HTTP_PROXY": proxy})
    NetDownload().do(work(case, place.root, place.recovery))
    assert server.asked[0]["path"] == "http://elsewhere.invalid/f"


def test_undo_leaves_what_changed_since(place: Place) -> None:
    done = place.do()
    _theirs(place.root)
    with pytest.raises(Drifted):
        NetDownload().undo(undo_work(place.case, place.root, place.recovery, done))


@pytest.mark.parametrize("slots", [{}, {"path": "out/file"}], ids=["artifact", "path"])
@pytest.mark.parametrize("name", ["ledger.json", "ledger", "put-back", "git.json"])
def test_what_a_server_sends_is_never_taken_for_a_note_of_ours(
    name: str, slots: dict[str, Json], tmp_path: Path, server: FileServer
) -> None:
    place = Place(tmp_path, server.url.rpartition("/")[0] + f"/{name}")
    place.case = replace(place.case, inputs={"url": place.case.inputs["url"], **slots})
    (place.root / "theirs").mkdir()
    (place.root / "theirs/file").write_text("theirs")
    entries = [{"did": "temporary", "path": "theirs"}]
    server.content = json.dumps({"entries": entries, "is_complete": True, "more": "x" * 9_000}).encode()
    server.cuts = [len(server.content) - 1, 0]
    with pytest.raises(ActionFailed, match="cannot be downloaded"):
        place.do()
    done = place.do()
    assert Path(str(done.outputs["file"])).read_bytes() == server.content
    NetDownload().undo(undo_work(place.case, place.root, place.recovery, done))
    assert (place.root / "theirs/file").read_text() == "theirs"


def test_verify_knows_by_the_digest(place: Place) -> None:
    done = place.do()
    given = undo_work(place.case, place.root, place.recovery, done)
    assert NetDownload().verify(given) is Verified.HOLDS
    _theirs(place.root)
    assert NetDownload().verify(given) is Verified.GONE
    assert NetDownload().verify(replace(given, outputs={})) is Verified.UNKNOWN


def test_an_artifact_is_handed_on_to_who_unpacks_it(tmp_path: Path, server: FileServer) -> None:
    import io
    import tarfile

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        info = tarfile.TarInfo("bin/tool")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"tool"))
    server.content = packed.getvalue()
    declare(
        tmp_path,
        f"""
steps:
  - {{id: fetch, uses: net.download, with: {{url: "{server.url}"}}, lasting: false}}
  - {{id: unpack, uses: archive.extract, with: {{source: "${{{{ steps.fetch.outputs.file }}}}", prefix: tools}}}}
""",
    )
    receipt = run(tmp_path).receipt
    assert {node.outcome for node in receipt.by_id.values()} == {Outcome.SUCCEEDED}
    assert (tmp_path / "tools/bin/tool").read_text() == "tool"


@pytest.mark.parametrize(
    ("address", "why"),
    [("http://127.0.0.1:1/x", "the connection was refused"), ("http://nowhere.invalid/x", "its host cannot be found")],
)
def test_it_is_said_why_there_is_no_connection(tmp_path: Path, address: str, why: str) -> None:
    ran = run(tmp_path, f"steps: [{{id: a, uses: net.download, with: {{url: '{address}', path: x}}}}]")
    assert ran["main/a"].error == f"`{address}` cannot be downloaded: {why}"
