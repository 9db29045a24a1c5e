"""Tables out of SQL scripts: every dialect, comments, keys, and scripts that are partly or wholly broken."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegir_dspy.errors import FailureRecord
from aegir_dspy.tables import ReadConfig
from aegir_dspy.tables.ddl import MAX_SCRIPT, parse_ddl, read_ddl
from aegir_dspy.tables.table import Column, ForeignKey, Table

MESSY = Path(__file__).parents[2].parent / "shared/data/messy/sql"


def only(script: str) -> Table:
    tables, failures = parse_ddl(script, "x.sql")
    assert failures == []
    (table,) = tables
    return table


def types(table: Table) -> dict[str | None, str | None]:
    return {column.name: column.declared_type for column in table.columns}


def inferred(table: Table) -> dict[str | None, str]:
    return {column.name: column.inferred_type for column in table.columns}


def comments(table: Table) -> dict[str | None, str]:
    return {column.name: column.comment for column in table.columns if column.comment}


def test_postgres_types_keys_and_comments_of_every_kind() -> None:
    table = only("""
        CREATE UNLOGGED TABLE IF NOT EXISTS shop.orders (
          id bigserial PRIMARY KEY,
          buyer int NOT NULL REFERENCES shop.people (pid) ON DELETE CASCADE, -- who pays
          "the ""note" text[] DEFAULT '{}'::text[],
          at timestamp(3) with time zone DEFAULT now(), opens time, price numeric(10, 2), qty decimal(8,0),
          ok boolean, day date, span interval day to second, key text, period int,
          CONSTRAINT f FOREIGN KEY (day, ok) REFERENCES calendar (d, o),
          CHECK (price > 0 AND price < 5)
        ) PARTITION BY RANGE (id);
        COMMENT ON TABLE shop.orders IS 'what was bought; it''s all here';
        COMMENT ON COLUMN "shop"."orders"."the ""note" IS 'a note';
    """)
    assert (table.name, table.source, table.primary_key) == ("orders", "x.sql", ("id",))
    assert table.comment == "what was bought; it's all here"
    assert types(table) == {
        "id": "bigserial",
        "buyer": "int",
        'the "note': "text[]",
        "at": "timestamp(3) with time zone",
        "opens": "time",
        "price": "numeric(10, 2)",
        "qty": "decimal(8,0)",
        "ok": "boolean",
        "day": "date",
        "span": "interval day to second",
        "key": "text",
        "period": "int",
    }
    kinds = "integer integer text datetime time number integer boolean date text text integer"
    assert " ".join(inferred(table).values()) == kinds
    assert {c.name: c.comment for c in table.columns if c.comment} == {
        "buyer": "who pays",
        'the "note': "a note",
    }
    assert table.foreign_keys == (
        ForeignKey(("buyer",), "people", ("pid",)),
        ForeignKey(("day", "ok"), "calendar", ("d", "o")),
    )


def test_keys_added_later_are_found_in_any_spelling() -> None:
    tables, failures = parse_ddl(
        """CREATE TABLE public.a (Id int, b int); CREATE TABLE c (x int);
        ALTER TABLE ONLY public.a ADD CONSTRAINT pk PRIMARY KEY (id);
        ALTER TABLE c ADD FOREIGN KEY (X) REFERENCES A NOT VALID, ADD KEY k (x), ADD COLUMN y date;
        ALTER TABLE c OWNER TO me; ALTER TABLE elsewhere ADD PRIMARY KEY (q);""",
        "x.sql",
    )
    assert failures == []
    assert tables[0].primary_key == ("Id",)
    assert tables[1].foreign_keys == (ForeignKey(("x",), "a", ("Id",)),)
    assert types(tables[1]) == {"x": "int", "y": "date"}


def test_backslashes_in_quoted_names_stay() -> None:
    table = only(
        'CREATE TABLE a ("`" int, "\\0" int, PRIMARY KEY ("`", "\\0"), FOREIGN KEY ("\\0") REFERENCES b)'
    )
    assert table.primary_key == ("`", "\\0")
    assert table.foreign_keys == (ForeignKey(("\\0",), "b", ()),)


def test_mysql_dump() -> None:
    table = only(r"""/*!40101 SET NAMES utf8 */;
        CREATE TABLE `my``t` (
          `id` int(11) unsigned NOT NULL AUTO_INCREMENT COMMENT 'it''s; the, id',
          `kind` enum('a','b,c') DEFAULT 'a' COMMENT 'a \' quote', `flag` tinyint(1) DEFAULT '0',
          `key` varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
          PRIMARY KEY (`id`,`kind`), UNIQUE KEY `u` (`key`(20)), FULLTEXT KEY ft (`key`),
          CONSTRAINT `fk` FOREIGN KEY (`id`) REFERENCES `db`.`other` (`oid`) ON DELETE CASCADE
        ) ENGINE=InnoDB DEFAULT CHARSET=utf8 COMMENT='Table''s comment';
        INSERT INTO `my``t` VALUES (1,'it\'s; \nCREATE TABLE no (a int);');""")
    assert (table.name, table.comment) == ("my`t", "Table's comment")
    assert table.primary_key == ("id", "kind")
    assert table.foreign_keys == (ForeignKey(("id",), "other", ("oid",)),)
    assert [c.comment for c in table.columns] == ["it's; the, id", "a ' quote", None, None]
    assert list(types(table).values()) == ["int(11) unsigned", "enum('a','b,c')", "tinyint(1)", "varchar(20)"]
    assert list(inferred(table).values()) == ["integer", "text", "boolean", "text"]


def test_spark_and_hive_partition_columns() -> None:
    table = only("""CREATE EXTERNAL TABLE cat.db.t (a STRING COMMENT 'c', b STRUCT<x: INT, y: ARRAY<STRING>>,
        m MAP<STRING, INT>) COMMENT 'tbl' PARTITIONED BY (dt DATE COMMENT 'day') STORED AS PARQUET""")
    assert (table.name, table.comment) == ("t", "tbl")
    assert types(table) == {
        "a": "STRING",
        "b": "STRUCT<x: INT, y: ARRAY<STRING>>",
        "m": "MAP<STRING, INT>",
        "dt": "DATE",
    }
    assert [c.comment for c in table.columns] == ["c", None, None, "day"]


FLINK = r"""
CREATE TEMPORARY TABLE clicks (
  `user` BIGINT, `at` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL COMMENT 'when', part INT METADATA,
  cost AS `user` * 2 COMMENT 'double', seen AS PROCTIME(), rowtime AS parse(`user`), n AS CAST(part AS INT),
  r ROW<a INT COMMENT 'q', b ROW<c STRING NOT NULL, d TIMESTAMP(3)>> NOT NULL,
  m MAP<STRING, ARRAY<INT>>, s MULTISET<STRING>, raw BYTES, `dateTime` TIMESTAMP(3),
  WATERMARK FOR rowtime AS rowtime - INTERVAL '5' SECOND,
  CONSTRAINT pk PRIMARY KEY (`user`, part) NOT ENFORCED
) COMMENT 'flink' PARTITIONED BY (part) WITH ('connector'='faker', 'e'='#{regexify ''(a\/b|LIKE x){1}''}');
CREATE TABLE copy (extra STRING) WITH ('connector'='x') LIKE clicks (EXCLUDING OPTIONS);
BEGIN STATEMENT SET; INSERT INTO copy SELECT * FROM clicks; END;
"""


def test_flink() -> None:
    tables, failures = parse_ddl(FLINK, "x.sql")
    assert failures == []
    clicks, copy = tables
    assert (clicks.name, clicks.comment, clicks.primary_key) == ("clicks", "flink", ("user", "part"))
    assert types(clicks) == {
        "user": "BIGINT",
        "at": "TIMESTAMP_LTZ(3)",
        "part": "INT",
        "cost": None,
        "seen": None,
        "rowtime": None,
        "n": None,
        "r": "ROW<a INT COMMENT 'q', b ROW<c STRING NOT NULL, d TIMESTAMP(3)>>",
        "m": "MAP<STRING, ARRAY<INT>>",
        "s": "MULTISET<STRING>",
        "raw": "BYTES",
        "dateTime": "TIMESTAMP(3)",
    }
    assert list(inferred(clicks).values())[:8] == (
        ["integer", "datetime", "integer", "text", "datetime", "datetime", "integer", "text"]
    )
    assert comments(clicks) == {"at": "when", "cost": "double"}
    assert [c.name for c in copy.columns] == [*(c.name for c in clicks.columns), "extra"]
    assert [c.index for c in copy.columns] == list(range(13))


def test_hana_column_table_and_its_store_types() -> None:
    table = only("""CREATE COLUMN TABLE M.A ( ID INTEGER CS_INT NOT NULL, AT LONGDATE CS_LONGDATE,
        TEXT NCLOB ST_MEMORY_LOB, CONSTRAINT p PRIMARY KEY (ID) );""")
    assert types(table) == {"ID": "INTEGER", "AT": "LONGDATE", "TEXT": "NCLOB"}
    assert list(inferred(table).values()) == ["integer", "datetime", "text"]
    assert table.primary_key == ("ID",)


def test_templates_and_inheritance() -> None:
    tables, failures = parse_ddl(
        """CREATE TABLE @cdm.PERSON (person_id integer NOT NULL REFERENCES @cdm.CONCEPT (id));
        CREATE TABLE p1 ( CHECK ( person_id < 5 )) INHERITS (PERSON);
        CREATE TABLE ${env}_x (LIKE person INCLUDING ALL, a int);""",
        "x.sql",
    )
    assert failures == []
    assert [(t.name, list(types(t))) for t in tables] == [
        ("PERSON", ["person_id"]),
        ("p1", ["person_id"]),
        ("env_x", ["person_id", "a"]),
    ]
    assert tables[0].foreign_keys == (ForeignKey(("person_id",), "CONCEPT", ("id",)),)


def test_a_broken_statement_costs_one_record_with_its_line() -> None:
    tables, failures = parse_ddl(
        "-- head\nCREATE TABLE a (x int);\n\nCREATE TABLE bad (x ! int, y int);\n"
        "CREATE TABLE open (x int;\nCREATE TABLE q AS SELECT * FROM a, b;\nCREATE TABLE z (x int)",
        "dir/x.sql",
    )
    assert [table.name for table in tables] == ["a", "z"]
    assert failures[0] == FailureRecord(
        task="read:dir/x.sql",
        agent="tables.ddl",
        failure_class="parse",
        message="expected a column or a constraint, found: x ! int",
        evidence="dir/x.sql:4: CREATE TABLE bad (x ! int, y int)",
    )
    assert [f.evidence.split(" ")[0] for f in failures] == ["dir/x.sql:4:", "dir/x.sql:5:", "dir/x.sql:6:"]


@pytest.mark.parametrize(
    "junk",
    [
        "INSERT INTO x VALUES ('it's');",
        'SELECT "open FROM t;',
        "/* never closed\n",
        "SELECT $$ open;",
        "CREATE FUNCTION f() AS $$ BEGIN\nCREATE TABLE no (a int);\nEND $$;",
        "COPY t (a) FROM stdin;\n1\tit's\nCREATE TABLE no (a int);\n\\.\n",
        "SELECT 1\n",
        "\\connect db\n",
        "USE x\nGO\n",
    ],
)
def test_what_stands_before_a_table_does_not_hide_it(junk: str) -> None:
    assert only(f"{junk}\nCREATE TABLE t (a int);\nSELECT 'done';").name == "t"


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("", "no statement"),
        ("SELECT 1; CREATE VIEW v AS SELECT 2; SELECT 3;", "2 SELECT, 1 CREATE VIEW"),
        ("ALTER TABLE a ADD PRIMARY KEY (x);", "1 ALTER TABLE"),
        ("\x00\xff garbage", "1 GARBAGE"),
    ],
)
def test_a_script_without_tables_says_what_it_holds(script: str, found: str) -> None:
    tables, failures = parse_ddl(script, "x.sql")
    assert tables == []
    assert [f.message for f in failures] == [f"expected a CREATE TABLE statement, found {found}"]


@pytest.mark.parametrize(
    ("script", "evidence"),
    [("", "1: no statement"), ("-- none\n\nSELECT a\nFROM t; SELECT 2", "3: SELECT a FROM t")],
)
def test_a_script_without_tables_is_quoted(script: str, evidence: str) -> None:
    assert [f.evidence for f in parse_ddl(script, "x.sql")[1]] == [f"x.sql:{evidence}"]


def test_bigquery_options() -> None:
    table = only("""CREATE OR REPLACE TABLE shop.orders (
        id INT64 NOT NULL OPTIONS(description="the key, it's whole"),
        at TIMESTAMP OPTIONS(description='when'),
        lines ARRAY<STRUCT<sku STRING OPTIONS(description='inner'), n FLOAT64>>, note STRING)
        PARTITION BY DATE(at) CLUSTER BY id OPTIONS(expiration_days=7, description="all orders")""")
    assert (table.name, table.comment) == ("orders", "all orders")
    assert comments(table) == {"id": "the key, it's whole", "at": "when"}
    assert list(types(table).values())[:2] == ["INT64", "TIMESTAMP"]
    assert list(inferred(table).values()) == ["integer", "datetime", "text", "text"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("AS SELECT a, b AS c FROM t", ["a", "c"]),
        ("AS (SELECT t.a, count(*), sum(b) n, 1 FROM t GROUP BY 1)", ["a", None, "n", None]),
        ("USING parquet AS WITH w AS (SELECT 1 AS q) SELECT q AS x FROM w UNION ALL SELECT 2", ["x"]),
        ("COMMENT 'a AS SELECT' AS SELECT * FROM known", ["id", "at"]),
        ("(x, y) AS SELECT a, b FROM t", ["x", "y"]),
    ],
)
def test_tables_made_from_a_query(query: str, expected: list[str | None]) -> None:
    tables, failures = parse_ddl(f"CREATE TABLE known (id int, at date);\nCREATE TABLE new {query};", "x.sql")
    assert failures == []
    assert [column.name for column in tables[1].columns] == expected
    assert [column.index for column in tables[1].columns] == list(range(len(expected)))


def test_the_type_of_a_selected_column_is_unknown() -> None:
    assert types(only("CREATE TABLE x AS SELECT a, b AS c FROM t")) == {"a": None, "c": None}


def test_bounds_are_kept_and_said(tmp_path: Path) -> None:
    path = tmp_path / "x.sql"
    path.write_text("CREATE TABLE a (x int);\nCREATE TABLE b (x int, y int, z int);\nCREATE TABLE c (x int);")
    tables, failures = read_ddl(path, ReadConfig(max_columns=2))
    assert [table.name for table in tables] == ["a", "c"]
    assert [(f.failure_class, f.evidence.split(": ")[0]) for f in failures] == [("resource", f"{path}:2")]
    tables, failures = read_ddl(path, ReadConfig(max_tables=1))
    assert [table.name for table in tables] == ["a"]
    assert [(f.failure_class, f.evidence.split(": ")[0]) for f in failures] == [("resource", f"{path}:2")]


def test_files_in_other_encodings_and_missing_files(tmp_path: Path) -> None:
    path = tmp_path / "x.sql"
    path.write_bytes("CREATE TABLE é (ü int);\r\n".encode("latin-1"))
    (table,), failures = read_ddl(path)
    assert (table.name, types(table), failures) == ("é", {"ü": "int"}, [])
    assert [f.failure_class for f in read_ddl(tmp_path / "none.sql")[1]] == ["resource"]


def test_a_file_too_large_is_read_to_the_bound_and_said_so(tmp_path: Path) -> None:
    path = tmp_path / "x.sql"
    path.write_text("CREATE TABLE a (x int);\n" + " " * MAX_SCRIPT + "CREATE TABLE b (x int);")
    tables, failures = read_ddl(path)
    assert [table.name for table in tables] == ["a"]
    assert [f.failure_class for f in failures] == ["resource"]


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE a AS SELECT " + ", ".join(f"f(a{i}) AS b{i}" for i in range(60_000)) + " FROM t",
        "CREATE TABLE a AS SELECT " + "(" * 3000 + "1" + ")" * 3000,
        "CREATE TABLE a (x int DEFAULT " + "(" * 3000 + "1" + ")" * 3000 + ")",
        "CREATE TABLE a (" + "(" * 20000,
        "'" * 300_001,
        "$a$ $b$ " * 50_000,
        "/*" * 100_000,
        "CREATE " * 50_000,
        "\n".join(f"CREATE TABLE t{i} (a ! x{i});" for i in range(3000)),
        "CREATE TABLE a0 (x int);"
        + "".join(f"CREATE TABLE a{i + 1} (LIKE a{i}, x{i} int);" for i in range(800)),
    ],
)
def test_no_script_hangs(script: str, within: Callable[..., object]) -> None:
    within(5, lambda: parse_ddl(script, "x.sql"))


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    parse_ddl("CREATE TABLE a (x int ENCODE zstd ! q) DISTKEY(x); CREATE TABLE b (c ! d); " + FLINK, "x.sql")
    assert capfd.readouterr() == ("", "")


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12)
TYPES = {
    "BIGINT": "integer",
    "DECIMAL(10, 2)": "number",
    "VARCHAR(20)": "text",
    "TIMESTAMP": "datetime",
    "DATE": "date",
    "BOOLEAN": "boolean",
    "DOUBLE PRECISION": "number",
}


@st.composite
def drawn_tables(draw: st.DrawFn) -> Table:
    names = draw(st.lists(NAMES, min_size=1, max_size=6, unique_by=str.lower))
    columns = []
    for index, name in enumerate(names):
        kind = draw(st.sampled_from(sorted(TYPES)))
        columns.append(Column(index, name, (), kind, TYPES[kind]))
    key = tuple(draw(st.lists(st.sampled_from(names), max_size=3, unique=True)))
    other = ForeignKey((draw(st.sampled_from(names)),), "else where", ("its id",))
    return Table(draw(NAMES), "x.sql", tuple(columns), None, key, (other,) if draw(st.booleans()) else ())


def as_ddl(table: Table, quote: str) -> str:
    def name(text: str) -> str:
        return quote + text.replace(quote, quote * 2) + quote

    def names(texts: tuple[str, ...]) -> str:
        return ", ".join(map(name, texts))

    lines = [f"{name(c.name or '')} {c.declared_type} NOT NULL" for c in table.columns]
    lines += [f"PRIMARY KEY ({names(table.primary_key)})"] if table.primary_key else []
    for key in table.foreign_keys:
        lines.append(
            f"FOREIGN KEY ({names(key.columns)}) REFERENCES {name(key.table)} ({names(key.references)})"
        )
    return f"CREATE TABLE {name(table.name)} (\n" + ",\n".join(lines) + "\n);\n"


@settings(max_examples=60, deadline=None)
@given(st.lists(drawn_tables(), min_size=1, max_size=3), st.sampled_from('"`'))
def test_tables_written_as_ddl_are_read_back(tables: list[Table], quote: str) -> None:
    script = "".join(as_ddl(table, quote) for table in tables)
    assert parse_ddl(script, "x.sql") == (tables, [])


@pytest.mark.skipif(not MESSY.is_dir(), reason="the sample scripts (../shared/data/messy/sql) are absent")
def test_every_sample_script_gives_all_its_tables() -> None:
    for path in sorted(MESSY.rglob("*.sql")):
        expected = re.findall(r"^[ \t]*CREATE (?:\w+ )?TABLE", path.read_text(), re.M | re.I)
        tables, failures = read_ddl(path)
        assert len(tables) == len(expected), path.name
        assert len(failures) == (not expected), path.name
