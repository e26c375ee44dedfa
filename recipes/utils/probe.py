#!/usr/bin/env python3
"""How well the speaker can be recognised from a model's code, by a new classifier.

    probe.py exp/A-B-C_xgan exp/A-B-C_unit --features dump/train

For each model of many speakers: the accuracy over segments of the classifier, trained on every other utterance and
tested on the rest. The accuracy on the features themselves comes first, for comparison.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vc.config import require
from vc.errors import VCError
from vc.features.store import Features, read_features
from vc.losses import classification
from vc.models.base import MultiSpeakerConverter
from vc.models.bottlenecks import CodeClassifier
from vc.train.content_encoder import read_multi_speaker_model
from vc.train.sampling import Segments

STEPS, BATCH, PLACES = 400, 16, 32  # of the classifier; segments of each speaker; places of a code in one
TEST_BATCHES = 8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--features", type=Path, required=True)
    args = parser.parse_args()
    try:
        features = read_features(args.features)
        models = [read_multi_speaker_model(path) for path in args.models]
        for path, (model, _) in zip(args.models, models):
            same = model.features == features.config
            require(same, f"{path}: trained on features of other settings than {args.features}")
            for speaker in model.speakers:
                features.require(speaker)
        report("features", normalised_frames(features, tuple(models[0][0].speakers)))
        for path, (_, network) in zip(args.models, models):
            report(path, codes_of(network, features))
    except (VCError, OSError) as error:
        print(f"probe.py: error: {error}", file=sys.stderr)
        return 1
    return 0


def report(name: object, codes: dict[str, list[np.ndarray]]) -> None:
    print(f"{name}: {accuracy(codes):.0%} of segments named rightly, chance {1 / len(codes):.0%}", flush=True)


def normalised_frames(features: Features, speakers: tuple[str, ...]) -> dict[str, list[np.ndarray]]:
    """Each speaker's utterances `(frames, bands)`, normalised."""
    return {name: [*map(features.speakers[name].normaliser.transform, features.frames(name))] for name in speakers}


@torch.inference_mode()
def codes_of(network: MultiSpeakerConverter, features: Features) -> dict[str, list[np.ndarray]]:
    """Each speaker's utterances as codes `(places, channels)`."""
    return {
        name: [network.apply_bottleneck(network.code(tensor(frames), name))[0][0].T.numpy() for frames in utterances]
        for name, utterances in normalised_frames(features, tuple(network.speaker_indices)).items()
    }


def tensor(frames: np.ndarray) -> Tensor:
    return torch.from_numpy(frames).float().T[None]


def accuracy(codes: dict[str, list[np.ndarray]]) -> float:
    """Accuracy of a classifier of speakers on test segments."""
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(0)
    training, test = (
        [Segments(utterances[start::2], PLACES, torch.device("cpu"), name) for name, utterances in codes.items()]
        for start in (0, 1)
    )
    speakers = torch.arange(len(codes)).repeat_interleave(BATCH)
    classifier = CodeClassifier(training[0].frames.shape[0], len(codes))
    optimiser = torch.optim.Adam(classifier.parameters(), 1e-3)
    for _ in range(STEPS):
        loss = classification(classifier(torch.cat([segments.draw(BATCH, random) for segments in training])), speakers)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        batches = [torch.cat([segments.draw(BATCH, random) for segments in test]) for _ in range(TEST_BATCHES)]
        logits = [classifier(batch).mean(2) for batch in batches]
    return float(np.mean([(batch.argmax(1) == speakers).float().mean() for batch in logits]))


if __name__ == "__main__":
    sys.exit(main())
