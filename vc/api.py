"""`vc.train(...)` and `vc.evaluate(...)`: the commands of these names as functions, with the same defaults."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

from vc import extras
from vc.config import AnyPath, read_sections, require, require_type
from vc.errors import ConfigError, shorten
from vc.evaluate import Evaluation, Request
from vc.evaluate.run import evaluate as measure
from vc.from_folders import Voice, train_from_folders
from vc.parallel import default_jobs
from vc.report import write_report


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
    """Train a model on folders of recordings, and evaluate it on held-out recordings, as `vc-train` does.

    Parameters
    ----------
    recordings : path or sequence of paths
        The target's folder, or the source's and then the target's.
    output : path
        Experiment directory; features are stored in `features` next to it, for later runs. Calling again resumes an
        interrupted training.
    config : path or str, optional
        A configuration file, or the name of a configuration of the package. Default: chosen to suit the recordings.
    settings : mapping, optional
        Settings that override the configuration's, such as `{"training.steps": 1000}`: plain values, lists of them
        and paths.
    device : {"auto", "cpu", "cuda"}
        Training device; "auto" is a GPU if there is one.
    jobs : int, optional
        Number of processes for extraction and evaluation. Default: one for each core. They import the calling script,
        so with more than one it must be guarded by `if __name__ == "__main__":`.
    measures : iterable of str, optional
        Speech models to evaluate with; `()` for none. Default: those that are installed.

    Returns
    -------
    Voice
        `model`, the experiment directory, for `vc.Converter.load`; `target`, the speaker's id; with two folders,
        `evaluation` and `report`, an HTML page; `failures`, a line for each recording that was left out.

    Raises
    ------
    ConfigError, DataError, TrainingError
        The model cannot be trained.

    Examples
    --------
    >>> voice = vc.train("recordings/bert", "exp/bert", settings={"training.steps": 2}, jobs=1)
    >>> vc.Converter.load(voice.model).sample_rate
    22050
    """
    require_type(AnyPath | Iterable, recordings=recordings)
    folders = [recordings] if isinstance(recordings, AnyPath) else list(recordings)
    for folder in folders:
        require_type(AnyPath, recordings=folder)
    require_type(AnyPath, output=output)
    require_type(AnyPath | None, config=config)
    require_type(Mapping | None, settings=settings)
    jobs, measures = _number_of_processes(jobs), _list_of_names("measures", measures)
    changes = []
    for key, value in (settings or {}).items():
        try:
            text = json.dumps(value, ensure_ascii=False, default=os.fsdecode)  # YAML keeps escaped surrogates
        except (TypeError, ValueError) as error:  # ValueError: a list that contains itself
            raise ConfigError(f"settings: {key}: {shorten(error)}") from error
        changes.append(f"{key}={text}")
    extras.ensure_numba_cache()
    return train_from_folders(
        [Path(folder) for folder in folders],
        Path(output),
        None if config is None else read_sections(config, changes),
        changes,
        device=device,
        jobs=jobs,
        measures=measures,
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
    cache: AnyPath | None = None,
    jobs: int | None = None,
) -> Evaluation:
    """Measure converted recordings against the target's, as `vc-evaluate` does.

    Parameters
    ----------
    converted : path, or mapping of str to path
        A folder of recordings or a data directory; for several systems, one for each name.
    reference : path
        Recordings of the target.
    output : path
        Folder for `metrics.json` and `report.html`, created if missing.
    source : path, optional
        The recordings that were converted; adds the anchor `unconverted`.
    model : path, optional
        The model; with `source`, adds the anchor `mean_variance`.
    to, source_speaker : str, optional
        Target and source as named in the model, if no data directory gives them.
    other_sentences : bool
        The reference has other sentences, even if names are the same.
    match : str, optional
        Regular expression for the part of a name that identifies the sentence.
    measures : iterable of str, optional
        Speech models to evaluate with; `()` for none. Default: those that are installed.
    conventions : iterable of str
        Toolkits whose conventions for mel-cepstral distortion are evaluated as well.
    cache : path, optional
        Folder in which results of speech models are kept for evaluations of other conversions between the speakers.
    jobs : int, optional
        Number of processes. Default: one for each core.

    Returns
    -------
    Evaluation
        Scores by system and anchor, verdicts, and a row for each sentence.

    Raises
    ------
    ConfigError, DataError
        The recordings cannot be evaluated.

    Examples
    --------
    >>> evaluation = vc.evaluate("as_bert", "eval/bert", "results", measures=(), jobs=1)
    >>> len(evaluation.sentences)
    2
    """
    systems = converted if isinstance(converted, Mapping) else {"converted": converted}
    require_type(AnyPath | Mapping, converted=converted)
    for name, folder in systems.items():
        require_type(str, **{"a name in converted": name})
        require_type(AnyPath, **{f"converted[{name!r}]": folder})
    require_type(AnyPath, reference=reference, output=output)
    require_type(AnyPath | None, source=source, model=model, cache=cache)
    require_type(str | None, to=to, source_speaker=source_speaker, match=match)
    jobs = _number_of_processes(jobs)
    request = Request(
        {name: Path(folder) for name, folder in systems.items()},
        Path(reference),
        source=None if source is None else Path(source),
        model=None if model is None else Path(model),
        other_sentences=other_sentences,
        match=match,
        measures=_list_of_names("measures", measures),
        conventions=_list_of_names("conventions", conventions) or [],
        to=to,
        source_speaker=source_speaker,
        cache=None if cache is None else Path(cache),
    )
    extras.ensure_numba_cache()
    evaluation = measure(request, Path(output), jobs=jobs)
    write_report(evaluation, Path(output) / "report.html")
    return evaluation


def _list_of_names(argument: str, names: Iterable[str] | None) -> list[str] | None:
    require(not isinstance(names, str), f"{argument}: expected a list of names, got the single name {names!r}")
    require_type(Iterable | None, **{argument: names})
    names = None if names is None else list(names)
    for name in names or ():
        require_type(str, **{argument: name})
    return names


def _number_of_processes(jobs: int | None) -> int:
    require_type(Integral | None, jobs=jobs)
    require(jobs is None or jobs >= 1, f"jobs must be 1 or more, got {jobs}")
    return jobs or default_jobs()
