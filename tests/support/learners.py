"""Learners made by SQL, with tokens minted for them: no test waits for password hashing."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from shared.client import AsyncWaymarkClient, WaymarkClient
from tests.stack import Stack


@dataclass(frozen=True)
class Learner:
    """A user of the stack."""

    stack: Stack
    id: str

    def token(self, **claims: Any) -> str:
        """A token that says who this is; a claim of None is left out."""
        return self.stack.token(self.id, **claims)

    def headers(self, **claims: Any) -> dict[str, str]:
        """Headers as supabase-js sends them for this user."""
        return {
            "Authorization": f"Bearer {self.token(**claims)}",
            "apikey": self.stack.publishable_key,
        }

    def client(self, **options: Any) -> WaymarkClient:
        """The typed client, acting for this user through the gateway."""
        key = self.stack.publishable_key
        return WaymarkClient(self.stack.functions_url, self.token(), apikey=key, **options)

    def async_client(self, **options: Any) -> AsyncWaymarkClient:
        """The asynchronous one."""
        key = self.stack.publishable_key
        return AsyncWaymarkClient(self.stack.functions_url, self.token(), apikey=key, **options)


def make_learners(stack: Stack, count: int) -> list[Learner]:
    """So many new users, signed up at this moment."""
    ids = [str(uuid.uuid4()) for _ in range(count)]
    with stack.connect() as connection:
        connection.execute(
            "insert into auth.users (id, email) select u, u || '@example.com'"
            " from unnest(%s::uuid[]) u",
            (ids,),
        )
    return [Learner(stack, user) for user in ids]


def make_learner(stack: Stack) -> Learner:
    """One new user."""
    return make_learners(stack, 1)[0]


def enroll(stack: Stack, learners: list[Learner], course: int) -> None:
    """Enrol them by SQL, each as themselves would."""
    with stack.connect() as connection:
        for learner in learners:
            connection.execute(
                "select set_config('request.jwt.claims', %s, true)",
                (f'{{"sub": "{learner.id}", "role": "authenticated"}}',),
            )
            connection.execute("set local role authenticated")
            connection.execute("select public.enroll(%s)", (course,))
            connection.execute("reset role")
