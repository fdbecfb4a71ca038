"""What GitHub's GraphQL tells of a pull request by one question, where REST wants one for each part. Reads only.

Source: https://docs.github.com/en/graphql/reference/objects
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shipway.approvals import Review, ReviewState
from shipway.canonical import Json, mapping
from shipway.forges import answers, github_checks
from shipway.forges.forge import Author, ForgeError, Survey, Told

_REVIEWS_MAX = 30
"""Reviews that one question asks for, the latest. GitHub counts what could be answered: with the checks of so many commits
the question costs 4 of the 1,000 points that a job's token has an hour.

Source: https://docs.github.com/en/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api
"""

HIDDEN = "nodes(ids: $ids) { ... on IssueComment { isMinimized } }"
VIEWER = "viewer { login databaseId }"

QUERY = f"""
query ($owner: String!, $name: String!, $number: Int!, $ids: [ID!]!, $check: String, $reviewed: Boolean!) {{
  {VIEWER}
  {HIDDEN}
  repository(owner: $owner, name: $name) {{
    pullRequest(number: $number) {{
      headRefOid
      baseRef {{ target {{ oid }} }}
      commits(last: 1) {{
        nodes {{ commit {{ oid checkSuites(first: 1, filterBy: {{checkName: $check}}) {{ totalCount }} }} }}
      }}
      reviews(last: {_REVIEWS_MAX}) @include(if: $reviewed) {{
        pageInfo {{ hasPreviousPage }}
        nodes {{
          fullDatabaseId state submittedAt
          author {{ __typename login ... on User {{ databaseId }} ... on Bot {{ databaseId }} }}
          commit {{
            oid
            checkSuites(first: 10, filterBy: {{checkName: $check}}) {{
              pageInfo {{ hasNextPage }}
              nodes {{
                app {{ slug }}
                checkRuns(first: 50, filterBy: {{checkName: $check, checkType: ALL}}) {{
                  pageInfo {{ hasNextPage }}
                  nodes {{ text completedAt }}
                }}
              }}
            }}
          }}
        }}
      }}
    }}
  }}
}}"""
"""Who we are, which of the comments `$ids` are hidden, where head and base of the pull request are, and, where that is asked,
its reviews, with what the check `$check` has told on the commits that they are of. Of the head only whether it was told."""

PARTS = f"query ($ids: [ID!]!) {{ {VIEWER} {HIDDEN} }}"
"""Who we are and which comments are hidden, for a server that does not know some field of QUERY: the rest REST tells."""

DISPENSABLE = (("repository", "pullRequest", "reviews"), ("repository", "pullRequest", "commits"))
"""Paths of reviews and checks, which can be asked for by themselves where a token may not read all of it at once."""


def without(answer: Json, part: Sequence[str]) -> Json:
    """The answer with a part of it left empty: where something inside could not be told, the rest of that part is not all."""
    first, *inner = part
    found = mapping(answer)
    return {**found, first: without(found.get(first), inner) if inner else None}


def read_survey(answer: Json, hidden: frozenset[int]) -> Survey:
    """The answer to QUERY. Raises ForgeError where it is none."""
    data = mapping(answer)
    pull = mapping(mapping(data.get("repository")).get("pullRequest"))
    author, login = viewer_of(data)
    listed = mapping(pull.get("reviews"))
    is_whole = bool(listed) and mapping(listed.get("pageInfo")).get("hasPreviousPage") is False
    reviews = _objects(listed, "nodes") if is_whole else ()
    return Survey(
        head=answers.text(pull, "headRefOid"),
        author=author,
        hidden=hidden,
        base_head=str(mapping(mapping(pull.get("baseRef")).get("target")).get("oid") or ""),
        reviews=tuple(_review(each) for each in reviews if each.get("submittedAt")) if is_whole else None,
        told=_told(reviews, login.removesuffix("[bot]")),
    )


def read_parts(answer: Json, hidden: frozenset[int], head: str) -> Survey:
    """The answer to PARTS, with the head as REST told it."""
    return Survey(head, viewer_of(answer)[0], hidden)


def is_unknown(error: Mapping[str, Json]) -> bool:
    """Whether an error is that the server has no such field or argument: it executed nothing of the query then."""
    return mapping(error.get("extensions")).get("code") in ("undefinedField", "argumentNotAccepted")


def is_untold(answer: Json) -> bool:
    """Whether no check of the name that was asked about was told on the head, so that none need be compared with."""
    pull = mapping(mapping(mapping(answer).get("repository")).get("pullRequest"))
    commits = [mapping(node.get("commit")) for node in _objects(mapping(pull.get("commits")), "nodes")]
    told = [mapping(commit.get("checkSuites")).get("totalCount") for commit in commits]
    return [commit.get("oid") for commit in commits] == [pull.get("headRefOid")] and told == [0]


def hidden_of(answer: Json, ids: Sequence[int]) -> frozenset[int]:
    """Which of the comments with these numbers are hidden: GraphQL answers in the order in which it was asked.

    It has no number for a comment beyond 31 bits. Raises ForgeError where it told of others than were asked for.
    """
    nodes = _objects(mapping(answer), "nodes")
    if len(nodes) != len(ids):
        raise ForgeError("the forge told of other comments than it was asked for")
    return frozenset(number for number, node in zip(ids, nodes, strict=True) if node.get("isMinimized") is True)


def viewer_of(answer: Json) -> tuple[Author | None, str]:
    """The account of the token, and its login. GraphQL calls every viewer a User; only a bot's login may have brackets."""
    viewer = mapping(mapping(answer).get("viewer"))
    login, number = viewer.get("login"), viewer.get("databaseId")
    if not isinstance(login, str) or not isinstance(number, int):
        return None, ""
    return Author(number, "Bot" if login.endswith("[bot]") else "User"), login


def _review(node: Mapping[str, Json]) -> Review:
    author = mapping(node.get("author"))
    number = str(node.get("fullDatabaseId"))
    if not number.isdecimal() or node.get("state") not in tuple(ReviewState):
        raise ForgeError("the forge did not answer with a review")
    return Review(
        id=int(number),
        state=ReviewState(str(node["state"])),
        commit=str(mapping(node.get("commit")).get("oid") or ""),
        at=answers.moment(node, "submittedAt"),
        account=answers.number_or_none(author, "databaseId"),
        by=str(author.get("login") or ""),
        is_person=author.get("__typename") == "User",
    )


def _told(reviews: Sequence[Mapping[str, Json]], app: str) -> dict[str, tuple[Told, ...]]:
    """What the check that `app` tells, which is the one of this token, has said on each commit; none where that is not whole."""
    found: dict[str, tuple[Told, ...]] = {}
    for review in reviews:
        commit = mapping(review.get("commit"))
        suites = mapping(commit.get("checkSuites"))
        ours = [suite for suite in _objects(suites, "nodes") if mapping(suite.get("app")).get("slug") == app]
        runs = [mapping(suite.get("checkRuns")) for suite in ours]
        if app and all(_is_whole(connection) for connection in (suites, *runs)):
            told = (Told(github_checks.shown_plan(run), answers.moment(run, "completedAt")) for run in _all(runs))
            found[str(commit.get("oid"))] = tuple(told)
    return found


def _is_whole(connection: Mapping[str, Json]) -> bool:
    return mapping(connection.get("pageInfo")).get("hasNextPage") is False


def _all(connections: Sequence[Mapping[str, Json]]) -> list[Mapping[str, Json]]:
    return [node for connection in connections for node in _objects(connection, "nodes")]


def _objects(value: Mapping[str, Json], name: str) -> list[Mapping[str, Json]]:
    listed = value.get(name)
    return [mapping(each) for each in listed] if isinstance(listed, list) else []
