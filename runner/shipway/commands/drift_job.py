"""The action's work on a schedule: looks for drift of each target, and keeps one issue for each. Executes nothing."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence

from shipway.canonical import Json, digest
from shipway.ci import CiContext, Provider
from shipway.commands.action_job import Inputs
from shipway.commands.action_voyage import set_outputs
from shipway.commands.documents import write_out
from shipway.commands.drift import exit_code, report_json
from shipway.commands.drift_rounds import Rounds
from shipway.commands.drifting import DriftReport, find_drift
from shipway.commands.setting import DEFAULT_TARGET, find_file, heeding_signals, repository_of
from shipway.commands.stores import github_of
from shipway.commands.telling import say
from shipway.context import Context
from shipway.declaration import Declaration
from shipway.errors import EXIT_DONE, ShipwayError, UsageError
from shipway.forges.forge import Outcome, Posted
from shipway.forges.issues import settle
from shipway.forges.sticky import Note, Purpose
from shipway.interruption import Interruption
from shipway.loading import load_declaration
from shipway.redaction import trusted
from shipway.render import drift_issue, failure, terminal
from shipway.render.drift import render_drift, words
from shipway.render.workflow import WorkflowLog


def look_for_drift(context: Context, inputs: Inputs, log: WorkflowLog) -> int:
    """3 where anything differs on any target, 5 where a receipt cannot be counted; one target's failure keeps no other back."""
    ci = context.ci
    assert ci is not None
    file = find_file(Namespace(file=inputs.file), context)
    repository = repository_of(file, context)
    codes: list[int] = []
    reasons: list[str] = []
    lifecycle = load_declaration(file, root=repository.root)
    rounds = Rounds(lifecycle, context, repository)
    for target in rounds.of(_targets(lifecycle, inputs.target)):
        interruption = Interruption()
        try:
            declared = load_declaration(file, root=repository.root, target=target)
            for name in declared.secrets:
                log.mask(context.env.get(name, ""))
            with heeding_signals(interruption):
                report = find_drift(declared, target, context, repository, interruption)
        except ShipwayError as error:
            terminal.write(terminal.standard_error(), trusted(failure.as_text(error)))
            log.write_summary(trusted(f"Drift of {target}: {error.reason.value}"))
            codes.append(error.exit_code)
            reasons.append(error.reason.value)
            continue
        codes.append(exit_code(report))
        reasons += [finding.reason.value for finding in report.findings]
        _tell(report, repository.commit or ci.sha, inputs, context, ci, log)
    if rounds.fault:
        say(f"which target was looked at longest ago is not kept: {rounds.fault}", log)
    code = max(codes, default=EXIT_DONE)
    set_outputs(log, {"reason": reasons[0] if reasons else "", "exit-code": str(code)})
    return code


def _targets(declared: Declaration, named: str) -> Sequence[str]:
    """The target that is named, else each that the declaration lists by name."""
    if named or declared.targets is None:
        return [named or DEFAULT_TARGET]
    concrete = [name for name in declared.targets if "*" not in name]
    if not concrete:
        raise UsageError("name a target: this lifecycle has patterns of them only", next="input `target`")
    return concrete


def _tell(report: DriftReport, commit: str, inputs: Inputs, context: Context, ci: CiContext, log: WorkflowLog) -> None:
    """Log, summary and issue. What becomes of the issue changes no exit code."""
    write_out(f"{report.lifecycle} → {report.target}\n")
    write_out(render_drift(report.found, every=False, colour=False, columns=context.columns))
    findings = [f"{each.place}: {each.text} ({each.reason.value})" for each in report.findings]
    room = log.summary_room()
    shown = drift_issue.body(
        report.lifecycle, report.target, report.found, findings, commit=commit, budget=min(room, 100_000)
    )
    if len(shown.encode()) < room:
        log.write_summary(shown)
    posted = _issue(report, findings, commit, context, ci) if inputs.comment else Posted(Outcome.REFUSED, why="off")
    said = posted.outcome.value + (f": {posted.why}" if posted.why else "")
    say(f"issue {said} {posted.url}".rstrip(), log)
    log.set_output("comment", trusted(said))
    if posted.outcome is Outcome.DEFERRED:
        log.write_summary(trusted(f"Issue {said}; {words(report.found)}"))


def _issue(report: DriftReport, findings: Sequence[str], commit: str, context: Context, ci: CiContext) -> Posted:
    if ci.provider is not Provider.GITHUB or ci.token is None:
        return Posted(Outcome.REFUSED, why="issues are kept on GitHub only, and with a token")
    told: Json = report_json(report)
    assert isinstance(told, dict)
    note = Note(
        pull_request=0,
        lifecycle=report.lifecycle,
        target=report.target,
        purpose=Purpose.DRIFT,
        run=ci.run_id,
        attempt=ci.run_attempt,
        head=commit,
        effect=digest(json.loads(json.dumps(told))),
    )
    from shipway.forges.github import GitHub  # late: requests takes 100 ms

    forge = github_of(ci, context)
    assert isinstance(forge, GitHub)
    return settle(
        forge,
        note,
        drift_issue.title(report.lifecycle, report.target),
        lambda budget: drift_issue.body(
            report.lifecycle, report.target, report.found, findings, commit="", budget=budget
        ),
        is_open=report.differs or bool(report.findings),
    )
