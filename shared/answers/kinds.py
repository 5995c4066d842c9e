"""Texts and numbers of one form each, as they stand in many answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import WithJsonSchema

Uuid = Annotated[str, WithJsonSchema({"type": "string", "format": "uuid"})]
# RFC 3339, in UTC.
Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Day = Annotated[str, WithJsonSchema({"type": "string", "format": "date"})]
# Two places at most.
Percent = Annotated[float, WithJsonSchema({"type": "number", "minimum": 0, "maximum": 100})]
Share = Annotated[float, WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})]

Status = Literal["not_started", "in_progress", "completed"]
LessonType = Literal["video", "article", "quiz", "assignment", "live", "download", "embed"]
AttemptStatus = Literal["in_progress", "submitted", "graded"]
CourseStatus = Literal["draft", "published", "archived"]
