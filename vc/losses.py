"""Loss functions on tensors, and their weighted total.

Whatever precision the networks compute in, losses are float32 at least.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy, l1_loss, mse_loss, relu, softplus

from vc.errors import ConfigError

SPECTRA = (512, 1024, 2048)  # samples, of the windows of `compressed_spectrum`


def least_squares(output: Tensor, *, real: bool) -> Tensor:
    """Mean squared distance of a discriminator's output from 1 (real) or 0 (fake) (Mao et al., ICCV 2017)."""
    output = _float32(output)
    return torch.mean((output - 1) ** 2 if real else output**2)


def logistic(output: Tensor, *, real: bool) -> Tensor:
    """Mean cross-entropy of a discriminator's logits with real or fake (Goodfellow et al., NIPS 2014, sec. 3).

    For a generator `real` is true: the loss that does not saturate, of their section 3 too.
    """
    output = _float32(output)
    return softplus(-output if real else output).mean()


def hinge(output: Tensor, *, real: bool) -> Tensor:
    """How far a discriminator's output falls short of 1 (real) or -1 (fake) (Lim and Ye, 2017, arXiv:1705.02894)."""
    output = _float32(output)
    return relu(1 - output if real else 1 + output).mean()


def wasserstein(output: Tensor, *, real: bool) -> Tensor:
    """A critic's mean output, of real segments with the other sign (Arjovsky et al., ICML 2017, eqs. 2 and 3)."""
    mean = _float32(output).mean()
    return -mean if real else mean


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, *, share: Tensor) -> Tensor:
    """Mean squared distance from 1 of the norm of a critic's gradient at points between real and fake.

    Gulrajani et al., NIPS 2017, eq. 3.

    Parameters
    ----------
    critic : callable
        Its output for each item, a number or a map of which the mean counts, as in the other losses.
    real, fake : Tensor
        `(batch, ...)`.
    share : Tensor
        `(batch, 1)` in 0..1: how much of the point is real.
    """
    share = share.reshape(-1, *[1] * (real.dim() - 1))
    between = (share * real + (1 - share) * fake).requires_grad_()
    output = _float32(critic(between)).reshape(len(real), -1).mean(1)
    [gradient] = torch.autograd.grad(output.sum(), between, create_graph=True)
    return torch.mean((gradient.flatten(1).norm(dim=1) - 1) ** 2)


@dataclass(frozen=True)
class Adversarial:
    """What discriminators minimise on their outputs for real and fake, and what generators minimise on fakes."""

    discriminator_loss: Callable[..., Tensor]  # of outputs, and `real` by name
    generator_loss: Callable[[Tensor], Tensor]  # of the discriminator's outputs for fakes
    penalty: float = 0.0  # weight of `gradient_penalty` for the discriminators


ADVERSARIAL = {
    "least_squares": Adversarial(least_squares, partial(least_squares, real=True)),
    "original": Adversarial(logistic, partial(logistic, real=True)),
    "hinge": Adversarial(hinge, partial(wasserstein, real=True)),
    "wasserstein_gp": Adversarial(  # Gulrajani et al., algorithm 1
        wasserstein, partial(wasserstein, real=True), penalty=10.0
    ),
}


def cycle_consistency(restored: Tensor, original: Tensor) -> Tensor:
    """L1 distance after a round trip through both generators (Zhu et al., ICCV 2017, eq. 2)."""
    return l1_loss(_float32(restored), original)


def identity_mapping(mapped: Tensor, original: Tensor) -> Tensor:
    """L1 distance of a generator's output from an input that is of its target already (Zhu et al., sec. 5.2)."""
    return l1_loss(_float32(mapped), original)


def classification(logits: Tensor, speakers: Tensor) -> Tensor:
    """Mean cross-entropy, in nats, of logits `(batch, speakers, frames)` with the speakers' numbers `(batch,)`."""
    return cross_entropy(_float32(logits), speakers[:, None].expand(-1, logits.shape[-1]))


def reversed_gradient(x: Tensor) -> Tensor:
    """Return `x`, through which gradients come back with the other sign (Ganin and Lempitsky, ICML 2015)."""
    return _Reversed.apply(x)


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return -gradient


def code_consistency(restored: Tensor, code: Tensor) -> Tensor:
    """L1 distance of the code of a conversion from the code that it was decoded from (Royer et al., 2017, sec. 3.1)."""
    return l1_loss(_float32(restored), _float32(code))


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Mean divergence, in nats, of normal distributions from the standard one (Kingma and Welling, 2014, app. B)."""
    mean, log_variance = _float32(mean), _float32(log_variance)
    return (mean.square() + log_variance.exp() - 1 - log_variance).mean() / 2


def commitment(entries: Tensor, code: Tensor, weight: float) -> Tensor:
    """Mean squared distance that draws a codebook's entries to a code, and, weighted, the code to the entries.

    Van den Oord et al., NeurIPS 2017, eq. 3, its last two terms.
    """
    entries, code = _float32(entries), _float32(code)
    return mse_loss(entries, code.detach()) + weight * mse_loss(code, entries.detach())


def content(converted: Tensor, original: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """One minus the mean cosine between embeddings of a conversion and of its source.

    It has no scale, so that one weight suits every encoder.

    Parameters
    ----------
    converted, original : Tensor
        `(batch, channels, frames)`.
    mask : Tensor, optional
        `(batch, frames)`, true where frames count. Items that have such frames count alike. Default: all count.
    """
    cosine = cosine_similarity(_float32(converted), _float32(original), dim=1)
    if mask is None:
        return 1 - cosine.mean()
    return (((1 - cosine) * mask).sum(1) / mask.sum(1).clamp(min=1)).mean()


def feature_matching(fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Mean L1 distance of each of a discriminator's feature maps from that of real samples, added up.

    Kong et al., NeurIPS 2020, sec. 2.4; after Larsen et al., ICML 2016. Maps of real samples get no gradient.
    """
    return sum(l1_loss(_float32(one), _float32(other.detach())) for one, other in zip(fake, real, strict=True))


def mel_distance(fake: Tensor, real: Tensor) -> Tensor:
    """L1 distance of two log-mel spectrograms `(batch, bands, frames)` (Kong et al., NeurIPS 2020, sec. 2.4)."""
    return l1_loss(_float32(fake), real)


def compressed_spectrum(fake: Tensor, real: Tensor, sizes: Sequence[int] = SPECTRA) -> Tensor:
    """Mean L1 distance of complex short-time spectra, their magnitudes to the power of 0.3.

    Phases count: for samples that are a function of the network's input, as another network's are. After Ephrat et al.,
    "Looking to listen at the cocktail party", SIGGRAPH 2018, sec. 4.3.

    Parameters
    ----------
    fake, real : Tensor
        `(batch, samples)`; more samples than half the largest size.
    sizes : sequence of int, optional
        Of the Hann windows in samples; there is one every quarter of them.
    """

    def compressed(samples: Tensor, size: int) -> Tensor:
        window = torch.hann_window(size, device=samples.device)
        spectrum = torch.stft(samples, size, size // 4, window=window, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square() + 1e-8  # the gradient stays finite
        return torch.view_as_real(spectrum) * (power**-0.35)[..., None]

    return sum(l1_loss(compressed(fake, size), compressed(real, size)) for size in sizes) / len(sizes)


def total(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Weighted sum; `terms` and `weights` must name the same losses."""
    if terms.keys() != weights.keys():
        raise ConfigError(f"losses {sorted(terms)} do not match weights {sorted(weights)}")
    return sum(weights[name] * term for name, term in terms.items())


def _float32(x: Tensor) -> Tensor:
    return x.float() if x.dtype == torch.bfloat16 else x
