"""Which column of a file is which field."""

from pathlib import Path

import pytest

from core.errors import ImportFailed, UsageError
from customers.importing.customers import CustomerImporter
from customers.importing.fields import left_out, match_columns, parse_mapping, require
from customers.importing.purchases import PurchaseImporter
from customers.importing.rejects import REJECT_COLUMNS


def fields_of(
    header: list[str], mapping: dict[str, str] | None = None, kind: type = CustomerImporter
) -> dict[str, str]:
    columns = match_columns(header, kind.fields, mapping or {})
    return {field: header[place] for field, place in columns.places.items()}


def test_headers_of_online_retail_need_no_map() -> None:
    """
    The headers of a common sales export are recognised as they are.
    """
    header = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]

    assert {
        "order_id": "InvoiceNo", "product": "StockCode", "description": "Description", "quantity": "Quantity",
        "ordered_at": "InvoiceDate", "unit_price": "UnitPrice", "external_id": "CustomerID", "country": "Country",
    } == fields_of(header, kind=PurchaseImporter)  # fmt: skip


@pytest.mark.parametrize(
    "header",
    [
        ["Customer ID", "E-mail Address", "First Name", "Last Name", "Company"],
        ["Kundennummer", "E-Mail-Adresse", "Vorname", "Nachname", "Firma"],
        ["客户编号", "电子邮件地址", "名", "姓", "单位"],
    ],
)
def test_headers_are_known_in_three_languages(header: list[str]) -> None:
    """
    English, German and Chinese headers mean the same fields.
    """
    expected = dict(zip(["external_id", "email", "first_name", "last_name", "company"], header, strict=True))

    assert expected == fields_of(header)


@pytest.mark.realdata
def test_headers_of_a_chinese_outlook_export_are_known() -> None:
    """
    Of the 91 columns of a Chinese Outlook export the ones that are fields are found.
    """
    path = Path(__file__).parents[3] / "shared/data/contacts/outlook_zh_cn_csv_header.txt"
    if not path.exists():
        pytest.skip("the data sets are not beside the repository")
    header = path.read_text(encoding="utf-8").strip().split(",")

    assert {
        "email": "电子邮件地址", "first_name": "名", "last_name": "姓", "company": "单位", "phone": "移动电话",
        "country": "商务地址 国家/地区",
    } == fields_of(header)  # fmt: skip


def test_surest_header_wins_and_others_are_attributes() -> None:
    """
    Of two columns for one field the better known is taken; the other is kept as an attribute.
    """
    columns = match_columns(["Business Phone", "Mobile Phone", "email"], CustomerImporter.fields, {})

    assert 1 == columns.places["phone"]
    assert ((0, "Business Phone"),) == columns.attributes


def test_mapping_goes_before_recognition() -> None:
    """
    A mapped column is that field, a column mapped to attributes or to - is no field.
    """
    mapping = {"login": "email", "email": "attributes.old_email", "company": "-"}
    columns = match_columns(["login", "email", "company"], CustomerImporter.fields, mapping)

    assert {"email": 0} == columns.places
    assert ((1, "old_email"),) == columns.attributes


def test_a_column_named_as_an_attribute_is_that_attribute() -> None:
    """
    `attributes.region`, as segments write it, is the attribute `region`.
    """
    columns = match_columns(["external_id", "attributes.region"], {"external_id": ()}, {})

    assert ((1, "region"),) == columns.attributes


def test_columns_of_a_rejects_file_are_ignored() -> None:
    """
    A mended rejects file can be imported as it is.
    """
    columns = match_columns([*REJECT_COLUMNS, "email"], CustomerImporter.fields, {})

    assert () == columns.attributes


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (["mail"], "expected COLUMN=FIELD"),
        (["mial=email"], "did you mean 'mail'"),
        (["mail=emial"], "did you mean 'email'"),
        (["mail=email", "name=email"], "both 'mail' and 'name'"),
        (["mail=email", "mail=phone"], "mapped twice"),
    ],
)
def test_mapping_mistakes_are_usage_errors(pairs: list[str], words: str) -> None:
    """
    A mapping that cannot be meant is refused with a suggestion.
    """
    with pytest.raises(UsageError, match=words):
        match_columns(["mail", "name"], CustomerImporter.fields, parse_mapping(pairs))


def test_mapping_takes_columns_with_an_equals_sign() -> None:
    """
    The last equals sign parts column and field.
    """
    assert {"a=b": "email"} == parse_mapping(["a=b=email"])


def test_everything_missing_is_named_at_once() -> None:
    """
    The message lists all that the file lacks, and the columns it has.
    """
    columns = match_columns(["date", "qty"], PurchaseImporter.fields, {})

    with pytest.raises(ImportFailed, match=r"order_id; amount or quantity\+unit_price.*got columns date, qty"):
        require(columns, ("order_id",), ("ordered_at",), ("amount", "quantity+unit_price"), header=["date", "qty"])


def test_columns_that_are_left_out_are_named_with_what_may_be_meant() -> None:
    """
    One line for all of them, and none where every column is a field.
    """
    told = left_out(["colour", "quantty"], "purchases have", ["quantity", "order_id"])

    assert ("left out, because purchases have no such field: colour, quantty (did you mean 'quantity'?)",) == told
    assert () == left_out([], "purchases have", ["quantity"])
