"""The comment about an environment: addresses, state, end, how to get a shell, what failed and was undone; within its budget."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from shipway.environment_record import EnvironmentState
from shipway.render.blocks import Links
from shipway.render.preview_comment import PreviewReport, preview_body
from shipway.render.shorten import MIN_BUDGET
from tests.markdown_page import read_page
from tests.render_samples import failed_receipt, mixed_plan
from tests.test_render_previews import FAILED, READY

LINKS = Links(run_url="https://github.com/octo/shop/actions/runs/77", run="run 77, attempt 1")


def body(report: PreviewReport, budget: int = 60_000) -> str:
    return str(preview_body(report, budget=budget, links=LINKS))


def test_case_93_it_has_an_address_for_each_service_state_commit_end_and_the_way_to_a_shell() -> None:
    text = body(PreviewReport(READY, READY.commit))
    assert text.startswith("### ✅ Shipway preview: shop → pr-42: ready\n")
    assert "[`http://127.0.0.1:61400`](http://127.0.0.1:61400)" in text
    assert "| `shopfront` |" in text
    assert "commit `1f2e3d4`" in text
    assert "ends 3d after the last push, so at 2027-01-17 12:00 UTC" in text
    assert "`shipway preview exec --target pr-42 -- sh`" in text
    assert "`shipway preview attach --target pr-42 PATH`" in text
    assert "run 77, attempt 1" in text
    assert "hunter22" not in text


def test_case_96_what_is_gone_says_why_and_offers_no_shell_and_no_address() -> None:
    gone = replace(READY, state=EnvironmentState.GONE)
    text = body(PreviewReport(gone, READY.commit, why="removed after 3d without activity"))
    assert "pr-42: gone" in text
    assert "removed after 3d without activity" in text
    for left in ("exec", "127.0.0.1", "ends 3d"):
        assert left not in text


def test_what_failed_and_what_was_undone_stand_open_and_the_run_is_folded() -> None:
    receipt = failed_receipt()
    text = body(PreviewReport(FAILED, FAILED.commit, mixed_plan(), receipt))
    opened, _, folded = text.partition("<details><summary>What the run did</summary>")
    assert "**Failed**" in opened
    assert "**Rolled back" in opened
    assert "| node | stage | outcome |" in folded
    assert "host unreachable" in opened


def test_a_cause_is_told_once() -> None:
    """By the node that failed, or by the sentence about what was done; else by itself."""
    assert "**Why**" not in body(PreviewReport(FAILED, FAILED.commit, mixed_plan(), failed_receipt()))
    assert "**Why**" not in body(PreviewReport(FAILED, FAILED.commit, mixed_plan(), why=f"up: {FAILED.cause}"))
    assert "**Why**" in body(PreviewReport(FAILED, FAILED.commit, mixed_plan()))


def test_the_head_that_is_not_up_yet_is_named_beside_the_one_that_is() -> None:
    text = body(PreviewReport(READY, "b" * 40))
    assert "commit `1f2e3d4` · the pull request is at `bbbbbbb`" in text


@pytest.mark.parametrize("budget", [MIN_BUDGET, 4_000, 8_000, 20_000, 60_000])
def test_it_keeps_to_its_budget_and_closes_what_it_opens(budget: int) -> None:
    many = {f"service-{number}": f"https://pr-42--service-{number}.example.com/{'x' * 300}" for number in range(200)}
    record = replace(
        FAILED, urls=many, cause="a cause " * 500, stuck={f"a/{number}": "why " * 90 for number in range(90)}
    )
    text = body(PreviewReport(record, "b" * 40, mixed_plan(), failed_receipt()), budget)
    assert len(text.encode()) <= budget
    assert read_page(text).faults == []
    assert "Shipway preview: shop" in text
    with pytest.raises(ValueError, match="at least"):
        body(PreviewReport(record, "b" * 40), MIN_BUDGET - 1)


def test_what_others_wrote_stands_in_code_only() -> None:
    hostile = replace(
        FAILED,
        cause="@org/team <img src=x> </details> ``` #12 [x](http://e)",
        urls={"api|x": "javascript:alert(1)", "web": "https://e.example/`a`|b?<script>"},
        stuck={"a`b": "<!-- shipway:v1 id=1 -->"},
        host="h`@eve`",
    )
    text = body(PreviewReport(hostile, "b" * 40))
    page = read_page(text)
    assert page.faults == []
    assert "img" not in page.tags
    assert "script" not in page.tags
    assert [link for link in page.links if not link.startswith(("https://e.example/", LINKS.run_url or ""))] == []
    for bad in ("@org", "@eve", "#12", "<script>", "shipway:v1"):
        assert bad not in "".join(page.text)
