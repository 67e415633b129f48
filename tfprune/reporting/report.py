"""What a report says of finished runs: which can be compared, with what, and what they came to. No TensorFlow."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from tfprune.experiments.checksums import with_checksum
from tfprune.experiments.latency_files import read_latency
from tfprune.experiments.results import COMPARISON_SCHEMA, Result
from tfprune.methods import BASELINE, METHODS
from tfprune.reporting.answers import Answer, answers
from tfprune.reporting.comparison import Ran, by_trial, flat, remarks, several_sparsities, summarise
from tfprune.reporting.diverged import Diverged, data_of
from tfprune.reporting.measures import measure_of
from tfprune.reporting.tables import (
    answer_table,
    comparison_table,
    cost_table,
    levels_table,
    significance_table,
    trade_table,
    verdict_table,
)
from tfprune.reporting.timing import machine_text
from tfprune.reporting.verdicts import Verdict, verdicts
from tfprune.training.config import Config
from tfprune.utils.text import Table, markdown, printable

OWN = (
    "method",
    "settings",
    "scope",
    "granularity",
    "pattern",
    "pooling",
    "channel_settings",
    "seed",
)  # that may differ between runs compared
PACKAGES = {
    "python": "Python",
    "tensorflow": "TensorFlow",
    "tf-keras": "tf-keras",
    "tensorflow-model-optimization": "tfmot",
}
ON_PAGES = ("python", "tensorflow", "tensorflow-model-optimization", "keras", "jax", "torch")  # where a run used them
Summary = dict[str, dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Section:
    """Runs that can be compared, and what they came to.

    Attributes:
        title: data set, model and epochs, and what else tells them from those of other sections.
        trials: trial -> its finished runs, see `comparison.by_trial`.
        summary: see `comparison.summarise`.
        verdicts: see `verdicts.verdicts`.
        diverged: trial -> its runs that diverged and count at chance, if there are any.
        margin: how much worse still counts for the smallest network, see `answers.answers`.
    """

    title: str
    trials: Mapping[str, Sequence[Result]]
    summary: Summary
    verdicts: Sequence[Verdict]
    diverged: Mapping[str, Sequence[Diverged]] = dataclasses.field(default_factory=dict)
    margin: float | None = None

    @property
    def answers(self) -> list[Answer]:
        """What a reader asks first, see `answers.answers`."""
        latencies = {trial: [read_latency(run.folder) for run in runs] for trial, runs in self.trials.items()}
        inference = {trial: [own for own in each if own is not None] for trial, each in latencies.items()}
        return answers(self.summary, self.margin, inference)

    @property
    def results(self) -> list[Result]:
        """All finished runs, trial by trial."""
        return [run for runs in self.trials.values() for run in runs]

    @property
    def runs(self) -> dict[str, list[Result | Diverged]]:
        """All runs that count, trial -> those that finished and those that diverged, seed by seed."""
        each = {trial: [*self.trials.get(trial, ()), *self.diverged.get(trial, ())] for trial in self.summary}
        return {trial: sorted(runs, key=lambda run: run.config.seed) for trial, runs in each.items()}


def sections(
    results: Iterable[Result], diverged: Iterable[Diverged] = (), margin: float | None = None
) -> list[Section]:
    """Gathers runs that can be compared with each other, see `comparable`, and compares them.

    Args:
        results: finished runs.
        diverged: others; those that can be compared with a finished run count, at chance.
        margin: see `Section`.
    """
    groups = comparable([*results, *diverged])
    return [dataclasses.replace(own, margin=margin) for own in sections_of(groups)]


def sections_of(groups: Iterable[Sequence[Result | Diverged]]) -> list[Section]:
    """Compares the runs of each group that has a finished one with each other; titles tell the groups apart."""
    each = [(finished, lost) for finished, lost in map(_finished, groups) if finished]
    settings = [_shared(finished[0].config) for finished, _ in each]
    return [section(finished, lost, settings) for finished, lost in each]


def section(
    group: Sequence[Result], diverged: Iterable[Diverged] = (), settings: Sequence[Mapping[str, Any]] = ()
) -> Section:
    """Compares runs with each other.

    Args:
        group: the finished ones.
        diverged: others; those of the data set of `group` count, at chance.
        settings: what the runs of each section have in common, which the title tells apart.
    """
    known = {data_of(run.config) for run in group}
    lost = [run for run in diverged if data_of(run.config) in known]
    each = {trial: _finished(runs) for trial, runs in by_trial([*group, *lost]).items()}
    summary = summarise(group, lost)
    return Section(
        title=_title(_shared(group[0].config), settings),
        trials={trial: finished for trial, (finished, _) in each.items() if finished},
        summary=summary,
        verdicts=verdicts(summary),
        diverged={trial: lost for trial, (_, lost) in each.items() if lost},
    )


def _finished(runs: Iterable[Result | Diverged]) -> tuple[list[Result], list[Diverged]]:
    """Returns those of runs that finished, and those that diverged."""
    runs = list(runs)
    return [own for own in runs if isinstance(own, Result)], [own for own in runs if isinstance(own, Diverged)]


def comparable(runs: Iterable[Ran], config_of: Callable[[Ran], Config] = attrgetter("config")) -> list[list[Ran]]:
    """Splits runs into groups of the same settings but for the method, its own settings and the seed.

    A run that has no baseline of as many epochs belongs to a baseline whose epochs all its trainings together
    take, as those of `compare --equal-budget` do.

    Args:
        runs: finished runs, or whatever has settings.
        config_of: returns them.

    Returns:
        The groups in the order of their first runs; in each the methods as they are registered, each from low
        sparsity to high.
    """
    runs = list(runs)
    configs = list(map(config_of, runs))
    settings = list(map(_shared, configs))
    baselines = [own for own, config in zip(settings, configs, strict=True) if config.method == BASELINE]
    baselines = list({json.dumps(own): own for own in baselines}.values())
    groups: dict[str, list[Ran]] = {}
    for own, config, run in zip(settings, configs, runs, strict=True):
        if own not in baselines:
            own = next((other for other in baselines if _takes_all_of(config, own, other)), own)
        groups.setdefault(json.dumps(own), []).append(run)
    return [sorted(group, key=lambda run: _rank(config_of(run))) for group in groups.values()]


def still_left_out(left_out: Iterable[str], sections: Iterable[Section]) -> list[str]:
    """Returns the lines of `results.find_results` without those on runs that diverged and count in a section."""
    counted = tuple(f"{run.folder.root}: " for own in sections for runs in own.diverged.values() for run in runs)
    return [line for line in left_out if not line.startswith(counted)]


def result_tables(summary: Summary) -> list[Table]:
    """Returns the tables of a comparison: the answer and, if there are any, the verdicts, then `detail_tables`.

    Where methods are compared at several sparsities an overview comes first.
    """
    judged = verdicts(summary)
    first = [answer_table(summary), *([verdict_table(judged)] if judged else [])]
    if several_sparsities(summary.values()):
        first.insert(0, levels_table(summary))
    return [*first, *detail_tables(summary)]


def section_tables(summary: Summary) -> dict[str, Table]:
    """Returns the tables of a report by their headings."""
    label = measure_of(summary).label
    tables = {
        "Results": answer_table(summary),
        "All results": comparison_table(summary),
        f"Tests of {label}": significance_table(summary),
        f"Size, speed and {label}": trade_table(summary),
        "Costs": cost_table(summary),
    }
    return {name: table for name, table in tables.items() if table[1]}


def asked_verdicts(section: Section) -> list[Verdict]:
    """Returns what the runs say of each method that was compared with the baseline."""
    return verdicts(section.summary, methods=None)


def layers_caption(section: Section) -> str:
    """Returns what the table of `tables.layer_sparsities` shows."""
    gone = any(run.config.removes for run in section.results)
    what = "weights that are zero or went with their channels" if gone else "zeros"
    return f"Share of {what} in each kernel at the end, in per cent; the mean over seeds."


def detail_tables(summary: Summary) -> list[Table]:
    """Returns the tables that pages fold: all results, the tests, what they were had for, costs."""
    tables = (comparison_table, significance_table, trade_table, cost_table)
    return [table for make in tables if (table := make(summary))[1]]


def as_json(results: Sequence[Result], summary: Summary, failures: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the numbers of a comparison, as `tfprune compare --json` writes them.

    Args:
        results: the runs; the settings, versions and machine are those of the first.
        summary: what `comparison.summarise` returns.
        failures: a line on each run that failed.
    """
    config, metrics = results[0].config, results[0].metrics
    return with_checksum(
        {
            "schema": COMPARISON_SCHEMA,
            "dataset": config.data_name,
            "settings": _shared(config),
            "versions": metrics["versions"],
            "machine": metrics["machine"],
            "methods": summary,
            "verdicts": [dataclasses.asdict(verdict) for verdict in verdicts(summary)],
            "failures": list(failures),
        }
    )


def facts(section: Section) -> dict[str, str]:
    """Returns what was compared, and on what machine: name -> value."""
    runs, counted = section.results, [run for runs in section.runs.values() for run in runs]
    config, settings = runs[0].config, _shared(runs[0].config)
    default = _shared(Config(dataset=config.dataset, data_settings=config.data_settings))
    said = {"dataset", "model", "model_settings", "epochs", "batch_size", "optimizer", "learning_rate"}
    said |= {"optimizer_settings", "learning_rate_schedule", "precision"}
    other = {key: value for key, value in settings.items() if key not in said and value != default[key]}
    scopes = dict.fromkeys(f"{run.config.method} {run.config.scope}" for run in runs if run.config.scope != "layer")
    return {
        "Data set": config.data_name,
        "Model": _with_settings(config.model_name, config.model_settings),
        "Epochs": f"{config.epochs:,} a training, in batches of {config.batch_size:,}",
        "Optimizer": f"{_with_settings(config.optimizer, config.optimizer_settings)}, "
        f"learning rate {config.learning_rate:g}, {config.learning_rate_schedule}",
        **({"Ranked in another scope than the layer": ", ".join(scopes)} if scopes else {}),
        "Precision": _distinct(run.metrics["precision"]["policy"] for run in runs),
        **({"Other settings": ", ".join(f"{key}={_text(value)}" for key, value in other.items())} if other else {}),
        "Seeds": ranges({run.config.seed for run in counted}),
        "Runs": f"{len(counted):,} in {_distinct(str(run.folder.root.parent) for run in counted)}",
        "Versions": _distinct(_versions(run.metrics["versions"]) for run in runs),
        "Machine": _distinct(machine_text(run.metrics["machine"]) for run in runs),
    }


def source(section: Section) -> str:
    """Returns a line on where the numbers of a section come from."""
    config, metrics = section.results[0].config, section.results[0].metrics
    seeds = ranges({run.config.seed for runs in section.runs.values() for run in runs})
    line = source_line(_shared(config), metrics["versions"], metrics["machine"], seeds, metrics["precision"]["policy"])
    return " ".join([line, *map(markdown, not_alike(section))])


def source_line(
    settings: Mapping[str, Any], versions: Mapping[str, str], machine: Mapping[str, Any], seeds: str, precision: str
) -> str:
    """Returns a line on the settings of runs, for Markdown."""
    named = {name: versions[name] for name in ON_PAGES if name in versions}
    return (
        f"{'Seeds' if ' ' in seeds else 'Seed'} {seeds}, `{printable(str(settings['model']))}`, "
        f"{settings['epochs']:,} epochs, batches of {settings['batch_size']}, {settings['optimizer']} "
        f"{settings['learning_rate']:g}, {precision}. {_versions(named)}; {markdown(machine_text(machine))}."
    )


def notes(section: Section) -> list[str]:
    """Returns what a reader has to know of what is missing."""
    said, seeds = [], {trial: {run.config.seed for run in runs} for trial, runs in section.runs.items()}
    most = set().union(*seeds.values())
    single = [trial for trial, own in seeds.items() if len(own) == 1]
    if len(single) == len(seeds):
        said.append("One seed: there are no standard deviations, intervals or p values, and the verdicts stay open.")
    elif single:
        said.append(f"Of {', '.join(single)} there is one seed: no standard deviation, interval or p value.")
    fewer = [f"{trial} {len(own)}" for trial, own in seeds.items() if 1 < len(own) < len(most)]
    if fewer:
        said.append(f"Not every trial has all {len(most)} seeds ({', '.join(fewer)}); differences are of shared ones.")
    if BASELINE not in section.summary:
        said.append(f"There is no run of {BASELINE}: no differences, ratios or epochs to its loss.")
    return said + not_alike(section) + remarks(section.summary)


def not_alike(section: Section) -> list[str]:
    """Returns in what runs differ that are compared, beside their settings: a difference may be of that."""
    said, data = [], {}
    values: dict[str, dict[str, dict[str, None]]] = {}  # what -> value -> the trials that have it
    for trial, runs in section.trials.items():
        for run in runs:
            versions = {PACKAGES.get(name, name): value for name, value in run.metrics["versions"].items()}
            for name, value in {**versions, "precision": run.metrics["precision"]["policy"]}.items():
                values.setdefault(name, {}).setdefault(value, {})[trial] = None
            classes = run.metrics.get("data", {}).get("classes")
            if classes and not run.config.has_own_data:  # which go by their fingerprint
                data.setdefault(run.config.seed, []).append(classes)
    parts = []
    for name, own in values.items():
        each = [f"{value} ({', '.join(trials)})" for value, trials in own.items()]
        parts += [f"{name} {' and '.join(each)}"] if len(each) > 1 else []
    if parts:
        said.append(f"Not all runs were computed with the same, which may be why they differ: {'; '.join(parts)}.")
    if seeds := [seed for seed, each in data.items() if any(classes != each[0] for classes in each)]:
        said.append(f"Runs of one seed have other data (seed {ranges(seeds)}): use --force to run them on the same.")
    return said


def _shared(config: Config) -> dict[str, Any]:
    return {key: value for key, value in config.identity().items() if key not in OWN}


def _takes_all_of(config: Config, own: Mapping[str, Any], baseline: Mapping[str, Any]) -> bool:
    """Returns whether a run would be over the baseline's epochs with one epoch more, and else is set up alike."""
    total = config.pruning.total_epochs
    alike = {**own, "epochs": baseline["epochs"]} == baseline
    return alike and total(config.epochs) <= baseline["epochs"] < total(config.epochs + 1)


def _rank(config: Config) -> tuple[Any, ...]:
    return list(METHODS).index(config.method), config.requested_sparsity, config.epochs, config.seed


def _title(settings: Mapping[str, Any], all_settings: Iterable[Mapping[str, Any]]) -> str:
    """Names data set, model and epochs, and the settings that differ between sections of those."""
    named = ("dataset", "model", "epochs")
    own = flat(settings)
    rivals = [flat(other) for other in all_settings if all(other[key] == settings[key] for key in named)]
    differing = [key for key in own if any(other.get(key) != own[key] for other in rivals)]
    title = f"{own['dataset']}: {own['model']}, {own['epochs']:,} epochs"
    return ", ".join((title, *(f"{key}={_text(own[key])}" for key in differing)))


def _with_settings(name: str, settings: Mapping[str, Any]) -> str:
    return f"{name} ({', '.join(f'{key}={_text(value)}' for key, value in settings.items())})" if settings else name


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_text(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ",".join(map(_text, value)) or "none"
    return value if isinstance(value, str) else json.dumps(value)


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{PACKAGES.get(name, name)} {version}" for name, version in versions.items())


def _distinct(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values))


def ranges(numbers: Iterable[int]) -> str:
    """Spells out whole numbers.

    >>> ranges([0, 1, 2, 5, 8, 9])
    '0 to 2, 5, 8 to 9'
    """
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in runs)
