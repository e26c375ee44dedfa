"""`vc.train(...)` and `vc.evaluate(...)`: what the commands of these names do, as functions with the same defaults."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vc import extras
from vc.config import read_sections, require
from vc.evaluate import Evaluation, Request
from vc.evaluate.run import evaluate as measure
from vc.from_folders import Voice, train_from_folders
from vc.parallel import default_jobs
from vc.report import write_report

AnyPath = str | os.PathLike[str]


def train(
    recordings: AnyPath | Sequence[AnyPath],
    output: AnyPath,
    *,
    config: AnyPath | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    jobs: int | None = None,
    measures: Iterable[str] | None = None,
) -> Voice:
    """Make a voice of folders of recordings, and measure it on recordings that were held out, as `vc-train` does.

    Parameters
    ----------
    recordings : path or sequence of paths
        The target's folder, or the source's and then the target's.
    output : path
        Experiment directory; features lie in `features` beside it, for later runs. The same call goes on with a
        training that was stopped.
    config : path or str, optional
        A configuration, or the name of one that comes with the package. Default: the one that suits the recordings.
    settings : mapping, optional
        Settings in place of the configuration's, such as `{"training.steps": 1000}`.
    device : {"auto", "cpu", "cuda"}
        Of the training; "auto" is a GPU if there is one.
    jobs : int, optional
        Processes of extraction and measurement. Default: one for each core. As they import the calling script, more
        than one want it to stand below `if __name__ == "__main__":`.
    measures : iterable of str, optional
        Models of speech to ask; `()` for none. Default: those that are installed.

    Returns
    -------
    Voice
        `model`, the experiment directory that `vc.Converter.load` takes; `target`, the speaker's id; of two folders
        `evaluation` and `report`, a page; `failures`, a line for each recording that was left out.

    Raises
    ------
    ConfigError, DataError, TrainingError
        For what cannot be trained, with the reason.

    Examples
    --------
    >>> voice = vc.train("recordings/bert", "exp/bert", settings={"training.steps": 2}, jobs=1)
    >>> vc.Converter.load(voice.model).sample_rate
    22050
    """
    _refuse_one_name(measures)
    folders = [recordings] if isinstance(recordings, str | os.PathLike) else list(recordings)
    changes = [f"{key}={json.dumps(value)}" for key, value in (settings or {}).items()]
    extras.ensure_numba_cache()
    return train_from_folders(
        [Path(folder) for folder in folders],
        Path(output),
        None if config is None else read_sections(config, changes),
        changes,
        device=device,
        jobs=jobs or default_jobs(),
        measures=None if measures is None else list(measures),
    )


def evaluate(
    converted: AnyPath | Mapping[str, AnyPath],
    reference: AnyPath,
    output: AnyPath,
    *,
    source: AnyPath | None = None,
    model: AnyPath | None = None,
    to: str | None = None,
    source_speaker: str | None = None,
    other_sentences: bool = False,
    match: str | None = None,
    measures: Iterable[str] | None = None,
    conventions: Iterable[str] = (),
    jobs: int | None = None,
) -> Evaluation:
    """Measure converted recordings against the target's, as `vc-evaluate` does.

    Parameters
    ----------
    converted : path, or mapping of str to path
        A folder of recordings or a data directory; of several systems, each under its name.
    reference : path
        The target's own recordings.
    output : path
        Folder for `metrics.json` and `report.html`, made if missing.
    source : path, optional
        What was converted; gives the anchor `unconverted`.
    model : path, optional
        With `source`, gives the anchor `mean_variance`.
    to, source_speaker : str, optional
        Target and source by their names in the model, where no data directory tells them.
    other_sentences : bool
        The reference's sentences are others, whatever they are called.
    match : str, optional
        Regular expression for what of a name says the sentence.
    measures : iterable of str, optional
        Models of speech to ask; `()` for none. Default: those that are installed.
    conventions : iterable of str
        Other toolkits, as which distortion is measured besides.
    jobs : int, optional
        Processes. Default: one for each core.

    Returns
    -------
    Evaluation
        Scores by system and anchor, verdicts, and a row for each sentence.

    Raises
    ------
    ConfigError, DataError
        For what cannot be measured, with the reason.

    Examples
    --------
    >>> evaluation = vc.evaluate("as_bert", "eval/bert", "results", measures=(), jobs=1)
    >>> len(evaluation.sentences)
    2
    """
    named = converted if isinstance(converted, Mapping) else {"converted": converted}
    _refuse_one_name(measures)
    request = Request(
        {name: Path(folder) for name, folder in named.items()},
        Path(reference),
        source=None if source is None else Path(source),
        model=None if model is None else Path(model),
        other_sentences=other_sentences,
        match=match,
        measures=None if measures is None else list(measures),
        conventions=list(conventions),
        to=to,
        source_speaker=source_speaker,
    )
    extras.ensure_numba_cache()
    evaluation = measure(request, Path(output), jobs=jobs or default_jobs())
    write_report(evaluation, Path(output) / "report.html")
    return evaluation


def _refuse_one_name(measures: object) -> None:
    require(not isinstance(measures, str), f"measures: expected a list of names, got the one name {measures!r}")
