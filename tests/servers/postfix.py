"""A real Postfix with a private configuration, for one test: takes mail for one domain into one Maildir."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.processes import answers, free_port, wait_for

DOMAIN = "customers.example"
_MAIN = """\
compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/state
maillog_file = {root}/maillog
maillog_file_prefixes = {root}
mail_owner = postfix
setgid_group = postdrop
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
myhostname = mx.{domain}
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = loopback-only
inet_protocols = ipv4
disable_dns_lookups = yes
enable_long_queue_ids = yes
alias_maps =
alias_database =
local_recipient_maps =
smtpd_recipient_restrictions = reject_unauth_destination
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {root}
virtual_mailbox_maps = static:Maildir/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
"""
_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


def why_not() -> str | None:
    """Why no Postfix can be run here; None when it can."""
    if shutil.which("postfix") is None or not Path("/usr/lib/postfix/sbin/master").exists():
        return "needs Debian's package postfix"
    return None if os.geteuid() == 0 else "Postfix starts as root only"


@dataclass(frozen=True, slots=True)
class Postfix:
    """Where it listens and where its mail and its log are."""

    root: Path
    port: int

    @property
    def log(self) -> Path:
        return self.root / "maillog"

    def mails(self) -> list[bytes]:
        """Every mail that was delivered, as it is in the Maildir."""
        return [path.read_bytes() for path in (self.root / "Maildir/new").glob("*")]

    def is_idle(self) -> bool:
        """Nothing waits in its queue."""
        folders = [self.root / "queue" / name for name in ("incoming", "active", "deferred", "maildrop")]
        return not any(path.is_file() for folder in folders for path in folder.rglob("*"))


@contextlib.contextmanager
def running(*more: str) -> Iterator[Postfix]:
    """The server, with `more` lines of configuration, and nothing of it afterwards."""
    root = Path(tempfile.mkdtemp(prefix="clarion-postfix-"))  # not in pytest's folder: other users must get in
    root.chmod(0o755)
    owner = pwd.getpwnam("postfix")
    values = {"root": root, "domain": DOMAIN, "port": free_port(), "uid": owner.pw_uid, "gid": owner.pw_gid}
    configuration = root / "etc"
    for folder in (configuration, root / "queue", root / "state", root / "Maildir"):
        folder.mkdir()
    for folder in (root / "state", root / "Maildir"):
        shutil.chown(folder, "postfix", "postfix")
    (configuration / "main.cf").write_text(_MAIN.format(**values) + "".join(f"{line}\n" for line in more))
    (configuration / "master.cf").write_text(_MASTER.format(**values))
    postfix = Postfix(root, int(str(values["port"])))
    command = ["postfix", "-c", str(configuration)]
    in_utc = os.environ | {"TZ": "UTC"}  # the times of its log
    started = subprocess.run([*command, "start"], capture_output=True, text=True, check=False, env=in_utc)
    assert started.returncode == 0, started.stderr
    try:
        wait_for(lambda: answers(postfix.port), "Postfix to listen", postfix.log)
        yield postfix
    finally:
        subprocess.run([*command, "stop"], capture_output=True, check=False)
        shutil.rmtree(root)
