"""Files become customers, purchases, activities, consents and suppressions, once."""

import csv
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text

from core import schema
from core.database import Database
from core.errors import ImportFailed, UsageError
from core.workspace import Workspace
from customers.importing.files import Counts, How, Imported, import_file
from customers.importing.importer import NewCustomers
from tests.factories import key_of, make_consent, make_customer, make_suppression

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Desk:
    """A workspace on a fresh database, and files to import into it."""

    def __init__(self, database: Database, workspace: Workspace, folder: Path) -> None:
        self.database, self.workspace, self.folder = database, workspace, folder

    def run(
        self, kind: str, content: str | bytes, *, name: str = "file.csv", now: datetime = NOW, **how: Any
    ) -> Imported:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return import_file(self.database, self.workspace, kind, path, now=now, how=How(**how))

    def rows(self, table: Any, *columns: str) -> list[tuple[Any, ...]]:
        with self.database.begin() as connection:
            wanted = select(*(table.c[name] for name in columns)).order_by(table.c.id)
            return [tuple(row) for row in connection.execute(wanted)]

    def rejects(self, imported: Imported) -> list[dict[str, str]]:
        if imported.counts.rejects_file is None:
            return []
        with Path(imported.counts.rejects_file).open(encoding="utf-8-sig", newline="") as stream:
            return list(csv.DictReader(stream))


@pytest.fixture
def desk(database: Database, make_workspace: Callable[..., Workspace], tmp_path: Path) -> Desk:
    return Desk(database, make_workspace(database=database), tmp_path)


def figures(counts: Counts) -> tuple[int, int, int, int, int]:
    return counts.read, counts.created, counts.updated, counts.unchanged, counts.rejected


# --- customers ---------------------------------------------------------------------------------------

CUSTOMERS = """\
Kundennummer;Vorname;Nachname;E-Mail-Adresse;Land;Branche;Mitarbeiter
17.0;Jörg;Größe;mailto:Joerg@Groesse.example;Deutschland;Papier;5
18;Ann;O'Neill;;Österreich;;
;Bea;Ng;bea@x.example;德国;'=Druck;
"""


def test_customers_are_created_with_fields_and_attributes(desk: Desk) -> None:
    """
    Fields are cleaned, other columns become attributes, and who has no external id is known by the address.
    """
    imported = desk.run("customers", CUSTOMERS)

    assert (3, 3, 0, 0, 0) == figures(imported.counts)
    assert [
        ("17", "Joerg@groesse.example", key_of("joerg@groesse.example"), "DE",
         {"Branche": "Papier", "Mitarbeiter": "5"}),
        ("18", None, None, "AT", {}),
        ("bea@x.example", "bea@x.example", key_of("bea@x.example"), "DE", {"Branche": "=Druck"}),
    ] == desk.rows(schema.customer, "external_id", "email", "address_key", "country", "attributes")  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030", "cp1252"])
def test_customers_are_the_same_from_every_encoding(desk: Desk, encoding: str) -> None:
    """
    A file in any encoding gives the same names.
    """
    content = (
        CUSTOMERS.replace("德国", "Italien")
        if encoding == "cp1252"
        else CUSTOMERS + ";张;三;zhang@x.example;中国;北京纸业;\n"
    )
    desk.run("customers", content.encode(encoding))

    assert ("Jörg", "Größe") == desk.rows(schema.customer, "first_name", "last_name")[0]


@pytest.mark.realdata
def test_customers_come_from_a_chinese_outlook_export(desk: Desk) -> None:
    """
    A GB18030 file with Outlook's Chinese header imports without a map.
    """
    path = Path(__file__).parents[3] / "shared/data/contacts/outlook_zh_cn_csv_header.txt"
    if not path.exists():
        pytest.skip("the data sets are not beside the repository")
    header = path.read_text(encoding="utf-8").strip()
    person = dict.fromkeys(header.split(","), "") | {
        "姓": "宋", "名": "红江", "单位": "上海文具有限公司", "电子邮件地址": "song@x.example",
        "移动电话": "13800138000", "商务地址 国家/地区": "中国", "职务": "经理", "语言": "中文",
    }  # fmt: skip
    imported = desk.run("customers", f"{header}\r\n{','.join(person.values())}\r\n".encode("gb18030"))

    assert (1, 1, 0, 0, 0) == figures(imported.counts)
    assert imported.remarks[0].startswith("GB18030")
    assert [("红江", "宋", "上海文具有限公司", "13800138000", "CN", {"职务": "经理", "语言": "中文"})] == desk.rows(
        schema.customer, "first_name", "last_name", "company", "phone", "country", "attributes"
    )


def test_customers_imported_again_are_unchanged(desk: Desk) -> None:
    """
    The second import of a file changes no row, not even its time of change.
    """
    desk.run("customers", CUSTOMERS)
    before = desk.rows(schema.customer, *schema.customer.c.keys())
    again = desk.run("customers", CUSTOMERS, now=datetime(2026, 4, 1, tzinfo=UTC))

    assert (3, 0, 0, 3, 0) == figures(again.counts)
    assert before == desk.rows(schema.customer, *schema.customer.c.keys())


def test_customers_are_updated_by_what_a_file_says(desk: Desk) -> None:
    """
    Filled cells replace, empty cells keep, attributes are added to.
    """
    desk.run("customers", "id,email,company,city\n1,a@x.example,Old,Ulm\n2,b@x.example,Two,Bonn\n")
    imported = desk.run("customers", "id,email,company,size\n1,,New,9\n2,b@x.example,Two,\n")

    assert (2, 0, 1, 1, 0) == figures(imported.counts)
    assert [
        ("a@x.example", "New", {"city": "Ulm", "size": "9"}), ("b@x.example", "Two", {"city": "Bonn"}),
    ] == desk.rows(schema.customer, "email", "company", "attributes")  # fmt: skip


def test_customers_known_by_address_are_met_again_under_their_id(desk: Desk) -> None:
    """
    A row without external id is the customer who has its address, in any spelling.
    """
    desk.run("customers", "id,email\n1,a@x.example\n")
    imported = desk.run("customers", "email,company\nA@X.example,Acme\n")

    assert (1, 0, 1, 0, 0) == figures(imported.counts)
    assert [("1", "Acme")] == desk.rows(schema.customer, "external_id", "company")


def test_customers_twice_in_a_file_are_rejected_the_second_time(desk: Desk) -> None:
    """
    The first row counts, the second names it, and a repeated import decides alike.
    """
    content = "id,email,company\n,a@x.example,First\n1,A@x.example,Second\n1,other@x.example,Third\n"
    first = desk.run("customers", content)
    again = desk.run("customers", content)

    assert (3, 1, 0, 0, 2) == figures(first.counts)
    assert (3, 0, 0, 1, 2) == figures(again.counts)
    assert ["the same customer as row 2"] * 2 == [row["rejected_because"] for row in desk.rejects(again)]


def test_customers_that_cannot_be_imported_are_in_the_rejects_file(desk: Desk) -> None:
    """
    Each bad row is there with its number, reason and cells; no cell of it is a formula.
    """
    imported = desk.run("customers", (
        "id,email,language,zone,topics,note\n"
        "1,no address,,,,=cmd()\n,,,,,nobody\n3,,Englisch,,,\n4,,,Europe/Berln,,\n5,,,,promotion,\n"
        '6,"a"b,,,,\n7,,en,Europe/Berlin,no,fine\n8,,,,,,surplus\n'
    ))  # fmt: skip

    assert (8, 1, 0, 0, 7) == figures(imported.counts)
    assert imported.counts.rejects_file == str(desk.folder / "file.csv.rejects.csv")
    rejects = desk.rejects(imported)
    assert ["2", "3", "4", "5", "6", "7", "9"] == [row["rejected_row"] for row in rejects]
    expected = ["not an e-mail address", "no customer", "language tag", "Europe/Berlin", "'promotions'",
                "broken quoting", "more cells"]  # fmt: skip
    assert [] == [
        (part, row) for part, row in zip(expected, rejects, strict=True) if part not in row["rejected_because"]
    ]
    assert "'=cmd()" == rejects[0]["note"]


def test_rejects_file_can_be_mended_and_imported(desk: Desk) -> None:
    """
    The rejects file, corrected, imports as it is, and the guarded cells come out clean.
    """
    first = desk.run("customers", "id,email,note\n1,a@@x.example,+49\n2,b@x.example,\n")
    mended = Path(first.counts.rejects_file or "").read_text(encoding="utf-8-sig").replace("1,a@@x", "1,a@x")
    imported = desk.run("customers", mended, name="mended.csv")

    assert (1, 1, 0, 0, 0) == figures(imported.counts)
    assert ("1", "a@x.example", {"note": "+49"}) == desk.rows(schema.customer, "external_id", "email", "attributes")[-1]


def test_dry_run_counts_and_changes_nothing(desk: Desk) -> None:
    """
    A dry run gives the figures of the real one, and leaves no trace: neither in the database nor a rejects file.
    """
    content = CUSTOMERS + "x;;;bad;;;\n"
    dry = desk.run("customers", content, dry_run=True)
    left = desk.rows(schema.customer, "id"), desk.rows(schema.import_run, "id")
    real = desk.run("customers", content)

    assert ([], []) == left
    assert figures(dry.counts) == figures(real.counts)
    assert [] == desk.rejects(dry)
    assert 1 == len(desk.rejects(real))


def test_import_is_logged(desk: Desk) -> None:
    """
    What was imported, from which file and in which encoding, stays on record.
    """
    desk.run("customers", "id\n1\n".encode("utf-16"), name="people.csv")

    assert [("customers", "people.csv", "utf-16")] == desk.rows(schema.import_run, "kind", "file_name", "encoding")


def test_import_that_fails_changes_nothing(desk: Desk) -> None:
    """
    A file that breaks off in its last row leaves no customer behind.
    """
    with pytest.raises(ImportFailed, match="never closed"):
        desk.run("customers", 'id\n1\n2\n"3\n')
    assert [] == desk.rows(schema.customer, "id")


def test_customers_with_topics_have_agreed_to_them_once(desk: Desk) -> None:
    """
    Topics become consents with the file as source; a repeated import adds none.
    """
    content = "id,consent,consent date\n1,promotions;news,2026-01-05\n2,news,\n3,no,\n"
    desk.run("customers", content, name="fair.csv")
    desk.run("customers", content, name="fair.csv", now=datetime(2026, 5, 1, tzinfo=UTC))

    assert [
        ("news", "granted", "import:fair.csv", datetime(2026, 1, 5, tzinfo=UTC)),
        ("promotions", "granted", "import:fair.csv", datetime(2026, 1, 5, tzinfo=UTC)),
        ("news", "granted", "import:fair.csv", NOW),
    ] == desk.rows(schema.consent, "topic", "state", "source", "captured_at")


def test_customers_who_withdrew_are_not_brought_back(desk: Desk) -> None:
    """
    A customer list without dates cannot undo a withdrawal; topics that were not withdrawn are recorded.
    """
    with desk.database.begin() as connection:
        customer = make_customer(connection, external_id="1")
        make_consent(connection, customer, topic="news", state="withdrawn", source="page")
    imported = desk.run("customers", "id,topics\n1,news;promotions\n")

    assert [("news", "withdrawn"), ("promotions", "granted")] == desk.rows(schema.consent, "topic", "state")
    assert "1 consents were left out: withdrawn or erased before, and undated or older here" in imported.remarks


# --- purchases -----------------------------------------------------------------------------------------

PURCHASES = """\
InvoiceNo,StockCode,Quantity,InvoiceDate,UnitPrice,CustomerID
536365,A,6,2025-12-01 08:26:00,2.55,17850.0
536365,A,6,2025-12-01 08:26:00,2.55,17850.0
536365,B,1,2025-12-01 08:26:00,3.39,17850.0
C536379,A,-2,2025-12-02 09:41:00,2.55,17850.0
"""


def test_purchases_keep_duplicates_and_count_returns_as_negative(desk: Desk) -> None:
    """
    Two equal lines of one order are two; a cancelled invoice takes its amount off.
    """
    imported = desk.run("purchases", PURCHASES, new_customers=NewCustomers(wanted=True))

    assert (4, 4, 0, 0, 0) == figures(imported.counts)
    assert [Decimal("15.3"), Decimal("15.3"), Decimal("3.39"), Decimal("-5.1")] == [
        amount for (amount,) in desk.rows(schema.purchase, "amount")
    ]
    assert [("17850", None)] == desk.rows(schema.customer, "external_id", "email")


def test_purchases_imported_again_are_unchanged_in_any_order(desk: Desk) -> None:
    """
    The lines of a file are known again, even when another export sorts them differently.
    """
    desk.run("purchases", PURCHASES, new_customers=NewCustomers(wanted=True))
    header, *lines = PURCHASES.splitlines()
    again = desk.run("purchases", "\n".join([header, *reversed(lines)]))

    assert (4, 0, 0, 4, 0) == figures(again.counts)


def test_purchases_with_line_numbers_are_corrected_in_place(desk: Desk) -> None:
    """
    A line number is the line's identity: a corrected amount updates it, a second row with it is rejected.
    """
    desk.run("customers", "id\n1\n")
    desk.run("purchases", "customer,order,line,date,amount\n1,A,1,2026-01-01,10\n1,A,2,2026-01-01,5\n")
    imported = desk.run(
        "purchases", "customer,order,line,date,amount\n1,A,1,2026-01-01,12\n1,A,2,2026-01-01,5\n1,A,2,2026-01-01,7\n"
    )

    assert (3, 0, 1, 1, 1) == figures(imported.counts)
    assert "the same order line as row 3" == desk.rejects(imported)[0]["rejected_because"]
    assert [("1", Decimal(12)), ("2", Decimal(5))] == desk.rows(schema.purchase, "line_key", "amount")


def test_purchases_without_a_known_customer_are_rejected(desk: Desk) -> None:
    """
    Lines of unknown customers and of none wait in the rejects file until the customers are there.
    """
    imported = desk.run("purchases", "customer,order,date,amount\n9,A,2026-01-01,10\n,B,2026-01-01,10\n")

    assert (2, 0, 0, 0, 2) == figures(imported.counts)
    assert ["unknown customer '9'; import the customers first, or give --create-customers",
            "no customer (the row has neither an external id nor an e-mail address)"] == [
        row["rejected_because"] for row in desk.rejects(imported)
    ]  # fmt: skip


def test_purchases_find_customers_by_address_too(desk: Desk) -> None:
    """
    An address serves as the customer's key, also in the column of the external id.
    """
    desk.run("customers", "id,email\n1,a@x.example\n")
    imported = desk.run(
        "purchases", "customer,email,order,date,amount\nA@x.example,,A,2026-01-01,10\n77,a@X.example,B,2026-01-02,5\n"
    )

    assert (2, 2, 0, 0, 0) == figures(imported.counts)


def test_purchases_create_customers_with_addresses_from_the_pattern(desk: Desk) -> None:
    """
    Created customers get the address of the pattern and the country of their first line.
    """
    new = NewCustomers(wanted=True, email_pattern="c{customer}@customers.example")
    desk.run(
        "purchases",
        "customer,order,date,amount,country\n7,A,2026-01-01,10,France\n7,B,2026-01-02,1,Spain\n",
        new_customers=new,
    )

    assert [("7", "c7@customers.example", key_of("c7@customers.example"), "FR", "file.csv")] == desk.rows(
        schema.customer, "external_id", "email", "address_key", "country", "source"
    )


@pytest.mark.parametrize(
    "new",
    [
        NewCustomers(False, "c{customer}@x.example"),
        NewCustomers(True, "same@x.example"),
        NewCustomers(True, "c{customer}"),
    ],
)
def test_email_pattern_that_cannot_serve_is_refused(desk: Desk, new: NewCustomers) -> None:
    """
    A pattern without customers to create, without the customer, or without a domain is a usage error.
    """
    with pytest.raises(UsageError, match="--email-pattern"):
        desk.run("purchases", PURCHASES, new_customers=new)


def test_purchases_in_german_numbers_need_the_option(desk: Desk) -> None:
    """
    Without the option every such row is rejected; with it amounts are exact.
    """
    desk.run("customers", "id\n1\n")
    content = "Kundennummer;Bestellnummer;Datum;Betrag\n1;A;1.2.2026;1.234,56\n1;B;2.2.2026;1.234\n"
    refused = desk.run("purchases", content)
    imported = desk.run("purchases", content, decimal="comma")

    assert (2, 0, 0, 0, 2) == figures(refused.counts)
    assert (2, 2, 0, 0, 0) == figures(imported.counts)
    assert [(Decimal("1234.56"),), (Decimal(1234),)] == desk.rows(schema.purchase, "amount")


def test_purchases_say_which_columns_they_do_not_use(desk: Desk) -> None:
    """
    A column that no purchase has is named, not dropped silently.
    """
    imported = desk.run("purchases", "customer,order,date,amount,paint,curency\n1,A,2026-01-01,1,red,EUR\n")

    told = "left out, because purchases have no such field: paint, curency (did you mean 'currency'?)"
    assert told in imported.remarks


def test_import_without_needed_columns_names_them_all(desk: Desk) -> None:
    """
    A file that lacks columns is refused before any row is read.
    """
    with pytest.raises(ImportFailed, match="external_id or email; order_id; ordered_at"):
        desk.run("purchases", "a,amount\n1,2\n")


# --- events ----------------------------------------------------------------------------------------------


def test_events_are_recorded_once_with_their_properties(desk: Desk) -> None:
    """
    Equal rows of one file are two activities; importing the file again records none.
    """
    desk.run("customers", "id\n1\n")
    content = (
        "customer\tevent\ttime\tcategory\tvalue\n"
        + "1\tpage_view\t2026-01-05T10:00Z\tpaper\t\n" * 2
        + "9\tx\t2026-01-05\t\t\n"
    )
    first, again = desk.run("events", content), desk.run("events", content, name="renamed.tsv")

    assert (3, 2, 0, 0, 1) == figures(first.counts)
    assert (3, 0, 0, 2, 1) == figures(again.counts)
    assert [("page_view", {"category": "paper"}, "import:file.csv")] * 2 == desk.rows(
        schema.activity, "name", "properties", "source"
    )


def test_events_with_keys_are_corrected_in_place(desk: Desk) -> None:
    """
    An event key is the activity's identity.
    """
    desk.run("customers", "id\n1\n")
    desk.run("events", "customer,name,occurred_at,event_id,value\n1,visit,2026-01-05,E1,5\n")
    imported = desk.run(
        "events", "customer,name,occurred_at,event_id,value\n1,visit,2026-01-05,E1,6\n1,visit,2026-01-06,E1,7\n"
    )

    assert (2, 0, 1, 0, 1) == figures(imported.counts)
    assert [("E1", Decimal(6))] == desk.rows(schema.activity, "event_key", "value")


def test_event_keys_change_nothing_of_others(desk: Desk) -> None:
    """
    An activity of another customer stays, and keys of Clarion's own activities are no file's; each row has its reason.
    """
    desk.run("customers", "id\n1\n2\n")
    desk.run("events", "customer,name,occurred_at,event_id\n1,visit,2026-01-05,E1\n")
    keys = ("E1", "inquiry:1:received", "survey|1|nps|likely|2026|", "event_registered:1:1.0", "api:shop:1")
    rows = "".join(f"2,visit,2026-01-06,{key}\n" for key in keys)
    imported = desk.run("events", f"customer,name,occurred_at,event_id\n{rows}")

    assert (5, 0, 0, 0, 5) == figures(imported.counts)
    assert [("E1", 1)] == desk.rows(schema.activity, "event_key", "customer_id")


# --- consents and suppressions -------------------------------------------------------------------------------


def test_consents_are_appended_with_their_proof(desk: Desk) -> None:
    """
    Each fact is one row; other columns are its proof; a repeated import adds none.
    """
    desk.run("customers", "id,email\n1,a@x.example\n")
    content = (
        "email,topic,state,captured_at,basis,form,ip\n"
        "A@x.example,news,yes,2026-01-01,,fair,192.0.2.1\na@x.example,news,withdrawn,2026-02-01,,,\n"
    )
    first, again = desk.run("consents", content), desk.run("consents", content)

    assert (2, 2, 0, 0, 0) == figures(first.counts)
    assert (2, 0, 0, 2, 0) == figures(again.counts)
    assert [
        ("news", "granted", "consent", "fair", {"ip": "192.0.2.1"}),
        ("news", "withdrawn", "consent", "import:file.csv", {}),
    ] == desk.rows(schema.consent, "topic", "state", "basis", "source", "proof")  # fmt: skip


def test_consents_without_date_never_lift_a_withdrawal(desk: Desk) -> None:
    """
    An undated consent after a withdrawal is rejected; a dated newer one counts and is remarked upon.
    """
    with desk.database.begin() as connection:
        customer = make_customer(connection, external_id="1")
        make_consent(
            connection, customer, topic="news", state="withdrawn", captured_at=datetime(2026, 2, 1, tzinfo=UTC)
        )
    undated = desk.run("consents", "customer,topic\n1,news\n")
    dated = desk.run("consents", "customer,topic,captured_at\n1,news,2026-02-20\n")

    assert (1, 0, 0, 0, 1) == figures(undated.counts)
    assert "withdrawn on 2026-02-01" in desk.rejects(undated)[0]["rejected_because"]
    assert (1, 1, 0, 0, 0) == figures(dated.counts)
    assert "1 customers who had withdrawn have agreed again later" in dated.remarks


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("1,nws,,,", "there is no topic 'nws'"),
        ("1,news,maybe,,", "not a state"),
        ("1,news,,2030-01-01,", "in the future"),
        ("1,news,,,whim", "not a legal basis"),
        ("2,news,,,", "unknown customer '2'"),
    ],
)
def test_consents_that_prove_nothing_are_rejected(desk: Desk, row: str, words: str) -> None:
    """
    Unknown topics, states, bases and customers, and consents from the future are not recorded.
    """
    desk.run("customers", "id\n1\n")
    imported = desk.run("consents", f"customer,topic,state,captured_at,basis\n{row}\n")

    assert words in desk.rejects(imported)[0]["rejected_because"]
    assert [] == desk.rows(schema.consent, "id")


def test_suppressions_forbid_addresses_nobody_knows_yet(desk: Desk) -> None:
    """
    An entry needs no customer; scope follows from topic or campaign; a repeated import adds none.
    """
    content = (
        "email,topic,campaign,scope,reason\nBEA@X.example,,,,Complaint\nc@x.example,news,,,unsubscribed\n"
        "c@x.example,,spring,,\nbad,,,,\nd@x.example,,,topic,\nd@x.example,,,galaxy,\nd@x.example,nws,,,\n"
    )
    first, again = desk.run("suppressions", content), desk.run("suppressions", content)

    assert (7, 3, 0, 0, 4) == figures(first.counts)
    assert (7, 0, 0, 3, 4) == figures(again.counts)
    assert [
        (key_of("bea@x.example"), "global", "", "complaint"), (key_of("c@x.example"), "topic", "news", "unsubscribed"),
        (key_of("c@x.example"), "campaign", "spring", "manual"),
    ] == desk.rows(schema.suppression, "address_key", "scope", "scope_name", "reason")  # fmt: skip


def test_suppressions_are_never_lifted_by_an_import(desk: Desk) -> None:
    """
    Whatever is imported, entries in force stay in force.
    """
    with desk.database.begin() as connection:
        make_customer(connection, external_id="1", email="a@x.example")
        make_suppression(connection, "a@x.example", reason="complaint")
    desk.run("customers", "id,email,topics\n1,a@x.example,news\n")
    desk.run("consents", "email,topic,captured_at\na@x.example,news,2026-03-01\n")
    desk.run("suppressions", "email,reason\na@x.example,complaint\n")

    assert [(None,)] == desk.rows(schema.suppression, "lifted_at")


def test_import_leaves_metrics_and_statistics_fresh(desk: Desk) -> None:
    """
    Right after an import every customer has metrics, and the planner knows the tables.
    """
    desk.run("purchases", PURCHASES, new_customers=NewCustomers(wanted=True))

    with desk.database.begin() as connection:
        assert 1 == connection.execute(select(func.count()).select_from(schema.customer_metrics)).scalar()
        assert 4 == connection.execute(text("SELECT reltuples FROM pg_class WHERE relname = 'purchase'")).scalar()
