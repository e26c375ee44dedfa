"""Export one direction of a trained model to ONNX, for use without torch."""

import copy
import json
import logging
import os
import warnings
from pathlib import Path

import numpy as np
import torch

from vc import extras, files
from vc.config import plain, require
from vc.convert.converter import Converter
from vc.errors import ConfigError
from vc.features.world import POWER_SMOOTHING
from vc.models.base import FrameMap

OPSET = 20
FEWEST, MOST = 8, 1 << 20  # frames; a generator's innermost layers need two of their own
CLOSE = 1e-4  # largest allowed difference between the mel-cepstra of onnxruntime and torch
TRIAL_FRAMES = (100, 301, 1002)  # lengths at which the two are compared
INPUT, OUTPUT, METADATA = "mel_cepstrum", "converted", "vc"  # names in the file


def export(converter: Converter, output: Path, to: str | None = None, source: str | None = None) -> float:
    """Write one direction of a model as ONNX, atomically.

    The graph maps mel-cepstra `(frames, order + 1)` float32 of the source, at least FEWEST frames, to as many of the
    target. It includes both speakers' normalisation and keeps the source's c0. Its metadata holds, as JSON under `vc`,
    what the rest of a conversion needs (`description`).

    Parameters
    ----------
    converter : Converter
        The model.
    output : Path
        The file to write, whose folder is created if missing.
    to, source : str, optional
        Speakers, as for `Converter.direction`.

    Returns
    -------
    float
        Largest difference between the mel-cepstra of onnxruntime and torch, at most CLOSE.

    Raises
    ------
    ConfigError
        A package is missing, the model's features are not mel-cepstra, or the results differ by more than CLOSE.
    """
    extras.require("export", "onnx", "onnx", "onnxruntime", "onnxscript")  # the last for torch's exporter
    import onnx

    onnxruntime = extras.onnx_runtime()
    if os.path.exists(output) and not os.path.isfile(output):
        raise ConfigError(f"{output}: exists and is not a file")
    kind = converter.model.features.kind
    require(
        converter.model.features.cepstral,
        f"only models of features of kind world (mel-cepstra) can be exported; the model's are of kind {kind}",
    )
    source, to = converter.direction(to, source)
    network = copy.deepcopy(converter.frame_map(source, to)).cpu().float()
    network.to(memory_format=torch.contiguous_format)
    example = torch.zeros(TRIAL_FRAMES[0], converter.model.features.bands)
    frames = ({0: torch.export.Dim("frames", min=FEWEST, max=MOST)},)  # of the only argument
    names = {"input_names": [INPUT], "output_names": [OUTPUT]}
    for name in ("torch.onnx", "torch.utils.flop_counter"):  # they warn of every optional package that is missing
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network, (example,), dynamo=True, dynamic_shapes=frames, opset_version=OPSET, verbose=False, **names
        )
    graph = program.model_proto
    text = json.dumps(description(converter, source, to), allow_nan=False)
    graph.metadata_props.append(onnx.StringStringEntryProto(key=METADATA, value=text))
    content = graph.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    difference = max(_difference(session, network, count) for count in TRIAL_FRAMES)
    if not difference <= CLOSE:
        raise ConfigError(f"{output}: onnxruntime's mel-cepstra differ from torch's by {difference:.1g}; not written")
    files.make_directory(output.parent)
    with files.replacing(output) as temporary:
        temporary.write_bytes(content)
    return difference


def description(converter: Converter, source: str, target: str) -> dict:
    """What a program needs to use the graph: the analysis, and both speakers' log-F0 statistics, F0 ranges and levels.

    The graph keeps the source's c0; vc-convert then adjusts it by WorldConfig.restore_power, whose smoothing is given.

    Parameters
    ----------
    converter : Converter
        The model.
    source, target : str
        Speaker ids.

    Returns
    -------
    dict
        Plain JSON values.
    """
    speakers = {}
    for name in (source, target):
        voice = converter.model.speakers[name].f0_statistics
        f0_range, log_f0 = voice.f0_range, voice.log_f0  # None: the speaker whispers
        speakers[name] = {
            "log_f0_mean": log_f0 and log_f0.mean,
            "log_f0_deviation": log_f0 and log_f0.deviation,
            "f0_floor": f0_range and f0_range.floor,
            "f0_ceiling": f0_range and f0_range.ceiling,
            "level": voice.level,
        }
    features = {**plain(converter.model.features), "fft_size": converter.model.features.fft_size}
    general = {"source": source, "target": target, "fewest_frames": FEWEST, "licence": converter.model.licence}
    if converter.model.features.cepstral:
        general["power_smoothing_seconds"] = POWER_SMOOTHING
    return {**general, "method": converter.model.method, "features": features, "speakers": speakers}


@torch.inference_mode()
def _difference(session: "onnxruntime.InferenceSession", network: FrameMap, frames: int) -> float:  # noqa: F821
    """Largest absolute difference between the results for random frames with the source's mean and deviation."""
    random = np.random.default_rng(frames)
    mean, deviation = network.mean_before.numpy(), network.deviation_before.numpy()
    mel_cepstra = (mean + deviation * random.standard_normal((frames, len(mean)))).astype(np.float32)
    expected = network(torch.from_numpy(mel_cepstra)).numpy()
    return float(np.abs(session.run([OUTPUT], {INPUT: mel_cepstra})[0] - expected).max())
