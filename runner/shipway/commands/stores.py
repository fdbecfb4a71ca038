"""Opens the store that a declaration's `state` names, and the locks in it, for this process. Decides nothing about locks."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, suppress

from shipway.ci import CiContext, Provider
from shipway.commands.documents import receipt_in
from shipway.context import Context
from shipway.declaration import Declaration, StateRule, StateStore
from shipway.errors import ShipwayError, UsageError, VerificationError
from shipway.forges.forge import Forge
from shipway.holding import Holding, Locks, Unguarded
from shipway.locks import Claim, Holder, KeptBy, Life
from shipway.precedent import last_let_through
from shipway.receipt import Receipt
from shipway.redaction import Redactor
from shipway.repository import Repository
from shipway.secrecy import Vault
from shipway.shared_journal import fetch
from shipway.shared_state import SharedState, saved_targets
from shipway.shelf import Shelf
from shipway.store import Store
from shipway.workspace import Workspace

LEASE_MS = {StateStore.GIT: 180_000, StateStore.POSTGRES: 60_000}
"""How long a lock outlives the last sign of its holder; renewed each third. A push takes seconds, a statement does not."""


def open_locks(declared: Declaration, secrets: Mapping[str, str], context: Context, repository: Repository) -> Locks:
    """The locks of a run, none of them taken yet. Raises ShipwayError where the store cannot be used."""
    if not declared.is_locked:
        return Unguarded()
    store = open_store(declared.state, secrets, context, repository)
    lease_ms = LEASE_MS.get(declared.state.store, 0)
    kept_by = KeptBy.LEASE if lease_ms else KeptBy.PROCESS
    return Holding(store, Claim(holder_of(context), kept_by, lease_ms), clock_of(context), life_of(context))


def open_state(
    declared: Declaration, secrets: Mapping[str, str], target: str, context: Context, repository: Repository
) -> SharedState | None:
    """The state of a lifecycle and target that is kept in a store; None where it is kept in the workspace."""
    if declared.state.store is StateStore.LOCAL:
        return None
    return SharedState(open_store(declared.state, secrets, context, repository), declared.name, target)


def open_vault(declared: Declaration, secrets: Mapping[str, str]) -> Vault | None:
    """What encrypts to the key that `state` names; None where it names none. Raises UsageError."""
    name = declared.state.key
    if not name:
        return None
    if not secrets.get(name):
        raise UsageError(
            f"the secret `{name}` is not set, and `state` takes the key from it",
            next="set it in the environment, then run again",
        )
    from shipway.stores.vault import Vault as KeyVault  # late: only who names a key pays for it

    return KeyVault(name, secrets[name])


def open_shelf(
    declared: Declaration, secrets: Mapping[str, str], target: str, context: Context, repository: Repository
) -> Shelf:
    """What the actions of a lifecycle keep between its runs on a target. Opens nothing before one of them does."""
    return Shelf(
        declared.name,
        target,
        lambda: open_store(declared.state, secrets, context, repository),
        open_vault=lambda: open_vault(declared, secrets),
        is_private=declared.state.store is StateStore.LOCAL,
        roles=_roles(declared),
    )


def _roles(declared: Declaration) -> Mapping[str, str]:
    if not any(stage.mode == "preview" for stage in declared.stages):
        return {}
    from shipway.preview_moving import roles_of  # late: only previews have roles

    return roles_of(declared)


def receipts_of(declared: Declaration, target: str, context: Context, repository: Repository) -> Iterator[Receipt]:
    """The receipts of a target: those kept in the checkout, then those in the store of the state. Without broken ones.

    Raises StoreError where the store cannot be reached.
    """
    yield from _kept_here(declared, target, repository)
    yield from _kept_in_store(declared, target, context, repository)


def precedents_of(declared: Declaration, target: str, context: Context, repository: Repository) -> Iterator[Receipt]:
    """The receipt of the last run that was let through: by what is kept in the checkout, and by the store of the state.

    One of each, since a checkout may bring files along: they can only add a rule. Raises StoreError as `receipts_of` does.
    """
    kept = (_kept_here(declared, target, repository), _kept_in_store(declared, target, context, repository))
    for receipts in kept:
        with closing(receipts):
            found = last_let_through(receipts, declared.name, target)
        if found is not None:
            yield found


def _kept_here(declared: Declaration, target: str, repository: Repository) -> Generator[Receipt]:
    for path in Workspace(repository.root).kept_receipts():
        if path.name.startswith(f"{declared.name}-{target}-"):
            yield from _verified(path.read_bytes())


def _kept_in_store(declared: Declaration, target: str, context: Context, repository: Repository) -> Generator[Receipt]:
    secrets = {name: context.env[name] for name in declared.secrets if context.env.get(name)}
    state = open_state(declared, secrets, target, context, repository)
    if state is not None:
        try:
            for _, content in state.receipts():
                yield from _verified(content)
        finally:
            state.close()


def _verified(content: bytes) -> Iterator[Receipt]:
    # What was altered, or is something else, proves nothing; whose fault that is, is not what was asked.
    with suppress(VerificationError, UsageError):
        yield receipt_in(content)


def fetch_runs(declared: Declaration, target: str | None, context: Context, repository: Repository) -> list[str]:
    """Bring the runs that were saved elsewhere into the journal of the checkout; their ids. None where nothing is saved elsewhere.

    Without `target` those of all targets.
    """
    if declared.state.store is StateStore.LOCAL:
        return []
    secrets = {name: context.env[name] for name in declared.secrets if context.env.get(name)}
    store = open_store(declared.state, secrets, context, repository)
    try:
        targets = [target] if target else saved_targets(store, declared.name)
        states = [SharedState(store, declared.name, name) for name in targets]
        return [run for state in states if (run := fetch(state, Workspace(repository.root)))]
    finally:
        store.close()


def open_store(
    state: StateRule, secrets: Mapping[str, str], context: Context, repository: Repository, *, writes: bool = True
) -> Store:
    """The store that `state` names. With `writes` its place is made where there is none. Raises ShipwayError."""
    redactor = Redactor(secrets)
    if state.store is StateStore.GIT:
        from shipway.stores.git_refs import GitRefs, find_remote  # late: only who uses git pays for it

        if not repository.is_git:
            raise UsageError(f"`state: git` needs a git repository, and `{repository.root}` is none")
        token, server_url = (context.ci.token, context.ci.server_url) if context.ci else (None, "")
        remote = find_remote(repository.root, context.env, state.remote, token, server_url)
        return GitRefs(remote, context.env, sleep=context.sleep, redact=redactor.clean)
    if state.store is StateStore.POSTGRES:
        from shipway.stores.postgres import Postgres  # late: only who uses a database pays for it

        if not secrets.get(state.url):
            raise UsageError(
                f"the secret `{state.url}` is not set, and `state` takes the address of the database from it",
                next="set it in the environment, then run again",
            )
        return Postgres(secrets[state.url], sleep=context.sleep, redact=redactor.clean)
    from shipway.stores.local_files import LocalFiles  # late: only who executes pays for it

    workspace = Workspace(repository.root)
    return LocalFiles(workspace.make_records() if writes else workspace.records)


def holder_of(context: Context, why: str = "") -> Holder:
    """This process as the holder of a lock."""
    ci = context.ci
    if ci is None:
        return Holder(context.random_hex(8), actor=context.user, host=context.host, why=why)
    return Holder(
        id=context.random_hex(8),
        actor=ci.actor,
        host=context.host,
        url=ci.run_url,
        provider=ci.provider.value,
        repository=ci.repository,
        run=ci.run_id,
        attempt=ci.run_attempt,
        why=why,
    )


def clock_of(context: Context) -> Callable[[], int]:
    """Milliseconds since 1970: read once, then counted on, so that a clock that is set back shortens no lease."""
    started_ms, started_ns = int(context.now().timestamp() * 1000), context.monotonic_ns()
    return lambda: started_ms + (context.monotonic_ns() - started_ns) // 1_000_000


def life_of(context: Context) -> Callable[[Holder], Life]:
    """What can be learnt of another holder: of a run on GitHub from its API, of any other nothing but its lease."""

    def ask(holder: Holder) -> Life:
        if holder.provider != Provider.GITHUB.value:
            return Life.UNASKED
        ci = context.ci
        if ci is None or ci.provider is not Provider.GITHUB or ci.repository != holder.repository:
            return Life.UNKNOWN
        if ci.run_id == holder.run and holder.attempt < ci.run_attempt:
            return Life.OVER
        return _ask_github(ci, context, holder)

    return ask


def _ask_github(ci: CiContext, context: Context, holder: Holder) -> Life:
    if ci.token is None:
        return Life.UNKNOWN
    try:
        return Life.OVER if github_of(ci, context).is_over(holder.run, holder.attempt) else Life.GOES_ON
    except ShipwayError:
        return Life.UNKNOWN


def github_of(ci: CiContext, context: Context, *, is_hasty: bool = False) -> Forge:
    """The job's repository on GitHub. A hasty one gives up after some seconds: work waits for its answer."""
    from shipway.forges import limits  # late, as all of these: requests takes 100 ms
    from shipway.forges.client import Client, Pace, impatient
    from shipway.forges.github import GitHub

    redact = Redactor({"GITHUB_TOKEN": ci.token.value if ci.token else ""}).redact
    pace, timeout_s = Pace(context.now, context.sleep), (limits.CONNECT_TIMEOUT_S, limits.READ_TIMEOUT_S)
    if is_hasty:
        pace, timeout_s = impatient(pace), limits.HASTY_TIMEOUT_S
    client = Client(api_url=ci.api_url, token=ci.token, pace=pace, redact=redact, timeout_s=timeout_s)
    return GitHub(client, repository=ci.repository, graphql_url=ci.graphql_url)
