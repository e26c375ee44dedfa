"""Synthetic voices for the content encoder's training: sentences of the Debian handbook, spoken by free synthesisers.

    python synthesise.py kokoro --text handbook/html --kokoro kokoro --out voices --minutes 30
    python synthesise.py debian --text handbook/html --out voices --sentences 60

`kokoro` needs onnxruntime, espeak-ng and a folder with Kokoro's `model.onnx`, `vocab.json` and `voices/*.bin`. Half of
its utterances are spoken by a mixture of two voices, which is a new speaker. `debian` runs espeak-ng, flite, festival.
"""

import argparse
import html
import json
import re
import subprocess
import time
from pathlib import Path

import numpy as np
import soundfile

LANGUAGES = {  # the handbook's folder of each language, by espeak-ng's name; Russian is never heard in training
    "en-us": "en-US", "en-gb": "en-US", "es": "es-ES", "fr": "fr-FR", "it": "it-IT", "pt-br": "pt-BR", "de": "de-DE",
    "nl": "nl-NL", "sv": "sv-SE", "da": "da-DK", "nb": "nb-NO", "pl": "pl-PL", "cs": "cs-CZ",
    "tr": "tr-TR", "id": "id-ID", "vi": "vi-VN", "ca": "ca-ES", "fa": "fa-IR", "ar": "ar-MA",
}  # fmt: skip
KOKORO_LANGUAGES = {"a": "en-us", "b": "en-gb", "e": "es", "f": "fr", "i": "it", "p": "pt-br"}  # by first letter
KOKORO_UNHEARD = {"am_onyx", "bf_emma", "ef_dora"}  # speak for the evaluation alone
FLITE_VOICES = ["kal16", "awb", "rms", "slt"]
FESTIVAL_VOICES = {
    "kal_diphone": "en-US", "cmu_us_slt_arctic_hts": "en-US", "upc_ca_ona_hts": "ca-ES", "czech_dita": "cs-CZ",
    "czech_machac": "cs-CZ", "lp_diphone": "it-IT", "pc_diphone": "it-IT",
}  # fmt: skip
ESPEAK_VARIANTS = ["", "+f2", "+f4", "+m3", "+m7", "+klatt2", "+croak", "+f5", "+Annie", "+steph", "+Diogo", "+Mario"]
SEED = 0


def handbook(folder: Path, rng: np.random.Generator) -> dict[str, list[str]]:
    """Sentences of each language's translation, in random order; what is left untranslated counts as English only."""
    english = sentences(folder / "en-US")
    found = {name: sentences(folder / name) for name in sorted(set(LANGUAGES.values()))}
    found = {name: texts - english if name != "en-US" else texts for name, texts in found.items()}
    return {name: [str(text) for text in rng.permutation(sorted(texts))] for name, texts in found.items()}


def sentences(folder: Path) -> set[str]:
    """Sentences of 30 to 120 characters from the paragraphs of a folder of HTML pages."""
    found = set()
    for page in sorted(folder.glob("*.html")):
        for paragraph in re.findall(r"<p>(.*?)</p>|class=\"para\">(.*?)</div>", page.read_text("utf-8"), re.DOTALL):
            text = html.unescape(re.sub(r"<[^>]*>", "", " ".join(paragraph)))
            for sentence in re.split(r"(?<=[.!?;:])\s+", " ".join(text.split())):
                if 30 <= len(sentence) <= 120 and not re.search(r"[/\\_=<>#$|{}@]|\d{3}", sentence):
                    found.add(sentence)
    return found


def phonemes(text: str, language: str) -> str:
    """IPA by espeak-ng."""
    command = ["espeak-ng", "-q", "--ipa", "-v", language, text]
    spoken = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return re.sub(r"\(.*?\)", "", " ".join(spoken.split()))


def kokoro(args: argparse.Namespace) -> None:
    import onnxruntime

    rng = np.random.default_rng(SEED + args.first)
    texts = handbook(args.text, rng)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(args.kokoro / "model.onnx", options)
    vocabulary = json.loads((args.kokoro / "vocab.json").read_text("utf-8"))["vocab"]
    styles = {p.stem: np.fromfile(p, np.float32).reshape(-1, 256) for p in sorted(args.kokoro.glob("voices/*.bin"))}
    unheard, heard = sorted(KOKORO_UNHEARD & styles.keys()), sorted(styles.keys() - KOKORO_UNHEARD)
    seconds, number, begun = 0.0, args.first, time.monotonic()
    while seconds < 60 * args.minutes:
        number += 1
        if args.unheard:
            name = unheard[number % len(unheard)]
            style, native = styles[name], KOKORO_LANGUAGES[name[0]]
            language = native
        else:
            one, other = (heard[i] for i in rng.choice(len(heard), 2, replace=False))
            part = rng.uniform(0.3, 0.7) if rng.random() < 0.5 else 0.0
            name = one if part == 0 else "mixed"
            style = (1 - part) * styles[one] + part * styles[other]
            native = KOKORO_LANGUAGES.get(one[0], "en-us")
            language = native if rng.random() < 0.5 else rng.choice(["en-us", *LANGUAGES])
        spoken = phonemes(str(rng.choice(texts[LANGUAGES[language]])), language)
        tokens = [vocabulary[letter] for letter in spoken if letter in vocabulary][:200]
        speed = rng.uniform(0.85, 1.25)
        feed = {"tokens": [[0, *tokens, 0]], "style": style[len(tokens)][None], "speed": np.array([speed], np.float32)}
        samples = session.run(None, feed)[0].ravel()
        path = args.out / (f"kokoro-{name}" if args.unheard else "kokoro") / f"{number:05d}-{name}-{language}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.clip(samples, -1, 1), 24000)
        seconds += len(samples) / 24000
    taken = (time.monotonic() - begun) / 60
    print(f"{number - args.first} utterances, {seconds / 60:.1f} minutes, made in {taken:.1f} -> {args.out}")


def debian(args: argparse.Namespace) -> None:
    rng, number = np.random.default_rng(SEED), 0
    texts = handbook(args.text, rng)
    jobs = []
    for language, folder in LANGUAGES.items():
        for sentence in texts[folder][: args.sentences]:
            variant = str(rng.choice(ESPEAK_VARIANTS))
            command = ["espeak-ng", "-v", language + variant, "-p", str(rng.integers(20, 80)), "-s"]
            jobs.append((f"espeak{variant}", sentence, [*command, str(rng.integers(120, 190)), "-w", "{}", sentence]))
    for voice in FLITE_VOICES:
        for sentence in texts["en-US"][100 : 100 + args.sentences]:
            jobs.append((f"flite-{voice}", sentence, ["flite", "-voice", voice, "-t", sentence, "-o", "{}"]))
    for voice, folder in FESTIVAL_VOICES.items():
        encoding = "utf-8" if folder == "en-US" else {"cs-CZ": "iso-8859-2"}.get(folder, "iso-8859-15")
        for sentence in texts[folder][200 : 200 + args.sentences]:
            command = ["text2wave", "-eval", f"(voice_{voice})", "-o", "{}"]
            jobs.append((f"festival-{voice}", sentence.encode(encoding, "ignore"), command))
    for voice, sentence, command in jobs:
        number += 1
        path = args.out / voice / f"{number:05d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        given = sentence if isinstance(sentence, bytes) else None
        command = [part.replace("{}", str(path)) for part in command]
        subprocess.run(command, input=given, check=False, capture_output=True, timeout=60)
        if path.exists() and path.stat().st_size < 4096:  # festival knows no word of it
            path.unlink()
    print(f"{number} utterances asked for -> {args.out}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    sub = commands.add_parser("kokoro")
    sub.add_argument("--kokoro", type=Path, required=True)
    sub.add_argument("--minutes", type=float, default=30.0)
    sub.add_argument("--first", type=int, default=0, help="number of the first utterance, seeds the choice")
    sub.add_argument("--unheard", action="store_true", help="the voices kept for evaluation instead")
    sub.set_defaults(run=kokoro)
    sub_debian = commands.add_parser("debian")
    sub_debian.add_argument("--sentences", type=int, default=60, help="of each language or voice")
    sub_debian.set_defaults(run=debian)
    for each in (sub, sub_debian):
        each.add_argument("--text", type=Path, required=True, help="HTML of the Debian handbook, a folder a language")
        each.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
