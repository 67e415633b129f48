"""What `scripts/reproduce_inference` measured, docs/results/inference, as the tables and sentences of the docs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import _shrinking

from tfprune.reporting.tables import markdown_table, points

FILES = {"model": "SavedModel", "model.tflite": "TFLite", "model-int8.tflite": "TFLite int8"}
NETWORKS = {  # method of the run -> what its network is called
    "unpruned": "unpruned",
    "pruned": "half of the weights zero",
    "dynamic": "half of the filters gone",
}
PATTERNS = (
    "none",
    "single weights",
    "blocks of 4 x 1",
    "blocks of 16 x 16",
    "2 in every 4",
)  # in the order of the runs
BATCHES = (1, 32)
Models = Sequence[Mapping[str, Any]]


def read(folder: Path, name: str) -> Models:
    """Returns what `tfprune bench --json` said of each file."""
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["models"]


def ratio(model: Mapping[str, Any], batch: int) -> float:
    """Returns the time of a call beside that of the first network's file of the same format."""
    [found] = (own["ratio"] for own in model["times"] if own["batch"] == batch)
    return 1.0 if found is None else found


class Files:
    """The files of three networks of Fashion-MNIST.

    Args:
        folder: of the published data.
    """

    def __init__(self, folder: Path) -> None:
        self.of = {
            (NETWORKS[own["run"].split("-")[1]], FILES[own["file"]]): own for own in read(folder, "fashion_mnist")
        }

    def rows(self) -> list[dict[str, str]]:
        """Returns the table of the page, as text."""
        return [
            {
                "file": file,
                "network": network,
                "kB": _kilobytes(own["raw"]),
                "kB gzipped": _kilobytes(own["gzip"]),
                **{f"time, batch of {batch}": f"{ratio(own, batch):.2f}" for batch in BATCHES},
                "test accuracy": f"{100 * own['test_accuracy']:.1f} %",
            }
            for file in FILES.values()
            for network in NETWORKS.values()
            for own in [self.of[network, file]]
        ]

    def smaller(self, network: str, file: str) -> float:
        """Returns how many times the unpruned network's TFLite file of 32-bit numbers is as large."""
        return self.of["unpruned", "TFLite"]["raw"] / self.of[network, file]["raw"]


def blocks(results: Path) -> Iterator[tuple[str, str, str]]:
    """Yields page, name of the place and table."""
    files = Files(results / "inference")
    rows = files.rows()
    yield (
        "docs/faster-and-smaller.md",
        "inference",
        markdown_table((tuple(rows[0]), [tuple(row.values()) for row in rows])),
    )
    yield "docs/faster-and-smaller.md", "patterns", markdown_table(_patterns(results / "inference"))
    yield "README.md", "inference", markdown_table(_in_short(files, _shrinking.read(results)["fashion_mnist"]))


def sentences(results: Path) -> Iterator[tuple[str, str]]:
    """Yields a page and what has to stand there."""
    files = Files(results / "inference")
    page = "docs/faster-and-smaller.md"
    zeros = [ratio(files.of["half of the weights zero", file], batch) for file in FILES.values() for batch in BATCHES]
    yield page, f"Half of the weights as zeros leave the time at {min(zeros):.2f} to {max(zeros):.2f} x."
    small = files.of["half of the filters gone", "TFLite"]
    times = [1 / ratio(small, batch) for batch in BATCHES]
    yield (
        page,
        f"With half of the filters a TFLite call is {times[0]:.1f} x (one example) and {times[1]:.1f} x (32) faster",
    )
    plain, rounded = (files.smaller("half of the filters gone", file) for file in ("TFLite", "TFLite int8"))
    saved = files.of["unpruned", "SavedModel"]["raw"] / files.of["half of the filters gone", "SavedModel"]["raw"]
    yield (
        page,
        f"Its file is {plain:.2f} x smaller, the SavedModel, whose graph does not shrink, {saved:.1f} x; with 8-bit "
        f"numbers it is {rounded:.1f} x smaller than the unpruned network's of 32 bits, and its accuracy changes by "
        f"{_of_int8(files)}.",
    )
    lost = points(*_shrinking.ahead(_shrinking.read(results)["fashion_mnist"], _shrinking.WHOLE))
    yield (
        "docs/which-method.md",
        f"TFLite calls of one example take {ratio(small, 1):.2f} x the time, for {lost} points, three seeds",
    )
    whole, eight = (files.of["unpruned", file] for file in ("TFLite", "TFLite int8"))
    yield (
        "docs/which-method.md",
        f"`lenet`, one seed: {_kilobytes(eight['raw'])} instead of {_kilobytes(whole['raw'])} kB for "
        f"{100 * (eight['test_accuracy'] - whole['test_accuracy']):+.2f} points of accuracy; with half of the filters "
        f"gone {_kilobytes(files.of['half of the filters gone', 'TFLite int8']['raw'])} kB",
    )


def _patterns(folder: Path) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    by_file: dict[str, list[Mapping[str, Any]]] = {}
    for own in read(folder, "patterns"):
        by_file.setdefault(FILES[own["file"]], []).append(own)
    timed = [(file, batch) for file in by_file for batch in BATCHES]
    headers = ("zeros", "TFLite, kB gzipped", *(f"{file}, batch of {batch}" for file, batch in timed))
    return headers, [
        (
            name,
            _kilobytes(by_file["TFLite"][place]["gzip"]),
            *(f"{ratio(by_file[file][place], batch):.2f}" for file, batch in timed),
        )
        for place, name in enumerate(PATTERNS)
    ]


def _in_short(files: Files, seeds: _shrinking.Seeds) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    whole, removed = (
        f"{100 * sum(own[training]['test_accuracy'] for own in seeds) / len(seeds):.1f} %"
        for training in (_shrinking.WHOLE, _shrinking.REMOVED)
    )
    lost = points(*_shrinking.ahead(seeds, _shrinking.WHOLE))
    rows = [
        ("unpruned", "unpruned", "TFLite", whole),
        ("half of the filters removed", "half of the filters gone", "TFLite", f"{removed}: {lost} points"),
        ("the same, in 8-bit numbers", "half of the filters gone", "TFLite int8", f"{_of_int8(files)} (one seed)"),
    ]
    return (
        ("network", "file", "time of a call / unpruned, same format", "test accuracy, mean of three seeds"),
        [
            (
                name,
                f"{_kilobytes(files.of[network, file]['raw'])} kB",
                f"{ratio(files.of[network, file], 1):.2f}",
                accuracy,
            )
            for name, network, file, accuracy in rows
        ],
    )


def _of_int8(files: Files) -> str:
    """Returns how the accuracy of the network without half of its filters changes with 8-bit numbers."""
    exact, rounded = (files.of["half of the filters gone", file]["test_accuracy"] for file in ("TFLite", "TFLite int8"))
    return f"{100 * (rounded - exact):+.2f} points"


def _kilobytes(count: int) -> str:
    return f"{count / 1000:,.0f}"
