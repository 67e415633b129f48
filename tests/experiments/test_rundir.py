import json

import pytest

from tfprune.experiments.run_files import read_json
from tfprune.experiments.rundir import RunDir, pack, unpack
from tfprune.utils.errors import RunError
from tfprune.utils.files import atomic_write, write_json


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as draft:
        draft.write_text("ne")
        1 / 0  # noqa: B018
    assert path.read_text() == "old"
    with atomic_write(path) as draft:
        draft.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_as_one(tmp_path):
    path = tmp_path / "model"
    for name in ("a", "b"):
        with atomic_write(path) as draft:
            draft.mkdir()
            (draft / name).touch()
    assert [file.name for file in path.iterdir()] == ["b"]
    assert list(tmp_path.iterdir()) == [path]


def test_the_draft_keeps_the_suffix_that_writers_go_by(tmp_path):
    with atomic_write(tmp_path / "curves.png") as draft:
        assert draft.suffix == ".png"
        draft.touch()


def test_create_empties_what_an_unfinished_run_left_but_nothing_else(tmp_path):
    folder = RunDir(tmp_path / "run")
    folder.create()
    for path in (folder.metrics, folder.history, folder.root / "notes.txt"):
        path.touch()
    for path in (folder.model, folder.tensorboard):
        path.mkdir()
    assert folder.finished
    folder.create()
    assert not folder.finished
    assert [path.name for path in folder.root.iterdir()] == ["notes.txt"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot write in .*file/run .*choose another folder with --out"):
        RunDir(tmp_path / "file" / "run").create()


def test_json_is_written_for_people_and_read_back(tmp_path):
    write_json(tmp_path / "a.json", {"x": [1, 2.5]})
    assert read_json(tmp_path / "a.json") == {"x": [1, 2.5]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "b.json", {"x": float("nan")})
    assert not (tmp_path / "b.json").exists()


@pytest.mark.parametrize(
    ("content", "message"), [("{", "cannot be read"), ("[1]", "a JSON object is needed, got list")]
)
def test_bad_json_is_named(tmp_path, content, message):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(RunError, match=message):
        read_json(tmp_path / "a.json")
    with pytest.raises(RunError, match="there is no such file"):
        read_json(tmp_path / "b.json")
    assert json.loads("{}") == {}


def test_a_run_travels_as_bytes_and_appears_at_once(tmp_path):
    there, here = RunDir(tmp_path / "there"), RunDir(tmp_path / "new" / "run")
    (there.model / "variables").mkdir(parents=True)
    (there.model / "variables" / "data").write_bytes(b"\0\1")
    write_json(there.config, {"out": "there"})
    write_json(there.metrics, {"schema": 2})
    here.root.mkdir(parents=True)
    here.history.write_text("of an earlier run")
    unpack(pack(there), here, {"out": "new"})
    assert pack(here) == pack(there) | {"config.json": here.config.read_bytes()}
    assert read_json(here.config) == {"out": "new"} and here.finished
    assert [path.name for path in here.root.parent.iterdir()] == ["run"]  # no draft is left
