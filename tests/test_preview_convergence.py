"""What comes of an `up` whose plan does not hold any more by the time it is carried out: it is planned anew, and is whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.preview_shop import Shop, open_shop

pytestmark = pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="processes are looked up in /proc")
# Whoever it names is ended between the plan, which found it there, and what is carried out.
_KILLER = """\
before:
        run: if [ -f "$DATA/kill" ]; then kill -9 $(cat "$DATA/kill"); rm "$DATA/kill"; fi
        cache: false
        env: {DATA: "${{ values.data }}"}
      ttl: 72h
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A shop on the branch `feat/login`, whose runner begins with a hook that ends a process."""
    with open_shop(tmp_path) as made:
        path = made.project.root / "shipway.yml"
        path.write_text(path.read_text().replace("ttl: 72h\n", _KILLER))
        made.project.commit()
        yield made


def test_a_service_that_dies_after_it_was_planned_is_started_again_by_the_same_up(shop: Shop) -> None:
    shop.call("up")
    (api,) = [pid for pid in shop.processes() if os.readlink(f"/proc/{pid}/cwd").endswith("/api")]
    (shop.data / "kill").write_text(str(api))
    done = shop.call("up")
    assert "planned anew" in done.err
    assert shop.environments()["feat-login"]["state"] == "ready"
    assert shop.page("feat-login", "web").startswith("web of rows of feat-login")
    assert (len(shop.processes()), shop.log) == (2, ["seed feat-login"])
