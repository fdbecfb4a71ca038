"""The labels of the pull request that a plan is of, from the forge's API. Decides nothing about them."""

from __future__ import annotations

from shipway.ci import Provider
from shipway.commands.stores import github_of
from shipway.context import Context
from shipway.forges.forge import Capability, ForgeError
from shipway.forges.lacking import in_words
from shipway.policy import Labels


def labels_of(context: Context) -> Labels:
    """The labels now: of the pull request that this job is about, or of the one that was merged as this commit.

    Where they cannot be known, why: a policy that needs one takes it as not set.
    """
    ci = context.ci
    if ci is None:
        return Labels()
    if ci.provider is not Provider.GITHUB:
        return Labels(None, f"{ci.provider.shown} {in_words(Capability.LABELS)}")
    if ci.token is None:
        return Labels(None, "the job has no token to ask the forge with")
    try:
        forge = github_of(ci, context)
        number = ci.pull_request
        if number is None:
            pulls = forge.merged_pulls(ci.sha)
            if len(pulls) != 1:
                return Labels(None, "no one pull request was merged as this commit")
            number = pulls[0].number
        return Labels(forge.labels(number))
    except ForgeError as error:
        return Labels(None, error.message)
