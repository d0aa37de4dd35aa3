"""The last good bodies on disk, also after a crash."""

from __future__ import annotations

import random
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from blocklistd.collect.state import FeedState, Held, Part, bodies, digest_of_parts, is_candidate, read_state
from blocklistd.collect.store import BodyTooLargeError, Candidate, commit, discard, hold, release, sweep, verify
from blocklistd.errors import StorageFailed
from blocklistd.files import TEMPORARY
from tests.collect import committer

STATE = FeedState("made", outcome="updated")


def candidate(data: Path, content: bytes, feed_id: str = "made", url: str = "https://lists.example/a") -> Part:
    with Candidate(data, feed_id, 10_000) as writing:
        writing.write(content)
        return writing.finish(url)


def names(data: Path) -> set[str]:
    return {path.name for path in bodies(data).iterdir()}


def test_a_candidate_lies_aside(tmp_path: Path) -> None:
    """Until it is committed a body has a temporary name, and nobody else may read it."""
    part = candidate(tmp_path, b"one")
    assert is_candidate(part)
    assert part.path.read_bytes() == b"one"
    assert stat.S_IMODE(part.path.stat().st_mode) == 0o600
    assert verify(part)
    discard([part])
    assert names(tmp_path) == set()


def test_a_candidate_that_is_not_finished_goes(tmp_path: Path) -> None:
    """Leaving early, for whatever reason, leaves no file."""
    with Candidate(tmp_path, "made", 5) as writing:
        writing.write(b"12345")
        with pytest.raises(BodyTooLargeError):
            writing.write(b"6")
    assert names(tmp_path) == set()


@pytest.mark.parametrize("durable", [True, False])
def test_commit_makes_candidates_the_last_good_version(tmp_path: Path, durable: bool) -> None:
    """Bodies get their names, the state names them, and nothing else remains."""
    parts = [candidate(tmp_path, b"one"), candidate(tmp_path, b"two", url="https://lists.example/b")]
    written = commit(tmp_path, STATE, parts, durable=durable)
    assert read_state(tmp_path, "made") == written
    assert [part.path.read_bytes() for part in written.parts] == [b"one", b"two"]
    assert [part.path.name for part in written.parts] == [
        f"made.{number}.{part.digest[:16]}.body" for number, part in enumerate(parts)
    ]
    assert names(tmp_path) == {"made.json", *(part.path.name for part in written.parts)}
    assert stat.S_IMODE(written.parts[0].path.stat().st_mode) == 0o600


def test_commit_replaces_and_keeps(tmp_path: Path) -> None:
    """A held part stays where it is, a replaced one goes; other feeds are not touched."""
    first = commit(tmp_path, STATE, [candidate(tmp_path, b"one"), candidate(tmp_path, b"two")])
    other = commit(tmp_path, FeedState("made_2"), [candidate(tmp_path, b"one", "made_2")])
    newer = replace(first.parts[0], etag='"new"')
    second = commit(tmp_path, replace(first, outcome="updated"), [newer, candidate(tmp_path, b"three")])
    assert second.parts[0].path == first.parts[0].path
    assert second.parts[0].etag == '"new"'
    assert not first.parts[1].path.exists()
    assert all(verify(part) for part in (*second.parts, *other.parts))


def test_the_same_bytes_again(tmp_path: Path) -> None:
    """A candidate equal to the held body takes its name and both stay sound."""
    first = commit(tmp_path, STATE, [candidate(tmp_path, b"one")])
    second = commit(tmp_path, STATE, [candidate(tmp_path, b"one")])
    assert second.parts[0].path == first.parts[0].path
    assert verify(second.parts[0])


def test_discard_never_takes_a_held_body(tmp_path: Path) -> None:
    """Only candidates are discarded."""
    state = commit(tmp_path, STATE, [candidate(tmp_path, b"one")])
    discard(state.parts)
    assert verify(state.parts[0])


def test_a_folder_that_is_no_folder(tmp_path: Path) -> None:
    """Where nothing can be written, StorageFailed says where and why."""
    (tmp_path / "data").write_text("")
    with pytest.raises(StorageFailed, match="cannot write into"):
        Candidate(tmp_path / "data", "made", 10)


def test_a_vanished_candidate_does_not_harm_the_held_version(tmp_path: Path) -> None:
    """If a body cannot be committed, the old state and the old body stay."""
    first = commit(tmp_path, STATE, [candidate(tmp_path, b"one")])
    lost = candidate(tmp_path, b"two")
    lost.path.unlink()
    with pytest.raises(StorageFailed, match="cannot keep the body of made"):
        commit(tmp_path, STATE, [lost])
    assert read_state(tmp_path, "made") == first
    assert verify(first.parts[0])


def test_a_full_disk_is_storage_failed(tmp_path: Path) -> None:
    """When the system refuses more bytes, the write fails as StorageFailed and the candidate goes.

    The limit on file size stands in for the full disk; it is set in a child of our own.
    """
    code = (
        "import resource, signal, sys; from pathlib import Path;"
        "from blocklistd.collect.store import Candidate; from blocklistd.errors import StorageFailed\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "try:\n"
        "    with Candidate(Path(sys.argv[1]), 'made', 10**6) as writing:\n"
        "        for _ in range(100): writing.write(bytes(10_000))\n"
        "except StorageFailed as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, timeout=30
    )
    assert "File too large" in done.stdout
    assert names(tmp_path) == set()


def assert_whole(state: FeedState) -> None:
    """The version in force and the one in quarantine are sound, each of one number, and neither is a mixture."""
    version = int(state.reason)
    assert all(verify(part) for part in state.bodies)
    assert [part.path.read_bytes() for part in state.parts] == [committer.body(version, n) for n in range(2)]
    if state.held is not None:
        number = int(state.held.reason)
        assert number <= version
        assert [part.path.read_bytes() for part in state.held.parts] == [committer.body(number, n) for n in (0, 7)]


def held(*parts: Part) -> Held:
    return Held(parts, digest_of_parts(parts), "shrink", "has lost 60 % of 300 entries", 120, 1.0, 2.0)


def test_a_held_body_lies_beside_the_one_in_force(tmp_path: Path) -> None:
    """Both are named by the state; a newer one takes the place of the held one, a good one of both."""
    good = commit(tmp_path, STATE, [candidate(tmp_path, b"one")])
    first = hold(tmp_path, good, held(candidate(tmp_path, b"two")))
    assert read_state(tmp_path, "made") == first
    assert [part.path.read_bytes() for part in first.bodies] == [b"one", b"two"]
    assert sweep(tmp_path, {"made"}) == 0
    second = hold(tmp_path, first, held(candidate(tmp_path, b"three")))
    assert [part.path.read_bytes() for part in second.bodies] == [b"one", b"three"]
    assert len(names(tmp_path)) == 3
    assert second.held is not None
    accepted = commit(tmp_path, replace(second, held=None), second.held.parts)
    assert [part.path.read_bytes() for part in accepted.bodies] == [b"three"]
    assert len(names(tmp_path)) == 2


def test_a_body_held_and_in_force_is_one_file(tmp_path: Path) -> None:
    """Of several parts most are as they were: letting go of the held ones takes none from what is in force."""
    parts = [candidate(tmp_path, b"one"), candidate(tmp_path, b"two")]
    good = commit(tmp_path, STATE, parts)
    kept = hold(tmp_path, good, held(good.parts[0], candidate(tmp_path, b"cut")))
    assert len(names(tmp_path)) == 4
    assert release(tmp_path, kept) == good
    assert [part.path.read_bytes() for part in good.parts] == [b"one", b"two"]
    assert len(names(tmp_path)) == 3


def test_the_held_body_of_a_feed_that_is_off_goes_too(tmp_path: Path) -> None:
    """Its state stays, without any body."""
    hold(tmp_path, STATE, held(candidate(tmp_path, b"two")))
    assert sweep(tmp_path, ()) == 1
    assert read_state(tmp_path, "made").held is None
    assert names(tmp_path) == {"made.json"}


def test_sweep_removes_what_nobody_names(tmp_path: Path) -> None:
    """Temporary files, unnamed bodies and bodies of unknown feeds go; states stay, and so do foreign files."""
    kept = commit(tmp_path, STATE, [candidate(tmp_path, b"one")])
    gone = commit(tmp_path, FeedState("gone", attempted_at=5.0), [candidate(tmp_path, b"two", "gone")])
    candidate(tmp_path, b"three")
    (bodies(tmp_path) / f"made.7.{'0' * 16}.body").write_bytes(b"stray")
    (bodies(tmp_path) / "notes.txt").write_text("the operator's own")
    assert sweep(tmp_path, {"made"}) == 3
    assert names(tmp_path) == {"made.json", "gone.json", "notes.txt", kept.parts[0].path.name}
    assert read_state(tmp_path, "gone") == replace(gone, parts=())
    assert sweep(tmp_path, {"made"}) == 0


def test_sweep_of_nothing(tmp_path: Path) -> None:
    """A data folder that is not there yet has nothing to sweep."""
    assert sweep(tmp_path / "none", ()) == 0


def test_a_commit_that_is_killed_before_any_of_its_steps(tmp_path: Path) -> None:
    """Killed before each file operation in turn, the store names sound bodies of the version before or the new one."""
    root = Path(__file__).parents[2]
    committer.put(tmp_path, 1)
    seen = set()
    for step in range(100):
        before = int(read_state(tmp_path, "made").reason)
        done = subprocess.run(
            [sys.executable, committer.__file__, str(tmp_path), str(step)],
            capture_output=True,
            check=False,
            env={"PYTHONPATH": str(root)},
        )
        state = read_state(tmp_path, "made")
        version = int(state.reason)
        seen.add(version - before)
        assert version - before in {0, 1}
        assert_whole(state)
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr
    assert step > 6
    assert seen == {0, 1}


def test_a_commit_that_is_killed_leaves_a_whole_version(tmp_path: Path) -> None:
    """SIGKILL at 20 random moments: the state always names sound bodies of one version, no older than announced."""
    chance = random.Random(20261121)
    for _ in range(20):
        process = subprocess.Popen(
            [sys.executable, committer.__file__, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env={"PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert process.stdout is not None
        announced = int(process.stdout.readline())
        for _ in range(chance.randrange(8)):
            announced = int(process.stdout.readline())
        spin = chance.randrange(20_000)
        while spin:
            spin -= 1
        process.kill()
        rest = process.stdout.read().split()
        process.stdout.close()
        process.wait()
        announced = max([announced, *(int(line) for line in rest[:-1])])
        state = read_state(tmp_path, "made")
        version = int(state.reason)
        assert version >= announced
        assert_whole(state)
    sweep(tmp_path, {"made"})
    assert not [name for name in names(tmp_path) if name.startswith(TEMPORARY)]
    assert len(names(tmp_path)) == 1 + len({part.path for part in read_state(tmp_path, "made").bodies})
