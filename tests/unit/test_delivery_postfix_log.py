"""What a Postfix log says about a message: every end it can have, every form the lines can have."""

import gzip
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from core.errors import UsageError
from delivery.postfix_log import Verdict, read
from tests.mail_logs import PostfixLog

BEGIN = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
NOW = BEGIN + timedelta(hours=2)
ID = "0123abcd@paper.example"
TO = "p1@firm.example"
#: As Postfix 3.7 wrote it: a mail delivered, one broken off within its body, one whose client left after its final dot.
REAL = """\
Mar  2 12:35:46 mx postfix/smtpd[20414]: connect from localhost[127.0.0.1]
Mar  2 12:35:46 mx postfix/smtpd[20414]: 4jXGTt18J9z1SW4H: client=localhost[127.0.0.1]
Mar  2 12:35:46 mx postfix/cleanup[20417]: 4jXGTt18J9z1SW4H: message-id=<normal@paper.example>
Mar  2 12:35:46 mx postfix/qmgr[20412]: 4jXGTt18J9z1SW4H: from=<offers@paper.example>, size=30328, nrcpt=1 \
(queue active)
Mar  2 12:35:46 mx postfix/smtpd[20414]: disconnect from localhost[127.0.0.1] ehlo=1 mail=1 rcpt=1 \
data=1 quit=1 commands=5
Mar  2 12:35:46 mx postfix/virtual[20418]: 4jXGTt18J9z1SW4H: to=<p1@firm.example>, relay=virtual, delay=0.04, \
delays=0.03/0.01/0/0, dsn=2.0.0, status=sent (delivered to maildir)
Mar  2 12:35:46 mx postfix/qmgr[20412]: 4jXGTt18J9z1SW4H: removed
Mar  2 12:35:46 mx postfix/smtpd[20415]: connect from localhost[127.0.0.1]
Mar  2 12:35:46 mx postfix/smtpd[20415]: 4jXGTt1FXHz1SW4H: client=localhost[127.0.0.1]
Mar  2 12:35:46 mx postfix/cleanup[20417]: 4jXGTt1FXHz1SW4H: message-id=<midbody@paper.example>
Mar  2 12:35:46 mx postfix/smtpd[20414]: connect from localhost[127.0.0.1]
Mar  2 12:35:46 mx postfix/smtpd[20415]: lost connection after DATA (30099 bytes) from localhost[127.0.0.1]
Mar  2 12:35:46 mx postfix/smtpd[20415]: disconnect from localhost[127.0.0.1] ehlo=1 mail=1 rcpt=1 \
data=0/1 commands=3/4
Mar  2 12:35:46 mx postfix/smtpd[20414]: 4jXGTt1G74z1SW4H: client=localhost[127.0.0.1]
Mar  2 12:35:46 mx postfix/cleanup[20417]: 4jXGTt1G74z1SW4H: message-id=<dotgone@paper.example>
Mar  2 12:35:46 mx postfix/smtpd[20414]: disconnect from localhost[127.0.0.1] ehlo=1 mail=1 rcpt=1 data=1 commands=4
Mar  2 12:35:46 mx postfix/qmgr[20412]: 4jXGTt1G74z1SW4H: from=<offers@paper.example>, size=30329, nrcpt=1 \
(queue active)
Mar  2 12:35:46 mx postfix/virtual[20418]: 4jXGTt1G74z1SW4H: to=<p3@firm.example>, relay=virtual, delay=0.01, \
delays=0.01/0/0/0, dsn=2.0.0, status=sent (delivered to maildir)
Mar  2 12:35:46 mx postfix/qmgr[20412]: 4jXGTt1G74z1SW4H: removed
"""


@pytest.fixture
def evidence(tmp_path):
    """
    `evidence(log, …)`: what these logs, texts or bytes say about the message.
    """

    def build(*logs, wanted=None, zone=UTC, now=NOW):
        paths = []
        for number, log in enumerate(logs):
            text = log.text() if isinstance(log, PostfixLog) else log
            paths.append(tmp_path / f"mail.log.{number}")
            paths[-1].write_bytes(text.encode() if isinstance(text, str) else text)
        return read(paths, wanted or {ID: TO}, zone=zone, now=now)

    return build


def verdict(log):
    found = log.evidence.get(ID)
    return found and found.verdict


def test_what_a_real_postfix_wrote_is_understood(evidence):
    """
    Delivered; broken off within the body, though its Message-ID was logged; taken, though the client had gone.
    """
    found = evidence(REAL, wanted={f"{name}@paper.example": TO for name in ("normal", "midbody", "dotgone")}).evidence

    assert {"normal": "delivered", "midbody": "broken_off", "dotgone": "delivered"} == {
        message_id.partition("@")[0]: one.verdict for message_id, one in found.items()
    }
    assert datetime(2026, 3, 2, 12, 35, 46, tzinfo=UTC) == found["normal@paper.example"].at


def begun(log):
    log.taken_up("4AAAA1", ID)


def queued(log):
    log.queued("4AAAA1", ID)


def on_hold(log):
    log.taken_up("4AAAA1", ID)
    log.write("cleanup", "4AAAA1: hold: header Subject: x from app[10.0.0.5]; from=<a@x> to=<b@y> proto=ESMTP helo=<h>")


def delivered(log):
    log.delivered("4AAAA1", ID, TO)


def bounced(log):
    log.bounced("4AAAA1", ID, TO)


def deferred(log):
    log.queued("4AAAA1", ID)
    log.tried("4AAAA1", TO, "deferred", "connect to mx.firm.example[192.0.2.7]:25: Connection timed out", dsn="4.4.1")


def deferred_then_sent(log):
    deferred(log)
    log.tried("4AAAA1", TO, "sent", "250 2.0.0 Ok", program="lmtp")


def expired(log):
    deferred(log)
    log.write("qmgr", "4AAAA1: from=<offers@paper.example>, status=expired, returned to sender")
    log.write("qmgr", "4AAAA1: removed")


def refused_by_filter(log):
    log.taken_up("4AAAA1", ID)
    log.write("cleanup", "4AAAA1: milter-reject: END-OF-MESSAGE from app[10.0.0.5]: 5.7.1 spam; from=<a@x> to=<b@y>")


def put_off_by_filter(log):
    log.taken_up("4AAAA1", ID)
    log.write("cleanup", "4AAAA1: reject: body x from app[10.0.0.5]; from=<a@x> to=<b@y>: 4.7.1 later")


def broken_off(log):
    log.broken_off("4AAAA1", ID)


def broken_later(log):
    """The message went into the queue; the same connection broke within the next one."""
    log.taken_up("4AAAA1", ID)
    log.broken_off("4AAAA2", "other@paper.example")


def to_somebody_else_too(log):
    log.queued("4AAAA1", ID)
    log.tried("4AAAA1", TO, "deferred", "later", dsn="4.4.1")
    log.tried("4AAAA1", "archive@paper.example", "sent", "250 2.0.0 Ok")


def to_an_alias(log):
    log.queued("4AAAA1", ID)
    text = (
        f"to=<real@inner.example>, orig_to=<{TO.upper()}>, relay=local, dsn=2.0.0, status=sent (delivered to mailbox)"
    )
    log.write("local", f"4AAAA1: {text}")


def through_a_filter(log):
    log.queued("4AAAA1", ID)
    log.queued("4BBBB2", ID)
    log.tried("4AAAA1", TO, "sent", "250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 4BBBB2")
    words = "host mx.firm.example[192.0.2.7] said: 550 5.1.1 no such user (in reply to RCPT TO command)"
    log.tried("4BBBB2", TO, "bounced", words, dsn="5.1.1")


def queue_id_used_again(log):
    log.queued("4AAAA1", ID)
    log.write("qmgr", "4AAAA1: removed")
    log.bounced("4AAAA1", "other@paper.example", TO)


def somebody_elses(log):
    log.delivered("4AAAA1", "other@paper.example", TO)
    log.write("smtpd", f"NOQUEUE: reject: RCPT from app[10.0.0.5]: 450 4.7.1 <{TO}>: later; from=<a@x> to=<{TO}>")


ENDS = {
    begun: "begun", queued: "accepted", on_hold: "accepted", delivered: "delivered", bounced: "bounced",
    deferred: "accepted", deferred_then_sent: "delivered", expired: "bounced", refused_by_filter: "rejected",
    put_off_by_filter: "put_off", broken_off: "broken_off", broken_later: "begun", to_somebody_else_too: "accepted",
    to_an_alias: "delivered", through_a_filter: "bounced", queue_id_used_again: "accepted", somebody_elses: None,
}  # fmt: skip


@pytest.mark.parametrize("iso", [False, True])
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_every_end_of_a_message_is_known(evidence, end, iso):
    """
    Whatever became of the message is read from the log, in both forms of its times.
    """
    log = PostfixLog(BEGIN, iso=iso)
    end(log)
    log.write("anvil", "statistics: max connection rate 1/60s")

    assert ENDS[end] == verdict(evidence(log))


def test_a_bounce_keeps_code_status_and_words(evidence):
    """
    What the receiving server said goes on record.
    """
    log = PostfixLog(BEGIN)
    bounced(log)
    found = evidence(log).evidence[ID]

    assert (550, "5.1.1") == (found.code, found.enhanced)
    assert "no such user" in found.words
    assert BEGIN + timedelta(seconds=1) == found.at


def test_files_may_come_in_any_order_and_packed(evidence):
    """
    A log that was cut within a message's story, its older half packed and named last, is one story.
    """
    log = PostfixLog(BEGIN)
    delivered(log)
    packed = gzip.compress("".join(log.lines[:2]).encode())
    found = evidence("".join(log.lines[2:]), packed)

    assert Verdict.DELIVERED == verdict(found)
    assert (BEGIN, log.at - timedelta(seconds=1)) == (found.first_at, found.last_at)


def test_a_packed_file_that_ends_in_the_middle_is_told(evidence):
    """
    What is left of a damaged file is read, and its name says that something is missing.
    """
    log = PostfixLog(BEGIN)
    delivered(log)
    found = evidence(gzip.compress(log.text().encode())[:-9])

    assert 1 == len(found.cut_short)


def test_messages_of_two_servers_are_kept_apart(evidence):
    """
    The same queue id on another machine is another message.
    """
    ours, theirs = PostfixLog(BEGIN), PostfixLog(BEGIN, host="mx2")
    queued(ours)
    theirs.bounced("4AAAA1", "other@paper.example", TO)

    assert Verdict.ACCEPTED == verdict(evidence(ours, theirs))


@pytest.mark.parametrize(
    "prefix",
    [
        "Mar  2 12:00:00 mx1 postfix-out/submission/cleanup[7]: ",
        "2026-03-02T12:00:00+00:00 mx1 postfix/cleanup[7]: ",
        "2026-03-02T13:00:00.123456+0100 mx1 postfix/cleanup[7]: ",
        "<22>Mar  2 12:00:00 mx1 postfix/cleanup[7]: ",
        "<22>1 2026-03-02T12:00:00Z mx1 postfix/cleanup 7 - - ",
    ],
)
def test_lines_of_every_syslog_are_read(evidence, prefix):
    """
    Traditional, RFC 3339, with priority, RFC 5424, under another instance's name.
    """
    lines = [f"4AAAA1: message-id=<{ID.upper()}>", "4AAAA1: from=<a@x>, size=1, nrcpt=1 (queue active)"]
    found = evidence("".join(f"{prefix}{line}\r\n" for line in lines))

    assert Verdict.ACCEPTED == verdict(found)
    assert BEGIN == found.evidence[ID].at.replace(microsecond=0)


@pytest.mark.parametrize(
    "mark",
    [
        "Mar  2 12:30:00 mx1 root: mark",
        "2026-03-02T12:30:00+00:00 mx1 root: mark",
        "<22>1 2026-03-02T12:30:00Z mx1 root - - - mark",
        '<22>1 2026-03-02T12:30:00Z mx1 root - - [timeQuality tzKnown="1"] mark',
    ],
)
def test_a_line_of_logger_moves_the_end_of_the_log(evidence, mark):
    """
    It names no process, but shows how far the log reaches.
    """
    log = PostfixLog(BEGIN)
    log.delivered("4AAAA1", ID, TO)
    found = evidence(log.text() + mark + "\n")

    assert BEGIN + timedelta(minutes=30) == found.last_at
    assert Verdict.DELIVERED == verdict(found)


@pytest.mark.parametrize(
    ("now", "stamp", "expected"),
    [
        (datetime(2026, 1, 3, tzinfo=UTC), "Dec 31 23:00:00", datetime(2025, 12, 31, 22, tzinfo=UTC)),
        (datetime(2026, 1, 3, tzinfo=UTC), "Jan  3 12:00:00", datetime(2026, 1, 3, 11, tzinfo=UTC)),
        (datetime(2026, 3, 3, tzinfo=UTC), "Feb 29 12:00:00", datetime(2024, 2, 29, 11, tzinfo=UTC)),
    ],
)
def test_times_without_year_and_zone_are_completed(evidence, now, stamp, expected):
    """
    The last such time that is not after today, in the zone the operator names.
    """
    line = f"{stamp} mx1 postfix/cleanup[7]: 4AAAA1: message-id=<{ID}>\n"

    assert expected == evidence(line, zone=ZoneInfo("Europe/Berlin"), now=now).evidence[ID].at


def test_a_file_that_cannot_be_read_is_a_mistake(tmp_path):
    """
    A file that is not there is told by its name.
    """
    with pytest.raises(UsageError, match=r"gone\.log"):
        read([tmp_path / "gone.log"], {ID: TO}, zone=UTC, now=NOW)
