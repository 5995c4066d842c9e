"""However processes die: one certificate, one PDF, one message of each kind, at least one mail."""

from __future__ import annotations

import asyncio
import hashlib
import random
import threading
import time
from collections import Counter

import pytest

from tests.support.catalog import Course
from tests.support.learners import Learner
from tests.worker.conftest import Office

LEARNERS = 20
WORKERS = 4


def assert_served(office: Office, learner: Learner) -> None:
    """All that finishing a course promises, once each; of mails the same one at least once."""
    [(certificate, _, is_rendered, digest, size)] = office.certificates(learner)
    assert is_rendered
    assert office.stored(learner) == [f"{learner.id}/{certificate}.pdf"]
    pdf = office.pdf(learner)
    assert pdf.startswith(b"%PDF-")
    assert (hashlib.sha256(pdf).hexdigest(), len(pdf)) == (digest, size)
    assert office.told(learner) == {"course_completed": 1, "certificate_ready": 1}
    mails = office.mails(f"{learner.id}@example.com")
    assert mails
    assert len({mail["Message-ID"] for mail in mails}) == 1


def test_a_hundred_parallel_completions_are_one(office: Office) -> None:
    course = office.course()
    [learner] = office.learners(1, course)
    [lesson] = course.lessons

    async def storm() -> list[object]:
        async with learner.async_client() as me:
            calls = [me.complete_lesson(lesson) for _ in range(100)]
            return await asyncio.gather(*calls)

    answers = asyncio.run(storm())
    assert Counter(answer["changed"] for answer in answers) == {True: 1, False: 99}  # type: ignore[index]
    office.work()
    assert_served(office, learner)
    assert office.one("select count(*) from private.jobs") == 0


def finish_together(office: Office, learners: list[Learner], course: Course) -> None:
    """All finish at the same moment."""
    barrier = threading.Barrier(len(learners))

    def finish(learner: Learner) -> None:
        barrier.wait()
        office.complete(learner, course)

    threads = [threading.Thread(target=finish, args=(learner,)) for learner in learners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def kill_often(office: Office, times: int, chance: random.Random) -> None:
    """Have workers work, and kill one of them again and again, at moments of chance."""
    for number in range(times):
        # Left to chance alone, the victims would be those who are still starting: so every second
        # one is the eldest, at a moment at which somebody holds a job.
        if number % 2:
            patience = time.monotonic() + 3
            while time.monotonic() < patience and not office.at_work():
                time.sleep(0.005)
            victim = office.hands.pop(0)
        else:
            time.sleep(chance.uniform(0.0, 0.35))
            victim = office.hands.pop(chance.randrange(len(office.hands)))
        victim.kill()
        victim.wait()
        office.hire()


@pytest.mark.parametrize(
    "rounds", [1, pytest.param(10, marks=pytest.mark.long)], ids=["20 kills", "200 kills"]
)
def test_workers_killed_at_random_serve_everyone_exactly_once(office: Office, rounds: int) -> None:
    chance = random.Random(7)
    for _ in range(WORKERS):
        office.hire()
    for _ in range(rounds):
        course = office.course()
        learners = office.learners(LEARNERS, course)
        killer = threading.Thread(target=kill_often, args=(office, 20, chance))
        killer.start()
        finish_together(office, learners, course)
        killer.join()
        office.until(lambda: office.depth() == 0)
        for learner in learners:
            assert_served(office, learner)
        assert office.one("select count(*) from private.jobs") == 0
    # It was no walk: some jobs had to be taken over from the dead.
    assert any(
        line[name]["attempt"] > 1
        for line in office.lines()
        for name in ("certificate_triggered", "mail_triggered")
        if name in line
    )
