"""``blocklistd report someone@example.org`` as a shell sees it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from blocklistd.web.openapi import SCHEMAS
from tests.cli.test_commands import run
from tests.support import make_snapshot

if TYPE_CHECKING:
    from pathlib import Path

DESCRIBED: dict[str, dict[str, Any]] = {
    "trash": {"category": "disposable", "weight": 60},
    "spammers": {"category": "spam", "weight": 40},
}


@pytest.fixture
def data(tmp_path: Path) -> dict[str, Any]:
    make_snapshot(
        tmp_path,
        {"alpha": ["192.0.2.1"]},
        domains={"trash": ["mailbox.tk"]},
        mails={"spammers": ["joe@gmail.com"]},
        described=DESCRIBED,
    )
    return {"BLOCKLISTD_DATA": str(tmp_path)}


def test_a_person_reads_verdict_arithmetic_and_reasons(data: dict[str, Any]) -> None:
    """Every listing and signal with its share, each reason in words, and addresses of both kinds in one call."""
    result = run("report", "info@mailbox.tk", "J.oe+x@gmail.com", "192.0.2.1", **data)
    first, second, third = (part.splitlines() for part in result.stdout.split("\n\n"))
    assert first[0] == "info@mailbox.tk  challenge, score 64"
    assert first[1] == "  decided by  band 45-79, profile default"
    assert [line.split()[:3] for line in first[2:4]] == [["why", "60", "trash"], ["+", "4", "suspicious_tld"]]
    assert any(line.startswith("  in words") and "trash names mailbox.tk as disposable" in line for line in first)
    assert "  flags       disposable, role, suspicious_tld" in first
    assert "  mail server not asked for (--mail-dns asks)" in first
    assert second[0] == "J.oe+x@gmail.com  flag, score 40"
    assert "  canonical   joe@gmail.com" in second
    assert third[0].startswith("192.0.2.1  ")
    assert result.returncode == 0


def test_machines_read_what_http_answers(data: dict[str, Any]) -> None:
    """With --json one object a line; what is no address is reported as such, without control characters for people."""
    result = run("report", "--json", "--profile", "signup", "a@mailbox.tk", "x\x1b@y", **data)
    first, second = map(json.loads, result.stdout.splitlines())
    assert set(first) == set(second) == set(SCHEMAS["MailReport"]["properties"])
    assert (first["score"], first["profile"]) == (64, "signup")
    assert (second["valid"], second["score"]) == (False, 100)
    assert result.returncode == 0
    assert "\x1b" not in run("report", "x\x1b@y", **data).stdout


def test_a_name_server_that_is_none_is_refused(data: dict[str, Any]) -> None:
    """With a sentence that shows how to write it."""
    result = run("report", "--mail-dns", "--mail-resolver", "localhost", "a@example.org", **data)
    assert "192.0.2.53" in result.stderr
    assert result.returncode == 2
