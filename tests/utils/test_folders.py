from pathlib import Path

from tfprune.training.config import Config
from tfprune.utils.folders import data_folder, prepared_folder


def test_the_environment_names_folders_that_settings_do_not(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", "theirs")
    monkeypatch.delenv("TFPRUNE_OUT", raising=False)
    monkeypatch.delenv("TFPRUNE_DATA_DIR", raising=False)
    assert Config(dataset="penguins").out == "saved_models"
    assert data_folder() is None and prepared_folder() == Path("theirs")
    monkeypatch.setenv("TFPRUNE_OUT", str(tmp_path))
    monkeypatch.setenv("TFPRUNE_DATA_DIR", "~/data")
    assert Config(dataset="penguins").out == str(tmp_path)
    assert Config(dataset="penguins", out="here").out == "here"
    assert data_folder() == prepared_folder() == Path.home() / "data"
