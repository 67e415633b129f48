import pytest

from tfprune.utils.errors import ConfigError, choose_from
from tfprune.utils.registry import Registry

CODECS = Registry("codec", {"json": "json:dumps", "missing": "tfprune.nowhere:codec"})


def test_a_name_is_imported_when_asked_for():
    assert CODECS["json"]([1]) == "[1]"
    assert list(CODECS) == ["json", "missing"] and len(CODECS) == 2
    assert "json" in CODECS and "yaml" not in CODECS


@pytest.mark.parametrize("name", ["jsn", 5, None, ["json"]])
def test_an_unknown_name_lists_the_choices(name):
    with pytest.raises(ConfigError, match=r"unknown codec .*Choices: json, missing"):
        CODECS[name]


def test_the_nearest_match_comes_first():
    assert choose_from("dinamic", ["pruned", "dynamic"]).startswith("did you mean dynamic?")
    assert choose_from("zzz", ["pruned", "dynamic"]).startswith("Choices:")
