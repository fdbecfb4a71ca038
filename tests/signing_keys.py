"""Real keys in scratch folders: made by ssh-keygen and gpg, held by a real ssh-agent."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shipway.signer import SigningTools


def ssh_key(folder: Path, name: str = "id", kind: str = "ed25519", password: str = "") -> Path:
    """A private key, with its public one beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    bits = ["-b", "2048"] if kind == "rsa" else []
    call = ["ssh-keygen", "-q", "-t", kind, *bits, "-N", password, "-C", f"{name}@example", "-f", str(path)]
    subprocess.run(call, check=True)
    return path


def public(key: Path) -> str:
    """Type and key in base64."""
    return " ".join(key.with_name(f"{key.name}.pub").read_text().split()[:2])


def allowed(*keys: Path, options: str = "") -> str:
    """The text of a file of allowed signers that vouches for the keys, by their names."""
    return "".join(f"{key.name}@example {options}{' ' if options else ''}{public(key)}\n" for key in keys)


def tools_of(root: Path, **env: str) -> SigningTools:
    """What a signer is given, in a root that is its home too."""
    return SigningTools(root, root, {"PATH": os.environ["PATH"], "HOME": str(root), **env}, {})


@contextmanager
def agent(*keys: Path) -> Iterator[str]:
    """The address of an ssh-agent that holds the keys, until the end."""
    address = str(keys[0].parent / "agent.sock")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", address], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        env = {"PATH": os.environ["PATH"], "SSH_AUTH_SOCK": address}
        subprocess.run(["ssh-add", "-q", *map(str, keys)], env=env, check=True, stderr=subprocess.DEVNULL)
        yield address
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def gpg_home(folder: Path, *users: str) -> Iterator[tuple[dict[str, str], list[str]]]:
    """The environment of a fresh keyring, and the fingerprints of the keys made for `users` in it."""
    folder.mkdir(mode=0o700)
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "GNUPGHOME": str(folder)}
    call = ["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
    try:
        for user in users:
            subprocess.run(
                [*call, "--quick-generate-key", user, "ed25519", "sign"], env=env, check=True, stderr=subprocess.DEVNULL
            )
        listed = subprocess.run(
            ["gpg", "--batch", "--with-colons", "--list-secret-keys"],
            env=env,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        prints = [line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:")]
        yield env, prints
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], env=env, check=False)
