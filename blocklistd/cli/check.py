"""``blocklistd check``: read the catalogue and the policy, say what is wrong with them, or what is in them.

Databases named by ``--mmdb`` are opened too. Exit status 0 if all are good, 2 if anything is wrong. Nothing is fetched
or written.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from blocklistd.catalogue import load_catalogue
from blocklistd.cli import with_settings
from blocklistd.errors import ConfigurationInvalid, Problem, UsageError
from blocklistd.reputation.databases import check_databases
from blocklistd.reputation.policy.load import load_policy
from blocklistd.units import counted

if TYPE_CHECKING:
    from pathlib import Path

    from blocklistd.catalogue import Catalogue
    from blocklistd.reputation.policy import Policy
    from blocklistd.settings import Settings, Use


@click.command("check")
@with_settings("config", "policy", "use", "mmdb")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def command(settings: Settings, *, as_json: bool) -> None:
    """Check catalogue and policy, name every mistake.

    Exit status: 0 all is well; 2 something is wrong. Nothing is fetched or written.

    \b
    Examples:
      blocklistd check
      blocklistd check --config my-feeds.yaml --policy my-policy.yaml --json
    """  # noqa: D301  (\b is click's mark for lines that stay as they are)
    catalogue: Catalogue | UsageError
    policy: Policy | UsageError
    try:
        catalogue = load_catalogue(settings.config)
    except UsageError as error:
        catalogue = error
    feeds = None if isinstance(catalogue, UsageError) else catalogue.by_id.keys()
    try:
        policy = load_policy(settings.policy, feeds)
    except UsageError as error:
        policy = error
    databases: UsageError | None = None
    try:
        check_databases(settings.mmdb)
    except UsageError as error:
        databases = error
    bad = [error for error in (catalogue, policy, databases) if isinstance(error, UsageError)]
    if as_json:
        answer = _as_answer(settings, catalogue, policy)
        if settings.mmdb:
            answer["mmdb"] = {**_verdict(settings.mmdb[0], databases), "source": list(map(str, settings.mmdb))}
        click.echo(json.dumps({**answer, "valid": not bad}, indent=2))
    else:
        for refused in bad:
            invalid = isinstance(refused, ConfigurationInvalid)
            click.echo(str(refused) if invalid else f"blocklistd: {refused}", err=not invalid)
        _print_good(settings, catalogue, policy, databases)
    if bad:
        click.get_current_context().exit(2)


def _print_good(
    settings: Settings, catalogue: Catalogue | UsageError, policy: Policy | UsageError, databases: UsageError | None
) -> None:
    if not isinstance(catalogue, UsageError):
        click.echo(f"{settings.config.name}: {describe(count_feeds(catalogue, settings.use))}")
        for note in unheeded_excludes(catalogue, settings.use):
            click.echo(f"  note: {note}")
    if not isinstance(policy, UsageError):
        click.echo(f"{settings.policy.name}: {describe_policy(policy)}")
        for note in () if isinstance(catalogue, UsageError) else idle_rules(policy, catalogue, settings.use):
            click.echo(f"  note: {note}")
    for path in () if databases else settings.mmdb:
        click.echo(f"{path.name}: can be used")


def _as_answer(settings: Settings, catalogue: Catalogue | UsageError, policy: Policy | UsageError) -> dict[str, Any]:
    """What is said of the catalogue, and below ``policy`` the same of the policy."""
    answer = _verdict(settings.config, catalogue)
    about_policy = _verdict(settings.policy, policy)
    if not isinstance(catalogue, UsageError):
        answer |= {**count_feeds(catalogue, settings.use), "notes": unheeded_excludes(catalogue, settings.use)}
    if not isinstance(policy, UsageError):
        notes = [] if isinstance(catalogue, UsageError) else idle_rules(policy, catalogue, settings.use)
        about_policy |= {"profiles": list(policy.profiles), "notes": notes}
    return {**answer, "policy": about_policy}


def _verdict(path: Path, read: object) -> dict[str, Any]:
    problems: tuple[Problem, ...] = ()
    if isinstance(read, UsageError):
        problems = read.problems if isinstance(read, ConfigurationInvalid) else (Problem("", 0, str(read)),)
    return {"source": str(path), "valid": not problems, "problems": [asdict(problem) for problem in problems]}


def count_feeds(catalogue: Catalogue, use: Use) -> dict[str, int]:
    """How many feeds there are, are on under this use, would go off with commercial use, and are off."""
    enabled = catalogue.enabled(use)
    return {
        "feeds": len(catalogue.feeds),
        "enabled": len(enabled),
        "noncommercial": sum(feed.terms == "noncommercial" for feed in catalogue.enabled()),
        "prohibited": sum(feed.terms == "prohibited" for feed in catalogue.enabled()),
        "disabled": len(catalogue.feeds) - len(enabled),
        "ended": sum(feed.status == "ended" for feed in catalogue.feeds),
        "switched_off": len(catalogue.enabled()) - len(enabled),
    }


def describe(counts: dict[str, int]) -> str:
    """The counts as one line for people."""
    text = f"{_feeds(counts['feeds'])}, {counts['enabled']} on"
    restricted = counts["noncommercial"] + counts["prohibited"]
    if restricted and not counts["switched_off"]:
        text += f" ({restricted} noncommercial, off with --use commercial)"
    text += f", {counts['disabled']} off"
    if counts["switched_off"]:
        text += f" ({counts['switched_off']} by --use commercial)"
    return text


def unheeded_excludes(catalogue: Catalogue, use: Use) -> list[str]:
    """Feeds that are on and exclude a feed that is off: nothing would be taken out for it."""
    enabled = catalogue.enabled(use)
    on = {feed.id for feed in enabled}
    return [
        f"{feed.id} excludes {name}, which is off: its ranges are not taken out"
        for feed in enabled
        for name in feed.exclude
        if name in catalogue.by_id and name not in on
    ]


def describe_policy(policy: Policy) -> str:
    """The profiles as one line for people: how many, how many rules they have, which are in shadow mode."""
    rules = sum(len(profile.rules) for profile in policy.profiles.values())
    text = f"{counted(len(policy.profiles), 'profile')}, {counted(rules, 'rule')}"
    if shadows := [name for name, profile in policy.profiles.items() if profile.shadow]:
        text += f", in shadow mode: {', '.join(shadows)}"
    return text


def idle_rules(policy: Policy, catalogue: Catalogue, use: Use) -> list[str]:
    """Rules that name feeds which are off: nothing is on them."""
    on = {feed.id for feed in catalogue.enabled(use)}
    return [
        f"profile {name}, rule {number} names the feed {feed}, which is off"
        for name, profile in policy.profiles.items()
        for number, rule in enumerate(profile.rules, start=1)
        for feed in sorted(rule.when.all_feeds() - on)
    ]


def _feeds(count: int) -> str:
    return "1 feed" if count == 1 else f"{count} feeds"
