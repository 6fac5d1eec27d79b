"""What happens whenever customers are written, by whatever way: a trigger for new ones, one for changed ones.

PostgreSQL lets only the trigger of a change see how the rows were before, so there are two of each.
"""

from typing import Final

#: Of customers that were changed: their address is another one now.
MOVED: Final = "NOT EXISTS (SELECT FROM known WHERE known.id = n.id AND known.email = n.email)"

_WAYS: Final = (
    ("", "INSERT ON customer REFERENCING NEW TABLE AS now_known"),
    ("_anew", "UPDATE ON customer REFERENCING OLD TABLE AS known NEW TABLE AS now_known"),
)


def whenever_known(name: str, body: str, *, changed: str) -> tuple[str, ...]:
    """`body` runs at each statement that writes customers, its `{condition}` true of each new `n`.

    `changed` is the condition for those that were there before.
    """
    statements: list[str] = []
    for (ending, given), condition in zip(_WAYS, ("true", changed), strict=True):
        trigger = name + ending
        statements += (
            f"CREATE FUNCTION {trigger}() RETURNS trigger LANGUAGE plpgsql AS $${body.format(condition=condition)}$$",
            f"CREATE TRIGGER {trigger} AFTER {given} FOR EACH STATEMENT EXECUTE FUNCTION {trigger}()",
        )
    return tuple(statements)
