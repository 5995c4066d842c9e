"""Many hands at once: a barrier for races, and storms that go on for a while."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from tests.database.actors import Refused

# How long a storm waits on a slow machine for what must have happened.
PATIENCE = 60


def together(jobs: Sequence[Callable[[], Any]]) -> list[Any]:
    """Start all jobs at the same moment; return their answers, or the exceptions they ended in."""
    barrier = threading.Barrier(len(jobs))
    answers: list[Any] = [None] * len(jobs)

    def work(place: int) -> None:
        barrier.wait()
        try:
            answers[place] = jobs[place]()
        except Exception as problem:
            answers[place] = problem

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


class Storm:
    """Runs jobs over and over, each on its own thread, until the time is up or one fails."""

    def __init__(self, seed: int, refusals: Sequence[str] = ("try_again",)) -> None:
        self.seed = seed
        self.refusals = refusals
        self.jobs: list[Callable[[random.Random], Any]] = []
        self.pauses: list[float] = []
        self.counts: Counter[str] = Counter()

    def add(self, job: Callable[[random.Random], Any], pause: float = 0) -> None:
        """Add a job, called with its own source of chance; `pause` seconds between its runs."""
        self.jobs.append(job)
        self.pauses.append(pause)

    def rage(self, seconds: float, **at_least: int) -> None:
        """Run for a while, and until each job named has run that often; raise what no caller may
        ever see."""
        begun = time.monotonic()
        over = threading.Event()

        def going() -> bool:
            age = time.monotonic() - begun
            short = any(self.counts[name] < count for name, count in at_least.items())
            return not over.is_set() and (age < seconds or (short and age < PATIENCE))

        def repeat(place: int) -> None:
            chance = random.Random(self.seed * 1000 + place)
            while going():
                try:
                    self.jobs[place](chance)
                    self.counts[self.jobs[place].__name__] += 1
                except Refused as refused:
                    if refused.code not in self.refusals:
                        over.set()
                        raise
                    self.counts[refused.code] += 1
                except BaseException:
                    over.set()
                    raise
                if self.pauses[place]:
                    time.sleep(self.pauses[place] * (0.5 + chance.random()))

        answers = together([lambda place=place: repeat(place) for place in range(len(self.jobs))])
        problems = [answer for answer in answers if answer is not None]
        if problems:
            raise ExceptionGroup("a storm broke something", problems)
        for name, count in at_least.items():
            assert self.counts[name] >= count, f"too little happened: {self.counts}"
