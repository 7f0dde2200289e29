"""Make a corpus folder (shards and manifest.json) of recordings or of synthetic speech, or check one.

The same command again continues where it stopped. Real recordings are tracked by MediaPipe (pip install 'persona-faces[track]').
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from corpora.clip import PrepareJob
    from corpora.video_corpus import TrackingOptions, VideoItem

EXAMPLES = """examples:
  python prepare.py synthetic --out data/synthetic
  python prepare.py videos recordings/ --out data/mine --correct-lag
  python prepare.py mead /data/MEAD --out data/mead --workers 8
  python prepare.py check data/mine
"""
# The published corpora and their official layouts.
CORPORA = {
    "voxceleb2": "ROOT/{dev,test}/mp4/id00012/<video>/00001.mp4, official splits",
    "mead": "ROOT/M003/video/front/angry/level_1/001.mp4, front views",
    "crema_d": "ROOT/VideoFlash/1001_DFA_ANG_XX.flv",
    "ravdess": "ROOT/Actor_01/01-01-05-01-02-01-12.mp4",
}
SYNTHETIC_OPTIONS = (
    ("--speakers", 24, "speakers in all"),
    ("--clips-per-speaker", 20, "clips of each"),
    ("--seed", 0, "another seed makes another corpus"),
    ("--val-speakers", 3, "speakers held out for validation"),
    ("--test-speakers", 3, "speakers held out for test"),
)
TRACKING_FLAGS = (
    ("--correct-lag", "undo the estimated lip-audio offset where the estimate is reliable"),
    ("--no-smoothing", "keep head rotation as tracked (default: Savitzky-Golay, 7 frames, order 2)"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return options.act(options)
    except (ValueError, OSError) as error:
        print(f"prepare.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("prepare.py: interrupted; the same command continues", file=sys.stderr)
        return 130


def _videos(options: argparse.Namespace) -> int:
    from corpora.own_videos import list_own_videos

    items = list_own_videos(options.paths, options.speaker_from)
    return _track(items, options, {"speaker_from": options.speaker_from})


def _published(options: argparse.Namespace) -> int:
    from corpora.crema_d import list_crema_d
    from corpora.mead import list_mead
    from corpora.ravdess import list_ravdess
    from corpora.voxceleb2 import list_voxceleb2

    readers = {
        "voxceleb2": list_voxceleb2,
        "mead": list_mead,
        "crema_d": list_crema_d,
        "ravdess": list_ravdess,
    }
    return _track(readers[options.verb](options.root), options, {})


def _track(items: list[VideoItem], options: argparse.Namespace, choices: dict) -> int:
    from corpora.video_corpus import video_jobs, with_terms

    tracking = _tracking_options(options)
    items = with_terms(items, options.language, options.licence)
    terms = {"language": options.language, "licence": options.licence}
    return _prepare(
        video_jobs(items, options.verb, tracking), options, {**choices, **terms, **tracking.fingerprint()}
    )


def _tracking_options(options: argparse.Namespace) -> TrackingOptions:
    from corpora.clip_cutting import PieceLimits
    from corpora.tracker import require_mediapipe
    from corpora.tracker_model import find_tracker_model
    from corpora.video_corpus import TrackingOptions

    limits = PieceLimits(options.min_clip_seconds, options.max_clip_seconds)
    require_mediapipe()
    model = find_tracker_model(options.tracker_model)
    return TrackingOptions(model, limits, smoothing=not options.no_smoothing, correct_lag=options.correct_lag)


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

    report = prepare_corpus(
        jobs, options.out, corpus=options.verb, fingerprint=fingerprint, workers=options.workers
    )
    print_preparation(report)
    return 0


def _check(options: argparse.Namespace) -> int:
    from datamodules.shard_check import check_shards, print_report

    report = check_shards(options.root, progress=True)
    print_report(report)
    if not report.ok:
        print(
            f"prepare.py: {report.root} has {len(report.problems)} problems; the first: {report.problems[0]}",
            file=sys.stderr,
        )
    return 0 if report.ok else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prepare.py",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    videos = _verb(verbs, "videos", _videos, "your own recordings: one person speaking in each")
    videos.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="video files, or folders searched to any depth"
    )
    rule = "auto (default): the subfolder's name, else the file's name without _NUMBER; or parent; or stem-prefix; "
    rule += "or a regular expression whose group is the speaker, searched in the path below the given folder"
    videos.add_argument("--speaker-from", default="auto", metavar="RULE", help=rule)
    _add_output(videos)
    _add_tracking(videos)
    for name, layout in CORPORA.items():
        verb = _verb(verbs, name, _published, f"{name} as published: {layout}".replace("%", "%%"))
        verb.add_argument("root", type=Path, metavar="ROOT", help=f"its folder: {layout}")
        _add_output(verb)
        _add_tracking(verb)
    synthetic = _verb(
        verbs, "synthetic", _synthetic, "sentences spoken by espeak-ng, performed by drawn speakers"
    )
    for flag, default, text in SYNTHETIC_OPTIONS:
        synthetic.add_argument(
            flag, type=int, default=default, metavar="N", help=f"{text} (default {default})"
        )
    _add_output(synthetic)
    check = _verb(verbs, "check", _check, "verify every byte and sample of a corpus folder and summarise it")
    check.add_argument("root", type=Path, metavar="DIR", help="a folder that prepare.py made")
    return parser


def _verb(verbs: argparse._SubParsersAction, name: str, act: Callable, text: str) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    verb.set_defaults(act=act)
    return verb


def _add_output(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="a new folder, or one that this command began"
    )
    verb.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes (default: all cores; 0: this one); changes no byte",
    )


def _add_tracking(verb: argparse.ArgumentParser) -> None:
    model = "MediaPipe's face_landmarker.task (default: $FACE_LANDMARKER_TASK, else fetched once into the user's cache)"
    verb.add_argument("--tracker-model", type=Path, metavar="FILE", help=model)
    for flag, text in TRACKING_FLAGS:
        verb.add_argument(flag, action="store_true", help=text)
    for flag, default, text in (
        ("--min", 1.0, "shorter pieces are dropped"),
        ("--max", 10.0, "longer ones are cut at quiet moments"),
    ):
        verb.add_argument(
            f"{flag}-clip-seconds",
            type=float,
            default=default,
            metavar="S",
            help=f"{text} (default {default:g})",
        )
    verb.add_argument("--language", metavar="CODE", help="language of all recordings, such as en")
    verb.add_argument("--licence", metavar="TEXT", help="terms of all recordings, kept with every clip")


if __name__ == "__main__":
    sys.exit(main())
