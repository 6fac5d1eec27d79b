"""What rendering one mailing for one customer may cost, counted in steps so that every machine agrees.

A hostile or mistaken template must fail alone and at once, inside a worker's event loop: no signal, no thread,
no clock. Every loop turn, call, filter and printed text is charged before it happens or by its size.
"""

from collections.abc import Iterable, Iterator, Sized
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from jinja2 import Undefined

from core.errors import RenderError

#: The message's budget stands in the context under a name no template can write.
BUDGET: Final = " budget"
#: A unit is a character of output; a mailing of 100 KB needs about 120,000. A step costs `STEP` units.
UNITS: Final = 2_000_000
STEP: Final = 20
#: Comparisons of two characters for a unit, in a search that goes badly: 200 such searches take 0.2 s.
SEARCHED: Final = 500
#: Units for each item of a list that is compared: counting what is in it takes 0.1 µs an item.
LOOKED_AT: Final = 4
MAX_TEXT: Final = 100_000
MAX_ITEMS: Final = 2_000
MAX_RANGE: Final = 1_000
#: Everything inside a list or record, counted as often as it would be printed.
MAX_PARTS: Final = 20_000
MAX_CONTENT: Final = 1_000_000
MAX_NUMBER: Final = 10**18
#: Types without a length, told apart quickly: asking for `Sized` takes ten times as long.
SCALARS: Final = frozenset({int, float, bool, Decimal, datetime, date, type(None)})


class Budget:
    """What is left to spend for one message."""

    __slots__ = ("left",)

    def __init__(self, units: int = UNITS) -> None:
        self.left = units

    def spend(self, units: int) -> None:
        """`units` are spent.

        Raises:
            RenderError: there were not that many left.
        """
        self.left -= units
        if self.left < 0:
            self.refuse(0)

    def refuse(self, size: int) -> None:
        """Nothing happens unless a text of `size` characters is too long, or more was spent than there was.

        Raises:
            RenderError: one of the two.
        """
        check_size(size, MAX_TEXT)
        if self.left < 0:
            raise RenderError(
                "the template takes too many steps or prints too much",
                hint="look for loops inside loops; a mailing is a page, not a catalogue",
            )

    def compared(self, left: Any, right: Any) -> None:
        """Looking for `left` in `right`, or telling them apart, is paid for.

        Raises:
            RenderError: one of them is too big, or too much was spent.
        """
        if isinstance(left, str) and isinstance(right, str):
            self.searched(right, (left,))
        else:
            self.spend(LOOKED_AT * (size_checked(left) + size_checked(right)))

    def searched(self, text: str, sought: Iterable[Any]) -> None:
        """Going through `text` for each text of `sought` is paid for, as if every place were nearly a match."""
        for other in sought:
            if isinstance(other, str):
                self.spend(len(text) + len(other) + len(text) * len(other) // SEARCHED)

    def counted(self, values: Iterable[Any], units: int) -> Iterator[Any]:
        """`values`, each charged with a step and `units`."""
        cost = STEP + units
        for value in values:
            self.spend(cost)
            yield value

    def kept(self, value: Any) -> Any:
        """`value`, charged by its size.

        Raises:
            RenderError: it is too big.
        """
        size = len(value) if type(value) is str else size_checked(value)
        self.left -= size
        if self.left < 0 or size > MAX_TEXT:
            self.refuse(size)
        return value


def size_checked(value: Any) -> int:
    """What `value` costs: a text its length, a list or record its content; 1 for anything else.

    Raises:
        RenderError: it is too big.
    """
    if type(value) in SCALARS:
        return 1
    if isinstance(value, list | tuple | dict):
        check_size(len(value), MAX_ITEMS)
        return _content(value)
    if not isinstance(value, Sized) or isinstance(value, Undefined):
        return 1
    size = len(value)
    check_size(size, MAX_TEXT if isinstance(value, str) else MAX_ITEMS)
    return size


def _content(value: Any) -> int:
    """What all in `value` costs; what stands in it twice counts twice.

    A list that holds another twice, thirty times over, is small in memory and endless to print or compare.
    """
    parts, characters, left = 1, 0, [value]
    while left:
        item = left.pop()
        if isinstance(item, str):
            characters += len(item)
        elif isinstance(item, dict):
            parts += 2 * len(item)
            left += item
            left += item.values()
        elif isinstance(item, list | tuple):
            parts += len(item)
            left += item
        else:
            continue
        if parts > MAX_PARTS or characters > MAX_CONTENT:
            raise RenderError(
                f"the template builds a list that holds too much (at most {MAX_PARTS} values, {MAX_CONTENT} characters)"
            )
    return parts + characters // STEP


def check_size(size: int, limit: int) -> None:
    """Nothing happens unless `size` is above `limit`.

    Raises:
        RenderError: it is.
    """
    if size > limit:
        what = "characters" if limit == MAX_TEXT else "items"
        raise RenderError(f"the template builds a value that is too big (got {size}, at most {limit} {what})")


def check_number(value: Any) -> Any:
    """`value`, unless it is a whole number of more than 18 digits.

    Raises:
        RenderError: it is.
    """
    if isinstance(value, int) and not -MAX_NUMBER <= value <= MAX_NUMBER:
        raise RenderError("the template works out a number that is too big")
    return value
