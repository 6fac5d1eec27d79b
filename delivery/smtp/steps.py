"""The steps of the dialogue that a server answers."""

import enum


class Step(enum.Enum):
    """A command, or the end of a message, that the server answers with one reply."""

    RSET = "rset"
    MAIL = "mail"
    RECIPIENT = "recipient"
    DATA = "data"
    END_OF_DATA = "end_of_data"
    LONE_DOT = "lone_dot"
    QUIT = "quit"

    __hash__ = object.__hash__  # there is one of each, and several are looked up for every message
