"""What wakes the worker, and what it does beside its jobs.

pg_net, Vault and pg_cron are not here: schemas of their names stand in for them. They show what we
call and that nothing of it can fail a learner, not that the extensions do what they promise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.database.actors import Actor, Refused
from tests.support.scratch import Scratch

HOST = """
create schema net;
create table net.asked (url text, headers jsonb, body jsonb, timeout integer);
create function net.http_post(
  url text, body jsonb default '{}', params jsonb default '{}',
  headers jsonb default '{"Content-Type": "application/json"}',
  timeout_milliseconds integer default 5000
) returns bigint language sql as $$
  insert into net.asked values (url, headers, body, timeout_milliseconds) returning 1::bigint
$$;
create schema vault;
create table vault.secrets (name text, secret text);
create view vault.decrypted_secrets as select name, secret as decrypted_secret from vault.secrets;
create schema cron;
create table cron.job (name text primary key, schedule text, command text);
create function cron.schedule(n text, s text, c text) returns bigint language sql as $$
  insert into cron.job values (n, s, c)
      on conflict (name) do update set schedule = s, command = c returning 1::bigint
$$;
"""
SECRETS = """
insert into vault.secrets values
  ('waymark_worker_url', 'https://fn.example/certificates/work'),
  ('waymark_worker_secret', 'hush');
"""


@pytest.fixture
def host(alone: Scratch, actors: Callable[..., Actor]) -> Iterator[psycopg.Connection[Any]]:
    """A connection to the database once it has those extensions."""
    alone.execute(HOST)
    with alone.connect(autocommit=True) as connection:
        yield connection
    alone.execute("drop schema net cascade; drop schema vault cascade; drop schema cron cascade")


def put(connection: psycopg.Connection[Any], count: int = 1) -> None:
    for _ in range(count):
        connection.execute("select private.enqueue('test', '{}')")


def asked(connection: psycopg.Connection[Any]) -> list[Any]:
    return connection.execute("select url, headers, body, timeout from net.asked").fetchall()


def test_new_jobs_notify_once_per_transaction(operator: Actor, alone: Scratch) -> None:
    with alone.connect(autocommit=True) as listener, alone.connect() as writer:
        listener.execute("listen waymark_jobs")

        def heard() -> int:
            return len(list(listener.notifies(timeout=0.3)))

        put(writer, 5)
        assert heard() == 0
        writer.commit()
        assert heard() == 1
        put(writer)
        writer.rollback()
        writer.execute("insert into private.jobs (kind) select 'test' where false")
        writer.execute("update private.jobs set attempts = attempts")
        writer.execute("delete from private.jobs where id = 0")
        writer.commit()
        assert heard() == 0
        writer.execute("insert into private.jobs (kind) select 'test' from generate_series(1, 9)")
        writer.commit()
        assert heard() == 1


def test_where_pg_net_is_set_up_new_jobs_call_the_worker(host: psycopg.Connection[Any]) -> None:
    put(host)
    assert asked(host) == []  # no address, no secret
    host.execute(SECRETS)
    with host.transaction():
        put(host, 3)
    headers = {"Content-Type": "application/json", "X-Worker-Secret": "hush"}
    assert asked(host) == [("https://fn.example/certificates/work", headers, {}, 30000)]
    host.execute("select private.wake_worker()")
    assert len(asked(host)) == 2


@pytest.mark.parametrize(
    "broken",
    [
        "drop function net.http_post",
        "drop table net.asked",
        "drop view vault.decrypted_secrets; create view vault.decrypted_secrets as select 1 as one",
        "revoke all on function net.http_post from public, postgres",
    ],
)
def test_waking_never_fails_whoever_made_the_job(
    host: psycopg.Connection[Any], broken: Any
) -> None:
    host.execute(SECRETS)
    host.execute(broken)
    notices: list[str] = []
    host.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
    put(host)
    found = host.execute("select count(*) from private.jobs").fetchone()
    assert found == (1,)
    assert any("could not be woken" in notice for notice in notices)
    assert not any("hush" in notice for notice in notices)


def test_an_operator_schedules_the_sweep(
    host: psycopg.Connection[Any],
) -> None:
    host.execute("select private.schedule_worker()")
    host.execute("select private.schedule_worker('30 seconds')")
    jobs = host.execute("select name, schedule, command from cron.job order by name").fetchall()
    assert jobs == [
        ("waymark-maintenance", "*/5 * * * *", "select private.run_maintenance()"),
        ("waymark-worker", "30 seconds", "select private.wake_worker()"),
    ]
    host.execute(SECRETS)
    for _, _, command in jobs:
        host.execute(command)
    assert len(asked(host)) == 1


def test_without_pg_cron_scheduling_says_so(operator: Actor) -> None:
    with pytest.raises(psycopg.errors.UndefinedObject, match="pg_cron is not installed"):
        operator.run("select private.schedule_worker()")


# Upkeep

PARTS = {"partitions", "rate_buckets", "jobs", "watching", "statistics", "attempts", "renewals"}


def test_the_upkeep_does_all_parts(operator: Actor, worker: Actor) -> None:
    report = worker.call("run_maintenance")
    drift = report.pop("drift")
    assert report == {**dict.fromkeys(PARTS, 0), "busy": False}
    assert set(drift) == {"checked", "drifted", "mended"}
    operator.run(
        "do $$ declare v_last text; begin"
        " select max(relname) into v_last from pg_class"
        "  where starts_with(relname, 'progress_events_2') and relkind = 'r';"
        " execute format('drop table private.%I', v_last); end $$"
    )
    assert worker.call("run_maintenance")["partitions"] == 1


def test_a_part_that_fails_leaves_the_others_alone(alone: Scratch, operator: Actor) -> None:
    with alone.connect() as connection:
        connection.execute(
            "create or replace function private.fold_statistics(p_limit integer) returns integer"
            " language plpgsql as $$ begin raise exception 'no luck'; end $$"
        )
        row = connection.execute("select private.run_maintenance()").fetchone()
        connection.rollback()
    assert row is not None
    assert row[0]["statistics"] == "failed: no luck"
    assert {row[0][part] for part in PARTS - {"statistics"}} == {0}


def test_the_upkeep_waits_for_nobody(operator: Actor, worker: Actor, alone: Scratch) -> None:
    with alone.connect() as other:
        other.execute("select private.run_maintenance()")
        assert worker.call("run_maintenance") == {"busy": True}
    with alone.connect() as other:
        other.execute("lock table public.user_assessment_attempts in access exclusive mode")
        report = worker.call("run_maintenance")
    assert "lock timeout" in report["attempts"]
    assert report["partitions"] == 0


def test_learners_may_not_run_it(actors: Callable[..., Actor], operator: Actor) -> None:
    (user,) = operator.run("select gen_random_uuid() as id")
    me = actors("authenticated", user["id"])
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        me.call("run_maintenance")
    operator.become(user["id"])
    with pytest.raises(Refused, match="not_allowed"):
        Actor.call(operator, "run_maintenance")
