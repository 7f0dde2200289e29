"""Make a corpus folder (shards and manifest.json) of recordings or of synthetic speech, or check one.

The same command again continues where it stopped. Real recordings are tracked by MediaPipe (pip install 'persona-faces[track]').
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.threads import spin_briefly

if TYPE_CHECKING:
    import numpy as np

    from corpora.clip import PrepareJob

EXAMPLES = """examples:
  python prepare.py synthetic --out data/synthetic
  python prepare.py videos recordings/ --out data/mine --correct-lag
  python prepare.py mead /data/MEAD --out data/mead --workers 8
  python prepare.py units data/mine --units RUN/pose_styles/semantic_units.safetensors --out data/mine-units
  python prepare.py check data/mine
  python prepare.py check https://host/corpora/mine
"""
CORPUS = "a folder that prepare.py made, or the address of one (https://, s3://, gs://, 'pipe:COMMAND {}'), whose shards are then fetched into the cache"
# The published corpora and their official layouts; `corpora/<name>.py` has a function `list_<name>(root)`.
PUBLISHED = {
    "voxceleb2": "ROOT/{dev,test}/mp4/id00012/<video>/00001.mp4, official splits",
    "mead": "ROOT/M003/video/front/angry/level_1/001.mp4, front views",
    "crema_d": "ROOT/VideoFlash/1001_DFA_ANG_XX.flv",
    "ravdess": "ROOT/Actor_01/01-01-05-01-02-01-12.mp4",
}
RULE = """auto (default): the subfolder's name, else the file's name without _NUMBER; or parent; or stem-prefix; or a regular
expression whose group is the speaker, searched in the path below the given folder"""
# Options as (name, type, default, what is shown for its value, help); bool makes a switch, ... a required option.
OUTPUT = (
    ("--out", Path, ..., "DIR", "a new folder, or one that this command began"),
    ("--workers", int, None, "N", "processes (default: all cores; 0: this one); changes no byte"),
)
TRACKING = (
    (
        "--tracker-model",
        Path,
        None,
        "FILE",
        "face_landmarker.task (default: $FACE_LANDMARKER_TASK, else fetched once into the user's cache)",
    ),
    ("--correct-lag", bool, False, "", "undo the estimated lip-audio offset where the estimate is reliable"),
    (
        "--no-smoothing",
        bool,
        False,
        "",
        "keep head rotation as tracked, without Savitzky-Golay over 7 frames",
    ),
    ("--min-clip-seconds", float, 1.0, "S", "shorter pieces are dropped (default 1)"),
    ("--max-clip-seconds", float, 10.0, "S", "longer ones are cut at quiet moments (default 10)"),
    ("--language", str, None, "CODE", "language of all recordings, such as en"),
    ("--licence", str, None, "TEXT", "terms of all recordings, kept with every clip"),
)
SYNTHETIC = (
    ("--speakers", int, 24, "N", "speakers in all (default 24)"),
    ("--clips-per-speaker", int, 20, "N", "clips of each (default 20)"),
    ("--seed", int, 0, "N", "another seed makes another corpus (default 0)"),
    ("--val-speakers", int, 3, "N", "of them held out for validation (default 3)"),
    ("--test-speakers", int, 3, "N", "of them held out for test (default 3)"),
)


FEATURES = (
    ("--speech", str, ..., "NAME", "hubert, wav2vec2 or wavlm"),
    (
        "--model-path",
        str,
        None,
        "MODEL",
        "folder or Hugging Face id of the weights (default: the usual model of that name)",
    ),
    ("--layer", int, None, "N", "hidden layer (default: the last)"),
    ("--out", Path, ..., "DIR", "new folder"),
)
UNIT_OPTIONS = (
    ("--units", Path, ..., "FILE", "semantic_units.safetensors of a PoseGPT run's folder pose_styles"),
    *FEATURES[1:],
)


def main(arguments: Sequence[str] | None = None) -> int:
    spin_briefly()
    options = _parser().parse_args(arguments)
    try:
        return options.act(options)
    except (ValueError, OSError) as error:
        print(f"prepare.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("prepare.py: interrupted; the same command continues", file=sys.stderr)
        return 130


def _recordings(options: argparse.Namespace) -> int:
    from corpora.clip_cutting import PieceLimits
    from corpora.own_videos import list_own_videos
    from corpora.tracker import require_mediapipe
    from corpora.tracker_model import find_tracker_model
    from corpora.video_corpus import TrackingOptions, video_jobs, with_terms

    choices = {"language": options.language, "licence": options.licence}
    if options.verb == "videos":
        items = list_own_videos(options.paths, options.speaker_from)
        choices["speaker_from"] = options.speaker_from
    else:
        reader = importlib.import_module(f"corpora.{options.verb}")
        items = getattr(reader, f"list_{options.verb}")(options.root)
    limits = PieceLimits(options.min_clip_seconds, options.max_clip_seconds)
    require_mediapipe()
    model = find_tracker_model(options.tracker_model)
    tracking = TrackingOptions(model, limits, smoothing=not options.no_smoothing, correct_lag=options.correct_lag)
    jobs = video_jobs(with_terms(items, options.language, options.licence), options.verb, tracking)
    return _prepare(jobs, options, {**choices, **tracking.fingerprint()})


def _synthetic(options: argparse.Namespace) -> int:
    from corpora.synthetic import CORPUS_VERSION, SyntheticCorpusConfig, synthetic_jobs

    config = SyntheticCorpusConfig(
        num_speakers=options.speakers,
        clips_per_speaker=options.clips_per_speaker,
        seed=options.seed,
        val_speakers=options.val_speakers,
        test_speakers=options.test_speakers,
    )
    return _prepare(synthetic_jobs(config), options, {"version": CORPUS_VERSION, **config.to_dict()})


def _prepare(jobs: list[PrepareJob], options: argparse.Namespace, fingerprint: dict) -> int:
    from datamodules.preparation import prepare_corpus
    from datamodules.preparation_table import print_preparation

    report = prepare_corpus(jobs, options.out, corpus=options.verb, fingerprint=fingerprint, workers=options.workers)
    print_preparation(report)
    return 0


def _check(options: argparse.Namespace) -> int:
    from datamodules.shard_check import check_shards, print_report

    report = check_shards(options.root, progress=True)
    print_report(report)
    if report.ok:
        return 0
    print(
        f"prepare.py: {report.root}: {len(report.problems)} problems, first: {report.problems[0]}",
        file=sys.stderr,
    )
    return 1


def _features(options: argparse.Namespace) -> int:
    import torch

    from datamodules.feature_cache import cache_features
    from speech.audio import num_motion_frames
    from speech.encoders import load_pretrained_encoder
    from speech.semantic_units import encoder_identity

    encoder = load_pretrained_encoder(options.speech, options.model_path, options.layer)

    def encode(audio: np.ndarray) -> np.ndarray:
        return encoder(torch.from_numpy(audio)[None], torch.tensor([num_motion_frames(len(audio))]))[0].numpy()

    cache_features(options.root, options.out, encode, encoder=encoder_identity(encoder))
    print(
        f"{options.out}: train with data.root={options.out} speech={options.speech} speech.cached_feature_width={encoder.width}"
    )
    return 0


def _units(options: argparse.Namespace) -> int:
    from datamodules.shard_index import ShardIndex
    from datamodules.unit_cache import cache_units, holds_features_of
    from speech.semantic_units import SemanticUnits
    from speech.unit_encoders import load_unit_encoder

    units = SemanticUnits.load(options.units)
    cached = holds_features_of(ShardIndex(options.root), units.encoder)
    encode = None if cached else load_unit_encoder(units.encoder, options.model_path, options.layer)
    cache_units(options.root, options.out, units, encode)
    print(
        f"{options.out}: {len(units)} units of {units.encoder}, {units.fingerprint}; train with data.root={options.out}"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prepare.py",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    rule = ("--speaker-from", str, "auto", "RULE", RULE)
    videos = _verb(
        verbs,
        "videos",
        _recordings,
        "your own recordings: one person speaking in each",
        rule,
        *OUTPUT,
        *TRACKING,
    )
    videos.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="videos, or folders searched to any depth")
    for name, layout in PUBLISHED.items():
        verb = _verb(verbs, name, _recordings, f"the published corpus: {layout}", *OUTPUT, *TRACKING)
        verb.add_argument("root", type=Path, metavar="ROOT", help="its folder")
    drawn = "sentences spoken by espeak-ng, performed by drawn speakers"
    _verb(verbs, "synthetic", _synthetic, drawn, *SYNTHETIC, *OUTPUT)
    copied = "a copy of a corpus folder with a frozen speech encoder's features beside each clip"
    features = _verb(verbs, "features", _features, copied, *FEATURES)
    features.add_argument("root", metavar="DIR", help=CORPUS)
    assigned = "a copy of a corpus folder with the semantic unit of every frame of speech beside each clip"
    units = _verb(verbs, "units", _units, assigned, *UNIT_OPTIONS)
    units.add_argument("root", metavar="DIR", help=CORPUS)
    check = _verb(verbs, "check", _check, "verify every byte and sample of a corpus folder and summarise it")
    check.add_argument("root", metavar="DIR", help=CORPUS)
    return parser


def _verb(
    verbs: argparse._SubParsersAction, name: str, act: Callable, text: str, *options: tuple
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    verb.set_defaults(act=act)
    for flag, kind, default, metavar, explanation in options:
        if kind is bool:
            verb.add_argument(flag, action="store_true", help=explanation)
        elif default is ...:
            verb.add_argument(flag, type=kind, required=True, metavar=metavar, help=explanation)
        else:
            verb.add_argument(flag, type=kind, default=default, metavar=metavar, help=explanation)
    return verb


if __name__ == "__main__":
    sys.exit(main())
