from aegir_dspy.tables.table import Column, ForeignKey, Table
from aegir_dspy.verifier.keys import distinctness, inclusion, key_diagnostics, references, unique_columns

CUSTOMERS = Table(
    "customers",
    "",
    (Column(0, "id", ("c-1", "c-2", "c-3", "c-4")), Column(1, "city", ("Ulm", "Ulm", "Bonn", "Ulm"))),
    primary_key=("id",),
)


def orders(*customers: str) -> Table:
    columns = (
        Column(0, "no", tuple(f"o{i}" for i in range(len(customers)))),
        Column(1, "customer", customers),
    )
    return Table("orders", "", columns, foreign_keys=(ForeignKey(("customer",), "customers", ("id",)),))


def test_shares() -> None:
    assert distinctness(("a", "a", "b", "")) == 0.666666667 and distinctness(("", "NULL")) == 0.0
    assert inclusion(("a", "b", "a"), ("b", "c")) == 0.5 and inclusion((), ("a",)) == 0.0


def test_unique_columns() -> None:
    assert unique_columns(CUSTOMERS) == (0,)
    assert unique_columns(Table("t", "", (Column(0, "x", ("1", "")), Column(1, "y", ())))) == ()


def test_references_are_found() -> None:
    (found,) = references([CUSTOMERS, orders("c-1", "c-2", "c-3", "c-3", "")])
    assert (found.table, found.column, found.to_table, found.to_column) == ("orders", 1, "customers", 0)
    assert found.share == 1.0


def test_small_counters_are_no_references() -> None:
    one = Table("one", "", (Column(0, "id", ("1", "2", "3", "4")),))
    other = Table("other", "", (Column(0, "n", ("1", "2", "3")),))
    assert references([one, other]) == ()


def test_declared_keys_are_checked() -> None:
    assert key_diagnostics([CUSTOMERS, orders("c-1", "c-2")]) == ()
    (found,) = key_diagnostics([CUSTOMERS, orders("c-1", "x", "y")])
    assert (found.code, found.subject, found.evidence) == ("instances.foreign_key", "orders[1]", ("x", "y"))
    repeated = Table("r", "", (Column(0, "id", ("1", "1", "2")),), primary_key=("id",))
    (found,) = key_diagnostics([repeated])
    assert found.code == "instances.key_repeats" and found.evidence == ("1",)


def test_what_is_not_there_is_no_reason() -> None:
    table = Table("t", "", (Column(0, "x", ("1",)),), primary_key=("y",))
    key = ForeignKey(("x",), "gone", ("id",))
    assert key_diagnostics([table, Table("u", "", table.columns, foreign_keys=(key,))]) == ()
