"""The demo's mail server, asked by the standard library's client and by hand."""

import smtplib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTPUTF8
from pathlib import Path

import pytest

from demo.inbox import Store, read_content, read_index


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The folder the server keeps mails in."""
    return tmp_path / "inbox"


@pytest.fixture
def port(store: Path) -> Iterator[int]:
    """A running server's port."""
    command = [sys.executable, "-m", "demo.inbox", "--port", "0", "--store", str(store), "--gone", "gone."]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.terminate()
        assert 0 == process.wait(10)


def test_inbox_keeps_what_smtplib_sends(port: int, store: Path) -> None:
    """
    Content arrives byte for byte, lines that begin with dots included.
    """
    content = b"Subject: dots\r\n\r\n.\r\n..two\r\n.three..\r\nend\r\n"
    with smtplib.SMTP("127.0.0.1", port) as client:
        client.sendmail("offers@paper.example", ["a@customers.example", "b@customers.example"], content)
    mail = next(read_index(store))

    assert (
        "offers@paper.example",
        ("a@customers.example", "b@customers.example"),
    ) == (mail.mail_from, mail.recipients)
    assert read_content(store, mail) == content


def test_inbox_offers_what_the_sender_uses(port: int) -> None:
    """
    PIPELINING, 8BITMIME, SIZE and SMTPUTF8 are in the answer to EHLO.
    """
    with smtplib.SMTP("127.0.0.1", port) as client:
        client.ehlo("tests.example")

        assert {"pipelining", "8bitmime", "size", "smtputf8"} <= set(client.esmtp_features)


def test_inbox_takes_addresses_outside_ascii(port: int, store: Path) -> None:
    """
    A mailbox written in other letters is kept as it is.
    """
    message = EmailMessage(policy=SMTPUTF8)
    message["From"], message["To"], message["Subject"] = "offers@paper.example", "伟@customers.example", "纸"
    message.set_content("你好\n")
    with smtplib.SMTP("127.0.0.1", port) as client:
        client.send_message(message)

    assert ("伟@customers.example",) == next(read_index(store)).recipients


def test_inbox_refuses_mailboxes_that_are_gone(port: int, store: Path) -> None:
    """
    An address with the given beginning gets 550 5.1.1, and nothing is kept for it.
    """
    with smtplib.SMTP("127.0.0.1", port) as client, pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
        client.sendmail("offers@paper.example", ["gone.jones@customers.example"], b"Subject: x\r\n\r\nx\r\n")

    assert (550, b"5.1.1 no such mailbox here") == caught.value.recipients["gone.jones@customers.example"]
    assert [] == list(read_index(store))


def test_inbox_answers_a_pipelined_group_in_order(port: int, store: Path) -> None:
    """
    End of data may share a write with the next message's envelope; replies come in the order of the commands.
    """
    first = b"MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n"
    rest = b"Subject: 1\r\n\r\none\r\n.\r\n" + first.replace(b"b@", b"gone.b@") + b"RSET\r\nQUIT\r\n"
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rb") as replies:
        connection.sendall(b"EHLO tests.example\r\n" + first + rest)
        codes = [line[:3].decode() for line in replies if line[3:4] == b" "]

    assert ["220", "250", "250", "250", "354", "250", "250", "550", "554", "250", "221"] == codes
    assert [len(b"Subject: 1\r\n\r\none\r\n")] == [mail.size for mail in read_index(store)]


def test_inbox_finds_the_end_however_the_bytes_arrive(port: int, store: Path) -> None:
    """
    A message that arrives byte by byte is the same message.
    """
    script = b"EHLO t.example\r\nMAIL FROM:<>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n..x\r\n\r\n.\r\nQUIT\r\n"
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rb") as replies:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in script:
            connection.sendall(bytes([byte]))
        replies.read()

    assert b".x\r\n\r\n" == read_content(store, next(read_index(store)))


def test_inbox_numbers_on_after_a_restart(store: Path) -> None:
    """
    Mails are numbered from one, also when the folder is opened again, and can be read from a number on.
    """
    for _ in range(2):
        with Store(store) as kept:
            kept.add("a@x.example", ["b@y.example"], b"x")

    assert [1, 2] == [mail.number for mail in read_index(store)]
    assert [2] == [mail.number for mail in read_index(store, after=1)]


def test_inbox_keeps_up_with_many_connections(port: int, store: Path) -> None:
    """
    Eight clients at a time lose nothing.
    """

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", port) as client:
            for _ in range(50):
                client.sendmail("a@x.example", ["b@y.example"], b"Subject: x\r\n\r\nx\r\n")

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(mail.number for mail in read_index(store)) == list(range(1, 401))
