"""The worker as a whole, on a real PostgREST, Storage and mail server."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from aiohttp import ClientSession, web

from shared import command
from tests.support.learners import Learner
from tests.support.shape import assert_refusal
from tests.worker.conftest import ROOT, Office
from tests.worker.test_exactly_once import assert_served
from tests.worker.test_mail import Keeper, serving


def work(office: Office, **headers: str) -> httpx.Response:
    """Call the worker's door."""
    route = f"{office.stack.functions_url}/certificates/work"
    return httpx.post(route, headers=headers, timeout=60)


def secret(office: Office) -> str:
    return office.stack.extra("WORKER_SECRET")


# The door


def test_the_door_wants_its_own_secret(office: Office) -> None:
    [learner] = office.learners(1, office.course())
    service = office.stack.service_role_key
    for headers in (
        {},
        {"X-Worker-Secret": ""},
        {"X-Worker-Secret": secret(office)[:-1]},
        {"X-Worker-Secret": secret(office) + " x"},
        {"X-Worker-Secret": "ä" * 40},
        {"Authorization": f"Bearer {secret(office)}"},
        {"Authorization": f"Bearer {service}", "apikey": office.stack.secret_key},
        learner.headers(),
    ):
        sent = {name: value.encode() for name, value in headers.items()}
        assert_refusal(work(office, **sent), 401, "invalid_worker_secret")  # type: ignore[arg-type]
    assert office.database.execute("select 1").fetchone() == (1,)


def test_with_the_secret_the_door_works_and_says_how_much(office: Office) -> None:
    course = office.course()
    [learner] = office.learners(1, course)
    office.complete(learner, course)
    # A scheduler's own token does not matter, nor what it sends along.
    answer = work(office, **{"X-Worker-Secret": secret(office), "Authorization": "Bearer nonsense"})
    assert answer.status_code == 200
    assert answer.json() == {"leased": 2, "done": 2, "failed": 0, "dead": 0, "remaining": 0}
    assert_served(office, learner)
    # Upkeep goes along, and may have found work for others' learners; this one is done.
    again = work(office, **{"X-Worker-Secret": secret(office)}).json()
    assert (again["failed"], again["dead"], again["remaining"]) == (0, 0, 0)
    assert_served(office, learner)


def test_calls_at_once_do_each_job_once(office: Office) -> None:
    course = office.course()
    learners = office.learners(6, course)
    for learner in learners:
        office.complete(learner, course)

    async def calls() -> list[dict[str, int]]:
        route = f"{office.stack.functions_url}/certificates/work"
        headers = {"X-Worker-Secret": secret(office)}
        async with httpx.AsyncClient(timeout=60) as client:
            answers = await asyncio.gather(
                *[client.post(route, headers=headers) for _ in range(12)]
            )
        return [answer.json() for answer in answers]

    reports = asyncio.run(calls())
    assert sum(report["done"] for report in reports) == 12
    assert len(office.mails()) == 6
    for learner in learners:
        assert_served(office, learner)


# By itself


@pytest.mark.usefixtures("waker")
def test_finishing_a_course_shows_everything_without_any_further_step(office: Office) -> None:
    course = office.course()
    [learner] = office.learners(1, course)
    office.complete(learner, course)
    address = f"{learner.id}@example.com"
    office.until(lambda: bool(office.mails(address)) and office.depth() == 0)
    assert_served(office, learner)
    [mail] = office.mails(address)
    assert "is ready" in str(mail)


@pytest.mark.usefixtures("waker")
def test_a_call_that_got_lost_is_made_up_for_by_the_sweep(office: Office) -> None:
    # Waits for no later than the next sweep: nothing notifies of a job that becomes due.
    office.rows("select private.enqueue('storage.remove', '{\"path\": \"x/y.pdf\"}',"
                " p_run_at => now() + interval '1 second')")  # fmt: skip
    office.until(lambda: office.depth() == 0)


# Trouble


class Away:
    """A proxy before the stack whose Storage can be taken away."""

    def __init__(self, stack_url: str) -> None:
        self._target = stack_url
        self.storage = True
        self.url = ""
        self.meddle: Callable[[web.Request], web.Response | None] = lambda request: None

    async def answer(self, request: web.Request) -> web.Response:
        """Pass a request on, or say that Storage is not there, or what `meddle` says."""
        if request.path.startswith("/storage/") and not self.storage:
            return web.json_response({"message": "Storage is away"}, status=503)
        if meddled := self.meddle(request):
            return meddled
        async with (
            ClientSession(auto_decompress=False) as session,
            session.request(
                request.method,
                self._target + request.path_qs,
                headers={k: v for k, v in request.headers.items() if k.lower() != "host"},
                data=await request.read(),
            ) as answer,
        ):
            body = await answer.read()
        return web.Response(status=answer.status, body=body, content_type=answer.content_type)


@contextmanager
def before(office: Office) -> Iterator[Away]:
    """The proxy, on a port of its own."""
    loop = asyncio.new_event_loop()
    away = Away(office.stack.api_url)
    stop, ready = asyncio.Event(), threading.Event()

    async def serve() -> None:
        runner = web.ServerRunner(web.Server(away.answer))  # type: ignore[arg-type]
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        away.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    ready.wait()
    try:
        yield away
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def finish(office: Office, count: int = 1, **columns: Any) -> list[Learner]:
    """Learners who have just finished a course."""
    course = office.course(**columns)
    learners = office.learners(count, course)
    for learner in learners:
        office.complete(learner, course)
    return learners


def test_while_storage_is_away_mails_go_out_and_pdfs_follow(office: Office) -> None:
    learners = finish(office, 3)
    # A message without a certificate, to see that it does not wait.
    office.rows("select private.notify(%s, 'attempt_graded', 'k', 1, '{}')", learners[0].id)
    with before(office) as away:
        away.storage = False
        office.work(SUPABASE_URL=away.url)
        assert len(office.mails()) == 1
        waiting = office.rows("select kind, attempts, last_error from private.jobs")
        assert waiting == [("certificate.render", 1, "Storage is away (503)")] * 3
        away.storage = True
        office.hurry()
        office.work(SUPABASE_URL=away.url)
    office.rows("delete from public.notifications where kind = 'attempt_graded'")
    # The new mails came with the files; this one had gone before.
    office.known.update(path.name for path in sorted(office.mail_folder.glob("*.eml"))[:-3])
    for learner in learners:
        assert_served(office, learner)
    assert office.one("select count(*) from private.jobs") == 0


def test_while_the_mail_server_is_away_pdfs_are_made_and_mails_follow(office: Office) -> None:
    learners = finish(office, 3)
    office.work(SMTP_PORT="1")
    assert office.mails() == []
    assert all(office.stored(learner) for learner in learners)
    for _ in range(2):
        office.hurry()
        office.work(SMTP_PORT="1")
    [(attempts, reason)] = office.rows("select distinct attempts, last_error from private.jobs")
    assert attempts == 3
    assert "the mail server cannot be reached" in reason
    office.hurry()
    office.work()
    for learner in learners:
        assert_served(office, learner)
    assert office.one("select count(*) from private.jobs") == 0


def test_a_reader_whom_the_mail_server_refuses_is_a_dead_letter_with_the_reason(
    office: Office,
) -> None:
    keeper = Keeper()
    learners = finish(office, 2)
    refused = f"{learners[0].id}@example.com"
    keeper.rcpt = lambda address: "550 5.1.1 No such user" if address == refused else None
    with serving(keeper) as port:
        office.work(SMTP_PORT=str(port))
    assert [readers for readers, _ in keeper.mails] == [[f"{learners[1].id}@example.com"]]
    [(is_dead, attempts, reason)] = office.rows(
        "select died_at is not null, attempts, last_error from private.jobs"
    )
    assert (is_dead, attempts, reason) == (True, 1, "550 5.1.1 No such user")


def test_killed_between_the_servers_yes_and_our_commit_the_mail_comes_twice_with_one_id(
    office: Office,
) -> None:
    [learner] = finish(office)
    keeper, taken = Keeper(), threading.Event()

    def data() -> str | None:
        taken.set()
        return None

    keeper.data = data
    with before(office) as away, serving(keeper) as port:

        def lose(request: web.Request) -> web.Response | None:
            # The report never reaches the database: the worker dies over it.
            if request.path.endswith("/finish_job") and taken.is_set():
                return web.json_response({"message": "too late"}, status=503)
            return None

        away.meddle = lose
        victim = office.hire(SUPABASE_URL=away.url, SMTP_PORT=str(port))
        assert taken.wait(60)
        victim.kill()
        office.dismiss()
    assert len(keeper.mails) == 1
    office.work()
    [mail] = office.mails(f"{learner.id}@example.com")
    assert f"Message-ID: {mail['Message-ID']}".encode() in keeper.mails[0][1]
    assert_served(office, learner)


@pytest.fixture
def template(office: Office) -> Iterator[Callable[[str], None]]:
    """Set what the template `test` says."""
    columns = "name text primary key, source text not null, paper text not null default 'a4'"
    is_ours = office.one("select to_regclass('private.certificate_templates') is null")
    if is_ours:
        office.rows(f"create table private.certificate_templates ({columns})")

    def put(source: str) -> None:
        office.rows(
            "insert into private.certificate_templates (name, source) values ('test', %s)"
            " on conflict (name) do update set source = excluded.source",
            source,
        )

    yield put
    office.rows("delete from private.certificate_templates where name = 'test'")
    if is_ours:
        office.rows("drop table private.certificate_templates")


def test_a_broken_template_blocks_nobody_and_is_healed_by_a_retry(
    office: Office,
    template: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    template("#let broken = (")
    [unlucky] = finish(office, certificate_template="test")
    [lucky] = finish(office)
    for _ in range(3):
        office.hurry()
        office.work()
    assert_served(office, lucky)
    assert office.stored(unlucky) == []
    [(kind, attempts, is_dead, reason)] = office.rows(
        "select kind, attempts, died_at is not null, last_error from private.jobs"
    )
    assert (kind, attempts, is_dead) == ("certificate.render", 3, True)
    assert reason.startswith("line 1: ")

    template((ROOT / "shared/rendering/templates/completion.typ").read_text())
    for name, value in office.environment.items():
        monkeypatch.setenv(name, value)
    assert command.main(["jobs", "retry", "--reason", "the template is mended"]) == 0
    assert capsys.readouterr().out.endswith("1 job will run again\n")
    office.work()
    assert_served(office, unlucky)
    assert office.one("select count(*) from private.jobs") == 0


def test_a_job_that_no_worker_knows_waits_for_one_that_does(office: Office) -> None:
    [learner] = finish(office)
    office.rows("select private.enqueue('from.tomorrow', '{}', p_priority => 100)")
    office.work()
    assert_served(office, learner)
    [(kind, attempts, dead, reason)] = office.rows(
        "select kind, attempts, died_at, last_error from private.jobs"
    )
    assert (kind, attempts, dead) == ("from.tomorrow", 1, None)
    assert reason == "this worker does not know such jobs"


def test_what_workers_log_names_ids_and_nobody(office: Office) -> None:
    [learner] = finish(office)
    [(certificate, code, *_)] = office.certificates(learner)
    office.hire()
    office.until(lambda: office.depth() == 0)
    lines = {line["message"]: line for line in office.lines()}
    for name in ("certificate_triggered", "certificate_rendered"):
        assert lines[name][name]["certificate"] == certificate
    assert {"mail_triggered", "mail_sent"} <= set(lines)
    text = office.log.read_text()
    for private in ("Ada", f"{learner.id}@example.com", code, secret(office), "%PDF",
                    office.stack.secret_key):  # fmt: skip
        assert private not in text


# Erasure


def test_erasing_a_learner_takes_the_file_along(office: Office) -> None:
    [learner] = finish(office)
    office.work()
    assert len(office.stored(learner)) == 1
    office.rows("delete from auth.users where id = %s", learner.id)
    office.work()
    assert office.stored(learner) == []
    office.rows("update private.jobs set run_at = now()")
    office.work()
    assert office.one("select count(*) from private.jobs") == 0


def test_a_file_that_is_stored_while_its_learner_is_erased_does_not_stay(office: Office) -> None:
    [learner] = finish(office)
    with before(office) as away:

        def erase(request: web.Request) -> None:
            if request.method == "POST" and request.path.startswith("/storage/v1/object/"):
                office.rows("delete from auth.users where id = %s", learner.id)

        away.meddle = erase
        office.work(SUPABASE_URL=away.url)
    office.rows("update private.jobs set run_at = now()")
    office.work()
    assert office.stored(learner) == []
    assert office.one("select count(*) from private.jobs") == 0
    assert office.mails() == []


def test_a_file_of_a_worker_that_died_does_not_stay_though_a_later_attempt_failed(
    office: Office,
) -> None:
    [learner] = finish(office)
    [(certificate, *_)] = office.certificates(learner)
    name = f"{learner.id}/{certificate}.pdf"
    stored = httpx.post(
        f"{office.stack.api_url}/storage/v1/object/certificates/{name}",
        content=b"%PDF-",
        headers={"apikey": office.stack.secret_key, "Content-Type": "application/pdf"},
    )
    assert stored.status_code == 200
    office.rows("update private.jobs set attempts = 2, run_at = now() + interval '1 hour'")
    office.rows("delete from auth.users where id = %s", learner.id)
    office.rows("update private.jobs set run_at = now()")
    office.work()
    assert office.stored(learner) == []
    assert office.one("select count(*) from private.jobs") == 0


# Operators


def test_operators_see_what_is_stuck_retry_and_drop_it(
    office: Office, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in office.environment.items():
        monkeypatch.setenv(name, value)

    def admin(*words: str) -> tuple[int, str]:
        """Run bin/admin jobs."""
        status = command.main(["jobs", *words])
        said = capsys.readouterr()
        return status, said.out + said.err

    office.rows("select private.enqueue('from.tomorrow', '{}')")
    status, listed = admin("list")
    job, summary = listed.splitlines()
    assert (status, job.split()[1:4]) == (0, ["from.tomorrow", "due", "0/25"])
    assert summary.startswith("1 jobs (1 due, 0 leased, 0 waiting)")
    assert admin("drop")[0] == 2
    assert admin("drop", "--kind", "from.tomorrow") == (0, "0 jobs dropped\n")
    office.rows("update private.jobs set died_at = now(), last_error = 'no luck'")
    assert "no luck" in admin("list", "--state", "dead")[1]
    assert admin("retry", "--kind", "mail") == (0, "0 jobs will run again\n")
    assert admin("retry") == (0, "1 job will run again\n")
    [(number,)] = office.rows("select id from private.jobs")
    assert admin("drop", str(number), "--reason", "old") == (0, "1 job dropped\n")
    assert admin("list")[1].startswith("0 jobs")
    monkeypatch.setenv("SUPABASE_SECRET_KEY", office.stack.anon_key)
    status, said = admin("list")
    assert (status, "permission denied" in said) == (1, True)


# The way out of the mails


def test_a_mails_link_asks_first_and_a_mail_programs_button_does_not(office: Office) -> None:
    course = office.course()
    one, two = office.learners(2, course)
    for learner in (one, two):
        office.rows("select private.notify(%s, 'attempt_graded', 'k', 1, '{}')", learner.id)
    office.work()

    def link(learner: Learner) -> str:
        [mail] = office.mails(f"{learner.id}@example.com")
        return str(mail["List-Unsubscribe"]).strip("<>")

    def wants_mails(learner: Learner) -> bool:
        return not office.one("select mail_opt_out from public.profiles where id = %s", learner.id)

    page = httpx.get(link(one), headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert '<form method="post">' in page.text
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert one.id not in page.text
    assert wants_mails(one)

    # As RFC 8058 has it, and as the button on the page sends it.
    click = httpx.post(link(one), data={"List-Unsubscribe": "One-Click"})
    assert (click.status_code, click.json()) == (200, {"unsubscribed": True})
    done = httpx.post(link(two), headers={"Accept": "text/html"})
    assert done.status_code == 200
    assert "<form" not in done.text
    for learner in (one, two):
        assert not wants_mails(learner)
        office.rows("select private.notify(%s, 'attempt_graded', 'k2', 1, '{}')", learner.id)
    before_now = len(office.mails())
    office.work()
    assert len(office.mails()) == before_now
    assert office.depth() == 0

    # Switched on again by its owner, in the profile.
    assert httpx.patch(
        f"{office.stack.api_url}/rest/v1/profiles?id=eq.{one.id}",
        json={"mail_opt_out": False}, headers=one.headers(),
    ).status_code == 204  # fmt: skip
    office.rows("select private.notify(%s, 'attempt_graded', 'k3', 1, '{}')", one.id)
    office.work()
    assert len(office.mails()) == before_now + 1


def test_a_link_that_is_none_says_the_same(office: Office) -> None:
    route = f"{office.stack.functions_url}/notifications/unsubscribe"
    nobody = f"{route}/00000000-0000-4000-8000-000000000000"
    assert httpx.post(nobody).json() == {"unsubscribed": True}
    assert_refusal(httpx.post(f"{route}/nonsense"), 400, "invalid_id")


def test_messages_are_read_and_marked_over_http(office: Office) -> None:
    [learner] = office.learners(1, office.course())
    for number in range(3):
        office.rows("select private.notify(%s, 'attempt_graded', %s, 1, '{}')", learner.id,
                    f"k{number}")  # fmt: skip
    with learner.client() as me:
        page = me.notifications(limit=2)
        assert (page["unread"], len(page["items"])) == (3, 2)
        rest = me.notifications(after=page["items"][-1]["id"])
        assert len(rest["items"]) == 1
        marked = me.mark_notifications_read([rest["items"][0]["id"]])
        assert marked == {"marked": 1, "unread": 2, "changed": True}
        assert me.mark_notifications_read()["unread"] == 0
        assert me.notifications()["items"][0]["read_at"] is not None
    for query, code, status in (
        ("limit=0", "invalid_value", 422),
        ("limit=x", "invalid_type", 400),
        ("after=x", "invalid_id", 400),
        ("user_id=1", "unknown_field", 422),
        ("limit=1&limit=2", "invalid_value", 422),
    ):
        answer = httpx.get(
            f"{office.stack.functions_url}/notifications?{query}", headers=learner.headers()
        )
        assert_refusal(answer, status, code)
    assert json.dumps(rest)
