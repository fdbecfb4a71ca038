"""Why a node is in a plan, as text, JSON and a sentence for a comment. Prints nothing."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from shipway.canonical import Json
from shipway.comparison import FieldChange, Presence, SubjectChange, SubjectKind
from shipway.errors import Position
from shipway.explanation import Explanation, Wait
from shipway.node_ids import readable
from shipway.nodes import NeedKind, Node, Outcome
from shipway.plan import PlannedStage
from shipway.render import wording
from shipway.render.columns import NARROWEST, Colour, paint, wrap
from shipway.render.comparison import change_json, change_lines, field_value, files_text
from shipway.render.difference import inline
from shipway.render.foreign import inert, one_line
from shipway.render.node_facts import secret_names

_LABEL = 12
_MOST_UPSTREAM = 10
_MOST_WORDS = 60
_MOST_FILES = 20
_LINE_COLOURS = {"+": Colour.GREEN, "-": Colour.RED}
_KINDS = {
    NeedKind.ORDER: "it stands before this one in the list",
    NeedKind.NEEDS: "`needs`",
    NeedKind.PROMISE: "what it refers to",
    NeedKind.OPTIONAL: "`optional_needs`: also if that fails",
    NeedKind.WITHIN: "this one is in its body",
}
_FACTS = frozenset({"change", "fidelity", "why", "before", "after", "predicted"})
"""Members of a node that its plan filled in after a look at the world."""

_ENDED = {
    Outcome.SUCCEEDED: "succeeded",
    Outcome.FAILED: "failed",
    Outcome.TIMED_OUT: "timed out",
    Outcome.UNDO_FAILED: "could not be undone",
    Outcome.NOT_UNDOABLE: "was done and cannot be undone",
    Outcome.DRIFTED: "had drifted and was not undone",
    Outcome.UNKNOWN: "was never heard of again",
}


def render_explanation(explained: Explanation, *, colour: bool, columns: int) -> str:
    """What put the node into the plan, what it waits for and why, and what changed since. Ends with a line end."""
    columns = max(columns, NARROWEST)
    lines = [paint(line, Colour.BOLD, colour) for line in wrap(_title(explained), columns)]
    for label, text in _facts(explained):
        lines += wrap(text, columns, f"  {label:<{_LABEL}} ")
    if explained.earlier is not None:
        lines += ["", *wrap(_since(explained), columns)]
        if explained.change is not None:
            for sign, text in change_lines(explained.change):
                lines.append(paint(f"    {sign} {text}".rstrip(), _LINE_COLOURS.get(sign), colour))
        facts = _found_otherwise(explained)
        if facts is not None:
            lines += wrap(
                "What its plan found in the world, which decides nothing by itself, is another:", columns, "  "
            )
            for sign, text in change_lines(facts):
                lines.append(paint(f"    {sign} {text}".rstrip(), _LINE_COLOURS.get(sign), colour))
        for indent, sentence in _besides(explained):
            lines += wrap(sentence, columns, indent, indent + "  ")
    return inert("\n".join(line.rstrip() for line in lines)) + "\n"


def explanation_json(explained: Explanation) -> dict[str, Json]:
    """`{node, lifecycle, target, position, stage, in_plan, …, waits, since}`; `since` is null without anything earlier."""
    node = explained.node
    since = None if explained.earlier is None else _since_json(explained)
    found: dict[str, Json] = {
        "node": explained.subject,
        "lifecycle": explained.plan.lifecycle,
        "target": explained.plan.target,
        "effect": explained.plan.effect,
        "in_plan": node is not None,
    }
    if node is not None:
        found |= {
            "stage": node.stage,
            "action": node.action,
            "position": _place(node.position),
            "change": node.change.value,
            "fidelity": node.fidelity.value,
            "cause": node.why,
            "condition": node.condition,
            "only_on_rollback": explained.is_compensation,
            "inside": list(explained.inside),
            "reads": list(node.reads.patterns),
            "limits": list(node.limits),
            "locks": list(node.locks),
            "secrets": list(secret_names(node)),
            "waits": [_wait_json(wait) for wait in explained.waits],
            "waited_for_by": list(explained.waited_for_by),
        }
    return found | {"since": since}


def changed_words(change: SubjectChange) -> str:
    """What changed a node, on one line, as a clause: "`env.TAG` is now `v2`, what it `reads` changed (`db/003.sql`)"."""
    return inert(", ".join(changed_clauses(change)))


def changed_clauses(change: SubjectChange, files: int = _MOST_FILES) -> tuple[str, ...]:
    """The same, each field for itself and with so many files at the most; names and values are in backticks."""
    if change.presence is Presence.ADDED:
        return ("it is new",)
    if change.presence is Presence.REMOVED:
        return ("it is no longer declared",)
    return tuple(_field_words(field, files) for field in change.fields)


def _field_words(field: FieldChange, most: int) -> str:
    name = f"`{one_line(field.name)}`"
    if field.name == "reads":
        files = field.files or ()
        more = f" and {len(files) - most} more" if len(files) > most else ""
        listed = ", ".join(f"`{one_line(file)}`" for file in files[:most])
        return "what it `reads` changed" + (f" ({listed}{more})" if files else "")
    if field.before is None:
        return f"{name} is new"
    if field.after is None:
        return f"{name} is gone"
    shown = inline(field_value(field))
    return f"{name} is now `{shown}`" if len(shown) <= _MOST_WORDS else f"{name} changed"


def _title(explained: Explanation) -> str:
    node = explained.node
    name = one_line(readable(explained.subject))
    if node is None:
        return f"{name} is not in the plan"
    title = one_line(node.title)
    at = f"{node.position.file}:{node.position.line}"
    return f"{name}" + (f": {title}" if title and title not in (name, node.step) else "") + f", {one_line(at)}"


def _facts(explained: Explanation) -> Iterator[tuple[str, str]]:
    node, stage = explained.node, explained.stage
    if node is None or stage is None:
        return
    for number, text in enumerate(_presence(explained, node, stage)):
        yield ("" if number else "in the plan"), text
    yield (
        "does",
        one_line(
            f"{node.change.value} by {node.action}, {node.fidelity.value}" + (f": {node.why}" if node.why else "")
        ),
    )
    if node.condition is not None:
        decided = "false: it is skipped" if node.condition == "false" else "decided when it is its turn"
        yield "if", f"`{one_line(node.condition)}`, {decided}"
    for number, wait in enumerate(explained.waits):
        yield ("" if number else "waits for"), _wait_text(wait)
    reads = "every file: it does not say what it reads" if node.reads.is_whole_tree else ", ".join(node.reads.patterns)
    yield "reads", one_line(reads) or "no file"
    for label, names in (("limits", node.limits), ("locks", node.locks), ("secrets", secret_names(node))):
        if names:
            yield label, ", ".join(map(one_line, names))
    if explained.waited_for_by:
        yield "before", files_text(explained.waited_for_by)


def _presence(explained: Explanation, node: Node, stage: PlannedStage) -> Iterator[str]:
    position = node.position
    where = f"{position.file}:{position.line}"
    if explained.is_compensation:
        yield one_line(f"`compensate` of stage {stage.id} declares it ({where}); it runs only when that is rolled back")
    elif explained.inside:
        yield one_line(f"it belongs to {explained.inside[0]}, which stage {stage.id} declares ({where})")
    else:
        yield one_line(f"stage {stage.id} declares it ({where})")
    for need in stage.needs:
        yield one_line(f"stage {stage.id} comes after stage {need}")
    if stage.condition is not None:
        yield one_line(f"stage {stage.id} runs if `{stage.condition}`")


def _wait_text(wait: Wait) -> str:
    whole = " and all that belongs to it" if wait.is_whole else ""
    if wait.kind is NeedKind.RESOURCE:
        why = f"that writes {wait.resource}, which this one reads"
    elif wait.sites:
        why = "; ".join(f"{s.member} refers to {s.text} ({s.position.file}:{s.position.line})" for s in wait.sites)
    elif wait.outputs:
        why = "this one takes its " + ", ".join("outputs" if name == "*" else f"output {name}" for name in wait.outputs)
    else:
        why = _KINDS[wait.kind]
    return one_line(f"{readable(wait.node)}{whole}: {why}")


def _since(explained: Explanation) -> str:
    earlier = explained.earlier
    assert earlier is not None
    name = one_line(earlier.name)
    if explained.node is None:
        return f"{name} has it, and the declaration of this plan no longer does."
    ended = (
        f"; there the node {_ENDED.get(earlier.outcome, 'was ' + wording.outcome_word(earlier.outcome))}"
        if earlier.outcome
        else ""
    )
    if explained.change is None:
        return f"Nothing that decides its work changed since {name}{ended}."
    if explained.change.presence is Presence.ADDED:
        return f"It is new since {name}."
    return f"Changed since {name}{ended}. What differs:"


def _besides(explained: Explanation) -> Iterator[tuple[str, str]]:
    """Sentences, each with its indentation."""
    if explained.node is None:
        return
    for around in explained.around:
        whose = "of its stage" if around.kind is SubjectKind.STAGE else "of the whole plan"
        yield "  ", f"Besides, {whose}: {changed_words(around)}."
    names = [field.name for field in explained.observed.fields if not _is_fact(field)] if explained.observed else []
    if names:
        yield "  ", f"Different without deciding anything: {', '.join(map(one_line, names))}."
    if explained.upstream:
        more = len(explained.upstream) - _MOST_UPSTREAM
        yield "  ", "Of what it waits for, however far, these changed:" + (f" (and {more} more)" if more > 0 else "")
        for change in explained.upstream[:_MOST_UPSTREAM]:
            yield "    ", f"{one_line(change.subject)}: {changed_words(change)}"


def _is_fact(field: FieldChange) -> bool:
    return field.name.partition(".")[0] in _FACTS


def _found_otherwise(explained: Explanation) -> SubjectChange | None:
    """What the action said of the world for each of the two plans; None where it said the same."""
    observed = explained.observed
    if observed is None or explained.node is None:
        return None
    facts = tuple(filter(_is_fact, observed.fields))
    return replace(observed, fields=facts) if facts else None


def _since_json(explained: Explanation) -> Json:
    earlier = explained.earlier
    assert earlier is not None
    return {
        "name": earlier.name,
        "effect": earlier.comparison.before.effect,
        "commit": earlier.comparison.before.source.commit,
        "outcome": None if earlier.outcome is None else earlier.outcome.value,
        "change": None if explained.change is None else change_json(explained.change),
        "observed": None if explained.observed is None else change_json(explained.observed),
        "around": [change_json(change) for change in explained.around],
        "upstream": [change_json(change) for change in explained.upstream],
    }


def _wait_json(wait: Wait) -> Json:
    return {
        "node": wait.node,
        "kind": wait.kind.value,
        "is_whole": wait.is_whole,
        "resource": wait.resource,
        "outputs": list(wait.outputs),
        "references": [{"member": s.member, "text": s.text, "position": _place(s.position)} for s in wait.sites],
    }


def _place(position: Position) -> Json:
    return [position.file, position.line, position.column]
