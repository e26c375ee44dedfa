"""Load a model for live conversion, by whichever engine suits it."""

from pathlib import Path

from vc import model_file
from vc.config import AnyPath, require, require_type
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
        For a decoder only: as for `vc.Converter.load`. Default: the CPU, and what suits the model.
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
    require_type(AnyPath, path=path)
    trained, known = model_file.read_description(Path(path)).method, (*LINEAR_METHODS, *DECODER_METHODS)
    require(trained in known, f"{path}: method {trained} cannot run live; these can: {', '.join(known)}")
    decodes = trained in DECODER_METHODS
    unused = {"method": method} if decodes else {"device": device, "vocoder": vocoder}
    for name, value in unused.items():
        require(value is None, f"{path}: {name} (--{name}) has no effect on a model of {trained}")
    if decodes:
        from vc.live.decoder import DecoderStream  # imports torch

        return DecoderStream.load(path, to, source, device=device or "cpu", vocoder=vocoder, **settings)
    model = LinearModel.of(*model_file.read(Path(path), "numpy"), path)
    return Stream(model, to, source, **({"method": method} if method else {}), **settings)
