"""`clarion customer export`, `erase` and `readmit`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from core.commands import DRY, Desk, acting_user, counted, json_option, print_json, print_table, remark, undone
from core.errors import UsageError
from customers.rights.commands.shared import keep_tombstones

if TYPE_CHECKING:
    from customers.rights.erase import Erased
    from customers.rights.subject import Subject


@click.command("export")
@click.argument("key", metavar="KEY")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the document to this file.")
@click.option("--csv", "folder", type=click.Path(path_type=Path, file_okay=False),
              help="Write a CSV file for each table into this folder instead.")  # fmt: skip
@click.option("--yes", is_flag=True, help="Also of more customers than one person has.")
@json_option
@click.pass_obj
def export(desk: Desk, key: str, out: Path | None, folder: Path | None, yes: bool, as_json: bool) -> None:
    """Give out everything that is kept about the person KEY, an external id or an e-mail address.

    One JSON document with every row that names them, whichever table it is in; also of somebody who is no customer
    and only signed up or wrote. All customers at the address of KEY, and those of the same `person`, are one person;
    more than eight only with --yes. That it was given out is on record; make sure whom you give it to.
    """
    from core import audit
    from customers.rights.export import document_of, row_count, write_tables
    from customers.rights.subject import subject_named

    if as_json and folder is not None:
        raise UsageError("--csv and --json do not go together", hint="the document is JSON without --csv")
    now = desk.clock.now()
    with desk.database.begin() as connection:
        subject = subject_named(connection, desk.workspace.secret, key)
        _look_at(key, subject, yes)
        exported = document_of(connection, subject, now=now)
        for name in subject.audited:
            audit.record(connection, acting_user(), "customer.export", name, at=now, rows=row_count(exported))
        _give(exported, out, folder, write_tables)
    remark(f"{counted(row_count(exported), 'row')} about {', '.join(subject.external_ids)}")


def _look_at(key: str, subject: "Subject", yes: bool) -> None:
    """These are no more customers than one person has, or somebody has looked.

    Raises:
        UsageError: nobody has.
    """
    if subject.is_wide and not yes:
        raise UsageError(
            f"{key} is one person with {len(subject.customers) - 1:,} other customers, such as "
            f"{', '.join([name for name in subject.external_ids if name != key][:5])}",
            hint="see that they are (`clarion customer show`, the columns e-mail and person); then give --yes",
        )


def _give(exported: dict[str, Any], out: Path | None, folder: Path | None, write_tables: Any) -> None:
    import json

    from core.commands import write_file

    if folder is not None:
        write_tables(exported, folder)
    elif out is not None:
        write_file(out, json.dumps(exported, ensure_ascii=False, indent=2) + "\n")
    else:
        print_json(exported)


@click.command("erase")
@click.argument("key", metavar="[KEY]", required=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Do everything, then undo it.")
@click.option("--replay", is_flag=True, help="After a restore: erase again everybody who was ever erased.")
@click.option("--tombstones", "file", type=click.Path(path_type=Path, dir_okay=False),
              help="With --replay: the file of erasures (default: .clarion/erasures.jsonl).")  # fmt: skip
@json_option
@click.pass_obj
def erase(
    desk: Desk, key: str | None, yes: bool, dry_run: bool, replay: bool, file: Path | None, as_json: bool
) -> None:
    """Erase the person KEY, an external id or an e-mail address, for good.

    Profile, orders, behaviour, consents and mail that waits are removed; what figures and rules stand on (messages,
    openings, opt-outs) no longer names anybody. A keyed hash of the address stays, so that nothing is sent there again
    and no import takes the person again, however they are spelled. All customers at the address of KEY, and those of
    the same `person`, are one person; more than eight only with --yes. This cannot be undone; `clarion customer
    readmit` lets somebody in again who comes back.
    """
    if replay == (key is not None):
        raise UsageError("got both KEY and --replay" if replay else "got neither KEY nor --replay", hint="give one")
    if file is not None and not replay:
        raise UsageError("--tombstones is for --replay")
    if replay:
        _replay(desk, file, dry_run, as_json)
    else:
        _erase(desk, str(key), yes, dry_run, as_json)


def _erase(desk: Desk, key: str, yes: bool, dry_run: bool, as_json: bool) -> None:
    from dataclasses import asdict

    from customers.rights.erase import erase_named
    from customers.rights.subject import subject_named

    with desk.database.begin() as connection:
        subject = subject_named(connection, desk.workspace.secret, key)
    if not (yes or dry_run):
        _look_at(key, subject, yes)
        _agree(key, subject)
    with undone(desk, dry_run) as connection:
        erased = erase_named(connection, desk.workspace.secret, key, now=desk.clock.now(), actor=acting_user())
    if not dry_run:
        keep_tombstones(desk)
    if as_json:
        print_json({"key": key, **asdict(erased), "dry_run": dry_run})
    else:
        _tell(erased, dry_run)
    _tell_files(desk, subject)


def _agree(key: str, subject: "Subject") -> None:
    """Somebody at the keyboard is asked.

    Raises:
        UsageError: nobody is there.
    """
    others = [name for name in subject.external_ids if name != key]
    also = f", with {', '.join(others)}," if others else ""
    if not sys.stdin.isatty():
        raise UsageError(
            f"nobody is there to be asked whether to erase {key}{also} for good; nothing was erased",
            hint="give --yes; `clarion customer show` shows who it is",
        )
    click.confirm(f"Erase {key}{also} for good?", abort=True, err=True)


def _tell(erased: "Erased", dry_run: bool) -> None:
    print_table(
        {"table": name, "rows": rows, "": what}
        for what, tables in (("removed", erased.removed), ("names nobody any more", erased.emptied))
        for name, rows in tables.items()
    )
    done = f"{counted(erased.customers, 'customer')} erased, {counted(erased.skipped, 'message')} not sent"
    remark(done + (DRY if dry_run else ""))


def _tell_files(desk: Desk, subject: "Subject") -> None:
    from customers.rights.mentions import mentions

    for path, line in mentions(desk.workspace.root, subject.emails):
        remark(f"still named in {desk.workspace.shown(path)}:{line}: look there yourself")


def _replay(desk: Desk, file: Path | None, dry_run: bool, as_json: bool) -> None:
    from dataclasses import asdict

    from customers.rights import tombstones

    path = file or desk.workspace.state / tombstones.FILE
    stones = tombstones.read(path) if file or path.exists() else []
    with undone(desk, dry_run) as connection:
        replayed = tombstones.replay(
            connection, desk.workspace.secret, stones, now=desk.clock.now(), actor=acting_user()
        )  # fmt: skip
    if not dry_run:
        keep_tombstones(desk)
    if as_json:
        print_json({**asdict(replayed), "dry_run": dry_run})
    else:
        forgotten = f"{replayed.restored:,} of them this database had forgotten"
        remark(f"{counted(replayed.tombstones, 'erasure')}, {forgotten}")
        remark(f"{counted(replayed.customers, 'customer')} erased again{DRY if dry_run else ''}")


@click.command("readmit")
@click.argument("key", metavar="KEY")
@click.option("--because", required=True, help="Why; kept with the entry that is lifted.")
@click.pass_obj
def readmit(desk: Desk, key: str, because: str) -> None:
    """Let somebody in again who was erased and came back.

    KEY is the address or external id they had. Imports take them again. What they had said before, such as an opt-out,
    still holds, and consent has to be given anew.
    """
    from customers.rights.readmit import readmit as readmit_named

    with desk.database.begin() as connection:
        freed = readmit_named(
            connection, desk.workspace.secret, key, because=because, now=desk.clock.now(), actor=acting_user()
        )  # fmt: skip
    keep_tombstones(desk)
    remark(f"{key} may be imported again, and written to at {freed:,} of their addresses")
