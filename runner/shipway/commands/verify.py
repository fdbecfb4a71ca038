"""`shipway verify`: whether documents are as they were sealed, and receipts hang together. Changes nothing."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from shipway.attestation import Believed, believed
from shipway.canonical import Json
from shipway.chain import Chain
from shipway.ci import Provider
from shipway.commands.anchors import NOTE
from shipway.commands.documents import write_out
from shipway.commands.setting import find_file, journal_of, repository_of, root_here
from shipway.commands.stores import github_of, open_store
from shipway.context import Context, read_context
from shipway.declaration import Declaration, StateStore
from shipway.errors import EXIT_DONE, EXIT_UNVERIFIED, Reason, ShipwayError, UsageError
from shipway.links import Anchor, ChainReport, Link, report
from shipway.loading import load_declaration
from shipway.registry import Registry
from shipway.render import terminal
from shipway.render.verification import render_verified
from shipway.repository import Repository
from shipway.sealing import sealed
from shipway.shared_state import SharedState, saved_targets
from shipway.signer import SigningTools
from shipway.signing import SigningPolicy, SigningRule, Trust
from shipway.verification import AskSigned, Checked, Standing, check_document
from shipway.workspace import Workspace

if TYPE_CHECKING:
    from shipway.journal_file import JournalFile


class _Source(Struct, frozen=True):
    """Documents of one place. `is_chained`: receipts of it have to hang together; `is_whole`: they are all there ever were."""

    documents: tuple[tuple[str, bytes], ...]
    anchors: Mapping[tuple[str, str], tuple[Anchor, ...]]
    is_chained: bool = True
    is_whole: bool = False


def run(arguments: Namespace) -> int:
    """0 where nothing is wrong, 5 where anything is. Raises UsageError where there is nothing to verify."""
    context = read_context()
    sources = [_named(path, context) for path in arguments.documents]
    if arguments.chain or not sources:
        sources.append(_chain_here(arguments, context))
    if not any(source.documents or source.anchors for source in sources):
        raise UsageError("there is nothing to verify here", next="name a plan or receipt, or a folder of them")
    policy, ask = _signing(arguments, context)
    if arguments.forge:
        sources = [_remembered_too(source, arguments, context) for source in sources]
    wants_checksum = arguments.json or arguments.verbose
    recollection = _Recollection(context)
    checked = [_checked(source, ask, recollection, wants_checksum) for source in sources]
    documents = tuple(document for found in checked for document in found)
    chains = tuple(
        chain for source, found in zip(sources, checked, strict=True) for chain in _chains(source, found, arguments)
    )
    reason = _reason(documents, chains, policy)
    if arguments.json:
        write_out(json.dumps(_json(documents, chains, reason), ensure_ascii=False) + "\n")
    elif not arguments.quiet:
        stream = terminal.standard_output()
        colour = stream.isatty() and not context.no_color
        columns = context.columns if stream.isatty() else 1000
        shown = render_verified(documents, chains, verbose=arguments.verbose, colour=colour, columns=columns)
        write_out(shown)
    return EXIT_UNVERIFIED if reason else EXIT_DONE


def _named(name: str, context: Context) -> _Source:
    """A file, or what is in a folder and below it."""
    path = context.cwd / name
    try:
        if path.is_dir():
            files = sorted(file for file in path.rglob("*.json") if file.is_file() and not file.is_symlink())
            found = [(str(file.relative_to(path)), file.read_bytes()) for file in files]
            return _Source(tuple(entry for entry in found if _is_document(entry[1])), {})
        return _Source(((path.name, path.read_bytes()),), {}, is_chained=False)
    except OSError as error:
        raise UsageError(
            f"cannot read `{name}`: {error.strerror}",
            reason=Reason.DOCUMENT_INVALID,
            next="name a plan or receipt, or a folder of them",
        ) from error


def _is_document(content: bytes) -> bool:
    """Whether a file of a folder counts: what cannot be read does, since nobody knows what it was."""
    if b'"kind":"receipt"' in content:
        return True
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        return True
    return isinstance(data, dict) and ("digest" in data or "kind" in data)


def _chain_here(arguments: Namespace, context: Context) -> _Source:
    """The receipts of the declaration here: those in the store of its state, else those kept in the checkout."""
    try:
        file = find_file(arguments, context)
    except UsageError:
        if arguments.file:
            raise
        return _kept(Workspace(root_here(context)), None, arguments.target)
    repository = repository_of(file, context)
    declared = load_declaration(file, root=repository.root, target=arguments.target)
    if declared.state.store is StateStore.LOCAL:
        return _kept(Workspace(repository.root), declared.name, arguments.target)
    return _stored(declared, arguments.target, context, repository)


def _kept(workspace: Workspace, lifecycle: str | None, target: str | None) -> _Source:
    documents = [(path.name, path.read_bytes()) for path in reversed(workspace.kept_receipts())]
    anchors = {
        (one, other): (Anchor(NOTE, digest),)
        for one, other in workspace.heads_of(lifecycle)
        if target in (None, other) and (digest := Chain(workspace, one, other).last()) is not None
    }
    wanted = [entry for entry in documents if _is_wanted(entry[1], lifecycle, target)]
    return _Source(tuple(wanted), anchors)


def _is_wanted(content: bytes, lifecycle: str | None, target: str | None) -> bool:
    # As canonical bytes have it, so that a thousand receipts are not read twice; anything else is looked at.
    is_of = lifecycle is None or f'"lifecycle":"{lifecycle}","nodes":['.encode() in content
    if is_of and (target is None or f'"target":"{target}","verdicts":['.encode() in content):
        return True
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        return True
    return not isinstance(data, dict) or (
        lifecycle in (None, data.get("lifecycle")) and target in (None, data.get("target"))
    )


def _stored(declared: Declaration, target: str | None, context: Context, repository: Repository) -> _Source:
    secrets = {name: context.env[name] for name in declared.secrets if context.env.get(name)}
    store = open_store(declared.state, secrets, context, repository, writes=False)
    try:
        targets = [target] if target else saved_targets(store, declared.name)
        found: list[tuple[str, bytes]] = []
        anchors = {}
        for name in targets:
            found += reversed(SharedState(store, declared.name, name).receipts())
            head = Chain(Workspace(repository.root), declared.name, name).head()
            if head is not None and head.is_stored:
                anchors[(declared.name, name)] = (Anchor(NOTE, head.digest),)
        return _Source(tuple(found), anchors, is_whole=True)
    finally:
        store.close()


def _remembered_too(source: _Source, arguments: Namespace, context: Context) -> _Source:
    """The same, with the receipts that the deployments on the forge name as the last ones."""
    ci = context.ci
    if ci is None or ci.provider is not Provider.GITHUB:
        raise UsageError("`--forge` asks GitHub, from within one of its jobs", next="leave it out elsewhere")
    if ci.token is None:
        raise UsageError("`--forge` needs a token", next="give the step `env: {GITHUB_TOKEN: ${{ github.token }}}`")
    if not source.is_chained:
        return source
    forge, anchors = github_of(ci, context), dict(source.anchors)
    keys = {(data["lifecycle"], data["target"]): None for _, content in source.documents if (data := _head(content))}
    if arguments.chain or not arguments.documents:
        declared = _lifecycle_here(arguments, context)
        keys |= {(declared, arguments.target): None} if declared and arguments.target else {}
    for lifecycle, target in {**keys, **dict.fromkeys(anchors)}:
        if digest := forge.remembered(lifecycle, target):
            anchors[(lifecycle, target)] = (
                *anchors.get((lifecycle, target), ()),
                Anchor(f"the deployment of `{target}` on GitHub", digest),
            )
    return replace(source, anchors=anchors)


def _lifecycle_here(arguments: Namespace, context: Context) -> str:
    """The name of the lifecycle that is declared here; empty where none is."""
    try:
        file = find_file(arguments, context)
    except UsageError:
        return ""
    return load_declaration(file, root=repository_of(file, context).root).name


def _head(content: bytes) -> dict[str, str]:
    """Lifecycle and target of a receipt, empty where it says none."""
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(data, dict) or data.get("kind") != "receipt":
        return {}
    return {key: str(data.get(key)) for key in ("lifecycle", "target")}


def _signing(arguments: Namespace, context: Context) -> tuple[SigningPolicy, AskSigned]:
    """The policy, and whose signatures count: of the option, else of the declaration here, else of nobody."""
    find = Registry().make_signer
    try:
        file = find_file(arguments, context)
        root = repository_of(file, context).root
        rule = load_declaration(file, root=root, target=arguments.target).signing
    except UsageError:
        if arguments.file:
            raise
        root, rule = context.cwd, SigningRule()
    policy = SigningPolicy.REQUIRE if arguments.require else rule.policy
    tools = SigningTools(root, context.home, context.env, {})
    if arguments.signers or arguments.key:
        text = _text(arguments.signers, context) if arguments.signers else ""
        return policy, Believed(Trust(text, tuple(arguments.key)), find, tools).ask
    return policy, believed(rule, find, tools).ask


def _text(name: str, context: Context) -> str:
    try:
        return (context.cwd / name).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(
            f"cannot read `{name}`: {error.strerror}", next="name a file of allowed signers: docs/receipts.md#signing"
        ) from error


class _Recollection:
    """What the journal of this checkout says of runs. It is opened, and its runs are listed, once for all receipts."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @cached_property
    def _journal(self) -> JournalFile:
        return journal_of(root_here(self._context), self._context)

    @cached_property
    def _once_executed(self) -> frozenset[str]:
        try:
            return frozenset(summary.run for summary in self._journal.runs() if summary.executions == 1)
        except ShipwayError:
            return frozenset()

    def of(self, data: Mapping[str, Json]) -> Mapping[str, Json] | None:
        """The receipt of a run as the journal would have it sealed; None where it knows none that this one could be of."""
        run = data.get("run")
        if not isinstance(run, str) or run not in self._once_executed:
            return None
        try:
            return sealed(self._journal.plan(run), self._journal.read(run), bytes(32)).document
        except ShipwayError:
            return None


def _checked(source: _Source, ask: AskSigned, recollection: _Recollection, wants_checksum: bool) -> list[Checked]:
    return [
        check_document(name, content, ask, recollection.of, wants_checksum=wants_checksum)
        for name, content in source.documents
    ]


def _chains(source: _Source, documents: Sequence[Checked], arguments: Namespace) -> Iterator[ChainReport]:
    if not source.is_chained:
        return
    links: dict[tuple[str, str], list[Link]] = {key: [] for key in source.anchors}
    for document in documents:
        if document.kind == "receipt" and document.lifecycle and document.target:
            link = Link(document.name, document.digest, document.previous)
            links.setdefault((document.lifecycle, document.target), []).append(link)
    for (lifecycle, target), found in links.items():
        anchors = source.anchors.get((lifecycle, target), ())
        yield report(lifecycle, target, found, anchors, is_whole=source.is_whole)


def _reason(documents: Sequence[Checked], chains: Iterable[ChainReport], policy: SigningPolicy) -> Reason | None:
    """Why it is exit 5; None where nothing is wrong."""
    wrong = next((document for document in documents if document.standing is Standing.INVALID), None)
    if wrong is not None:
        if wrong.is_whole:
            return Reason.UNSIGNED
        return Reason.PLAN_DIGEST if wrong.kind == "plan" else Reason.RECEIPT_DIGEST
    if any(chain.findings for chain in chains):
        return Reason.RECEIPT_CHAIN
    is_unsigned = any(document.standing is Standing.UNSIGNED for document in documents)
    return Reason.UNSIGNED if is_unsigned and policy is SigningPolicy.REQUIRE else None


def _json(documents: Sequence[Checked], chains: Sequence[ChainReport], reason: Reason | None) -> dict[str, object]:
    return {
        "valid": reason is None,
        "reason": reason.value if reason else "",
        "documents": [
            {
                "name": each.name,
                "kind": each.kind,
                "standing": each.standing.value,
                "digest": each.digest,
                "checksums": {"object": each.object},
                "lifecycle": each.lifecycle,
                "target": each.target,
                "run": each.run,
                "outcome": each.outcome,
                "previous": each.previous,
                "signed_by": list(each.signed_by),
                "findings": list(each.findings),
                "notes": list(each.notes),
            }
            for each in documents
        ],
        "chains": [
            {
                "lifecycle": chain.lifecycle,
                "target": chain.target,
                "receipts": chain.receipts,
                "begins": chain.begins,
                "last": list(chain.last),
                "anchors": [{"place": anchor.place, "digest": anchor.digest} for anchor in chain.anchors],
                "findings": [
                    {"flaw": found.flaw.value, "digest": found.digest, "text": found.text} for found in chain.findings
                ],
            }
            for chain in chains
        ],
    }
