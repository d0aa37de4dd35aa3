"""``blocklistd serve``: answer over HTTP and refresh on schedule. Heavy imports come after the workers."""

from __future__ import annotations

import click

from blocklistd.cli import with_settings
from blocklistd.daemon.launch import launch
from blocklistd.settings import SETTINGS, Settings


@click.command("serve")
@with_settings(*(setting.name for setting in SETTINGS))
def command(settings: Settings) -> int:
    """Answer over HTTP and refresh on schedule.

    \b
    Answers at once from the stored snapshot, if there is one, and fetches what is due in the background.
    SIGTERM finishes the requests under way and ends; SIGHUP reads catalogue and policy again.

    \b
    Examples:
      blocklistd serve
      blocklistd serve --listen 127.0.0.1:8080 --listen unix:/run/blocklistd/http.sock --workers 4
      blocklistd serve --no-refresh          another process runs blocklistd refresh
    """  # noqa: D301
    return launch(settings)
