"""Plans and receipts that the tests of the views share, and the demonstrations look at."""

from __future__ import annotations

from msgspec.structs import replace

from shipway.declaration import Retry
from shipway.errors import Position
from shipway.nodes import Change, Computed, Fidelity, Immediate, Need, NeedKind, Node, Outcome, Promise
from shipway.plan import Plan, PlannedSource, PlannedStage
from shipway.receipt import Attempt, NodeResult, RanBy, Receipt, RollbackEntry, RunOutcome, StageResult

WHERE = Position("shipway.yml", 12, 9)
COMMIT = "1f2e3d4c5b6a79880716253443526170f1e2d3c4"


def stage(
    name: str, *needs: str, condition: str | None = None, mode: str = "steps", backend: str = "steps"
) -> PlannedStage:
    return PlannedStage(name, mode, backend, 1, WHERE, needs, condition)


def plan_of(
    stages: tuple[PlannedStage, ...], nodes: tuple[Node, ...], target: str = "prod", lifecycle: str = "shop"
) -> Plan:
    source = PlannedSource("shipway.yml", ("shipway.yml",), "sha256:" + "5" * 64, "acme/shop", COMMIT, "a" * 40)
    return Plan(lifecycle, target, "linux-x86_64", source, "1.0.0", stages, nodes, secrets=("DB_URL", "TOKEN"))


def small_plan() -> Plan:
    hello = Node(
        "main/hello",
        "main",
        "shell.exec",
        WHERE,
        title='echo "hello, world"',
        slots={"run": Immediate('echo "hello, world"')},
        lasting=False,
    )
    note = Node(
        "main/note",
        "main",
        "file.write",
        WHERE,
        title="file.write out/NOTE.md",
        slots={"path": Immediate("out/NOTE.md"), "content": Immediate("hello\n")},
        needs=(Need("main/hello", NeedKind.ORDER),),
        change=Change.CREATE,
        fidelity=Fidelity.EXACT,
        after={"path": "out/NOTE.md", "content": "hello\n", "mode": "0644"},
        reversible=True,
    )
    return plan_of((stage("main"),), (hello, note), target="default", lifecycle="hello")


def mixed_plan() -> Plan:
    image = Node(
        "build/image",
        "build",
        "shell.exec",
        WHERE,
        title="make image",
        slots={
            "run": Immediate('make image\necho "tag=$(cat VERSION)" >> "$SHIPWAY_OUTPUT"'),
            "plan": Immediate("./version"),
        },
        change=Change.RUN,
        fidelity=Fidelity.PREDICTED,
        predicted={"tag": "2.4.0"},
        lasting=False,
        retry=Retry(attempts=3),
        limits=("docker",),
    )
    test = Node("build/test", "build", "shell.exec", WHERE, title="make test", lasting=False, timeout_ms=600_000)
    backup = Node(
        "release/backup",
        "release",
        "shell.exec",
        WHERE,
        title="./db backup",
        slots={"run": Immediate("./db backup")},
        env={"DB_URL": Computed("${{ secrets.DB_URL }}")},
        lasting=False,
    )
    migrate = Node(
        "release/migrate",
        "release",
        "shell.exec",
        WHERE,
        title="./db up",
        slots={"run": Immediate("./db up"), "plan": Immediate("./db pending"), "undo": Immediate("./db down")},
        env={"TAG": Promise("build/image", "tag"), "DB_URL": Computed("${{ secrets.DB_URL }}")},
        needs=(Need("release/backup", NeedKind.ORDER), Need("build/image", NeedKind.PROMISE)),
        change=Change.UPDATE,
        fidelity=Fidelity.PREDICTED,
        why="its plan command says so",
        after={"plan": "0041_add_currency\n0042_drop_legacy_prices\n2 migrations pending\n"},
        predicted={"applied": 2},
        reversible=True,
        timeout_ms=900_000,
    )
    hosts = tuple(
        Node(
            f"release/rollout-{host}",
            "release",
            "shell.exec",
            WHERE,
            title='./rollout "$HOST" "$TAG"',
            slots={"run": Immediate('./rollout "$HOST" "$TAG"'), "undo": Immediate('./rollout "$HOST" --previous')},
            env={
                "HOST": Immediate(host),
                "TAG": Promise("build/image", "tag"),
                "TOKEN": Computed("${{ secrets.TOKEN }}"),
            },
            env_from=("AWS_*",),
            needs=(Need("release/migrate", NeedKind.ORDER), Need("build/image", NeedKind.PROMISE)),
            condition="github.ref == 'refs/heads/main'",
            reversible=True,
        )
        for host in ("eu-1", "eu-2", "us-1")
    )
    config = Node(
        "release/config",
        "release",
        "file.write",
        WHERE,
        title="file.write deploy/config.yml",
        needs=(Need("release/migrate", NeedKind.ORDER),),
        change=Change.REPLACE,
        fidelity=Fidelity.EXACT,
        before={"path": "deploy/config.yml", "content": "port: 8080\nreplicas: 3\nlog: info\n", "mode": "0644"},
        after={"path": "deploy/config.yml", "content": "port: 8443\nreplicas: 3\nlog: info\n", "mode": "0600"},
        reversible=True,
    )
    prune = Node(
        "release/prune",
        "release",
        "shell.exec",
        WHERE,
        title="./registry prune --keep 10",
        slots={"run": Immediate("./registry prune --keep 10")},
        needs=tuple(Need(host.id) for host in hosts),
        change=Change.DELETE,
        fidelity=Fidelity.PREDICTED,
        why="14 images older than the 10 newest",
    )
    status = Node("report/status", "report", "http.read", WHERE, change=Change.READ, fidelity=Fidelity.EXACT)
    banner = Node(
        "report/banner", "report", "file.write", WHERE, change=Change.NOOP, fidelity=Fidelity.EXACT, reversible=True
    )
    stages = (stage("build"), stage("release", "build"), stage("report", "release", condition="always()"))
    return plan_of(stages, (image, test, backup, migrate, *hosts, config, prune, status, banner))


def large_plan(count: int = 400) -> Plan:
    """`count` nodes in stages of 50: mostly no change, some creates, a few deletes and commands without undo."""
    kinds = (
        (Change.NOOP, Fidelity.EXACT, True),
        (Change.CREATE, Fidelity.EXACT, True),
        (Change.NOOP, Fidelity.EXACT, True),
        (Change.UPDATE, Fidelity.PREDICTED, True),
        (Change.READ, Fidelity.EXACT, False),
    )
    nodes, names = [], [f"region-{number}" for number in range(-(-count // 50))]
    for place in range(count):
        name = names[place // 50]
        change, fidelity, reversible = kinds[place % len(kinds)]
        if place % 50 == 49:
            change, fidelity, reversible = Change.DELETE, Fidelity.OPAQUE, False
        node = Node(
            f"{name}/service-{place % 50}",
            name,
            "service.apply",
            WHERE,
            title=f"service number {place}",
            change=change,
            fidelity=fidelity,
            reversible=reversible,
            before=None if change is Change.CREATE else {"image": f"shop:{place}", "replicas": 2},
            after={"image": f"shop:{place + 1}", "replicas": 2} if change in (Change.CREATE, Change.UPDATE) else None,
            needs=(Need(f"{name}/service-{place % 50 - 1}"),) if place % 50 else (),
        )
        nodes.append(node)
    return plan_of(tuple(stage(name) for name in names), tuple(nodes))


def _ran(node: str, outcome: Outcome, start: int, end: int, tried: Outcome | None = None) -> NodeResult:
    return NodeResult(node, outcome, (Attempt(1, tried or outcome, start, end),), start, start, end)


def failed_receipt() -> Receipt:
    """`mixed_plan` with the second host failing at its third try: what could be undone was."""
    tries = tuple(
        Attempt(number, Outcome.FAILED, 40_000 + number * 4_000, 42_000 + number * 4_000, "", 3) for number in (1, 2, 3)
    )
    tail = "connecting to eu-2\npulling shop:2.4.0\nhealth check: 1 of 3\nhealth check: 2 of 3\nerror: /healthz answered 503\n"
    nodes = (
        replace(_ran("build/image", Outcome.SUCCEEDED, 0, 31_200), outputs={"tag": "2.4.0"}),
        replace(_ran("build/test", Outcome.SUCCEEDED, 0, 18_000), warning="2 tests were slow"),
        _ran("release/backup", Outcome.SUCCEEDED, 31_200, 36_000),
        replace(_ran("release/migrate", Outcome.UNDONE, 36_000, 40_000, Outcome.SUCCEEDED), outputs={"applied": 2}),
        _ran("release/rollout-eu-1", Outcome.UNDONE, 40_000, 47_000, Outcome.SUCCEEDED),
        NodeResult(
            "release/rollout-eu-2",
            Outcome.UNDONE,
            tries,
            40_000,
            44_000,
            54_000,
            error="exit 3",
            tail=tail,
            log="logs/7.txt",
        ),
        _ran("release/rollout-us-1", Outcome.UNDO_FAILED, 40_000, 46_000, Outcome.SUCCEEDED),
        _ran("release/config", Outcome.UNDONE, 40_000, 40_120, Outcome.SUCCEEDED),
        NodeResult("release/prune", Outcome.BLOCKED, cause="release/rollout-eu-2"),
        NodeResult("report/status", Outcome.BLOCKED, cause="release/rollout-eu-2"),
        NodeResult("report/banner", Outcome.NOT_STARTED),
    )
    undo = (
        ("release/rollout-eu-2", Outcome.UNDONE, ""),
        ("release/rollout-us-1", Outcome.UNDO_FAILED, "exit 1: no route to host"),
        ("release/rollout-eu-1", Outcome.UNDONE, ""),
        ("release/config", Outcome.UNDONE, ""),
        ("release/migrate", Outcome.UNDONE, ""),
    )
    rollback = tuple(
        RollbackEntry(node, "release", outcome, 54_000 + place * 2_000, 56_000 + place * 2_000, error, 1)
        for place, (node, outcome, error) in enumerate(undo)
    )
    plan = mixed_plan()
    return Receipt(
        lifecycle="shop",
        target="prod",
        run="20261122T101500Z-7f3a",
        plan_digest=plan.digest,
        effect=plan.effect,
        started="2026-11-22T10:15:00Z",
        ended="2026-11-22T10:16:04Z",
        duration_ms=64_000,
        outcome=RunOutcome.NOT_UNDONE,
        nodes=nodes,
        stages=(
            StageResult("build", Outcome.SUCCEEDED),
            StageResult("release", Outcome.FAILED),
            StageResult("report", Outcome.BLOCKED),
        ),
        rollback=rollback,
        by=RanBy("ci", actor="mona", provider="github", run="4711", attempt=1, commit=COMMIT),
        shipway="1.0.0",
        platform="linux-x86_64",
        critical_path=("build/image", "release/backup", "release/migrate", "release/rollout-eu-2"),
        critical_path_ms=54_000,
        parallelism_thousandths=1420,
        redactions=2,
    )


def good_receipt() -> Receipt:
    """`small_plan`, done."""
    plan = small_plan()
    return Receipt(
        lifecycle="hello",
        target="default",
        run="20261122T101500Z-11aa",
        plan_digest=plan.digest,
        effect=plan.effect,
        started="2026-11-22T10:15:00Z",
        ended="2026-11-22T10:15:01Z",
        duration_ms=340,
        outcome=RunOutcome.SUCCEEDED,
        nodes=(_ran("main/hello", Outcome.SUCCEEDED, 0, 12), _ran("main/note", Outcome.SUCCEEDED, 12, 15)),
        stages=(StageResult("main", Outcome.SUCCEEDED),),
        rollback=(),
        by=RanBy("local"),
        shipway="1.0.0",
        platform="linux-x86_64",
        critical_path=("main/hello", "main/note"),
        critical_path_ms=15,
        parallelism_thousandths=44,
    )
