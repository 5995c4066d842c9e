"""The report: Markdown that reads well in a terminal, too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench import scale
from bench.cost import POSITIONS, Cost, Costs
from bench.dashboard import Dashboards
from bench.heartbeats import Heartbeats
from bench.live import Lives
from bench.load import Load
from bench.quiz import LIMIT, QUESTIONS, Figures
from bench.rendering import Rendering
from bench.settling import SLICE, Settlings, Way
from bench.stats import percentile

OPERATIONS = ("complete", "course", "next", "recalculate")


@dataclass
class Report:
    """What a run found; parts that were not asked for are None."""

    head: list[tuple[str, str]]
    load: Load | None = None
    costs: Costs | None = None
    quiz: Figures | None = None
    cold: tuple[float, float] | None = None
    heartbeats: Heartbeats | None = None
    rendering: Rendering | None = None
    dashboards: Dashboards | None = None
    settlings: Settlings | None = None
    lives: Lives | None = None
    scales: scale.Scales | None = None

    def text(self) -> str:
        """The whole report."""
        parts = [self._head()]
        measured = (
            self.load, self.costs, self.quiz, self.cold, self.heartbeats, self.dashboards,
            self.settlings, self.rendering, self.lives, self.scales,
        )  # fmt: skip
        if any(part is not None for part in measured):
            parts.append(self._summary())
        if self.load is not None:
            parts += [self._closed(self.load), self._open(self.load)]
            if any(cell.burnt[0] for cell in self.load.closed if cell.burnt):
                parts.append(self._cpu(self.load))
        if self.costs is not None:
            parts += [self._places(self.costs), self._rest(self.costs)]
        if self.quiz is not None:
            parts.append(self._quiz(self.quiz))
        if self.heartbeats is not None:
            parts.append(self._heartbeats(self.heartbeats))
        if self.rendering is not None:
            parts.append(self._certificates(self.rendering))
        if self.dashboards is not None:
            parts.append(self._dashboards(self.dashboards))
        if self.settlings is not None:
            parts.append(self._settlings(self.settlings))
        if self.lives is not None:
            parts.append(self._lives(self.lives))
        if self.scales is not None:
            for title, text, head, rows in scale.sections(self.scales):
                parts.append(f"## {title}\n\n{text}\n\n{table(head, rows)}")
        return "\n\n".join(parts) + "\n"

    def _head(self) -> str:
        return "# Benchmark\n\n" + table(["", ""], self.head)

    def _summary(self) -> str:
        rows: list[list[str]] = []
        if self.load is not None:
            middle = _middle(self.load)
            ratio = self.load.find("complete", "function", middle).ratio(
                self.load.find("complete", "PostgREST", middle)
            )
            rows.append(
                [
                    f"throughput of `complete`, function to PostgREST, {middle} learners",
                    number(ratio, 2),
                    "at least 0.6",
                ]
            )
            rows += [
                [
                    f"p95 of {cell.meant:.0f} completions a second from {cell.learners} learners, "
                    "function",
                    f"{number(cell.latency(95), 1)} ms",
                    "below 100 ms",
                ]
                for cell in self.load.open
                if cell.door == "function"
            ]
        if self.costs is not None:
            places = self.costs.by_place
            sizes = sorted({size for size, _ in places})
            worst = max(
                self.costs.ratio(places[sizes[-1], position], places[sizes[0], position])
                for position in POSITIONS
            )
            rows.append(
                [
                    f"completion in {sizes[-1]:,} lessons to one in {sizes[0]}, worst position",
                    number(worst, 2),
                    "at most 1.2",
                ]
            )
        if self.quiz is not None:
            rows.append(
                [
                    f"submit of {QUESTIONS} questions to a plain completion, worst quiz",
                    number(self.quiz.worst, 1),
                    f"at most {LIMIT:.0f}",
                ]
            )
        if self.cold is not None:
            rows.append(
                [
                    "CPU of a function process until its first answer",
                    f"{number(self.cold[0], 2)} s ({number(self.cold[1], 2)} s by the clock)",
                    "below 0.6 s",
                ]
            )
        if self.heartbeats is not None:
            beats = self.heartbeats
            rows += [
                [
                    "a heartbeat in the database",
                    f"{number(beats.one.time, 2)} ms",
                    "below 2 ms",
                ],
                [
                    f"HOT updates of {beats.plan.learners:,} sessions, the lowest of a table",
                    f"{number(beats.hot, 1)} %",
                    "at least 95 %",
                ],
                [
                    f"throughput of `view`, function to PostgREST, {beats.plan.sessions} sessions",
                    number(beats.ratio, 2),
                    "at least 0.5",
                ],
            ]
        if self.rendering is not None:
            rows.append(
                [
                    "certificates in Latin a second, on one core",
                    number(1 / self.rendering.scripts["Latin"].cpu, 0),
                    "at least 30",
                ]
            )
        if self.dashboards is not None:
            rows.append(
                [
                    f"a learner's dashboard among {self.dashboards.rows:,} rows of progress",
                    f"{number(self.dashboards.ordinary.time, 1)} ms",
                    "below 10 ms",
                ]
            )
        if self.settlings is not None:
            rows.append(
                [
                    f"longest wait of a completion while {self.settlings.plan.enrolments:,} "
                    "enrolments settle, as it ships",
                    f"{number(self.settlings.by_job.longest, 2)} s",
                    "below 2 s",
                ]
            )
        if self.lives is not None:
            found = self.lives
            rows += [
                [
                    f"a change in another window, {found.plan.subscribers} subscribers, median",
                    _milliseconds(found.windows, 50),
                    "at most 100 ms",
                ],
                [
                    "the same, p95",
                    _milliseconds(found.windows, 95),
                    "at most 250 ms",
                ],
                [
                    "the player is usable, from an empty cache, p95",
                    _milliseconds(found.usable, 95),
                    "below 1,000 ms",
                ],
            ]
        if self.scales is not None:
            rows += scale.summary(self.scales)
        return "## Targets\n\n" + table(["figure", "measured", "target"], rows)

    def _closed(self, load: Load) -> str:
        rows = []
        for operation in OPERATIONS:
            for count in sorted({cell.learners for cell in load.closed}):
                base = load.find(operation, "PostgREST", count)
                for cell in load.closed:
                    if (cell.operation, cell.learners) != (operation, count):
                        continue
                    rows.append(
                        [
                            operation,
                            str(count),
                            cell.door,
                            number(cell_rate(cell.rates), 0),
                            number(cell.ratio(base), 2),
                            *(number(cell.latency(percent), 1) for percent in (50, 95, 99)),
                            str(cell.failures),
                        ]
                    )
        head = ["operation", "learners", "door", "a second", "to PostgREST", "p50", "p95", "p99"]
        return (
            "## Closed loop\n\n"
            "Each learner sends again as soon as the answer is there. Medians over the rounds; "
            "times in milliseconds.\n\n"
            + table([*head, "failed"], rows)
            + "\n\n"
            + f"The load generator by itself, against a server that does nothing, 20 connections: "
            f"{number(load.ceiling_rate, 0)} a second, p50 {number(load.ceiling_latency, 2)} ms."
        )

    def _open(self, load: Load) -> str:
        rows = [
            [
                cell.door,
                f"{cell.meant:.0f}",
                number(cell_rate(cell.rates), 0),
                *(number(cell.latency(percent), 1) for percent in (50, 95, 99)),
                number(cell.lag(95), 2),
                str(cell.failures),
            ]
            for cell in load.open
        ]
        learners = load.open[0].learners
        return (
            "## Open loop\n\n"
            f"Completions at random instants from {learners} learners, whatever the answers do. "
            "Latency from the instant meant, in milliseconds.\n\n"
            + table(
                ["door", "meant", "a second", "p50", "p95", "p99", "generator late, p95", "failed"],
                rows,
            )
        )

    def _cpu(self, load: Load) -> str:
        middle = _middle(load)
        cells = [cell for cell in load.closed if cell.learners == middle]
        parts = ["functions", "postgrest", "database"]
        rows = []
        for cell in cells:
            base = load.find(cell.operation, "PostgREST", middle)
            total = sum(cell.cpu(part) for part in parts)
            rows.append(
                [
                    cell.operation,
                    cell.door,
                    *(number(cell.cpu(part), 2) for part in parts),
                    number(total, 2),
                    number(sum(base.cpu(part) for part in parts) / total, 2),
                ]
            )
        return (
            "## Where the CPU goes\n\n"
            f"Milliseconds of CPU per answer, {middle} learners, closed loop. The last column is "
            "PostgREST's sum by this one: the throughput ratio if CPU alone decided.\n\n"
            + table(["operation", "door", *parts, "sum", "PostgREST by this"], rows)
        )

    def _places(self, costs: Costs) -> str:
        sizes = sorted({size for size, _ in costs.by_place})
        rows = []
        for position in POSITIONS:
            base = costs.by_place[sizes[0], position]
            for size in sizes:
                cost = costs.by_place[size, position]
                rows.append(
                    [
                        position,
                        f"{size:,}",
                        number(costs.cpu(cost), 2),
                        number(costs.ratio(cost, base), 2),
                        number(cost.time, 2),
                        " to ".join(number(value, 2) for value in cost.spread),
                        number(cost.page_count, 0),
                        number(cost.page_count / base.page_count, 2),
                        number(cost.wal_bytes, 0),
                    ]
                )
        head = ["learner at", "lessons", "ms of CPU", f"to {sizes[0]} lessons"]
        head += ["ms by the clock", "quartiles", "pages", f"to {sizes[0]} lessons", "WAL bytes"]
        return "## One completion, its next lesson included, in the database\n\n" + table(
            head, rows
        )

    def _heartbeats(self, beats: Heartbeats) -> str:
        one = beats.one
        updates = [
            [
                name,
                f"{counted.updates:,}",
                number(counted.share, 1),
                f"{counted.rows:,}",
                f"{counted.dead:,}",
                f"{counted.growth // 1024:,}",
            ]
            for name, counted in beats.by_table.items()
        ]
        through = [
            [
                name,
                number(cell_rate(door.rates), 0),
                *(number(door.latency(percent), 1) for percent in (50, 95, 99)),
                str(door.failures),
                str(door.waits),
            ]
            for name, door in beats.doors.items()
        ]
        spread = " to ".join(number(value, 2) for value in one.spread)
        return (
            "## Heartbeats\n\n"
            f"{beats.progress_rows:,} rows of progress, {beats.sessions:,} sessions. One heartbeat "
            f"in the database: {number(one.time, 2)} ms by the clock (quartiles {spread}), "
            f"{number(one.cpu - beats.nothing.cpu, 2)} ms of CPU, "
            f"{number(one.page_count, 0)} pages, {number(one.wal_bytes, 0)} bytes of WAL.\n\n"
            f"{beats.plan.learners:,} sessions, a heartbeat every 30 s of a clock that the bench "
            f"sets, {beats.sent:,} in all:\n\n"
            + table(
                ["table", "updates", "HOT, %", "rows", "dead rows left", "grown by, KiB"], updates
            )
            + f"\n\nClosed loop of {beats.plan.sessions} sessions; times in milliseconds. Waits "
            "are sessions found waiting for a lock, looked for ten times a second.\n\n"
            + table(["door", "a second", "p50", "p95", "p99", "failed", "waits"], through)
        )

    def _rest(self, costs: Costs) -> str:
        sizes = sorted({size for size, _ in costs.by_place})
        base = costs.by_place[sizes[0], "half"]
        rows: list[tuple[str, Cost]] = [
            (f"{count:,} enrolments, 10 lessons", cost)
            for count, cost in sorted(costs.by_enrolments.items())
        ]
        rows += [
            (f"{name}: {size:,} lessons", cost) for (name, size), cost in costs.detours.items()
        ]
        rows.append(("the least SQL that keeps a counter", costs.least))
        head = ["case", "ms of CPU", f"to {sizes[0]} lessons, half", "ms by the clock"]
        head += ["pages", "WAL bytes"]
        text = [
            [
                name,
                number(costs.cpu(cost), 2),
                number(costs.ratio(cost, base), 2),
                number(cost.time, 2),
                number(cost.page_count, 0),
                number(cost.wal_bytes, 0),
            ]
            for name, cost in rows
        ]
        by_cpu = costs.cpu(base) / costs.cpu(costs.least)
        by_clock = base.time / costs.least.time
        return (
            "### Other learners, and a lower bound\n\n"
            + table(head, text)
            + "\n\nThe least is one upsert, one counter and one event: no access rule, lock, "
            f"module, day or answer. A completion costs {number(by_cpu, 1)} times that by CPU with "
            f"the commit, {number(by_clock, 1)} times by the clock without it."
        )

    def _quiz(self, quiz: Figures) -> str:
        rows = [
            [
                name,
                number(cost.cpu - quiz.nothing.cpu, 2),
                number(ratio, 1),
                number(cost.time, 2),
                number(cost.page_count, 0),
                number(cost.wal_bytes, 0),
            ]
            for name, cost, ratio in [
                ("a plain completion", quiz.completion, 1.0),
                *((name, cost, quiz.ratio(name)) for name, cost in quiz.submits.items()),
            ]
        ]
        head = ["quiz", "ms of CPU", "to a completion", "ms by the clock", "pages", "WAL bytes"]
        return (
            f"## Starting, grading and submitting {QUESTIONS} questions, in the database\n\n"
            + table(head, rows)
        )

    def _certificates(self, rendering: Rendering) -> str:
        base = rendering.scripts["Latin"].cpu
        rows = [
            [
                name,
                number(1 / script.cpu, 0),
                number(script.cpu * 1000, 1),
                number(script.cpu / base, 2),
                number(script.clock * 1000, 1),
                f"{script.size:,}",
            ]
            for name, script in rendering.scripts.items()
        ]
        head = ["names and titles", "a second on one core", "ms of CPU", "to Latin"]
        cpu, clock = rendering.cold
        fonts, cjk = rendering.fonts
        memory = [[what, number(size / 1e6, 0)] for what, size in rendering.memory.items()]
        return (
            "## Certificates\n\n"
            "One after the other through one press, each with a name, a code and an address of its "
            "own. CPU is that of the press and of its caller.\n\n"
            + table([*head, "ms by the clock", "bytes"], rows)
            + f"\n\nA process that has made nothing yet has its first certificate after "
            f"{number(cpu, 2)} s of CPU ({number(clock, 2)} s by the clock), the press's start "
            "included.\n\n"
            + table(["memory of the press after", "MB"], memory)
            + f"\n\nFonts: {number(fonts / 1e6, 1)} MB of files, {number(cjk / 1e6, 1)} MB of them "
            "read only for Chinese, Japanese and Korean."
        )

    def _dashboards(self, found: Dashboards) -> str:
        rows = [
            [
                kind,
                number(cost.time, 2),
                " to ".join(number(value, 2) for value in cost.spread),
                number(cost.cpu, 2),
                number(cost.page_count, 0),
            ]
            for kind, cost in found.by_kind.items()
        ]
        return (
            "## A dashboard, in the database\n\n"
            f"Among {found.rows:,} rows of progress; the first page of courses. CPU holds the "
            "statement's own frame.\n\n"
            + table(["learner", "ms by the clock", "quartiles", "ms of CPU", "pages"], rows)
        )

    def _settlings(self, found: Settlings) -> str:
        def row(name: str, way: Way) -> list[str]:
            return [
                name,
                number(way.edit, 2),
                number(way.settled, 1),
                number(1000 * max(way.slices, default=math.nan), 0),
                f"{len(way.waits):,}",
                number(way.longest, 2),
                number(1000 * percentile(way.waits, 99), 0),
            ]

        head = [
            "way", "the edit, s", "all settled, s", "longest slice, ms", "completions",
            "longest wait, s", "p99 of waits, ms",
        ]  # fmt: skip
        return (
            f"## A lesson is added to a course of {found.plan.enrolments:,} enrolments\n\n"
            "Two sessions complete lessons all the time. While nobody edits, one completion in a "
            f"hundred takes more than {number(1000 * found.usual, 0)} ms, the slowest "
            f"{number(1000 * max(found.before), 0)} ms. Slices hold {SLICE} enrolments. Counted "
            f"again afterwards, {found.drifted} enrolments differed.\n\n"
            + table(head, [row("at once", found.at_once), row("by the job", found.by_job)])
        )

    def _lives(self, found: Lives) -> str:
        plan = found.plan

        def row(what: str, values: Sequence[float]) -> list[str]:
            return [
                what,
                f"{len(values):,}",
                *(number(1000 * percentile(values, percent), 0) for percent in (50, 95, 100)),
            ]

        head = ["from, to", "times", "median, ms", "p95, ms", "longest, ms"]
        rows = [
            row("request to complete, message", found.from_request),
            row("its answer, message", found.from_answer),
            row("click in one browser, percent in another", found.windows),
            row("address, catalogue that can be clicked", found.usable),
            row("address, largest part of it", found.largest),
        ]
        text = (
            f"## Live updates with {plan.subscribers} subscribers\n\n"
            f"Each of {plan.subscribers} learners listens on a websocket; {plan.rate:.0f} lessons "
            "are completed a second. The browsers are two of one learner, and share nothing "
            "else.\n\n" + table(head, rows)
        )
        if not found.told.times:
            return text
        more = found.told.cpu / found.untold.cpu
        costs = [
            ["with its message", number(found.told.cpu, 2), number(found.told_wal, 0)],
            ["without", number(found.untold.cpu, 2), number(found.untold_wal, 0)],
        ]
        return (
            f"{text}\n\n### What a message costs a completion\n\n"
            f"In the database, commit included: {number(more, 2)} times the CPU.\n\n"
            + table(["completion", "ms of CPU", "WAL bytes"], costs)
        )


def _milliseconds(values: Sequence[float], percent: float) -> str:
    return f"{number(1000 * percentile(values, percent), 0)} ms"


def cell_rate(rates: Sequence[float]) -> float:
    """The median of a cell's rates."""
    ordered = sorted(rates)
    return ordered[len(ordered) // 2] if ordered else math.nan


def _middle(load: Load) -> int:
    counts = sorted({cell.learners for cell in load.closed})
    return 20 if 20 in counts else counts[-1]


def number(value: float, places: int) -> str:
    """A number with so many places, or a dash where nothing was measured."""
    return "-" if math.isnan(value) else f"{value:,.{places}f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns line up."""
    lines = [list(head), *[list(row) for row in rows]]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(head))]
    aligned = [
        "| "
        + " | ".join(_pad(cell, width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([aligned[0], rule, *aligned[1:]])


def _pad(cell: str, width: int) -> str:
    bare = cell.replace(",", "").replace(".", "")
    return cell.rjust(width) if bare.isdigit() or cell == "-" else cell.ljust(width)
