"""What GitHub tells over REST about who approved what: merged pull requests, reviews, permissions, runs of a commit.

Reads only, and decides nothing. No name is trusted where GitHub gives a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

from shipway.approvals import Permission, Review, ReviewState
from shipway.canonical import Json, mapping
from shipway.forges import answers, limits
from shipway.forges.client import Client
from shipway.forges.forge import Author, CiRun, ForgeError, MergedPull, Person


def merged_pulls(client: Client, repository: str, commit: str) -> Sequence[MergedPull]:
    """The merged pull requests whose merge made this commit. Raises ForgeError.

    Source: https://docs.github.com/en/rest/commits/commits#list-pull-requests-associated-with-a-commit
    """
    found = []
    for pull in _listed(client, f"{repository}/commits/{quote(commit, safe='')}/pulls", ""):
        number, head = answers.number_or_none(pull, "number"), mapping(pull.get("head"))
        if pull.get("merged_at") and pull.get("merge_commit_sha") == commit and number is not None:
            base = answers.text(mapping(pull.get("base")), "ref")
            found.append(MergedPull(number, answers.text(head, "sha"), _author(pull.get("user")), base))
    return tuple(found)


def branch_head(client: Client, repository: str, branch: str) -> str:
    """The commit that a branch is at now. Raises ForgeError."""
    answer = mapping(client.get(f"{repository}/git/ref/heads/{quote(branch)}").json())
    return answers.text(mapping(answer.get("object")), "sha")


def has_commit(client: Client, repository: str, branch: str, commit: str) -> bool:
    """Whether a branch holds a commit now. Raises ForgeError.

    Source: https://docs.github.com/en/rest/commits/commits#compare-two-commits
    """
    if branch_head(client, repository, branch) == commit:
        return True
    try:
        path = f"{repository}/compare/{quote(f'{commit}...{branch}', safe='.')}"
        answer = mapping(client.get(path, {"per_page": 1}).json())
    except ForgeError as error:
        if error.status == 404:  # a commit that was taken off its branch is forgotten some day
            return False
        raise
    return answer.get("status") in ("ahead", "identical")


def changed_since(client: Client, repository: str, branch: str, commit: str) -> Sequence[str] | None:
    """The paths that a branch has changed since it was at a commit. Raises ForgeError.

    None where it does not hold that commit any more, or where more have changed than GitHub tells.
    Source: https://docs.github.com/en/rest/commits/commits#compare-two-commits
    """
    path = f"{repository}/compare/{quote(f'{commit}...{branch}', safe='.')}"
    answer = mapping(client.get(path, {"per_page": 1}).json())
    if answer.get("status") == "identical":
        return ()
    files = answer.get("files")
    if answer.get("status") != "ahead" or not isinstance(files, list) or len(files) >= limits.COMPARED_FILES_MAX:
        return None
    named = (mapping(file).get(name) for file in files for name in ("filename", "previous_filename"))
    return tuple(sorted({str(name) for name in named if name}))


def pull_to_merge(client: Client, repository: str, number: int) -> MergedPull:
    """A pull request that is open, as it would be merged now. Raises ForgeError."""
    pull = mapping(client.get(f"{repository}/pulls/{number}").json())
    head, base = mapping(pull.get("head")), answers.text(mapping(pull.get("base")), "ref")
    of = answers.number_or_none(mapping(head.get("repo")), "id")
    return MergedPull(number, answers.text(head, "sha"), _author(pull.get("user")), base, of)


def reviews(client: Client, repository: str, pull_request: int) -> Sequence[Review]:
    """All reviews, in the order in which they were submitted; one in a state that GitHub had not when this was written is none.

    Source: https://docs.github.com/en/rest/pulls/reviews#list-reviews-for-a-pull-request
    """
    return tuple(
        _review(review)
        for review in _listed(client, f"{repository}/pulls/{pull_request}/reviews", "")
        if review.get("state") in tuple(ReviewState) and review.get("submitted_at")
    )


def permission(client: Client, repository: str, review: Review) -> Permission:
    """What the account behind a review may do in the repository now."""
    if review.account is None:
        return Permission.NONE
    return permission_of(client, repository, Person(review.by, review.account))


def permission_of(client: Client, repository: str, person: Person) -> Permission:
    """What an account may do in the repository now. GitHub is asked by name, and answers with the number it knows it by.

    Source: https://docs.github.com/en/rest/collaborators/collaborators#get-repository-permissions-for-a-user
    """
    try:
        path = f"{repository}/collaborators/{quote(person.login, safe='')}/permission"
        answer = mapping(client.get(path).json())
    except ForgeError as error:
        if error.status == 404:
            return Permission.NONE
        raise
    if answers.number_or_none(mapping(answer.get("user")), "id") != person.id:
        return Permission.NONE
    # A role of an organization's own has a name of its own; `permission` is then what it is at least.
    named = [answer.get("role_name"), answer.get("permission")]
    return next((Permission(str(name)) for name in named if name in tuple(Permission)), Permission.NONE)


def started_by(run: Mapping[str, Json]) -> Person:
    """Who started the latest attempt of a run. Raises ForgeError where the run does not say.

    Source: https://docs.github.com/en/rest/actions/workflow-runs#get-a-workflow-run
    """
    actor = mapping(run.get("triggering_actor"))
    number = answers.number_or_none(actor, "id")
    if number is None or not actor.get("login"):
        raise ForgeError("the forge does not tell who started the run")
    return Person(str(actor["login"]), number)


def labels(client: Client, repository: str, pull_request: int) -> frozenset[str]:
    """The names of the labels of a pull request. Raises ForgeError.

    Source: https://docs.github.com/en/rest/issues/labels#list-labels-for-an-issue
    """
    listed = _listed(client, f"{repository}/issues/{pull_request}/labels", "")
    return frozenset(str(label["name"]) for label in listed if label.get("name"))


def runs_of(client: Client, repository: str, head: str) -> Sequence[CiRun]:
    """The runs that events `pull_request` of this head commit began. Raises ForgeError.

    Source: https://docs.github.com/en/rest/actions/workflow-runs#list-workflow-runs-for-a-repository
    """
    path = f"{repository}/actions/runs"
    return tuple(map(ci_run, _listed(client, path, "workflow_runs", head_sha=head, event="pull_request")))


def ci_run(run: Mapping[str, Json]) -> CiRun:
    """A run as REST tells it. Raises ForgeError where it is none."""
    head, number = mapping(run.get("head_repository")), answers.number_or_none(run, "id")
    if number is None:
        raise ForgeError("the forge did not answer with a run")
    return CiRun(
        id=str(number),
        attempt=answers.number_or_none(run, "run_attempt") or 1,
        event=answers.text(run, "event"),
        path=answers.text(run, "path").partition("@")[0],  # a reusable workflow's has its ref behind it
        head=answers.text(run, "head_sha"),
        repository=answers.number_or_none(head, "id"),
        owner=str(mapping(head.get("owner")).get("login") or ""),
        branch=str(run.get("head_branch") or ""),
        conclusion=str(run.get("conclusion") or ""),
        began=str(run.get("created_at") or ""),
        started_at=str(run.get("run_started_at") or ""),
        host=answers.number_or_none(mapping(run.get("repository")), "id"),
    )


def _review(review: Mapping[str, Json]) -> Review:
    number, user = answers.number_or_none(review, "id"), _author(review.get("user"))
    if number is None:
        raise ForgeError("the forge did not answer with a review")
    return Review(
        id=number,
        state=ReviewState(str(review["state"])),
        commit=str(review.get("commit_id") or ""),
        at=answers.text(review, "submitted_at"),
        account=None if user is None else user.id,
        by=str(mapping(review.get("user")).get("login") or ""),
        is_person=user is not None and user.type == "User",
    )


def _listed(client: Client, path: str, member: str, **query: str) -> Iterator[Mapping[str, Json]]:
    """The members of a list over all pages; `member` is where the list stands in each page, empty where it is the page."""
    for page in client.pages(path, {**query, "per_page": limits.PAGE_SIZE}):
        answer = page.json()
        listed = mapping(answer).get(member) if member else answer
        yield from answers.objects(listed, page.url)


def _author(user: Json) -> Author | None:
    number = answers.number_or_none(mapping(user), "id")
    return None if number is None else Author(number, answers.text(mapping(user), "type"))
