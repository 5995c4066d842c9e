"""A real course, read from data that lies beside the repository and is never copied into it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).resolve().parents[3] / "shared" / "data" / "courses" / "ml-for-beginners.json"


def real_course(**fields: Any) -> dict[str, Any]:
    """The course in our import format, its lessons with their Markdown; its quizzes come later.

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
                    {
                        "slug": _slug(lesson["title"], taken),
                        "title": lesson["title"],
                        "type": "article",
                        "content": lesson["content_markdown"],
                    }
                    for lesson in module["lessons"]
                ],
            }
            for module in data["modules"]
        ],
        **fields,
    }


def _slug(title: str, taken: set[str]) -> str:
    """A slug that no other title of the course has got."""
    base = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:90].strip("-")
    slug, number = base, 1
    while slug in taken:
        number += 1
        slug = f"{base}-{number}"
    taken.add(slug)
    return slug
