"""Mistakes in the section `dkim`, at their lines."""

from collections.abc import Iterator
from pathlib import Path

from core.addresses import parse_address
from core.dkim_settings import checked_domain
from core.errors import Problem
from core.names import did_you_mean
from core.settings import Settings
from core.units import Unfit
from core.yaml_files import Document
from delivery.dkim.signers import key_faults


def dkim_problems(settings: Settings, document: Document, root: Path) -> list[Problem]:
    """Every key that cannot be used, and every domain that no sender has; nothing of a key is in them."""
    written = dict(_written(document))
    problems = []
    for fault in key_faults(settings.dkim, root):
        path = ("dkim", written.get(fault.domain, fault.domain), "keys")
        place = path if fault.place is None else (*path, fault.place)
        problems.append(document.problem(place, f"dkim: {fault}", fault.hint))
    senders = {parse_address(sender.email).domain for sender in settings.senders.values()}
    for domain in settings.dkim.keys() - senders:
        hint = did_you_mean(domain, senders) or "the key must be of the domain after the @ of a sender"
        message = f"dkim: no sender has an address at {domain}"
        problems.append(document.problem(("dkim", written.get(domain, domain)), message, hint))
    return problems


def _written(document: Document) -> Iterator[tuple[str, str]]:
    """Each domain as A-labels, and as the file spells it."""
    for spelled in document.content["dkim"]:
        try:
            yield checked_domain(spelled), spelled
        except Unfit:
            continue
