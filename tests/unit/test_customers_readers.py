"""Reading CSV and TSV files as people have them."""

import gzip
from pathlib import Path

import pytest

from core.errors import ImportFailed, UsageError
from core.guard import guarded, unguarded
from customers.readers.opening import blocks
from customers.readers.tables import Row, Table, open_table

GERMAN = "name;ort\nMüller;Köln\nWeiß;Gießen\n"
CHINESE = "姓名,单位\n张三,北京纸业有限公司\n宋红江,上海文具\n"


def table_of(folder: Path, content: bytes, **options: str) -> Table:
    path = folder / "file.csv"
    path.write_bytes(content)
    return open_table(path, **options)


@pytest.mark.parametrize(
    ("text", "written_as", "expected"),
    [
        ("name,ort\nAnn,Ulm\n", "ascii", "utf-8"),
        (GERMAN, "utf-8", "utf-8"),
        (GERMAN, "utf-8-sig", "utf-8-sig"),
        (GERMAN, "utf-16", "utf-16"),
        (GERMAN, "utf-16-le", "utf-16-le"),
        (GERMAN, "utf-16-be", "utf-16-be"),
        (GERMAN, "utf-32", "utf-32"),
        (GERMAN, "cp1252", "cp1252"),
        ("name;preis\nPapier;5 €\n", "cp1252", "cp1252"),
        ("name;x\nMüller\x81;y\n", "latin-1", "latin-1"),
        ("Größe;Maß\nÄÖ;Müller\n", "cp1252", "cp1252"),
        (CHINESE, "utf-8", "utf-8"),
        (CHINESE, "gb18030", "gb18030"),
        (CHINESE, "utf-16", "utf-16"),
    ],
)
def test_encoding_is_detected_from_the_bytes_alone(tmp_path: Path, text: str, written_as: str, expected: str) -> None:
    """
    Every common encoding is told apart, and the cells come out as they were written.
    """
    table = table_of(tmp_path, text.encode(written_as))
    delimiter = ";" if ";" in text else ","

    assert expected == table.detected.encoding
    assert [line.split(delimiter) for line in text.splitlines()[1:]] == [row.cells for row in table.rows()]


def test_encoding_counts_the_last_line_of_a_large_file(tmp_path: Path) -> None:
    """
    A single umlaut after three megabytes of ASCII still decides.
    """
    content = b"name;ort\n" + b"Ann;Ulm\n" * 400_000 + "Jörg;Köln\n".encode("cp1252")

    assert "cp1252" == table_of(tmp_path, content).detected.encoding


def test_encoding_given_goes_before_detection(tmp_path: Path) -> None:
    """
    What the user says is used, even where another encoding would be detected.
    """
    table = table_of(tmp_path, "name;ort\nMüller;Köln\n".encode("cp1252"), encoding="cp850")

    assert "cp850" == table.detected.encoding


def test_encoding_unknown_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    """
    A misspelt encoding is a usage error with the near miss.
    """
    with pytest.raises(UsageError, match="gb18030"):
        table_of(tmp_path, b"a,b\n", encoding="gb18o30")


@pytest.mark.parametrize("name", ["hex", "rot13", "undefined", "base64", "zip"])
def test_encoding_that_is_no_encoding_of_text_is_refused(tmp_path: Path, name: str) -> None:
    """
    Python's other codecs are usage errors, not crashes.
    """
    with pytest.raises(UsageError, match="no such encoding"):
        table_of(tmp_path, b"a,b\n1,2\n", encoding=name)


@pytest.mark.parametrize("name", ["utf-16", "utf-32", "utf-7", "idna"])
def test_encoding_that_does_not_fit_at_all_refuses_the_file(tmp_path: Path, name: str) -> None:
    """
    Bytes that the told encoding cannot read are an error of the file, whatever the codec raises.
    """
    with pytest.raises(ImportFailed):
        list(table_of(tmp_path, b"a,b\n1,\xf6..\xf6\n", encoding=name).rows())


def test_encoding_told_may_be_utf16_with_a_mark(tmp_path: Path) -> None:
    """
    Encodings that need a byte order mark can be told.
    """
    assert ("name", "ort") == table_of(tmp_path, GERMAN.encode("utf-16"), encoding="utf-16").header


@pytest.mark.parametrize("place", [0, 3, 499])
def test_encoding_of_nearly_utf8_is_never_guessed(tmp_path: Path, place: int) -> None:
    """
    One stray byte among umlauts refuses the file with the line; told an encoding, it is read.
    """
    lines = [f"C{number},Jörg Größe\n".encode() for number in range(500)]
    lines[place] = b"C999,J\xf6rg\n"
    content = b"id,name\n" + b"".join(lines)

    with pytest.raises(ImportFailed, match=f"file.csv:{place + 2}: .*0xF6") as caught:
        table_of(tmp_path, content)
    assert "--encoding" in caught.value.hint
    assert 500 == len(list(table_of(tmp_path, content, encoding="cp1252").rows()))


def test_encoding_given_wrongly_says_where_it_breaks(tmp_path: Path) -> None:
    """
    A byte that does not fit the given encoding is reported with its row.
    """
    table = table_of(tmp_path, "name;ort\nAnn;Ulm\nMüller;Köln\n".encode("cp1252"))
    wrong = Table(table.path, table.header, table.detected.__class__("utf-8", "as told", 3), table.delimiter)

    with pytest.raises(ImportFailed, match="0xFC"):
        list(wrong.rows())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2,5\n", ";"),
        ("a\tb\n1, 2\t3\n", "\t"),
        ("a|b\n1|2\n", "|"),
        ('"a, with comma";b;c\n"1, 2";2;3\n', ";"),
        ("email\na@x.example\n", ","),
        ("name,note\nAnn,a;b;c\nBea,d;e\n", ","),
        ("sep=;\na;b\n1;2\n", ";"),
    ],
)
def test_delimiter_is_detected_from_whole_records(tmp_path: Path, text: str, expected: str) -> None:
    """
    The delimiter is the one that gives the records the width of the header.
    """
    assert expected == table_of(tmp_path, text.encode()).delimiter.character


def test_delimiter_line_of_excel_is_not_the_header(tmp_path: Path) -> None:
    """
    A first line `sep=;` names the delimiter and is no row; numbers still count it.
    """
    table = table_of(tmp_path, b"sep=;\r\na;b\r\n1;2\r\n")

    assert ("a", "b") == table.header
    assert [Row(3, ["1", "2"])] == list(table.rows())


def test_packed_file_is_read_whatever_its_name(tmp_path: Path) -> None:
    """
    gzip is recognised by its first bytes.
    """
    table = table_of(tmp_path, gzip.compress(b"a,b\n1,2\n"))

    assert [Row(2, ["1", "2"])] == list(table.rows())


def test_rows_are_numbered_as_in_the_file(tmp_path: Path) -> None:
    """
    A row has the number of the line it starts in, over blank lines and line breaks inside quotes.
    """
    table = table_of(tmp_path, b'a,b\r\n"one\r\ntwo",1\r\n\r\n,\r\n"say ""hi""",2\r\n')

    assert [Row(2, ["one\r\ntwo", "1"]), Row(6, ['say "hi"', "2"])] == list(table.rows())


def test_rows_of_another_width_are_filled_up_or_faulty(tmp_path: Path) -> None:
    """
    Missing cells are empty, empty surplus is dropped, surplus content is a fault.
    """
    rows = list(table_of(tmp_path, b"a,b\n1\n1,2,,\n1,2,3\n").rows())

    assert [["1", ""], ["1", "2"], ["1", "2", "3"]] == [row.cells for row in rows]
    assert ["", "", "more cells than the header (got 3, expected 2)"] == [row.fault for row in rows]


def test_row_with_broken_quoting_is_faulty_alone(tmp_path: Path) -> None:
    """
    One row with text after a closing quote is reported; the next one is read.
    """
    bad, good = table_of(tmp_path, b'a,b\n"5" screen,1\n1,2\n').rows()

    assert (2, ['"5" screen,1']) == (bad.number, bad.cells)
    assert bad.fault.startswith("broken quoting")
    assert Row(3, ["1", "2"]) == good


def test_lines_between_stray_quotes_are_all_faulty(tmp_path: Path) -> None:
    """
    Each line that a stray quote swallows is a row with its own number and text.
    """
    rows = list(table_of(tmp_path, b'a,b\n"1,x\n\n2,y\n3,"z"w\n4,v\n').rows())

    assert [(2, ['"1,x']), (4, ["2,y"]), (5, ['3,"z"w']), (6, ["4", "v"])] == [(r.number, r.cells) for r in rows]
    assert ["broken quoting between lines 2 and 5"] * 3 + [""] == [row.fault.partition(":")[0] for row in rows]


def test_cell_beyond_the_limit_is_faulty_alone(tmp_path: Path) -> None:
    """
    A cell of more than a mebibyte is reported, the next row is read.
    """
    bad, good = table_of(tmp_path, b"a,b\n1," + b"x" * 1_050_000 + b"\n2,y\n").rows()

    assert (2, True) == (bad.number, bad.fault.startswith("a cell is too long"))
    assert Row(3, ["2", "y"]) == good


def test_quote_without_end_refuses_the_file(tmp_path: Path) -> None:
    """
    A quote that swallows the rest of the file would lose rows silently, so nothing is imported.
    """
    with pytest.raises(ImportFailed, match=r"file\.csv:3: a quote opened in this row is never closed"):
        list(table_of(tmp_path, b'a,b\n1,2\n"3,4\n5,6\n').rows())


def test_nul_characters_are_dropped(tmp_path: Path) -> None:
    """
    PostgreSQL cannot hold U+0000, so no cell has one.
    """
    assert [Row(2, ["xy", "1"])] == list(table_of(tmp_path, b"a,b\nx\0\0y,1\n").rows())


def test_header_names_are_made_distinct(tmp_path: Path) -> None:
    """
    Repeated and empty names get the number of their column.
    """
    assert ("a 1", "a 2", "column 3") == table_of(tmp_path, b"a,a,\n1,2,3\n").header


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"PK\x03\x04rest", "spreadsheet"),
        (gzip.compress(b"a,b\n1,2\n" * 999, mtime=0)[:-30], "damaged"),
        (b",".join([b"c"] * 1_001) + b"\n", "too many columns"),
        (b'"a"x,b\n', "header cannot be read"),
    ],
)
def test_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    """
    What cannot be a table is refused in words, with the file's name.
    """
    with pytest.raises(ImportFailed, match=words) as caught:
        table_of(tmp_path, content)
    assert "file.csv" in caught.value.where


def test_missing_file_is_named(tmp_path: Path) -> None:
    """
    A file that is not there is an error of the user, not a bug.
    """
    with pytest.raises(ImportFailed, match="no such file"):
        open_table(tmp_path / "nothing.csv")


def test_unpacking_stops_at_the_cap(tmp_path: Path) -> None:
    """
    A small file that unpacks to more than the cap is refused before it is read to its end.
    """
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(b"0" * 5_000_000))

    with pytest.raises(ImportFailed, match="too large"):
        list(blocks(path, max_bytes=2**20))


@pytest.mark.parametrize("cell", ["=1+1", "+49 30", "-5", "@cmd", "\tx", "'=1"])
def test_guard_puts_an_apostrophe_before_formulas(cell: str) -> None:
    """
    No exported cell begins like a formula, and an import gets the original back.
    """
    assert f"'{cell}" == guarded(cell)
    assert cell == unguarded(guarded(cell))


def test_guard_leaves_other_apostrophes(tmp_path: Path) -> None:
    """
    Names that begin with an apostrophe keep it; a guarded cell loses it.
    """
    table = table_of(tmp_path, b"a,b\n't Hooft,'+49 30\n")

    assert ["'t Hooft", "+49 30"] == next(table.rows()).cells
