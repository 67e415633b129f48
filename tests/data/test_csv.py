import pytest

from tfprune.data._csv import number, read_columns, text, whole
from tfprune.utils.errors import DataError

COLUMNS = {"name": text, "size": number, "year": whole}
HEADER = "name,size,year\n"


def read(tmp_path, content, **options):
    path = tmp_path / "data.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_columns(path, COLUMNS, **options)


def test_columns_come_typed_in_any_order_with_spaces_blank_lines_and_byte_order_mark(tmp_path):
    table = read(tmp_path, "\ufeffyear, size ,name\n2007, 1.5 ,a\n\n2008,2,b\n")
    assert table == {"name": ["a", "b"], "size": [1.5, 2.0], "year": [2007, 2008]}


def test_ignored_columns_may_be_there_or_not(tmp_path):
    assert read(tmp_path, "label,name,size,year\nx,a,1,2\n", ignore=("label",))["name"] == ["a"]
    assert read(tmp_path, HEADER + "a,1,2\n", ignore=("label",))["name"] == ["a"]


def test_incomplete_rows_can_be_dropped(tmp_path):
    assert read(tmp_path, HEADER + "a,NA,1\nb,2,3\n", drop_incomplete=True)["name"] == ["b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "there is no header; the first line must name name, size, year"),
        ("\n", "there is no header"),
        (HEADER, "there are no rows below the header"),
        ("name,size\na,1\n", "column year is missing; needed are name, size, year"),
        ("name,size,yaer\na,1,2\n", r"column year is missing \(is it 'yaer'\?\)"),
        ("name,size,year,weight\na,1,2,3\n", "unknown column 'weight': .*Choices: name, size, year"),
        ("name,name,size,year\n", "column 'name' is there more than once"),
        (HEADER + "a,big,2\n", "line 2: size must be a number, got 'big'"),
        (HEADER + "a,1_0,2\n", "line 2: size must be a number, got '1_0'"),
        (HEADER + "a,inf,2\n", "line 2: size must be a number, got 'inf'"),
        (HEADER + "a,1,2.5\n", "line 2: year must be a whole number, got '2.5'"),
        (HEADER + "a,1,2\nb,,2\n", "line 3: size is missing; fill it in or remove the row"),
        (HEADER + "a,1\n", "line 2: 2 cells where the header has 3"),
        (HEADER + '"a,1,2\n', "this is not a CSV file"),
        (b"\xff\xfe\x00n", "this is not UTF-8 text"),
        (HEADER + "a" * 200_000 + ",1,2\n", "this is not a CSV file .*field larger"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, content)
    assert "\n" not in str(caught.value) and "data.csv" in str(caught.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(DataError, match="there is no such file"):
        read_columns(tmp_path / "absent.csv", COLUMNS)
    with pytest.raises(DataError, match="this is a folder"):
        read_columns(tmp_path, COLUMNS)
