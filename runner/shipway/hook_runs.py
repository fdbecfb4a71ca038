"""Runs the hooks of a preview: their environment, their outputs by `$SHIPWAY_OUTPUT`, what is said of their end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from shlex import quote

from msgspec import Struct, field

from shipway.action import ActionFailed, PlanWork, TimedOut, Work
from shipway.canonical import Json
from shipway.checkpoint_store import known_environment, opened
from shipway.checkpoints import MADE
from shipway.compute_access import Access, Ran, Unreachable
from shipway.declaration import OutputRule
from shipway.environment_record import Checkpoint
from shipway.exchange import MAX_OUTPUT_FILE_BYTES
from shipway.expression_values import to_text
from shipway.git_work import Git
from shipway.nodes import Verified
from shipway.outputs import BadOutput, parse_output_file, take_outputs
from shipway.reaching import base_of, declared_env
from shipway.redaction import MASK
from shipway.supervision import PRELUDE

_VERDICTS = {0: Verified.HOLDS, 3: Verified.GONE}
_SHORTEST_SECRET = 4
_FOLDER = "b=${TMPDIR:-/tmp}/shipway-hooks-$(id -u)\n"


class HookRun(Struct, frozen=True):
    """One run of a hook: its script, where, with which variables over the base, and the outputs that it has to hand on."""

    script: str
    access: Access
    env: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, OutputRule] = field(default_factory=dict)


def run_hook(hook: HookRun, work: Work) -> dict[str, Json]:
    """Run a hook to its end; its declared outputs. What it prints goes to the node's log.

    Raises ActionFailed where it fails, is stopped, or does not hand on what was declared, and Unreachable.
    """
    ran = hook.access.run(_wrapped(hook.script, _own_folder(hook.access, work)), env=hook.env, cancelled=work.cancelled)
    mask = _masking(hook, ran)
    log = mask(ran.err.decode("utf-8", "replace"))
    if log:
        work.log(log)
    check_stopped(ran)
    if ran.exit_code != 0:
        raise ActionFailed(
            f"exit {ran.exit_code}" if ran.exit_code > 0 else f"killed by signal {-ran.exit_code}", code="exit"
        )
    return _outputs(hook, ran, work.log)


def end_left_over(access: Access, work: Work) -> None:
    """End what a killed run left running of the hook of this node in `access`: what it does now nobody would take back."""
    access.run(_ending(access, work))


def end_all_left_over(access: Access, root: str, work: Work) -> None:
    """End what killed runs left running of any hook of this preview that ran in `root` of the machine that `access` reaches."""
    each = 'for d in "$b"/' + quote(_key(root, work)) + "-*; do\n"
    access.run(
        f'{PRELUDE}{_FOLDER}[ -O "$b" ] && [ ! -L "$b" ] || exit 0\n{each}'
        '    if lives "$d/pid"; then end_group "$p"; fi\n    rm -rf -- "$d"\ndone\n'
    )


def ask_hook(hook: HookRun, cancelled: Callable[[], bool] = lambda: False) -> tuple[Verified, dict[str, Json]]:
    """What a `verify` script says: exit 0 holds, 3 gone, anything else unknown; with the outputs that it chose to hand on."""
    try:
        ran = hook.access.run(_wrapped(hook.script, _any_folder()), env=hook.env, cancelled=cancelled)
    except Unreachable:
        return Verified.UNKNOWN, {}
    answer = _VERDICTS.get(ran.exit_code, Verified.UNKNOWN) if not ran.stopped else Verified.UNKNOWN
    if answer is not Verified.HOLDS:
        return answer, {}
    try:
        return answer, _outputs(hook, ran, lambda text: None)
    except ActionFailed:
        return answer, {}


def hook_env(work: Work | PlanWork, *, is_here: bool, **more: str) -> dict[str, str]:
    """The variables of a hook as far as they are known: who and where, what is checked out, and what the node declares.

    `is_here`: it runs on this machine, so that the folder of the repository means something to it.
    """
    inputs = work.inputs
    found = {"SHIPWAY_LIFECYCLE": str(inputs.get("lifecycle") or ""), "SHIPWAY_TARGET": str(inputs.get("target") or "")}
    if is_here:
        found["SHIPWAY_ROOT"] = str(work.root)
    for name, slot in (("SHIPWAY_ACTION", "action"), ("SHIPWAY_SERVICE", "service")):
        if inputs.get(slot):
            found[name] = str(inputs[slot])
    record = known_environment(work)
    git = Git(work.root, base_of(work))  # what the hook declares is not meant for it
    known = {
        "SHIPWAY_COMMIT": git.commit,
        "SHIPWAY_BRANCH": (record.branch if record else "") or git.branch,
        "SHIPWAY_BASE": record.base if record else "",
    }
    return found | {name: text for name, text in known.items() if text} | more | declared_env(work)


def known_outputs(work: Work | PlanWork, checkpoint: Checkpoint | None) -> dict[str, str]:
    """What a hook that looks at, or takes back, what was made is told of its outputs: the secret ones if they can be read."""
    if checkpoint is None:
        return {}
    found = checkpoint.outputs
    if isinstance(work, Work):
        with suppress(ActionFailed):
            found = opened(work, checkpoint)
    return {name: value if isinstance(value, str) else to_text(value) for name, value in found.items() if name != MADE}


def check_stopped(ran: Ran) -> Ran:
    """Raises ActionFailed for what was ended before it was done."""
    if ran.stopped == "timeout":
        raise TimedOut("it took too long and was ended")
    if ran.stopped:
        raise ActionFailed("it was ended before it was done", code="cancelled")
    return ran


def _wrapped(script: str, folder: str) -> str:
    """The hook with a file for its outputs, which is printed behind it: all that it prints itself goes to stderr.

    `folder` makes the private folder `$d` for that file.
    """
    return (
        f"{folder}"
        """trap 'rm -rf -- "$d"; exit 130' INT TERM HUP\n"""
        'export SHIPWAY_OUTPUT="$d/output"\n'
        f"( set -e; eval {quote(script)}\n) >&2 </dev/null\n"
        "c=$?\n"
        f'if [ -f "$d/output" ]; then head -c {MAX_OUTPUT_FILE_BYTES + 1} "$d/output"; fi\n'
        'rm -rf -- "$d"\nexit $c\n'
    )


def _any_folder() -> str:
    return 'd=$(umask 077; mktemp -d "${TMPDIR:-/tmp}/shipway-hook.XXXXXX") || exit 1\n'


def _own_folder(access: Access, work: Work) -> str:
    """Always the same for one hook: the number of its group is in it, so that what a killed run left behind is ended first."""
    return (
        f'{_ending(access, work)}rm -rf -- "$d"; mkdir -m 700 -- "$d" && echo "$$ $(started $$)" > "$d/pid" || exit 1\n'
    )


def _ending(access: Access, work: Work) -> str:
    return (
        f"{PRELUDE}{_FOLDER}"
        '(umask 077; mkdir -p -- "$b") && [ -O "$b" ] && [ ! -L "$b" ] || { echo "$b is not ours alone" >&2; exit 1; }\n'
        f"d=$b/{_key(access.root, work)}-{_hashed(work.node.id)}\n"
        'if lives "$d/pid"; then\n'
        '    echo "ending what a killed run left running of this hook" >&2; end_group "$p"\n'
        "fi\n"
    )


def _key(root: str, work: Work) -> str:
    return _hashed(root, str(work.inputs.get("lifecycle")), str(work.inputs.get("target")))


def _hashed(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _outputs(hook: HookRun, ran: Ran, log: Callable[[str], None]) -> dict[str, Json]:
    if len(ran.out) > MAX_OUTPUT_FILE_BYTES:
        raise ActionFailed(f"$SHIPWAY_OUTPUT holds more than {MAX_OUTPUT_FILE_BYTES} bytes", code="outputs")
    redact: Callable[[str], str] = (lambda text: MASK) if _secret_names(hook) else str
    try:
        text = ran.out.decode("utf-8")
        taken, dropped = take_outputs(parse_output_file(text, redact), hook.outputs, redact)
    except UnicodeDecodeError as error:
        number = ran.out.count(b"\n", 0, error.start) + 1
        raise ActionFailed(f"line {number} of $SHIPWAY_OUTPUT is not UTF-8", code="outputs") from None
    except BadOutput as error:
        raise ActionFailed(str(error), code="outputs") from None
    for warning in dropped:
        log(f"warning: {warning}\n")
    return taken


def _secret_names(hook: HookRun) -> list[str]:
    return [name for name, rule in hook.outputs.items() if rule.type == "secret"]


def _masking(hook: HookRun, ran: Ran) -> Callable[[str], str]:
    """Masks what a hook wrote down as a secret output, also where it then failed and nobody else learns of it."""
    names = _secret_names(hook)
    written: Mapping[str, str] = {}
    if names:
        try:
            written = parse_output_file(ran.out.decode("utf-8", "replace"))
        except BadOutput:
            lines = (line.partition("=") for line in ran.out.decode("utf-8", "replace").splitlines())
            written = {name: value for name, _, value in lines}
    secrets = [written[name] for name in names if len(written.get(name, "")) >= _SHORTEST_SECRET]

    def mask(text: str) -> str:
        for secret in sorted(secrets, key=len, reverse=True):
            text = text.replace(secret, MASK)
        return text

    return mask
