"""Conversions between the speakers of a batch, on the training device: at another's F0, and what is heard in them."""

import copy
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from vc.config import require
from vc.encoders.distilled import STRIDE, DistilledEncoder, DistilledNetwork
from vc.encoders.features import encoder_of
from vc.features.content import PROSODY, STEPS_PER_OCTAVE, ContentFeatures, pulses
from vc.features.f0 import FARTHEST, HIGHEST_F0, LOWEST_F0
from vc.features.speakers import Speaker


class Conversions(nn.Module):
    """Statistics of a model's speakers and the frozen encoder of their content; nothing moves either.

    Parameters
    ----------
    speakers : mapping of str to Speaker
        In the order of their numbers.
    config : ContentFeatures
        Of the features that are learnt from.
    network : DistilledNetwork, optional
        The encoder of the features, as `hearing` gives it. Default: nothing is heard.
    """

    def __init__(
        self, speakers: Mapping[str, Speaker], config: ContentFeatures, network: DistilledNetwork | None = None
    ):
        super().__init__()
        self.encoder = network

        def keep(name: str, values: list) -> None:
            self.register_buffer(name, torch.tensor(np.array(values), dtype=torch.float32))

        normalisers = [speaker.normaliser for speaker in speakers.values()]
        keep("log_mel_mean", [each.mean_[:, None] for each in normalisers])  # (speakers, bands, 1)
        keep("log_mel_deviation", [each.deviation_[:, None] for each in normalisers])
        contents = [speaker.content for speaker in speakers.values()]
        keep("content_mean", [np.array(each.mean)[:, None] for each in contents])  # (speakers, dims, 1)
        keep("content_deviation", [[[each.deviation]] for each in contents])
        known = [speaker.log_f0 for speaker in speakers.values()]
        keep("voiced", [[[each is not None]] for each in known])  # (speakers, 1, 1), 0 of who whispers
        keep("log_f0", [[[(each.mean, each.deviation) if each else (0.0, 1.0)]] for each in known])
        keep("pulses", pulses(config))  # (steps, bands)

    def rescaled(self, content: Tensor, speakers: Tensor, targets: Tensor) -> Tensor:
        """Content `(batch, dims, frames)` in deviations of the speakers, in those of the targets."""
        return content * (self.content_deviation[speakers] / self.content_deviation[targets])

    def moved(self, prosody: Tensor, speakers: Tensor, targets: Tensor) -> Tensor:
        """Prosody `(batch, bands + 3, frames)` of the speakers at the F0 of the targets, as conversion maps it."""
        _, melody, voiced, loud = prosody.split([prosody.shape[1] - PROSODY, 1, 1, 1], dim=1)
        both = self.voiced[speakers] * self.voiced[targets]
        melody, voiced = both * melody.clamp(-FARTHEST, FARTHEST), both * voiced
        mean, deviation = self.log_f0[targets].unbind(-1)
        octaves = (melody * deviation + mean).clamp(np.log(LOWEST_F0), np.log(HIGHEST_F0)) - np.log(LOWEST_F0)
        places = (STEPS_PER_OCTAVE / np.log(2) * octaves)[:, 0]
        before = places.long().clamp(max=len(self.pulses) - 2)
        excitation = torch.lerp(self.pulses[before], self.pulses[before + 1], (places - before)[..., None])
        return torch.cat([voiced * excitation.transpose(1, 2), melody, voiced, loud], dim=1)

    def heard(self, log_mel: Tensor, speakers: Tensor) -> Tensor:
        """Content `(batch, dims, frames)` of normalised `(batch, bands, frames)`, in deviations of the speakers.

        It lies at the log-mel frames' places, between content frames by straight lines, as `Recordings` has it.
        """
        natural = log_mel * self.log_mel_deviation[speakers] + self.log_mel_mean[speakers]
        content = interpolate(self.encoder(natural).float(), scale_factor=STRIDE, mode="linear")
        return (content[..., : log_mel.shape[-1]] - self.content_mean[speakers]) / self.content_deviation[speakers]


def hearing(config: ContentFeatures) -> DistilledNetwork:
    """The encoder of these features, through which gradients reach log-mel; refuses by name one that cannot do it."""
    name, encoder = config.content.encoder, encoder_of(config)
    what = f"objective.content_consistency and cycle: through the content encoder {name!r}"
    able = isinstance(encoder, DistilledEncoder) and encoder.mel == config.mel
    require(able, f"{what} no gradient reaches the log-mel of these features; take features.content.encoder=distilled")
    return copy.deepcopy(encoder.network)  # others use the encoder itself, on the CPU
