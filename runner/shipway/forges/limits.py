"""GitHub's numbers that Shipway obeys, each with its source. A wrong one may delay or defer a report, never change a run."""

from __future__ import annotations

API_VERSION = "2022-11-28"
"""Sent with every request: the newer version leaves fields out. Source:
https://github.blog/changelog/2026-03-12-rest-api-version-2026-03-10-is-now-available"""

COMMENT_BYTES = 60_000
"""For a whole comment, marker included: below the 65,536 characters that GitHub's own error names, and far below the
262,144 bytes that it stores. Source: https://github.com/dead-claudia/github-limits/pull/13"""

MARKER_BYTES = 400
"""More than the last line of a comment takes, whatever it says, with the empty line before it."""

COMMENT_BUDGETS = (COMMENT_BYTES, COMMENT_BYTES // 2, COMMENT_BYTES // 4)
"""What is asked of a body in turn, while the forge answers that it is too long."""

PAGE_SIZE = 100
"""The most that a page may hold. Source:
https://docs.github.com/en/rest/issues/comments#list-issue-comments"""

NODES_MAX = 100
"""The most ids that GraphQL's `nodes` takes at once. Source:
https://docs.github.com/en/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api#node-limit"""

COMPARED_FILES_MAX = 300
"""Of two commits that are compared no more files are told: so many may be all, or not. Source:
https://docs.github.com/en/rest/commits/commits#compare-two-commits"""

PAGES_MAX = 30
"""A pull request has at most 2,500 comments, so 25 pages. Source: https://github.com/digitaldrywood/detent/issues/1540"""

REDIRECTS_MAX = 5
"""Redirects are to be followed. Source:
https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects"""

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 30.0
"""GitHub ends a request after 10 seconds by itself. Source:
https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api#timeouts"""

ANSWER_MAX_S = 120.0
"""An answer that is not whole by then counts as none: a body that comes byte by byte would never meet `READ_TIMEOUT_S`."""

HASTY_TIMEOUT_S = (2.0, 5.0)
"""To connect, and between two bytes, where work waits for the answer and does without it if there is none."""

HASTY_WAIT_S = 2.0
"""The longest pause between two tries that such work puts up with."""

ATTEMPTS = 4
"""Tries of one request, the first included."""

WAIT_MAX_S = 300.0
"""All that one request may wait between its tries; more is not worth a report, which then goes to the job summary."""

SERVER_ERROR_WAIT_S = 1.0
"""Before the second try after a server error or a broken connection; doubled each time."""

SECONDARY_WAIT_S = 60.0
"""Before the second try where a limit was met and no header says for how long; doubled each time. Source:
https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#handle-rate-limit-errors-appropriately"""

WRITE_GAP_S = 1.0
"""Between two writes. Source:
https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#pause-between-mutative-requests"""

ANSWER_BYTES_MAX = 64_000_000
"""More than a page of the longest comments: 100 of 262,144 bytes, escaped."""

ANNOTATIONS_PER_REQUEST = 50
"""More take further requests, each of which adds its own to those there. Source:
https://docs.github.com/en/rest/checks/runs#create-a-check-run"""

CHECK_CHARACTERS = 65_535
"""Of a check run's summary, and of its text. Source: https://docs.github.com/en/rest/checks/runs#create-a-check-run"""

CHECK_BUDGET = 60_000
"""What is asked of a check's summary, in UTF-8 bytes: never more characters than CHECK_CHARACTERS."""

ANNOTATION_TITLE_CHARACTERS = 255
ANNOTATION_TEXT_BYTES = 64_000
"""Of an annotation's message 64 KB are kept. Source: https://docs.github.com/en/rest/checks/runs#create-a-check-run"""

DESCRIPTION_CHARACTERS = 140
"""Of a deployment status. Source: https://docs.github.com/en/rest/deployments/statuses#create-a-deployment-status"""

RUNS_LOOKED_AT = 30
"""Runs of a branch among which the one before is looked for: several workflows and forks may share its name."""

DEPLOYMENTS_LOOKED_AT = 5
"""Deployments of one commit among which the job's own is looked for: each costs a request."""

STATUS_CHARACTERS = 255
"""Of a commit status's description: GitLab refuses more, and nobody reads more elsewhere. Source:
https://docs.gitlab.com/api/commits/#set-commit-pipeline-status"""

STATUSES_LOOKED_AT = 50
"""Commit statuses, the newest first, among which the latest of a name is looked for: Gitea's largest page as installed. Source:
https://docs.gitea.com/administration/config-cheat-sheet#api-api"""

GITLAB_PAGES_MAX = 60
"""A merge request has at most 5,000 notes, so 50 pages. Source:
https://docs.gitlab.com/administration/instance_limits/#number-of-comments-per-issue-merge-request-or-commit"""
