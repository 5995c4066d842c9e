"""A real course, read from data that lies beside the repository and is never copied into it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).resolve().parents[3] / "shared" / "data" / "courses" / "ml-for-beginners.json"


# The questions of the data that have no correct option or two: lesson, number, reason.
FAULTY = [
    ("techniques-of-machine-learning-post", 1, "2 correct options in a single choice"),
    ("introduction-to-classification-post", 1, "2 correct options in a single choice"),
    ("introduction-to-clustering-pre", 2, "no correct option"),
]


def real_course(*, quizzes: bool = False, **fields: Any) -> dict[str, Any]:
    """The course in our import format: its lessons with their Markdown, and on demand its quizzes.

    Each of the two quizzes of a lesson becomes a lesson of its own beside it, with the rule pass.
    Skips the test where the data is absent. `fields` replace those of the course.
    """
    if not FILE.is_file():
        pytest.skip(f"the real course is not here: {FILE}")
    data = json.loads(FILE.read_text("utf-8"))
    taken: set[str] = set()
    return {
        "waymark": 1,
        "slug": "ml-for-beginners",
        "title": data["title"],
        "author": data["author"],
        "category": data["category"],
        "description": f"{data['license']}; {data['source']}",
        "status": "published",
        "modules": [
            {
                "slug": _slug(module["title"], taken),
                "title": module["title"],
                "lessons": [
                    made
                    for lesson in module["lessons"]
                    for made in _lessons(lesson, taken, quizzes=quizzes)
                ],
            }
            for module in data["modules"]
        ],
        **fields,
    }


def _lessons(lesson: dict[str, Any], taken: set[str], *, quizzes: bool) -> list[dict[str, Any]]:
    """The article, between its quizzes."""
    slug = _slug(lesson["title"], taken)
    article = {
        "slug": slug,
        "title": lesson["title"],
        "type": "article",
        "content": lesson["content_markdown"],
    }
    if not quizzes:
        return [article]
    before, after = (
        {
            "slug": f"{slug}-{when}",
            "title": quiz["title"],
            "type": "quiz",
            "completion_rule": "pass",
            "quiz": {
                "questions": [{"kind": "single_choice", **one} for one in quiz["questions"]],
            },
        }
        for when, quiz in zip(("pre", "post"), lesson["quizzes"], strict=True)
    )
    return [before, article, after]


def _slug(title: str, taken: set[str]) -> str:
    """A slug that no other title of the course has got."""
    base = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:90].strip("-")
    slug, number = base, 1
    while slug in taken:
        number += 1
        slug = f"{base}-{number}"
    taken.add(slug)
    return slug
