"""Every refusal a caller can meet, as data; docs/reference/errors.md lists the same codes.

The boundary turns a `Problem` into an answer. Codes are the contract; messages are for
people and may be reworded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Code:
    """One registered error code: the HTTP status, its usual sentence, and when it is used."""

    status: int
    message: str
    meaning: str


# The database raises most of these itself (private.fail); it may put a more precise message.
CODES: Mapping[str, Code] = {
    "invalid_json": Code(400, "The body is not valid JSON", "The body cannot be read as JSON."),
    "invalid_id": Code(
        400, "Invalid id", "An id in the path or body is not a uuid, or not a course number."
    ),
    "invalid_type": Code(400, "Wrong type", "A field has the wrong JSON type or format."),
    "not_authenticated": Code(401, "Not authenticated", "The route needs a signed-in caller."),
    "invalid_token": Code(
        401, "Invalid token", "A token came along, but is forged, expired or not for this project."
    ),
    "invalid_worker_secret": Code(
        401, "Wrong worker secret", "The job worker's door wants its secret in X-Worker-Secret."
    ),
    "not_enrolled": Code(
        403, "Not enrolled in this course", "The learner has no enrolment in the course."
    ),
    "not_allowed": Code(403, "Not allowed", "The caller may not do this."),
    "enrollment_inactive": Code(
        403, "The enrolment is not active", "The enrolment is suspended or was cancelled."
    ),
    "enrollment_expired": Code(
        403, "The enrolment has expired", "The enrolment's last day has passed."
    ),
    "enrollment_closed": Code(
        403, "Enrolment is by invitation", "The course does not take self-enrolment."
    ),
    "payment_required": Code(
        403,
        "This course opens when it is paid for",
        "The course takes no self-enrolment: a server enrols who has paid.",
    ),
    "lesson_not_found": Code(
        404, "Lesson not found", "No such lesson, or the caller may not see it."
    ),
    "module_not_found": Code(
        404, "Module not found", "No such module, or the caller may not see it."
    ),
    "course_not_found": Code(
        404, "Course not found", "No such course, or the caller may not see it."
    ),
    "user_not_found": Code(404, "User not found", "Nobody has this id or e-mail address."),
    "webhook_not_found": Code(404, "Webhook not found", "No endpoint has this id."),
    "cohort_not_found": Code(404, "Cohort not found", "The course has no such cohort."),
    "attempt_not_found": Code(
        404, "Attempt not found", "No such attempt, or it belongs to someone else."
    ),
    "enrollment_not_found": Code(
        404, "Enrolment not found", "No such enrolment, or it belongs to someone else."
    ),
    "program_not_found": Code(404, "Program not found", "No such program, or it is not published."),
    "certificate_not_found": Code(
        404,
        "Certificate not found",
        "No such certificate, it belongs to someone else, or no certificate has this code.",
    ),
    "credentials_not_configured": Code(
        404, "No Open Badges here", "The operator has set no key to sign credentials with."
    ),
    "key_not_found": Code(404, "Key not found", "The issuer has no such key."),
    "status_list_not_found": Code(
        404, "Status list not found", "No certificate stands in a status list of this number."
    ),
    "route_not_found": Code(404, "No such route", "The path names no route."),
    "method_not_allowed": Code(
        405, "Method not allowed", "The route exists for other methods: see Allow."
    ),
    "certificate_superseded": Code(
        409, "This certificate was replaced", "It was reissued; details name its successor."
    ),
    "certificate_revoked": Code(
        409,
        "This certificate is revoked",
        "Its PDF is not handed out, and only one that is not revoked can be reissued.",
    ),
    "certificate_erased": Code(
        409, "The learner was erased", "The certificate is a stub without a person."
    ),
    "lesson_locked": Code(
        409,
        "The lesson is locked",
        "Something comes first, or its date has not come; details name what, and when it opens.",
    ),
    "course_locked": Code(
        409, "Another course comes first", "Enrolment requires another course; details name it."
    ),
    "prerequisite_cycle": Code(
        409,
        "These prerequisites would wait for one another",
        "The prerequisite would close a cycle; details name it, each waiting for the next.",
    ),
    "course_not_completed": Code(
        409, "The course is not completed", "Only a completed course can be taken again."
    ),
    "cycle_over": Code(
        409,
        "A new cycle has begun meanwhile",
        "What was meant for the learner's earlier run through the course counts no more.",
    ),
    "retakes_exhausted": Code(
        409,
        "This course cannot be taken again now",
        "It was taken as often as it allows, and its completion does not expire soon.",
    ),
    "attempt_closed": Code(
        409, "This attempt has ended", "It was submitted, or its time was up: details tell."
    ),
    "attempt_cooldown": Code(
        409, "The next attempt is not open yet", "Start again after the seconds in Retry-After."
    ),
    "attempt_open": Code(
        409, "This attempt has not been submitted yet", "Only submitted attempts are graded."
    ),
    "attempts_exhausted": Code(
        409, "No attempts are left", "All attempts that the quiz allows were used."
    ),
    "quiz_closed": Code(409, "This quiz is closed", "The quiz's window has ended."),
    "quiz_not_open": Code(409, "This quiz is not open yet", "The quiz's window has not begun."),
    "conflict": Code(409, "Conflict", "The change clashes with what is stored."),
    "progress_exists": Code(
        409, "Learners have progress here", "Deleting would lose progress: archive, or force."
    ),
    "limit_reached": Code(
        409, "You cannot keep more of these", "Notes, collections and saved items are limited."
    ),
    "certificate_not_ready": Code(
        409,
        "The certificate is still being made",
        "Its PDF is not there yet; try again after the seconds in Retry-After.",
    ),
    "body_too_large": Code(413, "The body is over 1 MiB", "The request body is over 1 MiB."),
    "unsupported_media_type": Code(
        415, "The body must be application/json", "The body is not declared as plain JSON."
    ),
    "unknown_field": Code(
        422, "Unknown field", "The body has a field that the route does not know."
    ),
    "invalid_value": Code(
        422, "Invalid value", "A field is missing, out of range or contradicts another."
    ),
    "preview_lesson": Code(
        422, "Preview lessons take no progress", "The lesson is a preview, open to everyone."
    ),
    "rule_not_met": Code(
        422, "The completion rule is not met", "Details say what the lesson still asks for."
    ),
    "invalid_answer": Code(
        422, "An answer does not fit its question", "Details name the questions, never a key."
    ),
    "invalid_quiz": Code(
        422, "The quiz cannot be given or graded", "Details list {question, reason}."
    ),
    "no_quiz": Code(422, "This lesson has no quiz", "The lesson has no questions."),
    "invalid_course": Code(
        422, "The course file is not valid", "An imported course breaks its format."
    ),
    "rate_limited": Code(
        429,
        "Too many requests",
        "Try again after the seconds in Retry-After; details name the limit.",
    ),
    "internal_error": Code(
        500, "Internal error", "A fault of ours; the log has it under the request id."
    ),
    "database_unavailable": Code(
        503, "The database is away", "Try again after the seconds in Retry-After."
    ),
    "try_again": Code(
        503, "Busy, try again", "The call clashed with others twice, or took too long."
    ),
    "storage_unavailable": Code(
        503, "Storage is away", "Try again after the seconds in Retry-After."
    ),
    "worker_not_configured": Code(
        503, "No worker here", "This deployment has no WAYMARK_WORKER_SECRET."
    ),
    "auth_unavailable": Code(
        503, "Tokens cannot be checked now", "The project's signing keys cannot be fetched."
    ),
}

_CHALLENGES = {
    "not_authenticated": "Bearer",
    "invalid_token": 'Bearer error="invalid_token"',
    "invalid_worker_secret": "X-Worker-Secret",
}


class Problem(Exception):
    """A refusal on its way to the caller, in PostgREST's error shape.

    `details` is text or JSON for the caller; `headers` go with the answer. Raise it anywhere below
    the boundary. A code outside the registry needs its own `status` (the database may know newer
    codes than this process).
    """

    def __init__(
        self,
        code: str,
        message: str | None = None,
        *,
        status: int | None = None,
        details: Any = None,
        hint: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        known = CODES.get(code)
        if known is None and (status is None or message is None):
            raise KeyError(code)
        self.code = code
        self.status: int = status if status is not None else CODES[code].status
        self.message: str = message if message is not None else CODES[code].message
        self.details = details
        self.hint = hint
        self.headers = dict(headers or {})
        if code in _CHALLENGES:
            self.headers.setdefault("WWW-Authenticate", _CHALLENGES[code])
        if self.status == 503:
            self.headers.setdefault("Retry-After", "1")
        super().__init__(f"{code}: {self.message}")

    def body(self) -> dict[str, Any]:
        """The answer's body: always these four keys."""
        return {
            "code": self.code,
            "message": self.message,
            "details": self.details,
            "hint": self.hint,
        }
