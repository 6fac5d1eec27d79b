"""Which of a customer's words on a topic counts: the one said last; of one instant a no, then the last to arrive.

A request for confirmation is no word: whoever asks leaves rows of the state `requested` out first. Whoever asks what is
still to be confirmed goes by arrival alone (`suppression.consent_ledger`): a request may follow a no at once.
"""


def newest_first(words: str = "consent") -> str:
    """ORDER BY of SQL: the rows `words` of consent (the table, or an alias of it), the one that counts first."""
    return f"{words}.captured_at DESC, {words}.state = 'withdrawn' DESC, {words}.id DESC"


def outranks(one: str, other: str) -> str:
    """A condition of SQL over two rows of consent about one thing: `one` counts rather than `other`."""
    ranks = (f"({words}.captured_at, {words}.state = 'withdrawn', {words}.id)" for words in (one, other))
    return " > ".join(ranks)
