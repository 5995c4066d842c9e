"""Files of past progress: the shapes that are read, and what is said of those that are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shared.progress_files import Fault, ProgressFile, Unreadable


def read(tmp_path: Path, text: str, name: str = "x.csv", **options: Any) -> list[Any]:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    with ProgressFile(file, **options) as opened:
        return list(opened)


def test_a_table_of_user_progress(tmp_path: Path) -> None:
    text = (
        "\ufeffid,User_ID,lesson_id,status,is_completed,completed_at,updated_at\r\n"
        "1,ann,one,completed,true,2024-01-02,2024-05-05\r\n"
        "2,ann,two,,t,,2024-05-06\r\n"
        "3,ann,three,in_progress,f,,2024-05-07\r\n"
        "4,ann,four,not_started,false,,\r\n"
        "\r\n"
        "6,ann,five,COMPLETED,,2024-01-03,\r\n"
    )
    done = {"user": "ann", "status": "completed"}
    assert read(tmp_path, text) == [
        {**done, "line": 2, "lesson": "one", "completed_at": "2024-01-02"},
        {**done, "line": 3, "lesson": "two", "completed_at": "2024-05-06"},
        {"line": 4, "user": "ann", "lesson": "three", "status": "in_progress",
         "started_at": "2024-05-07"},
        {**done, "line": 7, "lesson": "five", "completed_at": "2024-01-03"},
    ]  # fmt: skip


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_enrolments_and_completions_by_slugs(tmp_path: Path, delimiter: str) -> None:
    lines = ["email,course,lesson,enrolled_at,completed_at", "a@b.c,maps,,2023-01-01,",
             "a@b.c,maps,north,,2023-01-02"]  # fmt: skip
    assert read(tmp_path, "\n".join(lines).replace(",", delimiter)) == [
        {"line": 2, "user": "a@b.c", "course": "maps", "enrolled_at": "2023-01-01"},
        {"line": 3, "user": "a@b.c", "course": "maps", "lesson": "north", "status": "completed",
         "completed_at": "2023-01-02"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    "listed", ['["one", "two"]', "{one,two}", '{"one","two"}', '[{"lesson_id": "one"}, "two"]']
)
def test_a_list_of_completed_lessons_in_a_cell(tmp_path: Path, listed: str) -> None:
    cell = listed.replace('"', '""')
    text = f'user_id,course_id,completed_lessons,updated_at\nann,7,"{cell}",2024-01-01\n'
    row = {"line": 2, "user": "ann", "course": "7", "status": "completed",
           "completed_at": "2024-01-01"}  # fmt: skip
    assert read(tmp_path, text) == [{**row, "lesson": "one"}, {**row, "lesson": "two"}]


def test_scores_of_quizzes(tmp_path: Path) -> None:
    text = (
        "user,course,lesson,status,percent,updated_at\n"
        "ann,maps,quiz,completed,87.5 %,2024-01-02\n"
        "ann,maps,other,in_progress,40,2024-01-03\n"
        "ann,maps,,,66,\n"
        "ben,maps,quiz,completed,,2024-01-04\n"
    )
    ann = {"user": "ann", "course": "maps"}
    assert read(tmp_path, text) == [
        {**ann, "line": 2, "lesson": "quiz", "status": "completed", "completed_at": "2024-01-02",
         "score": "87.5"},
        {**ann, "line": 3, "lesson": "other", "status": "in_progress", "started_at": "2024-01-03",
         "score": "40"},
        # What a course had as its percent is counted here.
        {**ann, "line": 4},
        {"user": "ben", "course": "maps", "line": 5, "lesson": "quiz", "status": "completed",
         "completed_at": "2024-01-04"},
    ]  # fmt: skip
    listed = {"user": "ann", "completed_lessons": [{"id": "quiz", "best_score": 0}]}
    (row,) = read(tmp_path, json.dumps(listed), "x.jsonl", date="2024-01-01")
    assert (row["lesson"], row["score"]) == ("quiz", "0")


def test_objects_one_a_line(tmp_path: Path) -> None:
    lines = [
        {"user_id": "ann", "lesson_id": "one", "is_completed": True, "completed_at": "2024-01-01"},
        {"user_id": "ann", "lesson_id": "two", "is_completed": False},
        {
            "user_id": "ben",
            "completed_lessons": ["x", {"id": "y", "completed_at": "2020-02-02"}, "x"],
        },
        {"user_id": "cid", "course": 7, "completed_lessons": [], "enrolled_at": "2020-01-01"},
        {"user_id": "dot", "completed_lessons": 3},
        {"user_id": "eve", "shoes": 44},
    ]
    text = "\n".join(map(json.dumps, lines)) + "\n\nnonsense\n[1]\n"
    done = {"user": "ben", "line": 3, "status": "completed"}
    assert read(tmp_path, text, "x.jsonl", date="2019-09-09") == [
        {"line": 1, "user": "ann", "lesson": "one", "status": "completed",
         "completed_at": "2024-01-01"},
        {**done, "lesson": "x", "completed_at": "2019-09-09"},
        {**done, "lesson": "y", "completed_at": "2020-02-02"},
        {**done, "lesson": "x", "completed_at": "2019-09-09"},
        {"line": 4, "user": "cid", "course": "7", "enrolled_at": "2020-01-01"},
        Fault(5, "completed_lessons", "is no list"),
        Fault(6, "shoes", "is an unknown column"),
        Fault(8, "line", "is no JSON"),
        Fault(9, "line", "is no JSON object"),
    ]  # fmt: skip


def test_lines_are_told_where_they_begin(tmp_path: Path) -> None:
    text = 'user,lesson,status\n"ann\n",one,great\nben,two,done,more\n\0,two,done\n'
    assert read(tmp_path, text) == [
        Fault(2, "status", "must be completed, in_progress or not_started"),
        Fault(4, "line", "has more cells than the header"),
        Fault(5, "user", "holds a zero character"),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("user_id,lesson,shoes\n", "unknown column 'shoes'; leave it out with --ignore shoes"),
        ("lesson_id\n", "there is no column of users"),
        ("", "there is no column of users"),
        ("user,lesson,user\n", "a column's name stands twice"),
    ],
)
def test_a_file_that_is_none_is_refused_at_once(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        read(tmp_path, text)


def test_columns_can_be_left_out(tmp_path: Path) -> None:
    text = "user,lesson,shoes,date\nann,one,44,x\n"
    rows = read(tmp_path, text, ignore=["shoes", "date"], date="2020-01-01")
    assert [row["lesson"] for row in rows] == ["one"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="No such file"), ProgressFile(tmp_path / "none.csv"):
        pass
