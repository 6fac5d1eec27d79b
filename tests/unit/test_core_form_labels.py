"""What a form calls its fields: people read words, never the key of a file."""

import pytest

from core.form_settings import label_in


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"de": "Liefertag", "en": "Delivery day"}, "Liefertag"),
        ({"any": "Day"}, "Day"),
        ({"zh": "日期", "en": "Delivery day"}, "Delivery day"),
        ({"zh": "日期"}, "日期"),
        ({}, "Delivery day no 2"),
    ],
)
def test_field_is_called_something_in_any_case(words, expected):
    """
    By the language of the page, else by any text there is; without any its key is told in words.
    """
    assert expected == label_in(words, "de", "delivery_day-no_2")
