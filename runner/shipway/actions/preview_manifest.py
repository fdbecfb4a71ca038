"""The action `preview.manifest`: writes down what another job needs to run the services of an environment, without a secret."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from shipway.action import ActionFailed, PlanWork, SlotRule, SlotType, Work
from shipway.canonical import Json, mapping, parse
from shipway.checkpoint_keys import Producers, named_outputs
from shipway.checkpoint_store import known_environment, told_as_failure
from shipway.checkpoints import Made
from shipway.environment_record import Checkpoint
from shipway.file_state import locate_target
from shipway.git_work import git_at
from shipway.nodes import Computed, Node, Verified
from shipway.preview_action import PreviewAction
from shipway.preview_manifest import manifest_bytes, reference, without_counts
from shipway.preview_names import kept_folder
from shipway.preview_slots import COMMON, IN_PLACE, REMOVE
from shipway.workspace import write_atomically


class PreviewManifest(PreviewAction):
    """Writes a file that only its owner may read. What is secret stands in it by the node and output that has it."""

    name = "preview.manifest"
    slots: Mapping[str, SlotRule] = {
        **COMMON,
        **IN_PLACE,
        "values": SlotRule(SlotType.OBJECT, required=True, description="what it says, secrets as references"),
        "path": SlotRule(SlotType.STRING, description="the file; default: with what is kept of the environment"),
        **REMOVE,
    }
    removal = "the file is removed"
    is_one_step = True

    def make(self, work: Work, before: Checkpoint | None) -> Made:
        """Write it."""
        content = _content(work)
        place = _place(work)
        try:
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ActionFailed(f"`{place.parent}` cannot be made: {error.strerror or error}") from error
        with told_as_failure():
            write_atomically(place, content)
        return Made(is_anew=False)  # nobody is made anew by it: who reads it reads it then

    def look(self, work: Work | PlanWork, checkpoint: Checkpoint) -> Verified:
        """Gone is also what says something else: it is written anew. While its values are not known, its tree has to do."""
        try:
            content = _place(work).read_bytes()
        except OSError:
            return Verified.GONE
        is_right = content == _content(work) if "values" in work.inputs else _tree_in(content) == _tree(work)
        return Verified.HOLDS if is_right else Verified.GONE

    def remove(self, work: Work, checkpoint: Checkpoint | None) -> bool:
        """Take it away, and its folder where nothing else is in it."""
        place = _place(work)
        try:
            place.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise ActionFailed(f"`{place}` cannot be removed: {error.strerror or error}") from error
        with suppress(OSError):
            place.parent.rmdir()
        return True


def _tree_in(content: bytes) -> Json:
    try:
        return mapping(parse(content)).get("tree")
    except (ValueError, RecursionError):
        return None


def _tree(work: Work | PlanWork) -> str:
    return git_at(work, work.root).ask("rev-parse", "--verify", "--quiet", "HEAD^{tree}")


def _content(work: Work | PlanWork) -> bytes:
    record = known_environment(work)
    producers = Producers(record.checkpoints if record else {})
    values = dict(mapping(work.inputs.get("values")))
    form = work.node.slots.get("values")
    if isinstance(form, Computed) and isinstance(form.expression, Mapping):
        values = {name: _public(form.expression.get(name), each, work.node, producers) for name, each in values.items()}
    values["compute"] = without_counts(values.get("compute"))
    with told_as_failure():
        return manifest_bytes(values, _tree(work))


def _public(expression: Json, value: Json, node: Node, producers: Producers) -> Json:
    """The value with a reference in place of each output that is secret, those in an object of all outputs too."""
    if isinstance(expression, Mapping) and isinstance(value, Mapping):
        return {name: _public(expression.get(name), each, node, producers) for name, each in value.items()}
    for named in named_outputs(Computed(expression), node):
        if named.output and producers.is_secret(named):
            return reference(named.owner, named.output)
        secret = producers.secret_of(named.owner) if not named.output else ()
        if secret and isinstance(value, Mapping):
            return {name: reference(named.owner, name) if name in secret else each for name, each in value.items()}
    return value


def _place(work: Work | PlanWork) -> Path:
    path = work.inputs.get("path")
    default = f"{kept_folder(str(work.inputs['lifecycle']), str(work.inputs['target']))}/manifest.json"
    return locate_target(work.root, str(path) if path else default, "path")
