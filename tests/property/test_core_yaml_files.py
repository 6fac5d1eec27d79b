"""No text of a person makes the reader of files fail."""

from hypothesis import example, given
from hypothesis import strategies as st

from core.settings import Settings
from core.yaml_files import Document, build, parse_document

_lines = st.lists(
    st.one_of(
        st.sampled_from(
            ["organisation:", "  name: A", "senders: {}", "topics:", "  news: {label: 1}", "- a", "? b", "[", "&x *x"]
        ),
        st.text(max_size=30),
    ),
    max_size=12,
)


@given(_lines)
@example(["\x08"])
@example(["organisation: \ud800"])
def test_any_text_is_settings_or_problems(lines):
    """
    Every text is built into settings or explained by at least one problem that has a place; nothing is raised.
    """
    document = parse_document("\n".join(lines), Document("clarion.yaml"))
    settings = build(Settings, document)

    assert (settings is None) == bool(document.problems)
    assert all(problem.line >= 0 and problem.message for problem in document.problems)
