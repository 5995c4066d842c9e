"""What the how-to pages show, done by real supabase-js under Node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

from tests.database.actors import Actor, make_course
from tests.stack import REQUIRED, Stack

HERE = Path(__file__).resolve().parent


def test_the_how_to_pages_work(stack: Stack, operator: Actor, learner: Callable[[], Actor]) -> None:
    node = shutil.which("node")
    assert node, "node is needed: the stack itself runs on it"
    word = f"knots{uuid.uuid4().hex[:8]}"
    course = make_course(operator, [[{"title": "Rope"}]], title=word, content_access="public")
    someone = learner()
    task = {
        "token": stack.token(str(someone.user)),
        "course": course.id,
        "lesson": str(course.all[0]),
        "word": word,
    }
    done = subprocess.run(
        [node, str(HERE / "js" / "owner.mjs"), json.dumps(task)],
        env={name: os.environ[name] for name in (*REQUIRED, "PATH")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["first"] == [{"body": "The *third* knot", "position_seconds": 754}]
    assert seen["found"] == [{"id": seen["id"]}]
    assert seen["export"]["markdown"] == f"# {word}\n\n## Rope\n\n**00:12:34**\n\nA bowline\n"
    assert seen["again"] == "23505"
    [saved] = seen["collections"]
    assert (saved["name"], saved["is_default"]) == ("Saved", True)
    assert {"course_id": course.id, "note_id": None, "courses": {"title": word}} in saved[
        "collection_items"
    ]
    assert {"course_id": None, "note_id": seen["id"], "courses": None} in saved["collection_items"]
    [card] = seen["cards"]["courses"]
    assert (card["id"], card["is_saved"]) == (course.id, True)
    assert seen["after"]["courses"][0]["is_saved"] is False
    [hit] = seen["search"]["results"]
    assert hit["highlight"]["title"] == f"<mark>{word}</mark>"
    assert seen["mine"]["tables"]["notes"][0]["body"] == "A bowline"
