"""A campaign's mailing as one customer would get it, without a message in the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping

from campaigns import mailings, versions
from campaigns.catalogue import Catalogue
from campaigns.mailings import Letter, Studio
from campaigns.sequences import versions as sequences
from campaigns.versions import Version
from core.errors import NotFound, TransportError
from core.names import did_you_mean
from core.workspace import Workspace
from delivery.message_bytes import Mail, write_message
from delivery.smtp import Endpoint, Outcome, OutcomeState, Outgoing, SmtpPool
from templates.preview import page_of


@dataclass(frozen=True, slots=True)
class Preview:
    """The mail, how a mail program shows it, and its finished bytes.

    Its links carry message number 0: following one records nothing.
    """

    mail: Mail
    page: str  # HTML; of a mailing without an HTML part, its text as a page
    content: bytes


def preview(
    connection: Connection,
    workspace: Workspace,
    catalogue: Catalogue,
    campaign: str,
    person: RowMapping,
    now: datetime,
    given: Mapping[str, Any] | None = None,
    step: str | None = None,
) -> Preview:
    """The mailing of `campaign` for the customer `person` (a row of `customer`), with what an order would give.

    `step`: which mailing of a sequence; None: its first one.

    Raises:
        NotFound: no such campaign, or no such step that sends.
        RenderError: the mailing cannot be rendered for this customer; the message says why.
    """
    version = _version(catalogue, campaign, step)
    recipient = mailings.sample_recipient(connection, person["id"], now, given)
    studio, letter = Studio(workspace), Letter.of(connection, version)
    mail = studio.mail(letter, recipient)
    page = letter.enclosures.page(page_of(studio.render(letter, recipient)))
    return Preview(mail, page, write_message(mail))


def _version(catalogue: Catalogue, campaign: str, step: str | None) -> Version:
    if campaign not in catalogue.sequences:
        if step is not None:
            raise NotFound(f"{campaign} has no steps", hint="only a sequence has; leave --step out")
        return versions.pin(catalogue, campaign)
    mailings = sequences.pin(catalogue, campaign).mailings
    wanted = next(iter(mailings), "") if step is None else step
    if wanted not in mailings:
        raise NotFound(f"{campaign}: no step {wanted!r} that sends", hint=did_you_mean(wanted, mailings))
    return mailings[wanted]


async def send_once(workspace: Workspace, transport: str | None, mail: Mail) -> Outcome:
    """One mail is handed to the transport (the first of the settings unless named); its answer is returned.

    Not recorded in the ledger: for tests to oneself only.
    """
    transports = workspace.settings.transports
    name = transport or next(iter(transports))
    pool = SmtpPool(Endpoint.of(transports[name], workspace.root))
    answers: list[Outcome] = []

    async def collect(answered: Any, ids: Any) -> Any:
        answers.extend(outcome for _, outcome in answered)
        return ids

    try:
        content = _signed(workspace, mail)
        outgoing = Outgoing(0, mail.sender_email, mail.recipient_email, content, smtputf8=False)
        await pool.deliver([outgoing], collect)
    finally:
        await pool.close()
    if answers[-1].state is OutcomeState.NOT_SENT:
        raise TransportError(f"{name}: {answers[-1].reply}", hint="check `transports:` in clarion.yaml")
    return answers[-1]


def _signed(workspace: Workspace, mail: Mail) -> bytes:
    """The mail's bytes as an order would send them: signed where its sender's domain has keys."""
    content, dkim = write_message(mail), workspace.settings.dkim
    if not dkim:
        return content
    from delivery.dkim import signer_for, signers  # only who signs loads `cryptography`

    signer = signer_for(signers(dkim, workspace.root), mail.sender_email)
    return signer.sign(content) if signer is not None else content
