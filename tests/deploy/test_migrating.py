"""Migrations on databases in use: into a busy project, and under learners who go on.

Migrations are edited in place until the first release, so what stands for "later migrations" here
are those after the point from which learners can work. Each is applied in a transaction of its own,
as `supabase db push` does it.
"""

from __future__ import annotations

import json
import random
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from tests.catalog.catalog import ROOT, Catalog, everything, rights
from tests.catalog.test_snapshot import FILE, snapshot
from tests.database.actors import DRIFT
from tests.stack import Stack
from tests.support.scratch import Scratch, scratch_database

Connection = psycopg.Connection[Any]

MIGRATIONS = sorted((ROOT / "supabase" / "migrations").glob("*.sql"))
SPACE = uuid.UUID("5b5c1c0e-52a1-4f0c-9d0f-5d5f3f1a7c11")
# Any other refusal of a learner is a fault. The first two are what the scene's courses say to who
# has not enrolled or asks too early; the third is the documented "again".
REFUSALS = ("not_enrolled", "rule_not_met", "try_again")
BLOCKING = ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")


def known(*words: object) -> uuid.UUID:
    """An id that is the same in every database."""
    return uuid.uuid5(SPACE, " ".join(map(str, words)))


# Applying -----------------------------------------------------------------------------------------


def apply(connection: Connection, path: Path) -> None:
    """One migration in one transaction, by the simple protocol."""
    with connection.transaction():
        connection.execute(path.read_bytes())


def learners_can_work(connection: Connection) -> bool:
    """Whether enrolling and learning goes through; nothing of the try stays."""
    try:
        with connection.transaction(force_rollback=True):
            scene = Scene(courses=1, learners=1)
            scene.build(connection)
            scene.live(connection)
            # What is left to the commit.
            connection.execute("set constraints all immediate")
    except (errors.UndefinedFunction, errors.UndefinedTable, errors.UndefinedColumn):
        return False
    return True


@contextmanager
def as_user(connection: Connection, user: uuid.UUID) -> Iterator[None]:
    """Be a learner inside a transaction."""
    claims = json.dumps({"sub": str(user), "role": "authenticated"})
    connection.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
    connection.execute("set local role authenticated")
    yield
    connection.execute("reset role")
    connection.execute("select set_config('request.jwt.claims', '', true)")


def call(connection: Connection, function: str, *values: Any) -> Any:
    """An RPC by places."""
    marks = ", ".join(["%s"] * len(values))
    found = connection.execute(f"select public.{function}({marks})".encode(), values).fetchone()
    return found and found[0]


# What is there ------------------------------------------------------------------------------------

QUIZ = {
    "questions": [
        {"id": "one", "kind": "true_false", "text": "So?", "correct": True},
        {"id": "two", "kind": "true_false", "text": "Or so?", "correct": False},
    ]
}


@dataclass
class Scene:
    """Courses and learners whose ids follow from their numbers."""

    courses: int = 2
    learners: int = 12
    ids: list[int] = field(default_factory=list)

    @property
    def users(self) -> list[uuid.UUID]:
        return [known("user", number) for number in range(self.learners)]

    def lessons(self, course: int) -> list[uuid.UUID]:
        """Five plain ones over two modules."""
        return [known("lesson", course, number) for number in range(5)]

    def quiz(self, course: int) -> uuid.UUID:
        return known("quiz", course)

    def build(self, connection: Connection) -> None:
        """Make the catalogue and sign the learners up, each second one with a name."""
        for number, user in enumerate(self.users):
            name = {"display_name": f"Ämilie {number}"} if number % 2 else {}
            connection.execute(
                "insert into auth.users (id, raw_user_meta_data) values (%s, %s)",
                (user, Jsonb(name)),
            )
        for course in range(self.courses):
            found = connection.execute(
                "insert into public.courses (slug, title, status) values (%s, %s, 'published')"
                " returning id",
                (f"scene-{course}", f"Scene {course}"),
            ).fetchone()
            assert found
            self.ids.append(found[0])
            for module in range(2):
                connection.execute(
                    "insert into public.modules (id, course_id, position, title)"
                    " values (%s, %s, %s, 'Module')",
                    (known("module", course, module), found[0], module),
                )
            for position, lesson in enumerate([*self.lessons(course), self.quiz(course)]):
                connection.execute(
                    "insert into public.lessons (id, module_id, position, title, content)"
                    " values (%s, %s, %s, 'Lesson', 'Words')",
                    (lesson, known("module", course, position % 2), position),
                )
            connection.execute("select private.save_quiz(%s, %s)", (self.quiz(course), Jsonb(QUIZ)))

    def live(self, connection: Connection) -> None:
        """Let each learner do a bit less than the one before: the first finishes every course."""
        for number, user in enumerate(self.users):
            with as_user(connection, user):
                for course, course_id in enumerate(self.ids):
                    call(connection, "enroll", course_id)
                    for lesson in self.lessons(course)[number % 6 :]:
                        call(connection, "start_lesson", lesson)
                        session = known("session", user, lesson)
                        call(connection, "view_lesson", lesson, session, 1)
                        call(connection, "complete_lesson", lesson)
                    if number % 4 < 3:
                        answers = [
                            {"question_id": "one", "answer": True},
                            {"question_id": "two", "answer": number % 4 == 0},
                        ]
                        call(connection, "submit_quiz", self.quiz(course), Jsonb(answers))
                    if number % 5 == 4:
                        call(connection, "uncomplete_lesson", self.lessons(course)[-1])

    def drift(self, connection: Connection) -> list[Any]:
        """Every counter that counting contradicts."""
        return connection.execute(DRIFT.encode(), {"courses": self.ids}).fetchall()


@pytest.fixture(scope="module")
def first(stack: Stack) -> int:
    """How many migrations there must be before learners can work."""
    with scratch_database(stack) as project, project.connect(autocommit=True) as connection:
        for number, path in enumerate(MIGRATIONS, 1):
            apply(connection, path)
            made = connection.execute(
                "select to_regproc('public.enroll'), to_regproc('public.complete_lesson'),"
                " to_regproc('public.view_lesson'), to_regproc('public.submit_quiz')"
            ).fetchone()
            if made and None not in made and learners_can_work(connection):
                assert len(MIGRATIONS) - number >= 10, "nearly nothing is left to try"
                return number
    pytest.fail("learners can never work")


# The same in the end ------------------------------------------------------------------------------

TABLES: LiteralString = """
select c.oid::regclass::text
  from pg_class c
 where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
   and c.relkind in ('r', 'p') and not c.relispartition
 order by 1
"""
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]+\+00:00")
CODE = re.compile(r"\b(?:[0-9A-Z]{5}-){3}[0-9A-Z]{5}\b")
# What no two databases have alike: times of rows and transactions, counters of identity columns.
OWN = ("created_at", "updated_at", "id", "transaction_id")


def contents(connection: Connection, scene: Scene) -> dict[str, list[str]]:
    """All rows of all tables, without what chance has made."""
    fixed = {
        str(id_)
        for course in range(scene.courses)
        for id_ in (
            *scene.lessons(course),
            scene.quiz(course),
            *(known("module", course, module) for module in range(2)),
        )
    } | {str(user) for user in scene.users}

    def plain(row: dict[str, Any]) -> str:
        text = json.dumps({k: v for k, v in row.items() if k not in OWN}, sort_keys=True)
        text = UUID.sub(lambda found: found[0] if found[0] in fixed else "*", text)
        return CODE.sub("*", TIME.sub("*", text))

    names = [name for (name,) in connection.execute(TABLES).fetchall()]
    return {
        name: sorted(
            plain(row)
            for (row,) in connection.execute(f"select to_jsonb(t) from {name} t".encode())
        )
        for name in names
    }


# One time for both databases, later than any that they have of the machine.
AT: LiteralString = "select set_config('waymark.now', %s, false)"


def test_what_was_there_ends_up_as_if_it_had_come_later(stack: Stack, first: int) -> None:
    """Derived columns and tables that later migrations bring are filled in, to the last row."""
    with scratch_database(stack) as old, scratch_database(stack) as new:
        scene, wanted, now = Scene(), Scene(), str(datetime.now(UTC) + timedelta(days=1))
        with old.connect(autocommit=True) as connection:
            connection.execute(AT, (now,))
            for path in MIGRATIONS[:first]:
                apply(connection, path)
            with connection.transaction():
                scene.build(connection)
                scene.live(connection)
            for path in MIGRATIONS[first:]:
                apply(connection, path)
            assert scene.drift(connection) == []
            has = contents(connection, scene)
        with new.connect(autocommit=True) as connection:
            connection.execute(AT, (now,))
            for path in MIGRATIONS:
                apply(connection, path)
            with connection.transaction():
                wanted.build(connection)
                wanted.live(connection)
            should = contents(connection, wanted)
    assert sum(map(len, should.values())) > 300
    different = {
        name: (Counter(has[name]) - Counter(rows), Counter(rows) - Counter(has[name]))
        for name, rows in should.items()
        if has[name] != rows
    }
    assert different == {}


# Under learners who go on -------------------------------------------------------------------------


class Crowd:
    """Connections that keep calling, each on a thread; what went wrong, and how long it took."""

    def __init__(self, project: Scratch) -> None:
        self.project = project
        self.over = threading.Event()
        self.threads: list[threading.Thread] = []
        self.problems: list[BaseException] = []
        self.refused: Counter[str] = Counter()
        self.calls: list[tuple[float, float]] = []

    def add(self, seed: int, act: Callable[[Connection, random.Random], None]) -> None:
        """Let one more connection repeat `act`, in a transaction each time, until the end."""

        def work() -> None:
            chance = random.Random(seed)
            with self.project.connect(autocommit=True) as connection:
                connection.prepare_threshold = 2
                connection.execute("set statement_timeout = '8s'")
                while not self.over.is_set():
                    begun = time.monotonic()
                    try:
                        with connection.transaction():
                            act(connection, chance)
                    except psycopg.Error as problem:
                        self.judge(problem)
                    self.calls.append((begun, time.monotonic()))

        self.threads.append(threading.Thread(target=work))

    def judge(self, problem: psycopg.Error) -> None:
        if problem.sqlstate == "PGRST":
            code = json.loads(problem.diag.message_primary or "{}")["code"]
            self.refused[code] += 1
            if code in REFUSALS:
                return
        self.problems.append(problem)

    def __enter__(self) -> Crowd:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()

    def settle(self, calls: int) -> None:
        """Wait until so many more calls have ended: the crowd is at work."""
        wanted = len(self.calls) + calls
        while len(self.calls) < wanted and not self.problems:
            time.sleep(0.01)

    def longest(self, begun: float, ended: float) -> float:
        """Seconds of the longest call that was under way between these times."""
        return max(
            (end - start for start, end in [*self.calls] if start < ended and end > begun),
            default=0,
        )


def learner(scene: Scene, user: uuid.UUID) -> Callable[[Connection, random.Random], None]:
    """What one learner does, in any order."""

    def act(connection: Connection, chance: random.Random) -> None:
        course = chance.randrange(len(scene.ids))
        lesson = chance.choice(scene.lessons(course))
        with as_user(connection, user):
            match chance.randrange(10):
                case 0:
                    call(connection, "enroll", scene.ids[course])
                case 1:
                    call(connection, "start_lesson", lesson)
                case 2:
                    call(
                        connection, "view_lesson", lesson, uuid.UUID(int=chance.getrandbits(128)), 1
                    )
                case 3 | 4 | 5:
                    call(connection, "complete_lesson", lesson)
                case 6:
                    call(connection, "uncomplete_lesson", lesson)
                case 7:
                    answers = [{"question_id": "one", "answer": chance.random() < 0.5}]
                    call(connection, "submit_quiz", scene.quiz(course), Jsonb(answers))
                case 8:
                    call(connection, "get_course_summary", scene.ids[course])
                case 9:
                    connection.execute(
                        "update public.profiles set display_name = %s where id = %s",
                        (f"Name {chance.randrange(9)}", user),
                    )

    return act


def sign_up(connection: Connection, chance: random.Random) -> None:
    """Auth's part: somebody comes, logs in, and now and then leaves."""
    user = uuid.UUID(int=chance.getrandbits(128))
    connection.execute(
        "insert into auth.users (id, raw_user_meta_data) values (%s, %s)",
        (user, Jsonb({"display_name": "New"})),
    )
    connection.execute("update auth.users set email = %s where id = %s", (f"{user}@x.test", user))
    if chance.random() < 0.3:
        connection.execute("delete from auth.users where id = %s", (user,))


def migrate_under_load(
    stack: Stack, first: int, scene: Scene, working: int, calls: int
) -> list[tuple[str, float, float, float]]:
    """Apply all later migrations while `working` learners and a sign-up desk go on.

    Returns (migration, its seconds, the longest call meanwhile, the longest quiet call before).
    """
    told = []
    with scratch_database(stack) as project, project.connect(autocommit=True) as connection:
        for path in MIGRATIONS[:first]:
            apply(connection, path)
        with connection.transaction():
            scene.build(connection)
            scene.live(connection)
        crowd = Crowd(project)
        for number in range(working):
            user = scene.users[number % scene.learners]
            crowd.add(number, learner(scene, user))
        crowd.add(working, sign_up)
        with crowd:
            for path in MIGRATIONS[first:]:
                before = time.monotonic()
                crowd.settle(calls)
                begun = time.monotonic()
                apply(connection, path)
                ended = time.monotonic()
                # Those that waited have ended by then.
                crowd.settle(2 * len(crowd.threads))
                told.append(
                    (path.name, ended - begun, crowd.longest(begun, ended),
                     crowd.longest(before, begun))
                )  # fmt: skip
                assert crowd.problems == [], f"{path.name}: {crowd.problems[:3]}"
        assert crowd.problems == []
        assert scene.drift(connection) == []
        names = connection.execute(
            "select count(*) from public.enrollments e join public.profiles p on p.id = e.user_id"
            " where e.sort_name <> coalesce(private.sort_name(p.display_name), '')"
        ).fetchone()
        assert names == (0,)
        strangers = connection.execute(
            "select count(*) from auth.users u where not exists"
            " (select from public.profiles p where p.id = u.id)"
        ).fetchone()
        assert strangers == (0,)
        connection.autocommit = False
        assert snapshot(Catalog(connection)) == FILE.read_text("utf-8").splitlines()
        connection.rollback()
        with stack.connect() as fresh:
            assert rights(connection) == rights(fresh)
    return told


def test_learners_go_on_while_migrations_come(stack: Stack, first: int) -> None:
    told = migrate_under_load(stack, first, Scene(learners=6), working=4, calls=20)
    assert len(told) == len(MIGRATIONS) - first


@pytest.mark.long
@pytest.mark.parametrize("working", [4, 12])
def test_learners_wait_for_a_migration_and_no_longer(
    stack: Stack, first: int, working: int
) -> None:
    """Whoever calls meanwhile waits until it is over, if it locks what they write."""
    scene = Scene(courses=8, learners=400)
    told = migrate_under_load(stack, first, scene, working=working, calls=2000)
    for name, seconds, longest, quiet in told:
        assert longest <= seconds + 10 * quiet, name


# Locks --------------------------------------------------------------------------------------------

HELD: LiteralString = """
select l.relation::regclass::text, array_agg(l.mode order by l.mode)
  from pg_locks l join pg_class c on c.oid = l.relation
 where l.pid = pg_backend_pid() and l.locktype = 'relation' and l.granted
   and c.relkind in ('r', 'p') and l.mode = any (%s) and l.relation = any (%s)
 group by 1 order by 1
"""
# Before anybody learns, people sign up all the same.
IN_USE: LiteralString = """
select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p')
   and (n.nspname = 'auth' or n.nspname = 'public' and c.relname = 'profiles'
        or %s and n.nspname in ('public', 'private'))
"""


def careless(connection: Connection, tables: Sequence[int]) -> list[tuple[str, list[str]]]:
    """Several tables that this transaction has locked against writers one by one."""
    held = connection.execute(HELD, (list(BLOCKING), list(tables))).fetchall()
    # Only `lock table` takes these on what is not altered.
    loose = [(name, modes) for name, modes in held if "ExclusiveLock" not in modes]
    return held if len(held) > 1 and loose else []


def test_several_tables_in_use_are_locked_at_once(stack: Stack, first: int) -> None:
    """One by one means a deadlock with whoever takes them the other way round."""
    found = {}
    with scratch_database(stack) as project, project.connect(autocommit=True) as connection:
        for number, path in enumerate(MIGRATIONS, 1):
            tables = [oid for (oid,) in connection.execute(IN_USE, (number > first,))]
            with connection.transaction():
                connection.execute(path.read_bytes())
                if locks := careless(connection, tables):
                    found[path.name] = locks
        assert found == {}
        tables = [oid for (oid,) in connection.execute(IN_USE, (True,))]
        with connection.transaction(force_rollback=True):
            for table in ("user_progress", "enrollments"):
                connection.execute(
                    f"create trigger careless after insert on public.{table} for each row"
                    " execute function private.tg_touch_updated_at()".encode()
                )
            assert [name for name, _ in careless(connection, tables)] == [
                "enrollments", "user_progress",
            ]  # fmt: skip


def test_a_migration_that_gets_no_lock_gives_up_whole(stack: Stack, first: int) -> None:
    """With lock_timeout, as docs/how-to/upgrade.md tells: nothing is half done; then again."""
    gave_up = []
    with scratch_database(stack) as project, project.connect(autocommit=True) as connection:
        for path in MIGRATIONS[:first]:
            apply(connection, path)
        connection.execute("set lock_timeout = '50ms'")
        for path in MIGRATIONS[first:]:
            before = everything(connection)
            with project.connect() as busy:
                # Somebody who has written to every table and is not done.
                for (name,) in [*busy.execute(TABLES).fetchall(), ("auth.users",)]:
                    busy.execute(f"lock table {name} in row exclusive mode".encode())
                try:
                    apply(connection, path)
                except errors.LockNotAvailable:
                    gave_up.append(path)
                    assert everything(connection) == before
            if path in gave_up:
                apply(connection, path)
        connection.autocommit = False
        assert snapshot(Catalog(connection)) == FILE.read_text("utf-8").splitlines()
    assert len(gave_up) >= 3


def test_a_busy_project_takes_waymark_in(stack: Stack) -> None:
    """By the real CLI: a sign-up that hangs makes it give up; among others it goes through."""
    with scratch_database(stack) as project:
        project.execute(
            "create table public.orders (id bigint generated always as identity primary key,"
            "  user_id uuid references auth.users (id) on delete cascade);"
            "create function public.first_order() returns trigger language plpgsql as"
            "  $$ begin insert into public.orders (user_id) values (new.id); return null; end $$;"
            "create trigger first_order after insert on auth.users"
            "  for each row execute function public.first_order();"
            "insert into auth.users (id) select gen_random_uuid() from generate_series(1, 500)"
        )
        with project.connect() as hanging:
            hanging.execute("insert into auth.users (id) values (gen_random_uuid())")
            refused = project.push(PGOPTIONS="-c lock_timeout=200ms")
            assert refused.returncode != 0
            assert "lock timeout" in refused.stdout
        with project.connect() as connection:
            pushed = connection.execute(
                "select count(*) from supabase_migrations.schema_migrations"
            ).fetchone()
            # What came before stays; of the one that waited there is nothing.
            assert pushed == (2,)
            assert connection.execute("select to_regclass('public.profiles')").fetchone() == (None,)
        crowd = Crowd(project)
        for seed in range(3):
            crowd.add(seed, sign_up)
        with crowd:
            crowd.settle(20)
            done = project.push()
            crowd.settle(20)
        assert done.returncode == 0, done.stdout
        assert crowd.problems == []
        with project.connect() as connection, stack.connect() as fresh:
            lost = connection.execute(
                "select (select count(*) from auth.users)"
                "  - (select count(*) from public.profiles),"
                " (select count(*) from auth.users) - (select count(*) from public.orders)"
            ).fetchone()
            assert lost == (0, 0)
            connection.execute("drop table public.orders cascade")
            connection.execute("drop function public.first_order cascade")
            assert rights(connection) == rights(fresh)
            assert snapshot(Catalog(connection)) == FILE.read_text("utf-8").splitlines()
            connection.rollback()
