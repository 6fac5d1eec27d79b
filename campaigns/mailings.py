"""From a message of the ledger to its mail: the customer's context, the rendered parts, the headers.

Message-ID and tracking tokens are functions of the message row and the workspace's secret, so a message has the same
ones however often it is made. Its date is when it is made: what is tried again is sent with the bytes it had.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, DateTime, RowMapping, Select, Text, any_, bindparam, select

from campaigns import versions
from campaigns.enclosures import NO_ENCLOSURES, Enclosures, enclosures_of
from campaigns.events.invitation import calendar_of, files_of
from campaigns.inquiries.states import ANSWERS
from campaigns.message_ids import feedback_id, identity_of, message_id_of, sender_domain
from campaigns.subject_labels import label_countries, labelled
from campaigns.versions import Version
from core.arrays import Ids
from core.schema import customer, customer_metrics, message, run
from core.workspace import Workspace
from delivery.message_bytes import AUTOMATIC_HEADERS, REPLY_HEADERS, Mail, bulk_headers
from suppression.policy import Policy
from suppression.watching import tracked
from templates.mailing import Draft, Mailing, Rendered
from tracking.links import TrackedUrls
from tracking.public_links import PublicLinks
from tracking.timed_tokens import TimedPurpose, TimedTokens
from tracking.tokens import Signer

#: Versions that are kept compiled, each with its files.
_MOST_LETTERS: Final = 16


@dataclass(frozen=True)
class Letter:
    """A compiled version: everything that does not depend on the recipient."""

    version: Version
    mailing: Mailing
    enclosures: Enclosures = NO_ENCLOSURES

    @cached_property
    def records(self) -> Mapping[str, Mapping[str, str | None]]:
        """What templates may know besides the customer."""
        organisation, sender = self.version.organisation, self.version.sender
        return {
            "organisation": {
                "name": organisation.name,
                "postal_address": organisation.postal_address,
                "website": organisation.website or "",
            },
            "campaign": {"name": self.version.campaign, "topic": self.version.definition.consent_topic},
            "sender": {"name": sender.name, "email": sender.email},
        }

    @cached_property
    def list_headers(self) -> tuple[tuple[str, str], ...]:
        """What tells of the list; the same for everybody."""
        topic, sender = self.version.definition.consent_topic, self.version.sender.email
        list_id, feedback = f"<{topic}.{sender_domain(sender)}>", feedback_id(self.version.campaign, topic, sender)
        return ("List-Id", list_id), ("Feedback-ID", feedback)

    @classmethod
    def of(cls, connection: Connection, version: Version) -> "Letter":
        """The version compiled, its files encoded."""
        return cls(version, version.mailing, enclosures_of(version.mailing, versions.contents_of(connection, version)))

    @cached_property
    def without_files(self) -> "Letter":
        """The same with a mark in place of each file: `enclosures.put_into` makes its mails whole."""
        return replace(self, enclosures=self.enclosures.marks)


class Recipient(NamedTuple):
    """One message's row with its customer."""

    message_id: int
    email: str
    smtputf8: bool
    not_before: datetime
    dated_at: datetime  # what `Date` says of a mail that is made now
    identity: str  # campaign, step, occurrence and address key: what the Message-ID is made from
    attempt_count: int  # before this one
    customer: Mapping[str, Any]  # as templates see it
    given: Mapping[str, Any]  # what came with the order to send; empty for an audience
    tracked: bool = True  # whether opens and clicks of this customer may be recorded

    @property
    def envelope_id(self) -> str:
        """What a delivery status notification gives back: tells the message to nobody but us."""
        return envelope_id_of(self.identity)


def envelope_id_of(identity: str) -> str:
    """The envelope id of the message with this identity."""
    return hashlib.blake2s(identity.encode(), digest_size=12).hexdigest()


@dataclass(slots=True)
class Sheet:
    """One mail while it is made."""

    letter: Letter
    recipient: Recipient
    urls: TrackedUrls = field(init=False)
    draft: Draft = field(init=False)
    mail: Mail = field(init=False)


class Studio:
    """Renders messages of one workspace; keeps the versions it used last compiled, by id."""

    def __init__(self, workspace: Workspace) -> None:
        self._secret = workspace.secret
        self._base_url = workspace.settings.tracking.base_url
        self._signer = Signer(workspace.token_secret)
        self._timed = TimedTokens(workspace.token_secret)
        self._pages = PublicLinks(self._base_url, self._timed)
        self._preferences_life = workspace.settings.pages.links.mailings
        self._label_countries = label_countries(Policy.of(workspace.settings))
        self._letters: dict[int, Letter] = {}

    def letter(self, connection: Connection, version_id: int) -> Letter:
        """The compiled version with this id."""
        letter = self._letters.pop(version_id, None)
        if letter is None:
            letter = Letter.of(connection, versions.fetch(connection, version_id))
        self._letters[version_id] = letter
        for oldest in list(self._letters)[:-_MOST_LETTERS]:
            self._letters.pop(oldest, None)  # another thread may have been quicker
        return letter

    def render(self, letter: Letter, recipient: Recipient) -> Rendered:
        """The mailing as this recipient gets it.

        Raises:
            RenderError: a value is missing, or a limit was exceeded; this recipient's mailing alone fails.
        """
        rendered = letter.mailing.render(self._context(letter, recipient), self._urls(letter.version, recipient))
        subject = self._labelled(letter.version, rendered.subject, recipient.customer)
        return rendered if subject is rendered.subject else replace(rendered, subject=subject)

    def mail(self, letter: Letter, recipient: Recipient) -> Mail:
        """The whole mail for this recipient, headers included.

        Raises:
            RenderError: as for `render`.
        """
        sheet = Sheet(letter, recipient)
        for step in self.steps:
            step(sheet)
        return sheet.mail

    @cached_property
    def steps(self) -> tuple[Callable[[Sheet], None], ...]:
        """What makes a mail of a sheet, in order. Each may raise RenderError: that mail alone fails.

        Whoever makes many does each step for all of them: a processor is fastest at what it has just done.
        """
        return self._address, self._begin, self._write_text, self._write_html, self._finish

    def _address(self, sheet: Sheet) -> None:
        sheet.urls = self._urls(sheet.letter.version, sheet.recipient)

    def _begin(self, sheet: Sheet) -> None:
        sheet.draft = sheet.letter.mailing.begun(self._context(sheet.letter, sheet.recipient), sheet.urls)

    @staticmethod
    def _write_text(sheet: Sheet) -> None:
        sheet.letter.mailing.write_text(sheet.draft)

    @staticmethod
    def _write_html(sheet: Sheet) -> None:
        sheet.letter.mailing.write_html(sheet.draft)

    def _finish(self, sheet: Sheet) -> None:
        letter, recipient, draft = sheet.letter, sheet.recipient, sheet.draft
        version, sender = letter.version, letter.version.sender
        known = recipient.customer
        name = " ".join([part for part in (known["first_name"], known["last_name"]) if part])
        calendar = calendar_of(version.campaign, recipient.given)
        sheet.mail = Mail(
            message_id=message_id_of(self._secret, recipient.identity, sender.email),
            date=recipient.dated_at,
            sender_name=sender.name,
            sender_email=sender.email,
            reply_to=sender.reply_to,
            recipient_email=recipient.email,
            recipient_name=name,
            subject=self._labelled(version, draft.subject, known),
            text=draft.text,
            html=draft.html,
            headers=_headers(letter, sheet.urls.unsubscribe, recipient.given),
            images=letter.enclosures.images_in(draft.html),
            attachments=(*letter.enclosures.attachments, *files_of(version.campaign, calendar, recipient.given)),
            calendar=calendar,
        )

    def _labelled(self, version: Version, subject: str, known: Mapping[str, Any]) -> str:
        if version.is_transactional:
            return subject
        return labelled(subject, known["country"], known["language"], self._label_countries)

    def _urls(self, version: Version, recipient: Recipient) -> TrackedUrls:
        ends_at = recipient.not_before + self._preferences_life
        token = self._timed.sign(TimedPurpose.MAIL_PREFERENCES, recipient.message_id, ends_at)
        preferences = f"{self._base_url}/p/{token}"
        return TrackedUrls(
            self._base_url, self._signer, recipient.message_id,
            opens=version.opens, preferences=preferences, tracked=recipient.tracked, pages=self._pages,
            pages_end=ends_at,
        )  # fmt: skip

    @staticmethod
    def _context(letter: Letter, recipient: Recipient) -> dict[str, object]:
        known: dict[str, object] = {"customer": recipient.customer, **letter.records}
        return {"given": recipient.given, **known} if letter.version.is_open_ended else known


def _headers(letter: Letter, unsubscribe: str, given: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    """What kind of mail it is: owed to one person (S-2.22), perhaps in answer to theirs, or to many who may leave."""
    if letter.version.is_transactional:
        return REPLY_HEADERS if given and given.get(ANSWERS) == "mail" else AUTOMATIC_HEADERS
    return (*bulk_headers(unsubscribe), *letter.list_headers)


#: What templates may know of a customer: columns of both tables under the names marketers use.
_CONTEXT = (
    *(
        customer.c[name]
        for name in (
            "external_id",
            "email",
            "first_name",
            "last_name",
            "company",
            "phone",
            "country",
            "language",
            "zone",
            "owner",
            "attributes",
        )
    ),
    customer_metrics.c.pyramid.label("tier"),
    *(
        customer_metrics.c[name]
        for name in (
            "abc",
            "rfm",
            "quadrant",
            "order_count",
            "monetary",
            "first_order_at",
            "last_order_at",
            "recency_days",
        )
    ),
)
_NAMES = tuple(column.name for column in _CONTEXT)


_MOMENT = bindparam("now", type_=DateTime(timezone=True))
_RECIPIENTS = (
    select(
        message.c.id,
        message.c.not_before,
        customer.c.smtputf8,
        message.c.campaign,
        message.c.step,
        message.c.occurrence,
        message.c.address_key.cast(Text),  # to be read as text: a UUID takes twice as long to be made and written
        message.c.attempt_count,
        message.c.given,
        *_CONTEXT,
    )
    .join(customer, customer.c.id == message.c.customer_id)
    .outerjoin(customer_metrics, customer_metrics.c.customer_id == customer.c.id)
    .where(message.c.id == any_(bindparam("ids", type_=Ids)), customer.c.address_key == message.c.address_key)
    .order_by(message.c.id)
)


@lru_cache(maxsize=8)
def _recipients(policy: Policy) -> Select[Any]:
    may_track = tracked(customer.c.id, customer.c.country, now=_MOMENT, policy=policy)
    return _RECIPIENTS.add_columns(may_track.label("tracked"))


def recipients(
    connection: Connection, message_ids: Sequence[int], *, policy: Policy, now: datetime
) -> Iterator[Recipient]:
    """The recipients of these messages, in order of message id; their mails are to be made at `now`.

    A message whose customer is gone, or has another address than the one that was frozen, has none.
    """
    rows = connection.execute(_recipients(policy), {"ids": list(message_ids), "now": now})
    for row in rows.all():  # row by row takes twice as long
        message_id, not_before, smtputf8, campaign, step, occurrence, key, attempt_count, given, *values, may = row
        shown = dict(zip(_NAMES, values, strict=True))
        identity = identity_of(campaign, step, occurrence, key)
        yield Recipient(
            message_id, shown["email"], smtputf8, not_before, max(not_before, now), identity, attempt_count, shown,
            given or {}, may,
        )  # fmt: skip


def _shown(row: RowMapping) -> dict[str, Any]:
    return {name: row[name] for name in _NAMES}


def sample_recipient(
    connection: Connection, customer_id: int, now: datetime, given: Mapping[str, Any] | None = None
) -> Recipient:
    """The customer as the recipient of a message that is not in the ledger (id 0), for previews."""
    query = (
        select(customer.c.smtputf8, *_CONTEXT)
        .outerjoin(customer_metrics, customer_metrics.c.customer_id == customer.c.id)
        .where(customer.c.id == customer_id)
    )
    row = connection.execute(query).mappings().one()
    identity = f"preview|{customer_id}"
    return Recipient(0, row["email"] or "", row["smtputf8"], now, now, identity, 0, _shown(row), given or {})


def rendered_message(connection: Connection, workspace: Workspace, message_id: int, now: datetime) -> Rendered | None:
    """The mailing of a message as its recipient got it, its images inside it, for view-in-browser; None when there is
    no such message."""
    query = select(run.c.version_id).join(message, message.c.run_id == run.c.id).where(message.c.id == message_id)
    version_id = connection.execute(query).scalar()
    policy = Policy.of(workspace.settings)
    recipient = next(recipients(connection, [message_id], policy=policy, now=now), None)
    if version_id is None or recipient is None:
        return None
    studio = _studio(workspace)
    letter = studio.letter(connection, version_id)
    rendered = studio.render(letter, recipient)
    return replace(rendered, html=letter.enclosures.page(rendered.html)) if rendered.html else rendered


@lru_cache(maxsize=4)
def _studio(workspace: Workspace) -> Studio:
    """One studio per workspace: a page that anybody may ask for must not compile the template each time."""
    return Studio(workspace)
