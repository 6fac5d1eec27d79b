"""Lines as Postfix 3 writes them, for the messages of a test."""

from datetime import datetime, timedelta

HOST = "mx1"


class PostfixLog:
    """A log that grows: each line a second after the one before, in the traditional form unless `iso`."""

    def __init__(self, begins: datetime, *, iso: bool = False, host: str = HOST) -> None:
        self.at, self.iso, self.host = begins, iso, host
        self.lines: list[str] = []

    def write(self, program: str, text: str, *, pid: int = 77) -> None:
        stamp = self.at.isoformat(timespec="microseconds") if self.iso else self.at.strftime("%b %e %H:%M:%S")
        self.lines.append(f"{stamp} {self.host} postfix/{program}[{pid}]: {text}\n")
        self.at += timedelta(seconds=1)

    def taken_up(self, queue_id: str, message_id: str, *, pid: int = 77) -> None:
        """smtpd has the envelope, cleanup the header: nothing is in the queue yet."""
        self.write("smtpd", f"{queue_id}: client=app[10.0.0.5]", pid=pid)
        self.write("cleanup", f"{queue_id}: message-id=<{message_id}>", pid=5)

    def queued(self, queue_id: str, message_id: str) -> None:
        self.taken_up(queue_id, message_id)
        self.write("qmgr", f"{queue_id}: from=<offers@paper.example>, size=30328, nrcpt=1 (queue active)", pid=9)

    def tried(
        self, queue_id: str, to: str, status: str, words: str, *, dsn: str = "2.0.0", program: str = "smtp"
    ) -> None:
        relay = "mx.firm.example[192.0.2.7]:25"
        text = f"to=<{to}>, relay={relay}, delay=0.9, delays=0.1/0/0.4/0.4, dsn={dsn}, status={status} ({words})"
        self.write(program, f"{queue_id}: {text}", pid=31)

    def delivered(self, queue_id: str, message_id: str, to: str) -> None:
        self.queued(queue_id, message_id)
        self.tried(queue_id, to, "sent", "250 2.0.0 OK 1772452800 a1si99.7 - gsmtp")
        self.write("qmgr", f"{queue_id}: removed", pid=9)

    def bounced(self, queue_id: str, message_id: str, to: str) -> None:
        self.queued(queue_id, message_id)
        words = "host mx.firm.example[192.0.2.7] said: 550 5.1.1 no such user (in reply to RCPT TO command)"
        self.tried(queue_id, to, "bounced", words, dsn="5.1.1")
        self.write("qmgr", f"{queue_id}: removed", pid=9)

    def broken_off(self, queue_id: str, message_id: str, *, pid: int = 77) -> None:
        self.taken_up(queue_id, message_id, pid=pid)
        self.write("smtpd", "lost connection after DATA (30099 bytes) from app[10.0.0.5]", pid=pid)
        self.write("smtpd", "disconnect from app[10.0.0.5] ehlo=1 mail=1 rcpt=1 data=0/1 commands=3/4", pid=pid)

    def text(self) -> str:
        return "".join(self.lines)
