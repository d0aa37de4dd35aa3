"""policy.yaml as a ``Policy``: strict, and every mistake at once with its path and line.

Takes a file or its text, gives a frozen ``Policy``; raises ``PolicyInvalid`` with one ``Problem`` a mistake, in the
order of the file. Where the ids of a catalogue's feeds are given, a rule that names another feed is a mistake: it
would never hold, and nobody would see that.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from blocklistd.catalogue.document import UNREADABLE, path_text, read_document, read_text
from blocklistd.catalogue.sentences import shown, unknown_key
from blocklistd.errors import PolicyInvalid, Problem
from blocklistd.metrics import MOST_PROFILES, OTHER_PROFILE
from blocklistd.reputation.policy.fields import (
    KEYS,
    BandFields,
    ConditionFields,
    PolicyFields,
    ProfileFields,
    RuleFields,
    WhenFields,
)
from blocklistd.reputation.policy.model import (
    DEFAULT,
    LISTS,
    MOST_SCORE,
    SEVERITY,
    VERDICTS,
    Band,
    Condition,
    DecisionLogging,
    Policy,
    Profile,
    Rule,
    Suppressed,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from blocklistd.catalogue.document import Document
    from blocklistd.catalogue.document import Path as Where

LARGEST: Final = 4 * 2**20
"""Bytes of what workers are told of a policy: aliases unfold, and a short rule is written out in full."""
_PROFILE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}", re.ASCII)
_EFFECTS: Final = ("then", "at_least", "at_most")

_MISSING: Final = {
    "profiles": "a policy holds profiles:, a mapping of names to profiles",
    "name": "name is missing: answers show it in decided_by, such as: Tor at login",
    "when": "when is missing: what must be true for this rule",
}


def load_policy(path: Path, feeds: Collection[str] | None = None) -> Policy:
    """Read a policy file; ``feeds`` are the ids of the catalogue it is for.

    Raises UsageError if it cannot be read, PolicyInvalid if anything in it is wrong.
    """
    return read_policy(read_text(path, "policy", PolicyInvalid), str(path), feeds)


def read_policy(text: str, source: str, feeds: Collection[str] | None = None) -> Policy:
    """Read the text of a policy; ``source`` names it in messages. Raises PolicyInvalid."""
    document = read_document(text)
    fields, mistakes = _validate(document)
    problems = list(document.problems)
    noted = set(document.noted)
    for place, message in (*mistakes, *_contradictions(document.value), *_unknown_feeds(document.value, feeds)):
        where = place
        while where not in document.lines and where:  # a key inside a value that the line map does not know
            where = where[:-1]
        if where not in noted or not where:
            problems.append(Problem(path_text(where), document.lines.get(where, 0), message))
            noted.add(where)
    if problems or fields is None:
        raise PolicyInvalid(source, tuple(sorted(problems, key=lambda problem: problem.line)))
    policy = _policy(fields)
    if len(json.dumps(policy.as_document())) > LARGEST:
        raise PolicyInvalid(source, (Problem("", 0, "comes to more than 4 MiB for each worker: so much is a list"),))
    return policy


def _validate(document: Document) -> tuple[PolicyFields | None, list[tuple[Where, str]]]:
    """The fields, or what pydantic finds wrong with each by itself."""
    root = document.value
    if root is UNREADABLE:
        return None, []
    if not isinstance(root, dict):
        return None, [((), _MISSING["profiles"])]
    try:
        return PolicyFields.model_validate(root), []
    except ValidationError as error:
        return None, [_mistake(detail) for detail in error.errors(include_url=False)]


def _mistake(detail: Any) -> tuple[Where, str]:
    kind, where, value = detail["type"], tuple(detail["loc"]), detail["input"]
    field = str(where[-1]) if where else ""
    context = detail.get("ctx", {})
    if kind == "missing":
        return where[:-1], _MISSING[field]
    if kind == "extra_forbidden":
        return where, unknown_key(field, _known_below(where[:-1]))
    if kind == "value_error":
        return where, str(context["error"])
    if kind == "too_short":
        return where, "needs at least one"
    if kind in {"greater_than_equal", "less_than_equal"}:
        bound = f"at least {context['ge']}" if "ge" in context else f"at most {context['le']}"
        return where, f"must be {bound}, not {value}"
    return where, f"must be {_wanted(kind)}, not {shown(value)}"


def _known_below(where: Where) -> tuple[str, ...]:
    """The keys that are known at a place: what the last key with a meaning stands for."""
    if len(where) == 2 and where[0] == "profiles":
        return KEYS["profiles"]
    words = [part for part in where if isinstance(part, str)]
    return KEYS[words[-1] if words else ""]


def _wanted(kind: str) -> str:
    if kind.startswith("bool"):
        return "true or false"
    if kind.startswith("int"):
        return "a whole number"
    return "a list" if kind.startswith("list") else "a mapping"


# ── what is wrong between values ──────────────────────────────────────────────────────────────────────


def _contradictions(root: Any) -> Iterator[tuple[Where, str]]:
    """What is wrong between values that are right by themselves; passes over what is not."""
    profiles = root.get("profiles") if isinstance(root, dict) else None
    if not isinstance(profiles, dict):
        return
    if DEFAULT not in profiles:
        yield ("profiles",), f"has no profile {DEFAULT}, which judges every question that names none"
    if len(profiles) > MOST_PROFILES:
        yield ("profiles",), f"holds {len(profiles)} profiles: at most {MOST_PROFILES} are counted and kept apart"
    for name, profile in profiles.items():
        where = ("profiles", name)
        if name == OTHER_PROFILE or not _PROFILE_NAME.fullmatch(name):
            yield where, f"is no name for a profile: up to 32 of a-z, 0-9, - and _, and not {OTHER_PROFILE}"
        if isinstance(profile, dict):
            yield from _band_mistakes(profile.get("bands"), (*where, "bands"))
            for place, rule in _rules(profile, where):
                yield from _rule_mistakes(rule, place)


def _rules(profile: dict[str, Any], where: Where) -> Iterator[tuple[Where, dict[str, Any]]]:
    rules = profile.get("rules")
    for number, rule in enumerate(rules if isinstance(rules, list) else ()):
        if isinstance(rule, dict):
            yield (*where, "rules", number), rule


def _band_mistakes(bands: Any, where: Where) -> Iterator[tuple[Where, str]]:
    if not isinstance(bands, dict):
        return
    if not bands:
        yield where, "names no verdict: every score would be allowed"
    given = [(verdict, bands[verdict]) for verdict in VERDICTS[1:] if _is_score(bands, verdict)]
    for (milder, first), (harder, later) in pairwise(given):
        if later <= first:
            yield (*where, harder), f"{harder} must begin above {milder}, which begins at {first}"


def _is_score(fields: dict[str, Any], key: str) -> bool:
    return isinstance(fields.get(key), int) and not isinstance(fields[key], bool)


def _rule_mistakes(rule: dict[str, Any], where: Where) -> Iterator[tuple[Where, str]]:
    given = [key for key in _EFFECTS if key in rule]
    if not given:
        yield where, "says nothing to do: then: replaces the verdict of the band, at_least: and at_most: bound it"
    elif "then" in given and len(given) > 1:
        yield where, f"then: already says it all: leave out {' and '.join(f'{key}:' for key in given[1:])}"
    elif len(given) == 2 and all(rule[key] in VERDICTS for key in given):
        least, most = (rule[key] for key in given)
        if SEVERITY[least] > SEVERITY[most]:
            yield where, f"at_least: {least} is more severe than at_most: {most}"
    for place, condition in _conditions(rule, where):
        if not condition:
            yield place, "names nothing that must be true"
        score = condition.get("score")
        if not isinstance(score, dict):
            continue
        if not score:
            yield (*place, "score"), "needs at_least or below"
        elif _is_score(score, "at_least") and _is_score(score, "below") and score["at_least"] >= score["below"]:
            yield (*place, "score"), f"no score is at least {score['at_least']} and below {score['below']}"


def _conditions(rule: dict[str, Any], where: Where) -> Iterator[tuple[Where, dict[str, Any]]]:
    """``when`` and every block of its ``not``."""
    when = rule.get("when")
    if not isinstance(when, dict):
        return
    yield (*where, "when"), when
    blocks = when.get("not")
    if isinstance(blocks, dict):
        yield (*where, "when", "not"), blocks
    for number, block in enumerate(blocks if isinstance(blocks, list) else ()):
        if isinstance(block, dict):
            yield (*where, "when", "not", number), block


def _unknown_feeds(root: Any, feeds: Collection[str] | None) -> Iterator[tuple[Where, str]]:
    profiles = root.get("profiles") if isinstance(root, dict) else None
    if feeds is None or not isinstance(profiles, dict):
        return
    for name, profile in profiles.items():
        for where, rule in _rules(profile, ("profiles", name)) if isinstance(profile, dict) else ():
            for place, condition in _conditions(rule, where):
                named = condition.get("feeds")
                for number, feed in enumerate(named if isinstance(named, list) else [named]):
                    if isinstance(feed, str) and feed not in feeds:
                        near = unknown_key(feed, feeds).removeprefix("unknown key")
                        yield (*place, "feeds", number), f"no feed has the id {feed!r}{near}"


# ── from fields to values ─────────────────────────────────────────────────────────────────────────────


def _policy(fields: PolicyFields) -> Policy:
    suppressed: dict[str, list[Any]] = {"sets": [], "asns": [], "networks": []}
    for kind, value in fields.suppress:
        suppressed[kind].append(value)
    log = fields.decision_log
    return Policy(
        {name: _profile(name, profile) for name, profile in fields.profiles.items()},
        Suppressed(frozenset(suppressed["sets"]), frozenset(suppressed["asns"]), tuple(suppressed["networks"])),
        DecisionLogging(log.enabled, log.addresses == "whole", log.retention, log.max_bytes),
    )


def _profile(name: str, fields: ProfileFields) -> Profile:
    rules = tuple(map(_rule, fields.rules))
    return Profile(name, _bands(fields.bands), rules, fields.fail, fields.shadow)  # type: ignore[arg-type]


def _bands(fields: BandFields) -> tuple[Band, ...]:
    starts = [(0, VERDICTS[0]), *((first, word) for word in VERDICTS[1:] if (first := getattr(fields, word)))]
    ends = [first - 1 for first, _ in starts[1:]] + [MOST_SCORE]
    return tuple(Band(first, last, word) for (first, word), last in zip(starts, ends, strict=True))


def _rule(fields: RuleFields) -> Rule:
    mildest = fields.then or fields.at_least or VERDICTS[0]
    severest = fields.then or fields.at_most or VERDICTS[-1]
    return Rule(fields.name, _condition(fields.when), mildest, severest)  # type: ignore[arg-type]


def _condition(fields: ConditionFields) -> Condition:
    return Condition(
        **{name: frozenset(getattr(fields, name)) for name in LISTS},
        score_from=fields.score.at_least,
        score_below=fields.score.below,
        unless=tuple(map(_condition, fields.unless)) if isinstance(fields, WhenFields) else (),
    )
