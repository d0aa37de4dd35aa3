"""Connection types have a reason, come from data, and are never guessed."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from blocklistd.reputation import connection
from blocklistd.reputation.connection import TYPES, UNKNOWN, Rules, of_lists, shipped_rules
from tests.corpus import CORPUS

DATA = Path(connection.__file__).with_name("data") / "connection.json"
DOCUMENT = json.loads(DATA.read_bytes())


@pytest.mark.parametrize(
    ("name", "kind", "word"),
    [
        ("Example University of Applied Sciences", "education", "university"),
        ("Université d'Exemple", "education", "universite"),
        ("UNIVERSIDAD DEL EJEMPLO", "education", "universidad"),
        ("Springfield School District", "education", "school"),
        ("Ministry of Examples", "government", "ministry of"),
        ("Ministry of Education, Exampleland", "government", "ministry of"),
        ("City of Springfield", "government", "city of"),
        ("Example Hosting GmbH", "hosting", "hosting"),
        ("example-cloud.example", "hosting", "cloud"),
        ("Example Data  Center, LLC", "hosting", "data center"),
        ("Example Mobile Ltd", "mobile", "mobile"),
        ("Telefonía Celular de Ejemplo", "mobile", "celular"),
        ("Example Broadband Pvt Ltd", "residential", "broadband"),
        ("Bank of Examples", "business", "bank"),
        ("State University Federal Credit Union", "business", "credit union"),
        ("Exemplar Krankenversicherung AG", "unknown", ""),
        ("Exemplar Versicherungen AG", "business", "versicherungen"),
    ],
)
def test_names_say_what_they_contain(name: str, kind: str, word: str) -> None:
    """The type follows from whole words, without regard to case, accents and signs; the reason quotes the word."""
    found = shipped_rules().of_network(64500, name)
    assert found == ((kind, f"name of AS64500 contains '{word}'") if word else UNKNOWN)


@pytest.mark.parametrize(
    "name",
    [
        *("Example Telecom", "", "Cloudburst Brewing", "Automobile Club", "Exxon Mobil", "Hostel Example", "Servery"),
        *("Mobile Security Example", "Mobile Home Parks Inc", "Cable Television Laboratories", "St. Cloud Radio"),
        *("Universal Exports", "Example Wireless Internet", "Embankment Ltd"),
    ],
)
def test_other_names_say_nothing(name: str) -> None:
    """Parts of words do not count, nor do words beside which they mean something else; nothing is guessed."""
    assert shipped_rules().of_network(64500, name) == UNKNOWN


def test_a_list_of_networks_goes_before_the_name() -> None:
    """What is known of the number is not overruled by a word."""
    assert shipped_rules().of_network(24940, "Example University") == (
        "hosting",
        "AS24940 is known as a network of servers",
    )


def test_lists_name_their_feed() -> None:
    """Cloud and content network lists say hosting; relays and crawlers are judged as what they are."""
    assert of_lists({"hosting": "aws", "attacker": "one"}) == ("hosting", "listed by aws (hosting)")
    assert of_lists({"cdn": "fastly"}) == ("hosting", "listed by fastly (cdn)")
    relay = of_lists({"hosting": "aws", "relay": "icloud_private_relay"})
    crawler = of_lists({"hosting": "aws", "crawler": "googlebot"})
    assert relay is not None
    assert crawler is not None
    assert (relay.type, crawler.type) == ("unknown", "unknown")
    assert relay.reason.startswith("listed by icloud_private_relay (relay)")
    assert of_lists({"attacker": "one", "vpn": "two"}) is None
    assert of_lists({}) is None


def test_the_shipped_data_is_tidy() -> None:
    """Types are ours, numbers are ASNs once each and ascending, no word of a rule is hidden by an earlier rule's."""
    rules = shipped_rules()
    assert set(rules.networks.values()) <= TYPES
    for rows in DOCUMENT["networks"].values():
        assert list(map(int, rows)) == sorted(map(int, rows))
    for number, row in enumerate(DOCUMENT["names"]):
        for word in row["words"]:
            plain = word.removesuffix("*")
            earlier = [rule for rule in rules.names[:number] if rule.find(plain)]
            assert not earlier, word
            assert rules.names[number].find(plain) == plain


def changed(**changes: Any) -> dict[str, Any]:
    good = {"networks": {"hosting": {"64500": "Example"}}, "names": [{"type": "mobile", "words": ["mobile"]}]}
    return {**good, **changes}


@pytest.mark.parametrize(
    ("document", "wrong"),
    [
        ([], "networks and names"),
        ({"networks": {}}, "networks and names"),
        (changed(more=1), "networks and names"),
        (changed(networks={"homes": {"64500": "Example"}}), "'homes' is no connection type"),
        (changed(networks={"unknown": {"64500": "Example"}}), "'unknown' is no connection type"),
        (changed(networks={"hosting": {"AS64500": "Example"}}), "'AS64500' is no ASN"),
        (changed(networks={"hosting": {"64500": "A"}, "mobile": {"64500": "A"}}), "'64500' is no ASN or stands there"),
        (changed(names=[{"type": "mobile", "words": []}]), "at least one of words"),
        (changed(names=[{"type": "mobile"}]), "at least one of words"),
        (changed(names=[{"type": "mobile", "words": ["Mobile"]}]), "'Mobile' in lower case"),
        (changed(names=[{"type": "mobile", "words": ["móvil"]}]), "'móvil' in lower case"),
        (changed(names=[{"type": "mobile", "words": ["mobile"], "unless": ["a.b"]}]), "'a.b' in lower case"),
    ],
)
def test_untidy_data_is_refused(document: Any, wrong: str) -> None:
    """Each mistake is named."""
    assert Rules.from_document(changed()).of_network(64500, "").type == "hosting"
    with pytest.raises(ValueError, match=wrong):
        Rules.from_document(document)


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not beside the repository")
def test_the_lists_of_networks_fit_a_real_table() -> None:
    """Each number that a real table knows goes there by the name that stands beside it in our data.

    Among every tenth network of that table each type occurs, and most stay unknown.
    """
    with gzip.open(CORPUS / "asn/asn-ipv4.csv.gz", "rt", newline="") as file:
        names = {int(row[2]): row[3] for row in csv.reader(file)}
    ours = {int(number): name for rows in DOCUMENT["networks"].values() for number, name in rows.items()}
    odd = {number: name for number, name in ours.items() if name.lower().split()[0] not in names[number].lower()}
    assert odd == {}
    some = list(names.items())[::10]
    counted = Counter(shipped_rules().of_network(number, name).type for number, name in some)
    assert set(counted) == TYPES
    assert counted["unknown"] > len(some) / 2
