"""docs/reference/indexes.md names every index, what it is on, and the query that it serves."""

from __future__ import annotations

import re

from tests.catalog.catalog import DOCS, Catalog

PAGE = (DOCS / "reference" / "indexes.md").read_text()
ROWS = re.findall(
    r"^\| `(\w+)` \| `(\w+) \(([\w, ]+)\)`(?: where `([^`]+)`)? \| ([^|]+) \|$", PAGE, re.M
)


def test_every_index_is_documented_as_it_is(catalog: Catalog) -> None:
    made = {
        row["index"]: (row["table"], row["columns"], row["predicate"])
        for row in catalog.rows(
            """
            select i.indexrelid::regclass::text as index, i.indrelid::regclass::text as table,
                   (select string_agg(a.attname, ', ' order by k.n)
                      from unnest(i.indkey::int2[]) with ordinality as k (attnum, n)
                      join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
                   ) as columns,
                   replace(replace(replace(replace(
                     lower(btrim(pg_get_expr(i.indpred, i.indrelid), '()')),
                     ') and (', ' and '), ') or (', ' or '), '::text', ''),
                     '= any (array[''submit'', ''pass''])', 'in (''submit'', ''pass'')'
                   ) as predicate
              from pg_index i join pg_class c on c.oid = i.indrelid
             where c.relnamespace = 'public'::regnamespace
            """
        )
    }
    told = {name: (table, columns, where or None) for name, table, columns, where, _ in ROWS}
    assert told == made
    assert len(told) == len(ROWS)


def test_every_index_serves_a_query() -> None:
    assert [name for name, *_, query in ROWS if len(query.strip()) < 12] == []


def test_what_is_left_out_has_its_reason() -> None:
    reasons = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", PAGE.split("## Left out")[1], re.M)[2:]
    assert len(reasons) >= 10
    assert [index for index, reason in reasons if len(reason.strip()) < 20] == []
