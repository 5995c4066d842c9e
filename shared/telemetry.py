"""What a deployment tells of itself by OpenTelemetry: metrics and traces over OTLP, or nothing.

Off unless OTEL_EXPORTER_OTLP_ENDPOINT is set; then, and only then, the SDK is imported. METRICS is
all there is: alerts, dashboard and docs are tested against it. Attributes are words of ours (a
route, a code, a kind of job), never an id: neither learners nor courses become time series.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.http import Call
    from shared.settings import Settings


@dataclass(frozen=True, slots=True)
class Metric:
    """One instrument: histogram, counter or gauge; its unit, and what it says."""

    kind: str
    unit: str
    meaning: str


METRICS: Mapping[str, Metric] = {
    "waymark.call.duration": Metric(
        "histogram", "s", "Every call, by function, route, method, status and code."
    ),
    "waymark.completion.duration": Metric(
        "histogram", "s", "Calls that completed a lesson, by route."
    ),
    "waymark.recalculation.duration": Metric(
        "histogram", "s", "Calls that counted progress again."
    ),
    "waymark.completions": Metric("counter", "1", "Lessons completed, once each."),
    "waymark.repeats": Metric("counter", "1", "Commands that found their work done, by route."),
    "waymark.not_enrolled": Metric("counter", "1", "Calls for a course without enrolment."),
    "waymark.job.duration": Metric(
        "histogram", "s", "Jobs, by kind and outcome: done, failed, dead, lost."
    ),
    "waymark.certificate.failures": Metric("counter", "1", "Certificates that were not rendered."),
    "waymark.queue.depth": Metric("gauge", "1", "Jobs that are not dead."),
    "waymark.queue.dead": Metric("gauge", "1", "Jobs that were given up."),
    "waymark.queue.age": Metric("gauge", "s", "How long the job that is due longest has waited."),
    "waymark.drift.found": Metric("gauge", "1", "Enrolments found to differ from a recount, ever."),
    "waymark.drift.mended": Metric("gauge", "1", "Of these, how many were mended."),
    "waymark.settling": Metric("gauge", "1", "Courses whose edits are still being settled."),
    "waymark.learners.active": Metric("gauge", "1", "Learners who did anything in seven days."),
    "waymark.learners.progressing": Metric("gauge", "1", "Of these, how many completed a lesson."),
}
BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Telemetry:
    """The instruments of one process, and where they report to."""

    def __init__(self, endpoint: str) -> None:
        # Here, not above: they take a quarter of a second.
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win.
        resource = Resource({"service.name": "waymark"}).merge(Resource.create())
        self._meters = MeterProvider(
            [PeriodicExportingMetricReader(OTLPMetricExporter(f"{endpoint}/v1/metrics"))],
            resource,
            views=[
                View(
                    instrument_name="waymark.*.duration",
                    aggregation=ExplicitBucketHistogramAggregation(BUCKETS),
                )
            ],
        )
        # The share of calls that is traced is OTEL_TRACES_SAMPLER's to say.
        self._traces = TracerProvider(resource=resource)
        self._traces.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces"))
        )
        self._tracer = self._traces.get_tracer("waymark")
        self._propagator = TraceContextTextMapPropagator()
        meter = self._meters.get_meter("waymark")
        self._instruments: dict[str, Any] = {
            name: getattr(meter, f"create_{metric.kind}")(name, metric.unit, metric.meaning)
            for name, metric in METRICS.items()
        }

    def record(self, name: str, value: float, attributes: Mapping[str, str]) -> None:
        """One value of a histogram."""
        self._instruments[name].record(value, attributes)

    def count(self, name: str, attributes: Mapping[str, str] | None = None) -> None:
        """One more."""
        self._instruments[name].add(1, attributes)

    def show(self, name: str, value: float) -> None:
        """A gauge's present value."""
        self._instruments[name].set(value)

    def call(self, call: Call, status: int) -> None:
        """A call that was answered, and what it brought about."""
        took = call.timings["total"]
        function = call.function.name if call.function else "none"
        path = call.route.path if call.route else "none"
        route = {"function": function, "route": path, "method": call.request.method}
        self.record(
            "waymark.call.duration",
            took,
            {**route, "status": str(status), "code": call.error or "none"},
        )
        if "completion" in call.events:
            self.record("waymark.completion.duration", took, {"function": function, "route": path})
        if "recalculation" in call.events:
            self.record("waymark.recalculation.duration", took, {})
        for event in call.events:
            if event == "completion":
                self.count("waymark.completions")
            elif event == "repeated":
                self.count("waymark.repeats", {"function": function, "route": path})
        if call.error == "not_enrolled":
            self.count("waymark.not_enrolled")
        end = time.time_ns()
        span = self._tracer.start_span(
            f"{call.request.method} {function}/{path}",
            context=self._propagator.extract(dict(call.request.headers)),
            start_time=end - int(took * 1e9),
            attributes={
                "http.request.method": call.request.method,
                "http.route": f"/{function}/{path}",
                "http.response.status_code": status,
                "waymark.request_id": call.id,
                "waymark.code": call.error or "none",
                **{f"waymark.{name}_ms": took * 1000 for name, took in call.timings.items()},
            },
        )
        span.end(end)

    def job(self, kind: str, outcome: str, took: float) -> None:
        """A job that ended: done, failed, dead or lost."""
        self.record("waymark.job.duration", took, {"kind": kind, "outcome": outcome})
        if kind == "certificate.render" and outcome in ("failed", "dead"):
            self.count("waymark.certificate.failures")
        end = time.time_ns()
        span = self._tracer.start_span(
            f"job {kind}",
            start_time=end - int(took * 1e9),
            attributes={"waymark.kind": kind, "waymark.outcome": outcome},
        )
        span.end(end)

    def health(
        self, queue: Mapping[str, Any], drift: Mapping[str, Any], activity: Mapping[str, Any]
    ) -> None:
        """What the database says of itself, by the RPCs for operators."""
        self.show("waymark.queue.depth", queue["depth"])
        self.show("waymark.queue.dead", queue["dead"])
        self.show("waymark.queue.age", queue["oldest_due_seconds"])
        self.show("waymark.drift.found", drift["drifted"])
        self.show("waymark.drift.mended", drift["mended"])
        self.show("waymark.settling", drift["settling"])
        self.show("waymark.learners.active", activity["active"])
        self.show("waymark.learners.progressing", activity["progressing"])


_telemetry: Telemetry | None = None


def configure(settings: Settings) -> Telemetry | None:
    """This process's telemetry, made when it is wanted for the first time; None when it is off."""
    global _telemetry
    if settings.telemetry_url is None:
        return None
    if _telemetry is None:
        _telemetry = Telemetry(settings.telemetry_url)
    return _telemetry
