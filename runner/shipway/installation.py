"""Where this copy of Shipway comes from: the checkout it lies in, or what pip noted down. Asks no network."""

from __future__ import annotations

import json
import re
from pathlib import Path

_PACKAGE = Path(__file__).parent


def installed_from() -> tuple[str, str]:
    """`owner/name` and full commit id of what is installed; either is empty where it is not known.

    A checkout tells its own head; a package that pip took from git has both in `direct_url.json` (PEP 610).
    """
    checkout = _PACKAGE.parent.parent
    if (checkout / "action.yml").is_file() and (checkout / ".git").exists():
        return _of_checkout(checkout)
    return _of_package()


def _of_checkout(checkout: Path) -> tuple[str, str]:
    import git  # late, as everywhere: 80 ms

    with git.Repo(checkout) as repository:
        urls = [remote.url for remote in repository.remotes if remote.name == "origin"]
        commit = repository.head.commit.hexsha if repository.head.is_valid() else ""
    return _slug(urls[0] if urls else ""), commit


def _of_package() -> tuple[str, str]:
    from importlib.metadata import PackageNotFoundError, distribution  # late: 38 ms

    try:
        noted = json.loads(distribution("shipway").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return "", ""
    commit = str(noted.get("vcs_info", {}).get("commit_id", ""))
    return (_slug(str(noted.get("url", ""))), commit) if re.fullmatch("[0-9a-f]{40}", commit) else ("", "")


def _slug(url: str) -> str:
    """`owner/name` of an address on github.com; empty for any other."""
    found = re.search(r"github\.com[:/]([\w.-]+/[\w.-]+?)(?:\.git)?/?$", url)
    return found[1] if found else ""
