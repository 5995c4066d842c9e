"""Real submissions of an Open University course, replayed over HTTP as assignments graded by staff.

Data: Kuzilek, Hlosta, Zdrahal, Open University Learning Analytics dataset, Scientific Data 2017
(CC BY 4.0). One presentation is replayed always, the other with --long; both are skipped where the
data is not.
"""

from __future__ import annotations

import asyncio
import csv
import json
import os
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import fmean
from typing import Any

import httpx
import pytest

from shared.client import AsyncWaymarkClient, WaymarkError
from tests.quiz.world import World
from tests.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("OULAD_DIR") or ROOT.parent / "shared" / "data" / "oulad")
PASS = 40
AT_ONCE = 12
FIRST_DAY = datetime(2014, 10, 1, tzinfo=UTC)
ESSAY = {"kind": "free_text", "text": "Hand in your assignment", "points": 100}

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no OULAD data in {DATA}")


def read(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(newline="") as file:
        return list(csv.DictReader(file))


@dataclass(frozen=True)
class Submission:
    """A row of studentAssessment.csv."""

    assessment: str
    student: str
    day: int
    banked: bool
    score: int | None


@dataclass
class Presentation:
    """One run of the course: when its students left, and what they handed in, by day."""

    left: dict[str, int | None] = field(default_factory=dict)
    assessments: list[str] = field(default_factory=list)
    submissions: list[Submission] = field(default_factory=list)

    @classmethod
    def load(cls, name: str) -> Presentation:
        """Read it from the files."""
        found = cls()
        for row in read("studentRegistration.csv"):
            if row["code_presentation"] == name:
                day = row["date_unregistration"]
                found.left[row["id_student"]] = int(day) if day else None
        for row in read("assessments.csv"):
            if row["code_presentation"] == name:
                found.assessments.append(row["id_assessment"])
        for row in read("studentAssessment.csv"):
            if row["id_assessment"] in found.assessments:
                score = int(row["score"]) if row["score"] else None
                found.submissions.append(
                    Submission(
                        row["id_assessment"], row["id_student"], int(row["date_submitted"]),
                        row["is_banked"] == "1", score,
                    )
                )  # fmt: skip
        found.submissions.sort(key=lambda s: (s.day, s.student))
        return found

    def too_late(self, submission: Submission) -> bool:
        """Handed in by somebody who had left."""
        left = self.left[submission.student]
        return not submission.banked and left is not None and submission.day >= left


def expected(run: Presentation) -> dict[str, tuple[Any, ...]]:
    """By assessment: attempts, ungraded, imported, pass rate, mean score; from the files alone."""
    found = {}
    for assessment in run.assessments:
        mine = [s for s in run.submissions if s.assessment == assessment and not run.too_late(s)]
        scores = [s.score for s in mine if s.score is not None]
        found[assessment] = (
            len(mine),
            sum(s.score is None for s in mine),
            sum(s.banked for s in mine),
            round(fmean(score >= PASS for score in scores), 6),
            round(fmean(scores), 6),
        )
    return found


async def replay(
    world: World, run: Presentation, users: dict[str, str], lessons: dict[str, str], teacher: str
) -> list[Submission]:
    """Hand in and grade everything over HTTP; returns what was refused as too late."""
    stack, refused = world.stack, []
    by_student = defaultdict(list)
    for submission in run.submissions:
        by_student[submission.student].append(submission)
    turn = asyncio.Semaphore(AT_ONCE)
    leaving = asyncio.Lock()

    async def withdraw(student: str) -> None:
        async with leaving:
            await asyncio.to_thread(
                world.run,
                "update public.enrollments set status = 'withdrawn' where user_id = %s",
                users[student],
            )

    async with (
        httpx.AsyncClient(trust_env=False, timeout=60) as http,
        AsyncWaymarkClient(
            stack.functions_url, stack.token(teacher), apikey=stack.publishable_key, http=http
        ) as staff,
    ):
        service = {
            "apikey": stack.secret_key, "Authorization": f"Bearer {stack.service_role_key}",
        }  # fmt: skip

        async def learn(student: str) -> None:
            me = staff.acting_as(stack.token(users[student]))
            left, gone = run.left[student], False
            for submission in by_student[student]:
                lesson = lessons[submission.assessment]
                if left is not None and submission.day >= left and not gone:
                    await withdraw(student)
                    gone = True
                if submission.banked:
                    response = await http.post(
                        f"{stack.api_url}/rest/v1/rpc/import_attempt",
                        headers=service,
                        json={
                            "p_user_id": users[student],
                            "p_lesson_id": lesson,
                            "p_percent": submission.score,
                            "p_submitted_at": str(FIRST_DAY + timedelta(days=submission.day)),
                            "p_reason": "banked",
                        },
                    )
                    assert response.status_code == 200, response.text
                    continue
                key = f"{submission.assessment}-{student}"
                answer = [{"question_id": "q1", "answer": f"work of {student}"}]
                try:
                    done = await me.submit_quiz(lesson, answer, client_key=key)
                except WaymarkError as error:
                    if (error.status, error.code) != (403, "enrollment_inactive"):
                        raise
                    refused.append(submission)
                    continue
                assert (done["attempt"]["status"], done["attempt"]["passed"]) == ("submitted", None)
                if submission.score is not None:
                    graded = await staff.grade_attempt(
                        done["attempt"]["id"], {"q1": submission.score}
                    )
                    assert graded["attempt"]["passed"] == (submission.score >= PASS)
                    assert graded["progress"]["is_completed"] == (submission.score >= PASS)
            if left is not None and not gone:
                await withdraw(student)

        async def turns(student: str) -> None:
            async with turn:
                await learn(student)

        await asyncio.gather(*(turns(student) for student in run.left))
        # Somebody who left hands in once more.
        leaver = next((student for student, left in run.left.items() if left is not None), None)
        if leaver is None:  # as this extract has it for one presentation
            leaver = run.submissions[0].student
            await withdraw(leaver)
        with pytest.raises(WaymarkError) as caught:
            await staff.acting_as(stack.token(users[leaver])).submit_quiz(
                lessons[run.assessments[0]], []
            )
        assert (caught.value.status, caught.value.code) == (403, "enrollment_inactive")
    return refused


@pytest.mark.parametrize("name", ["2014J", pytest.param("2013J", marks=pytest.mark.long)])
def test_replay(stack: Stack, name: str) -> None:
    run = Presentation.load(name)
    assert len(run.submissions) > 800
    world = World.make(stack)
    lessons = {
        assessment: world.quiz([ESSAY], type="assignment", pass_percent=PASS, position=place)
        for place, assessment in enumerate(run.assessments)
    }
    users = {student: str(uuid.uuid4()) for student in run.left}
    world.run(
        "insert into auth.users (id, email)"
        " select u, u || '@example.com' from unnest(%s::uuid[]) u",
        list(users.values()),
    )
    world.run(
        "insert into public.enrollments (user_id, course_id)"
        " select u, %s from unnest(%s::uuid[]) u",
        world.course, list(users.values()),
    )  # fmt: skip
    teacher = str(world.staff().id)

    refused = asyncio.run(replay(world, run, users, lessons, teacher))
    assert sorted(refused, key=str) == sorted(
        (s for s in run.submissions if run.too_late(s)), key=str
    )

    ids = {lesson: assessment for assessment, lesson in lessons.items()}
    stored = {
        ids[lesson]: (count, ungraded, imported, round(float(rate), 6), round(float(mean), 6))
        for lesson, count, ungraded, imported, rate, mean in world.run(
            """
            select a.lesson_id::text, count(*), count(*) filter (where a.status = 'submitted'),
                   count(*) filter (where a.is_imported),
                   avg(a.passed::integer) filter (where a.status = 'graded'), avg(a.percent)
              from public.user_assessment_attempts a
             where a.course_id = %s
             group by a.lesson_id
            """,
            world.course,
        )
    }
    assert stored == expected(run)
    # Passing is what completes: counters agree with the files as well.
    passed = defaultdict(set)
    for submission in run.submissions:
        if submission.score is not None and submission.score >= PASS:
            passed[users[submission.student]].add(submission.assessment)
    for user, done in world.run(
        "select user_id::text, completed_lessons from public.enrollments where course_id = %s",
        world.course,
    ):
        assert done == len(passed[user])
    banked = json.dumps(sorted(s.student for s in run.submissions if s.banked))
    found = world.run(
        "select user_id::text from public.user_assessment_attempts"
        " where course_id = %s and is_imported and submitted_at < now() - interval '1 year'",
        world.course,
    )
    assert len(found) == len(json.loads(banked))
    world.close()
