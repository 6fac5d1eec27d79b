"""A real Dovecot with a private configuration, for one test: one user with one mailbox."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.processes import answers, free_port, wait_for

PROGRAM = Path("/usr/sbin/dovecot")
USER, PASSWORD = "bounces@paper.example", 'p w"\\é1'
_CONFIGURATION = """\
protocols = imap
listen = 127.0.0.1
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/log
default_login_user = nobody
default_internal_user = mail
default_internal_group = mail
ssl = {ssl}
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = no
auth_mechanisms = plain login
first_valid_uid = 0
mail_location = maildir:{root}/mail
passdb {{
  driver = passwd-file
  args = {root}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={root}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


@dataclass(frozen=True, slots=True)
class Dovecot:
    """A running server."""

    port: int
    tls_port: int
    folder: Path  # the Maildir of the user's INBOX
    log: Path

    def deliver(self, name: str, raw: bytes, flags: str = "") -> None:
        """A mail is in the mailbox; with `flags` (S: seen, F: flagged), somebody was there before."""
        draft = self.folder / "tmp" / name
        draft.write_bytes(raw)
        draft.chmod(0o666)
        draft.rename(self.folder / "cur" / f"{name}:2,{flags}" if flags else self.folder / "new" / name)

    def left(self) -> dict[str, str]:
        """The mails that are there: name → flags."""
        files = [*(self.folder / "new").iterdir(), *(self.folder / "cur").iterdir()]
        return {file.name.partition(":2,")[0].partition(",")[0]: file.name.partition(":2,")[2] for file in files}


def is_there() -> bool:
    """Whether tests can start one."""
    return PROGRAM.is_file() and os.getuid() == 0


@contextlib.contextmanager
def running(certificate: Path, key: Path) -> Iterator[Dovecot]:
    """A server that answers, ended with the block."""
    root = Path(tempfile.mkdtemp(prefix="dovecot"))  # short: its sockets have names of at most 108 characters
    root.chmod(0o755)
    mail = root / "mail"
    for folder in (root / "run", root / "state", mail, mail / "new", mail / "cur", mail / "tmp"):
        folder.mkdir()
        folder.chmod(0o777)
    uid = gid = 8  # mail
    (root / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}::::::\n", encoding="utf-8")
    server = Dovecot(free_port(), free_port(), mail, root / "log")
    places = {"root": root, "certificate": certificate, "key": key, "ssl": "yes"}
    configuration = _CONFIGURATION.format(**places, port=server.port, tls_port=server.tls_port, uid=uid, gid=gid)
    (root / "dovecot.conf").write_text(configuration, encoding="utf-8")
    command = [str(PROGRAM), "-F", "-c", str(root / "dovecot.conf")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        wait_for(lambda: answers(server.tls_port) or process.poll() is not None, "Dovecot", None)
        assert process.poll() is None, (process.stderr.read() if process.stderr else b"").decode()
        yield server
    finally:
        process.terminate()
        process.wait(20)
        if process.stderr is not None:
            process.stderr.close()
        shutil.rmtree(root, ignore_errors=True)
