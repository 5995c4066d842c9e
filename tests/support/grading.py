"""Grading in plain Python, written from docs/explanation/quizzes.md: the reference for the SQL."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any


def fold(text: str) -> str:
    """A short answer in the form in which it is compared."""
    folded = unicodedata.normalize("NFKC", text)
    folded = re.sub(r"[\t\n\v\f\r \x85\u1680\u2028\u2029]+", " ", folded).strip(" ")
    folded = "".join(c.lower() if c != "\u0130" else "i" for c in folded)
    return folded.replace("\u00df", "ss").replace("\u03c2", "\u03c3")


def share(question: Mapping[str, Any], answer: Any) -> Fraction:
    """The part of the points that an answer earns. `question` holds its kind, scoring and key."""
    if answer is None:
        return Fraction(0)
    key, kind = question["key"], question["kind"]
    partial = question.get("scoring") == "partial"
    if kind in ("single_choice", "true_false"):
        return Fraction(answer == key)
    if kind == "numeric":
        value, tolerance = (Fraction(Decimal(str(part))) for part in key)
        return Fraction(abs(Fraction(Decimal(str(answer))) - value) <= tolerance)
    if kind == "short_text":
        return Fraction(fold(answer) in {fold(accepted) for accepted in key})
    if kind == "multiple_choice":
        if not partial:
            return Fraction(set(answer) == set(key))
        hits = len(set(answer) & set(key))
        return max(Fraction(0), Fraction(2 * hits - len(answer), len(key)))
    if kind == "ordering":
        placed = sum(a == k for a, k in zip(answer, key, strict=True))
    else:
        placed = sum(answer.get(left) == right for left, right in key.items())
    return Fraction(placed, len(key)) if partial else Fraction(placed == len(key))


@dataclass(frozen=True)
class Grade:
    """What a sheet of answers is worth."""

    score: Fraction
    percent: Decimal
    passed: bool
    correct: int


def grade(
    questions: Sequence[Mapping[str, Any]], answers: Mapping[str, Any], pass_percent: int
) -> Grade:
    """Grade a sheet; exact throughout, rounded only for show."""
    shares = [share(question, answers.get(question["id"])) for question in questions]
    points = [Fraction(Decimal(str(question["points"]))) for question in questions]
    score = sum((s * p for s, p in zip(shares, points, strict=True)), Fraction(0))
    top = sum(points, Fraction(0))
    passed = score * 100 >= pass_percent * top
    exact = score * 100 / top
    percent = (Decimal(exact.numerator) / Decimal(exact.denominator)).quantize(
        Decimal("0.01"), ROUND_HALF_UP
    )
    edge = Decimal(pass_percent)
    percent = max(percent, edge) if passed else min(percent, edge - Decimal("0.01"))
    return Grade(score, percent, passed, sum(s == 1 for s in shares))
