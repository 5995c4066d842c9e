"""Sweeps over tables, columns, keys and triggers."""

from __future__ import annotations

from typing import LiteralString

from tests.access.world import build
from tests.catalog.catalog import Catalog

# The columns that a heartbeat or an opening writes: an index on one would end HOT updates.
HEARTBEAT = {
    "user_progress": {
        "view_time_seconds",
        "position_seconds",
        "watched",
        "last_accessed",
        "progress",
        "updated_at",
    },
    "enrollments": {
        "view_time_seconds",
        "last_accessed_at",
        "current_module_id",
        "current_lesson_id",
        "current_section",
        "progress_percent",
        "completed_lessons",
        "completed_weight",
        "frontier_lesson_id",
        "frontier_version",
        "updated_at",
    },
    "module_progress": {"completed_lessons", "updated_at"},
    "daily_activity": {"lessons_completed", "view_seconds", "attempts", "last_at", "updated_at"},
    "private.watch_sessions": {"seconds", "until", "position_seconds"},
    "private.watch_credit": {"spent"},
    "private.rate_buckets": {"full_at"},
}


# Tables


def without_rls(catalog: Catalog) -> list[str]:
    return catalog.column(
        """
        select c.relname from pg_class c
         where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
           and not c.relrowsecurity
        """
    )


def test_every_public_table_has_row_level_security(catalog: Catalog) -> None:
    assert len(catalog.tables()) >= 13
    assert without_rls(catalog) == []
    with catalog.broken("create table public.careless (id int)"):
        assert without_rls(catalog) == ["careless"]


def test_public_holds_no_views_and_no_foreign_tables(catalog: Catalog) -> None:
    """A view would read with its owner's rights, a foreign table knows no policies."""
    assert (
        catalog.column(
            "select relname from pg_class where relnamespace = 'public'::regnamespace"
            " and relkind in ('v', 'm', 'f')"
        )
        == []
    )


def test_partitions_are_private(catalog: Catalog) -> None:
    """Row level security of the parent does not protect a child that the API could name."""
    partitions = catalog.column(
        "select c.relnamespace::regnamespace::text"
        " from pg_inherits i join pg_class c on c.oid = i.inhrelid"
        " join pg_class parent on parent.oid = i.inhparent"
        " where c.relkind = 'r' and c.relispartition"
        " and parent.relnamespace::regnamespace::text in ('public', 'private')"
    )
    assert len(partitions) >= 24
    assert set(partitions) == {"private"}


def test_months_are_made_far_ahead(catalog: Catalog) -> None:
    [bound] = catalog.column(
        "select max(relname) from pg_class where relispartition and relkind = 'r'"
        " and starts_with(relname, 'progress_events_')"
    )
    [needed] = catalog.column("select to_char(now() + interval '12 months', 'YYYY_MM')")
    assert bound >= f"progress_events_{needed}"


def test_every_table_is_stamped(catalog: Catalog) -> None:
    stamps = catalog.rows(
        """
        select c.relname as table, array_agg(a.attname::text order by a.attname) as columns
          from pg_class c
          join pg_attribute a on a.attrelid = c.oid
         where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
           and a.attname in ('created_at', 'updated_at') and a.attnotnull
           and a.atttypid = 'timestamptz'::regtype
         group by 1 order by 1
        """
    )
    assert [row["table"] for row in stamps] == catalog.tables()
    assert all(row["columns"] == ["created_at", "updated_at"] for row in stamps)


# Append-only: no role holds UPDATE, on the table or a column. All others keep updated_at.
UNTOUCHED: LiteralString = """
select c.relname from pg_class c
 where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
   and exists (
     select from pg_roles r
      where r.rolname in ('anon', 'authenticated', 'service_role', 'waymark_writer')
        and has_any_column_privilege(r.oid, c.oid, 'update'))
   and not exists (
     select from pg_trigger t
      where t.tgrelid = c.oid and t.tgname = '_900_touch' and t.tgenabled = 'O'
        and t.tgfoid = 'private.tg_touch_updated_at()'::regprocedure
        and t.tgtype = 19)  -- before update, for each row
"""


def test_what_can_change_says_when(catalog: Catalog) -> None:
    assert catalog.column(UNTOUCHED) == []
    with catalog.broken("alter table public.cohorts disable trigger _900_touch"):
        assert catalog.column(UNTOUCHED) == ["cohorts"]


def test_history_is_append_only(catalog: Catalog) -> None:
    changeable = catalog.column(
        """
        select c.relname from pg_class c, pg_roles r
         where c.relnamespace = 'public'::regnamespace
           and c.relname in ('progress_events', 'audit_log')
           and r.rolname in ('anon', 'authenticated', 'service_role', 'waymark_writer')
           and (has_any_column_privilege(r.oid, c.oid, 'update')
             or has_table_privilege(r.oid, c.oid, 'delete')
             or has_table_privilege(r.oid, c.oid, 'truncate'))
        """
    )
    assert changeable == []


def test_every_table_is_described(catalog: Catalog) -> None:
    assert (
        catalog.column(
            """
            select c.relname from pg_class c
             where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
               and coalesce(obj_description(c.oid, 'pg_class'), '') = ''
            """
        )
        == []
    )


def test_every_table_has_a_primary_key(catalog: Catalog) -> None:
    keyed = catalog.column(
        """
        select c.relname from pg_class c join pg_constraint k on k.conrelid = c.oid
         where c.relnamespace = 'public'::regnamespace and k.contype = 'p' order by 1
        """
    )
    assert keyed == catalog.tables()


def test_types_are_the_wide_ones(catalog: Catalog) -> None:
    """text, timestamptz, bigint for what grows: nothing to migrate later."""
    narrow = catalog.rows(
        """
        select c.relname, a.attname, format_type(a.atttypid, a.atttypmod) as type
          from pg_class c join pg_attribute a on a.attrelid = c.oid
         where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
           and a.attnum > 0 and not a.attisdropped
           and a.atttypid in ('varchar'::regtype, 'bpchar'::regtype, 'timestamp'::regtype,
                              'timetz'::regtype, 'money'::regtype, 'json'::regtype,
                              'smallint'::regtype)
        """
    )
    assert narrow == []


def test_nothing_but_event_streams_is_published(catalog: Catalog) -> None:
    """Realtime sends what a publication holds; nothing is in it yet."""
    assert (
        catalog.column("select tablename from pg_publication_tables where schemaname = 'private'")
        == []
    )


# Foreign keys

FOREIGN_KEYS: LiteralString = """
select k.conrelid::regclass::text as table, k.conname as name, k.confdeltype as on_delete,
       exists (
         select from pg_index i
          where i.indrelid = k.conrelid and i.indisvalid
            and (i.indpred is null
              or pg_get_expr(i.indpred, i.indrelid) = '(' || (
                select attname from pg_attribute
                 where attrelid = k.conrelid and attnum = k.conkey[1]) || ' IS NOT NULL)')
            -- The key's columns lead the index, in any order.
            and (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey) as is_indexed
  from pg_constraint k
 where k.contype = 'f' and k.connamespace in ('public'::regnamespace, 'private'::regnamespace)
   and k.conparentid = 0
 order by 1, 2
"""


def test_every_foreign_key_says_what_a_delete_does(catalog: Catalog) -> None:
    keys = catalog.rows(FOREIGN_KEYS)
    assert len(keys) >= 16
    assert [(key["table"], key["name"]) for key in keys if key["on_delete"] == "a"] == []


def test_every_foreign_key_is_indexed(catalog: Catalog) -> None:
    def bare() -> list[str]:
        return [key["name"] for key in catalog.rows(FOREIGN_KEYS) if not key["is_indexed"]]

    assert bare() == []
    with catalog.broken("drop index public.user_progress_lesson_idx"):
        assert bare() == ["user_progress_lesson_fkey"]


def test_history_outlives_what_it_tells_of(catalog: Catalog) -> None:
    keys = catalog.rows(FOREIGN_KEYS)
    assert {key["table"] for key in keys} & {"progress_events", "audit_log"} == set()


def test_nothing_references_a_progress_row_by_id(catalog: Catalog) -> None:
    """So that user_progress can be hash-partitioned by user_id."""
    assert (
        catalog.column(
            "select conname from pg_constraint"
            " where contype = 'f' and confrelid = 'public.user_progress'::regclass"
        )
        == []
    )
    # A partitioned table's unique keys all hold the partition key.
    assert (
        catalog.column(
            """
            select i.indexrelid::regclass::text from pg_index i
             where i.indrelid = 'public.user_progress'::regclass and i.indisunique
               and not exists (
                 select from pg_attribute a
                  where a.attrelid = i.indrelid and a.attname = 'user_id'
                    and a.attnum = any (i.indkey))
            """
        )
        == []
    )


# Triggers

TRIGGERS: LiteralString = """
select t.tgrelid::regclass::text as table, t.tgname as name,
       p.pronamespace::regnamespace::text as schema,
       t.tgtype & 2 > 0 as is_before, t.tgtype & 1 > 0 as is_row, t.tgenabled
  from pg_trigger t join pg_proc p on p.oid = t.tgfoid
 where not t.tgisinternal and p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
   and t.tgparentid = 0
 order by 1, 2
"""


def test_triggers_fire_in_an_order_that_their_names_tell(catalog: Catalog) -> None:
    """PostgreSQL fires them by name: _NNN_what, unique on the table, touch last of all."""
    triggers = [row for row in catalog.rows(TRIGGERS) if "." not in row["table"]]
    assert len(triggers) >= 20
    for trigger in triggers:
        word, number, *what = trigger["name"].split("_", 2)
        assert (word, len(number), number.isdigit(), bool(what)) == ("", 3, True, True), trigger
        assert trigger["tgenabled"] == "O"
        assert trigger["schema"] == "private"
    for table in {trigger["table"] for trigger in triggers}:
        names = [trigger["name"] for trigger in triggers if trigger["table"] == table]
        before = [
            trigger["name"]
            for trigger in triggers
            if trigger["table"] == table and trigger["is_before"] and trigger["is_row"]
        ]
        assert len({name[:4] for name in before}) == len(before)
        if "_900_touch" in names:
            assert max(before) == "_900_touch"


def test_locks_are_taken_before_any_row(catalog: Catalog) -> None:
    """In a BEFORE STATEMENT trigger: one for each row comes when the row is locked already."""
    locks = [row for row in catalog.rows(TRIGGERS) if row["name"].startswith("_000_")]
    assert {"courses", "modules", "lessons"} <= {row["table"] for row in locks}
    assert all(row["is_before"] and not row["is_row"] for row in locks)


# Indexes

INDEXED: LiteralString = """
select i.indrelid::regclass::text as table, i.indexrelid::regclass::text as index,
       a.attname as column
  from pg_index i
  join pg_class c on c.oid = i.indrelid
  join pg_attribute a on a.attrelid = i.indrelid
 where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
   and (a.attnum = any (i.indkey)
     -- In an expression or a predicate.
     or pg_get_indexdef(i.indexrelid) ~ ('\\m' || a.attname || '\\M'))
"""


def qualified(table: str) -> str:
    return table if "." in table else f"public.{table}"


def test_updated_at_is_never_indexed(catalog: Catalog) -> None:
    assert [row for row in catalog.rows(INDEXED) if row["column"] == "updated_at"] == []


def test_heartbeats_touch_no_index(catalog: Catalog) -> None:
    def touched() -> list[str]:
        return [
            row["index"]
            for row in catalog.rows(INDEXED)
            if row["column"] in HEARTBEAT.get(row["table"], ())
        ]

    for table, columns in HEARTBEAT.items():
        known = catalog.column(
            "select attname from pg_attribute where attrelid = %s::regclass", qualified(table)
        )
        assert columns <= set(known)
    assert touched() == []
    for careless in (
        "create index careless on public.user_progress (user_id) include (progress)",
        "create index careless on public.user_progress (user_id) where position_seconds > 0",
        "create index careless on public.user_progress (abs(view_time_seconds))",
    ):
        with catalog.broken(careless):
            assert touched() == ["careless"]


def test_rows_that_change_often_leave_room_for_it(catalog: Catalog) -> None:
    assert (
        catalog.column(
            """
            select c.relname from pg_class c
             where c.oid = any (%s::text[]::regclass[]) and not exists (
               select from unnest(c.reloptions) as o
                where o like 'fillfactor=%%' and split_part(o, '=', 2)::int < 100)
            """,
            [qualified(table) for table in HEARTBEAT],
        )
        == []
    )


def test_no_two_indexes_are_the_same(catalog: Catalog) -> None:
    assert (
        catalog.column(
            """
            select array_agg(i.indexrelid::regclass::text) from pg_index i
              join pg_class c on c.oid = i.indrelid
             where c.relnamespace = 'public'::regnamespace
             group by i.indrelid, i.indkey::text, i.indclass::text, i.indoption::text,
                      pg_get_expr(i.indpred, i.indrelid), pg_get_expr(i.indexprs, i.indrelid)
            having count(*) > 1
            """
        )
        == []
    )


def test_a_heartbeat_is_a_hot_update(catalog: Catalog) -> None:
    """What the catalogue promises, tried: positions that follow each other enter no index."""
    updates: LiteralString = """
        select sum(pg_stat_get_xact_tuples_updated(c)), sum(pg_stat_get_xact_tuples_hot_updated(c))
          from unnest(array['public.user_progress', 'public.enrollments']::regclass[]) as c
    """
    with catalog.broken():
        world = build(catalog.connection)
        [before] = catalog.connection.execute(updates).fetchall()
        for second in range(1, 6):
            catalog.connection.execute(
                "select set_config('waymark.now', (now() + make_interval(secs => %s))::text, true)",
                [second],
            )
            answer = world.call(
                "learner",
                "select public.put_lesson_progress(%s, p_position_seconds => %s)",
                world.lessons["begun"],
                second,
            )
            assert answer["changed"]
        [after] = catalog.connection.execute(updates).fetchall()
    assert (after[0] - before[0], after[1] - before[1]) == (10, 10)
