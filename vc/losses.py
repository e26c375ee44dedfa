"""Loss functions on tensors, and their weighted total.

Whatever precision the networks compute in, losses are float32 at least.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy, l1_loss, mse_loss, relu, softplus

from vc.errors import ConfigError

SPECTRA = (512, 1024, 2048)  # samples, of the windows of `compressed_spectrum`


def least_squares(judgement: Tensor, real: bool) -> Tensor:
    """Mean squared distance of a discriminator's map from 1 (real) or 0 (fake) (Mao et al., ICCV 2017)."""
    judgement = _exact(judgement)
    return torch.mean((judgement - 1) ** 2 if real else judgement**2)


def logistic(judgement: Tensor, real: bool) -> Tensor:
    """Mean cross-entropy of a map of logits with real or fake (Goodfellow et al., NIPS 2014, sec. 3).

    For a generator `real` is true: the loss that does not saturate, of their section 3 too.
    """
    judgement = _exact(judgement)
    return softplus(-judgement if real else judgement).mean()


def hinge(judgement: Tensor, real: bool) -> Tensor:
    """How far a map falls short of 1 (real) or -1 (fake) on average (Lim and Ye, 2017, arXiv:1705.02894)."""
    judgement = _exact(judgement)
    return relu(1 - judgement if real else 1 + judgement).mean()


def wasserstein(judgement: Tensor, real: bool) -> Tensor:
    """A critic's mean, falling as it judges what is real higher (Arjovsky et al., ICML 2017, eqs. 2 and 3)."""
    mean = _exact(judgement).mean()
    return -mean if real else mean


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """Mean squared distance from 1 of the norm of a critic's gradient between what is real and what is fake.

    Gulrajani et al., NIPS 2017, eq. 3. `real` and `fake` are `(batch, ...)`; `share` `(batch, 1)` in 0..1 is how much
    of the point is real. A map is judged by its mean, as in the other losses.
    """
    share = share.reshape(-1, *[1] * (real.dim() - 1))
    between = (share * real + (1 - share) * fake).requires_grad_()
    judged = _exact(critic(between)).reshape(len(real), -1).mean(1)
    [gradient] = torch.autograd.grad(judged.sum(), between, create_graph=True)
    return torch.mean((gradient.flatten(1).norm(dim=1) - 1) ** 2)


@dataclass(frozen=True)
class Adversarial:
    """What discriminators minimise on maps of real and of fake, and what generators minimise on maps called real."""

    told: Callable[[Tensor, bool], Tensor]
    fooled: Callable[[Tensor, bool], Tensor]
    penalty: float = 0.0  # weight of `gradient_penalty` for the discriminators


ADVERSARIAL = {
    "least_squares": Adversarial(least_squares, least_squares),
    "original": Adversarial(logistic, logistic),
    "hinge": Adversarial(hinge, wasserstein),
    "wasserstein_gp": Adversarial(wasserstein, wasserstein, penalty=10.0),  # Gulrajani et al., algorithm 1
}


def cycle_consistency(restored: Tensor, original: Tensor) -> Tensor:
    """L1 distance after a round trip through both generators (Zhu et al., ICCV 2017, eq. 2)."""
    return l1_loss(_exact(restored), original)


def identity_mapping(mapped: Tensor, original: Tensor) -> Tensor:
    """L1 distance of a generator's output from an input that is of its target already (Zhu et al., sec. 5.2)."""
    return l1_loss(_exact(mapped), original)


def classification(logits: Tensor, speakers: Tensor) -> Tensor:
    """Mean cross-entropy, in nats, of `(batch, speakers, places)` with the numbers `(batch,)` of who speaks."""
    return cross_entropy(_exact(logits), speakers[:, None].expand(-1, logits.shape[-1]))


def reversed_gradient(x: Tensor) -> Tensor:
    """`x`, through which gradients come back with the other sign (Ganin and Lempitsky, ICML 2015)."""
    return _Reversed.apply(x)


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return -gradient


def code_consistency(again: Tensor, code: Tensor) -> Tensor:
    """L1 distance of the code of what was decoded for another from the code itself (Royer et al., 2017, sec. 3.1)."""
    return l1_loss(_exact(again), _exact(code))


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Mean divergence, in nats, of normal distributions from the standard one (Kingma and Welling, 2014, app. B)."""
    mean, log_variance = _exact(mean), _exact(log_variance)
    return (mean.square() + log_variance.exp() - 1 - log_variance).mean() / 2


def commitment(entries: Tensor, written: Tensor, weight: float) -> Tensor:
    """Mean squared distance that draws a book's entries to what was written, and, weighted, what is written to them.

    Van den Oord et al., NeurIPS 2017, eq. 3, its last two terms.
    """
    entries, written = _exact(entries), _exact(written)
    return mse_loss(entries, written.detach()) + weight * mse_loss(written, entries.detach())


def content(converted: Tensor, original: Tensor, counted: Tensor | None = None) -> Tensor:
    """One minus the mean cosine between embeddings `(batch, channels, places)` of what was converted and of its source.

    It has no scale, so that one weight suits every encoder. Where `counted` is given, it is of the places where
    `(batch, places)` is true, and every one of the batch that has such counts alike.
    """
    likeness = cosine_similarity(_exact(converted), _exact(original), dim=1)
    if counted is None:
        return 1 - likeness.mean()
    return (((1 - likeness) * counted).sum(1) / counted.sum(1).clamp(min=1)).mean()


def feature_matching(fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Mean L1 distance of each of a discriminator's feature maps from that of real samples, added up.

    Kong et al., NeurIPS 2020, sec. 2.4; after Larsen et al., ICML 2016. What is real gets no gradient.
    """
    return sum(l1_loss(_exact(one), _exact(other.detach())) for one, other in zip(fake, real, strict=True))


def mel_distance(fake: Tensor, real: Tensor) -> Tensor:
    """L1 distance of two log-mel spectrograms `(batch, bands, frames)` (Kong et al., NeurIPS 2020, sec. 2.4)."""
    return l1_loss(_exact(fake), real)


def compressed_spectrum(fake: Tensor, real: Tensor, sizes: Sequence[int] = SPECTRA) -> Tensor:
    """Mean L1 distance of complex short-time spectra of `(batch, samples)`, their magnitudes to the power of 0.3.

    More samples than half the largest size.

    Phases count: for samples that are a function of what the network is given, as another network's are. After
    Ephrat et al., "Looking to listen at the cocktail party", SIGGRAPH 2018, sec. 4.3; Hann windows of `sizes` samples,
    every quarter of them.
    """
    return sum(l1_loss(_compressed(fake, size), _compressed(real, size)) for size in sizes) / len(sizes)


def _compressed(samples: Tensor, size: int) -> Tensor:
    window = torch.hann_window(size, device=samples.device)
    spectrum = torch.stft(samples, size, size // 4, window=window, return_complex=True)
    power = spectrum.real.square() + spectrum.imag.square() + 1e-8  # the gradient stays finite
    return torch.view_as_real(spectrum) * (power**-0.35)[..., None]


def total(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Weighted sum; `terms` and `weights` must name the same losses."""
    if terms.keys() != weights.keys():
        raise ConfigError(f"losses {sorted(terms)} do not match weights {sorted(weights)}")
    return sum(weights[name] * term for name, term in terms.items())


def _exact(x: Tensor) -> Tensor:
    return x.float() if x.dtype == torch.bfloat16 else x
