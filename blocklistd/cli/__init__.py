"""The command line: one module a command, loaded only when that command is called.

Exit status: 0 done; 1 the work failed; 2 bad usage or configuration. ``lookup`` is like grep: 0 some listed, 1 none,
2 trouble.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from blocklistd.errors import BlocklistdError, RefreshBusy, StartFailed, StorageFailed
from blocklistd.settings import SETTINGS, Setting, default_of, read_settings
from blocklistd.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

COMMANDS: Final = {
    "serve": "Answer over HTTP and refresh on schedule.",
    "refresh": "Fetch what is due, compile, publish.",
    "check": "Check catalogue and policy, name every mistake.",
    "lookup": "Name the lists that hold an address.",
    "report": "Say how bad an address is, why, and what to do.",
    "history": "Show what changed for an address, and when.",
    "rollback": "Go back to an earlier snapshot, and stay with it.",
    "feeds": "Show the state of every feed; accept or reject what is in quarantine.",
    "override": "Allow or deny by your own word.",
    "key": "Make, show and revoke keys for HTTP.",
    "audit": "Show who changed what.",
    "config": "Print the effective settings.",
}
"""Command → what the overview says; the module of the same name holds ``command``."""


BROKEN_PIPE: Final = 141
"""What a shell reports of a program that was ended by SIGPIPE."""


class Commands(click.Group):
    """Loads a command's module when it is asked for: ``lookup`` must not pay for importing a web server."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. A reader of our output that has seen enough is no failure of the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(BROKEN_PIPE) from None

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """All names, in the order of a user's day."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"blocklistd.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The overview, without importing every command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, "-V", "--version", prog_name="blocklistd")
def cli() -> None:
    """Which public lists name this address? Answered on your own host, in microseconds.

    \b
    Examples:
      blocklistd serve                       answer on http://127.0.0.1:8080, refresh in the background
      blocklistd refresh                     fetch and compile what is due, once
      blocklistd lookup 192.0.2.1 2001:db8::1
      blocklistd report 192.0.2.1            how bad, since when, why, and what to do
      blocklistd check --config feeds.yaml
    """  # noqa: D301


def with_settings(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options of these settings; it receives one ``settings`` in their place."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            given = {}
            for name in names:
                value = arguments.pop(name)
                if value not in {None, ()}:
                    given[name] = _as_text(name, value)
            return function(settings=read_settings(given, os.environ), **arguments)

        call.__name__, call.__doc__ = function.__name__, function.__doc__
        call.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
        decorated: Callable[..., Any] = call
        for setting in reversed(SETTINGS):
            if setting.name in names:
                decorated = _option(setting)(decorated)
        return decorated

    return decorate


def _as_text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):  # of a setting that may be given several times
        return next(setting.write(value) for setting in SETTINGS if setting.name == name)
    return str(value)


def _option(setting: Setting) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    default = default_of(setting)
    shown = f"  [{setting.variable}{f'; default {default}' if default and not setting.is_flag else ''}]"
    if setting.is_flag:
        return click.option(setting.flag, setting.name, is_flag=True, default=None, help=setting.sentence + shown)
    return click.option(
        setting.flag,
        setting.name,
        metavar=setting.metavar,
        multiple=setting.multiple,
        help=setting.sentence + shown,
    )


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    try:
        status = cli.main(arguments, prog_name="blocklistd", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (StartFailed, RefreshBusy, StorageFailed) as error:
        click.echo(f"blocklistd: {error}", err=True)
        sys.exit(1)
    except BlocklistdError as error:
        click.echo(f"blocklistd: {error}", err=True)
        sys.exit(2)
    sys.exit(status if isinstance(status, int) else 0)
