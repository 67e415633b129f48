"""Tables of OpenML, read from a prepared cache or from a folder of CSV files; nothing here needs a network."""

import gzip
import hashlib
import json
import sys
import urllib.error

import numpy as np
import pytest

from tfprune.data._user import user_data_spec
from tfprune.training.config import Config
from tfprune.utils.errors import ConfigError, DataError

ROWS = 60
ARFF = """@relation tiny
@attribute length numeric
@attribute colour {red, 'light blue'}
@attribute kind {a, b}
@data
"""


def rows():
    rng = np.random.default_rng(0)
    for number in range(ROWS):
        length = "?" if number == 7 else f"{rng.normal() + number % 2:.3f}"
        yield length, ("red", "'light blue'", "?")[number % 3 if number < 50 else 0], "ab"[number % 2]


def feature(index, name, kind="numeric", target="false"):
    same = {"is_ignore": "false", "is_row_identifier": "false", "number_of_missing_values": "0"}
    return {"index": str(index), "name": name, "data_type": kind, "is_target": target, **same}


@pytest.fixture
def cache(tmp_path):
    """The folder of a cache with one table, of the name tiny and the number 4242, as scikit-learn writes it."""
    pytest.importorskip("sklearn")
    arff = (ARFF + "".join(",".join(row) + "\n" for row in rows())).encode()
    description = {
        **{"id": "4242", "name": "tiny", "version": "1", "status": "active", "format": "ARFF", "description": "Tiny."},
        **{"default_target_attribute": "kind", "md5_checksum": hashlib.md5(arff).hexdigest()},
        "url": "https://www.openml.org/data/v1/download/9/tiny.arff",
    }
    features = [feature(0, "length"), feature(1, "colour", "nominal"), feature(2, "kind", "nominal", "true")]
    found = {"did": 4242, "name": "tiny", "version": 1, "status": "active"}
    files = {
        "api/v1/json/data/list/data_name/tiny/limit/2/data_version/1": {"data": {"dataset": [found]}},
        "api/v1/json/data/4242": {"data_set_description": description},
        "api/v1/json/data/features/4242": {"data_features": {"feature": features}},
        "api/v1/json/data/qualities/4242": {
            "data_qualities": {"quality": [{"name": "NumberOfInstances", "value": str(ROWS)}]}
        },
    }
    contents = {name: json.dumps(content).encode() for name, content in files.items()}
    for name, content in (contents | {"data/v1/download/9/tiny.arff": arff}).items():
        path = tmp_path / "openml" / "openml.org" / f"{name}.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content))
    return tmp_path


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise urllib.error.URLError("Network is unreachable")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    if "sklearn.datasets._openml" in sys.modules:
        monkeypatch.setattr("sklearn.datasets._openml.urlopen", refuse)


@pytest.mark.parametrize("name", ["openml:tiny", "openml:tiny:1", "openml:4242", "openml:Tiny"])
def test_a_table_is_read_from_the_cache(cache, name):
    dataset, settings, spec = user_data_spec(name, {"missing": "impute"}, str(cache))
    assert dataset == name and (settings["label"], settings["examples"]) == ("kind", ROWS)
    data = spec.load(cache, 0)
    assert data.labels == ("a", "b") and data.target == "kind"
    assert sum(len(split.y) for split in (data.train, data.validation, data.test)) == ROWS
    assert data.train.x.shape[1] == 1 + 2  # a number, and a column for each colour: what is missing is none of its own
    assert np.all(np.isfinite(data.train.x)) and set(np.unique(data.train.x[:, 1:])) == {0.0, 1.0}


def test_missing_cells_are_refused_unless_asked_for(cache):
    _, _, spec = user_data_spec("openml:tiny", {}, str(cache))
    with pytest.raises(DataError, match="missing"):
        spec.load(cache, 0)


def test_names_and_numbers_of_a_table_have_one_fingerprint_and_another_label_can_be_named(cache):
    found = [user_data_spec(name, {}, str(cache))[1]["fingerprint"] for name in ("openml:tiny", "openml:4242")]
    assert found[0] == found[1]
    assert user_data_spec("openml:tiny", {"label": "colour"}, str(cache))[1]["label"] == "colour"
    with pytest.raises(ConfigError, match="--label must name the column of labels. did you mean colour"):
        user_data_spec("openml:tiny", {"label": "color"}, str(cache))


def test_without_a_network_there_is_one_line(tmp_path):
    pytest.importorskip("sklearn")
    with pytest.raises(DataError) as stop:
        user_data_spec("openml:absent", {}, str(tmp_path))
    said = str(stop.value)
    assert said.startswith("openml:absent: is not in the cache and cannot be downloaded (<urlopen error Network is")
    assert "--data-dir" in said and "\n" not in said


def test_without_scikit_learn_there_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(
        DataError, match=r"openml:tiny: OpenML needs scikit-learn \(.*\): pip install 'tfprune\[openml\]'"
    ):
        user_data_spec("openml:tiny", {}, str(tmp_path))


@pytest.mark.parametrize(
    "name", ["openml:", "openml:tiny:x", "openml:../tiny", "openml:a/b", "openml:a b", "openml:t?x=1"]
)
def test_a_name_is_a_name(name, tmp_path):
    (tmp_path / "tiny.csv").write_text("a,class\n1,x\n")
    with pytest.raises(ConfigError, match=r"write openml:NAME, openml:NAME:VERSION with a whole number, or openml:ID"):
        user_data_spec(name, {}, str(tmp_path / "folder"))


def test_a_folder_of_csv_files_stands_for_openml(tmp_path):
    text = "length,class\n" + "".join(f"{number / 7:.3f},{'ab'[number % 2]}\n" for number in range(ROWS))
    (tmp_path / "tiny.csv").write_text(text)
    config = Config(dataset="openml:tiny", data_dir=str(tmp_path))
    assert config.data_settings["label"] == "class" and config.data_settings["where"] == "csv"
    assert config.run_id.startswith("tiny-dynamic-seed0-") and config.data_name == "tiny"
    data = config.spec.load(tmp_path, 0)
    assert len(data.train.y) == 42 and data.labels == ("a", "b")
    named = Config(dataset="openml:tiny", data_dir=str(tmp_path), data_settings={"label": "length", "missing": "drop"})
    assert named.data_settings["label"] == "length"
    (tmp_path / "tiny.csv").write_text(text + "9.9,a\n")
    with pytest.raises(DataError, match="the content has changed"):
        config.spec.load(tmp_path, 0)
