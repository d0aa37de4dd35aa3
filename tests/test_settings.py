"""Settings come from flags, then the environment, then defaults, and print as what reads back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocklistd.errors import UsageError
from blocklistd.settings import SETTINGS, Settings, default_of, parse_listen, read_settings

HOSTS = st.sampled_from(["127.0.0.1", "[::1]", "0.0.0.0", "localhost", "[2001:db8::1]"])
ADDRESSES = st.one_of(
    st.builds(lambda host, port: f"{host}:{port}", HOSTS, st.integers(0, 65535)),
    st.sampled_from(["unix:/run/blocklistd/http.sock", "unix:relative.sock"]),
)
TEXTS = st.fixed_dictionaries(
    {},
    optional={
        "config": st.sampled_from(["feeds.yaml", "/etc/blocklistd/feeds.yaml"]),
        "policy": st.sampled_from(["policy.yaml", "/etc/blocklistd/policy.yaml"]),
        "data": st.sampled_from(["data", "/var/lib/blocklistd"]),
        "listen": st.lists(ADDRESSES, min_size=1, max_size=4).map(" ".join),
        "allow_anonymous": st.sampled_from(["true", "false", "1", "no"]),
        "workers": st.integers(1, 256).map(str),
        "no_refresh": st.sampled_from(["true", "off"]),
        "use": st.sampled_from(["noncommercial", "commercial"]),
        "mmdb": st.sampled_from(["", "/srv/places.mmdb", "/srv/own places.mmdb:/srv/networks.mmdb"]),
        "mail_dns": st.sampled_from(["true", "off"]),
        "mail_resolver": st.sampled_from(["", "192.0.2.53", "192.0.2.53:5353 2001:db8::53, [2001:db8::54]:54"]),
        "mirror": st.sampled_from(["", "http://mirror.example/lists/", "file:///srv/lists"]),
        "refresh_deadline": st.integers(1, 10**6).map(lambda seconds: f"{seconds}s"),
        "parse_deadline": st.sampled_from(["60s", "2m"]),
        "keep_snapshots": st.integers(1, 10_000).map(str),
        "keep_bytes": st.sampled_from(["1000", "64MiB", "2GiB"]),
        "drain": st.sampled_from(["0s", "10s"]),
        "log_level": st.sampled_from(["debug", "info", "warning", "error"]),
        "log_format": st.sampled_from(["text", "json"]),
    },
)


@given(TEXTS)
def test_printed_settings_read_back(given_texts: dict[str, str]) -> None:
    """The environment that settings print makes the same settings again."""
    settings = read_settings(given_texts, {})
    assert read_settings({}, settings.as_environment()) == settings


def test_table_has_a_row_for_every_field() -> None:
    """Every setting has one flag, one variable and a sentence."""
    assert len({setting.flag for setting in SETTINGS}) == len(SETTINGS)
    for setting in SETTINGS:
        assert setting.flag == "--" + setting.name.replace("_", "-")
        assert setting.variable == "BLOCKLISTD_" + setting.name.upper()
        assert setting.sentence.endswith(".")
        default = setting.read(default_of(setting))
        assert setting.read(setting.write(default)) == default


def test_flag_beats_environment_beats_default() -> None:
    """The nearer word wins; an empty variable counts as not set."""
    environment = {"BLOCKLISTD_WORKERS": "3", "BLOCKLISTD_USE": "commercial", "BLOCKLISTD_DRAIN": ""}
    settings = read_settings({"workers": "5"}, environment)
    assert (settings.workers, settings.use, settings.drain) == (5, "commercial", 10)
    assert read_settings({}, {}).listen == ("127.0.0.1:8080",)


def test_values_are_of_their_types() -> None:
    """Durations become seconds, sizes bytes, paths paths."""
    settings = read_settings({"keep_bytes": "64MiB", "refresh_deadline": "2m", "data": "elsewhere"}, {})
    assert (settings.keep_bytes, settings.refresh_deadline, settings.data) == (2**26, 120, Path("elsewhere"))
    assert read_settings({"listen": "127.0.0.1:1, unix:/a"}, {}).listen == ("127.0.0.1:1", "unix:/a")


WRONG = [
    ("mail_resolver", "localhost"),
    ("mail_resolver", "192.0.2.53:0x"),
    ("mail_resolver", "[2001:db8::53]"),
    ("mail_resolver", "unix:/run/dns.sock"),
    ("listen", "8080"),
    ("listen", " "),
    ("listen", "127.0.0.1:65536"),
    ("listen", "unix:"),
    ("allow_anonymous", "maybe"),
    ("workers", "0"),
    ("workers", "two"),
    ("use", "private"),
    ("mirror", "ftp://mirror.example/"),
    ("refresh_deadline", "90"),
    ("refresh_deadline", "0s"),
    ("parse_deadline", "0m"),
    ("keep_bytes", "2GB"),
    ("log_level", "loud"),
]


@pytest.mark.parametrize(("name", "text"), WRONG)
def test_wrong_value_names_its_source(name: str, text: str) -> None:
    """A mistake on the command line names the flag, one in the environment names the variable."""
    setting = next(setting for setting in SETTINGS if setting.name == name)
    with pytest.raises(UsageError, match=f"^{setting.flag}: "):
        read_settings({name: text}, {})
    with pytest.raises(UsageError, match=f"^{setting.variable}: "):
        read_settings({}, {setting.variable: text})


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("[::1]:80", ("::1", 80)),
        ("localhost:0", ("localhost", 0)),
        ("unix:/run/a b.sock", Path("/run/a b.sock")),
    ],
)
def test_listen_address(text: str, place: tuple[str, int] | Path) -> None:
    """Host and port, IPv6 in brackets, or a path."""
    assert parse_listen(text) == place


@pytest.mark.parametrize("text", ["", "8080", ":8080", "[]:80", "host:", "host:http", "host:-1", "host:٣", "unix:"])
def test_bad_listen_address(text: str) -> None:
    """Anything else is refused with a sentence."""
    with pytest.raises(ValueError, match=r"neither host:port nor unix:/path|needs a path"):
        parse_listen(text)


def test_settings_are_frozen() -> None:
    """Settings do not change under way."""
    settings = read_settings({}, {})
    assert isinstance(settings, Settings)
    with pytest.raises(AttributeError):
        settings.workers = 9  # type: ignore[misc]


def test_every_wrong_setting_is_named_at_once() -> None:
    """Flags and variables alike, so that one look is enough to mend them all."""
    with pytest.raises(UsageError) as caught:
        read_settings({"log_level": "loud", "data": "", "mirror": "http://"}, {"BLOCKLISTD_USE": "profit"})
    text = str(caught.value)
    assert all(name in text for name in ("--log-level", "--data", "--mirror", "BLOCKLISTD_USE"))
