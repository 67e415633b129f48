import re

import pytest
import yaml
from written import write_run

from tfprune.experiments.model_card import describes, model_card, write_card
from tfprune.experiments.results import read_result
from tfprune.experiments.rundir import RunDir

EVIL = '"---\n# x <script> `y` |'


def parts(card):
    """Returns the YAML of a card, read, and the headings and text below."""
    _, header, body = re.split(r"^---$", card, maxsplit=2, flags=re.M)
    return yaml.safe_load(header), body


@pytest.fixture
def run(tmp_path):
    classes = {name: {"a": 5, "b": 6} for name in ("train", "validation", "test")}
    return read_result(
        RunDir(write_run(tmp_path, "dynamic", metrics={"data": {"classes": classes, "remarks": [EVIL]}}))
    )


def test_the_header_is_what_the_hub_reads(run):
    header, _ = parts(model_card(run))
    assert header["library_name"] == "tf-keras" and header["datasets"] == ["penguins"]
    assert header["tags"] == ["pruning", "sparsity", "tfprune-dynamic", "unstructured-pruning"]
    assert header["metrics"] == ["accuracy"]
    (own,) = header["model-index"]
    (found,) = own["results"]
    assert own["name"] == run.config.run_id and found["task"]["type"] == "tabular-classification"
    assert found["metrics"][0]["value"] == round(run.metrics["test"]["accuracy"], 6)


def test_the_hubs_own_reader_takes_the_card(run):
    hub = pytest.importorskip("huggingface_hub")
    data = hub.ModelCard(model_card(run)).data
    assert data.model_name == run.config.run_id and data.eval_results[0].metric_type == "accuracy"


def test_people_read_how_it_was_pruned_how_large_it_is_and_how_good(run):
    _, body = parts(model_card(run))
    assert (
        re.findall("^## (.*)$", body, re.M)
        == [*("What it is", "How it was pruned", "Size", "Data", "Results", "How to use it", "Limits")]
        or "How to use it" not in body
    )
    for text in ("Requested: 31.1 % of the kernel weights; achieved: 30.0 % are zero", "train 11", "141", "one seed"):
        assert text in body
    assert "(events=\\[0.333333, 0.666667\\], rate=0.17, rate_factor=1, criterion=magnitude)" in body
    assert "<script>" not in body and not re.search("^# x", body, re.M)


def test_a_card_of_a_model_without_filters_says_how_large_it_was(tmp_path):
    sizes = {"parameters": {"before": 195, "after": 131}, "macs": {"before": 180, "after": 120}}
    metrics = {"channels": {"groups": {}, "left_alone": {}, **sizes}, "parameters": 131, "nonzero_parameters": 131}
    metrics["cost"] = {name: 0 for name in ("examples", "training_flops", "training_flops_masked")}
    metrics["cost"] |= {"forward_flops": 240, "forward_flops_masked": 240}  # of the smaller model
    _, body = parts(model_card(read_result(RunDir(write_run(tmp_path, granularity="filter", metrics=metrics)))))
    for what, before, after in (("parameters", 195, 131), ("multiply-adds per example", 180, 120)):
        assert re.search(rf"^\| {what} +\| {before} +\| {after} +\|$", body, re.M)


def test_a_card_of_another_model_is_told_apart(run, tmp_path):
    card = write_card(run, tmp_path / "card.md", [tmp_path / "model.onnx"])
    assert describes(card, run) and "model.onnx" in card.read_text()
    other = read_result(RunDir(write_run(tmp_path, "dynamic", 1)))
    assert not describes(card, other)


def test_a_card_of_a_run_that_kept_no_weights_says_how_to_have_them(tmp_path):
    beside_others = read_result(RunDir(write_run(tmp_path, metrics={"networks": 3})))
    _, body = parts(model_card(beside_others))
    assert f"tfprune train --config '{beside_others.folder.root.name}/config.json'" in body
