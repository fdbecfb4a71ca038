"""How two plans differ, as text, Markdown and JSON: what decides what is done first, then what does not. Prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from shipway.canonical import Json
from shipway.comparison import Comparison, FieldChange, Presence, SubjectChange, SubjectKind
from shipway.node_ids import readable
from shipway.node_json import slot_from_json
from shipway.plan import Plan
from shipway.render import wording
from shipway.render.columns import NARROWEST, Colour, paint, wrap
from shipway.render.difference import SignedLine, diff_lines
from shipway.render.escape import code, fence, name
from shipway.render.foreign import inert, one_line
from shipway.render.node_facts import slot_text

_SIGNS = {Presence.CHANGED: "~", Presence.ADDED: "+", Presence.REMOVED: "-"}
_COLOURS = {Presence.CHANGED: Colour.YELLOW, Presence.ADDED: Colour.GREEN, Presence.REMOVED: Colour.RED}
_LINE_COLOURS = {"+": Colour.GREEN, "-": Colour.RED}
_MOST_LINES = 40
_MOST_FILES = 20
_SLOTS = ("slots.", "env.")
_SLOT_FORMS = ({"value"}, {"expression"}, {"node", "output"}, {"gather", "field"})


def comparison_json(comparison: Comparison) -> dict[str, Json]:
    """`{same_effect, before, after, effect, volatile}`; the last two are lists of what differs, each with its fields."""
    return {
        "same_effect": comparison.is_same_effect,
        "before": _side_json(comparison.before),
        "after": _side_json(comparison.after),
        "effect": [change_json(change) for change in comparison.effect],
        "volatile": [change_json(change) for change in comparison.volatile],
    }


def render_comparison(comparison: Comparison, *, colour: bool, columns: int) -> str:
    """What decides what is done, subject by subject with both values; what does not, by its names. Ends with a line end."""
    columns = max(columns, NARROWEST)
    lines = [paint(line, Colour.BOLD, colour) for line in wrap(_title(comparison), columns)]
    for label, plan in (("before", comparison.before), ("after", comparison.after)):
        lines += wrap(_side(plan), columns, f"  {label:<10} ")
    for change in comparison.effect:
        lines += ["", paint(f"{_SIGNS[change.presence]} {heading(change)}", _COLOURS[change.presence], colour)]
        for sign, text in change_lines(change):
            lines.append(paint(f"    {sign} {text}".rstrip(), _LINE_COLOURS.get(sign), colour))
    if comparison.volatile:
        lines += ["", *wrap(_volatile_title(comparison), columns)]
        for change in comparison.volatile:
            lines += wrap(
                ", ".join(one_line(each.name) for each in change.fields), columns, f"  {_name(change)}: ", "    "
            )
    return inert("\n".join(line.rstrip() for line in lines)) + "\n"


def comparison_markdown(comparison: Comparison) -> str:
    """The same as GitHub Markdown; whatever others wrote stands in code. Ends with a line end."""
    lines = [f"### {_title(comparison, name)}", ""]
    for label, plan in (("before", comparison.before), ("after", comparison.after)):
        lines.append(f"- {label}: {_marked_side(plan)}")
    for change in comparison.effect:
        lines += ["", f"**{_SIGNS[change.presence]}** {code(heading(change))}"]
        shown = [f"{sign} {text}" for sign, text in change_lines(change)]
        lines += ["", fence(shown, "diff")] if shown else []
    if comparison.volatile:
        lines += ["", _volatile_title(comparison), ""]
        for change in comparison.volatile:
            lines.append(f"- {code(_name(change))}: " + ", ".join(code(each.name) for each in change.fields))
    return inert("\n".join(lines)) + "\n"


def heading(change: SubjectChange) -> str:
    """`release/migrate changed, shipway.yml:31`: what differs and where it is declared."""
    where = f", {change.position.file}:{change.position.line}" if change.position else ""
    return one_line(f"{_name(change)} {change.presence.value}{where}")


def change_lines(change: SubjectChange) -> list[SignedLine]:
    """Both values of each field, as a small diff; a changed `reads` by its files, where they are known."""
    found = [line for field in change.fields for line in _field_lines(field)]
    if len(found) <= _MOST_LINES:
        return found
    return [*found[:_MOST_LINES], (" ", f"… {len(found) - _MOST_LINES} more lines; --json has them")]


def files_text(files: Sequence[str]) -> str:
    """The first of some paths, and how many more there are."""
    shown = ", ".join(one_line(file) for file in files[:_MOST_FILES])
    return shown + (f" and {len(files) - _MOST_FILES} more" if len(files) > _MOST_FILES else "")


def field_value(field: FieldChange) -> Json:
    """What the later plan has in the field; a slot as it was written."""
    return _shown(field.name, field.after)


def _field_lines(field: FieldChange) -> Iterator[SignedLine]:
    if field.name == "reads":
        if field.files:
            yield " ", f"reads: changed {files_text(field.files)}"
        else:
            yield " ", "reads: files changed; which, only commits in this clone tell"
        return
    label = one_line(field.name)
    old, new = _shown(field.name, field.before), field_value(field)
    before = None if field.before is None else {label: old if field.after is not None else _filled(old)}
    after = None if field.after is None else {label: new if field.before is not None else _filled(new)}
    yield from diff_lines(before, after)


def _filled(value: Json) -> Json:
    """What is there in one plan only, without those of its members that say nothing."""
    if not isinstance(value, Mapping):
        return value
    return {name: member for name, member in value.items() if member not in (None, False, "", [], {})}


def _shown(name: str, value: Json) -> Json:
    """A slot as it was written, anything else as it is."""
    if name.startswith(_SLOTS) and isinstance(value, Mapping) and set(value) in _SLOT_FORMS:
        return value["value"] if "value" in value else slot_text(slot_from_json(value))
    return value


def _name(change: SubjectChange) -> str:
    shown = one_line(readable(change.subject))
    return f"stage {shown}" if change.kind is SubjectKind.STAGE else shown


def _title(comparison: Comparison, shown: Callable[[str], str] = one_line) -> str:
    before, after = comparison.before, comparison.after
    names = dict.fromkeys((f"{shown(plan.lifecycle)} → {shown(plan.target)}") for plan in (before, after))
    said = "the same effect" if comparison.is_same_effect else f"another effect, {_counts(comparison)}"
    return f"Difference: {' and '.join(names)}, {said}"


def _counts(comparison: Comparison) -> str:
    counts = {presence: sum(each.presence is presence for each in comparison.effect) for presence in Presence}
    return ", ".join(f"{count} {presence.value}" for presence, count in counts.items() if count)


def _volatile_title(comparison: Comparison) -> str:
    other = "" if comparison.is_same_effect else "besides, "
    return f"{other}different without deciding what is done:".capitalize()


def _side(plan: Plan) -> str:
    return f"effect {wording.short_digest(plan.effect)}{_at(plan, wording.short_commit(plan.source.commit or ''))}"


def _marked_side(plan: Plan) -> str:
    return (
        f"effect `{wording.short_digest(plan.effect)}`{_at(plan, code(wording.short_commit(plan.source.commit or '')))}"
    )


def _at(plan: Plan, commit: str) -> str:
    if plan.source.commit is None:
        return ""
    return f", commit {commit}" + (" and changes to it" if plan.source.dirty else "")


def _side_json(plan: Plan) -> Json:
    return {
        "lifecycle": plan.lifecycle,
        "target": plan.target,
        "effect": plan.effect,
        "digest": plan.digest,
        "commit": plan.source.commit,
        "dirty": plan.source.dirty,
    }


def change_json(change: SubjectChange) -> Json:
    """`{subject, kind, presence, position, fields}`; a field has `name`, `before`, `after`, and that of `reads` its `files`."""
    at = change.position
    return {
        "subject": change.subject,
        "kind": change.kind.value,
        "presence": change.presence.value,
        "position": None if at is None else [at.file, at.line, at.column],
        "fields": [_field_json(field) for field in change.fields],
    }


def _field_json(field: FieldChange) -> Json:
    files: Json = None if field.files is None else list(field.files)
    return {"name": field.name, "before": field.before, "after": field.after} | (
        {"files": files} if field.name == "reads" else {}
    )
