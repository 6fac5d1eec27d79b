"""Why somebody got no message, and what became of one, in a sentence: each reason has one, whoever asks."""

from typing import Final

#: Skip reasons in a sentence; `suppressed:<reason>` is put together in `sentence`.
SENTENCES: Final = {
    "no_address": "the customer has no e-mail address",
    "not_consented": "there is no valid consent for the campaign's topic",
    "not_confirmed": "the customer agreed, and never confirmed it by the link in a mail, which the topic or the law of "
    "their country asks for",
    "basis_not_enough": "what the customer's consent rests on is not enough in their country, or its evidence is not "
    "on record",
    "consent_expired": "the customer's consent has ended",
    "no_profiling": "the audience is chosen by what people did, and the customer refused that",
    "duplicate_address": "another customer of the audience has the same address and got the message",
    "duplicate_person": "another address of the same person got the message",
    "duplicate_household": "somebody else of the same household got the message (one_per: household)",
    "duplicate_company": "somebody else of the same company got the message (one_per: company)",
    "duplicate_piece": "the person got this very piece before, by another campaign (piece_memory)",
    "key_account": "the customer belongs to an employee, who has a task about it instead (care.key_accounts)",
    "open_case": "a case of the customer was open for too long (care.cases)",
    "frequency_cap": "the customer had been written to as often as a cap, or they themselves, allow (pressure)",
    "quiet_too_long": "its time would be over before the customer's quiet hours are (quiet_hours, limits.valid_for)",
    "role_account": "the address is a role's and no person's (addresses)",
    "reserved_address": "nobody can have such an address, for example at example.com (addresses.reserved)",
    "already_messaged": "the address already has a message of this campaign, which was sent or waits in a run",
    "time_passed": "the local time was over where the customer is when the run began (schedule.when_passed)",
    "render_failed": "the mailing could not be rendered for this customer",
    "expired": "its time had passed before it could be handed over (limits.valid_for)",
    "address_changed": "the customer has another address than when the audience was frozen",
    "superseded": "it would have told of what has changed since; another message tells how things are now",
    "left_sequence": "the customer left the sequence before the message was handed over",
    "cancelled": "the run was cancelled before the message was handed over",
    "erased": "the customer was erased before the message was handed over",
}
#: States of a message, of which it is said that the message …
STATES: Final = {
    "planned": "waits for its time and a worker",
    "handed_over": "was handed over; the answer is awaited",
    "accepted": "was accepted by the transport",
    "deferred": "was put off by the server; it is tried again",
    "failed": "was refused for good",
    "unknown": "was handed over, and the answer was lost: it may have arrived, and is not sent again",
    "delivered": "was delivered",
    "bounced": "came back",
    "complained": "was reported as spam",
}

#: The mails of an event by their steps, in words; `reminder-1d` is put together in `mail_of_event`.
_MAILS: Final = {
    "confirmation": "confirmation of {}",
    "change": "notice that {} changed",
    "cancelled": "notice that {} does not take place",
    "withdrawn": "notice that they are not expected at {} any more",
    "waiting": "notice of their place on the waiting list of {}",
    "offer": "offer of a seat of {}",
    "offer_expired": "notice that the offer of a seat of {} is over",
    "summary": "summary of whom they registered for {}",
    "attended": "follow-up of {} to those who came",
    "absent": "follow-up of {} to those who did not come",
}


def mail_of_event(name: str, step: str) -> str:
    """What people call the mail that this step of the event `name` sends."""
    reminder = f"reminder of {{}}, {step.removeprefix('reminder-').replace('-', ' ')} before"
    return _MAILS.get(step, reminder).format(f"the event {name}")


def sentence(reason: str) -> str:
    """The skip reason as people read it."""
    if reason.startswith("suppressed:"):
        return f"the address is suppressed ({reason.partition(':')[2]})"
    return SENTENCES.get(reason, reason)
