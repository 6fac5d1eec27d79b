"""A broadcast through a real Postfix into a Maildir, read back by Python's own parser."""

import email
import re
from email import policy
from email.message import EmailMessage

import pytest
from sqlalchemy import text

from campaigns.message_ids import identity_of, message_id_of
from core.ids import address_key
from tests.campaign_files import FILES
from tests.factories import SECRET
from tests.processes import wait_for
from tests.servers import postfix

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(postfix.why_not() is not None, reason=str(postfix.why_not())),
]
COUNT = 1000
#: Firms whose names have to be escaped, encoded or folded somewhere on the way.
FIRMS = [
    "Miller & Sons",
    "Bürobedarf Größenwahn GmbH",
    "北京纸业有限公司",
    '"Quotes" <and> Brackets',
    "A firm with a name so long that no header line holds it, and its office supplies division, and its archives",
]
#: Lines that mail servers are known to stumble over.
TEXT = """\
Good morning {{ customer.first_name }} of {{ customer.company }},
.
.. two dots, and one alone above
From here on this line would look like a separator
=3D is no quoted-printable, Grüße 你好
See the offer: https://paper.example/spring
"""


def _firm(number: int) -> str:
    return FIRMS[number % len(FIRMS)]


def _name(number: int) -> str:
    return f"Zoë {number}"


def _message_id(address: str) -> str:
    identity = identity_of("spring-paper", "send", "1", address_key(SECRET, address))
    return f"<{message_id_of(SECRET, identity, 'offers@paper.example')}>"


def _lines(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return part.get_content().replace("\r\n", "\n")


def _check(mail: EmailMessage, number: int) -> None:
    """The mail is what was meant for customer `number`, header by header and part by part."""
    address = f"p{number}@{postfix.DOMAIN}"
    to, sender = mail["To"].addresses[0], mail["From"].addresses[0]
    assert [address, address] == [mail["Delivered-To"], to.addr_spec]
    assert ("Paper & Co", "offers@paper.example") == (sender.display_name, sender.addr_spec)
    assert f"Paper for {_firm(number)}" == mail["Subject"]
    assert _message_id(address) == mail["Message-ID"]
    assert "help@paper.example" == mail["Reply-To"].addresses[0].addr_spec
    assert "List-Unsubscribe=One-Click" == mail["List-Unsubscribe-Post"]
    assert re.fullmatch(r"(<mailto:[^>]+>, ?)?<https?://[^>\s]+/u/[^>\s]+>", mail["List-Unsubscribe"])
    assert not mail.defects
    _check_text(_lines(mail, "plain"), number)
    _check_html(_lines(mail, "html"), number)


def _check_text(written: str, number: int) -> None:
    first, *rest = written.split("\n")
    assert f"Good morning {_name(number)} of {_firm(number)}," == first
    assert TEXT.split("\n")[1:5] == rest[:4]
    assert 1 == len(re.findall(r"https?://\S+/c/\S+", written))
    assert 1 == len(re.findall(r"https?://\S+/u/\S+", written))


def _check_html(written: str, number: int) -> None:
    assert f"Good morning {_name(number)}," in written
    assert 1 == len(re.findall(r'href="https?://[^"]+/c/[^"]+"', written))
    assert 1 == len(re.findall(r'href="https?://[^"]+/u/[^"]+"', written))
    assert 1 == len(re.findall(r'<img src="https?://[^"]+/o/[^"]+"', written))


@pytest.fixture
def workplace(make_workplace):
    """A campaign for a thousand people, all sent into the Maildir."""
    with postfix.running() as server:
        files = FILES | {"templates/spring-paper.txt": TEXT}
        workplace = make_workplace(server.port, COUNT, files)
        with workplace.database.begin() as connection:
            for number in range(1, COUNT + 1):
                connection.execute(
                    text("UPDATE customer SET company = :firm, first_name = :name WHERE id = :id"),
                    {"firm": _firm(number), "name": _name(number), "id": number},
                )
        with workplace.worker():
            workplace.send()
            workplace.settle()
        wait_for(server.is_idle, "Postfix to deliver", server.log)
        yield workplace, server


def test_a_real_server_delivers_every_mail_once_and_as_it_was_meant(workplace):
    """
    A thousand mails are in the Maildir, one each: names, subjects, texts, links and headers survive the way.
    """
    workplace, server = workplace
    mails = [email.message_from_bytes(content, policy=policy.default) for content in server.mails()]
    by_number = {int(re.sub(r"\D", "", mail["Delivered-To"])): mail for mail in mails}

    assert {"accepted": COUNT} == workplace.counts()
    assert COUNT == len(mails) == len(by_number)
    for number, mail in by_number.items():
        _check(mail, number)
