"""Bad and odd tables and arrays: each is one line and exit code 2, or is read right, in bounded time and memory."""

import io
import re
import zipfile

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tfprune.experiments.building import load_data
from tfprune.training.config import Config

pytestmark = pytest.mark.usefixtures("bounded")

ROWS = "".join(f"{n},{'xy'[n % 2]}\n" for n in range(24))
GOOD = f"a,b\n{ROWS}"
MANY = 10_000_000
UNPRUNED = ("--method", "unpruned", "--epochs", 1)


def cells(cell, rows=ROWS):
    """A table with this as its last cell in column `a`."""
    return f"a,b\n{rows}{cell},x\n"


BAD_TABLES = {  # text is written as UTF-8
    "empty": "",
    "a byte": "\x00",
    "empty lines": "\n\n\n",
    "commas": ",,,,\n,,,,\n",
    "a byte-order mark alone": "\ufeff",
    "a header alone": "a,b\n",
    "a header without an end": "a,b",
    "another header": "c,d\n1,x\n",
    "names in quotes that do not end": '"a,b\n' + ROWS,
    "a cell in quotes that does not end": cells('"1'),
    "a row cut short": GOOD + "7",
    "a row too long": GOOD + "7,x,9\n",
    "columns of one name": "a,a,b\n1,1,x\n",
    "latin-1": GOOD.replace("a,b", "größe,b").encode("latin-1"),
    "latin-1 far below": (GOOD * 1).encode() + "9,ä\n".encode("latin-1"),
    "UTF-16": GOOD.encode("utf-16"),
    "UTF-16 without a mark": GOOD.encode("utf-16-le"),
    "UTF-32": GOOD.encode("utf-32"),
    "EBCDIC": GOOD.encode("cp500"),
    "zeros": b"\0" * 10_000,
    "all bytes": bytes(range(256)) * 40,
    "an image": b"\x89PNG\r\n\x1a\n" + bytes(200),
    "a ZIP": b"PK\x03\x04" + bytes(200),
    "JSON": '{"a": [1, 2], "b": ["x", "y"]}\n',
    "HTML": "<html><body><table><tr><td>1</td></tr></table></body></html>\n",
    "infinite": cells("inf"),
    "negative infinite": cells("-Infinity"),
    "too large for a float": cells("1e400"),
    "so large that they have no mean": "a,b\n" + "1e308,x\n-1.7e308,y\n" * 12,
    "so large that they have no deviation": "a,b\n" + "1e200,x\n-1e200,y\n" * 12,
    "all missing": "a,b\n" + "nan,x\nNA,y\n" * 12,
    "missing": cells("nan"),
    "labels missing": "a,b\n" + "1,\n2,\n" * 12,
    "one class": "a,b\n" + "1,x\n2,x\n" * 12,
    "classes of one": "a,b\n" + "".join(f"{n},c{n % 5}\n" for n in range(6)),
    "labels that all differ": "a,b\n" + "".join(f"1,w{n / 7}\n" for n in range(40)),
    "a number among which one is none": cells("12O"),
    "a comma in numbers": cells('"1,5"'),
    "hexadecimal": cells("0x10"),
    "many texts": "a,b\n" + "".join(f"t{n},{'xy'[n % 2]}\n" for n in range(300)),
    "no column beside the label": "b\n" + "x\ny\n" * 12,
    "10,001 columns": "".join(f"c{n}," for n in range(10_000))
    + "b\n"
    + ("1," * 10_000 + "x\n2," + "2," * 9_999 + "y\n") * 6,
    "10 million columns": b"a," * MANY + b"b\n1,x\n",
    "10 million columns of one name each": lambda: ",".join(map(str, range(MANY // 10))).encode() + b"\n",
    "a row of 10 million cells": b"a,b\n" + b"1," * MANY + b"x\n",
    "a name of 20 million characters": b"a" * 2 * MANY + b",b\n1,x\n",
    "a cell of 20 million characters": b"a,b\n" + b"1" * 2 * MANY + b",x\n",
    "20 million lines of nothing": b"a,b" + b"\n" * 2 * MANY,
    "quotes within quotes": b'"' * 2 * MANY,
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_a_bad_table_is_one_line(refused, tmp_path, name):
    content = BAD_TABLES[name]
    content = content() if callable(content) else content
    (tmp_path / "t.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    assert "t.csv" in refused("train", "--dataset", tmp_path / "t.csv", "--label", "b", *UNPRUNED)


ODD_TABLES = {  # each comes to the same as `GOOD`
    "a byte-order mark": "\ufeff" + GOOD,
    "lines as on Windows": GOOD.replace("\n", "\r\n"),
    "lines as on old Macs": GOOD.replace("\n", "\r"),
    "no end of line at the end": GOOD.rstrip("\n"),
    "empty lines between": GOOD.replace("\n", "\n\n"),
    "semicolons": GOOD.replace(",", ";"),
    "tabulators": GOOD.replace(",", "\t"),
    "spaces": GOOD.replace(",", " , "),
    "quotes": "".join(f'"{line[0]}","{line[1]}"\n' for line in (row.split(",") for row in GOOD.splitlines())),
    "decimals": GOOD.replace(",", ".0,").replace("a.0,", "a,"),
    "exponents": GOOD.replace(",", "e0,").replace("ae0,", "a,"),
    "signs": "".join(f"+{row}\n" for row in GOOD.splitlines())[1:],
    "the suffix of a TSV": GOOD,
}


@pytest.mark.parametrize("name", ODD_TABLES)
def test_an_odd_table_is_read_right(tmp_path, name):
    path = tmp_path / ("t.tsv" if "TSV" in name else "t.csv")
    path.write_bytes(ODD_TABLES[name].encode())
    data = load_data(Config(dataset=str(path), data_settings={"label": "b"}))
    numbers = np.concatenate([part for part in data.split_members.values()])
    assert sorted(numbers) == list(range(24)) and data.labels == ("x", "y")
    values = np.concatenate([getattr(data, split).x[:, 0] for split in data.split_members])
    assert np.all(np.diff(values[np.argsort(numbers)]) > 0)  # 0 to 23, standardised
    for split, rows in data.split_members.items():
        np.testing.assert_array_equal(getattr(data, split).y, rows % 2)


@pytest.mark.parametrize("text", ["größe 😀", "=1+1", "x" * 5000, "a\x00b", "<b>&amp;</b>", "a\u202eb", "NaN?"])
def test_names_and_labels_may_be_any_text(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + f'1,"{text}"\n2,y\n' * 12, encoding="utf-8")
    assert load_data(Config(dataset=str(path), data_settings={"label": "b"})).labels == tuple(sorted((text, "y")))
    path.write_text(f'"{text}",b\n{ROWS}', encoding="utf-8")
    assert load_data(Config(dataset=str(path), data_settings={"label": "b"})).input_shape == (1,)


def in_parquet(**columns):
    file = io.BytesIO()
    parquet.write_table(pa.table(columns), file)
    return file.getvalue()


PARQUET = in_parquet(a=list(range(24)), b=["x", "y"] * 12)
BAD_PARQUET = {
    "empty": b"",
    "CSV": GOOD.encode(),
    "cut in the middle": PARQUET[: len(PARQUET) // 2],
    "without its last byte": PARQUET[:-1],
    "without its first bytes": PARQUET[4:],
    "its end alone": PARQUET[-8:],
    "zeros in the middle": PARQUET[:10] + bytes(80) + PARQUET[90:],
    "another length of its end": PARQUET[:-8] + b"\xff\xff\xff\x7f" + PARQUET[-4:],
    "no rows": in_parquet(a=pa.array([], pa.int64()), b=pa.array([], pa.string())),
    "lists": in_parquet(a=[[1, 2]] * 24, b=["x", "y"] * 12),
    "binary": in_parquet(a=[b"\0"] * 24, b=["x", "y"] * 12),
    "dates": in_parquet(a=pa.array([0] * 24, pa.timestamp("s")), b=["x", "y"] * 12),
    "not finite": in_parquet(a=[float("inf"), 1.0] * 12, b=["x", "y"] * 12),
    "many columns": lambda: in_parquet(**{f"c{n}": [1, 2] for n in range(20_000)}, b=["x", "y"]),
}


@pytest.mark.parametrize("name", BAD_PARQUET)
def test_a_bad_parquet_file_is_one_line(refused, tmp_path, name):
    content = BAD_PARQUET[name]
    (tmp_path / "t.parquet").write_bytes(content() if callable(content) else content)
    assert "t.parquet" in refused("train", "--dataset", tmp_path / "t.parquet", "--label", "b", *UNPRUNED)


X, Y = np.arange(96.0).reshape(24, 4), np.arange(24) % 2


def npz(save=np.savez, **arrays):
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def claiming(shape, dtype="<f8"):
    """An archive whose array says that it is larger than what there is of it."""
    file = io.BytesIO()
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(64)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", array)
        archive.writestr("y.npy", array)
    return file.getvalue()


NPZ, COMPRESSED = npz(x=X, y=Y), npz(np.savez_compressed, x=X, y=Y)
BAD_ARRAYS = {
    "empty": b"",
    "text": b"a,b\n",
    "cut in the middle": NPZ[: len(NPZ) // 2],
    "without its last byte": NPZ[:-1],
    "a byte flipped where it is compressed": COMPRESSED[:100] + bytes([COMPRESSED[100] ^ 8]) + COMPRESSED[101:],
    "encrypted": re.sub(rb"(PK\x01\x02.{4}).", lambda found: found[1] + b"\x01", NPZ, flags=re.DOTALL),
    "a byte flipped": NPZ[:200] + bytes([NPZ[200] ^ 1]) + NPZ[201:],
    "no arrays": npz(),
    "other names": npz(a=X, b=Y),
    "one array": X.tobytes(),
    "objects": npz(x=X, y=np.array([{}] * 24, object)),
    "objects as examples": npz(x=np.array([[{}]] * 24, object), y=Y),
    "complex numbers": npz(x=X * 1j, y=Y),
    "text as examples": npz(x=X.astype(str), y=Y),
    "dates": npz(x=X.astype("datetime64[s]"), y=Y),
    "no examples": npz(x=X[:0], y=Y[:0]),
    "no numbers an example": npz(x=X[:, :0], y=Y),
    "no dimension": npz(x=np.float64(1), y=Y),
    "labels of no dimension": npz(x=X, y=np.int64(1)),
    "labels of three dimensions": npz(x=X, y=Y[:, None, None]),
    "labels that are complex": npz(x=X, y=Y + 0.5j),
    "labels that are not finite": npz(x=X, y=np.where(Y, np.nan, 1.0)),
    "infinite": npz(x=np.where(X == 5, np.inf, X), y=Y),
    "not a number": npz(x=np.where(X == 5, np.nan, X), y=Y),
    "too large for float32": npz(x=X * 1e300, y=Y),
    "so large that they have no deviation": npz(x=X * 1e37, y=Y),
    "fewer labels": npz(x=X, y=Y[1:]),
    "one class": npz(x=X, y=Y * 0),
    "a split without examples": npz(x_train=X, y_train=Y, x_test=X[:0], y_test=Y[:0]),
    "a petabyte": claiming((10**12, 100)),
    "a negative size": claiming((-5, 4)),
    "a size that no computer counts to": claiming((10**30, 100)),
    "structures": npz(x=np.zeros((24, 2), [("a", "f4")]), y=Y),
    "code as a type": claiming((2, 2), "'+__import__('os').getcwd()+'"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_arrays_are_one_line(refused, tmp_path, name):
    (tmp_path / "a.npz").write_bytes(BAD_ARRAYS[name])
    assert "a.npz" in refused("train", "--dataset", tmp_path / "a.npz", *UNPRUNED)


@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "uint16", "float16", ">f4", ">i8"])
def test_arrays_of_any_number_are_read_right(tmp_path, dtype):
    np.savez(tmp_path / "a.npz", x=X.astype(dtype), y=Y.astype(">u2"))
    data = load_data(Config(dataset=str(tmp_path / "a.npz")))
    assert data.labels == ("0", "1") and data.train.x.dtype == np.float32 and np.all(np.isfinite(data.train.x))
