"""The typed client for servers that call the functions on a learner's or an admin's behalf.

`WaymarkClient` and `AsyncWaymarkClient` have the same methods, written once: each describes its
call, and the client it is called on sends it. The functions themselves never import this module.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    Self,
    TypeVar,
    overload,
)
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx

if TYPE_CHECKING:
    # Types alone: the file works by itself wherever it is copied to.
    from shared.answers.certificates import (
        CertificateChanged,
        CertificateFile,
        Certificates,
        Verified,
    )
    from shared.answers.courses import (
        CourseProgress,
        CourseSummary,
        ModuleCompleted,
        ModuleProgress,
        ModuleStarted,
        NextLesson,
    )
    from shared.answers.dashboard import Dashboard
    from shared.answers.enrollments import Cycles, Enrolled
    from shared.answers.history import Events
    from shared.answers.kinds import Status
    from shared.answers.learners import CourseLearners, LearnerDetail
    from shared.answers.notifications import Marked, Notifications
    from shared.answers.programs import ProgramDeleted, ProgramEnrolled, ProgramPut, Programs
    from shared.answers.progress import Applied, Completed, Progress, Reopened, Started, Viewed
    from shared.answers.quizzes import Attempts, AttemptStarted, Graded, Regraded, Saved, Submitted
    from shared.answers.recounts import Recalculated, Slice
    from shared.answers.reports import CourseReport, LessonReport
    from shared.answers.staff import CohortChanged, Excepted, Merged, PerLearner, Replaced

Id = str | UUID
LearnerSort = Literal["name", "percent", "activity", "score", "time"]
P = ParamSpec("P")
T = TypeVar("T")
H = TypeVar("H", httpx.Client, httpx.AsyncClient)


class WaymarkError(Exception):
    """A refusal. Branch on `code` (docs/reference/errors.md), never on the message.

    `status` is 0 and `code` "unreachable" when no answer came at all.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int,
        details: Any = None,
        hint: str | None = None,
        retry_after: float | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.details = details
        self.hint = hint
        self.retry_after = retry_after
        self.request_id = request_id


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request still to be sent; T is what its answer holds."""

    method: str
    path: str
    # In the query string, for GET.
    body: dict[str, Any] = field(default_factory=dict)
    # The answer is a text as it stands, and no JSON.
    is_text: bool = False
    accept: str = "application/json"


class endpoint(Generic[P, T]):
    """Turns a method that describes a call into one that sends it, awaited on the async client."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Call[T]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, client: WaymarkClient, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: AsyncWaymarkClient, owner: type) -> Callable[P, Awaitable[T]]: ...
    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    def __get__(self, client: _Base[Any] | None, owner: type) -> Any:
        if client is None:
            return self

        def send(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.send(self._describe(client, *args, **kwargs))

        send.__doc__ = self.__doc__
        return send


class _Base(Generic[H]):
    """Everything but the sending."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        apikey: str | None = None,
        timeout: float = 15.0,
        retries: int = 0,
        http: H | None = None,
    ) -> None:
        """`url` is the functions' base, such as https://<project>/functions/v1.

        `token` is the JWT of the learner or admin to act for. A call that meets 503 is sent again
        up to `retries` times, after the seconds in its Retry-After: all calls may be repeated.
        `http` is a client of the caller's own to send with (proxies, certificates).
        """
        self._url = url.rstrip("/")
        self._headers = {"Accept": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        if apikey is not None:
            self._headers["apikey"] = apikey
        self._timeout = timeout
        self._retries = retries
        self._http: H = http if http is not None else self._connect()

    def acting_as(self, token: str) -> Self:
        """A client for another user on the same connections."""
        return type(self)(
            self._url,
            token,
            apikey=self._headers.get("apikey"),
            timeout=self._timeout,
            retries=self._retries,
            http=self._http,
        )

    def _connect(self) -> H:
        raise NotImplementedError

    def send(self, call: Call[Any]) -> Any:
        """Send what a method described."""
        raise NotImplementedError

    def _request(self, call: Call[Any]) -> dict[str, Any]:
        given = {name: _plain(value) for name, value in call.body.items() if value is not None}
        request: dict[str, Any] = {
            "method": call.method,
            "url": f"{self._url}/{call.path}",
            "headers": {**self._headers, "Accept": call.accept},
            "timeout": self._timeout,
        }
        request["params" if call.method == "GET" else "json"] = given
        return request

    def _pause(self, error: WaymarkError, attempt: int) -> float | None:
        """Seconds until the next try, or None when there is none."""
        if error.status != 503 or attempt >= self._retries:
            return None
        wait = error.retry_after if error.retry_after is not None else 2.0**attempt
        return wait + random.uniform(0, 0.25)

    @endpoint
    def enroll(self, course: int) -> Call[Enrolled]:
        """Enrol in an open course; again gives the same enrolment."""
        return Call("POST", _path("progress/courses/{}/enroll", course))

    @endpoint
    def leave(self, course: int) -> Call[Enrolled]:
        """Leave a course; enrolling again comes back to the same enrolment."""
        return Call("POST", _path("progress/courses/{}/leave", course))

    @endpoint
    def retake(self, course: int) -> Call[Enrolled]:
        """Take a completed course again; asked twice it begins once."""
        return Call("POST", _path("progress/courses/{}/retake", course))

    @endpoint
    def cycles(self, course: int) -> Call[Cycles | None]:
        """The present run through a course, whether another may begin, and those before."""
        return Call("GET", _path("progress/courses/{}/cycles", course))

    @endpoint
    def programs(self) -> Call[Programs]:
        """The programs that the learner is in, with their courses."""
        return Call("GET", "progress/programs")

    @endpoint
    def enroll_program(self, program: int) -> Call[ProgramEnrolled]:
        """Enrol in an open program; its courses are entered one by one."""
        return Call("POST", _path("progress/programs/{}/enroll", program))

    @endpoint
    def start_lesson(self, lesson: Id) -> Call[Started]:
        """Open a lesson."""
        return Call("POST", _path("progress/lessons/{}/start", lesson))

    @endpoint
    def complete_lesson(self, lesson: Id) -> Call[Completed]:
        """Mark a lesson complete; again gives the same row."""
        return Call("POST", _path("progress/lessons/{}/complete", lesson))

    @endpoint
    def uncomplete_lesson(self, lesson: Id, reason: str | None = None) -> Call[Reopened]:
        """Take a completion back; the reason is kept in the audit log."""
        return Call("POST", _path("progress/lessons/{}/uncomplete", lesson), {"reason": reason})

    @endpoint
    def put_lesson(
        self,
        lesson: Id,
        *,
        status: Status | None = None,
        position_seconds: int | None = None,
        last_accessed: datetime | str | None = None,
        progress: float | None = None,
    ) -> Call[Completed]:
        """Report the state that a client holds; nothing is ever lowered."""
        return Call(
            "PUT",
            _path("progress/lessons/{}", lesson),
            {
                "status": status,
                "position_seconds": position_seconds,
                "last_accessed": last_accessed,
                "progress": progress,
            },
        )

    @endpoint
    def view_lesson(
        self,
        lesson: Id,
        session: Id,
        seconds: int,
        *,
        position_seconds: int | None = None,
        watched: Sequence[tuple[int, int]] | None = None,
        section: str | None = None,
        progress: float | None = None,
    ) -> Call[Viewed]:
        """A heartbeat, every 10 to 60 s: what the session has seen of the lesson in all."""
        return Call(
            "POST",
            _path("progress/lessons/{}/view", lesson),
            {
                "session_id": session,
                "seconds": seconds,
                "position_seconds": position_seconds,
                "watched": None if watched is None else [list(pair) for pair in watched],
                "section": section,
                "progress": progress,
            },
        )

    @endpoint
    def apply_events(self, events: Sequence[Mapping[str, Any]]) -> Call[Applied]:
        """Apply up to 500 offline events with ids, times and kinds; a bad one stops none."""
        return Call("POST", "progress/batch", {"events": [dict(event) for event in events]})

    @endpoint
    def lesson(self, lesson: Id) -> Call[Progress]:
        """One lesson's progress."""
        return Call("GET", _path("progress/lessons/{}", lesson))

    @endpoint
    def start_module(self, module: Id) -> Call[ModuleStarted]:
        """Open a module's first open lesson."""
        return Call("POST", _path("progress/modules/{}/start", module))

    @endpoint
    def complete_module(self, module: Id) -> Call[ModuleCompleted]:
        """Complete every lesson of a module whose rule allows; the answer names what stays open."""
        return Call("POST", _path("progress/modules/{}/complete", module))

    @endpoint
    def course(self, course: int) -> Call[CourseProgress | None]:
        """Progress in a course, or None when not enrolled."""
        return Call("GET", _path("progress/courses/{}", course))

    @endpoint
    def summary(self, course: int) -> Call[CourseSummary | None]:
        """A course's totals, or None when not enrolled."""
        return Call("GET", _path("progress/courses/{}/summary", course))

    @endpoint
    def module(self, course: int, module: Id) -> Call[ModuleProgress | None]:
        """Progress in one module, or None when not enrolled."""
        return Call("GET", _path("progress/courses/{}/modules/{}", course, module))

    @endpoint
    def next_lesson(self, course: int) -> Call[NextLesson | None]:
        """Where to go on, or None when there is nothing."""
        return Call("GET", _path("progress/courses/{}/next", course))

    @endpoint
    def learners(
        self,
        course: int,
        *,
        sort: LearnerSort = "name",
        direction: Literal["asc", "desc"] | None = None,
        cursor: str | None = None,
        limit: int | None = None,
        cohort: Id | None = None,
        status: Status | None = None,
        min_percent: float | None = None,
        max_percent: float | None = None,
        inactive_days: int | None = None,
        needs_help: bool | None = None,
        enrolled_from: datetime | str | None = None,
        enrolled_to: datetime | str | None = None,
    ) -> Call[CourseLearners]:
        """A page of a course's learners, for its staff."""
        return Call(
            "GET",
            _path("analytics/courses/{}/learners", course),
            {
                "sort": sort,
                "direction": direction,
                "cursor": cursor,
                "limit": limit,
                "cohort_id": cohort,
                "status": status,
                "min_percent": min_percent,
                "max_percent": max_percent,
                "inactive_days": inactive_days,
                "needs_help": needs_help,
                "enrolled_from": enrolled_from,
                "enrolled_to": enrolled_to,
            },
        )

    @endpoint
    def learners_csv(
        self,
        course: int,
        *,
        sort: LearnerSort = "name",
        cohort: Id | None = None,
        status: Status | None = None,
        needs_help: bool | None = None,
    ) -> Call[str]:
        """All learners of a course as CSV, for its staff; a last line may say "# incomplete"."""
        return Call(
            "GET",
            _path("analytics/courses/{}/learners", course),
            {"sort": sort, "cohort_id": cohort, "status": status, "needs_help": needs_help},
            is_text=True,
            accept="text/csv",
        )

    @endpoint
    def learner(self, course: int, user: Id) -> Call[LearnerDetail]:
        """One learner of a course with lessons and attempts, for its staff."""
        return Call("GET", _path("analytics/courses/{}/learners/{}", course, user))

    @endpoint
    def start_attempt(self, lesson: Id) -> Call[AttemptStarted]:
        """Start an attempt at a lesson's quiz; while one is open, that one."""
        return Call("POST", _path("assessments/lessons/{}/attempts", lesson))

    @endpoint
    def attempts(self, lesson: Id) -> Call[Attempts]:
        """The own attempts at a lesson's quiz."""
        return Call("GET", _path("assessments/lessons/{}/attempts", lesson))

    @endpoint
    def save_answers(self, attempt: Id, answers: Sequence[Mapping[str, Any]]) -> Call[Saved]:
        """Save answers, each {question_id, answer, seq?}; an older seq never wins."""
        return Call("PATCH", _path("assessments/attempts/{}", attempt), {"answers": [*answers]})

    @endpoint
    def submit_attempt(
        self,
        attempt: Id,
        answers: Sequence[Mapping[str, Any]] = (),
        *,
        client_key: str | None = None,
    ) -> Call[Submitted]:
        """Submit an attempt with its last answers; again with the same key gives the same."""
        return Call(
            "POST",
            _path("assessments/attempts/{}/submit", attempt),
            {"answers": [*answers], "client_key": client_key or str(uuid4())},
        )

    @endpoint
    def submit_quiz(
        self, lesson: Id, answers: Sequence[Mapping[str, Any]], *, client_key: str | None = None
    ) -> Call[Submitted]:
        """Start and submit at once; again with the same key gives the same."""
        return Call(
            "POST",
            _path("assessments/lessons/{}/submit", lesson),
            {"answers": [*answers], "client_key": client_key or str(uuid4())},
        )

    @endpoint
    def grade_attempt(
        self,
        attempt: Id,
        grades: Mapping[str, float],
        *,
        feedback: str | None = None,
        reason: str | None = None,
    ) -> Call[Graded]:
        """Give points to the questions that a person must grade, by question id (staff)."""
        points = [{"question_id": name, "points": value} for name, value in grades.items()]
        return Call(
            "POST",
            _path("assessments/attempts/{}/grade", attempt),
            {"grades": points, "feedback": feedback, "reason": reason},
        )

    @endpoint
    def excuse_lesson(self, lesson: Id, user: Id, reason: str) -> Call[Excepted]:
        """Waive a lesson for one learner, for whom it does not count any more (staff)."""
        return _about("excuse", lesson, user, reason)

    @endpoint
    def unexcuse_lesson(self, lesson: Id, user: Id, reason: str) -> Call[Excepted]:
        """Take a waiver back; the percent may fall, a completion stays (staff)."""
        return _about("unexcuse", lesson, user, reason)

    @endpoint
    def complete_lesson_for(self, lesson: Id, user: Id, reason: str) -> Call[Excepted]:
        """Complete a lesson for a learner, whatever its rule says (admins; staff where allowed)."""
        return _about("complete", lesson, user, reason)

    @endpoint
    def reopen_lesson_for(self, lesson: Id, user: Id, reason: str) -> Call[Excepted]:
        """Take a learner's completion of a lesson back (admins; staff where allowed)."""
        return _about("reopen", lesson, user, reason)

    @endpoint
    def replace_lesson(self, lesson: Id, by: Id, reason: str) -> Call[Replaced]:
        """Put another lesson of the course in a lesson's place, progress carried over (authors)."""
        return Call(
            "POST",
            _path("admin/lessons/{}/replace", lesson),
            {"new_lesson_id": by, "reason": reason},
        )

    @endpoint
    def extend_enrollment(
        self, enrollment: Id, reason: str, *, expires_at: datetime | None = None
    ) -> Call[Enrolled]:
        """Move an enrolment's deadline to a later time, or take it away (staff)."""
        return Call(
            "POST",
            _path("admin/enrollments/{}/extend", enrollment),
            {"reason": reason, "expires_at": expires_at},
        )

    @endpoint
    def withdraw_enrollment(self, enrollment: Id, reason: str) -> Call[Enrolled]:
        """End a learner's access to a course; the history stays (staff)."""
        return Call("POST", _path("admin/enrollments/{}/withdraw", enrollment), {"reason": reason})

    @endpoint
    def reinstate_enrollment(self, enrollment: Id, reason: str) -> Call[Enrolled]:
        """Let a withdrawn enrolment go on where it was (staff)."""
        return Call("POST", _path("admin/enrollments/{}/reinstate", enrollment), {"reason": reason})

    @endpoint
    def enroll_many(
        self, course: int, learners: Sequence[str], reason: str, *, cohort: Id | None = None
    ) -> Call[PerLearner]:
        """Enrol up to 500 learners by user id, or by e-mail address for admins (staff)."""
        return Call(
            "POST",
            _path("admin/courses/{}/enrollments", course),
            {"learners": list(learners), "reason": reason, "cohort_id": cohort},
        )

    @endpoint
    def create_cohort(
        self,
        course: int,
        name: str,
        reason: str,
        *,
        starts_at: datetime | None = None,
        ends_at: datetime | None = None,
    ) -> Call[CohortChanged]:
        """Make a cohort of a course (staff)."""
        return Call(
            "POST",
            _path("admin/courses/{}/cohorts", course),
            {"name": name, "reason": reason, "starts_at": starts_at, "ends_at": ends_at},
        )

    @endpoint
    def rename_cohort(self, cohort: Id, name: str, reason: str) -> Call[CohortChanged]:
        """Rename a cohort (staff)."""
        return Call(
            "POST", _path("admin/cohorts/{}/rename", cohort), {"name": name, "reason": reason}
        )

    @endpoint
    def assign_cohort(
        self, course: int, users: Sequence[Id], reason: str, *, cohort: Id | None = None
    ) -> Call[PerLearner]:
        """Put learners into a cohort, or with none out of theirs (staff)."""
        return Call(
            "POST",
            _path("admin/courses/{}/cohorts/assign", course),
            {"user_ids": [str(user) for user in users], "reason": reason, "cohort_id": cohort},
        )

    @endpoint
    def start_cycle(self, course: int, user: Id, reason: str) -> Call[Enrolled]:
        """Have a learner begin a course anew, completed or not; the past stays readable (staff)."""
        return Call(
            "POST", _path("admin/courses/{}/cycles", course), {"user_id": user, "reason": reason}
        )

    @endpoint
    def merge_users(self, gone: Id, into: Id, reason: str) -> Call[Merged]:
        """Unite two accounts of one person in the second and delete the first (admins)."""
        return Call("POST", "admin/users/merge", {"from": gone, "into": into, "reason": reason})

    @endpoint
    def put_program(self, document: Mapping[str, Any]) -> Call[ProgramPut]:
        """Make a program by its slug, or make it equal to the document (admins)."""
        return Call("POST", "admin/programs", {"document": dict(document)})

    @endpoint
    def delete_program(self, program: int, *, force: bool = False) -> Call[ProgramDeleted]:
        """Delete a program; its courses stay. `force` when learners are in it (admins)."""
        return Call("POST", _path("admin/programs/{}/delete", program), {"force": force})

    @endpoint
    def regrade(
        self,
        lesson: Id,
        *,
        dry_run: bool = True,
        allow_fail: bool = False,
        cursor: str | None = None,
        limit: int | None = None,
        reason: str | None = None,
    ) -> Call[Regraded]:
        """Grade a slice of a quiz's attempts again, after a key was corrected (staff)."""
        return Call(
            "POST",
            _path("assessments/lessons/{}/regrade", lesson),
            {
                "dry_run": dry_run,
                "allow_fail": allow_fail,
                "cursor": cursor,
                "limit": limit,
                "reason": reason,
            },
        )

    @endpoint
    def certificates(
        self, *, cursor: Id | None = None, limit: int | None = None
    ) -> Call[Certificates]:
        """The own certificates, newest first, by pages."""
        return Call("GET", "certificates", {"cursor": cursor, "limit": limit})

    @endpoint
    def certificate_pdf(self, certificate: Id) -> Call[CertificateFile]:
        """Where the own certificate's PDF can be fetched for the next minutes."""
        return Call("GET", _path("certificates/{}/pdf", certificate))

    @endpoint
    def verify_certificate(self, code: str) -> Call[Verified]:
        """What a certificate's code is worth; needs no token."""
        return Call("GET", _path("certificates/verify/{}", code))

    @endpoint
    def credential(self, code: str) -> Call[str]:
        """A certificate as a signed Open Badge, a compact JWS; needs no token."""
        return Call("GET", _path("certificates/{}/credential", code), is_text=True)

    @endpoint
    def revoke_certificate(self, certificate: Id, reason: str) -> Call[CertificateChanged]:
        """Take a certificate back (admins)."""
        return Call("POST", _path("certificates/{}/revoke", certificate), {"reason": reason})

    @endpoint
    def reinstate_certificate(self, certificate: Id, reason: str) -> Call[CertificateChanged]:
        """Make a revoked certificate valid again (admins)."""
        return Call("POST", _path("certificates/{}/reinstate", certificate), {"reason": reason})

    @endpoint
    def reissue_certificate(self, certificate: Id, reason: str) -> Call[CertificateChanged]:
        """Replace a certificate by one with today's names; the answer is the new one (admins)."""
        return Call("POST", _path("certificates/{}/reissue", certificate), {"reason": reason})

    @endpoint
    def retry_certificate(self, certificate: Id, reason: str) -> Call[CertificateChanged]:
        """Have a certificate's PDF made again (admins)."""
        return Call("POST", _path("certificates/{}/retry", certificate), {"reason": reason})

    @endpoint
    def notifications(
        self, *, after: Id | None = None, limit: int | None = None
    ) -> Call[Notifications]:
        """The latest messages; `after` is the last id of the page before."""
        return Call("GET", "notifications", {"after": after, "limit": limit})

    @endpoint
    def mark_notifications_read(self, ids: Sequence[Id] | None = None) -> Call[Marked]:
        """Mark these messages read, or all."""
        chosen = None if ids is None else [str(id) for id in ids]
        return Call("POST", "notifications/read", {"ids": chosen})

    @endpoint
    def dashboard(self, *, cursor: str | None = None, limit: int | None = None) -> Call[Dashboard]:
        """Everything for a learner's first page; courses by pages, the last visited first."""
        return Call("GET", "analytics/me", {"cursor": cursor, "limit": limit})

    @endpoint
    def course_report(
        self,
        course: int,
        *,
        cohort: Id | None = None,
        enrolled_from: datetime | str | None = None,
        enrolled_to: datetime | str | None = None,
    ) -> Call[CourseReport]:
        """How a course's learners are doing (staff); a large one has 409 report_not_ready first."""
        chosen = _choice(cohort, enrolled_from, enrolled_to)
        return Call("GET", _path("analytics/courses/{}", course), chosen)

    @endpoint
    def lesson_report(
        self,
        course: int,
        *,
        cohort: Id | None = None,
        enrolled_from: datetime | str | None = None,
        enrolled_to: datetime | str | None = None,
        min_completions: int | None = None,
    ) -> Call[LessonReport]:
        """How learners fare with a course's lessons (staff)."""
        chosen = _choice(cohort, enrolled_from, enrolled_to)
        return Call(
            "GET",
            _path("analytics/courses/{}/lessons", course),
            {**chosen, "min_completions": min_completions},
        )

    @endpoint
    def report_page(
        self,
        course: int,
        *,
        cohort: Id | None = None,
        enrolled_from: datetime | str | None = None,
        enrolled_to: datetime | str | None = None,
        min_completions: int | None = None,
    ) -> Call[str]:
        """Both reports as one HTML page, to be shown in a sandboxed frame or printed (staff)."""
        chosen = _choice(cohort, enrolled_from, enrolled_to)
        return Call(
            "GET",
            _path("analytics/courses/{}/report", course),
            {**chosen, "min_completions": min_completions},
            is_text=True,
        )

    @endpoint
    def events(self, *, cursor: str | None = None, limit: int | None = None) -> Call[Events]:
        """Everybody's history after a cursor; an empty page is the end for now (admins)."""
        return Call("GET", "analytics/events", {"cursor": cursor, "limit": limit})

    @endpoint
    def recalculate(self, enrollment: Id, *, dry_run: bool = False) -> Call[Recalculated]:
        """Count one enrolment again."""
        return Call("POST", "recalculate", {"enrollment_id": enrollment, "dry_run": dry_run})

    @endpoint
    def recalculate_course(
        self,
        course: int,
        *,
        dry_run: bool = False,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Call[Slice]:
        """Count a slice of a course's enrolments again (admins)."""
        return Call("POST", "recalculate", {"course_id": course, **_slice(dry_run, cursor, limit)})

    @endpoint
    def recalculate_all(
        self, *, dry_run: bool = False, cursor: str | None = None, limit: int | None = None
    ) -> Call[Slice]:
        """Count a slice of all enrolments again (admins)."""
        return Call("POST", "recalculate", {"all": True, **_slice(dry_run, cursor, limit)})


class WaymarkClient(_Base[httpx.Client]):
    """Calls that block. Close it, or use it in a `with` block; `acting_as` serves further users."""

    def _connect(self) -> httpx.Client:
        return httpx.Client()

    def send(self, call: Call[T]) -> T:
        """Send what a method described. Raises WaymarkError."""
        attempt = 0
        while True:
            try:
                answer: T = _decode(self._http.request(**self._request(call)), call.is_text)
                return answer
            except httpx.HTTPError as error:
                raise _unreachable(error) from error
            except WaymarkError as error:
                pause = self._pause(error, attempt)
                if pause is None:
                    raise
            time.sleep(pause)
            attempt += 1

    def close(self) -> None:
        """Close the connections (of all clients made by `acting_as`, too)."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncWaymarkClient(_Base[httpx.AsyncClient]):
    """The same calls, awaited. Close it, or use it in an `async with` block."""

    def _connect(self) -> httpx.AsyncClient:
        return httpx.AsyncClient()

    async def send(self, call: Call[T]) -> T:
        """Send what a method described. Raises WaymarkError."""
        attempt = 0
        while True:
            try:
                response = await self._http.request(**self._request(call))
                answer: T = _decode(response, call.is_text)
                return answer
            except httpx.HTTPError as error:
                raise _unreachable(error) from error
            except WaymarkError as error:
                pause = self._pause(error, attempt)
                if pause is None:
                    raise
            await asyncio.sleep(pause)
            attempt += 1

    async def close(self) -> None:
        """Close the connections (of all clients made by `acting_as`, too)."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _path(pattern: str, *ids: object) -> str:
    return pattern.format(*(quote(str(part), safe="") for part in ids))


def _about(command: str, lesson: Id, user: Id, reason: str) -> Call[Excepted]:
    """A command of staff about one learner's lesson."""
    path = _path("admin/lessons/{}/" + command, lesson)
    return Call("POST", path, {"user_id": user, "reason": reason})


def _choice(
    cohort: Id | None, enrolled_from: datetime | str | None, enrolled_to: datetime | str | None
) -> dict[str, Any]:
    return {"cohort_id": cohort, "enrolled_from": enrolled_from, "enrolled_to": enrolled_to}


def _slice(dry_run: bool, cursor: str | None, limit: int | None) -> dict[str, Any]:
    return {"dry_run": dry_run, "cursor": cursor, "limit": limit}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("last_accessed needs a time zone")
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def _unreachable(error: httpx.HTTPError) -> WaymarkError:
    return WaymarkError("unreachable", f"no answer: {type(error).__name__}", status=0)


def _decode(response: httpx.Response, is_text: bool = False) -> Any:
    """The answer's value. Raises WaymarkError for a refusal and for what is no answer of ours."""
    if is_text and response.is_success:
        return response.text
    try:
        body = response.json()
    except ValueError:
        body = None
        if response.is_success:
            raise WaymarkError(
                "bad_answer", "the answer is not JSON", status=response.status_code
            ) from None
    if response.is_success:
        return body
    fields: dict[str, Any] = body if isinstance(body, dict) else {}
    raise WaymarkError(
        str(fields.get("code") or "unknown"),
        str(fields.get("message") or f"HTTP {response.status_code}"),
        status=response.status_code,
        details=fields.get("details"),
        hint=fields.get("hint"),
        retry_after=_seconds(response.headers.get("Retry-After")),
        request_id=response.headers.get("X-Request-Id"),
    )


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdecimal() else None
