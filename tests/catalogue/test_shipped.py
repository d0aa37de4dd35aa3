"""The catalogue that is shipped: it loads, is polite, and switches on what it should and nothing else."""

from __future__ import annotations

import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from blocklistd.catalogue import BOGONS, TABLES, Catalogue, load_catalogue
from blocklistd.catalogue.feed import MAIL_CATEGORIES
from blocklistd.settings import SHIPPED_CATALOGUE

REPOSITORY = Path(__file__).resolve().parents[2]

BLOCKLIST_DE = {
    f"blocklist_de_{service}"
    for service in (
        *("all", "ssh", "mail", "apache", "imap", "ftp", "sip", "bots", "strongips", "bruteforcelogin", "ircbot"),
    )
}
DATAPLANE = {
    f"dataplane_{sensor}"
    for sensor in (
        *("sshpwauth", "sshclient", "vncrfb", "telnetlogin", "sipquery", "sipinvitation", "sipregistration"),
        *("smtpgreet", "smtpdata", "dnsrd", "dnsrdany", "dnsversion", "proto41"),
    )
}
NAMED_BY_THE_OWNER = {
    *("tor_bulk_exit", "tor_exit_addresses", "firehol_level1", "firehol_level2"),
    *("sfs_ip_1", "sfs_ip_7", "sfs_ip_30", "sfs_toxic_cidr", "sfs_toxic_domains", "botscout_last"),
} | BLOCKLIST_DE
FREE = {
    *("spamhaus_drop_v4", "spamhaus_drop_v6", "spamhaus_asndrop", "et_block", "et_compromised", "cins_army"),
    *("bruteforceblocker", "ipsum", "feodo", "monosans_proxies", "x4b_vpn_v4", "x4b_vpn_v6"),
    *("x4b_datacenter_v4", "x4b_datacenter_v6", "icloud_private_relay", "aws", "azure", "gcp", "oracle"),
    *("digitalocean", "linode", "cloudflare_v4", "cloudflare_v6", "fastly", "github", "bad_asn"),
    *("googlebot", "google_special", "google_user_triggered", "bingbot", "openai_gptbot", "openai_searchbot"),
    *("openai_chatgpt_user", "applebot", "duckduckbot", "cymru_fullbogons_v4", "cymru_fullbogons_v6"),
    *("iplocdb_asn_v4", "iplocdb_asn_v6", "iplocdb_country_v4", "iplocdb_country_v6"),
    *("disposable_email_domains", "disposable_ivolo", "free_email"),
}
NONCOMMERCIAL = {
    *("dshield_block", "binarydefense", "turris_greylist", "botscout_last"),
    *("sfs_ip_1", "sfs_ip_7", "sfs_ip_30", "sfs_toxic_cidr", "sfs_toxic_domains"),
} | DATAPLANE
OPT_IN = {
    *("tor_onionoo_exits", "tor_dan_exit", "tor_nodes_csv", "et_tor", "firehol_level3", "firehol_level4"),
    *("firehol_webserver", "firehol_abusers_1d", "firehol_abusers_30d", "firehol_anonymous", "firehol_proxies"),
    *("dshield_sources", "greensnow", "abuseipdb_s100", "darklist_de", "blocklist_net_ua", "voipbl"),
    *("romainmarcoux_malicious_ip", "data_shield", "maltrail_scanners", "threatfox_ip", "sfs_ip_90"),
    *("sfs_ip_180", "sfs_ip_365", "sfs_bannedips", "sfs_emails", "cleantalk_today", "sblam", "lashback_ubl"),
    *("myip_ms", "php_harvesters", "php_spammers", "php_commenters", "php_dictionary", "php_bad"),
    *("socks_proxy", "sslproxies", "az0_vpn_ip", "protonvpn_exits", "mullvad_relays", "nordvpn", "vultr"),
    *("ipcat_datacenters", "hexydec_datacentres", "hexydec_crawlers", "perplexity", "burner_wesbos"),
    *("mailchecker", "fail2ban_local"),
}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue(REPOSITORY / "feeds.yaml")


def test_package_ships_the_same_file() -> None:
    """The daemon's default is the catalogue at the top of the repository, and the package carries it."""
    assert SHIPPED_CATALOGUE.resolve() == (REPOSITORY / "feeds.yaml").resolve()
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    assert "feeds.yaml" in project["tool"]["setuptools"]["package-data"]["blocklistd"]


def test_recommended_feeds_are_on(catalogue: Catalogue) -> None:
    """The families named by the owner and every recommended list answer from the start."""
    on = {feed.id for feed in catalogue.enabled()}
    assert on >= NAMED_BY_THE_OWNER | FREE | NONCOMMERCIAL


def test_rest_is_there_and_off(catalogue: Catalogue) -> None:
    """Every other known list waits for the operator's word."""
    assert catalogue.by_id.keys() >= OPT_IN
    assert not OPT_IN & {feed.id for feed in catalogue.enabled()}


def test_commercial_use_leaves_out_restricted_lists(catalogue: Catalogue) -> None:
    """One setting switches off all lists whose terms forbid commercial use, and only those."""
    off = {feed.id for feed in catalogue.enabled()} - {feed.id for feed in catalogue.enabled("commercial")}
    assert off == NONCOMMERCIAL
    assert all(feed.terms == "free" for feed in catalogue.enabled("commercial"))


def test_prohibited_and_ended_lists_are_off(catalogue: Catalogue) -> None:
    """A list whose maker forbids it, or that has ended, is never on by default."""
    assert {feed.id for feed in catalogue.feeds if feed.terms == "prohibited"} == {"greensnow", "abuseipdb_s100"}
    for feed in catalogue.enabled():
        assert feed.terms != "prohibited"
        assert feed.status == "active"


def test_level1_goes_without_its_bogons(catalogue: Catalogue) -> None:
    """96 % of FireHOL level 1 is space that no visitor comes from: both lists of it are taken out."""
    assert catalogue.by_id["firehol_level1"].exclude == (BOGONS, "cymru_fullbogons_v4")
    assert catalogue.by_id["cymru_fullbogons_v4"].enabled


def test_hard_floors(catalogue: Catalogue) -> None:
    """Providers that ban too eager clients are never asked more often than they say."""
    feeds = catalogue.by_id
    assert feeds["tor_dan_exit"].floor >= 30 * 60
    for feed in catalogue.feeds:
        host = urlsplit(feed.urls[0]).hostname or ""
        if host.endswith("spamhaus.org"):
            assert feed.floor >= 3600, feed.id
        if host.endswith("stopforumspam.com") and feed.id not in {"sfs_ip_1", "sfs_emails"}:
            assert feed.floor >= 12 * 3600, feed.id
        if host == "api.github.com":
            assert feed.floor >= 60, feed.id
        assert feed.every.period >= feed.floor, f"{feed.id} would run into its own floor"


def test_no_provider_is_asked_in_quick_succession(catalogue: Catalogue) -> None:
    """Forced refreshes in a row ask nobody twice within five minutes; a file of this host may be read at any time."""
    for feed in catalogue.feeds:
        local = all(url.startswith("file:") for url in feed.urls)
        assert feed.floor >= (0 if local else 300), feed.id
    assert catalogue.by_id["fail2ban_local"].floor == 0


def test_schedules_are_polite(catalogue: Catalogue) -> None:
    """Nothing on the network is asked more than twice an hour."""
    for feed in catalogue.feeds:
        if not feed.urls[0].startswith("file:"):
            assert feed.every.period >= 30 * 60, feed.id


def test_lists_are_fetched_over_https(catalogue: Catalogue) -> None:
    """Only a list that is not offered otherwise travels in the clear, and it is off."""
    plain = {feed.id for feed in catalogue.feeds for url in feed.urls + feed.fallback if url.startswith("http:")}
    assert plain == {"lashback_ubl"}
    assert not catalogue.by_id["lashback_ubl"].enabled


def test_short_windows_are_kept_longer(catalogue: Catalogue) -> None:
    """Lists that forget within days leave their entries fading."""
    for feed_id in BLOCKLIST_DE | {"botscout_last", "cins_army"}:
        assert catalogue.by_id[feed_id].keep >= 7 * 86400
    assert catalogue.by_id["botscout_last"].keep == 30 * 86400


def test_copies_share_a_group(catalogue: Catalogue) -> None:
    """Lists made of one another count once: by group, or by naming what they are made of."""
    assert {catalogue.by_id[feed_id].group for feed_id in BLOCKLIST_DE} == {"blocklist_de"}
    assert {feed.group for feed in catalogue.feeds if feed.id.startswith("sfs_ip_")} == {"stopforumspam"}
    assert {"blocklist_de_all", "dshield_block"} <= set(catalogue.by_id["firehol_level2"].includes)
    assert "spamhaus_drop_v4" in catalogue.by_id["firehol_level1"].includes
    assert "et_compromised" in catalogue.by_id["ipsum"].includes


def test_every_feed_says_who_and_what(catalogue: Catalogue) -> None:
    """Answers and the table of feeds need a title and a provider; terms need a place to be read."""
    for feed in catalogue.feeds:
        assert feed.title, feed.id
        assert feed.provider or feed.status == "ended", feed.id
        assert feed.homepage or feed.status == "ended", feed.id


def test_harmless_categories_do_not_accuse(catalogue: Catalogue) -> None:
    """Crawlers, delivery networks, bogons and free mail weigh nothing; hosting and relays next to nothing."""
    for feed in catalogue.feeds:
        if feed.category in {"crawler", "cdn", "bogon", "free_mail"}:
            assert feed.weight == 0, feed.id
        if feed.category in {"hosting", "relay"}:
            assert feed.weight <= 10, feed.id
        if feed.category in {"attacker", "malware", "tor", "vpn", "proxy", "spam", "bot", "disposable"}:
            assert feed.weight > 0, feed.id


def test_tables_cover_both_families(catalogue: Catalogue) -> None:
    """AS numbers and countries come for IPv4 and IPv6."""
    tables = [feed for feed in catalogue.enabled() if feed.kind in TABLES]
    assert sorted(feed.kind for feed in tables) == ["asn_table", "asn_table", "country_table", "country_table"]


def test_mail_lists_are_domains(catalogue: Catalogue) -> None:
    """Disposable and free mail lists hold domains."""
    kinds = {feed.kind for feed in catalogue.feeds if feed.category in MAIL_CATEGORIES}
    assert kinds == {"domain"}


def test_no_secret_is_shipped(catalogue: Catalogue) -> None:
    """A key is named by its environment variable, never written down."""
    for feed in catalogue.feeds:
        for value in feed.headers.values():
            assert value.startswith("${")
