"""``blocklistd check``: read a catalogue, say what is wrong with it, or what is in it.

Exit status 0 if the catalogue is good, 2 if anything is wrong. Nothing is fetched or written.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from blocklistd.catalogue import load_catalogue
from blocklistd.cli import with_settings
from blocklistd.errors import CatalogueInvalid, Problem, UsageError

if TYPE_CHECKING:
    from blocklistd.catalogue import Catalogue
    from blocklistd.settings import Settings, Use


@click.command("check")
@with_settings("config", "use")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def command(settings: Settings, *, as_json: bool) -> None:
    """Check a catalogue, name every mistake.

    \b
    Examples:
      blocklistd check
      blocklistd check --config my-feeds.yaml --json
    """  # noqa: D301  (\b is click's mark for lines that stay as they are)
    source = str(settings.config)
    try:
        catalogue = load_catalogue(settings.config)
    except UsageError as error:
        if not as_json and not isinstance(error, CatalogueInvalid):
            raise
        problems = error.problems if isinstance(error, CatalogueInvalid) else (Problem("", 0, str(error)),)
        answer = {"source": source, "valid": False, "problems": [asdict(problem) for problem in problems]}
        click.echo(json.dumps(answer, indent=2) if as_json else str(error))
        click.get_current_context().exit(2)
    counts = count_feeds(catalogue, settings.use)
    notes = unheeded_excludes(catalogue, settings.use)
    if as_json:
        answer = {"source": source, "valid": True, "problems": [], **counts, "notes": notes}
        click.echo(json.dumps(answer, indent=2))
        return
    click.echo(f"{settings.config.name}: {describe(counts)}")
    for note in notes:
        click.echo(f"  note: {note}")


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


def _feeds(count: int) -> str:
    return "1 feed" if count == 1 else f"{count} feeds"
