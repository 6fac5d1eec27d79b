"""RFC 2047 encoded-words: text outside ASCII inside a header line."""

import binascii
from collections.abc import Iterator

#: `=?utf-8?q?` and `?=` around the encoded text; an encoded-word is at most 75 characters long (S-2.8).
_AROUND = len("=?utf-8?q??=")
_LONGEST_WORD = 75
_LONGEST_LINE = 76  # of a header line that holds an encoded-word
_SHORTEST_WORD = _AROUND + 12  # room for one character of four octets in Q: =F0=9F=98=80

#: The encoded form of each octet under Q in its strictest place, a phrase (RFC 2047 section 5 rule 3).
_LITERAL = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/"
_Q = [chr(octet) if octet in _LITERAL else f"={octet:02X}" for octet in range(256)]
_Q[0x20] = "_"


def encoded_words(text: str, *, column: int) -> list[str]:
    """`text` as lines to be joined by CRLF and a space; the first begins at `column` of its line.

    Each line is one encoded-word of whole characters, Q where that is shorter than B.
    """
    octets = text.encode()
    quoted_length = sum(len(_Q[octet]) for octet in octets)
    if quoted_length <= len(octets) * 4 / 3:
        return [f"=?utf-8?q?{chunk}?=" for chunk in _q_chunks(text, column)]
    return [f"=?utf-8?b?{chunk}?=" for chunk in _b_chunks(text, column)]


def _room(column: int) -> int:
    return max(min(_LONGEST_WORD, _LONGEST_LINE - column), _SHORTEST_WORD) - _AROUND


def _q_chunks(text: str, column: int) -> Iterator[str]:
    chunk: list[str] = []
    room, length = _room(column), 0
    for character in text:
        encoded = "".join([_Q[octet] for octet in character.encode()])
        if length + len(encoded) > room:
            yield "".join(chunk)
            room, chunk, length = _room(1), [], 0
        chunk.append(encoded)
        length += len(encoded)
    yield "".join(chunk)


def _b_chunks(text: str, column: int) -> Iterator[str]:
    room, start, length = _room(column) // 4 * 3, 0, 0
    for place, character in enumerate(text):
        size = len(character.encode())
        if length + size > room:
            yield _base64(text[start:place])
            room, start, length = _room(1) // 4 * 3, place, 0
        length += size
    yield _base64(text[start:])


def _base64(text: str) -> str:
    return binascii.b2a_base64(text.encode(), newline=False).decode()
