"""Shows which ports a compose file publishes, in all the forms that it may say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipway.canonical import mapping
from shipway.compose_file import ContainerPort, read_compose
from shipway.nodes import Computed
from tests.previews import SHOP, planned, workspace


def ports(*written: str) -> list[tuple[int, str, int, str, str]]:
    """Port, variable, host port, protocol and address of each."""
    content = f"services:\n  redis: {{image: redis, ports: [{', '.join(written)}]}}\n"
    found = read_compose(content.encode(), "c.yml")
    assert not found.problems, found.problems
    return [_plain(port) for port in found.containers[0].ports]


def _plain(port: ContainerPort) -> tuple[int, str, int, str, str]:
    return port.port, port.variable, port.host, port.protocol, port.address


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ('"${REDIS_PORT:-6379}:6379"', (6379, "REDIS_PORT", 6379, "tcp", "")),
        ('"6379:6379"', (6379, "", 6379, "tcp", "")),
        ("6379", (6379, "", 0, "tcp", "")),
        ('"5432"', (5432, "", 0, "tcp", "")),
        ('"127.0.0.1:8001:8000/udp"', (8000, "", 8001, "udp", "127.0.0.1")),
        ('"[::1]:8001:8000"', (8000, "", 8001, "tcp", "::1")),
        ('"${redis_port}:6379"', (6379, "redis_port", 0, "tcp", "")),
        ('"$REDIS:6379"', (6379, "REDIS", 0, "tcp", "")),
        ('"${HOST:-127.0.0.1}:${PORT-80}:81"', (81, "PORT", 80, "tcp", "")),
        ("{target: 80, published: 8080, host_ip: 1.2.3.4}", (80, "", 8080, "tcp", "1.2.3.4")),
        ('{target: 80, published: "${WEB:-8080}", protocol: udp}', (80, "WEB", 8080, "udp", "")),
    ],
)
def test_p64_a_port_has_its_variable_host_port_protocol_and_address(
    written: str, found: tuple[int, str, int, str, str]
) -> None:
    assert ports(written) == [found]


def test_p64_a_range_is_a_port_each_and_none_is_none() -> None:
    assert [each[:3] for each in ports('"3000-3002:4000-4002"')] == [
        (4000, "", 3000),
        (4001, "", 3001),
        (4002, "", 3002),
    ]
    assert [each[:3] for each in ports('"9000-9010:70"')] == [(70, "", 0)]
    assert ports() == []


def test_p64_several_services_have_their_own_and_merged_ones_too() -> None:
    content = b"x-it: &it {image: r, ports: [1]}\nservices:\n  a: *it\n  b: {<<: *it, ports: [2]}\n  c: {build: .}\n"
    found = read_compose(content, "c.yml")
    assert [(each.name, each.image, [port.port for port in each.ports]) for each in found.containers] == [
        ("a", "r", [1]),
        ("b", "r", [2]),
        ("c", "", []),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"services:\n  a: {ports: [x]}\n", "c.yml:2:15: `x` is no port in `ports` of `a`"),
        (b"services:\n  a: {ports: [{published: 1}]}\n", "c.yml:2:15: a port without `target` in `ports` of `a`"),
        (b"services:\n  a: {ports: 1}\n", "c.yml:2:14: `ports` of `a` is no list"),
        (b"version: '3'\n", "c.yml:1:1: the compose file has no `services`"),
        (b"services: [\n", "c.yml:2:1: the compose file is no YAML: did not find expected node content"),
        (b"", "c.yml:1:1: the compose file is empty"),
        (b"\xff", "c.yml:1:1: the compose file is no UTF-8 text"),
        (b"[" * 30_000, "c.yml:1:1: the compose file is too deep or too large to be read"),
        (b"a: &a [*a]\nservices: *a\n", "c.yml:1:1: the compose file has no `services`"),
    ],
)
def test_what_is_no_compose_file_is_said_with_its_place(content: bytes, said: str) -> None:
    [problem] = read_compose(content, "c.yml").problems
    assert problem.where is not None
    assert f"{problem.where.file}:{problem.where.line}:{problem.where.column}: {problem.text}" == said


def test_p65_the_variable_of_the_file_is_set_to_the_lease(tmp_path: Path) -> None:
    workspace(tmp_path, 'services:\n  cache: {image: p, ports: ["${PG_PORT:-5432}:5432", 9000]}\n')
    slots = planned(tmp_path, SHOP).by_id["runner/infrastructure"].slots
    assert isinstance(slots["variables"], Computed) and isinstance(slots["publish"], Computed)
    assert mapping(slots["variables"].expression)["PG_PORT"] == "${{ stages.provisioner.steps.ports.outputs.cache }}"
    assert mapping(slots["publish"].expression)["cache"] == [
        {
            "container_port": 5432,
            "variable": "PG_PORT",
            "port": "${{ stages.provisioner.steps.ports.outputs.cache }}",
            "protocol": "tcp",
        },
        {
            "container_port": 9000,
            "variable": "",
            "port": "${{ stages.provisioner.steps.ports.outputs.cache-9000 }}",
            "protocol": "tcp",
        },
    ]
