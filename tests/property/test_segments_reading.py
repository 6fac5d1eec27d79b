"""Whatever is typed is either compiled or answered with a mistake at a place within it."""

from datetime import UTC, datetime

from hypothesis import example, given, settings
from hypothesis import strategies as st

from segments.expression import read
from segments.membership import Vocabulary
from segments.mistakes import excerpt
from segments.to_sql import customer_ids

NOW = datetime(2026, 3, 2, tzinfo=UTC)
VOCABULARY = Vocabulary({}, frozenset({"news"}), None)
WORDS = r"""tier email monetary created_at attributes .x count did last received subscribed ( ) [ ] { } , : = == !=
    < >= in not and or is missing older_than contains "top" "30d" "news" within where name true none 3 - 1.5 | ~ + * if
    else ' " \ {{ }} %} loop self é ² None _ 0x1f 1e5 1_0 #"""
PIECES = (*WORDS.split(), '["a b"]', "\n", "\r\n", "\t")


@settings(max_examples=600)
@given(st.text(max_size=40) | st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join))
@example('did("purchase", where={"product": ["a", "b"], })')
@example("attributes[1:2] == 3")
@example("attributes[none] is missing")
@example('did(name="x", *[1])')
@example('(tier, email) == "x"')
@example('email is contains "x"')
@example("tier is in [3]")
@example("-true == attributes.x")
@example("--1 == monetary")
@example("1 .x == 2")
@example('{"a": 1}')
@example("() in ()")
@example("email == 1\x00")
def test_any_text_is_compiled_or_answered(text: str) -> None:
    """
    No text raises, every mistake lies within the text, and what is read can be compiled.
    """
    reading = read(text, VOCABULARY)
    normal = text.replace("\r\n", "\n").replace("\r", "\n")

    assert (reading.condition is None) == bool(reading.mistakes)
    for mistake in reading.mistakes:
        assert 0 <= mistake.at <= len(normal)
        assert excerpt(normal, mistake.at).endswith("^")
    if reading.condition is not None:
        assert ["customer_id"] == list(customer_ids(reading.condition, {}, now=NOW).selected_columns.keys())
