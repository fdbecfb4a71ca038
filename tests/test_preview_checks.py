"""Shows what is found wrong with the stages of a preview: all of it at once, each with its place."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from shipway.canonical import object_of
from shipway.nodes import Computed, Immediate
from tests.preview_actions import StandIns
from tests.previews import SHOP, attempt, planned, refused, workspace
from tests.runs import call


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return workspace(tmp_path)


def with_(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


def texts(found: list[str]) -> list[str]:
    """What is said, without where."""
    return [re.sub(r"^[^:]+:\d+:\d+: ", "", each) for each in found]


def entries(root: Path, text: str, node: str, target: str = "pr-42") -> dict[str, object]:
    slot = planned(root, text, target).by_id[node].slots["entries"]
    value = slot.expression if isinstance(slot, Computed) else slot.value if isinstance(slot, Immediate) else None
    return dict(object_of(value))


def written(root: Path, text: str, node: str) -> dict[str, object]:
    """What a node that writes an env file was given when it ran."""
    registry = StandIns()
    ran = attempt(root, text, execute=True, registry=registry)
    assert ran.exit_code == 0, ran.outcomes
    return dict(object_of(registry.seen[node].inputs["entries"]))


API_ENV = "runner/env[services%2Fapi%2F.env.local]"
SHOPFRONT_ENV = "runner/env[services%2Fshopfront%2F.env.local]"

OVERLAY = """
stages:
  provisioner:
    with:
      services:
        postgres: {seed: ./scripts/clone-db.sh, destroy: ./scripts/drop-db.sh}
  runner:
    with:
      infrastructure: {compose_file: compose.preview.yaml}
"""
BASE = SHOP.replace("          seed: ./scripts/clone-db.sh\n          destroy: ./scripts/drop-db.sh\n", "").replace(
    "      infrastructure: {compose_file: compose.preview.yaml}\n", ""
)


# Declaration and overlay.


def test_p1_an_overlay_adds_hooks_and_a_file_and_leaves_the_outputs(root: Path) -> None:
    (root / "shipway.pr.yml").write_text(OVERLAY)
    plan = planned(root, BASE)
    node = plan.by_id["provisioner/service/postgres"]
    assert sorted(node.outputs) == ["DSN", "HOST", "PORT", "made"]
    assert node.slots["undo"] == Immediate("./scripts/drop-db.sh")
    assert "runner/infrastructure" in plan.by_id


def test_p2_without_an_overlay_the_base_is_as_it_is(root: Path) -> None:
    (root / "shipway.pr.yml").write_text("stages: {runner: {with: {quota: 3}}}\n")
    contexts = {target: planned(root, SHOP, target).stages_by_id["runner"].context for target in ("pr-1", "prod")}
    assert [contexts[target]["quota"] for target in ("pr-1", "prod")] == [3, 10]
    assert contexts["pr-1"]["ttl_ms"] == contexts["prod"]["ttl_ms"] == 72 * 3_600_000


def test_p3_outputs_are_merged_one_by_one_and_null_takes_one_away(root: Path) -> None:
    overlay = "{stages: {provisioner: {with: {services: {postgres: {outputs: {X: string, Y: string, DSN: null}}}}}}}"
    (root / "shipway.pr.yml").write_text(overlay)
    text = with_(SHOP, "            DSN: ${{ provisioner.postgres.DSN }}\n", "")
    node = planned(root, text).by_id["provisioner/service/postgres"]
    assert sorted(node.outputs) == ["HOST", "PORT", "X", "Y", "made"]


def test_p3_an_overlay_may_add_a_service(root: Path) -> None:
    overlay = "{stages: {runner: {with: {services: {web: {path: services/api, command: ./web, env_file: .env.web}}}}}}"
    (root / "shipway.pr.yml").write_text(overlay)
    ids = [node.id for node in planned(root, SHOP).nodes]
    assert ids[-3:] == ["runner/service/api", "runner/service/shopfront", "runner/service/web"]


def test_p4_an_overlay_that_adds_a_variable_leaves_the_rest_of_the_service(root: Path) -> None:
    (root / "shipway.pr.yml").write_text("{stages: {runner: {with: {services: {api: {env: {MORE: here}}}}}}}")
    assert sorted(entries(root, SHOP, API_ENV)) == ["CACHE_PORT", "DSN", "LISTEN_PORT", "MORE"]


def test_p5_null_clears_and_an_empty_text_is_a_value(root: Path) -> None:
    (root / "shipway.pr.yml").write_text(
        '{stages: {runner: {with: {services: {api: {env: {DSN: null, LISTEN_PORT: ""}}}}}}}'
    )
    assert entries(root, SHOP, API_ENV) == {
        "CACHE_PORT": "${{ format('{0}', stages.provisioner.steps.ports.outputs.cache) }}",
        "LISTEN_PORT": "",
    }


def test_p6_what_an_overlay_leaves_incomplete_is_said_at_its_line(root: Path) -> None:
    (root / "shipway.pr.yml").write_text(
        "stages:\n  runner:\n    with:\n      services:\n        web: {command: ./w}\n"
    )
    assert refused(root, SHOP) == ["shipway.pr.yml:5:9: service `web` needs `path`"]


def test_p6_a_base_that_is_complete_only_when_merged_is_accepted(root: Path) -> None:
    text = with_(SHOP, "          path: services/shopfront\n", "")
    assert texts(refused(root, text, "prod")) == ["service `shopfront` needs `path`"]
    (root / "shipway.pr.yml").write_text(
        "{stages: {runner: {with: {services: {shopfront: {path: services/shopfront}}}}}}"
    )
    assert planned(root, text)


def test_p7_what_is_required_is_said_of_each_and_a_provisioner_is_not(root: Path) -> None:
    text = with_(SHOP, "          path: services/api\n", "")
    text = with_(text, "          outputs: {DSN: {type: secret}, HOST: {type: string}, PORT: {type: integer}}\n", "")
    text = with_(text, "            DSN: ${{ provisioner.postgres.DSN }}\n", "")
    assert texts(refused(root, text)) == ["service `postgres` needs `outputs`", "service `api` needs `path`"]
    alone = "stages:\n  app:\n    mode: preview\n    with: {role: runner, services: {api: {path: services/api}}}\n"
    assert [node.id for node in planned(root, alone).nodes] == ["app/compute", "app/ports", "app/manifest"]


def test_p8_an_unknown_key_has_its_nearest_and_its_place(root: Path) -> None:
    text = with_(SHOP, "      services:\n        api:", "      servcies:\n        api:")
    ran = attempt(root, text)
    [problem] = [each for each in ran.error.problems if "servcies" in each.text]
    assert problem.text == "unknown key `servcies` in `with` of stage `runner`"
    assert problem.hint == "did you mean `services`?"
    assert problem.where is not None and (problem.where.line, problem.where.column) == (20, 7)
    twice = with_(
        SHOP, "          path: services/api\n", "          path: services/api\n          path: services/api\n"
    )
    assert texts(refused(root, twice)) == ["the key `path` is given twice"]


def test_p9_values_of_variables_keep_their_spelling_and_nothing_is_none(root: Path) -> None:
    text = with_(
        SHOP,
        "            DSN: ${{",
        "            A: 3000\n            B: true\n            C: 010\n            DSN: ${{",
    )
    found = entries(root, text, API_ENV)
    assert (found["A"], found["B"], found["C"]) == ("3000", "true", "010")
    text = with_(SHOP, "            DSN: ${{", "            A:\n            DSN: ${{")
    assert texts(refused(root, text)) == ["`A` in `env` of service `api` has no value"]


# Validation.


def test_p10_all_findings_come_at_once_and_in_one_order(root: Path) -> None:
    text = with_(SHOP, "needs: [cache]", "needs: [chache]")
    text = with_(text, "ready: {http: /healthz, within: 90s}", "ready: {http: healthz, within: 90}")
    text = with_(text, "path: services/shopfront", "path: ../shopfront")
    text = with_(text, "quota: 10", "quota: 0")
    expected = [
        "shipway.yml:24:19: unknown name `chache` in `needs` of service `api`",
        "shipway.yml:29:25: `http` of `ready` of service `api` must be a path such as `/healthz`",
        "shipway.yml:29:42: `within` of `ready` of service `api` must be a duration such as `90s`, not `90`",
        "shipway.yml:31:17: `path` of service `shopfront` is outside the repository: `../shopfront`",
        "shipway.yml:36:14: `quota` of stage `runner` must be a whole number from 1 to 10000, not `0`",
    ]
    assert refused(root, text) == expected
    assert all(refused(root, text) == expected for _ in range(5))
    assert attempt(root, text).error.message == "validate failed with 5 problems; nothing was planned"


def test_p11_a_need_is_a_name_of_a_service_the_infrastructure_or_the_provisioner(root: Path) -> None:
    assert texts(refused(root, with_(SHOP, "needs: [cache]", "needs: [nonexistent]"))) == [
        "unknown name `nonexistent` in `needs` of service `api`"
    ]
    assert planned(root, with_(SHOP, "needs: [cache]", "needs: [cache, postgres]"))


def test_p12_who_needs_itself_and_who_need_each_other(root: Path) -> None:
    assert texts(refused(root, with_(SHOP, "needs: [cache]", "needs: [api]"))) == ["service `api` needs itself"]
    assert refused(root, with_(SHOP, "needs: [cache]", "needs: [shopfront]")) == [
        "shipway.yml:24:19: a cycle of services that need each other: api → shopfront → api"
    ]


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        (
            "nothing.at.all",
            "unknown context `nothing` in `DSN` of `env` of `api` of `services` of `with` of stage `runner`",
        ),
        ("services.web.port", "there is no service `web`: `services.web.port`"),
        ("infrastructure.redis.port", "there is no container `redis`: `infrastructure.redis.port`"),
        ("provisioner.mysql.DSN", "there is no service of the provisioner `mysql`: `provisioner.mysql.DSN`"),
        ("provisioner.postgres.URL", "`provisioner.postgres` has no `URL`"),
        ("services.shopfront", "`services.shopfront` is no value by itself"),
        ("services.shopfront.host", "`services.shopfront` has no `host`"),
        ("self.name", "`self` has no `name`"),
        ("services.shopfront.port.x", "`services.shopfront` has no `port.x`"),
        ("services['shop' == 'a'].port", "there is no service `*`: `services.*.port`"),
    ],
)
def test_p13_a_name_that_stands_for_nothing_is_said_for_what_it_is(root: Path, expression: str, said: str) -> None:
    found = refused(root, with_(SHOP, "${{ provisioner.postgres.DSN }}", f"${{{{ {expression} }}}}"))
    assert [each for each in texts(found) if said in each or each in said], found
    assert found[0].startswith("shipway.yml:27:22:")


def test_p14_two_containers_on_one_port_clash_and_two_without_do_not(root: Path) -> None:
    workspace(root, 'services:\n  cache: {image: r, ports: ["6379:6379"]}\n  other: {image: r, ports: ["6379:6379"]}\n')
    assert refused(root, SHOP) == [
        "compose.preview.yaml:3:29: port clash: `cache` and `other` are both on host port 6379"
    ]
    workspace(root, 'services:\n  cache: {image: r, ports: ["${A:-1}:1"]}\n  a: {image: r}\n  b: {image: r}\n')
    assert planned(root, SHOP)


def test_p15_a_service_and_a_container_of_one_name_clash(root: Path) -> None:
    workspace(root, "services:\n  cache: {image: r, ports: [6379]}\n  api: {image: r}\n")
    assert texts(refused(root, SHOP)) == ["name clash: `api` is a service and a container of `compose.preview.yaml`"]


def test_p16_paths_stay_in_the_repository_links_followed(root: Path) -> None:
    (root / "services/away").symlink_to(root.parent)
    for old, new, said in (
        ("path: services/api", "path: /srv/api", "`path` of service `api` is outside the repository: `/srv/api`"),
        (
            "path: services/api",
            "path: services/away",
            "`path` of service `api` is outside the repository: `services/away`",
        ),
        (
            "path: services/api",
            "path: services/api\n          env_file: /etc/env",
            "`env_file` of service `api` is outside the repository: `/etc/env`",
        ),
        (
            "path: services/api",
            "path: services/api\n          env_file: ../../../env",
            "`env_file` of service `api` is outside the repository: `services/api/../../../env`",
        ),
    ):
        assert texts(refused(root, with_(SHOP, old, new))) == [said]


def test_p17_files_and_folders_that_are_not_there(root: Path) -> None:
    text = with_(with_(SHOP, "path: services/api", "path: services/none"), "compose.preview.yaml", "none.yaml")
    text = with_(
        with_(text, "needs: [cache]", "needs: []"), "            CACHE_PORT: ${{ infrastructure.cache.port }}\n", ""
    )
    assert refused(root, text) == [
        "shipway.yml:19:38: the compose file is not found: `none.yaml`",
        "shipway.yml:22:17: the folder of service `api` is not found: `services/none`",
    ]


def test_p18_every_hook_that_names_a_file_needs_it(root: Path) -> None:
    text = with_(SHOP, "./scripts/drop-db.sh", "{run: ./scripts/none.sh, verify: /none/there}")
    text = with_(text, "      ttl: 72h", "      after: ./gone --now\n      ttl: 72h")
    assert texts(refused(root, text)) == [
        "`destroy` of service `postgres` runs `./scripts/none.sh`, which is not found",
        "`destroy` of service `postgres` runs `/none/there`, which is not found",
        "`after` runs `./gone`, which is not found",
    ]


def test_p20_what_is_checked_is_the_overlay_in_force(root: Path) -> None:
    (root / "shipway.pr.yml").write_text("{stages: {runner: {with: {services: {api: {needs: [nobody]}}}}}}")
    assert planned(root, SHOP, "prod")
    assert refused(root, SHOP, "pr-42")[0].startswith("shipway.pr.yml:1:")


def test_p53_two_names_of_one_variable_clash(root: Path) -> None:
    text = with_(
        SHOP,
        "        shopfront:\n",
        "        a-b: {path: services/api}\n        a_b: {path: services/api}\n        shopfront:\n",
    )
    assert texts(refused(root, text)) == ["name clash: the ports of `a-b` and `a_b` would both be `SHIPWAY_PORT_A_B`"]


def test_a_script_holds_no_expression(root: Path) -> None:
    text = with_(SHOP, "command: ./serve", 'command: "./serve ${{ self.port }}"')
    text = with_(text, "./scripts/drop-db.sh", '"drop ${{ target }}"')
    assert texts(refused(root, text)) == [
        "an expression inside the script `destroy` of service `postgres`",
        "an expression inside the script `command` of service `api`",
    ]


def test_a_lifecycle_has_one_stage_of_each_role_and_the_runner_needs_the_provisioner(root: Path) -> None:
    text = with_(SHOP, "    needs: [provisioner]\n", "") + "  again:\n    mode: preview\n    with: {role: runner}\n"
    assert texts(refused(root, text)) == [
        "stage `runner` runs what stage `provisioner` makes, and does not need it",
        "stage `again` has the role of stage `runner`, and a lifecycle has one of each",
    ]


def test_no_person_writes_another_action_than_up(root: Path) -> None:
    found = texts(refused(root, with_(SHOP, "      role: runner\n", "      role: runner\n      action: down\n")))
    assert found == ["unknown key `action` in `with` of stage `runner`"]


# Expressions and env files.


def test_p57_ports_stand_in_texts(root: Path) -> None:
    env = (
        '{A: "http://x:${{ services.api.port }}/api", B: "${{ services.api.port }},${{ infrastructure.cache.port }}",'
        ' C: plain, D: "on ${{ self.port }}!", LISTEN_PORT: "${{ self.port }}"}'
    )
    old = '{LISTEN_PORT: "${{ self.port }}", API: "http://127.0.0.1:${{ services.api.port }}"}'
    text = with_(SHOP, old, env)
    assert written(root, text, SHOPFRONT_ENV) == {
        "A": "http://x:61000/api",
        "B": "61000,61001",
        "C": "plain",
        "D": "on 61002!",
        "LISTEN_PORT": "61002",
    }


def test_p58_self_stands_in_services_only(root: Path) -> None:
    text = with_(SHOP, "      ttl: 72h", '      after: {run: "true", env: {A: "${{ self.port }}"}}\n      ttl: 72h')
    assert texts(refused(root, text)) == ["`self.port` outside a service"]


def test_p59_what_looks_like_an_expression_is_none_and_an_open_one_has_its_place(root: Path) -> None:
    text = with_(SHOP, "${{ provisioner.postgres.DSN }}", "\"{{self.port}} ${{ '${{' }} x\"")
    assert written(root, text, API_ENV)["DSN"] == "{{self.port}} ${{ x"
    found = refused(root, with_(SHOP, "${{ provisioner.postgres.DSN }}", '"a ${{ self.port"'))
    assert len(found) == 1 and found[0].startswith("shipway.yml:27:21: `${{` is not closed")


def test_p62_services_may_share_an_env_file_and_not_differ_in_it(root: Path) -> None:
    shared = "          env_file: ../.env\n          command:"
    text = SHOP.replace("          command:", shared)
    assert texts(refused(root, text)) == [
        "services `api` and `shopfront` both write `LISTEN_PORT` into `services/.env`, with other values"
    ]
    text = with_(text, 'env: {LISTEN_PORT: "${{ self.port }}", ', 'env: {DSN: "${{ provisioner.postgres.DSN }}", ')
    assert sorted(entries(root, text, "runner/env[services%2F.env]")) == ["API", "CACHE_PORT", "DSN", "LISTEN_PORT"]


def test_p62_a_service_without_variables_has_no_env_file(root: Path) -> None:
    text = with_(
        SHOP, '          env: {LISTEN_PORT: "${{ self.port }}", API: "http://127.0.0.1:${{ services.api.port }}"}\n', ""
    )
    plan = planned(root, text)
    assert [node.id for node in plan.nodes if "env[" in node.id] == [API_ENV]
    assert "env_file" not in plan.by_id["runner/service/shopfront"].slots


def test_a_number_of_a_pull_request_is_known_from_the_target(root: Path) -> None:
    text = with_(SHOP, "${{ provisioner.postgres.DSN }}", "n${{ pull_request.number || 'none' }}")
    assert entries(root, text, API_ENV)["DSN"] == "n42"
    assert entries(root, text, API_ENV, "prod")["DSN"] == "nnone"


# Whatever it holds.

ODD: list[object] = [
    None,
    True,
    0,
    -1,
    3.5,
    "",
    "x",
    "${{",
    "${{ self.port }}",
    "/",
    "../x",
    [],
    [None],
    ["a"],
    {},
    {"a": 1},
]
ODD += [{"run": None}, {"type": {}}, "é" * 70, {"": ""}, [[]]]


def places(value: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of every value inside mappings."""
    if not isinstance(value, dict):
        return [path]
    return [path, *(found for key, inner in value.items() for found in places(inner, (*path, key)))]


def put(data: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for key in path[:-1]:
        data = data[key]
    data[path[-1]] = value


@pytest.mark.parametrize("seed", range(12))
def test_whatever_stands_in_it_is_a_problem_with_a_place_or_a_plan(root: Path, seed: int) -> None:
    rng = Random(seed)
    text = with_(SHOP, "      ttl: 72h", "      deploy: {run: 'true', verify: 'true', env: {A: b}}\n      ttl: 72h")
    text = with_(
        text, "      role: provisioner\n", "      role: provisioner\n      compute: {create: a, outputs: {X: string}}\n"
    )
    whole = yaml.safe_load(text)
    inside = [path for path in places(whole) if "with" in path[:-1] or path[-1:] == ("with",)]
    for _ in range(12):
        data = copy.deepcopy(whole)
        path = rng.choice(inside)
        value = rng.choice(ODD)
        put(data, path, value)
        ran = attempt(root, yaml.safe_dump(data, allow_unicode=True), rng.choice(["pr-42", "prod"]))
        error = ran.finished.error
        if error is None:
            assert ran.finished.plan is not None
            continue
        assert error.exit_code == 2, (path, value, error.message, error.trace)
        assert error.problems and all(each.where for each in error.problems), (path, value, error.message)


def test_a_problem_is_shown_with_its_line_and_a_caret(root: Path) -> None:
    text = "version: 1\nname: shop\n" + with_(SHOP, "needs: [cache]", "needs: [cachr]")
    (root / "shipway.yml").write_text(text)
    called = call(root, "validate", "--target", "pr-42")
    assert (called.exit_code, called.out) == (2, "")
    assert called.err == (
        "shipway.yml:24:19: unknown name `cachr` in `needs` of service `api`\n"
        "    24 |           needs: [cachr]\n"
        "       |                   ^^^^^ did you mean `cache`?\n"
        "validate failed with 1 problem; nothing was planned\n"
    )


def test_p10_an_empty_declaration_lacks_more_than_one_thing_and_says_how_many(root: Path) -> None:
    (root / "shipway.yml").write_text("{}\n")
    called = call(root, "validate", "--target", "pr-42")
    assert called.exit_code == 2 and "needs `version`" in called.err and "needs `name`" in called.err
    assert re.search("load failed with [2-9] problems", called.err)
    (root / "shipway.yml").write_text("version: 2\nname: shop\n" + SHOP)
    found = call(root, "validate", "--target", "pr-42").err
    assert "shipway.yml:1:10: `version` must be `1`, not `2`" in found
