# ruff: noqa: RUF001 - letters that look like others are what is tested
import csv
import io
import re
import sys
import unicodedata

import pytest

from tfprune.utils.text import csv_cell, csv_text, markdown, one_line, printable, shortened

HARMFUL = [
    *map(chr, (*range(0x20), *range(0x7F, 0xA0))),  # C0 with ESC, DEL, C1
    *map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x61C)),  # bidirectional
    *map(chr, (0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0xAD, 0x115F, 0x3164, 0xFFA0, 0x34F, 0x180E, 0xFE00)),  # unseen
    *map(chr, (0x2028, 0x2029, 0xE0001, 0xE0041, 0xE007F, 0xE0100, 0xE0FFF, 0xFFFE, 0xE000)),  # lines, tags, private
    *map(chr, (0xD800, 0xDC1B, 0xDFFF)),  # lone surrogates
]
SCRIPTS = (
    *("Zażółć gęślą jaźń", "Größe ½ µs ± 3 √2 ≤ 1 – „ja“", "Ελληνικά", "Русский", "עברית", "العربية", "हिन्दी", "ไทย"),
    *("中文", "日本語　テスト", "한국어", "አማርኛ", "e\u0301", "🐧 ❤️ 🇵🇱 👍🏽 \U0001fae8", "𝛼𝔅", "\\x1b", "a\u00a0%"),
)


@pytest.mark.parametrize("char", HARMFUL, ids=ascii)
def test_what_moves_a_cursor_or_hides_is_escaped_as_python_does(char):
    assert printable(f"a{char}b") == f"a{ascii(char)[1:-1]}b"


@pytest.mark.parametrize("text", SCRIPTS)
def test_what_people_write_stays(text):
    assert printable(text) == text


def test_nothing_of_all_unicode_gets_by_and_no_letter_is_lost():
    for char in map(chr, range(sys.maxunicode + 1)):
        category, shown = unicodedata.category(char), printable(char)
        assert category not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") or shown != char
        if category in ("Lu", "Ll", "Lt", "Nd", "Nl", "No", "Sm", "Sc", "Sk", "Pd", "Ps", "Pe", "Pi", "Pf", "Pc", "Zs"):
            assert shown == char
        assert shown.isascii() or shown == char


def test_escapes_pass_a_second_time_and_a_newline_stays_where_it_is_ours():
    once = printable("\x1b[2J\u202e\n")
    assert once == r"\x1b[2J\u202e\n" and printable(once) == once
    assert printable("a\nb\r\x1b", keep="\n") == "a\nb\\r\\x1b"


def test_joined_emoji_fall_apart_into_their_parts():
    assert printable("👩\u200d💻") == "👩\\u200d💻"


def test_an_error_is_one_line_of_bounded_length():
    assert one_line(ValueError("a\n\t b\u2028c\x1b[0m\x85d")) == r"a b c\x1b[0m d"
    assert one_line(KeyError()) == "KeyError" and one_line("said") == "said" and one_line("") == "str"
    long = one_line(OSError("x" * 10**6 + "the end"))
    assert len(long) == 160 and long.startswith("xxx") and long.endswith("the end")
    assert len(one_line("\x1b" * 10**4, 1000)) == 1000
    assert one_line("x" * 160) == "x" * 160


@pytest.mark.parametrize("longest", range(20, 40))
def test_what_is_shortened_is_as_long_as_it_may_be(longest):
    assert len(shortened("x" * 40, longest)) == longest
    assert shortened("x" * longest, longest) == "x" * longest


@pytest.mark.parametrize(
    "text",
    [
        *("=1+1", "+1.csv", "-x", "@SUM(A1)", "=cmd|' /C calc'!A0", "-1+1", "--1", "+1+cmd", "-", "=", "-inf"),
        *("＝1", "＋1", "－1", "＠a", "﹦1", "−1", " =1", "\u00a0=1", "\u3000=1", "-5 %", "-1,5"),
    ],
)
def test_no_cell_of_text_begins_a_formula(text):
    assert csv_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["\t=1", "\r=1", "\n=1", "\tx"])
def test_neither_does_one_behind_a_tab_or_the_end_of_a_line(text):
    assert csv_cell(text) == f"'{printable(text)}"


def test_a_semicolon_begins_a_cell_in_some_countries():
    assert csv_cell("a;=1;-2;b; @c") == "a;'=1;'-2;b;' @c"


@pytest.mark.parametrize(
    "value", [0, -1, -0.5, 1e-3, float("-inf"), None, True, "", "-0.5", "1e-3", "+5", "-1E+05", ".5", "7."]
)
def test_numbers_and_what_is_empty_stay(value):
    assert csv_cell(value) is value


@pytest.mark.parametrize("text", ["a=1", "x-y", "a@b", "2 - 1", "C:\\t", "\\tmp", "\u200b=1", "\x1b=1", "'=1"])
def test_other_text_stays_but_for_what_cannot_be_shown(text):
    assert csv_cell(text) == printable(text)


def test_csv_has_a_line_a_row_whatever_is_in_it_and_is_read_as_it_was_written():
    rows = [("a\nb", 'say "=1"', "x,=1"), (1, None, -2.5)]
    lines = csv_text(("=name", "b", "c"), rows).splitlines()
    assert len(lines) == 3
    assert list(csv.reader(io.StringIO("\n".join(lines)))) == [
        ["'=name", "b", "c"],
        [r"a\nb", 'say "=1"', "x,=1"],
        ["1", "", "-2.5"],
    ]


def test_markdown_shows_text_as_it_is_on_a_line():
    assert markdown("<!-- x -->\n# a|b\u202e") == "&lt;!-- x --&gt; # a\\|b\\\\u202e"
    assert not re.search(r"[<>\n\x1b]", markdown("<b>\n\x1b[31m</b>"))
