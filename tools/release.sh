#!/usr/bin/env bash
# release.sh [PYTHON ...]: build the sdist and the wheel into dist/, check them, and try the wheel in a clean environment
# of each interpreter named (default: python3): commands, a voice from two folders of mp3, wav and flac at several rates, a
# conversion. Uploads nothing.
set -euo pipefail
root=$(dirname "$(dirname "$(readlink -f "$0")")")
cd "$root"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
    echo "release.sh: error: $1" >&2
    exit 1
}

try() { # PYTHON: no checkout in sight, torch for the CPU
    local wheel bin=$scratch/venv/bin words
    wheel=$(echo "$root"/dist/*.whl)
    rm -rf "$scratch/venv" "$scratch/work"
    "$1" -m venv "$scratch/venv"
    "$root/tools/install_torch.sh" "$bin/python" cpu --quiet
    "$bin/python" -m pip --disable-pip-version-check --quiet install --no-deps "$wheel"
    mapfile -t words < <("$bin/python" -c 'from importlib.metadata import requires
print(*(r for r in requires("nonparallel-vc") + requires("torch")
        if "extra" not in r and "platform_system" not in r and not r.startswith("torch")), sep="\n")')
    "$bin/python" -m pip --disable-pip-version-check --quiet install --no-warn-conflicts "${words[@]}"
    mkdir -p "$scratch/work/recordings"
    cd "$scratch/work"
    "$bin/python" - "$root/egs/mini/corpus/train" <<'END'
import sys
from pathlib import Path
import soundfile, soxr
for who, name in {"slt": "anna", "rms": "bert"}.items():
    folder = Path("recordings", name)
    folder.mkdir()
    for number, path in enumerate(sorted(Path(sys.argv[1], who).iterdir())):
        samples, rate = soundfile.read(path)
        ending, other = (("mp3", 44100), ("wav", 48000), ("flac", 16000), ("mp3", 22050))[number % 4]
        soundfile.write(folder / f"{path.stem}.{ending}", soxr.resample(samples, rate, other), other)
END
    "$bin/vc" --version
    "$bin/vc-train" recordings/anna recordings/bert --config nearest --output exp/anna-bert
    "$bin/vc-convert" --model exp/anna-bert recordings/anna/*1.* --output converted
    "$bin/vc-convert" --model six_voices --to TM1 "$(echo recordings/anna/*1.* | cut -d ' ' -f 1)" --output as_tm1.wav
    cd "$root"
    echo "$("$bin/python" --version): $(du -sm "$scratch/venv" | cut -f 1) MB"
}

version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' vc/__init__.py)
grep -q "^## $version " CHANGELOG.md || fail "CHANGELOG.md has no section of $version"
rm -rf dist build
tools/venv/bin/python -m build --no-isolation --outdir dist . > "$scratch/build.log" 2>&1 ||
    { cat "$scratch/build.log" >&2 && fail "no sdist or wheel"; }
tools/venv/bin/twine check --strict dist/*
ls -l dist
for python in "${@:-python3}"; do try "$python"; done
