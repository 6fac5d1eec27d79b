"""Inbound mail: bounces, complaints, automatic answers, opt-outs and replies, read within limits.

`mime` takes a mail apart, `reading` says what it reports about whom, `storage` keeps it before its mailbox may forget
it; `listener`, `maildir` and `imap` bring it in. What follows from a report is decided elsewhere.
"""
