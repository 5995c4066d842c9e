"""What a deployment tells of itself: alerts, dashboard and docs name what is sent, and no more."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from local.bootstrap import ROOT
from shared.telemetry import METRICS
from tests.deploy.test_image import environment, started
from tests.stack import Stack
from tests.support.catalog import make_course
from tests.support.learners import make_learner
from tests.support.upstream import Upstream, upstream

OPERATIONS = ROOT / "docs" / "operations"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@dataclass
class Told:
    """What a collector got, and the process's log."""

    metrics: dict[str, Any] = field(default_factory=dict)
    spans: list[Any] = field(default_factory=list)
    attributes: set[str] = field(default_factory=set)
    log: list[dict[str, Any]] = field(default_factory=list)

    def read(self, collector: Upstream) -> None:
        """Take in what has come to the collector."""
        for seen in list(collector.seen):
            packed = seen.headers.get("content-encoding") == "gzip"
            body = gzip.decompress(seen.body) if packed else seen.body
            if seen.path == "/v1/metrics":
                for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                    for scope in resource.scope_metrics:
                        self.metrics |= {metric.name: metric for metric in scope.metrics}
            elif seen.path == "/v1/traces":
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        self.spans += scope.spans


@pytest.fixture(scope="module")
def told(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """One process that serves learners and works, with everything that is ever told of."""
    log = tmp_path_factory.mktemp("telemetry") / "log"
    learner, stranger = make_learner(stack), make_learner(stack)
    found = Told()
    with stack.connect(autocommit=True) as database, upstream() as collector:
        database.execute("delete from private.jobs")
        database.execute(
            "insert into private.certificate_templates (name, source) values ('telemetry', %s)",
            ["#let broken = ("],
        )
        course = make_course(stack, 1, certificate_template="telemetry")
        lesson = course.lessons[0]
        given = {
            **environment(stack),
            "FUNCTION_TARGET": "waymark",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_METRIC_EXPORT_INTERVAL": "300",
            "OTEL_BSP_SCHEDULE_DELAY": "300",
            "WAYMARK_WORKER_SECRET": stack.extra("WORKER_SECRET"),
            "WAYMARK_FUNCTIONS_URL": stack.functions_url,
            "SUPABASE_SECRET_KEY": stack.secret_key,
        }
        with started(ROOT, ["functions-framework"], given, log) as client:
            mine, other = learner.headers(), stranger.headers()
            traced = {**mine, "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
            client.post(f"/progress/courses/{course.id}/enroll", headers=mine)
            assert client.post(f"/progress/lessons/{lesson}/complete", headers=traced).json()[
                "changed"
            ]
            client.post(f"/progress/lessons/{lesson}/complete", headers=mine)
            client.post(f"/progress/lessons/{lesson}/complete", headers=other)
            admin = learner.headers(app_metadata={"waymark_role": "admin"})
            client.post("/recalculate", headers=admin, json={"course_id": course.id})
            client.post("/progress/batch", headers=mine, json={"events": []})
            secret = {"X-Worker-Secret": stack.extra("WORKER_SECRET")}
            assert client.post("/certificates/work", headers=secret).status_code == 200
            until = time.monotonic() + 20
            while found.metrics.keys() != METRICS.keys() and time.monotonic() < until:
                time.sleep(0.1)
                found.read(collector)
        database.execute("delete from private.jobs")
        database.execute(
            "update public.courses set certificate_template = null where id = %s", [course.id]
        )
        database.execute("delete from private.certificate_templates where name = 'telemetry'")
    found.log = [json.loads(line) for line in log.read_text().splitlines()]
    return found


def test_every_metric_is_sent_and_no_other(told: Told) -> None:
    assert told.metrics.keys() == METRICS.keys()
    for name, metric in told.metrics.items():
        assert (metric.unit, metric.description) == (METRICS[name].unit, METRICS[name].meaning)
        kind = {"sum": "counter"}.get(metric.WhichOneof("data"), metric.WhichOneof("data"))
        assert kind == METRICS[name].kind


def points(metric: Any) -> list[Any]:
    return list(getattr(metric, metric.WhichOneof("data")).data_points)


def test_no_learner_and_no_course_becomes_a_series(told: Told) -> None:
    values = {
        attribute.value.string_value
        for metric in told.metrics.values()
        for point in points(metric)
        for attribute in point.attributes
    }
    assert "lessons/{lesson}/complete" in values
    assert not [value for value in values if re.search(r"[0-9a-f]{8}-|\d{4}", value)]


def test_what_is_counted_is_right(told: Told) -> None:
    def total(name: str) -> float:
        return sum(point.as_int or point.as_double for point in points(told.metrics[name]))

    assert total("waymark.completions") == 1
    assert total("waymark.not_enrolled") == 1
    assert total("waymark.repeats") >= 1
    assert total("waymark.certificate.failures") == 1
    assert total("waymark.queue.depth") >= 1
    assert total("waymark.learners.active") >= total("waymark.learners.progressing") >= 1
    assert sum(point.count for point in points(told.metrics["waymark.completion.duration"])) == 1


def test_spans_belong_to_the_callers_trace(told: Told) -> None:
    names = {span.name for span in told.spans}
    assert {"POST progress/lessons/{lesson}/complete", "job certificate.render"} <= names
    assert TRACE in {span.trace_id.hex() for span in told.spans}


def prometheus(text: str) -> set[str]:
    """The metrics that PromQL names, without what Prometheus appends."""
    names = set(re.findall(r"\bwaymark_\w+", text))
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in names}


def test_alerts_and_dashboard_name_what_is_sent() -> None:
    sent = {
        name.replace(".", "_")
        + ("_seconds" if metric.unit == "s" else "")
        + ("_total" if metric.kind == "counter" else "")
        for name, metric in METRICS.items()
    }
    alerts = yaml.safe_load((OPERATIONS / "alerts.yaml").read_text())
    rules = [rule for group in alerts["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules) > 8
    for rule in rules:
        assert prometheus(rule["expr"]) <= sent, rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"].keys() == {"summary", "runbook"}
    dashboard = json.loads((OPERATIONS / "dashboard.json").read_text())
    shown = {target["expr"] for panel in dashboard["panels"] for target in panel["targets"]}
    assert all(prometheus(expr) for expr in shown)
    assert prometheus(" ".join(shown)) == sent


def test_the_page_lists_the_metrics() -> None:
    page = (ROOT / "docs" / "how-to" / "monitor.md").read_text("utf-8")
    rows = re.findall(r"^\| `(waymark[\w.]+)` \| (\w+)[^|]* \| (.*) \|$", page, re.MULTILINE)
    assert {name: (kind, says) for name, kind, says in rows} == {
        name: (metric.kind, metric.meaning) for name, metric in METRICS.items()
    }


def test_the_page_of_logs_lists_every_field_and_event(told: Told) -> None:
    page = (ROOT / "docs" / "reference" / "logs.md").read_text("utf-8")
    calls, events = page.split("## Events")
    fields = set(re.findall(r"^\| `([\w./]+)` \|", calls, re.MULTILINE))
    named = {
        name
        for row in re.findall(r"^\| (`\w+`.*?) \|", events, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    written = set()
    for line in told.log:
        if "httpRequest" in line:
            assert line.keys() <= fields
            written |= line.keys()
        elif line["message"] in line:
            assert line["message"] in named
    assert written == fields
    events_written = {line["message"] for line in told.log if line["message"] in line}
    assert {"completion", "repeated", "not_enrolled", "recalculation", "batch"} <= events_written
    assert {"maintenance", "certificate_failed"} <= events_written


def test_when_off_nothing_of_it_is_imported(stack: Stack) -> None:
    code = (
        "import sys, main\n"
        "print([name for name in sys.modules if name.split('.')[0] == 'opentelemetry'])"
    )
    given = {**environment(stack), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=given, cwd=Path(ROOT), capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr
