"""Phase load: a declaration is read with its overlay, checked, and told of with all its problems at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from shipway import __version__, schema
from shipway.canonical import mapping
from shipway.cross_checks import cross_findings
from shipway.declaration import Declaration
from shipway.declaration_files import overlay_of, read_merged, shown_name
from shipway.declaring import declaration_of
from shipway.errors import DeclarationError, Problem, UsageError, did_you_mean
from shipway.places import Finding, about
from shipway.source import MAX_PROBLEMS, SourceTree, load_failed

_TARGET_NAME = re.compile("[a-z0-9][a-z0-9.-]{0,63}")


def load_declaration(
    file: Path, *, root: Path, target: str | None = None, more: Callable[[SourceTree], Iterable[Problem]] | None = None
) -> Declaration:
    """The declaration in `file`, with its overlay for `target` merged in; file names are shown relative to `root`.

    The overlay of `shipway.yml` for the target `pr-42` is `shipway.pr-42.yml`, else `shipway.pr.yml`, where there is one.
    Raises DeclarationError with every problem found, in the order of the files, and UsageError where `target` is no name. What
    is refused is looked through by `more` too, so that nobody is told of the rest only when this is put right.
    """
    if target is not None and not _TARGET_NAME.fullmatch(target):
        text = f"`{target}` is not the name of a target"
        raise UsageError(text, phase="load", next="use lower-case letters, digits, `-` and `.`, at most 64 of them")
    tree = read_merged(file, root, target)
    found = [*schema.findings("declaration", tree.data), *cross_findings(tree.data, MAX_PROBLEMS)]
    found += [*_version_findings(tree), *_target_findings(tree, target)]
    if found or tree.problems:
        raise _refusal(tree, found, more(tree) if more is not None else ())
    return declaration_of(tree)


def is_same_for(declared: Declaration, file: Path, *, root: Path, target: str) -> bool:
    """Whether these would be loaded as this same declaration: one file, without an overlay, that allows the target."""
    is_one = declared.files == (shown_name(file, root),) and overlay_of(file, target) is None
    return is_one and next(_target_findings(declared.source, target), None) is None


def _refusal(tree: SourceTree, found: list[Finding], more: Iterable[Problem]) -> DeclarationError:
    """All problems once each, in the order of the files; of two at one place that of reading says enough."""
    unreadable = {problem.where for problem in tree.problems}
    problems = dict.fromkeys(tree.problems)
    problems |= dict.fromkeys(
        problem for problem in (_problem(tree, one) for one in found) if problem.where not in unreadable
    )
    told = {problem.where for problem in problems}
    problems |= dict.fromkeys(problem for problem in more if problem.where not in told)
    anchors = {finding.anchor for finding in found} | ({"yaml"} if tree.problems else set())
    anchor = anchors.pop() if len(anchors) == 1 else ""
    return load_failed(sorted(problems, key=tree.order)[:MAX_PROBLEMS], anchor, about(anchor))


def _problem(tree: SourceTree, finding: Finding) -> Problem:
    if finding.span is None:
        return tree.problem(finding.path, finding.text, finding.hint, key=finding.is_key)
    return tree.problem_at(tree.locate_within(finding.path, *finding.span), finding.text, finding.hint)


def _version_findings(tree: SourceTree) -> Iterator[Finding]:
    wanted = str(mapping(tree.data).get("shipway", ""))
    if not re.fullmatch("[0-9.]+", wanted):
        return
    wanted = tree.spelling(("shipway",))
    if _version(wanted) > _version(__version__):
        text = f"the declaration needs Shipway `{wanted}` or later; this is `{__version__}`"
        yield Finding(("shipway",), text, "update Shipway, or lower the number", anchor="top-level")


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall("[0-9]{1,9}", text)[:3])


def _target_findings(tree: SourceTree, target: str | None) -> Iterator[Finding]:
    rules = mapping(mapping(tree.data).get("targets"))
    if target is None or not rules or any(fnmatchcase(target, pattern) for pattern in rules):
        return
    hint = did_you_mean(target, rules) or "known targets: " + ", ".join(f"`{name}`" for name in rules)
    yield Finding(("targets",), f"the target `{target}` is not one of `targets`", hint, is_key=True, anchor="targets")
