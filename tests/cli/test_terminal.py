"""What commands print of names from elsewhere, and what they say where the system does not do what they ask."""

import csv
import json
import logging
import os
import re
import subprocess
import sys
import unicodedata

import pytest
from written import write_run, write_runs

from tfprune import cli
from tfprune.cli._terminal import echo, echo_table, start_logging
from tfprune.cli.predict import _echo_rows, _rows
from tfprune.exporting.inference import Prediction
from tfprune.utils.text import printable

EVIL = "a\x1b[2J\x1b]0;t\x07b\u202ec\u2066\u200bd\ufeff\x7f\x9be\u2028f\U000e0041\nError: injected\rg"
SHOWN = r"a\x1b[2J\x1b]0;t\x07b\u202ec\u2066\u200bd\ufeff\x7f\x9be\u2028f\U000e0041\nError: injected\rg"
ENDLESS = "x" * 5000


@pytest.fixture
def clean(call):
    """Runs a command line whose output must be fit to be shown; returns exit code and all of it."""

    def run(*arguments):
        code, out, err = call(*arguments)
        assert_clean(out + err)
        return code, out + err

    return run


def assert_clean(text):
    assert {char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")} <= {"\n"}
    assert not [line for line in text.splitlines() if line.startswith("Error: injected")]


@pytest.fixture
def evil(tmp_path):
    """A finished run and others, with such names wherever a name may stand."""
    folder = tmp_path / EVIL.replace("/", "")
    metrics = {
        "sparsity": {"achieved": 0.3, "layers": {EVIL: {"zeros": 1, "size": 2}}},
        "machine": {"cpu": EVIL, "cores": 2, "gpus": [EVIL]},
        "versions": {"python": EVIL, "tensorflow": EVIL, "tensorflow-model-optimization": EVIL, EVIL: "1"},
        "channels": {
            "groups": {EVIL: {"before": 4, "after": 2, "gone": [EVIL]}},
            "left_alone": {EVIL: EVIL},
            "parameters": {"before": 4, "after": 2},
            "macs": {"before": 4, "after": 2},
        },
    }
    settings = {"granularity": "filter", "model_settings": {"activation": EVIL}}
    finished = write_run(folder, "dynamic", metrics=metrics, **settings)
    failed = write_run(folder, "dynamic", 1, finished=False)
    (failed / "failure.txt").write_text(EVIL, encoding="utf-8")
    (write_run(folder, "dynamic", 2) / "metrics.json").write_text(json.dumps({"schema": EVIL}))
    return finished


def test_lines_stay_lines_and_only_we_print_bold(capsys, monkeypatch):
    echo("", EVIL, "grün ❤️")
    echo()
    echo("a\x1b[1m: b", bold="a")
    echo(f"x {EVIL}", err=True)
    out, err = capsys.readouterr()
    assert out == f"\n{SHOWN}\ngrün ❤️\n\na\\x1b[1m: b\n" and err == f"x {SHOWN}\n"


def test_cells_stay_cells_but_for_those_of_several_lines(capsys):
    echo_table([(EVIL, 1), ((EVIL, "second"), None), ("\x01", "\x01")], ("a", EVIL))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and [line.count(SHOWN) for line in lines] == [1, 0, 1, 1, 0, 0]
    assert lines[-2].startswith("second") and lines[-1].split() == ["\\x01", "\\x01"]  # else a rule of tabulate's


def test_log_lines_are_lines_and_a_bug_keeps_its_traceback(capsys, monkeypatch):
    logger = logging.getLogger("tfprune")
    monkeypatch.setattr(logger, "handlers", [])
    start_logging()
    logger.warning("left alone: %s", EVIL)
    try:
        raise ZeroDivisionError(EVIL.replace("\n", ""))
    except ZeroDivisionError as error:
        logger.error("%s failed", EVIL, exc_info=error)
    text = capsys.readouterr().err
    assert_clean(text)
    warning, failed, first, *_, last = text.splitlines()
    assert warning == f"Warning: left alone: {SHOWN}" and failed == f"Error: {SHOWN} failed"
    assert first.startswith("Traceback") and last.startswith(r"ZeroDivisionError: a\x1b[2J")


def test_show(evil, clean):
    code, text = clean("show", evil)
    assert code == 0, text
    assert text.count(SHOWN) >= 5
    assert f"Left alone: {SHOWN}: {SHOWN}\n" in text


@pytest.mark.parametrize("form", [(), ("--csv",), ("--json",)])
def test_runs(evil, clean, form):
    code, text = clean("runs", evil.parent, *form)
    assert code == 0 and "Left out: " in text and r"\x1b" in text + text.replace("u001b", "x1b")


def test_runs_as_json_is_json_and_as_csv_has_a_line_a_run(evil, call):
    _, out, _ = call("runs", evil.parent, "--json")
    line = " ".join(EVIL.split())  # what ended a run is read as one
    assert [row["failure"] for row in json.loads(out)["runs"]][1] == line
    _, out, _ = call("runs", evil.parent, "--csv")
    rows = list(csv.DictReader(out.splitlines()))
    assert len(rows) == 2 and len(out.splitlines()) == 3
    assert rows[1]["failure"] == printable(line) and SHOWN in rows[0]["path"]


@pytest.mark.parametrize("suffix", [".html", ".md", ".csv"])
def test_report(evil, clean, tmp_path, suffix):
    code, text = clean("report", evil.parent, "--out", tmp_path / f"report{suffix}")
    assert code == 0 and "Left out: " in text
    page = (tmp_path / f"report{suffix}").read_bytes().decode("utf-8")
    assert_clean(page)
    assert page.count(r"\x1b[2J" if suffix != ".md" else r"\\x1b\[2J") >= (1 if suffix == ".csv" else 4)


def test_report_as_json_reads_back_and_overview_shows_it(evil, clean, call, tmp_path):
    assert clean("report", evil.parent, "--out", tmp_path / "r.json")[0] == 0
    numbers = json.loads((tmp_path / "r.json").read_text())
    assert numbers["machine"]["cpu"] == EVIL
    del numbers["checksum"]
    numbers["dataset"], numbers["settings"]["model"] = EVIL, EVIL
    numbers["methods"] = {EVIL: next(iter(numbers["methods"].values()))}
    (tmp_path / "r.json").write_text(json.dumps(numbers))
    (tmp_path / "page.md").write_text("<!-- overview -->\n<!-- /overview -->\n")
    code, text = clean("overview", tmp_path / "r.json", "--page", tmp_path / "page.md")
    assert code == 0 and text.count(SHOWN) == 3
    page = (tmp_path / "page.md").read_text("utf-8")
    assert_clean(page)
    assert page.count(r"\\u202ec") == 3 and page.count("<br>") == 2


@pytest.mark.parametrize(
    "arguments",
    [
        *(("show", EVIL), (EVIL,), ("runs", EVIL), ("runs", "--where", EVIL)),
        *(
            ("report", "x", "--out", EVIL),
            ("overview", EVIL),
            ("sweep", EVIL),
            ("resume", EVIL),
            ("predict", EVIL, EVIL),
        ),
        *(("train", "--dataset", EVIL), ("train", "--dataset", "penguins", "--model", EVIL), ("train", f"--{EVIL}")),
        *(("train", "--dataset", "penguins", "--set", f"{EVIL}=1"), ("init", EVIL), ("train", "--config", EVIL)),
    ],
    ids=lambda arguments: " ".join(arguments).replace(EVIL, "EVIL"),
)
def test_errors_show_what_was_typed(clean, arguments):
    code, text = clean(*arguments)
    assert code == 2 and re.fullmatch(r"Error: .*\n", text) and r"\u202e" in text


def test_predict_shows_labels_and_names(capsys, tmp_path):
    class Stub:
        reads_arrays, target, labels = False, EVIL, (EVIL, "b")

        def predict_table(self, path):
            return [Prediction(EVIL, {EVIL: 0.75, "b": 0.25})]

    _echo_rows(Stub(), _rows(Stub(), [tmp_path])[0])
    out = capsys.readouterr().out
    assert_clean(out)
    assert out.count(SHOWN) == 3 and len(out.splitlines()) == 3


def test_figures_show_names(tmp_path, monkeypatch):
    from matplotlib.text import Text

    from tfprune.reporting.figures import epochs, latencies, rendering
    from tfprune.reporting.figures.panels import LIGHT

    drawn = []
    for module in (epochs, latencies):
        monkeypatch.setattr(
            module, "write_png", lambda panels, path, **how: drawn.append(rendering._figure(panels, LIGHT, **how))
        )
    phases = [{"phase": EVIL, "epoch": 1, "step": 4, "loss": 1.0, "val_loss": 1.0, "sparsity": 0.0, "accuracy": 0.5}]
    phases += [phases[0] | {"phase": f"{EVIL}2", "step": 8, "sparsity": 0.5}]
    epochs.plot_sparsity(
        phases, {EVIL: {"zeros": 1, "size": 2}, "$x_1$": {"zeros": 1, "size": 2}}, tmp_path, title=EVIL
    )
    latencies.plot_latencies({EVIL: {EVIL: (1.0, 0.5, 2.0)}}, tmp_path, title=EVIL)
    epochs.plot_mean_curves({EVIL: [phases]}, tmp_path, title=EVIL)
    texts = []
    with rendering._style(LIGHT):
        for figure in drawn:
            figure.canvas.draw()
            texts += [text.get_text() for text in figure.findobj(Text)]
    assert_clean("".join(texts))
    assert sum(text.startswith(r"a\x1b[2J\x1b]0;t") for text in texts) >= 3 + 2 + 2 and "$x_1$" in texts


@pytest.mark.parametrize(
    "arguments",
    [
        *(("show", ENDLESS), ("runs", ENDLESS), ("report", ENDLESS, "--out", "a.html"), ("overview", ENDLESS)),
        *(("report", "RUNS", "--out", f"{ENDLESS}{suffix}") for suffix in (".html", ".md", ".csv", ".json")),
        *(("report", "RUNS", "--out", f"new/{ENDLESS}/a.md"), ("resume", ENDLESS), ("sweep", f"{ENDLESS}.toml")),
        *(("init", f"{ENDLESS}.toml", "--dataset", "penguins"), ("init", "--dataset", ENDLESS)),
        *(("train", "--config", ENDLESS), ("train", "--config", f"{ENDLESS}.toml"), ("train", "--dataset", ENDLESS)),
        *(("train", "--dataset", f"{ENDLESS}{suffix}") for suffix in (".csv", ".npz")),
        *(("train", "--dataset", "penguins", "--model", f"{ENDLESS}{suffix}") for suffix in ("", ".h5", "/", ":f")),
        ("train", "--dataset", "penguins", "--epochs", "4", "--out", ENDLESS),
        ("train", "--dataset", "fashion_mnist", "--data-dir", ENDLESS),
        *(("compare", "--dataset", "penguins", "--out", ENDLESS), ("predict", ENDLESS, "x"), ("bench", ENDLESS)),
        *((ENDLESS,), ("train", f"--{ENDLESS}"), ("show", "a", ENDLESS)),
    ],
    ids=lambda arguments: " ".join(arguments).replace(ENDLESS, "ENDLESS"),
)
def test_names_that_are_too_long_are_one_line_and_leave_nothing(call, tmp_path, monkeypatch, arguments):
    write_run(tmp_path / "runs", "unpruned")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    code, out, err = call(*(str(tmp_path / "runs") if word == "RUNS" else word for word in arguments))
    assert code == 2 and out.count("\n") <= 1 and re.fullmatch(r"Error: .{,1010}\n", err)
    assert not [path for path in (tmp_path / "here").rglob("*") if not path.is_dir()]


def test_a_bug_keeps_its_traceback(monkeypatch):
    for error in (FileNotFoundError(2, "No such file", "x"), ValueError("x"), BrokenPipeError(32, "Broken pipe")):

        def fails(*_, error=error):
            raise error

        monkeypatch.setattr("tfprune.cli.show.read_result", fails)
        monkeypatch.setattr(sys, "argv", ["tfprune", "show", "x"])
        with pytest.raises(type(error)):
            cli.main()


def test_without_arguments_help_is_printed_also_a_second_time(call):
    first, second = call(), call()
    assert first == second and first[0] == 0 and "Usage:" in first[1] and "compare" in first[1]


# In processes of their own; none of these commands loads TensorFlow.


def start(arguments, *, cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **environment):
    return subprocess.run(
        [sys.executable, "-m", "tfprune", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | environment,
        stdout=stdout,
        stderr=stderr,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("terminal") / "zażółć"
    return write_runs(folder, ("unpruned", "dynamic"), 1)[0]


COMMANDS = [(), ("--help",), ("--version",), ("list",), ("show", "RUN"), ("runs", "RUN")]


def typed(arguments, run):
    return [run if word == "RUN" else word for word in arguments]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device")
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_full_output_is_one_line(finished, tmp_path, arguments):
    with open("/dev/full", "wb", buffering=0) as full:
        done = start(typed(arguments, finished), cwd=tmp_path, stdout=full)
    assert done.returncode == 2
    assert done.stderr == b"Error: the output cannot be written (No space left on device)\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device")
def test_where_nothing_can_be_written_the_exit_code_says_so(finished, tmp_path):
    with open("/dev/full", "wb", buffering=0) as full:
        assert start(("show", finished), cwd=tmp_path, stdout=full, stderr=full).returncode == 2
        assert start(("show", "absent"), cwd=tmp_path, stderr=full).returncode == 2


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_pipe_that_nobody_reads_ends_a_command_in_silence(finished, tmp_path, arguments):
    reading, writing = os.pipe()
    os.close(reading)
    done = start(typed(arguments, finished), cwd=tmp_path, stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_closed_outputs_are_no_fault(finished, tmp_path):
    command = f"{sys.executable} -m tfprune show '{finished}'"
    for closed in (">&-", "2>&-", ">&- 2>&-"):
        done = subprocess.run(
            f"{command} {closed}",
            shell=True,
            cwd=tmp_path,
            capture_output=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert (done.returncode, done.stderr) == (0, b"")


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0"}
LOCALES = [ASCII, ASCII | {"PYTHONIOENCODING": "ascii"}, ASCII | {"PYTHONIOENCODING": "ascii:strict", "LANG": ""}]


@pytest.mark.some(every=2)
@pytest.mark.parametrize("locale", LOCALES, ids=str)
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        *((("show", "RUN"), 0), (("runs", "RUN"), 0), (("runs", "RUN", "--csv"), 0), (("show", "żółw"), 2)),
        (("report", "RUN", "--out", "ż.html", "--out", "ż.md", "--out", "ż.csv", "--out", "ż.json"), 0),
        *((("train", "--dataset", "penguins", "--out", "ż"), 2), (("train", "--config", "settings.toml"), 2)),
    ],
    ids=ascii,
)
def test_a_locale_without_letters_for_a_name(finished, tmp_path, arguments, code, locale):
    (tmp_path / "settings.toml").write_text('dataset = "żółć.csv"', encoding="utf-8")
    done = start(typed(arguments, finished), cwd=tmp_path, **locale)
    assert done.returncode == code, done.stderr
    if code:
        assert done.stdout == b"" and re.fullmatch(rb"Error: [ -~]+\n|Error: [^\n]*set LC_ALL=C.UTF-8\n", done.stderr)
    else:
        assert done.stderr == b""


@pytest.mark.some(every=2)
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        *((("--help",), 0), (("list",), 0), (("show", "RUN"), 0), (("show", "x"), 2), (("runs",), 2)),
        *(
            (("report", "RUN", "--out", "x.html"), 2),
            (("report", "RUN", "--out", "x.md"), 2),
            (("init", "--dataset", "penguins"), 2),
        ),
        *((("train", "--dataset", "x.csv"), 2), (("sweep", "x.toml"), 2), (("resume", "x"), 2)),
    ],
    ids=ascii,
)
def test_a_working_directory_that_is_gone(finished, tmp_path, arguments, code):
    gone = tmp_path / "gone"
    gone.mkdir()
    words = " ".join(f"'{word}'" for word in typed(arguments, finished))
    done = subprocess.run(
        f"rmdir '{gone}' && exec '{sys.executable}' -m tfprune {words}",
        shell=True,
        cwd=gone,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if os.path.isabs(path))},
    )
    assert done.returncode == code, done.stderr
    assert re.fullmatch(r"Error: .*\n" if code else "", done.stderr)
