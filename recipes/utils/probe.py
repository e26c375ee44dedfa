#!/usr/bin/env python3
"""How much a model's code tells of who speaks: a classifier made anew names the speakers of codes.

    probe.py exp/A-B-C_xgan exp/A-B-C_unit --features dump/train

For each model of many speakers: the share of segments that it names rightly, learnt from every other utterance and
measured on those between. The model's own features stand above, for comparison; chance is one in so many speakers.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vc.errors import VCError
from vc.features.store import Features, read_features
from vc.losses import classification
from vc.models.base import MultiSpeakerConverter
from vc.models.bottlenecks import CodeClassifier
from vc.train.content_encoder import read_multi_speaker_model
from vc.train.sampling import Segments

STEPS, BATCH, PLACES = 400, 16, 32  # of the classifier; segments of each speaker; places of a code in one
TRIED = 8  # batches that are measured


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--features", type=Path, required=True)
    args = parser.parse_args()
    try:
        features = read_features(args.features)
        made = [(path.name, *read_multi_speaker_model(path)) for path in args.models]
        codes = {"features": normalised(features, tuple(made[0][1].speakers))}
        codes |= {name: encoded(network, features) for name, _, network in made}
        for name, each in codes.items():
            print(f"{name}: {named(each):.0%} of segments named rightly, chance {1 / len(each):.0%}")
    except (VCError, OSError) as error:
        print(f"probe.py: error: {error}", file=sys.stderr)
        return 1
    return 0


def normalised(features: Features, speakers: tuple[str, ...]) -> dict[str, list[np.ndarray]]:
    """Each speaker's utterances `(frames, bands)`, normalised."""
    return {name: [*map(features.speakers[name].normaliser.transform, features.frames(name))] for name in speakers}


@torch.inference_mode()
def encoded(network: MultiSpeakerConverter, features: Features) -> dict[str, list[np.ndarray]]:
    """Each speaker's utterances as codes `(places, channels)`."""
    return {
        name: [network.apply_bottleneck(network.code(tensor(frames), name))[0][0].T.numpy() for frames in utterances]
        for name, utterances in normalised(features, tuple(network.speaker_indices)).items()
    }


def tensor(frames: np.ndarray) -> Tensor:
    return torch.from_numpy(frames).float().T[None]


def named(codes: dict[str, list[np.ndarray]]) -> float:
    """Share of unseen segments that a classifier names rightly."""
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(0)
    learnt, unseen = (
        [Segments(own[start::2], PLACES, torch.device("cpu"), name) for name, own in codes.items()] for start in (0, 1)
    )
    speakers = torch.arange(len(codes)).repeat_interleave(BATCH)
    classifier = CodeClassifier(learnt[0].frames.shape[0], len(codes))
    optimiser = torch.optim.Adam(classifier.parameters(), 1e-3)
    for _ in range(STEPS):
        loss = classification(classifier(torch.cat([own.draw(BATCH, random) for own in learnt])), speakers)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        judged = [classifier(torch.cat([own.draw(BATCH, random) for own in unseen])).mean(2) for _ in range(TRIED)]
    return float(np.mean([(each.argmax(1) == speakers).float().mean() for each in judged]))


if __name__ == "__main__":
    sys.exit(main())
