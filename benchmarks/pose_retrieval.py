"""How often a person is found again by ten seconds of unseen speech, by each distance between pose styles.

    python -m benchmarks.pose_retrieval POSE_RUN [--half 1] [--bank-clips 7] [--draws 5] [--json FILE]

Of every second person of the run's corpus (--half 0: the others, on which the statistics were chosen; all: everybody), seven clips are in the bank
and 10 s of the others are asked for, drawn anew five times; people with no more clips than that are left out. Intervals are over people.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metrics.intervals import speaker_bootstrap
from networks.pose_statistics import pose_statistics, reference_statistics, telling_apart
from networks.pose_vqvae import PoseVQVAE
from networks.style_bank import StyleBank
from networks.style_matrix import StyleMatrix, pooled
from networks.style_retrieval import StyleClip, style_matrix_of
from runtime.assemble import load_module
from runtime.instantiate import build
from runtime.run_folder import existing_run
from speech.semantic_units import MfccContext
from speech.unit_clustering import fit_semantic_units

REFERENCE_FRAMES, SHORTEST = 250, 10
NUM_UNITS = 512
# Of the squared distance by S beside that by statistics, each in units of its median.
SHARES_OF_S = (0.1, 0.5)


class Person(NamedTuple):
    """Clips of one person with units, and of each clip the statistics [30] and the style matrix."""

    name: str
    clips: list[StyleClip]
    statistics: list[Tensor]
    matrices: list[StyleMatrix]


def found_again(vqvae: PoseVQVAE, people: list[Person], bank_clips: int, draw: int) -> dict[str, Tensor]:
    """The rank [people] (0: nearest) of each person among all when asked for by their own reference, for every distance."""
    generator = torch.Generator().manual_seed(draw)
    banks, references = [], []
    for person in people:
        order = torch.randperm(len(person.clips), generator=generator).tolist()
        banks.append(order[:bank_clips])
        references.append(_first_frames([person.clips[i] for i in order[bank_clips:]]))
    statistics = [torch.stack([p.statistics[i] for i in own]) for p, own in zip(people, banks, strict=True)]
    bank = StyleBank(
        [person.name for person in people],
        [pooled([p.matrices[i] for i in own]) for p, own in zip(people, banks, strict=True)],
        torch.stack([clips.mean(0) for clips in statistics]),
        telling_apart(statistics),
        "none",
        "none",
    )
    by_statistics, shrunk, shared, shuffled = [], [], [], []
    for reference in references:
        heads = [clip.head for clip in reference]
        by_statistics.append(bank.statistics_distances(reference_statistics(heads, vqvae.representation)))
        matrix = _matrix(reference, vqvae)
        shrunk.append(bank.distances(matrix, "shrunk"))
        shared.append(bank.distances(matrix, "shared"))
        shuffled.append(bank.distances(_matrix([_shuffled(clip, generator) for clip in reference], vqvae), "shrunk"))
    distances = {"statistics": by_statistics, "shrunk": shrunk, "shared": shared, "shrunk, units shuffled": shuffled}
    tables = {name: torch.stack(rows) for name, rows in distances.items()}
    for share in SHARES_OF_S:
        parts = [(tables[name] / tables[name].median()).square() for name in ("statistics", "shrunk")]
        tables[f"statistics + {share:g} shrunk"] = parts[0] + share * parts[1]
    return {name: (table < table.diagonal()[:, None]).sum(1) for name, table in tables.items()}


def _first_frames(clips: list[StyleClip]) -> list[StyleClip]:
    left, reference = REFERENCE_FRAMES, []
    for clip in clips:
        if left < SHORTEST:
            break
        assert clip.units is not None
        reference.append(clip._replace(head=clip.head[:left], units=clip.units[:left]))
        left -= len(reference[-1].head)
    return reference


def _shuffled(clip: StyleClip, generator: torch.Generator) -> StyleClip:
    assert clip.units is not None
    return clip._replace(units=clip.units[torch.randperm(len(clip.units), generator=generator)])


def _matrix(clips: list[StyleClip], vqvae: PoseVQVAE) -> StyleMatrix:
    return pooled([style_matrix_of(clip, vqvae, NUM_UNITS) for clip in clips])


def read_people(data: Any, vqvae: PoseVQVAE, half: str, bank_clips: int) -> list[Person]:
    """Every second person, or all, who has more clips than the bank takes, of all splits, with units fitted on just these clips."""
    clips: dict[str, list[int]] = {}
    for split in ("train", "val", "test"):
        clips |= data.clips_by_speaker(split) if data.chosen[split] else {}
    names = [name for name in sorted(clips) if len(clips[name]) > bank_clips]
    names = names if half == "all" else names[int(half) :: 2]
    if len(names) < 2:
        raise SystemExit(
            f"pose_retrieval: {len(names)} people have more than {bank_clips} clips; give --bank-clips a smaller number"
        )
    encoder, heads, features = MfccContext(), {}, {}
    for name in names:
        samples = [data.read_sample(i).clip for i in sorted(clips[name])]
        heads[name] = [torch.from_numpy(clip.motion.head.copy()) for clip in samples]
        sounds = [(torch.from_numpy(clip.audio)[None], torch.tensor([len(clip.motion)])) for clip in samples]
        features[name] = [encoder(*sound)[0].numpy() for sound in sounds]
    units = fit_semantic_units([f for own in features.values() for f in own], encoder.fingerprint, NUM_UNITS)
    people = []
    for name in names:
        own = [
            StyleClip(name, head, torch.from_numpy(units.assign(heard, encoder.fingerprint)))
            for head, heard in zip(heads[name], features[name], strict=True)
        ]
        statistics = [pose_statistics(clip.head, vqvae.representation) for clip in own]
        people.append(Person(name, own, statistics, [style_matrix_of(clip, vqvae, NUM_UNITS) for clip in own]))
    return people


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder of pose_vqvae or pose_gpt")
    parser.add_argument("--half", choices=("0", "1", "all"), default="1")
    parser.add_argument("--bank-clips", type=int, default=7)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    run = existing_run(options.run)
    net = load_module(run)[0].net
    vqvae = net if isinstance(net, PoseVQVAE) else net.vqvae
    with torch.no_grad():
        people = read_people(build(run.config.data), vqvae, options.half, options.bank_clips)
        draws = [found_again(vqvae, people, options.bank_clips, draw) for draw in range(options.draws)]
    print(f"{len(people)} people, {options.bank_clips} clips of each in the bank")
    speakers = [person.name for _ in draws for person in people]
    result: dict[str, Any] = {"people": len(people), "draws": options.draws, "half": options.half}
    for name in draws[0]:
        ranks = torch.cat([draw[name] for draw in draws])
        for top in (1, 5):
            found = speaker_bootstrap((ranks < top).double().tolist(), speakers)
            result[f"{name}: top-{top}"] = {"mean": found.mean, "low": found.low, "high": found.high}
            print(f"{name:28s} top-{top}  {found.mean:6.1%}  ({found.low:.1%} to {found.high:.1%})")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
