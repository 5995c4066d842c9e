"""Two real presentations of an Open University course in the database, and what their files say.

Data: Kuzilek, Hlosta, Zdrahal, Open University Learning Analytics dataset, Scientific Data 2017
(CC BY 4.0). The presentations become cohorts of one course whose lessons are the three assignments;
each submission is recorded at its own time.
"""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg

from tests.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("OULAD_DIR") or ROOT.parent / "shared" / "data" / "oulad")
PASS = 40
STARTS = {"2013J": datetime(2013, 10, 1, tzinfo=UTC), "2014J": datetime(2014, 10, 1, tzinfo=UTC)}
NAMESPACE = uuid.UUID("0b5a7d0e-6f2c-4a53-9d0e-2f4f8f0c2a11")


def load() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Registrations and submissions, with times for their days.

    A student of both presentations is two learners. Whoever handed in something before they were
    registered was so from then on.
    """
    registered = pd.read_csv(DATA / "studentRegistration.csv")
    registered["learner"] = [
        str(uuid.uuid5(NAMESPACE, f"{p}-{s}"))
        for p, s in zip(registered.code_presentation, registered.id_student, strict=True)
    ]
    start = registered.code_presentation.map(STARTS)
    registered["at"] = start + pd.to_timedelta(registered.date_registration, unit="D")
    assessments = pd.read_csv(DATA / "assessments.csv")
    # The first, second and third of each presentation are the same lesson.
    assessments["lesson"] = assessments.groupby("code_presentation").date.rank().astype(int) - 1
    handed_in = (
        pd.read_csv(DATA / "studentAssessment.csv")
        .merge(assessments[["id_assessment", "code_presentation", "lesson"]], on="id_assessment")
        .merge(
            registered[["code_presentation", "id_student", "learner", "at"]],
            on=["code_presentation", "id_student"],
        )
        .rename(columns={"at": "registered_at"})
    )
    day = pd.to_timedelta(handed_in.date_submitted, unit="D") + timedelta(hours=12)
    handed_in["at"] = handed_in.code_presentation.map(STARTS) + day
    first = handed_in.groupby("learner")["at"].min()
    early = registered.learner.map(first)
    registered["at"] = registered["at"].where(~(early < registered["at"]), early)
    handed_in["registered_at"] = handed_in.learner.map(registered.set_index("learner")["at"])
    # The files say nothing of time spent; some have none.
    handed_in["seconds"] = (handed_in.id_student * 7 + handed_in.date_submitted) % 97 * 60
    return registered, handed_in.sort_values(["at", "learner", "lesson"]).reset_index(drop=True)


@dataclass
class Replay:
    """The course with its people, and the files it was made of."""

    stack: Stack
    course: int
    lessons: list[str]
    cohorts: dict[str, str]
    instructor: str
    registered: pd.DataFrame
    handed_in: pd.DataFrame


def replay(stack: Stack) -> Replay:
    """Make the course and play the files into it."""
    registered, handed_in = load()
    course: Any
    with stack.connect(autocommit=True) as db:
        tag = uuid.uuid4().hex
        [(course,)] = db.execute(
            "insert into public.courses (slug, title, status, certificate_enabled)"
            " values (%s, 'AAA', 'published', false) returning id",
            [f"oulad-{tag}"],
        )
        [(module,)] = db.execute(
            "insert into public.modules (course_id, title) values (%s, 'Assignments') returning id",
            [course],
        )
        lessons = [
            str(row[0])
            for row in db.execute(
                "insert into public.lessons"
                " (module_id, title, type, position, completion_rule, pass_percent)"
                " select %s, 'TMA ' || n, 'assignment', n, 'pass', %s"
                "   from generate_series(1, 3) as n returning id",
                [module, PASS],
            )
        ]
        cohorts = {
            name: str(id)
            for id, name in db.execute(
                "insert into public.cohorts (course_id, name)"
                " select %s, unnest(%s::text[]) returning id, name",
                [course, list(STARTS)],
            )
        }
        [(instructor,)] = db.execute(
            "insert into auth.users (id, email) values (gen_random_uuid(), %s) returning id::text",
            [f"{tag}@example.com"],
        )
        db.execute(
            "insert into public.course_staff values (%s, %s, 'instructor')", [course, instructor]
        )
        # Under ids of this run: another test may have played the same files.
        ids = {learner: str(uuid.uuid4()) for learner in registered.learner}
        registered["user"] = registered.learner.map(ids)
        handed_in["user"] = handed_in.learner.map(ids)
        enter(db, course, cohorts, registered)
        hand_in(db, lessons, handed_in)
        spend_time(db, lessons, handed_in)
    return Replay(stack, course, lessons, cohorts, instructor, registered, handed_in)


def enter(
    db: psycopg.Connection[Any], course: int, cohorts: dict[str, str], registered: pd.DataFrame
) -> None:
    """Sign everyone up and enrol them, each at their own time."""
    rows = [
        {"user": row.user, "cohort": cohorts[row.code_presentation], "at": row.at.isoformat()}
        for row in registered.itertuples()
    ]
    with db.transaction():
        db.execute(
            "insert into auth.users (id, email)"
            " select r.user, r.user || '@example.com'"
            '   from jsonb_to_recordset(%s) as r ("user" uuid)',
            [json.dumps(rows)],
        )
        db.execute(
            "select private.make_event_partition(d::date)"
            " from generate_series('2013-03-01', '2015-12-01', interval '1 month') d"
        )
        db.execute(
            "insert into public.enrollments (user_id, course_id, cohort_id, enrolled_at)"
            " select r.user, %s, r.cohort, r.at"
            '   from jsonb_to_recordset(%s) as r ("user" uuid, cohort uuid, at timestamptz)',
            [course, json.dumps(rows)],
        )


# One call a submission, each at its own time by our clock. One that has no score waits for a grade.
HAND_IN = """
do $do$
declare
  r record;
begin
  for r in select * from handed_in order by n
  loop
    perform set_config('waymark.now', r.at::text, true);
    if r.score is not null then
      perform public.import_attempt(r.user_id, r.lesson_id, r.score, r.at, 'OULAD');
    else
      perform set_config('request.jwt.claims',
        jsonb_build_object('sub', r.user_id, 'role', 'authenticated')::text, true);
      perform public.submit_quiz(r.lesson_id, '[{"question_id": "q1", "answer": "My work"}]');
      perform set_config('request.jwt.claims', '', true);
    end if;
  end loop;
end
$do$
"""


def hand_in(db: psycopg.Connection[Any], lessons: list[str], handed_in: pd.DataFrame) -> None:
    """Record every submission by the functions that record them."""
    essay = {"questions": [{"kind": "free_text", "text": "Your assignment", "points": 100}]}
    for lesson in lessons:
        db.execute("select public.set_quiz(%s, %s)", [lesson, json.dumps(essay)])
    db.execute("analyze public.lessons, public.modules, public.enrollments, auth.users")
    with db.transaction():
        db.execute(
            "create temp table handed_in"
            " (n int, user_id uuid, lesson_id uuid, score numeric, at timestamptz) on commit drop"
        )
        with db.cursor().copy("copy handed_in from stdin") as copy:
            for row in handed_in.itertuples():
                score = None if pd.isna(row.score) else row.score
                at = row.at.isoformat()
                copy.write_row((row.Index, row.user, lessons[row.lesson], score, at))
        db.execute(HAND_IN)


def spend_time(db: psycopg.Connection[Any], lessons: list[str], handed_in: pd.DataFrame) -> None:
    """Credit the learners with time, as months of heartbeats would have."""
    rows = [
        {"user": row.user, "lesson": lessons[row.lesson], "seconds": int(row.seconds)}
        for row in handed_in.itertuples()
    ]
    with db.transaction():
        db.execute("set local waymark.editing = 'on'")
        db.execute(
            "update public.user_progress p set view_time_seconds = r.seconds"
            '  from jsonb_to_recordset(%s) as r ("user" uuid, lesson uuid, seconds integer)'
            " where p.user_id = r.user and p.lesson_id = r.lesson",
            [json.dumps(rows)],
        )
        db.execute(
            "update public.enrollments e set view_time_seconds = t.seconds"
            "  from (select user_id, course_id, sum(view_time_seconds) as seconds"
            "          from public.user_progress where lesson_id = any (%s::uuid[])"
            "         group by 1, 2) as t"
            " where e.user_id = t.user_id and e.course_id = t.course_id",
            [lessons],
        )
