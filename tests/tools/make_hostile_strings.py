"""Writes tests/hostile_strings.json: texts that try to be more than text, by what they try. Every run gives the same bytes.

python -m tests.tools.make_hostile_strings
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

FILE = Path(__file__).resolve().parent.parent / "hostile_strings.json"
MARKER = f"<!-- shipway:v1 id={'0' * 64} at=2026-11-22T10:00:00Z run=1.1 head={'a' * 40} effect=sha256:{'0' * 64} -->"
HOST = "http://evil.example"
ESC = "\x1b"


def commands() -> Iterator[str]:
    """What GitHub's runner obeys. Source: https://github.com/actions/runner/blob/main/src/Runner.Common/ActionCommand.cs"""
    names: tuple[str, ...] = (
        "set-output name=a",
        "set-env name=A",
        "add-path",
        "add-mask",
        "save-state name=a",
        "error",
        "warning",
        "notice",
    )
    names += (
        "debug",
        "group",
        "endgroup",
        "echo",
        "stop-commands",
        "add-matcher",
        "remove-matcher",
        "internal-set-repo-path",
    )
    for name in names:
        yield f"::{name}::x"
        yield f"##[{name.split()[0]}]x"
    for before in (
        " ",
        "\t",
        "\r",
        "\n",
        "\x0b",
        "\x0c",
        "\x85",
        "\u2028",
        "\xa0",
        "\u3000",
        f"{ESC}[31m",
        f"{ESC}[0K ",
        "\u200b",
        "\0",
        "\x08",
    ):
        yield f"x{before}::error::x"
        yield f"{before}::add-mask::x"
    yield from (
        "x##[group]y",
        "##[command]rm",
        "###[error]x",
        "#\u200b#[error]x",
        ":\u200b:error::x",
        "::error file=a,line=1::x%0A::warning::y",
    )


def markup() -> Iterator[str]:
    """What Markdown and HTML would make of it."""
    for count in (1, 2, 3, 4, 7, 12):
        yield "`" * count
        yield f"a {'`' * count} b {'`' * count}\n{'`' * count}c"
        yield f"\n{'`' * count}\n# out\n"
        yield f"\n{'~' * count}\n# out\n"
    tags: tuple[str, ...] = (
        "script",
        "img src=x onerror=alert(1)",
        "iframe src=//evil.example",
        "svg onload=alert(1)",
        "style",
        "table",
        "h1",
    )
    tags += (
        "details",
        "summary",
        "code",
        "pre",
        "b",
        "a href='javascript:alert(1)'",
        "input type=checkbox",
        "picture",
        "video src=x",
    )
    tags += (
        "base href=//evil.example",
        "form action=//evil.example",
        "kbd",
        "sub",
        "br",
        "hr",
        "!DOCTYPE html",
        "?xml version='1.0'?",
        "![CDATA[x]]",
    )
    for tag in tags:
        yield f"<{tag}>x"
        yield f"</{tag.split()[0]}>"
    yield from (
        "<!--",
        "-->",
        "<!-",
        "--!>",
        "<!-->",
        "<!--\n",
        "&lt;script&gt;",
        "&#60;b&#62;",
        "&#x3c;b>",
        "&amp;#60;",
        "&nbsp;",
        "&#64;mona",
    )
    yield from (
        f"![x]({HOST}/x.png)",
        f"[l]({HOST})",
        "[l](javascript:alert(1))",
        f"![x][y]\n\n[y]: {HOST}/x.png",
        f"<{HOST}>",
        HOST,
        "www.evil.example",
        "ftp://evil.example",
        "mailto:a@b.example",
        "a@b.example",
        "xmpp:a@b.example",
    )
    yield from (
        "\n# title",
        "\ntitle\n===",
        "\ntitle\n---",
        "\n- item",
        "\n* item",
        "\n1. item",
        "\n> quote",
        "\n    code",
        "\n***\n",
        "**b**",
        "__b__",
        "*i*",
        "_i_",
        "~~x~~",
        "- [ ] task",
        "\\",
        "\\`",
        "a\\\nb",
        "a  \nb",
    )
    yield from (
        " | a | b |\n|---|---|\n| c | d |",
        "|",
        "\\|",
        "`a|b`",
        "[^1]\n\n[^1]: note",
        "$x$",
        "$$\nx\n$$",
        ":tada:",
        "> [!WARNING]\n> x",
        "<details><summary>x</summary>\n\n</details>",
        "</code></td></tr></table>",
        "\n\n\n\n",
    )


def references() -> Iterator[str]:
    """What GitHub would turn into a mention or a link by itself."""
    yield from (
        "@mona",
        "@org/team",
        "a @mona b",
        "(@mona)",
        "`@mona",
        "@mona`",
        "\u200b@mona",
        "@\u200bmona",
        "\uff20mona",
        "@-",
        "@@mona",
    )
    yield from (
        "#12",
        "GH-7",
        "gh-7",
        "org/repo#3",
        "mona#3",
        "octo/shop@0123456789abcdef0123456789abcdef01234567",
        "0123456",
        "0123456789abcdef0123456789abcdef01234567",
        "mona@0123456",
        "jlord@refs/heads/x",
    )
    yield from (
        "https://github.com/octo/shop/issues/1",
        "https://github.com/octo/shop/pull/2#issuecomment-3",
        "fixes #1",
        "closes octo/shop#2",
        "CVE-2026-0001",
        "dependabot[bot]",
        "/approve",
        "/shipway apply",
        "LGTM",
    )


def forgeries() -> Iterator[str]:
    """What looks like ours."""
    yield from (
        MARKER,
        f"\n{MARKER}",
        f"\n{MARKER}\n",
        f"x\n\n{MARKER}\n\n",
        MARKER.replace("<!--", "<!\u200b--"),
        MARKER.upper(),
        MARKER.replace(" ", "\xa0"),
        f"`{MARKER}`",
        f"```\n{MARKER}\n```",
        f"-->{MARKER}",
        f"{MARKER[:-3]}\n-->",
        MARKER.replace("-->", "--\u200b>"),
    )
    yield from (
        "### Shipway plan: shop → prod",
        "\n### ✅ Shipway receipt: shop → prod\n",
        f"effect `sha256:{'0' * 64}`",
        "**If a node fails**: nothing",
        "✓ approved by mona",
        "0 delete · 0 opaque",
        "412 nodes are not shown here; the whole plan is in the artifact",
    )
    yield from (
        "x\nplan-digest<<EOF\ny\nEOF",
        "ghadelimiter_0\nexit-code=0",
        "a<<ghadelimiter_1\nx\nghadelimiter_1\n",
        "EOF\noutcome=succeeded\n",
        "x=1\ny=2",
        "\noutcome<<x\nsucceeded\nx\n",
    )


def controls() -> Iterator[str]:
    """What a terminal obeys, and what no reader sees."""
    for code in (*range(9), *range(11, 32), *range(127, 160)):
        yield f"a{chr(code)}b"
    for code in (
        0x061C,
        0x180E,
        *range(0x200B, 0x2010),
        *range(0x202A, 0x202F),
        *range(0x2060, 0x206A),
        0xFEFF,
        0x2028,
        0x2029,
        0xAD,
        0x34F,
        0x115F,
        0x3164,
        0xFFA0,
        0xFE0F,
        0xFFF9,
        0xE0001,
        0xE0041,
        0xE007F,
        0xE0100,
    ):
        yield f"a{chr(code)}b"
    sequences: tuple[str, ...] = (
        "[31m",
        "[0m",
        "[2J",
        "[H",
        "[1A",
        "[2K",
        "[999D",
        "[?25l",
        "[?1049h",
        "[6n",
        "[c",
        "[21t",
        "[5i",
        "]0;title\x07",
        "]8;;http://evil.example\x07link\x1b]8;;\x07",
        "]52;c;ZXZpbA==\x07",
        "]1337;File=:eA==\x07",
        "Pq#0\x1b\\",
        "^x\x1b\\",
        "_x\x1b\\",
        "X x\x1b\\",
        "c",
        "7",
        "8",
        "(0",
        "#8",
        "=",
        ">",
        "N",
        "O",
        "]0;never ended",
        "[",
        "[38;2;1;2;3m",
    )
    for sequence in sequences:
        yield f"a{ESC}{sequence}b"
    yield from (
        "a\x9b31mb",
        "a\x9d0;title\x9cb",
        "a\x90q\x9cb",
        "rm -rf /\x1b[8D\x1b[Kls",
        "safe\rrm -rf /",
        "user\u202etxt.exe",
        "\u2066evil\u2069",
        "e\u0301\u0301\u0301",
        "Z\u0335\u0321\u0317a\u0337l\u0338g\u0334o",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\U0001f3f4\U000e0067\U000e0062\U000e007f",
        "日本語",
        "العربية",
        "\ud800",
        "a\udfffb",
    )


def names() -> Iterator[str]:
    """What would be more than a name to a shell, a path, a template, a query or a chart."""
    yield from (
        "$(touch p)",
        "`touch p`",
        "; touch p",
        "| touch p",
        "& touch p",
        "&& touch p",
        "> p",
        "< /etc/passwd",
        "$HOME",
        "${HOME}",
        "~",
        "*",
        "?",
        "[a-z]",
        "{a,b}",
        "!!",
        "'",
        '"',
        "'; touch p; '",
        '"; touch p; "',
        "\\n",
        "%0A",
        "%s%n",
        "-rf",
        "--help",
        "-o/tmp/p",
        "#comment",
        "a b",
        " a",
        "a ",
        "a\nb",
        "a\tb",
    )
    yield from (
        "../../etc/passwd",
        "/etc/passwd",
        "..",
        ".",
        "./",
        "a/../b",
        "a//b",
        "C:\\x",
        "\\\\host\\x",
        "file:///etc/passwd",
        "nul",
        "con.txt",
        "a:b",
        ".git/config",
        ".git/hooks/pre-commit",
        ".github/workflows/x.yml",
        "x" * 300,
    )
    yield from (
        "${{ github.token }}",
        "${{ secrets.TOKEN }}",
        "${{ '${{' }}",
        "{{ 7*7 }}",
        "{% include 'x' %}",
        "{{ ''.__class__ }}",
        "<%= 7*7 %>",
        "#{7*7}",
        "' OR 1=1 --",
        '"}],"x":[{"',
        "null",
        "true",
        "NaN",
        "1e999",
        "!!python/object:os.system",
        "&a *a",
        "- - -",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
    )
    yield from (
        '"]',
        '"];click n0 href "http://evil.example"',
        "end",
        "subgraph x",
        "%%{init: {}}%%",
        "n0 --> n1",
        ":::run",
        "classDef x fill:#f00",
        "click n0 call x()",
        "style n0 fill:#f00",
        "#quot;",
        "#35;",
        "graph TD",
        "%% comment",
        "---\ntitle: x\n---",
    )


def strings() -> dict[str, list[str]]:
    """All of them, each once."""
    groups = {each.__name__: each for each in (commands, markup, references, forgeries, controls, names)}
    seen: set[str] = set()
    found: dict[str, list[str]] = {}
    for name, group in groups.items():
        found[name] = [text for text in group() if not (text in seen or seen.add(text))]  # type: ignore[func-returns-value]
    return found


def content() -> str:
    """The file as it has to be."""
    return json.dumps(strings(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(content(), encoding="utf-8")
