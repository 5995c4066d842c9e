"""Faults that no single field shows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from shared.courses.faults import Fault, Where, dotted
from shared.courses.format import GRADED, MAX_LESSONS, NEEDS, PARAMETERS, QUIZ_RULES
from shared.courses.shape import shown
from shared.courses.tree import entries, lessons, listed, mapping


def rule_faults(data: Any, skipped: frozenset[Where]) -> Iterator[Fault]:
    """What no single field shows. Works on raw data, so that it is reported beside wrong types.

    `skipped` are questions to be taken for absent.
    """
    yield from _twice(entries(data, "resources"), ("resources",), "url")
    modules = list(entries(data, "modules"))
    yield from _twice(modules, ("modules",), "slug")
    published = mapping(data).get("status") == "published"
    seen: dict[str, Where] = {}
    for path, lesson in lessons(data):
        slug = lesson.get("slug")
        if isinstance(slug, str):
            if slug in seen:
                first = dotted(seen[slug])
                yield Fault((*path, "slug"), f'"{slug}" is already the slug of {first}')
            seen.setdefault(slug, path)
        yield from _lesson_faults(path, lesson, published)
        yield from _quiz_faults((*path, "quiz"), lesson.get("quiz"), skipped)
        yield from _twice(entries(lesson, "resources"), (*path, "resources"), "url")
    slugs = {str(module.get("slug")) for _, module in modules}
    yield from _opening_faults([(("modules", m), module) for m, module in modules], slugs)
    yield from _opening_faults(lessons(data), set(seen))
    for number, slug in listed(data, "requires"):
        if slug == mapping(data).get("slug"):
            yield Fault(("requires", number), "is this course itself")
    if len(seen) > MAX_LESSONS:
        yield Fault(("modules",), f"a course has at most {MAX_LESSONS} lessons, not {len(seen)}")


def _opening_faults(
    entries: Iterable[tuple[Where, Mapping[str, Any]]], slugs: set[str]
) -> Iterator[Fault]:
    """Times that are none, and requirements that nothing in the file fulfils. Cycles are the
    database's to find: it knows them all."""
    for path, entry in entries:
        moment = entry.get("available_from")
        if isinstance(moment, str):
            try:
                datetime.fromisoformat(moment)
            except ValueError:
                yield Fault((*path, "available_from"), "is no such time")
        for number, slug in listed(entry, "requires"):
            if isinstance(slug, str) and slug not in slugs:
                yield Fault((*path, "requires", number), f"{shown(slug)} is not in this course")
            elif isinstance(slug, str) and slug == entry.get("slug"):
                yield Fault((*path, "requires", number), "is what requires it")


def _lesson_faults(path: Where, lesson: Mapping[str, Any], published: bool) -> Iterator[Fault]:
    kind, rule = lesson.get("type", "article"), lesson.get("completion_rule", "manual")
    if "content" in lesson and "content_file" in lesson:
        yield Fault((*path, "content_file"), "stands beside content: give one of the two")
    if published and isinstance(kind, str):
        needs = NEEDS.get(kind, ())
        if needs and not any(lesson.get(field) for field in needs):
            names = " or ".join(needs)
            yield Fault((*path, needs[0]), f"is missing: a published {kind} lesson needs {names}")
    for field, owner in PARAMETERS.items():
        if field in lesson and rule != owner:
            yield Fault((*path, field), f"goes with completion_rule: {owner} only")
    if rule == "view" and lesson.get("min_view_seconds") is None:
        yield Fault((*path, "min_view_seconds"), "is missing: completion_rule: view needs it")
    if rule == "watch" and lesson.get("duration_seconds") is None:
        yield Fault((*path, "duration_seconds"), "is missing: completion_rule: watch needs it")
    if rule in ("submit", "pass") and kind not in GRADED:
        yield Fault((*path, "completion_rule"), f"{rule} needs type: quiz or assignment")

    asks = lesson.get("quiz") is not None
    if asks and kind not in GRADED:
        yield Fault((*path, "quiz"), "needs type: quiz or assignment")
    if "pass_percent" in lesson and rule != "pass" and not asks:
        yield Fault((*path, "pass_percent"), "goes with completion_rule: pass or a quiz only")
    for field in QUIZ_RULES:
        if field in lesson and not asks:
            yield Fault((*path, field), "goes with a quiz only")
    if lesson.get("reveal_policy") == "after_last_attempt" and lesson.get("max_attempts") is None:
        yield Fault((*path, "max_attempts"), "is missing: after_last_attempt needs it")
    times = []
    for field in ("quiz_available_from", "quiz_available_until"):
        value = lesson.get(field)
        if isinstance(value, str):
            try:
                times.append(datetime.fromisoformat(value))
            except ValueError:
                yield Fault((*path, field), "is no such time")
    if len(times) == 2 and all(time.tzinfo for time in times) and times[1] <= times[0]:
        yield Fault((*path, "quiz_available_until"), "must be after quiz_available_from")


def _quiz_faults(path: Where, quiz: Any, skipped: frozenset[Where]) -> Iterator[Fault]:
    kept = [
        (number, question)
        for number, question in entries(quiz, "questions")
        if (*path, "questions", number) not in skipped
    ]
    pools = mapping(mapping(quiz).get("pools"))
    yield from _same_ids(kept, (*path, "questions"), "q")
    drawn: dict[str, int] = {}
    for number, question in kept:
        place = (*path, "questions", number)
        yield from _question_faults(place, question)
        pool = question.get("pool")
        if isinstance(pool, str):
            drawn[pool] = drawn.get(pool, 0) + 1
            if pool not in pools:
                yield Fault((*place, "pool"), f"{shown(pool)} is not among the quiz's pools")
    for pool, count in pools.items():
        if isinstance(count, int) and kept and count > drawn.get(pool, 0):
            yield Fault((*path, "pools", pool), f"draws {count} of {drawn.get(pool, 0)} questions")


def _question_faults(path: Where, question: Mapping[str, Any]) -> Iterator[Fault]:
    kind = question.get("kind")
    points = question.get("points")
    if isinstance(points, float) and 0 < points <= 100_000:  # whole numbers have no decimals
        exponent = Decimal(repr(points)).normalize().as_tuple().exponent
        if isinstance(exponent, int) and exponent < -2:
            yield Fault((*path, "points"), f"must have at most 2 decimals, not {shown(points)}")
    if kind in ("single_choice", "multiple_choice"):
        options = list(entries(question, "options"))
        right = sum(option.get("correct") is True for _, option in options)
        if options and not right:
            yield Fault((*path, "options"), "no correct option")
        if kind == "single_choice" and right > 1:
            yield Fault((*path, "options"), f"{right} correct options in a single choice")
        yield from _same_ids(options, (*path, "options"), "o")
    elif kind == "numeric":
        tolerance = question.get("tolerance")
        if re.match(r"-[0-9.]*[1-9]", str(tolerance)):
            yield Fault((*path, "tolerance"), "must be at least 0")
    elif kind == "ordering":
        yield from _repeated([((*path, "items", n), item) for n, item in listed(question, "items")])
    elif kind == "matching":
        pairs = list(entries(question, "pairs"))
        for side in ("left", "right"):
            sides = [((*path, "pairs", n, side), pair.get(side)) for n, pair in pairs]
            if side == "right":
                others = listed(question, "distractors")
                sides += [((*path, "distractors", n), other) for n, other in others]
            yield from _repeated(sides)


def _same_ids(
    entries: Iterable[tuple[int, Mapping[str, Any]]], path: Where, letter: str
) -> Iterator[Fault]:
    """Ids that stand twice; an entry without one is known by its number at first."""
    seen: dict[str, int] = {}
    for rank, (index, entry) in enumerate(entries, 1):
        given = entry.get("id")
        name = given if isinstance(given, str) else f"{letter}{rank}"
        if name in seen:
            first = dotted((*path, seen[name]))
            which = "" if name == given else ", and this entry's while it has none"
            reason = f"{shown(name)} is already the id of {first}{which}"
            yield Fault((*path, index, "id"), reason)
        seen.setdefault(name, index)


def _repeated(values: Iterable[tuple[Where, Any]]) -> Iterator[Fault]:
    seen: dict[str, Where] = {}
    for path, value in values:
        if isinstance(value, str):
            if value in seen:
                yield Fault(path, f"is the same as {dotted(seen[value])}")
            seen.setdefault(value, path)


def _twice(entries: Iterable[tuple[int, Any]], path: Where, field: str) -> Iterator[Fault]:
    seen: dict[str, int] = {}
    for index, entry in entries:
        value = entry.get(field)
        if not isinstance(value, str):
            continue
        if value in seen:
            first = dotted((*path, seen[value]))
            yield Fault((*path, index, field), f"{shown(value)} is already the {field} of {first}")
        seen.setdefault(value, index)
