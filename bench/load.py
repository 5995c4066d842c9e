"""Throughput and latency through each door, in interleaved rounds."""

from __future__ import annotations

import gc
import math
import random
from dataclasses import dataclass, field

from bench import ceiling, machine
from bench.client import Connection, Send, Window, closed_loop, open_loop
from bench.doors import Door, doors
from bench.learners import Operation, Population, operations
from bench.stats import median, paired_ratio, percentile
from bench.target import Target, say


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int = 5
    warmups: int = 1
    seconds: float = 1.0
    learners: tuple[int, ...] = (1, 20, 100)
    open_rates: tuple[float, ...] = (200.0, 400.0)
    open_learners: int = 100
    open_seconds: float = 5.0
    with_gateway: bool = False


@dataclass
class Cell:
    """All rounds of one operation through one door at one number of learners."""

    operation: str
    door: str
    learners: int
    # What an open loop meant to send a second; NaN of a closed one.
    meant: float = math.nan
    windows: list[Window] = field(default_factory=list)
    # CPU seconds of each part in each round.
    burnt: list[dict[str, float]] = field(default_factory=list)

    @property
    def rates(self) -> list[float]:
        """Answers a second, round by round."""
        return [window.rate for window in self.windows]

    @property
    def failures(self) -> int:
        """Answers that were not 200, over all rounds."""
        return sum(window.failures for window in self.windows)

    def latency(self, percent: float) -> float:
        """Milliseconds: the median over the rounds of each round's percentile."""
        return 1000 * median([percentile(window.latencies, percent) for window in self.windows])

    def lag(self, percent: float) -> float:
        """The generator's own lateness, likewise; NaN in a closed loop."""
        return 1000 * median([percentile(window.lags, percent) for window in self.windows])

    def cpu(self, part: str) -> float:
        """Milliseconds of CPU that the part burnt per good answer; NaN when it was not watched."""
        used = [round_[part] for round_ in self.burnt if part in round_]
        answers = sum(len(window.latencies) for window in self.windows)
        return 1000 * sum(used) / answers if used and answers else math.nan

    def ratio(self, other: Cell) -> float:
        """This throughput to another's, round by round."""
        return paired_ratio(self.rates, other.rates)


@dataclass
class Load:
    """The figures of a run."""

    closed: list[Cell]
    open: list[Cell]
    ceiling_rate: float
    ceiling_latency: float

    def find(self, operation: str, door: str, learners: int) -> Cell:
        """A closed loop's cell."""
        return next(
            cell
            for cell in self.closed
            if (cell.operation, cell.door, cell.learners) == (operation, door, learners)
        )


async def measure(target: Target, population: Population, plan: Plan) -> Load:
    """Run all rounds. Windows of one round stand close together and in an order of their own."""
    ways = doors(target, plan.with_gateway)
    most = max(*plan.learners, plan.open_learners)
    for door in ways:
        await door.open(most)
    todo = operations(population)
    closed = {
        (op.name, door.name, count): Cell(op.name, door.name, count)
        for count in plan.learners
        for op in todo
        for door in ways
    }
    through = [door for door in ways if door.name != "SQL"]
    opened = {
        (rate, door.name): Cell("complete", door.name, plan.open_learners, rate)
        for rate in plan.open_rates
        for door in through
    }
    shuffle = random.Random(1)
    try:
        for number in range(plan.warmups + plan.rounds):
            say(f"load: round {number + 1} of {plan.warmups + plan.rounds}")
            keep = number >= plan.warmups
            for count in plan.learners:
                for operation in todo:
                    for door in shuffle.sample(ways, len(ways)):
                        cell = closed[operation.name, door.name, count]
                        await _closed(target, door, operation, cell, plan, keep)
            for rate in plan.open_rates:
                for door in shuffle.sample(through, len(through)):
                    cell = opened[rate, door.name]
                    await _open(target, door, todo[0], cell, plan, keep, number)
    finally:
        for door in ways:
            await door.close()
    rate, latency = await _ceiling(plan)
    return Load(list(closed.values()), list(opened.values()), rate, latency)


async def _closed(
    target: Target, door: Door, operation: Operation, cell: Cell, plan: Plan, keep: bool
) -> None:
    if operation.name == "complete":
        # More than a window can use up, at a rate that no door here reaches.
        lessons = len(operation.population.course.lessons)
        operation.population.refill(cell.learners + math.ceil(plan.seconds * 3000 / lessons))
    workers = [door.worker(number, operation) for number in range(cell.learners)]
    with Quiet(target) as quiet:
        window = await closed_loop(workers, plan.seconds)
    if operation.name == "complete":
        operation.population.acknowledged += len(window.latencies)
    if keep:
        cell.windows.append(window)
        cell.burnt.append(quiet.burnt)


async def _open(
    target: Target, door: Door, operation: Operation, cell: Cell, plan: Plan, keep: bool, seed: int
) -> None:
    lessons = len(operation.population.course.lessons)
    spare = math.ceil(2 * cell.meant * plan.open_seconds / lessons)
    operation.population.refill(cell.learners + spare)
    workers = [door.worker(number, operation) for number in range(cell.learners)]
    with Quiet(target) as quiet:
        window = await open_loop(workers, cell.meant, plan.open_seconds, seed)
    operation.population.acknowledged += len(window.latencies)
    if keep:
        cell.windows.append(window)
        cell.burnt.append(quiet.burnt)


class Quiet:
    """A measured window: no garbage collection of ours in it, and the parts' CPU time around it."""

    def __init__(self, target: Target) -> None:
        self._parts = target.processes
        self.burnt: dict[str, float] = {}

    def __enter__(self) -> Quiet:
        gc.collect()
        gc.disable()
        self._before = machine.cpu_seconds(self._parts)
        return self

    def __exit__(self, *_: object) -> None:
        after = machine.cpu_seconds(self._parts)
        self.burnt = {name: after[name] - self._before[name] for name in after}
        gc.enable()


async def _ceiling(plan: Plan) -> tuple[float, float]:
    """What the generator reaches against a server that does nothing, at 20 learners."""
    request = b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    with ceiling.serving() as url:
        connections = [Connection.to(url) for _ in range(20)]

        def worker(connection: Connection) -> Send:
            async def send() -> bool:
                return await connection.send(request) == 200

            return send

        workers = [worker(connection) for connection in connections]
        windows = [await closed_loop(workers, plan.seconds) for _ in range(plan.rounds + 1)][1:]
        for connection in connections:
            connection.close()
    rate = median([window.rate for window in windows])
    return rate, 1000 * median([percentile(window.latencies, 50) for window in windows])
