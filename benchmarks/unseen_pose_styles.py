"""People that PoseGPT was not trained on, in a style chosen from 10 s of them by each way there is, beside each other.

    python -m benchmarks.unseen_pose_styles POSE_GPT_RUN [--split test] [--people NAME ...] [--clips 6] [--json FILE]

A person's reference is the first 10 s of their clips in the order of the keys, as for adapt.py; the figures are of further clips:
nats a code of their true poses; how far the statistics of heads generated for their speech (nucleus) lie from those of their true heads,
in units of how far people lie apart; and the distance of the reference from the nearest known person. Intervals are over people. People who are in FILE
already, with all of today's methods, are not measured again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from datamodules.adaptation import WholePieces
from datamodules.collate import collate
from datamodules.person_reference import read_person
from metrics.intervals import speaker_bootstrap
from networks.code_sampling import SAMPLINGS
from networks.pose_adapter import PoseAdapter
from networks.pose_generation import generate_head
from networks.pose_statistics import reference_statistics
from networks.pose_style_choice import METHODS, choose_style
from networks.pose_style_files import PoseStyles, open_pose_styles, require_pose_adapter, style_clips
from networks.style_retrieval import StyleClip
from runtime.assemble import load_module
from runtime.instantiate import build
from runtime.run_folder import existing_run

MEASURES = ("code_nll", "distance_of_generated")


class _Speech(NamedTuple):
    """Clips of one person as a batch: sound `[B, N]`, frames [B], true heads `[B, T, 3]`, cached features `[B, T, F]` or None."""

    audio: Tensor
    num_frames: Tensor
    head: Tensor
    features: Tensor | None

    def heads(self, padded: Tensor) -> list[Tensor]:
        return [head[:frames] for head, frames in zip(padded, self.num_frames.tolist(), strict=True)]


def measure_person(
    net: PoseAdapter, styles: PoseStyles, reference: list[StyleClip], others: list[StyleClip], seed: int
) -> dict[str, Any]:
    """The measures of every method on the other clips, and what the true heads themselves reach."""
    speech = _speech(others)
    true = net.tokenize(speech.head, speech.num_frames)
    heard = net.gpt.hear(speech.audio, speech.num_frames, speech.features)

    def distance(heads: list[Tensor], other: Tensor) -> float:
        own = reference_statistics(heads, net.vqvae.representation)
        return float(((own - other) @ styles.bank.projection).double().norm())

    truth = reference_statistics(speech.heads(speech.head), net.vqvae.representation)
    asked = [clip.head for clip in reference]
    row: dict[str, Any] = {"reference_to_truth": distance(asked, truth)}
    for method in METHODS:
        chosen = choose_style(method, net, styles.bank, reference, styles.units.fingerprint, seed)
        row["nearest_known"] = chosen.nearest.distance
        style = chosen.embedding.expand(len(others), -1)
        with torch.no_grad():
            logits = net.gpt(true.codes, heard, style)
            nll = functional.cross_entropy(logits.transpose(1, 2), true.codes, reduction="none")[true.mask].mean()
        seeds = list(range(len(others)))
        sound = (speech.audio, speech.num_frames)
        head = generate_head(net.gpt, net.vqvae, *sound, style, SAMPLINGS["nucleus"], seeds, speech.features)
        row[method] = {"code_nll": float(nll), "distance_of_generated": distance(speech.heads(head), truth)}
    return row


def _speech(clips: list[StyleClip]) -> _Speech:
    features = [clip.features for clip in clips if clip.features is not None]
    return _Speech(
        pad_sequence([clip.audio for clip in clips if clip.audio is not None], batch_first=True),
        torch.tensor([len(clip.head) for clip in clips]),
        pad_sequence([clip.head for clip in clips], batch_first=True),
        pad_sequence(features, batch_first=True) if len(features) == len(clips) else None,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder of pose_gpt")
    parser.add_argument("--split", default="test")
    parser.add_argument("--people", nargs="+", default=None, metavar="NAME", help="of the split (default: all)")
    parser.add_argument("--clips", type=int, default=6, help="further clips of each person, at most")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    run = existing_run(options.run)
    net = require_pose_adapter(load_module(run)[0].net, str(run.path))
    data = build(run.config.data)
    styles = open_pose_styles(run.path / "pose_styles", net, lambda: data)
    rows = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    for number, person in enumerate(data.speakers(options.split)):
        if set(METHODS) <= rows.get(person, {}).keys() or (options.people is not None and person not in options.people):
            continue
        found = read_person(str(data.config.root), person, options.seconds)
        assert found.index is not None
        further = [found.index.read(i) for i in found.others[: options.clips]]
        if not further:
            print(f"{person} is left out: no clip beside the reference")
            continue
        reference, others = (_style_clips(pieces, net, styles) for pieces in (found.pieces, further))
        rows[person] = measure_person(net, styles, reference, others, seed=number)
        print(person, json.dumps(rows[person]), flush=True)
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1))
    _print_table(rows)


def _style_clips(pieces: list[Any], net: PoseAdapter, styles: PoseStyles) -> list[StyleClip]:
    whole = WholePieces(pieces, pieces[0].clip.motion)
    return style_clips(collate([whole[i] for i in range(len(whole))]), units=styles.units, front_end=net.front_end)


def _print_table(rows: dict[str, dict[str, Any]]) -> None:
    people = [person for person, row in rows.items() if set(METHODS) <= row.keys()]
    for measure in MEASURES:
        unknown = [rows[p]["unknown"][measure] for p in people]
        for method in METHODS:
            values = [rows[p][method][measure] for p in people]
            mean = speaker_bootstrap(values, people)
            less = speaker_bootstrap([v - u for v, u in zip(values, unknown, strict=True)], people)
            print(
                f"{measure:22s} {method:16s} {mean.mean:.3f} ({mean.low:.3f} to {mean.high:.3f})"
                f"   against unknown {less.mean:+.3f} ({less.low:+.3f} to {less.high:+.3f})"
            )
    for name in ("reference_to_truth", "nearest_known"):
        found = speaker_bootstrap([rows[p][name] for p in people], people)
        print(f"{name:39s} {found.mean:.3f} ({found.low:.3f} to {found.high:.3f})")


if __name__ == "__main__":
    main()
