"""A systemctl that keeps its units in a file, for machines where systemd does not run.

What it answers and how it exits is what the manual of the real one says; tests/test_services.py asks both the same questions.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

PROGRAM = """#!{python}
import json, sys
from pathlib import Path

file = Path({units!r})
words = [word for word in sys.argv[1:] if word not in ("--no-pager", "--no-ask-password", "--")]
verb, *rest = words
names = [word for word in rest if not word.startswith("--")]
units = json.loads(file.read_text())
with open({calls!r}, "a") as calls:
    calls.write(" ".join(words) + "\\n")


def leave(code, said=""):
    file.write_text(json.dumps(units))
    print(said, file=sys.stderr) if said else None
    sys.exit(code)


[name] = names
full = name if "." in name else name + ".service"
unit = units.get(full)
if verb == "show":
    load, active, state = ("loaded", unit["active"], unit["state"]) if unit else ("not-found", "inactive", "")
    print(f"LoadState={{load}}\\nActiveState={{active}}\\nUnitFileState={{state}}")
    leave(0)
if verb == "is-active":
    print(unit["active"] if unit else "inactive")
    leave(0 if unit and unit["active"] == "active" else 3 if unit else 4)
if verb == "is-enabled":
    if unit is None:
        leave(1, f"Failed to get unit file state for {{full}}: No such file or directory")
    print(unit["state"])
    leave(0 if unit["state"] in ("enabled", "static") else 1)
if unit is None:
    if verb in ("enable", "disable"):
        leave(1, f"Failed to {{verb}} unit: Unit file {{full}} does not exist.")
    leave(5, f"Failed to {{verb}} {{full}}: Unit {{full}} not loaded.")
if verb in ("start", "restart"):
    if unit.get("broken"):
        unit["active"] = "failed"
        leave(1, f"Job for {{full}} failed because the control process exited with error code.")
    unit["active"] = "active"
elif verb == "stop":
    unit["active"] = "inactive"
elif verb in ("enable", "disable") and unit["state"] != "static":
    unit["state"] = verb + "d"
leave(0)
"""


class FakeSystemd:
    """Units by full name: `active` is active, inactive or failed, `state` enabled, disabled or static; `broken` fails to start."""

    def __init__(self, folder: Path, units: Mapping[str, Mapping[str, object]]) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        self._units = folder / "units.json"
        self._calls = folder / "calls"
        self._calls.touch()
        self._units.write_text(json.dumps(units))
        program = self.bin / "systemctl"
        program.write_text(PROGRAM.format(python=sys.executable, units=str(self._units), calls=str(self._calls)))
        program.chmod(0o755)

    def units(self) -> dict[str, dict[str, object]]:
        found: dict[str, dict[str, object]] = json.loads(self._units.read_text())
        return found

    def changes(self) -> list[str]:
        """The calls that were no questions."""
        asked = ("show", "is-")
        return [line for line in self._calls.read_text().splitlines() if not line.startswith(asked)]
