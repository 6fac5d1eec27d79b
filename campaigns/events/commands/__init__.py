"""`clarion event`: events, who comes to them, and who waits.

`looking` shows them, `entering` brings people in, one by one or from a list, and `changing` has what staff does with
registrations and events then. `shared` is what they have in common.
"""

import click

from campaigns.events.commands.changing import accept, cancel, check_in, withdraw
from campaigns.events.commands.entering import import_, register
from campaigns.events.commands.looking import door, list_, show


@click.group(commands=[list_, show, register, import_, withdraw, accept, check_in, door, cancel])
def event() -> None:
    """Events: who comes, who waits, and what they are told.

    EVENT is the name of a file in events/, without its ending; `clarion apply` opens, moves and cancels it by its file.
    KEY is an external id or an e-mail address.
    """
