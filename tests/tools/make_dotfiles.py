"""Writes the two trees of `tests/cases/files`: `python -m tests.tools.make_dotfiles`. The same files each time."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

CASES = Path(__file__).parent.parent / "cases" / "files"

_PLUGINS = [
    "autopairs",
    "cmp",
    "comment",
    "dap",
    "fugitive",
    "gitsigns",
    "lualine",
    "luasnip",
    "mason",
    "neotest",
    "oil",
    "telescope",
    "treesitter",
    "which-key",
]
_LANGUAGES = [
    "c",
    "cpp",
    "css",
    "go",
    "haskell",
    "html",
    "java",
    "javascript",
    "json",
    "lua",
    "markdown",
    "python",
    "ruby",
    "rust",
    "sh",
    "sql",
    "toml",
    "typescript",
    "yaml",
]
_ALIASES = [
    "archive",
    "docker",
    "find",
    "git",
    "grep",
    "history",
    "kubectl",
    "ls",
    "make",
    "network",
    "path",
    "prompt",
    "python",
    "ssh",
    "tmux",
    "vim",
]
_SERVICES = [
    "backup",
    "cert-renew",
    "fstrim",
    "journal-upload",
    "logrotate",
    "metrics",
    "mirror",
    "prune",
    "restic",
    "sync",
]


def workstation() -> dict[str, str]:
    """One home out of three layers, with folders for systems and roles, templates and collisions."""
    files = {f"base/nvim/.config/nvim/lua/plugins/{name}.lua": f'return {{ "{name}" }}\n' for name in _PLUGINS}
    files |= {f"base/nvim/.config/nvim/after/ftplugin/{name}.lua": "vim.opt.tabstop = 4\n" for name in _LANGUAGES}
    files |= {f"base/nvim/.config/nvim/snippets/{name}.json": "{}\n" for name in _LANGUAGES}
    files |= {f"base/zsh/.config/zsh/{at:02}-{name}.zsh": f"# {name}\n" for at, name in enumerate(_ALIASES)}
    files |= {f"base/nvim/.config/nvim/lua/languages/{name}.lua": "return {}\n" for name in _LANGUAGES}
    files |= {f"team/zsh/.config/zsh/functions/{name}": f"# {name}\n" for name in _ALIASES}
    files |= {f"personal/bin/.local/bin/{name}-mine": "#!/bin/sh\ntrue\n" for name in _SERVICES}
    files |= {f"base/bash/.bashrc.d/{name}.sh": f"# {name}\n" for name in _ALIASES}
    files |= {f"base/bin/.local/bin/{name}-tool": f"#!/bin/sh\necho {name}\n" for name in _ALIASES}
    files |= {f"base/systemd.Linux/.config/systemd/user/{name}.service": "[Service]\n" for name in _SERVICES}
    files |= {f"base/systemd.Linux/.config/systemd/user/{name}@.timer": "[Timer]\n" for name in _SERVICES}
    files |= {f"base/launchd.Darwin/Library/LaunchAgents/org.example.{name}.plist": "<plist/>\n" for name in _SERVICES}
    files |= {f"team/nvim/.config/nvim/after/ftplugin/{name}.lua": "vim.opt.tabstop = 2\n" for name in _LANGUAGES[::3]}
    files |= {f"team/kube/.kube/contexts/{name}.yaml": f"name: {name}\n" for name in ("dev", "staging", "prod")}
    files |= {
        f"team/git/.config/git/hooks/{name}": "#!/bin/sh\nexit 0\n" for name in ("commit-msg", "pre-commit", "pre-push")
    }
    files |= {
        f"personal/zsh/.config/zsh/{at:02}-{name}.zsh": "# mine\n" for at, name in enumerate(_ALIASES) if at % 5 == 0
    }
    files |= {f"personal/desktop.desktop/.config/sway/config.d/{name}": f"# {name}\n" for name in _SERVICES}
    files |= {f"personal/server.server/.config/tmux/{name}.conf": f"# {name}\n" for name in _SERVICES}
    return files | {
        "base/README.md": "What everyone has.\n",
        "base/packages-manifest.yaml": "packages: [git, zsh]\n",
        "base/git/.gitconfig.j2": "[user]\n    name = {{ name }}\n    email = {{ mail }}\n",
        "base/git.Linux/.config/git/platform": "[credential]\n    helper = libsecret\n",
        "base/git.Darwin/.config/git/platform": "[credential]\n    helper = osxkeychain\n",
        "base/git/.config/git/platform": "# nothing\n",
        "base/zsh/.zshrc": 'for file in "$HOME"/.config/zsh/*.zsh; do . "$file"; done\n',
        "base/bash/.bashrc": 'for file in "$HOME"/.bashrc.d/*.sh; do . "$file"; done\n',
        "base/ssh/.ssh/config": "Host *\n    HashKnownHosts yes\n",
        "team/ssh/.ssh/config.template": "Host *.{{ domain }}\n    User {{ login }}\n",
        "personal/zsh/.zshenv": "EDITOR=nvim\n",
    }


def server() -> dict[str, str]:
    """A home and `/etc` out of two layers: copies, with modes."""
    files = {
        f"base/etc/nginx/nginx/sites-available/{name}.conf.j2": f"server_name {name}.{{{{ domain }}}};\n"
        for name in _LANGUAGES
    }
    files |= {f"base/etc/nginx/nginx/snippets/{name}.conf": f"# {name}\n" for name in _ALIASES}
    files |= {f"base/etc/cron/cron.d/{name}": f"0 4 * * * root {name}\n" for name in _SERVICES}
    files |= {f"base/etc/logrotate/logrotate.d/{name}": "# weekly\n" for name in _SERVICES}
    files |= {f"base/etc/profile/profile.d/{name}.sh": f"# {name}\n" for name in _ALIASES}
    files |= {f"base/etc/sysctl/sysctl.d/{at:02}-{name}.conf": "# set\n" for at, name in enumerate(_ALIASES)}
    files |= {
        f"base/etc/systemd.Linux/systemd/system/{name}.service.d/limits.conf": "[Service]\n" for name in _SERVICES
    }
    files |= {f"base/etc/systemd.Linux/systemd/system/{name}@.service": "[Unit]\n" for name in _SERVICES}
    files |= {f"base/etc/modprobe.Linux/modprobe.d/{name}.conf": "# blacklist\n" for name in _PLUGINS}
    files |= {f"base/etc/bsd.FreeBSD/rc.conf.d/{name}": "# bsd\n" for name in _SERVICES}
    files |= {f"base/home/admin/.profile.d/{name}.sh": f"# {name}\n" for name in _ALIASES}
    files |= {f"base/home/admin/.local/share/runbooks/{name}.md": f"# {name}\n" for name in (*_SERVICES, *_PLUGINS)}
    files |= {f"site/etc/nginx/nginx/snippets/{name}.conf": "# here\n" for name in _ALIASES[::4]}
    files |= {f"site/etc/cron/cron.d/{name}": f"30 2 * * * root {name}\n" for name in _SERVICES[::3]}
    files |= {f"site/home/admin/.config/tool/{name}.toml": f'name = "{name}"\n' for name in (*_LANGUAGES, *_PLUGINS)}
    return files | {
        "base/etc/ssh/ssh/sshd_config.d/keys.conf": "PasswordAuthentication no\n",
        "base/etc/motd.Linux/motd.j2": "{{ project }} of {{ domain }}\n",
        "site/home/admin/.ssh/authorized_keys": "ssh-ed25519 AAAA admin\n",
        "site/home/admin/.ssh/config": "Host *\n",
    }


DECLARATIONS = {
    "workstation": """\
version: 1
name: workstation
inputs: {boom: {default: ""}}
stages:
  dotfiles:
    mode: files
    with:
      sources: {base: base, team: team, personal: personal}
      roots: {home: home}
      segments: {ROLE: desktop}
      on_conflict: backup
      modes: {".ssh/": "0700", ".ssh/*": "0600"}
      data: {name: Ada, mail: ada@example.org, domain: example.org, login: ada}
  after:
    needs: [dotfiles]
    if: inputs.boom
    steps: [{run: exit 1, lasting: false}]
""",
    "server": """\
version: 1
name: server
inputs: {boom: {default: ""}}
stages:
  files:
    mode: files
    with:
      sources: {base: base, site: site}
      roots: {etc: etc, home: home}
      how: copy
      on_conflict: overwrite
      modes: {"cron.d/*": "0600", ".ssh/": "0700", ".ssh/*": "0600"}
      data: {domain: example.org}
  after:
    needs: [files]
    if: inputs.boom
    steps: [{run: exit 1, lasting: false}]
""",
}


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Files with these texts; scripts are executable."""
    for name, text in sorted(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755 if text.startswith("#!") else 0o644)


def main() -> None:
    """Write both anew."""
    shutil.rmtree(CASES, ignore_errors=True)
    for name, make in (("workstation", workstation), ("server", server)):
        write(CASES / name, {**make(), "shipway.yml": DECLARATIONS[name]})


if __name__ == "__main__":
    main()
