"""Load a model for live conversion, by whichever engine suits it."""

from pathlib import Path

from vc import model_file
from vc.config import require
from vc.live.base import AbstractStream
from vc.live.linear import LinearModel
from vc.live.settings import DECODER_METHODS, LINEAR_METHODS
from vc.live.stream import Stream


def load(
    path: str | Path,
    to: str | None = None,
    source: str | None = None,
    *,
    method: str | None = None,
    device: str | None = None,
    vocoder: str | None = None,
    **settings: object,
) -> AbstractStream:
    """Read a model file, an experiment directory, or a model that comes with the package.

    Parameters
    ----------
    path : str or Path
        The model.
    to, source : str, optional
        Speakers, as for `vc.Converter`.
    method : str, optional
        For a linear model only: how it converts, as for `Stream`.
    device, vocoder : str, optional
        For a decoder only: as for `vc.Converter.load`. Default: the CPU, and HiFi-GAN.
    **settings
        As for `Stream` and `DecoderStream`.

    Returns
    -------
    AbstractStream

    Raises
    ------
    ConfigError
        It is not a model, or not one that can be used live, or a setting does not suit it.
    """
    model, weights = model_file.read(Path(path), "numpy")
    known = (*LINEAR_METHODS, *DECODER_METHODS)
    require(model.method in known, f"{path}: method {model.method} cannot run live; these can: {', '.join(known)}")
    if model.method in DECODER_METHODS:
        require(method is None, f"{path}: a {model.method} model has no --method")
        from vc.live.decoder import DecoderStream  # imports torch

        return DecoderStream.load(path, to, source, device=device or "cpu", vocoder=vocoder, **settings)
    for option, value in {"--device": device, "--vocoder": vocoder}.items():
        require(value is None, f"{path}: {option} has no effect on a {model.method} model")
    return Stream(
        LinearModel.of(model, weights, path), to, source, **({"method": method} if method else {}), **settings
    )
