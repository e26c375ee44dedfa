"""The training step of recognition-synthesis: a decoder of content vectors, its discriminator, and their losses.

With c the content of a real segment x of the target, p its prosody and G the decoder, the decoder minimises the
weighted sum of

    spectrum            L1 of G(c, p) to x
    adversarial         D on G(c, p), as least squares
    feature_matching    D's feature maps of G(c, p) to those of x

and, where they are asked for, of losses on conversions. With c of a segment's own, of a speaker A, p' its prosody at
the F0 of another speaker B, y = G(c, p') in B's voice, and E the frozen encoder that content comes from:

    conversion_adversarial    D on y, as least squares; D takes it for as fake as G(c, p)
    content_consistency       1 - cosine of E(y) and c, in speech; of one target alone, of E(G(c, p)) and c
    cycle                     L1 to x of G(E(y), p) in A's voice

E sees nothing beyond the ends of a segment, where it hears less well: what it hears counts in the middle half alone. An
identity mapping is no loss of its own: `unmatched` segments are decoded in their own voice from their own content.

A conversion's content is another speaker's, and a decoder that has only seen the target's own learns too much of it.
So a segment's content is drawn from three: its own; each frame's nearest neighbours in the target's other recordings;
and those in other speakers' recordings, where there are any. What is matched says the same and fits less well, as
another speaker's would (prematched training, after Baas, van Niekerk and Kamper, "Voice conversion with just nearest
neighbors", Interspeech 2023, sec. 3.2, who match a vocoder's inputs). Where speakers share sentences, it may be drawn
from a fourth, another speaker's rendering of the sentence, aligned in time: what a conversion will have.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress, cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from vc import devices, losses
from vc.config import require
from vc.corpus.data_directory import Utterance
from vc.features.content import ContentFeatures, prosody, standard_loudness
from vc.features.speakers import Speaker
from vc.features.speech import speech
from vc.features.store import Features
from vc.metrics.alignment import align
from vc.models.base import RandomDraws
from vc.models.recognition_synthesis import PAUSES, RecognitionSynthesis, RecognitionSynthesisConfig
from vc.train.base import Setting
from vc.train.conversions import Conversions, hearing
from vc.train.held_out import HeldOutResynthesis
from vc.train.player import Player
from vc.train.sampling import Segments

log = logging.getLogger(__name__)
CHUNK = 2048  # content frames that are matched at a time
MOST = 40_000  # content frames among which neighbours are looked for: some fifteen minutes
UNSEEN_EVERY = 10  # one recording in so many is seen by no loss, where there are twice as many
UNSEEN_SHARE = 4  # a batch has so many times more segments than are drawn of those
CONVERSIONS = ("conversion_adversarial", "content_consistency", "cycle")  # losses that count as late as judged ones
JUDGED = {"adversarial", "feature_matching", "conversion_adversarial"}  # losses by the discriminator
GENERATOR_BETAS, JUDGE_BETAS = (0.9, 0.98), (0.5, 0.9)


@dataclass(frozen=True)
class RecognitionSynthesisObjective:
    """Weights of the losses, how they are minimised, and whose content a segment is decoded from."""

    spectrum: float = 1.0
    adversarial: float = 0.2
    feature_matching: float = 1.0
    conversion_adversarial: float = 0.0
    content_consistency: float = 0.0
    cycle: float = 0.0
    adversarial_from: float = 0.4  # share of the steps after which all losses but `spectrum` count
    generator_rate: float = 1e-3
    adversarial_rate: float = 0.5  # factor on `generator_rate` from then on
    discriminator_rate: float = 4e-4
    warm_up: int = 50  # steps in which the decoder's rate rises
    decay_from: float = 0.6  # share of the steps after which it falls to `last`
    last: float = 0.03  # factor on it at the last step
    weight_decay: float = 0.01
    unmatched: float = 0.3  # how often a segment's content is its own, beside
    prematched: float = 0.4  # its nearest neighbours' in the target's other recordings, and
    matched: float = 0.3  # its nearest neighbours' in other speakers'
    aligned: float = 0.0  # another speaker's of the same sentence
    neighbours: int = 4  # whose mean it is
    start: str = ""  # a model, by name or path, from whose weights the decoder begins; empty: none

    def __post_init__(self) -> None:
        names = ("adversarial", "feature_matching", *CONVERSIONS, "unmatched", "prematched", "matched", "aligned")
        for name in names:
            require(getattr(self, name) >= 0, f"objective.{name} must be 0 or more, got {getattr(self, name)}")
        require(self.spectrum > 0, f"objective.spectrum must be above 0, got {self.spectrum}")
        require(self.unmatched > 0, f"objective.unmatched must be above 0, got {self.unmatched}")
        for name in ("generator_rate", "discriminator_rate"):
            require(0 < getattr(self, name) < 1, f"objective.{name} must be in 0..1, got {getattr(self, name)}")
        for name in ("adversarial_from", "adversarial_rate", "decay_from", "last", "weight_decay"):
            require(0 <= getattr(self, name) <= 1, f"objective.{name} must be in 0..1, got {getattr(self, name)}")
        require(self.warm_up >= 0, f"objective.warm_up must be 0 or more, got {self.warm_up}")
        require(1 <= self.neighbours <= 100, f"objective.neighbours must be in 1..100, got {self.neighbours}")

    def rate(self, step: int, steps: int) -> float:
        """Factor on the decoder's learning rate at `step` (from 0) of `steps`."""
        rising = min(1.0, (step + 1) / (self.warm_up + 1))
        gone = max(0.0, step / steps - self.decay_from) / max(1 - self.decay_from, 1e-9)
        return rising * max(self.last, 1 - gone)

    def conversions(self, speakers: Mapping[str, Speaker], config: ContentFeatures) -> Conversions | None:
        """What losses on conversions between these speakers need, if any counts; refuses by name what cannot be."""
        wanted = {name for name in CONVERSIONS if getattr(self, name) > 0}
        if not wanted:
            return None
        for name in sorted(wanted - {"content_consistency"}):
            options = "--source and --target, or --speakers"
            require(len(speakers) > 1, f"objective.{name} needs two speakers or more: {options}")
        hears = wanted & {"content_consistency", "cycle"}
        return Conversions(speakers, config, hearing(config) if hears else None)


@dataclass(frozen=True)
class ContentBatch:
    """Segments of the targets, each with content that it may be decoded from."""

    content: Tensor  # (batch, dims, frames)
    prosody: Tensor  # (batch, bands + 3, frames)
    log_mel: Tensor  # (batch, bands, frames), normalised
    speakers: Tensor  # (batch,) numbers
    own: Tensor | None = None  # (batch, dims, frames), each segment's own content, where there are conversions,
    targets: Tensor | None = None  # (batch,) and numbers of other speakers, to whom they are
    unseen: "ContentBatch | None" = None  # of recordings that no loss sees: how smooth the decoder is on these counts
    chance: RandomDraws | None = None  # as in Batch


class ContentSampler:
    """Batches of the speakers' segments on the training device; its random state is part of a checkpoint.

    Several processes draw the same and each takes its `share`, as in vc/train/sampling.py.
    """

    def __init__(
        self,
        recordings: Sequence["Recordings"],
        chances: Sequence[float],
        batch: int,
        seed: int,
        share: slice,
        conversions: bool = False,
    ):
        """`batch` segments of each speaker; a segment's content is drawn from its ways by their `chances`.

        With `conversions` each gets its own content too, and another speaker, drawn evenly: the n-th segments of all
        speakers have a different one each.
        """
        self.recordings, self.batch, self.share, self.conversions = recordings, batch, share, conversions
        device = recordings[0].segments.frames.device
        self.bounds = torch.cumsum(torch.tensor(chances, dtype=torch.float64, device=device), 0) / sum(chances)
        self.generator = torch.Generator(device).manual_seed(seed)

    @classmethod
    def of(cls, experiment: Any, features: Features, device: torch.device, share: slice) -> "ContentSampler":
        """Of an experiment's speakers; their content is matched here."""
        objective, settings = experiment.objective, experiment.training
        banks, recordings = {name: Bank.of(features, name, device) for name in experiment.speakers}, []
        partners = {name: [each for each in banks.values() if each.shares(bank)] for name, bank in banks.items()}
        most = max(map(len, partners.values()))
        for name, bank in banks.items():
            others = [each for each in banks.values() if each is not bank]
            ways = [(objective.unmatched, bank.own), (objective.prematched, match(bank, [bank], objective.neighbours))]
            if others:
                ways.append((objective.matched, match(bank, others, objective.neighbours)))
            if objective.aligned > 0:
                require(bool(partners[name]), f"objective.aligned: {name} shares no sentence with another speaker")
                in_turn = islice(cycle(partners[name]), most)  # all speakers have as many ways
                ways += [(objective.aligned / most, aligned(bank, each, ways[-1][1])) for each in in_turn]
            chances, contents = zip(*ways)
            recordings.append(Recordings.of(features, name, contents, settings.segment, device))
        converts = len(banks) > 1 and any(getattr(objective, name) > 0 for name in CONVERSIONS)
        return cls(recordings, chances, settings.batch, settings.seed, share, converts)

    def draw(self) -> ContentBatch:
        """The next batch."""
        drawn = [own.draw(self.batch, self.bounds, self.generator) for own in self.recordings]
        batch = _joined([own.parts(*each) for own, each in zip(self.recordings, drawn)], self.share)
        batch = replace(batch, chance=self._chances)
        if self.conversions:
            count, device = len(self.recordings), self.generator.device
            turns = torch.rand(self.batch, generator=self.generator, device=device)[self.share] * (count - 1)
            targets = (batch.speakers + (1 + turns.long()).repeat(count)) % count
            own = [each.content(rows[self.share]) for each, (rows, _) in zip(self.recordings, drawn)]
            batch = replace(batch, own=torch.cat(own), targets=targets)
        if any(own.unseen is None for own in self.recordings):
            return batch
        count = max(1, self.batch // UNSEEN_SHARE)
        unseen = [own.parts(*own.draw_unseen(count, self.generator)) for own in self.recordings]
        return replace(batch, unseen=_joined(unseen, slice(None)))  # the same in all processes

    def _chances(self, count: int) -> Tensor:
        """As `Batch.chance`, for the segments of all speakers."""
        lots = torch.rand(
            len(self.recordings), self.batch, count, generator=self.generator, device=self.generator.device
        )
        return lots[:, self.share].flatten(0, 1)


def _joined(drawn: Sequence[tuple[Tensor, Tensor, Tensor]], share: slice) -> ContentBatch:
    """A batch of what was drawn of each speaker, as many segments of each."""
    content, prosodies, log_mels = (torch.cat([part[share] for part in parts]) for parts in zip(*drawn))
    numbers = torch.arange(len(drawn), device=content.device)
    return ContentBatch(content, prosodies, log_mels, numbers.repeat_interleave(len(content) // len(drawn)))


@dataclass(frozen=True)
class Bank:
    """A speaker's content, all recordings end to end."""

    own: Tensor  # (content frames, dims), without the speaker's mean and divided by the deviation
    recording: Tensor  # (content frames,) number of the recording
    sentences: tuple[str, ...] = ()  # of the recordings, by number

    @classmethod
    def of(cls, features: Features, name: str, device: torch.device) -> "Bank":
        said, statistics = features.content(name), features.speakers[name].content
        own = (np.concatenate(said) - np.asarray(statistics.mean)) / statistics.deviation
        numbers = np.repeat(np.arange(len(said)), [len(each) for each in said])
        ids = (id for id, owner in features.utterances.items() if owner == name)
        sentences = tuple(Utterance(id, name, Path()).sentence for id in ids)
        return cls(torch.from_numpy(own.astype(np.float32)).to(device), torch.from_numpy(numbers).to(device), sentences)

    def shares(self, other: "Bank") -> bool:
        """Whether another speaker says one of the sentences."""
        return other is not self and bool(set(self.sentences) & set(other.sentences))

    def rendering(self, sentence: str) -> Tensor:
        """`(content frames, dims)` of the first recording of a sentence."""
        return self.own[self.recording == self.sentences.index(sentence)]


def match(bank: Bank, others: Sequence[Bank], neighbours: int) -> Tensor:
    """`(content frames, dims)`: for each frame the mean of its nearest by the cosine, none of the same recording.

    Of long recordings, MOST frames spread over all are looked at.
    """
    theirs = torch.cat([other.own for other in others])
    numbers = torch.cat(
        [other.recording if other is bank else torch.full_like(other.recording, -1) for other in others]
    )
    kept = torch.linspace(0, len(theirs) - 1, min(len(theirs), MOST), device=theirs.device).round().long()
    theirs, numbers = theirs[kept], numbers[kept]
    alone = all(other is bank for other in others) and len(numbers.unique()) == 1
    require(not alone, "one recording alone cannot be matched: give two or more, or cut it into several")
    directions = normalize(theirs, dim=1).T.contiguous()
    matched = torch.empty_like(bank.own)
    for first in range(0, len(bank.own), CHUNK):
        chunk = slice(first, first + CHUNK)
        likeness = normalize(bank.own[chunk], dim=1) @ directions
        likeness.masked_fill_(bank.recording[chunk, None] == numbers, -torch.inf)
        likeness, nearest = likeness.topk(min(neighbours, len(theirs)), dim=1)
        usable = likeness.isfinite()[..., None]  # of two short recordings, one has fewer frames than are asked for
        matched[chunk] = (theirs[nearest] * usable).sum(1) / usable.sum(1)
    return matched


def aligned(bank: Bank, other: Bank, fallback: Tensor) -> Tensor:
    """`(content frames, dims)`: the other's rendering of each sentence in the time of the bank's, frame by frame.

    Of several frames of the other that fall on one, it is the last. `fallback` stands where the other does not say the
    sentence.
    """
    found = fallback.clone()
    for number, sentence in enumerate(bank.sentences):
        if sentence in other.sentences:
            here, theirs = bank.recording == number, other.rendering(sentence)
            own_path, their_path = align(bank.own[here].cpu().numpy(), theirs.cpu().numpy())
            last = np.searchsorted(own_path, np.arange(int(here.sum())), side="right") - 1
            found[here] = theirs[torch.from_numpy(their_path[last]).to(theirs.device)]
    return found


@dataclass(frozen=True)
class Recordings:
    """A speaker's recordings as segments: of log-mel, prosody, and places among content frames."""

    segments: Segments
    ways: Tensor  # (ways, content frames, dims): each content that a recording may be decoded from; float16
    bands: int
    unseen: Segments | None = None  # of recordings that no loss sees, if there are enough of them

    @classmethod
    def of(
        cls, features: Features, name: str, ways: Sequence[Tensor], length: int, device: torch.device
    ) -> "Recordings":
        """Of `length` frames each; `ways` are of all recordings end to end."""
        speaker, config = features.speakers[name], features.config
        log_mels, start, rows = features.frames(name), 0, []
        for log_mel, f0, said in zip(log_mels, features.f0(name), features.content(name), strict=True):
            places = start + config.content_positions(len(log_mel), len(said))
            start += len(said)
            rows.append(
                np.column_stack(
                    [
                        speaker.normaliser.transform(log_mel),
                        prosody(f0, standard_loudness(log_mel, speaker.content), speaker.log_f0, config),
                        places.astype(int),  # two rows: a float32 holds whole numbers up to 2**24
                        places % 1,
                    ]
                )
            )
        require(start < 2**24, f"{name}: more recordings than one run can hold; leave some out")
        heard = speech([config.to_mel_cepstrum(frames) for frames in log_mels])
        ways = torch.stack([way.half() for way in ways])
        held = np.arange(len(rows)) % UNSEEN_EVERY == UNSEEN_EVERY - 1
        if len(rows) < 2 * UNSEEN_EVERY or not any(
            len(rows[n]) >= length and heard[n].any() for n in np.flatnonzero(held)
        ):
            log.info("%s: too few recordings to keep some unseen: the variance is told by those that are learnt", name)
            segments = Segments(rows, length, device, name, speech=heard)
            return cls(segments, ways, config.bands, segments)
        parts = ([list(compress(each, mask)) for each in (rows, heard)] for mask in (~held, held))
        seen, unseen = (Segments(frames, length, device, name, speech=spoken) for frames, spoken in parts)
        return cls(seen, ways, config.bands, unseen)

    def draw(self, count: int, bounds: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Rows of segments `(count, ..., length)` and their ways `(count, 1)`, drawn by the upper `bounds` of each."""
        drawn = self.segments.draw(count, generator)
        lots = torch.rand(count, 1, generator=generator, device=drawn.device, dtype=torch.float64)
        return drawn, (lots >= bounds[:-1]).sum(1)[:, None]

    def draw_unseen(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The same of recordings that no loss sees, decoded from the last way: the least like their own content."""
        drawn = self.unseen.draw(count, generator)
        return drawn, torch.full((count, 1), len(self.ways) - 1, device=drawn.device)

    def parts(self, drawn: Tensor, way: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Content, prosody and log-mel, `(count, ..., length)`, of what was drawn."""
        return self.content(drawn, way), drawn[:, self.bands : -2], drawn[:, : self.bands]

    def content(self, drawn: Tensor, way: Tensor | int = 0) -> Tensor:
        """`(count, dims, length)` of what was drawn; its own unless another `way`, `(count, 1)`, is given."""
        before, share = drawn[:, -2].long(), drawn[:, -1:]
        after = (before + 1).clamp(max=self.ways.shape[1] - 1)
        content = (self.ways[way, before].float().transpose(1, 2), self.ways[way, after].float().transpose(1, 2))
        return torch.lerp(*content, share)


class RecognitionSynthesisTraining:
    """Decoder, discriminator and their players, and the step that moves them."""

    sampler, held_out = ContentSampler, HeldOutResynthesis

    def __init__(
        self,
        network: RecognitionSynthesis,
        config: RecognitionSynthesisConfig,
        objective: RecognitionSynthesisObjective,
        setting: Setting,
    ):
        self.network, self.objective, self.steps = network, objective, setting.steps
        self.precision = setting.precision
        self.modules, self.called = {"network": network}, [network]
        device = next(network.parameters()).device
        self.conversions = setting.conversions and setting.conversions.to(device)  # no module: it is saved elsewhere
        how = (setting.precision, setting.processes, objective.weight_decay)
        self.players = {"network": Player(network, self.decoder_losses, GENERATOR_BETAS, *how)}
        if any(getattr(objective, name) > 0 for name in JUDGED):
            self.judge = network.discriminator(config).to(device)
            self.modules["judges"] = self.judge
            self.called.append(self.judge)
            self.players["judges"] = Player(self.judge, self.discriminator_losses, JUDGE_BETAS, *how)

    def schedule(self, step: int, scale: float = 1.0) -> dict[str, float]:
        """Set the learning rates of `step` (from 0); return the decoder's losses that count, with their weights."""
        objective, late = self.objective, step >= self.adversarial_from
        judged = late and "judges" in self.players
        slower = objective.adversarial_rate if judged else 1.0
        self.players["network"].set_rate(scale * slower * objective.rate(step, self.steps) * objective.generator_rate)
        if judged:
            self.players["judges"].set_rate(scale * objective.discriminator_rate)
        names = ("spectrum", *(("adversarial", "feature_matching", *CONVERSIONS) if late else ()))
        return {name: getattr(objective, name) for name in names if getattr(objective, name) > 0}

    @property
    def adversarial_from(self) -> int:
        """Step (from 0) from which all losses count."""
        return round(self.objective.adversarial_from * self.steps)

    def step(self, batch: ContentBatch, weights: Mapping[str, float]) -> dict[str, Tensor]:
        """Move the decoder, then the discriminator; return each unweighted loss under its name, detached."""
        terms, fakes = self.players["network"].move(weights, batch, weights)
        self._take_note(batch.unseen or batch)
        if not weights.keys() & JUDGED:
            return terms
        judged, _ = self.players["judges"].move({"discriminator": 1.0}, batch, fakes)
        return {**terms, **judged}

    @torch.no_grad()
    def _take_note(self, batch: ContentBatch) -> None:
        """Of the moments of what the decoder makes of a batch."""
        with devices.autocast(self.precision, batch.content.device):
            decoded = self.network(batch.content, batch.prosody, batch.speakers)
        self.network.variance.update(decoded, batch.log_mel, batch.prosody[:, -1:], batch.speakers)

    def decoder_losses(self, batch: ContentBatch, weights: Mapping[str, float]) -> tuple[dict[str, Tensor], Tensor]:
        """The losses named in `weights`, and what the discriminator shall take for fake, detached."""
        decoded = self.network(batch.content, batch.prosody, batch.speakers, batch.chance).float()
        terms, fakes = {"spectrum": losses.mel_distance(decoded, batch.log_mel)}, decoded
        if "adversarial" in weights or "feature_matching" in weights:
            judgement, maps = self.judge(decoded)
            if "adversarial" in weights:
                terms["adversarial"] = losses.least_squares(judgement, real=True)
            if "feature_matching" in weights:
                with torch.no_grad():
                    _, real = self.judge(batch.log_mel)
                terms["feature_matching"] = losses.feature_matching(maps, real)
        if not weights.keys() & set(CONVERSIONS):
            return terms, fakes.detach()
        said, voices = batch.content, batch.speakers
        if batch.targets is not None:
            voices, both = batch.targets, (batch.speakers, batch.targets)
            said = self.conversions.rescaled(batch.own, *both)
            moved = self.conversions.moved(batch.prosody, *both)
            decoded = self.network(said, moved, voices, batch.chance).float()
        if "conversion_adversarial" in weights:
            terms["conversion_adversarial"] = losses.least_squares(self.judge(decoded)[0], real=True)
            fakes = torch.cat([fakes, decoded])
        if weights.keys() & {"content_consistency", "cycle"}:
            heard = self.conversions.heard(decoded, voices)
            length = heard.shape[-1]
            middle = slice(length // 4, length - length // 4)
        if "content_consistency" in weights:
            spoken = (batch.prosody[:, -1] > PAUSES[1])[:, middle]
            terms["content_consistency"] = losses.content(heard[..., middle], said[..., middle], spoken)
        if "cycle" in weights:
            again = self.conversions.rescaled(heard, voices, batch.speakers)
            back = self.network(again, batch.prosody, batch.speakers, batch.chance)
            terms["cycle"] = losses.cycle_consistency(back[..., middle], batch.log_mel[..., middle])
        return terms, fakes.detach()

    def discriminator_losses(self, batch: ContentBatch, fakes: Tensor) -> tuple[dict[str, Tensor], None]:
        """How far the discriminator is from telling real segments from `fakes`, of which there may be more."""
        judgement = self.judge(torch.cat([batch.log_mel, fakes]))[0]
        real, fake = judgement.split([len(batch.log_mel), len(fakes)])
        return {"discriminator": losses.least_squares(real, real=True) + losses.least_squares(fake, real=False)}, None
