"""The stored state of a feed."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blocklistd.collect.past import Version
from blocklistd.collect.state import FORMAT, FeedState, Held, Part, bodies, read_state, read_states, write_state
from blocklistd.errors import StorageFailed

DIGEST = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4


def example(data: Path) -> FeedState:
    part = Part(
        url="https://lists.example/a",
        path=bodies(data) / f"made.0.{DIGEST[:16]}.body",
        size=12,
        digest=DIGEST,
        etag='W/"é"',
        last_modified=None,
        source="ab",
    )
    return FeedState(
        "made",
        source="cd",
        hosts=("lists.example",),
        attempted_at=1.5,
        finished_at=2.5,
        succeeded_at=2.25,
        changed_at=2.0,
        confirmed_at=1.75,
        failures=3,
        not_before=9.0,
        retry_at=10.0,
        outcome="failed",
        reason="HTTP 503",
        bytes=77,
        seconds=0.125,
        parts=(part,),
        held=Held(
            parts=(replace(part, path=bodies(data) / f"made.0.{OTHER[:16]}.body", digest=OTHER),),
            digest=OTHER,
            check="shrink",
            reason="has lost 60 % of 300 entries",
            entries=120,
            since=2.0,
            seen_at=2.5,
            rejected=True,
        ),
        past=(Version(1.5, 0.0, 10, 12, 1, 0, 10, 2**63, 1, 256, 10, 3),),
        past_key="ef",
        frozen_since=1.5,
    )


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Writing and reading is identity, and the file is readable for others."""
    state = example(tmp_path)
    write_state(tmp_path, state)
    path = bodies(tmp_path) / "made.json"
    assert read_state(tmp_path, "made") == state
    assert read_states(tmp_path) == {"made": state}
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [entry.name for entry in path.parent.iterdir()] == ["made.json"]


def test_a_feed_that_was_never_asked(tmp_path: Path) -> None:
    """Without a file the state is never, without a reason."""
    assert read_state(tmp_path, "made") == FeedState("made")
    assert read_states(tmp_path) == {}


def changed(**fields: object) -> bytes:
    document: dict[str, object] = {
        "format": FORMAT,
        "feed_id": "made",
        "source": "",
        "hosts": [],
        **dict.fromkeys(
            ("attempted_at", "finished_at", "succeeded_at", "changed_at", "confirmed_at", "not_before"), 0.0
        ),
        **dict.fromkeys(("retry_at", "seconds"), 0.0),
        "failures": 0,
        "outcome": "never",
        "reason": "",
        "bytes": 0,
        "parts": [],
        "held": None,
        "past": [],
        "past_key": "",
        "frozen_since": 0.0,
    }
    return json.dumps(document | fields).encode()


def part(**fields: object) -> dict[str, object]:
    whole = {"url": "u", "file": f"made.0.{DIGEST[:16]}.body", "size": 1, "digest": DIGEST, "source": "s"}
    return whole | {"etag": None, "last_modified": None} | fields


def held(**fields: object) -> dict[str, object]:
    whole = {"parts": [part()], "digest": DIGEST, "check": "shrink", "reason": "", "entries": 1}
    return whole | {"since": 1.0, "seen_at": 1.0, "rejected": False} | fields


def test_the_whole_document_is_accepted(tmp_path: Path) -> None:
    """What the broken ones below are made from is sound."""
    bodies(tmp_path).mkdir()
    (bodies(tmp_path) / "made.json").write_bytes(changed(parts=[part()], held=held(), past=[[1.0] * 12]))
    state = read_state(tmp_path, "made")
    assert state.parts[0].path == bodies(tmp_path) / f"made.0.{DIGEST[:16]}.body"
    assert state.held is not None
    assert state.past == (Version._make([1.0] * 12),)


def test_a_state_of_the_version_before_keeps_its_body(tmp_path: Path) -> None:
    """An upgrade costs neither body nor times; what was not known then is unknown."""
    new = {"confirmed_at", "held", "past", "past_key", "frozen_since"}
    whole = json.loads(changed(format="blocklistd feed state 1", parts=[part()], succeeded_at=3.0, outcome="updated"))
    bodies(tmp_path).mkdir()
    (bodies(tmp_path) / "made.json").write_text(json.dumps({key: whole[key] for key in whole.keys() - new}))
    state = read_state(tmp_path, "made")
    assert (state.succeeded_at, state.outcome, state.reason) == (3.0, "updated", "")
    assert state.parts[0].digest == DIGEST
    assert (state.held, state.past, state.confirmed_at) == (None, (), 0.0)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b" " * (2**20 + 1),
        b"{}",
        changed(format="other"),
        changed(feed_id="other"),
        changed(outcome="splendid"),
        changed(failures=-1),
        changed(failures=True),
        changed(failures=10**400),
        changed(attempted_at=float("nan")),
        changed(attempted_at=float("inf")),
        changed(attempted_at=-1),
        changed(attempted_at="1"),
        changed(hosts=[1]),
        changed(hosts=None),
        changed(reason=None),
        changed(parts=None),
        changed(parts=[1]),
        changed(parts=[part(file="../../etc/passwd")]),
        changed(parts=[part(file=f"other.0.{DIGEST[:16]}.body")]),
        changed(parts=[part(digest="x")]),
        changed(parts=[part(size=1.5)]),
        changed(parts=[part(etag=1)]),
        changed(held={}),
        changed(held=held(parts=[part(file="../../etc/passwd")])),
        changed(held=held(digest="x")),
        changed(held=held(rejected=1)),
        changed(past=None),
        changed(past=[[1.0] * 11]),
        changed(past=[[1.0] * 12] * 31),
        changed(past=[[1.0] * 11 + [True]]),
        changed(past=[[-1.0] * 12]),
        changed(frozen_since="1"),
    ],
    ids=lambda content: content[-40:].decode("latin-1"),
)
def test_a_broken_state_is_never(tmp_path: Path, content: bytes) -> None:
    """No content is an error: the feed counts as never fetched, says why, and its floor counts from the file's date."""
    bodies(tmp_path).mkdir()
    path = bodies(tmp_path) / "made.json"
    path.write_bytes(content)
    os.utime(path, (5, 1234.0))
    expected = FeedState("made", attempted_at=1234.0, reason="state file is broken and was not used")
    assert read_state(tmp_path, "made") == expected


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_a_damaged_state_never_raises(tmp_path: Path, data: st.DataObject) -> None:
    """Flipped, cut and inserted bytes give a state, whatever it says."""
    write_state(tmp_path, example(tmp_path), durable=False)
    path = bodies(tmp_path) / "made.json"
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    path.write_bytes(content)
    state = read_state(tmp_path, "made")
    assert state.feed_id == "made"
    assert all(body.path.parent == bodies(tmp_path) for body in state.bodies)


def test_what_is_no_file_is_never(tmp_path: Path) -> None:
    """A folder in the place of a state is reported, not raised; other files in the folder are no states."""
    (bodies(tmp_path) / "made.json").mkdir(parents=True)
    (bodies(tmp_path) / "Other.json").write_text("{}")
    (bodies(tmp_path) / ".tmp-x.json").write_text("{}")
    states = read_states(tmp_path)
    assert list(states) == ["made"]
    assert states["made"].reason == "state file cannot be read: not a regular file"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """Failing to write is StorageFailed with the system's reason, and the old state stays."""
    state = example(tmp_path)
    write_state(tmp_path, state)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFailed, match="cannot write"):
        write_state(tmp_path / "file", replace(state, failures=9))
    assert read_state(tmp_path, "made") == state


def test_reading_states_is_light() -> None:
    """Workers that answer read states, so nothing heavy may come with them."""
    code = (
        "import sys, blocklistd.collect.state, blocklistd.collect.store, blocklistd.collect.pace;"
        "print({'numpy', 'aiohttp', 'pydantic', 'apscheduler', 'rich', 'statistics'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
