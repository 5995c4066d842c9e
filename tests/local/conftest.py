"""One second stack for all tests of this folder; starting one takes seconds."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.local.second import Second

WHO = """
create or replace function public.who() returns text language sql stable
  as $$ select concat_ws(' ', current_user, auth.uid()) $$;
grant execute on function public.who() to anon, authenticated, service_role;
"""


@pytest.fixture(scope="session")
def shared_second() -> Iterator[Second]:
    second = Second()
    try:
        second.up()
        yield second
    finally:
        second.dev("reset", "--no-start")


@pytest.fixture
def second(shared_second: Second) -> Second:
    """The second stack, up."""
    if not (shared_second.folder / "running.json").exists():
        shared_second.up()
    return shared_second


@pytest.fixture(scope="session")
def password() -> str:
    """A password of this run."""
    return secrets.token_urlsafe(12)


@pytest.fixture
def who(second: Second) -> Second:
    """The second stack with a function that tells which role and user a request runs as."""
    with second.connect() as connection:
        known = connection.execute("select to_regprocedure('public.who()') is not null").fetchone()
        if known != (True,):
            connection.execute(WHO)
    # The schema cache reloads by itself, as on hosted.
    while second.get("/rest/v1/rpc/who", second["ANON_KEY"]).status_code == 404:
        pass
    return second
