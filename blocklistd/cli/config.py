"""``blocklistd config``: the effective settings, as an environment file that systemd and sh read back alike."""

from __future__ import annotations

import json
import platform
import re

import click

from blocklistd import kernel
from blocklistd.cli import with_settings
from blocklistd.settings import SETTINGS, Settings
from blocklistd.version import VERSION


@click.command("config")
@with_settings(*(setting.name for setting in SETTINGS))
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead.")
def command(settings: Settings, *, as_json: bool) -> int:
    """Print the effective settings.

    \b
    Examples (the output can be read back):
      blocklistd config > /etc/blocklistd/environment
      systemd: EnvironmentFile=/etc/blocklistd/environment
      sh:      set -a; . /etc/blocklistd/environment
    """  # noqa: D301
    about = {"version": VERSION, "python": platform.python_version(), "index": kernel.name()}
    if as_json:
        click.echo(json.dumps({**about, "settings": settings.as_environment()}, indent=2))
        return 0
    click.echo(f"# blocklistd {about['version']}, Python {about['python']}, index: {about['index']}")
    for setting in SETTINGS:
        click.echo(f"# {setting.sentence}")
        click.echo(f"{setting.variable}={quote(settings.as_environment()[setting.variable])}")
    return 0


def quote(text: str) -> str:
    """A value in double quotes; in them sh and systemd's EnvironmentFile escape the same four characters."""
    return '"' + re.sub(r'(["\\$`])', r"\\\1", text) + '"'
