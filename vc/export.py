"""A trained model -> ONNX: one direction, for places where there is no torch."""

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
from vc.convert import Converter
from vc.errors import ConfigError
from vc.features.world import POWER_SMOOTHING
from vc.models.base import FrameMap

OPSET = 20
FEWEST, MOST = 8, 1 << 20  # frames; a generator's innermost layers need two of theirs
CLOSE = 1e-4  # largest difference that is allowed between onnxruntime's and torch's mel-cepstra
TRIED = (100, 301, 1002)  # frames
INPUT, OUTPUT, METADATA = "mel_cepstrum", "converted", "vc"  # names in the file


def export(converter: Converter, output: Path, to: str | None = None, source: str | None = None) -> float:
    """Write one direction to `output`, whole or not at all; return the largest difference of its results from torch's.

    The graph takes mel-cepstra `(frames, order + 1)` float32 of the source, FEWEST frames or more, and gives as many of
    the target: both normalisations are inside, and c0 stays the source's. Its metadata holds, under `vc`, a JSON text
    with what the rest of a conversion needs (`description`). Raises ConfigError where packages are missing, and where
    onnxruntime computes something else than torch.
    """
    onnx, onnxruntime = _packages()
    if os.path.exists(output) and not os.path.isfile(output):
        raise ConfigError(f"{output}: is there already, and is no file")
    kind = converter.model.features.kind
    require(kind == "world", f"a graph takes mel-cepstra, features of kind world; the model's are of kind {kind}")
    source, to = converter.direction(to, source)
    network = copy.deepcopy(converter.frame_map(source, to)).cpu().float()
    network.to(memory_format=torch.contiguous_format)
    graph = _graph(network, converter.model.features.bands)
    text = json.dumps(description(converter, source, to), allow_nan=False)
    graph.metadata_props.append(onnx.StringStringEntryProto(key=METADATA, value=text))
    content = graph.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    difference = max(_difference(session, network, frames) for frames in TRIED)
    if not difference <= CLOSE:
        raise ConfigError(f"{output}: onnxruntime's mel-cepstra differ from torch's by {difference:.1g}; not written")
    files.make_directory(output.parent)
    with files.replacing(output) as temporary:
        temporary.write_bytes(content)
    return difference


def description(converter: Converter, source: str, target: str) -> dict:
    """What a program around the graph needs: analysis, both speakers' log F0 statistics and F0 search ranges.

    c0 is the source's; vc-convert then moves it by features.world.restore_power, whose smoothing is told.
    """
    speakers = {}
    for who in (source, target):
        voice = converter.model.speakers[who].voice
        f0_range, log_f0 = voice.f0_range, voice.log_f0  # None: the speaker whispers
        speakers[who] = {
            "log_f0_mean": log_f0 and log_f0.mean,
            "log_f0_deviation": log_f0 and log_f0.deviation,
            "f0_floor": f0_range and f0_range.floor,
            "f0_ceiling": f0_range and f0_range.ceiling,
        }
    features = {**plain(converter.model.features), "fft_size": converter.model.features.fft_size}
    about = {"source": source, "target": target, "fewest_frames": FEWEST, "licence": converter.model.licence}
    if converter.model.features.kind == "world":
        about["power_smoothing_seconds"] = POWER_SMOOTHING
    return {**about, "method": converter.model.method, "features": features, "speakers": speakers}


def _packages() -> tuple:
    extras.require("export", "onnx", "onnx", "onnxruntime", "onnxscript")  # the last for torch's exporter
    import onnx

    return onnx, extras.onnx_runtime()


def _graph(network: FrameMap, bands: int) -> "onnx.ModelProto":  # noqa: F821 - imported late
    example = torch.zeros(TRIED[0], bands)
    frames = ({0: torch.export.Dim("frames", min=FEWEST, max=MOST)},)  # of the only argument
    names = {"input_names": [INPUT], "output_names": [OUTPUT]}
    for name in ("torch.onnx", "torch.utils.flop_counter"):  # they name every package that they could use, too
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network, (example,), dynamo=True, dynamic_shapes=frames, opset_version=OPSET, verbose=False, **names
        )
    return program.model_proto


@torch.inference_mode()
def _difference(session: "onnxruntime.InferenceSession", network: FrameMap, frames: int) -> float:  # noqa: F821
    """Largest absolute one over random frames with the source's mean and deviation."""
    random = np.random.default_rng(frames)
    mean, deviation = network.mean_before.numpy(), network.deviation_before.numpy()
    given = (mean + deviation * random.standard_normal((frames, len(mean)))).astype(np.float32)
    wanted = network(torch.from_numpy(given)).numpy()
    return float(np.abs(session.run([OUTPUT], {INPUT: given})[0] - wanted).max())
