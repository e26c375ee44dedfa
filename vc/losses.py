"""Loss functions on tensors, and their weighted sum.

Losses are computed in float32 even if the networks compute in bfloat16.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy, l1_loss, mse_loss, relu, softplus

from vc.errors import ConfigError

SPECTRUM_WINDOWS = (512, 1024, 2048)  # samples, window lengths of `compressed_spectrum`


def least_squares(output: Tensor, *, real: bool) -> Tensor:
    """Mean squared difference between a discriminator's output and 1 (real) or 0 (fake) (Mao et al., ICCV 2017)."""
    output = _float32(output)
    return torch.mean((output - 1) ** 2 if real else output**2)


def logistic(output: Tensor, *, real: bool) -> Tensor:
    """Mean binary cross-entropy of a discriminator's logits (Goodfellow et al., NIPS 2014, sec. 3).

    A generator uses it with `real=True`, the non-saturating loss of the same section.
    """
    output = _float32(output)
    return softplus(-output if real else output).mean()


def hinge(output: Tensor, *, real: bool) -> Tensor:
    """Hinge loss of a discriminator's output with margin 1 (Lim and Ye, 2017, arXiv:1705.02894)."""
    output = _float32(output)
    return relu(1 - output if real else 1 + output).mean()


def wasserstein(output: Tensor, *, real: bool) -> Tensor:
    """A critic's mean output, negated for real samples (Arjovsky et al., ICML 2017, eqs. 2 and 3)."""
    mean = _float32(output).mean()
    return -mean if real else mean


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, *, share: Tensor) -> Tensor:
    """Mean squared deviation from 1 of the norm of a critic's gradient, at points between real and fake samples.

    Gulrajani et al., NIPS 2017, eq. 3.

    Parameters
    ----------
    critic : callable
        Maps a batch to one output per item, or a map per item, which is averaged as in the other losses.
    real, fake : Tensor
        Shape `(batch, ...)`.
    share : Tensor
        Interpolation weights of `real`, shape `(batch, 1)`, 0..1.

    Returns
    -------
    Tensor
        A scalar.
    """
    share = share.reshape(-1, *[1] * (real.dim() - 1))
    points = (share * real + (1 - share) * fake).requires_grad_()
    output = _float32(critic(points)).reshape(len(real), -1).mean(1)
    [gradient] = torch.autograd.grad(output.sum(), points, create_graph=True)
    return torch.mean((gradient.flatten(1).norm(dim=1) - 1) ** 2)


@dataclass(frozen=True)
class AdversarialLoss:
    """An adversarial objective."""

    discriminator_loss: Callable[..., Tensor]  # of a discriminator's output, with the keyword `real`
    generator_loss: Callable[[Tensor], Tensor]  # of the discriminator's output for fakes
    penalty: float = 0.0  # weight of `gradient_penalty` in the discriminator loss


ADVERSARIAL = {
    "least_squares": AdversarialLoss(least_squares, partial(least_squares, real=True)),
    "original": AdversarialLoss(logistic, partial(logistic, real=True)),
    "hinge": AdversarialLoss(hinge, partial(wasserstein, real=True)),
    "wasserstein_gp": AdversarialLoss(  # Gulrajani et al., algorithm 1
        wasserstein, partial(wasserstein, real=True), penalty=10.0
    ),
}


def cycle_consistency(reconstruction: Tensor, original: Tensor) -> Tensor:
    """L1 distance after a round trip through both generators (Zhu et al., ICCV 2017, eq. 2)."""
    return l1_loss(_float32(reconstruction), original)


def identity_mapping(output: Tensor, original: Tensor) -> Tensor:
    """L1 distance between a generator's output and its input from the target domain (Zhu et al., sec. 5.2)."""
    return l1_loss(_float32(output), original)


def classification(logits: Tensor, speakers: Tensor) -> Tensor:
    """Mean cross-entropy in nats of logits `(batch, speakers, frames)` with speaker indices `(batch,)`."""
    return cross_entropy(_float32(logits), speakers[:, None].expand(-1, logits.shape[-1]))


def reverse_gradient(x: Tensor) -> Tensor:
    """Gradient reversal: the identity, with negated gradient (Ganin and Lempitsky, ICML 2015)."""
    return _GradientReversal.apply(x)


class _GradientReversal(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return -gradient


def code_consistency(fake_code: Tensor, code: Tensor) -> Tensor:
    """L1 distance between the code of a conversion and the code it was decoded from (Royer et al., 2017, sec. 3.1)."""
    return l1_loss(_float32(fake_code), _float32(code))


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Mean KL divergence in nats of Gaussians from the standard normal (Kingma and Welling, 2014, app. B)."""
    mean, log_variance = _float32(mean), _float32(log_variance)
    return (mean.square() + log_variance.exp() - 1 - log_variance).mean() / 2


def vector_quantisation(entries: Tensor, code: Tensor, weight: float) -> Tensor:
    """Codebook loss plus weighted commitment loss (van den Oord et al., NeurIPS 2017, eq. 3, last two terms)."""
    entries, code = _float32(entries), _float32(code)
    return mse_loss(entries, code.detach()) + weight * mse_loss(code, entries.detach())


def content(converted: Tensor, original: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """One minus the mean cosine similarity between content embeddings of a conversion and of its source.

    It is independent of scale, so that one weight suits every encoder.

    Parameters
    ----------
    converted, original : Tensor
        Shape `(batch, channels, frames)`.
    mask : Tensor, optional
        Shape `(batch, frames)`, true for the frames to include; items have equal weight. Default: all frames.

    Returns
    -------
    Tensor
        A scalar in 0..2.
    """
    cosine = cosine_similarity(_float32(converted), _float32(original), dim=1)
    if mask is None:
        return 1 - cosine.mean()
    return (((1 - cosine) * mask).sum(1) / mask.sum(1).clamp(min=1)).mean()


def feature_matching(fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Sum over a discriminator's feature maps of the mean L1 distance between fake and real samples.

    Kong et al., NeurIPS 2020, sec. 2.4; after Larsen et al., ICML 2016. No gradient flows to the real samples' maps.
    """
    return sum(l1_loss(_float32(f), _float32(r.detach())) for f, r in zip(fake, real, strict=True))


def mel_distance(fake: Tensor, real: Tensor) -> Tensor:
    """L1 distance between two log-mel spectrograms `(batch, bands, frames)` (Kong et al., NeurIPS 2020, sec. 2.4)."""
    return l1_loss(_float32(fake), real)


def compressed_spectrum(fake: Tensor, real: Tensor, sizes: Sequence[int] = SPECTRUM_WINDOWS) -> Tensor:
    """Mean L1 distance between complex short-time spectra with magnitudes compressed by the power 0.3.

    It includes phase, so it suits targets that are a function of the network's input, such as another network's output.
    After Ephrat et al., "Looking to listen at the cocktail party", SIGGRAPH 2018, sec. 4.3.

    Parameters
    ----------
    fake, real : Tensor
        Shape `(batch, samples)`, with more samples than half the largest size.
    sizes : sequence of int, optional
        Lengths of the Hann windows in samples; the hop is a quarter.

    Returns
    -------
    Tensor
        A scalar.
    """

    def compress(samples: Tensor, size: int) -> Tensor:
        window = torch.hann_window(size, device=samples.device)
        spectrum = torch.stft(samples, size, size // 4, window=window, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square() + 1e-8  # keeps the gradient finite
        return torch.view_as_real(spectrum) * (power**-0.35)[..., None]

    return sum(l1_loss(compress(fake, size), compress(real, size)) for size in sizes) / len(sizes)


def total(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Weighted sum of losses by name; ConfigError if `terms` and `weights` name different ones."""
    if terms.keys() != weights.keys():
        raise ConfigError(f"losses {sorted(terms)} do not match weights {sorted(weights)}")
    return sum(weights[name] * term for name, term in terms.items())


def _float32(x: Tensor) -> Tensor:
    return x.float() if x.dtype == torch.bfloat16 else x
