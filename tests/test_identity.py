"""Identity tokens: what a step with `oidc` is given, by a server that answers as GitHub's does, and what it is not given."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.command_line import Project, make_project

BEARER = "runtime-credential-of-the-job"


def jwt(audience: str, number: int, expires: float) -> str:
    """A token as it looks; the signature is none."""
    parts = ({"alg": "RS256", "typ": "JWT"}, {"aud": audience, "exp": int(expires), "jti": str(number)})
    told = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join((*told, "c2lnbmF0dXJl"))


@dataclass
class Issuer:
    """The server: the tokens that it gave out, by audience, and what the next requests meet instead."""

    url: str = ""
    given: list[tuple[str, str]] = field(default_factory=list)
    faults: list[int] = field(default_factory=list)
    lasts_s: float = 600
    asked: int = 0

    @property
    def env(self) -> dict[str, str]:
        return {"ACTIONS_ID_TOKEN_REQUEST_URL": self.url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": BEARER}

    def answer(self, path: str, authorization: str) -> tuple[int, bytes]:
        self.asked += 1
        if self.faults:
            return self.faults.pop(0), b"{}"
        query = parse_qs(urlsplit(path).query)
        if authorization != f"Bearer {BEARER}" or query.get("api-version") != ["2.0"]:
            return 401, b"{}"
        (audience,) = query["audience"]
        token = jwt(audience, len(self.given), time.time() + self.lasts_s)
        self.given.append((audience, token))
        return 200, json.dumps({"count": len(token), "value": token}).encode()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    found = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, body = found.answer(self.path, self.headers.get("Authorization", ""))
            self.send_response(code)
            if code == 302:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}/job/idtoken?api-version=2.0"
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def project(tmp_path: Path, issuer: Issuer) -> Project:
    made = make_project(tmp_path)
    made.env |= issuer.env
    return made


def declare(project: Project, *steps: str) -> None:
    listed = "".join(f"  - {step}\n" for step in steps)
    project.write({"shipway.yml": f"version: 1\nname: test\nsteps:\n{listed}"})


def test_case_56_a_step_with_oidc_is_given_an_identity_token_and_nothing_else(project: Project, issuer: Issuer) -> None:
    declare(
        project,
        "{id: login, run: 'env > ../env; echo \"it is $SHIPWAY_ID_TOKEN\"', undo: 'true', oidc: [sts.amazonaws.com]}",
        "{id: other, run: 'env > ../other', undo: 'true'}",
    )
    done = project.call("run", "--yes", "-v")
    [(audience, token)] = issuer.given
    assert audience == "sts.amazonaws.com"
    given = dict(line.partition("=")[::2] for line in (project.root.parent / "env").read_text().splitlines())
    assert given["SHIPWAY_ID_TOKEN"] == token
    assert [name for name in given if name.startswith(("ACTIONS_", "GITHUB_"))] == []
    other = (project.root.parent / "other").read_text()
    for text in (other, done.out, done.err, *kept(project)):
        assert token not in text and BEARER not in text
    assert "it is ***" in done.out + done.err


def kept(project: Project) -> list[str]:
    """All that the run left in the workspace, journal included."""
    return [path.read_bytes().decode("latin-1") for path in (project.root / ".shipway").rglob("*") if path.is_file()]


def test_the_plan_names_the_audience_and_asks_for_no_token(project: Project, issuer: Issuer) -> None:
    declare(project, "{id: login, run: 'true', undo: 'true', oidc: [sts.amazonaws.com]}")
    assert "identity token for sts.amazonaws.com" in project.call("plan", "-v").out
    assert issuer.asked == 0


def test_where_nobody_gives_out_identities_nothing_is_started(project: Project) -> None:
    declare(
        project,
        "{id: first, run: 'touch ../begun', undo: 'true'}",
        "{id: login, run: 'true', undo: 'true', oidc: [https://vault.example]}",
    )
    project.env.pop("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    refused = project.call("run", "--yes", code=2)
    assert "shipway.yml:5:5" in refused.err
    assert "id-token: write" in refused.err
    assert not (project.root.parent / "begun").exists()


def test_steps_of_one_audience_share_a_token_that_is_good_for_a_while_yet(project: Project, issuer: Issuer) -> None:
    step = "{{id: {0}, run: 'echo $SHIPWAY_ID_TOKEN | sha256sum >> ../seen', undo: 'true', oidc: [{1}]}}"
    declare(project, step.format("a", "one"), step.format("b", "one"), step.format("c", "two"))
    project.call("run", "--yes")
    assert [audience for audience, _ in issuer.given] == ["one", "two"]
    assert len(set((project.root.parent / "seen").read_text().splitlines())) == 2


def test_l68_a_token_that_is_about_to_end_is_asked_for_again(project: Project, issuer: Issuer) -> None:
    issuer.lasts_s = 30
    run = "echo $SHIPWAY_ID_TOKEN | sha256sum >> ../seen; test $(wc -l < ../seen) = 2"
    declare(
        project,
        f"{{id: login, run: '{run}', lasting: false, oidc: [one], retry: {{attempts: 2, initial: 1ms, jitter: 0%}}}}",
    )
    project.call("run", "--yes")
    assert len(issuer.given) == 2
    assert len(set((project.root.parent / "seen").read_text().splitlines())) == 2


def test_l68_an_undo_is_given_a_token_that_is_good_then(project: Project, issuer: Issuer) -> None:
    issuer.lasts_s = 30
    seen = "echo $SHIPWAY_ID_TOKEN | sha256sum >> ../seen"
    declare(
        project,
        f"{{id: login, run: '{seen}', undo: '{seen}', oidc: [one]}}",
        "{id: breaks, run: 'exit 1', undo: 'true'}",
    )
    project.call("run", "--yes", code=1)
    assert len(issuer.given) == 2
    assert len(set((project.root.parent / "seen").read_text().splitlines())) == 2


def test_a_netrc_takes_no_place_of_the_jobs_credential(project: Project, issuer: Issuer) -> None:
    (project.root.parent / "netrc").write_text("machine 127.0.0.1 login eve password hers\n")
    project.env["NETRC"] = str(project.root.parent / "netrc")
    declare(project, "{id: login, run: 'test -n \"$SHIPWAY_ID_TOKEN\"', undo: 'true', oidc: [one]}")
    project.call("run", "--yes")
    assert len(issuer.given) == 1


def test_an_answer_that_is_a_failure_is_asked_for_again(project: Project, issuer: Issuer) -> None:
    issuer.faults = [503, 500]
    declare(project, "{id: login, run: 'test -n \"$SHIPWAY_ID_TOKEN\"', undo: 'true', oidc: [one]}")
    project.call("run", "--yes")
    assert (issuer.asked, len(issuer.given)) == (3, 1)


@pytest.mark.parametrize("fault", [302, 401, 404])
def test_what_is_no_token_fails_the_step_before_it_begins_and_is_told(
    project: Project, issuer: Issuer, fault: int
) -> None:
    issuer.faults = [fault]
    declare(
        project,
        "{id: first, run: 'touch ../begun', undo: 'rm ../begun'}",
        "{id: login, run: 'touch ../login', undo: 'true', oidc: [one]}",
    )
    failed = project.call("run", "--yes", code=1)
    told = f"no identity token was given for the audience `one`: it was answered with {fault}"
    assert told in " ".join(failed.out.split())
    assert not (project.root.parent / "login").exists()
    assert not (project.root.parent / "begun").exists(), "what was done before is taken back"
    assert issuer.asked == 1, "neither sent on nor asked for again"


@pytest.mark.parametrize("written", ["[one, two]", "[]", "one", '["with space"]'])
def test_oidc_is_one_audience(project: Project, written: str) -> None:
    declare(project, f"{{id: login, run: 'true', undo: 'true', oidc: {written}}}")
    refused = project.call("plan", code=2)
    assert "shipway.yml:4:" in refused.err
    assert "oidc" in refused.err
