"""What people may answer to the fields of an event."""

import pytest
import yaml

from campaigns.events.answers import Fault, read
from campaigns.events.definition import EventFile
from tests.event_files import EVENT

FIELDS = """\
  fields:
    last_name: {required: true, longest: 10}
    diet: {required: true, choices: [everything, "no meat"]}
    shoe: {}
"""
EVENING = EventFile.model_validate(
    yaml.safe_load(EVENT.partition("  fields:")[0] + FIELDS + "mails:" + EVENT.partition("mails:")[2])
)
GOOD = {"last_name": "Ash", "diet": "everything"}


@pytest.mark.parametrize(
    ("told", "of_the_form", "of_staff"),
    [
        ({}, [], []),
        ({"last_name": " "}, [("last_name", Fault.MISSING)], []),
        ({"diet": "soup"}, [("diet", Fault.CHOICE)], [("diet", Fault.CHOICE)]),
        ({"last_name": "A" * 11}, [("last_name", Fault.LONG)], [("last_name", Fault.LONG)]),
        ({"shoe": "4" * 201}, [("shoe", Fault.LONG)], [("shoe", Fault.LONG)]),
        (
            {"hat": "", "first_name": "A"},
            [("hat", Fault.UNKNOWN), ("first_name", Fault.UNKNOWN)],
            [("hat", Fault.UNKNOWN)],
        ),
    ],
)
def test_answers_are_judged_by_the_fields(told, of_the_form, of_staff):
    """
    What is required of the form and of programs is not required of staff, who may tell names it does not ask for.
    """
    found = [read(EVENING, GOOD | told, is_asked=is_asked)[1] for is_asked in (True, False)]

    assert [of_the_form, of_staff] == [[(one.name, one.fault) for one in mistakes] for mistakes in found]


def test_answers_are_kept_as_one_line_each():
    """
    A choice is one however it is spaced, and nothing is kept of what is empty.
    """
    answers, mistakes = read(EVENING, {"last_name": " Ash\r\n", "diet": "no  meat", "shoe": "\t"}, is_asked=True)

    assert ({"last_name": "Ash", "diet": "no meat"}, ()) == (answers, mistakes)


def test_mistakes_name_what_there_is():
    """
    Staff is told what they wrote, a program what is expected.
    """
    _, (diet, hat) = read(EVENING, {"diet": "soup", "hat": "red"}, is_asked=False)

    assert ("diet: got 'soup', expected everything, no meat", "expected everything, no meat") == (
        str(diet),
        diet.message,
    )
    assert "hat: the event has no such field; known: company, diet, first_name, last_name, shoe" == str(hat)
