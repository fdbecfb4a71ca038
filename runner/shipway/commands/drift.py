"""`shipway drift`: whether what receipts say is still so. Looks at the world and changes nothing, here or anywhere."""

from __future__ import annotations

import json
from argparse import Namespace

from shipway.canonical import Json
from shipway.commands.documents import write_out
from shipway.commands.drifting import DriftReport, find_drift
from shipway.commands.kept_receipts import finding_json
from shipway.commands.setting import find_file, find_target, heeding_signals, refuse_strangers, repository_of
from shipway.context import read_context
from shipway.deviation import counts, found_json
from shipway.errors import EXIT_CHANGES, EXIT_DONE, EXIT_UNVERIFIED
from shipway.interruption import Interruption
from shipway.loading import load_declaration
from shipway.redaction import trusted
from shipway.render import terminal
from shipway.render.drift import render_drift
from shipway.render.foreign import one_line


def run(arguments: Namespace) -> int:
    """0 where all that can be asked about holds, 3 where anything differs, 5 where a receipt cannot be counted."""
    context = read_context()
    refuse_strangers(context)
    file = find_file(arguments, context)
    repository = repository_of(file, context)
    target = find_target(arguments.target, file, repository)
    declared = load_declaration(file, root=repository.root, target=target)
    interruption = Interruption()
    with heeding_signals(interruption):
        report = find_drift(declared, target, context, repository, interruption)
    stream = terminal.standard_output()
    if arguments.json:
        write_out(json.dumps(report_json(report), ensure_ascii=False) + "\n")
    elif not arguments.quiet:
        columns = context.columns if stream.isatty() else 1000
        colour = stream.isatty() and not context.no_color
        write_out(render_drift(report.found, every=arguments.verbose, colour=colour, columns=columns))
    for finding in report.findings:
        said = one_line(f"not counted: {finding.place}: {finding.text} ({finding.reason.value})")
        terminal.write(terminal.standard_error(), trusted(said + "\n"))
    return exit_code(report)


def exit_code(report: DriftReport) -> int:
    """What cannot be verified is said first: without it, what should be there is not known."""
    if report.findings:
        return EXIT_UNVERIFIED
    return EXIT_CHANGES if report.differs else EXIT_DONE


def report_json(report: DriftReport) -> dict[str, Json]:
    """The report for machines."""
    return {
        "lifecycle": report.lifecycle,
        "target": report.target,
        "counts": {drift.value: count for drift, count in counts(report.found).items()},
        "entries": [found_json(each) for each in report.found],
        "findings": [finding_json(finding) for finding in report.findings],
    }
