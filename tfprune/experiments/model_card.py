"""A card for a pruned model, in the form of Hugging Face's hub: YAML for machines, then Markdown for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfprune.data._base import SPLITS
from tfprune.experiments.results import Result
from tfprune.training.setting_checks import SCOPED, UNITS
from tfprune.utils.files import atomic_write
from tfprune.utils.text import Table, counted, markdown, percent, printable, shortened

HUB = {"multilabel": "classification"}  # tasks that the hub calls otherwise
TAGS = {  # granularity -> what the hub's readers look for
    **{"weight": "unstructured-pruning", "block": "block-sparsity", "n:m": "n-m-sparsity"},
    **{"filter": "structured-pruning", "branch": "structured-pruning"},
}


def write_card(result: Result, path: Path, files: Iterable[Path] = ()) -> Path:
    """Writes the card of a finished run's model; returns its path.

    Args:
        result: the run.
        path: of the card.
        files: exported files and folders that it is beside.

    Raises:
        OSError: it cannot be written.
    """
    with atomic_write(path) as draft:
        draft.write_text(model_card(result, files), encoding="utf-8", newline="\n")
    return path


def describes(card: Path, result: Result) -> bool:
    """Returns whether a file is the card of a run's model, which may be written anew."""
    name = f"- name: {_text(result.config.run_id)}\n"
    return card.is_file() and name in card.read_text(encoding="utf-8", errors="replace")


def model_card(result: Result, files: Iterable[Path] = ()) -> str:
    """Returns the card of a finished run's model, see `write_card`."""
    header = "\n".join(_yaml(_metadata(result)))
    sections = {
        "What it is": _about(result),
        "How it was pruned": _pruning(result),
        "Size": _table(_sizes(result)),
        "Data": _data(result),
        "Results": _table(_scores(result)),
        "How to use it": _use(result, [*files]),
        "Limits": _limits(result),
    }
    body = "\n\n".join(f"## {name}\n\n{text}" for name, text in sections.items() if text)
    return f"---\n{header}\n---\n\n# {markdown(result.config.run_id)}\n\n{body}\n"


def _metadata(result: Result) -> dict[str, Any]:
    config, metrics = result.config, result.metrics
    task = {"type": _task(result), "name": _task(result).replace("-", " ").capitalize()}
    found = [
        {"type": name, "name": f"Test {name}", "value": round(value, 6)}
        for name, value in metrics["test"].items()
        if name != "loss"
    ]
    one = {"task": task, "dataset": {"type": config.data_name, "name": config.data_name, "split": "test"}}
    return {
        "library_name": "keras" if result.of_keras3 else "tf-keras",
        "tags": ["pruning", "sparsity", f"tfprune-{config.method}", TAGS[config.granularity]],
        "datasets": [config.data_name],
        "metrics": [own["type"] for own in found],
        "model-index": [{"name": config.run_id, "results": [{**one, "metrics": found}]}],
    }


def _task(result: Result) -> str:
    """Returns the hub's name of what the model does."""
    task = result.config.task
    kind = "image" if result.config.spec.augment or task == "segmentation" else "tabular"
    return f"{kind}-{HUB.get(task, task)}"


def _about(result: Result) -> str:
    config, machine = result.config, result.metrics["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in result.metrics["versions"].items())
    settings = {"optimizer": config.optimizer, "learning rate": config.learning_rate, "epochs": config.epochs}
    settings |= {"batch size": config.batch_size, "seed": config.seed, "precision": config.precision}
    return _sentences(
        f"The model {config.model_name}, trained and pruned on {config.data_name} with tfprune.",
        "Settings: " + ", ".join(f"{name} {_value(value)}" for name, value in settings.items()) + ".",
        f"Trained on {', '.join((machine['cpu'], counted(machine['cores'], 'core'), *machine['gpus']))}.",
        f"Versions: {versions}.",
    )


def _pruning(result: Result) -> str:
    config, sparsity = result.config, result.metrics["sparsity"]
    own = ", ".join(f"{name}={_value(value)}" for name, value in config.settings.items() if value is not None)
    requested = sparsity.get("requested", config.requested_sparsity)
    unit = UNITS[config.granularity]
    state = "removed" if config.removes else "zero"
    return _sentences(
        f"Method {config.method}{f' ({own})' if own else ''}, ranked {SCOPED[config.scope]}."
        if config.requested_sparsity
        else f"Method {config.method}; nothing was pruned.",
        f"Paper: {config.pruning.paper}." if getattr(config.pruning, "paper", "") else "",
        f"Requested: {percent(requested)} of the {unit}; achieved: {percent(sparsity['achieved'])} are {state}.",
        f"{percent(result.total_sparsity)} of all numbers of the model are zero.",
        f"{_value(result.metrics['epochs'])} epochs over all trainings.",
    )


def _sizes(result: Result) -> Table:
    metrics = result.metrics
    cost, held = metrics["cost"], metrics["bytes"]
    removed = metrics.get("channels", {})  # which knows what there was before
    parameters = removed["parameters"]["before"] if removed else metrics["parameters"]
    macs = removed["macs"]["before"] if removed else cost["forward_flops"] // 2
    rows = [
        ("parameters", f"{parameters:,}", f"{metrics['parameters']:,}"),
        ("parameters that are not zero", f"{parameters:,}", f"{metrics['nonzero_parameters']:,}"),
        (
            "multiply-adds per example",
            f"{macs:,}",
            f"{round(cost['forward_flops_masked'] / 2):,}" + ("" if removed else " without those with zeros"),
        ),
        ("weights, bytes", "", f"{held['weights']['raw']:,}"),
        ("weights, bytes gzipped", "", f"{held['weights']['gzip']:,}"),
    ]
    if "raw" in held:
        rows += [("exported model, bytes", "", f"{held['raw']:,}"), ("gzipped", "", f"{held['gzip']:,}")]
    return ("", "before pruning", "this model"), rows


def _data(result: Result) -> str:
    config, counts = result.config, result.metrics.get("data", {}).get("classes", {})
    sizes = {name: sum(own.values()) for name, own in counts.items() if all(isinstance(n, int) for n in own.values())}
    described = ", ".join(f"{name} {size:,}" for name, size in sizes.items() if size)
    labels = next(iter(counts.values()), {})
    return _sentences(
        config.spec.source if config.spec.source else f"{config.data_name}.",
        f"Examples by split: {described}; the split follows from seed {config.seed}." if described else "",
        f"Labels: {shortened(', '.join(labels), 600)}." if labels else "",
        *result.metrics.get("data", {}).get("remarks", ()),
    )


def _scores(result: Result) -> Table:
    metrics = result.metrics
    names = list(metrics["test"])
    rows = [(split, *(_score(result, name, metrics[split].get(name)) for name in names)) for split in SPLITS]
    return ("split", *names), rows


def _score(result: Result, name: str, value: float | None) -> str:
    metric = result.config.objective.metrics.get(name)
    return "" if value is None else f"{value:.4f}" if metric is None else metric.text(value)


def _use(result: Result, files: Sequence[Path]) -> str:
    run = result.folder.root.name
    blocks = []
    if result.model.is_dir():
        load = f'import tensorflow as tf\n\nmodel = tf.saved_model.load("{_quoted(run)}/model")'
        load += '\nanswers = model.signatures["serving_default"]'
        blocks += [f"The SavedModel takes raw examples: preprocessing and labels are in it.\n\n{_code('python', load)}"]
        blocks += [_code("bash", f"tfprune predict '{_quoted(run)}' FILE")]
    if result.keras_model.is_file():
        load = f'import keras\n\nmodel = keras.saving.load_model("{_quoted(run)}/model.keras")'
        blocks += [_code("python", load)]
    if not result.folder.exported and "networks" in result.metrics:
        blocks.append(
            "Trained side by side with other runs, whose weights are not kept. This command trains it alone, "
            "to the same numbers, and keeps them:\n\n"
            + _code("bash", f"tfprune train --config '{_quoted(run)}/config.json'")
        )
    names = [markdown(path.name) for path in files]
    beside = [f"`{name}`: its inputs and labels are in `{name}.json`, where there is one." for name in names]
    return "\n\n".join(blocks + (["Exported files: " + " ".join(beside)] if beside else []))


def _limits(result: Result) -> str:
    said = [
        f"One run with one seed: another seed gives other weights and another {_main_score(result)}.",
        "Nothing is known of data that are drawn otherwise than the test split.",
    ]
    if not result.config.removes and result.config.requested_sparsity:
        said.append("Zeros make files smaller after compression; most runtimes are no faster for them.")
    if uncounted := result.metrics["cost"].get("uncounted"):
        said.append(f"Multiply-adds leave out: {', '.join(uncounted)}.")
    return _sentences(*said)


def _main_score(result: Result) -> str:
    return next((name for name in result.metrics["test"] if name != "loss"), "loss")


def _sentences(*lines: str) -> str:
    return "\n".join(f"* {markdown(line)}" for line in lines if line)


def _table(table: Table) -> str:
    from tabulate import tabulate

    headers, rows = table
    cells = [list(map(markdown, row)) for row in rows]
    return tabulate(cells, list(map(markdown, headers)), tablefmt="github", disable_numparse=True)


def _code(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def _quoted(name: str) -> str:
    return "".join(char for char in printable(name) if char not in "'\"`\\")


def _value(value: Any) -> str:
    """Returns a setting for people: numbers have no more digits than tell them apart."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    return value if isinstance(value, str) else json.dumps(value)


def _yaml(value: Mapping[str, Any], indent: str = "") -> list[str]:
    """Returns lines of YAML; texts are as in JSON, which YAML holds."""
    lines = []
    for name, own in value.items():
        if isinstance(own, Mapping):
            lines += [f"{indent}{name}:", *_yaml(own, indent + "  ")]
        elif isinstance(own, list):
            lines.append(f"{indent}{name}:")
            for item in own:
                first, *rest = _yaml(item, indent + "  ") if isinstance(item, Mapping) else [f"{indent}  {_text(item)}"]
                lines += [f"{indent}- {first.strip()}", *rest]
        else:
            lines.append(f"{indent}{name}: {_text(own)}")
    return lines


def _text(value: Any) -> str:
    return json.dumps(printable(value) if isinstance(value, str) else value, allow_nan=False)
