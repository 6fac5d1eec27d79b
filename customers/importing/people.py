"""Which customer a row of purchases, events or consents is about, and what to do with the unknown ones."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from core.errors import UsageError
from customers.importing.fields import Columns, Fields
from customers.importing.importer import NewCustomers, Source, read_mailbox
from customers.importing.values import Rejected, clean_key

if TYPE_CHECKING:
    from sqlalchemy import Connection

EXTERNAL_ID_HEADERS: Final = (
    "customer", "customer id", "customer number", "customer no", "client id", "contact id",
    "Kundennummer", "Kunden-Nr", "Kunde", "客户编号", "客户号", "会员号",
)  # fmt: skip
EMAIL_HEADERS: Final = (
    "e-mail address", "mail", "email id", "customer email", "address", "E-Mail-Adresse", "Mailadresse",
    "电子邮件地址", "电子邮件", "电子邮箱", "邮箱", "邮箱地址",
)  # fmt: skip
#: The fields and staging columns of every row that is about a customer.
WHO_FIELDS: Final[Fields] = {"external_id": EXTERNAL_ID_HEADERS, "email": EMAIL_HEADERS}
WHO_STAGE: Final[Mapping[str, str]] = {"who": "text NOT NULL", "who_key": "uuid"}


class Who(NamedTuple):
    """The customer a row names. `name` is the external id, else the comparable address; `key` the address key as text
    (a third of the cost of a UUID in COPY)."""

    name: str
    key: str | None
    email: str | None
    smtputf8: bool


def who_reader(columns: Columns, secret: bytes, email_pattern: str | None = None) -> Callable[[Sequence[str]], Who]:
    """A function from the cells of a row to its customer. The external id goes before the address; an address in
    the column of the external id serves too.

    The function raises Rejected: the row names no customer, or only by something that is not an address.
    """
    external_id, email = columns.reader("external_id"), columns.reader("email")

    @lru_cache(maxsize=200_000)
    def read(key: str, address: str) -> Who:
        name = clean_key(key)
        if not name and not address:
            raise Rejected("no customer (the row has neither an external id nor an e-mail address)")
        if not address and "@" in name:
            address = name
        if not address and email_pattern:
            address = email_pattern.replace("{customer}", name)
        try:
            mailbox = read_mailbox(address, secret) if address else None
        except Rejected:
            if not name:
                raise
            mailbox = None
        if mailbox is None:
            return Who(name, None, None, False)
        is_named_by_address = not name or name == address
        return Who(
            mailbox.comparable if is_named_by_address else name, str(mailbox.key), mailbox.email, mailbox.smtputf8
        )

    return lambda cells: read(external_id(cells), email(cells))


def check_pattern(new: NewCustomers) -> None:
    """The pattern can serve.

    Raises:
        UsageError: it makes no address, makes the same for everybody, or no customers are to be created.
    """
    if new.email_pattern is None:
        return
    if not new.wanted:
        raise UsageError("--email-pattern is for --create-customers", hint="give both")
    if "{customer}" not in new.email_pattern or "@" not in new.email_pattern:
        raise UsageError(
            f"--email-pattern: got {new.email_pattern!r}, expected such as 'c{{customer}}@customers.example'"
        )


#: The customer of every `who` in `staged`: by external id, or that of a customer who was merged into another; else by
#: the address that somebody has, or had.
KNOWN: Final = """
    SELECT named.who, coalesce(by_id.id, merged.customer_id, by_address.id, by_former.customer_id) AS customer_id
    FROM (SELECT who, CAST(min(CAST(who_key AS text)) AS uuid) AS who_key FROM staged GROUP BY who) named
    LEFT JOIN customer by_id ON by_id.external_id = named.who
    LEFT JOIN customer_alias merged ON merged.external_id = named.who
    LEFT JOIN LATERAL (
        SELECT id FROM customer
        WHERE by_id.id IS NULL AND merged.customer_id IS NULL AND address_key = named.who_key ORDER BY id LIMIT 1
    ) by_address ON true
    LEFT JOIN LATERAL (
        SELECT customer_id FROM customer_address
        WHERE by_id.id IS NULL AND merged.customer_id IS NULL AND by_address.id IS NULL
          AND address_key = named.who_key ORDER BY customer_id LIMIT 1
    ) by_former ON true
"""

_KNOWN = f"CREATE TEMP TABLE known ON COMMIT DROP AS {KNOWN}"

_CREATE = """
    INSERT INTO customer (external_id, email, address_key, smtputf8, country, source, created_at, updated_at)
    SELECT DISTINCT ON (staged.who)
           staged.who, staged.who_email, staged.who_key, staged.who_smtputf8, staged.who_country, :source, :now, :now
    FROM known JOIN staged USING (who)
    WHERE known.customer_id IS NULL
    ORDER BY staged.who, staged.row
    ON CONFLICT (external_id) DO NOTHING
"""

_ADOPT = """
    UPDATE known SET customer_id = customer.id
    FROM customer WHERE known.customer_id IS NULL AND customer.external_id = known.who
"""

_UNKNOWN = "SELECT row, who FROM staged JOIN known USING (who) WHERE known.customer_id IS NULL"


def find_people(connection: "Connection") -> dict[int, str]:
    """The temporary table `known` holds the customer of every `who` in `staged`; returns the rows of unknown
    ones with the reason."""
    from sqlalchemy import text

    connection.execute(text(_KNOWN))
    connection.execute(text("ANALYZE known"))
    return {row: f"unknown customer {who!r}" for row, who in connection.execute(text(_UNKNOWN))}


def create_people(connection: "Connection", source: Source) -> int:
    """The unknown customers of `known` exist, described by their first row; returns how many were created."""
    from sqlalchemy import text

    parameters = {"source": source.file_name, "now": source.now}
    created = connection.execute(text(_CREATE), parameters).rowcount
    connection.execute(text(_ADOPT))
    return created
