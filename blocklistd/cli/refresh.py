"""``blocklistd refresh``: one pass, with progress, ending in a table."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from typing import TYPE_CHECKING

import click

from blocklistd.catalogue import load_catalogue
from blocklistd.cli import with_settings
from blocklistd.cli.progress import failed_report, listener_for, print_report
from blocklistd.errors import BlocklistdError, UsageError
from blocklistd.refresh.cycle import refresh

if TYPE_CHECKING:
    from blocklistd.settings import Settings


@click.command()
@click.argument("feeds", nargs=-1, metavar="[FEED]...")
@click.option("--force", is_flag=True, help="Ask all feeds now, due or not; floor and Retry-After still hold.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
@with_settings(
    "config",
    "data",
    "use",
    "mirror",
    "refresh_deadline",
    "parse_deadline",
    "keep_snapshots",
    "keep_bytes",
    "history_days",
    "history_bytes",
)
def command(settings: Settings, feeds: tuple[str, ...], force: bool, as_json: bool) -> int:
    """Fetch what is due, compile, publish.

    Named feeds are asked now, due or not; the others keep what they have. Feeds that fail keep their last good
    entries; the exit status is 1 only where the pass as a whole failed.

    \b
    Examples:
      blocklistd refresh                      what is due
      blocklistd refresh tor_bulk_exit        this one, now
      blocklistd refresh --force              everything, now
      blocklistd refresh --mirror http://192.0.2.10/lists
    """  # noqa: D301
    return run(settings, feeds, force=force, as_json=as_json)


def run(settings: Settings, names: tuple[str, ...], *, force: bool, as_json: bool) -> int:
    """Make the pass and print its report; give the exit status."""
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # what matters is told feed by feed
    signal.signal(signal.SIGTERM, _terminated)
    catalogue = load_catalogue(settings.config)
    with listener_for(sys.stderr, log_format=settings.log_format) as listener:
        try:
            report = asyncio.run(refresh(catalogue, settings, listener, names=names, force=force))
            for note in report.notes:
                listener.say(note, level="warning")
        except UsageError:
            raise
        except BlocklistdError as error:
            if as_json:
                print_report(failed_report(str(error)), as_json=True)
            raise
    print_report(report, as_json=as_json, names=names)
    return 1 if report.error else 0


def _terminated(*_: object) -> None:
    """SIGTERM ends the pass like Ctrl-C: whatever was written aside is cleaned up."""
    raise KeyboardInterrupt
