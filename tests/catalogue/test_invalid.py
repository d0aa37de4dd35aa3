"""Every mistake in a catalogue is named with its path, its line and what to write instead.

``invalid/`` holds one broken file a mistake; ``invalid/expected.tsv`` says what must be found in each.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from blocklistd.catalogue import Feed, load_catalogue, read_catalogue
from blocklistd.catalogue.document import MAX_DEPTH, read_document
from blocklistd.errors import CatalogueInvalid, Problem, UsageError

FOLDER = Path(__file__).with_name("invalid")


def expectations() -> dict[str, list[tuple[str, int, str]]]:
    found: dict[str, list[tuple[str, int, str]]] = {}
    with (FOLDER / "expected.tsv").open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            found.setdefault(row["file"], []).append((row["path"], int(row["line"]), row["message"]))
    return found


EXPECTED = expectations()


def problems_of(text: str) -> list[tuple[str, int, str]]:
    with pytest.raises(CatalogueInvalid) as caught:
        read_catalogue(text, "feeds.yaml")
    return [(problem.path, problem.line, problem.message) for problem in caught.value.problems]


def feed_text(feed_id: str, *more: str) -> str:
    fields = [f"id: {feed_id}", f"url: https://lists.example/{feed_id}", "format: lines", "category: spam", *more]
    return "  - " + "\n    ".join(fields) + "\n"


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_mistake_is_named(name: str) -> None:
    """A broken file is refused with exactly the problems of the table: path, line and sentence."""
    with pytest.raises(CatalogueInvalid) as caught:
        load_catalogue(FOLDER / f"{name}.yaml")
    found = [(problem.path, problem.line, problem.message) for problem in caught.value.problems]
    assert found == EXPECTED[name]


def test_table_and_folder_agree() -> None:
    """No broken file is without its expectation."""
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(EXPECTED)


def test_lines_point_at_the_mistake() -> None:
    """The line of a problem holds the key it names, so that an editor can jump there."""
    for name, problems in EXPECTED.items():
        lines = (FOLDER / f"{name}.yaml").read_text().splitlines()
        for path, line, _ in problems:
            key = path.rpartition(".")[2].partition("[")[0]
            if key and key != "feeds" and "." in path and not path.endswith("]"):
                assert key in lines[line - 1], f"{name}: {path} is not on line {line}"


def test_problems_come_in_the_order_of_the_file() -> None:
    """Lines never run backwards, whatever kind of mistake they stand for."""
    lines = [line for _, line, _ in EXPECTED["many"]]
    assert lines == sorted(lines)
    assert len(lines) >= 10


def test_message_lists_all_mistakes() -> None:
    """The text of the exception is what a person needs: the file, the count, one line a mistake."""
    error = CatalogueInvalid("feeds.yaml", (Problem("feeds[0].every", 3, "no"), Problem("", 0, "bad")))
    assert str(error) == "feeds.yaml: 2 mistakes\n  line 3: feeds[0].every: no\n  bad"


def test_bad_field_does_not_hide_contradictions() -> None:
    """A feed with a bad value is still judged as a whole, apart from what the bad value touches."""
    text = "feeds:\n" + feed_text("alpha", "weight: 101", "status: ended", "enabled: true", "delimiter: ';'")
    assert [path for path, _, _ in problems_of(text)] == ["feeds[0]", "feeds[0]", "feeds[0].weight"]
    text = "feeds:\n" + feed_text("alpha", "stale_after: soon", "drop_after: 1d")
    assert problems_of(text) == [
        (
            "feeds[0].stale_after",
            6,
            "'soon' is no duration: write a number and s, m, h, d or w, such as 15m",
        )
    ]


def test_secret_in_header_is_never_printed() -> None:
    """Whatever is wrong with a header, its value is not repeated."""
    numbers = ("12345678", "01234567", "12345678.5", "1234567_8", "0x12345678")
    texts = (
        "true",
        "[hunter2]",
        '"${hunter2"',
        '"hunter2\\u00e9"',
        '"hunter2\\nX: y"',
        "!hunter2 x",
        "*hunter2",
        "&hunter2",
    )
    for value in (*numbers, *texts, "2034-05-06", "1:30", "on"):
        text = "feeds:\n" + feed_text("alpha", f"headers: {{X-Key: {value}}}")
        for problem in problems_of(text):
            for secret in ("hunter2", "1234567", "342391", "2034", "1:30", "reads on", "305419896"):
                assert secret not in " ".join(map(str, problem))


@pytest.mark.parametrize(
    "headers",
    [
        "{Auth-Key hunter2}",
        "{Auth-Key:hunter2}",
        "{hunter2}",
        '{"Auth-Key: hunter2": x}',
        "{Auth hunter2: 1, Auth hunter2: 2}",
    ],
)
def test_a_malformed_header_is_not_printed(headers: str) -> None:
    """Where the colon or its blank is missing, the value stands in the name: neither is shown."""
    text = "feeds:\n" + feed_text("alpha", f"headers: {headers}")
    problems = problems_of(text)
    assert all(path.startswith("feeds[0].headers") for path, _, _ in problems)
    assert "hunter2" not in repr(problems)


LEAKS = [
    "url: http s://reader:hunter2@lists.example/",
    "url: ftp://reader:hunter2@lists.example/",
    "url: reader:hunter2@lists.example/",
    "url: https://reader:hunter2/@lists.example/",
    "url: https://reader:hunter2?@lists.example/",
    "url: https://reader:hunter2@[lists.example/",
    "url: https://reader:hunter2@lists\u2100.example/",
    "url: https://reader:hunter2@:0/",
    "url: https://lists.example:99999/?key=hunter2",
    "url: https:///list#hunter2",
    "url: file://elsewhere/list?key=hunter2",
    "url: [https://reader:hunter2@lists.example/]",
    "urls: https://reader:hunter2@lists.example/",
    "urls: [https://reader:hunter2@lists.example/?key=hunter2, https://reader:hunter2@lists.example/?key=hunter2]",
    "{url: https://a.example/?key=hunter2, fallback: [https://a.example/?key=hunter2]}",
    "{url: https://a.example/, fallback: 'https://reader:hunter2@a.example/'}",
    "{url: https://a.example/, homepage: 'http s://reader:hunter2@a.example/'}",
    "{url: https://a.example/, 'https://reader:hunter2@a.example/': x}",
]


@pytest.mark.parametrize("fields", LEAKS)
def test_secret_in_url_is_never_printed(fields: str) -> None:
    """Whatever is wrong with a URL, its user, password, query and fragment are not repeated."""
    inner = fields[1:-1] if fields.startswith("{") else fields
    problems = problems_of(f"feeds:\n  - {{id: alpha, format: lines, category: spam, {inner}}}\n")
    assert "hunter2" not in repr(problems)
    assert "reader" not in repr(problems)


def test_every_odd_key_is_named_by_its_line() -> None:
    """Keys that are no plain words are not shown, but each of them is a mistake of its own."""
    text = "feeds:\n" + feed_text("alpha", "'one two': 1", "'three four': 2")
    assert problems_of(text) == [("feeds[0].…", 6, "unknown key"), ("feeds[0].…", 7, "unknown key")]


def test_alias_is_allowed_as_long_as_it_stays_small() -> None:
    """A value may be written once and used again; each place reads as if it were written out."""
    text = "feeds:\n" + feed_text("alpha", "exclude: &nets [192.0.2.0/24]") + feed_text("beta", "exclude: *nets")
    feeds = read_catalogue(text, "feeds.yaml").by_id
    assert feeds["beta"].exclude == feeds["alpha"].exclude == ("192.0.2.0/24",)


def test_nesting_is_bounded_before_anything_is_built() -> None:
    """A megabyte of brackets is one problem, not a crash of the parser."""
    document = read_document("[" * 1_000_000)
    assert [problem.message for problem in document.problems] == [f"nested more than {MAX_DEPTH} deep"]


def test_oversized_file_is_refused(tmp_path: Path) -> None:
    """A file beyond 4 MiB is refused without being parsed."""
    path = tmp_path / "feeds.yaml"
    path.write_text("#" * (4 * 2**20 + 1))
    with pytest.raises(CatalogueInvalid, match="larger than 4MiB"):
        load_catalogue(path)


def test_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are refused with the line they stand on; a byte order mark is skipped."""
    path = tmp_path / "feeds.yaml"
    path.write_bytes(b"feeds:\n  - id: caf\xe9\n")
    with pytest.raises(CatalogueInvalid, match="line 2: is not UTF-8 text"):
        load_catalogue(path)
    path.write_bytes(b"\xef\xbb\xbffeeds: []\n")
    assert load_catalogue(path).feeds == ()


def test_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    """A file that cannot be read is named with the system's reason."""
    with pytest.raises(UsageError, match=r"cannot read the catalogue .*nowhere\.yaml: No such file"):
        load_catalogue(tmp_path / "nowhere.yaml")
    with pytest.raises(UsageError, match="Is a directory"):
        load_catalogue(tmp_path)


def test_feed_cannot_be_built_wrong_in_code() -> None:
    """The rules hold for whoever builds a Feed, not only for the file."""
    with pytest.raises(ValueError, match="needs a category"):
        Feed.model_validate({"id": "alpha", "url": "https://lists.example/", "format": "lines"})
    with pytest.raises(ValueError, match="either url or urls"):
        Feed.model_validate({"id": "a", "url": "https://a.example/", "urls": ["https://b.example/"]})
