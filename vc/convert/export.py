"""A trained model -> ONNX: one direction, for use without torch."""

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
FEWEST, MOST = 8, 1 << 20  # frames; a generator's innermost layers need two of theirs
CLOSE = 1e-4  # largest difference that is allowed between onnxruntime's and torch's mel-cepstra
TRIAL_FRAMES = (100, 301, 1002)
INPUT, OUTPUT, METADATA = "mel_cepstrum", "converted", "vc"  # names in the file


def export(converter: Converter, output: Path, to: str | None = None, source: str | None = None) -> float:
    """Write one direction of a model as ONNX, whole or not at all.

    The graph maps mel-cepstra `(frames, order + 1)` float32 of the source, FEWEST frames or more, to as many of the
    target: both normalisations are inside, and c0 stays the source's. Its metadata holds, under `vc`, a JSON text with
    what the rest of a conversion needs (`description`).

    Parameters
    ----------
    converter : Converter
    output : Path
        The file to write, its folder made if missing.
    to, source : str, optional
        Speakers, as for `Converter.direction`.

    Returns
    -------
    float
        Largest difference of onnxruntime's mel-cepstra from torch's, at most CLOSE.

    Raises
    ------
    ConfigError
        If packages are missing, the model is not of mel-cepstra, or onnxruntime's results differ from torch's.
    """
    extras.require("export", "onnx", "onnx", "onnxruntime", "onnxscript")  # the last for torch's exporter
    import onnx

    onnxruntime = extras.onnx_runtime()
    if os.path.exists(output) and not os.path.isfile(output):
        raise ConfigError(f"{output}: exists and is not a file")
    kind = converter.model.features.kind
    require(
        converter.model.features.cepstral,
        f"a graph takes mel-cepstra, features of kind world; the model's are of kind {kind}",
    )
    source, to = converter.direction(to, source)
    network = copy.deepcopy(converter.frame_map(source, to)).cpu().float()
    network.to(memory_format=torch.contiguous_format)
    example = torch.zeros(TRIAL_FRAMES[0], converter.model.features.bands)
    frames = ({0: torch.export.Dim("frames", min=FEWEST, max=MOST)},)  # of the only argument
    names = {"input_names": [INPUT], "output_names": [OUTPUT]}
    for name in ("torch.onnx", "torch.utils.flop_counter"):  # they list every package that they could use
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
    """What a program around the graph needs: analysis, both speakers' log F0 statistics and F0 search ranges.

    c0 is the source's; vc-convert then changes it by WorldConfig.restore_power, whose smoothing is included.
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
        }
    features = {**plain(converter.model.features), "fft_size": converter.model.features.fft_size}
    general = {"source": source, "target": target, "fewest_frames": FEWEST, "licence": converter.model.licence}
    if converter.model.features.cepstral:
        general["power_smoothing_seconds"] = POWER_SMOOTHING
    return {**general, "method": converter.model.method, "features": features, "speakers": speakers}


@torch.inference_mode()
def _difference(session: "onnxruntime.InferenceSession", network: FrameMap, frames: int) -> float:  # noqa: F821
    """Largest absolute difference of the results for random frames with the source's mean and deviation."""
    random = np.random.default_rng(frames)
    mean, deviation = network.mean_before.numpy(), network.deviation_before.numpy()
    mel_cepstra = (mean + deviation * random.standard_normal((frames, len(mean)))).astype(np.float32)
    expected = network(torch.from_numpy(mel_cepstra)).numpy()
    return float(np.abs(session.run([OUTPUT], {INPUT: mel_cepstra})[0] - expected).max())
