r"""Text from elsewhere (names, labels, paths, errors), made fit for a terminal, a page or a spreadsheet.

Escapes look as in Python, `\x1b` or `\u202e`. A backslash stays as it is, so that text may pass here more than once.
"""

from __future__ import annotations

import csv
import io
import re
import time
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

Cell = str | tuple[str, ...]  # a line, or several
Table = tuple[tuple[str, ...], list[tuple[Cell, ...]]]  # headers and rows

UNSEEN = frozenset(("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))  # controls, formats, surrogates, private, separators of lines
# Letters, marks and reserved characters that show nothing (Unicode's Default_Ignorable_Code_Point), and noncharacters.
# Without U+FE0E and U+FE0F, which choose between the two looks of a sign and stand behind many emoji.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0d\uffa0\ufff0-\ufff8\ufdd0-\ufdef\ufffe\uffff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
LONGEST = 1000  # characters of an error that stands alone; some quote what a file of a person holds
_LONGEST_NAME = 120  # characters of a path in an error


def printable(text: str, *, keep: str = "") -> str:
    r"""Returns text that moves no cursor, hides nothing and turns no line around: such characters are escaped.

    Letters, marks and signs of all scripts stay, and so do emoji but for the invisible joiners within some.

    Args:
        text: anything, lone surrogates included.
        keep: characters that stay in any case, such as the newline of text with several lines.

    >>> print(printable("caf\u00e9 \x1b[31m \u202egnp.exe"))
    café \x1b[31m \u202egnp.exe
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char in keep or not _unseen(char) else _escaped(char) for char in text)


def one_line(error: object, longest: int = 160) -> str:
    """Returns what an error says, on one line that can be shown; of a longer one the begin and the end.

    Args:
        error: an exception, or a message. One that says nothing is called by its type.
        longest: the most characters, no fewer than 20.

    >>> one_line(ValueError("no\\nsuch  thing")), one_line(KeyboardInterrupt())
    ('no such thing', 'KeyboardInterrupt')
    """
    return shortened(printable(" ".join(str(error).split())) or type(error).__name__, longest)


def shortened(text: str, longest: int = _LONGEST_NAME) -> str:
    """Returns the begin and the end of a text that is longer than anybody reads.

    >>> shortened("x" * 50 + "y" * 50, 20)
    'xxxxxxxxxxx ... yyyy'
    """
    if len(text) <= longest:
        return text
    tail = (longest - 5) * 3 // 10
    return f"{text[: longest - 5 - tail]} ... {text[-tail:]}"


def markdown(text: str) -> str:
    """Returns Markdown that shows a text as it is, on one line.

    >>> print(markdown("a|b <i> [x](y) small_dense"))
    a\\|b &lt;i&gt; \\[x\\](y) small_dense
    """
    text = printable(" ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"[\\`*\[\]|~]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", text)


def csv_text(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Returns CSV for people: each cell is a `csv_cell`. Files that tfprune reads again are not written so."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows(map(csv_cell, row) for row in (headers, *rows))
    return text.getvalue()


def csv_cell(value: Any) -> Any:
    """Returns what no spreadsheet takes for a formula: text that would begin one gets an apostrophe before it.

    So does what follows a semicolon, at which some countries' spreadsheets split. Numbers stay, written out too; what
    cannot be shown is escaped, tabs and the ends of lines included. See OWASP's page on CSV injection.

    >>> csv_cell("=1+1"), csv_cell("-0.5"), csv_cell(-0.5), csv_cell("a;@b")
    ("'=1+1", '-0.5', -0.5, "a;'@b")
    """
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = str(value)
    if _NUMBER.fullmatch(text):
        return text
    return ";".join(f"'{printable(part)}" if _begins_formula(part) else printable(part) for part in text.split(";"))


def percent(share: float, digits: int = 1) -> str:
    """Returns a share as people read it: one form in all tables.

    >>> percent(0.305), percent(1), percent(0.12345, 2)
    ('30.5 %', '100.0 %', '12.35 %')
    """
    return f"{100 * share:.{digits}f} %"


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun.

    >>> counted(1, "core"), counted(2, "core")
    ('1 core', '2 cores')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def milliseconds(seconds: float) -> str:
    """Returns a time in milliseconds with three digits that count.

    >>> milliseconds(4.7123e-6), milliseconds(0.00023), milliseconds(0.0123), milliseconds(1.5)
    ('0.00471', '0.230', '12.3', '1,500')
    """
    return f"{1000 * seconds:,.0f}" if seconds >= 0.0995 else f"{1000 * seconds:#.3g}"


def ratio_text(ratio: float) -> str:
    """Returns a ratio with two digits that count.

    >>> ratio_text(1.234), ratio_text(0.5), ratio_text(0.0039)
    ('1.23', '0.50', '0.0039')
    """
    return f"{ratio:.2f}" if ratio >= 0.095 else f"{ratio:#.2g}"


def date_text(seconds: float | None = None) -> str:
    """Returns a time as tfprune writes it everywhere.

    Args:
        seconds: since 1970; None is now.

    >>> date_text(0)
    '1970-01-01 00:00 UTC'
    """
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _begins_formula(text: str) -> bool:
    first = unicodedata.normalize("NFKC", text.lstrip()[:1])  # full-width and small forms
    return text[:1] in ("\t", "\r", "\n") or first[:1] in ("=", "+", "-", "@", "\N{MINUS SIGN}")


def _unseen(char: str) -> bool:
    return unicodedata.category(char) in UNSEEN or _BLANK.match(char) is not None


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
