"""Every setting in one table: name, default, environment variable, flag, sentence.

Takes texts (from a flag, else from the environment, else the default), gives one frozen ``Settings``. The help of
the commands, ``blocklistd config`` and the documentation are made from this table; what ``config`` prints can be
read back as an environment file.
"""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from blocklistd.errors import UsageError
from blocklistd.units import format_duration, format_share, format_size, parse_duration, parse_share, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PREFIX: Final = "BLOCKLISTD_"
DNS_PORT: Final = 53
SHIPPED_CATALOGUE: Final = Path(__file__).with_name("feeds.yaml")
SYSTEM_CATALOGUE: Final = Path("/etc/blocklistd/feeds.yaml")
SHIPPED_POLICY: Final = Path(__file__).with_name("policy.yaml")
SYSTEM_POLICY: Final = Path("/etc/blocklistd/policy.yaml")

Use = Literal["noncommercial", "commercial"]

_IDENTIFIER = re.compile(r"[a-z0-9_]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table.

    read: text → value, raises ValueError; write: value → text that ``read`` takes back.
    """

    name: str
    default: str
    sentence: str
    read: Callable[[str], Any]
    write: Callable[[Any], str] = str
    metavar: str = "TEXT"
    is_flag: bool = False
    multiple: bool = False

    @property
    def flag(self) -> str:
        """Its command-line option."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return PREFIX + self.name.upper()


def _read_flag(text: str) -> bool:
    if text.lower() in {"1", "true", "yes", "on"}:
        return True
    if text.lower() in {"", "0", "false", "no", "off"}:
        return False
    raise ValueError("write true or false")


def _write_flag(value: object) -> str:
    return "true" if value else "false"


def _count(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise ValueError(f"write a whole number from {low} to {high}")
        return int(text)

    return read


def _lasting(text: str) -> int:
    if (seconds := parse_duration(text)) < 1:
        raise ValueError("must be at least 1s")
    return seconds


def _choice(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"write one of {', '.join(choices)}")
        return text

    return read


def _read_listen(text: str) -> tuple[str, ...]:
    addresses = tuple(text.replace(",", " ").split())
    for address in addresses:
        parse_listen(address)
    if not addresses:
        raise ValueError("write at least one host:port or unix:/path")
    return addresses


def _read_ids(text: str) -> tuple[str, ...]:
    names = tuple(text.replace(",", " ").split())
    for name in names:
        if _IDENTIFIER.fullmatch(name) is None:
            raise ValueError(f"{name!r} is no id of a feed: 1 to 64 of a-z, 0-9 and _")
    return names


def _read_part(text: str) -> float:
    if (share := parse_share(text)) > 1:
        raise ValueError("must be at most 100%")
    return share


def _read_path(text: str) -> Path:
    if not text.strip() or "\0" in text:
        raise ValueError("write a path")
    return Path(text)


def _read_paths(text: str) -> tuple[Path, ...]:
    return tuple(_read_path(part) for part in text.split(os.pathsep)) if text else ()


def _write_paths(paths: Sequence[Path]) -> str:
    return os.pathsep.join(map(str, paths))


def _read_name_servers(text: str) -> tuple[tuple[str, int], ...]:
    return tuple(map(_read_name_server, text.replace(",", " ").split()))


def _read_name_server(text: str) -> tuple[str, int]:
    """``192.0.2.53``, ``192.0.2.53:5353``, ``2001:db8::53`` or ``[2001:db8::53]:5353``."""
    if _is_address(text):
        return text, DNS_PORT
    try:
        parsed = parse_listen(text)
    except ValueError:
        parsed = "", 0
    if isinstance(parsed, Path) or not _is_address(parsed[0]):
        raise ValueError(f"{text!r} is no address of a name server: write 192.0.2.53 or [2001:db8::53]:53")
    return parsed


def _is_address(text: str) -> bool:
    try:
        return bool(socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text))
    except (OSError, ValueError):
        return False


def _write_name_servers(servers: Sequence[str | tuple[str, int]]) -> str:
    """Of what was read, or of the texts on the command line."""
    return " ".join(server if isinstance(server, str) else _write_name_server(*server) for server in servers)


def _write_name_server(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _read_mirror(text: str) -> str:
    if text and not text.startswith(("http://", "https://", "file:///")):
        raise ValueError("write a URL that starts with http://, https:// or file:///")
    if text and text.split("://", 1)[1].strip("/") == "":
        raise ValueError("the URL names no place to fetch from")
    return text.rstrip("/")


def parse_listen(address: str) -> tuple[str, int] | Path:
    """``host:port``, ``[v6]:port`` or ``unix:/path``; raises ValueError with a sentence."""
    if address.startswith("unix:"):
        if len(address) == len("unix:"):
            raise ValueError("unix: needs a path, such as unix:/run/blocklistd/http.sock")
        return Path(address.removeprefix("unix:"))
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{address!r} is neither host:port nor unix:/path")
    return host, int(port)


def _default_catalogue() -> str:
    return str(SYSTEM_CATALOGUE if SYSTEM_CATALOGUE.is_file() else SHIPPED_CATALOGUE)


def _default_policy() -> str:
    return str(SYSTEM_POLICY if SYSTEM_POLICY.is_file() else SHIPPED_POLICY)


def _default_data() -> str:
    return os.environ.get("STATE_DIRECTORY", "data").partition(":")[0]


SETTINGS: Final[tuple[Setting, ...]] = (
    Setting("config", "", "The catalogue of feeds.", _read_path, metavar="FILE"),
    Setting("policy", "", "The policy: what follows from a score.", _read_path, metavar="FILE"),
    Setting("data", "", "Folder for everything the daemon keeps.", _read_path, metavar="DIR"),
    Setting(
        "listen",
        "127.0.0.1:8080",
        "Address to answer on, host:port or unix:/path; may be given several times.",
        _read_listen,
        " ".join,
        metavar="ADDRESS",
        multiple=True,
    ),
    Setting(
        "allow_anonymous",
        "false",
        "Answer beyond loopback and unix sockets without asking for a key.",
        _read_flag,
        _write_flag,
        is_flag=True,
    ),
    Setting("workers", "1", "Processes that answer.", _count(1, 256), metavar="N"),
    Setting(
        "connections",
        "8192",
        "Connections each worker holds open; further ones are turned away with 503.",
        _count(1, 1_000_000),
        metavar="N",
    ),
    Setting(
        "no_refresh",
        "false",
        "Only answer; something else runs blocklistd refresh.",
        _read_flag,
        _write_flag,
        is_flag=True,
    ),
    Setting(
        "use",
        "noncommercial",
        "noncommercial or commercial: the latter leaves out every feed whose terms forbid commercial use.",
        _choice("noncommercial", "commercial"),
        metavar="USE",
    ),
    Setting(
        "mmdb",
        "",
        "Database of networks and places in MaxMind's format, asked before the tables of the catalogue; several paths "
        "are separated by colons, the first has the first word.",
        _read_paths,
        _write_paths,
        metavar="FILE",
        multiple=True,
    ),
    Setting(
        "mail_dns",
        "false",
        "Ask DNS for the mail servers of a domain in reports on single e-mail addresses and domains.",
        _read_flag,
        _write_flag,
        is_flag=True,
    ),
    Setting(
        "mail_resolver",
        "",
        "Name server to ask, instead of those of the host; may be given several times.",
        _read_name_servers,
        _write_name_servers,
        metavar="ADDRESS",
        multiple=True,
    ),
    Setting("mirror", "", "Fetch URL/<feed id> instead of the feeds' own URLs.", _read_mirror, metavar="URL"),
    Setting(
        "refresh_deadline",
        "15m",
        "A refresh that takes longer is stopped.",
        _lasting,
        format_duration,
        metavar="DURATION",
    ),
    Setting(
        "parse_deadline",
        "60s",
        "A feed whose parsing takes longer is refused.",
        _lasting,
        format_duration,
        metavar="DURATION",
    ),
    Setting("keep_snapshots", "5", "Keep so many snapshots.", _count(1, 10_000), metavar="N"),
    Setting(
        "keep_bytes",
        "2GiB",
        "Keep snapshots within this much disk; the newest always stays.",
        parse_size,
        format_size,
        metavar="SIZE",
    ),
    Setting("history_days", "90", "Keep the history of so many days.", _count(1, 3650), metavar="DAYS"),
    Setting(
        "history_bytes",
        "1GiB",
        "Keep the history within this much disk; what is oldest goes first.",
        parse_size,
        format_size,
        metavar="SIZE",
    ),
    Setting(
        "ready_feeds",
        "",
        "Feed that must be fresh for /readyz to say ready; may be given several times.",
        _read_ids,
        " ".join,
        metavar="FEED",
        multiple=True,
    ),
    Setting(
        "ready_share",
        "0%",
        "Share of all feeds that must be fresh for /readyz to say ready.",
        _read_part,
        format_share,
        metavar="SHARE",
    ),
    Setting(
        "drain",
        "10s",
        "After SIGTERM requests under way may take this long.",
        parse_duration,
        format_duration,
        metavar="DURATION",
    ),
    Setting(
        "log_level",
        "info",
        "Least important message that is logged: debug, info, warning or error.",
        _choice("debug", "info", "warning", "error"),
        metavar="LEVEL",
    ),
    Setting(
        "log_format",
        "text",
        "text for people, json for log collectors (one object a line).",
        _choice("text", "json"),
        metavar="FORMAT",
    ),
)

_DYNAMIC: Final[Mapping[str, Callable[[], str]]] = {
    "config": _default_catalogue,
    "policy": _default_policy,
    "data": _default_data,
}


@dataclass(frozen=True, slots=True)
class Settings:
    """The effective settings; durations in seconds, sizes in bytes. Field names are those of the table."""

    config: Path
    policy: Path
    data: Path
    listen: tuple[str, ...]
    allow_anonymous: bool
    workers: int
    connections: int
    no_refresh: bool
    use: Use
    mmdb: tuple[Path, ...]
    mail_dns: bool
    mail_resolver: tuple[tuple[str, int], ...]
    mirror: str
    refresh_deadline: int
    parse_deadline: int
    keep_snapshots: int
    keep_bytes: int
    history_days: int
    history_bytes: int
    ready_feeds: tuple[str, ...]
    ready_share: float
    drain: int
    log_level: str
    log_format: str

    def as_environment(self) -> dict[str, str]:
        """The same settings as environment variables, for child processes and ``blocklistd config``."""
        return {setting.variable: setting.write(getattr(self, setting.name)) for setting in SETTINGS}


assert tuple(field.name for field in fields(Settings)) == tuple(setting.name for setting in SETTINGS)


def default_of(setting: Setting) -> str:
    """The default as text; those of config, policy and data depend on the machine."""
    return _DYNAMIC[setting.name]() if setting.name in _DYNAMIC else setting.default


def read_settings(given: Mapping[str, str], environment: Mapping[str, str]) -> Settings:
    """Put the settings together: what was given on the command line, else the environment, else the default.

    Raises UsageError that names every flag and variable at fault.
    """
    values: dict[str, Any] = {}
    mistakes: list[str] = []
    for setting in SETTINGS:
        if setting.name in given:
            text, source = given[setting.name], setting.flag
        elif environment.get(setting.variable):
            text, source = environment[setting.variable], setting.variable
        else:
            text, source = default_of(setting), setting.flag
        try:
            values[setting.name] = setting.read(text)
        except ValueError as error:
            mistakes.append(f"{source}: {error}")
    if mistakes:
        raise UsageError("\n".join(mistakes))
    return Settings(**values)
