"""The strong learner of UTMOS: its network, and its released weights.

Saeki et al., "UTMOS: UTokyo-SaruLab system for VoiceMOS Challenge 2022", Interspeech 2022, section 3: wav2vec 2.0
(Baevski et al., NeurIPS 2020), embeddings of the data set and of the listener, a bidirectional LSTM and a score of each
frame, averaged over time. Like the weights that SpeechMOS publishes, without the paper's phoneme encoder.
"""

import hashlib
import re
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor, nn

from vc.config import build, require
from vc.encoders.hubert import CONVOLUTIONS, HubertConfig, HubertNetwork
from vc.encoders.published import read_archive, rename
from vc.layers import build_with_weights

HEAD = 64  # channels of an attention head of wav2vec 2.0
SCALE, MIDDLE = 2.0, 3.0  # from the network's score to 1..5
SPEECH = {  # our tensor name: fairseq's, which the released weights use
    "convolutions.N.convolve": "feature_extractor.conv_layers.N.0",
    "convolutions.N.norm": "feature_extractor.conv_layers.N.2",
    "enter_norm": "layer_norm",
    "enter": "post_extract_proj",
    "positions.length": "encoder.pos_conv.0.weight_g",
    "positions.direction": "encoder.pos_conv.0.weight_v",
    "positions.bias": "encoder.pos_conv.0.bias",
    "norm": "encoder.layer_norm",
    "blocks.N.attention_norm": "encoder.layers.N.self_attn_layer_norm",
    "blocks.N.project": "|".join(f"encoder.layers.N.self_attn.{name}_proj" for name in "qkv"),
    "blocks.N.gather": "encoder.layers.N.self_attn.out_proj",
    "blocks.N.wide_norm": "encoder.layers.N.final_layer_norm",
    "blocks.N.widen": "encoder.layers.N.fc1",
    "blocks.N.narrow": "encoder.layers.N.fc2",
}
TENSORS = {
    **{f"speech.{ours}": "|".join(f"wav2vec2.{part}" for part in SPEECH[ours].split("|")) for ours in SPEECH},
    "domain": "domain_emb",
    "listener": "judge_emb",
    "recurrent": "blstm",
    "widen": "projection.0",
    "score": "projection.2",
}


class UtmosNetwork(nn.Module):
    """Samples `(batch, samples)` at 16 kHz to scores `(batch,)`, about 1 to 5.

    Parameters
    ----------
    speech : HubertConfig
        wav2vec 2.0; its base has HuBERT's architecture.
    embedding, recurrent, hidden : int
        Size of each embedding, units of the LSTM per direction, and of the layer after it.
    """

    def __init__(self, speech: HubertConfig, *, embedding: int = 128, recurrent: int = 512, hidden: int = 2048):
        super().__init__()
        self.speech = HubertNetwork(speech)
        self.domain = nn.Parameter(torch.zeros(1, embedding))
        self.listener = nn.Parameter(torch.zeros(1, embedding))
        self.recurrent = nn.LSTM(speech.width + 2 * embedding, recurrent, batch_first=True, bidirectional=True)
        self.widen = nn.Linear(2 * recurrent, hidden)
        self.score = nn.Linear(hidden, 1)

    def forward(self, samples: Tensor) -> Tensor:
        frames = self.speech(samples, self.speech.config.layers).transpose(1, 2)  # (batch, frames, width)
        conditions = [embedding.expand(*frames.shape[:2], -1) for embedding in (self.domain, self.listener)]
        frames, _ = self.recurrent(torch.cat([frames, *conditions], dim=2))
        return SCALE * self.score(self.widen(frames).relu()).mean(dim=(1, 2)) + MIDDLE


def read(path: str | Path) -> UtmosNetwork:
    """Read the network from SpeechMOS's file, without running its code; the tensors' shapes give its sizes.

    Raises
    ------
    ConfigError
        The file is missing, damaged, or another network's; the message does not include its name.
    """
    path = Path(path)
    require(path.is_file(), "no such file")
    tensors, _ = read_archive(path, ("",))
    tensors.pop("wav2vec2.mask_emb", None)  # only for training

    def size(name: str, axis: int) -> int:
        require(name in tensors, f"no tensor {name}")
        require(axis < tensors[name].ndim, f"tensor {name} is of shape {list(tensors[name].shape)}")
        return tensors[name].shape[axis]

    layers = [re.match(r"wav2vec2\.encoder\.layers\.(\d{1,3})\.", name) for name in tensors]
    width = size("wav2vec2.post_extract_proj.weight", 0)
    sizes = {
        "width": width,
        "heads": max(1, width // HEAD),
        "layers": 1 + max((int(layer[1]) for layer in layers if layer), default=0),
        "hidden": size("wav2vec2.encoder.layers.0.fc1.weight", 0),
        "convolutions": [
            [size(f"wav2vec2.feature_extractor.conv_layers.{number}.0.weight", 0), kernel, stride]
            for number, (_, kernel, stride) in enumerate(CONVOLUTIONS)
        ],
        "position_kernel": size("wav2vec2.encoder.pos_conv.0.weight_v", 2),
        "position_groups": width // max(1, size("wav2vec2.encoder.pos_conv.0.weight_v", 1)),
    }
    config = build(HubertConfig, sizes, "encoder")
    others = {
        "embedding": size("domain_emb", 1),
        "recurrent": size("blstm.weight_hh_l0", 1),
        "hidden": size("projection.0.weight", 0),
    }
    make = partial(UtmosNetwork, config, **others)
    return build_with_weights(make, rename(make, tensors, TENSORS, "UTMOS"), "UTMOS").eval()


@cache
def digest(path: str | Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits; raises OSError if it cannot be read."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
