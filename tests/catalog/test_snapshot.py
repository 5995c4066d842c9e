"""The schema that all migrations together make, as text: what a change changes is read in a diff.

supabase/schema.txt has a line for each object, without functions' bodies (the migrations have
those) and without grants and policies' text (supabase/policies has those). To accept a change:
WAYMARK_ACCEPT=1 bin/test tests/catalog/test_snapshot.py
"""

from __future__ import annotations

import difflib
import os
from typing import LiteralString

import pytest

from tests.catalog.catalog import ROOT, Catalog

FILE = ROOT / "supabase" / "schema.txt"
OURS: LiteralString = "in ('public'::regnamespace, 'private'::regnamespace)"
# Months are made as time goes by.
TABLE: LiteralString = f"c.relnamespace {OURS} and not c.relispartition"
LINES: LiteralString = f"""
select format('table %s.%s', c.relnamespace::regnamespace, c.relname)
  from pg_class c where {TABLE} and c.relkind in ('r', 'p')
union all
select format('view %s.%s: %s', c.relnamespace::regnamespace, c.relname,
              regexp_replace(pg_get_viewdef(c.oid), '\\s+', ' ', 'g'))
  from pg_class c where {TABLE} and c.relkind in ('v', 'm')
union all
select format('column %s.%s.%s: %s%s%s', c.relnamespace::regnamespace, c.relname, a.attname,
              format_type(a.atttypid, a.atttypmod), case when a.attnotnull then ' not null' end,
              case a.attgenerated when '' then ' default ' else ' generated ' end
                || pg_get_expr(d.adbin, d.adrelid))
  from pg_class c
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
 where {TABLE} and c.relkind in ('r', 'p')
union all
select format('constraint %s.%s.%s: %s', c.relnamespace::regnamespace, c.relname, k.conname,
              pg_get_constraintdef(k.oid))
  from pg_class c join pg_constraint k on k.conrelid = c.oid
 where {TABLE} and k.contype <> 'n'
union all
select 'index ' || pg_get_indexdef(i.indexrelid)
  from pg_class c join pg_index i on i.indrelid = c.oid
 where {TABLE}
union all
select format('trigger %s.%s: %s', c.relnamespace::regnamespace, c.relname,
              pg_get_triggerdef(t.oid))
  from pg_class c join pg_trigger t on t.tgrelid = c.oid
 where {TABLE} and not t.tgisinternal
union all
select format('policy %s.%s: %s', schemaname, tablename, policyname)
  from pg_policies where schemaname in ('public', 'private')
union all
select format('function %s.%s(%s) returns %s, %s, %s', p.pronamespace::regnamespace, p.proname,
              pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
              case p.provolatile when 'i' then 'immutable' when 's' then 'stable'
                                 else 'volatile' end,
              case when p.prosecdef then 'definer ' || p.proowner::regrole else 'invoker' end)
  from pg_proc p
 where p.pronamespace {OURS}
   and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
"""


def snapshot(catalog: Catalog) -> list[str]:
    catalog.connection.execute("set local search_path = ''")
    found = catalog.connection.execute(LINES).fetchall()
    # A constraint may name characters that end lines.
    return sorted(" ".join(line.split()).encode("unicode_escape").decode() for (line,) in found)


def test_the_schema_is_the_committed_one(catalog: Catalog) -> None:
    now = snapshot(catalog)
    if os.environ.get("WAYMARK_ACCEPT"):
        FILE.write_text("\n".join(now) + "\n", "utf-8")
        pytest.skip(f"{FILE.name} is written anew")
    was = FILE.read_text("utf-8").splitlines()
    difference = list(difflib.unified_diff(was, now, "committed", "migrations", n=0, lineterm=""))
    assert difference == []
    with catalog.broken("alter table public.notes alter column body drop not null"):
        assert len(set(was) ^ set(snapshot(catalog))) == 2
