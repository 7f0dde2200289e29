"""Speech in, a talking head out: `.mp4` with sound, `.npz` motion, `.csv` ARKit curves or `.glb`; the suffix decides.

    python animate.py SPEECH --expression RUN [--style CLIP] --out FILE [FILE ...]

SPEECH is any audio or video file, or a prepared clip written FOLDER#KEY. CLIP, whose style of expression is taken over, is a video of one
face, a motion `.npz`, or a prepared clip FOLDER#KEY; without it the face speaks in the network's neutral style.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from faces.motion import FaceMotion

SUFFIXES = (".mp4", ".npz", ".csv", ".glb")


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        animate(options)
    except (ValueError, OSError) as error:
        print(f"animate.py: {error}", file=sys.stderr)
        return 2
    return 0


def animate(options: argparse.Namespace) -> FaceMotion:
    """Generate one motion and write it to every file of `options.out`."""
    unknown = [str(path) for path in options.out if path.suffix not in SUFFIXES]
    if unknown:
        raise ValueError(f"cannot write {', '.join(unknown)}; the suffix must be one of {', '.join(SUFFIXES)}")
    from faces.export import export_motion
    from runtime.assemble import load_module
    from runtime.instantiate import build
    from runtime.run_folder import existing_run
    from speech.audio import check_speech

    audio = _read_speech(options.speech)
    check_speech(audio)
    run = existing_run(options.expression)
    module, _ = load_module(run, options.checkpoint)
    style = _read_style(options.style, options.tracker_model) if options.style else None
    motion = _generate(module.net, audio, style, run.data["identity_space"], options.guidance)
    motion = motion.replace(head=_head(options.head, style, len(motion)))
    face = build(run.config.face)
    for path in options.out:
        export_motion(motion, path, face_model=face, audio=audio, size=options.size, progress=_progress(path))
        print(f"wrote {path}")
    return motion


def _generate(
    net: Any, audio: np.ndarray, style: FaceMotion | None, identity_space: str, guidance: float
) -> FaceMotion:
    import numpy as np
    import torch

    from faces.motion import FaceMotion
    from speech.audio import SAMPLES_PER_FRAME, num_motion_frames

    frames = num_motion_frames(len(audio))
    identity_size = net.identity_encoder.num_identity
    known = style is not None and style.identity_space == identity_space != "" and len(style.identity) == identity_size
    identity = style.identity if known and style is not None else np.zeros(identity_size, np.float32)
    reference = None
    if style is not None:
        if style.space != net.space:
            raise ValueError(
                f"the style clip is in the {style.space} space, the network speaks {net.space}; give a clip of that space"
            )
        reference = torch.from_numpy(np.concatenate([style.expression, style.jaw], axis=1))[None]
    expression, jaw = net.generate(
        torch.from_numpy(audio[: frames * SAMPLES_PER_FRAME])[None],
        torch.tensor([frames]),
        reference,
        None,
        torch.from_numpy(identity)[None],
        torch.tensor([known]),
        guidance=guidance,
    )
    return FaceMotion(
        expression=expression[0].numpy(),
        jaw=jaw[0].numpy(),
        head=np.zeros((frames, 3), np.float32),
        identity=identity,
        identity_space=identity_space if known else "",
        space=net.space,
    )


def _head(source: str, style: FaceMotion | None, frames: int) -> np.ndarray:
    """Head rotation: the style clip's own, played forth and back to the length of the speech, or none."""
    import numpy as np

    if source == "still" or style is None:
        return np.zeros((frames, 3), np.float32)
    there_and_back = np.concatenate([style.head, style.head[-2:0:-1]]) if len(style) > 2 else style.head
    return np.resize(there_and_back, (frames, 3)) if len(there_and_back) else np.zeros((frames, 3), np.float32)


def _read_speech(source: str) -> np.ndarray:
    from speech.audio import read_audio

    return _prepared_clip(source).audio if "#" in source else read_audio(source)


def _read_style(source: str, tracker_model: str | None) -> FaceMotion:
    if "#" in source:
        return _prepared_clip(source).motion
    from faces.motion import FaceMotion

    if Path(source).suffix == ".npz":
        return FaceMotion.load(source)
    from corpora.own_videos import track_one_face

    return track_one_face(Path(source), tracker_model)


def _prepared_clip(source: str) -> Any:
    from datamodules.shard_index import ShardIndex

    folder, _, key = source.rpartition("#")
    index = ShardIndex(folder)
    keys = [entry.key for entry in index.entries]
    if key not in keys:
        raise ValueError(f"no clip {key!r} in {folder}; it holds {len(keys)} clips, for example {', '.join(keys[:5])}")
    return index.read(keys.index(key)).clip


def _progress(path: Path) -> Any:
    if path.suffix != ".mp4" or not sys.stderr.isatty():
        return None

    def show(done: int, total: int) -> None:
        print(
            f"\rrendering {path.name}: {done}/{total} frames",
            end="\n" if done == total else "",
            file=sys.stderr,
            flush=True,
        )

    return show


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="animate.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("speech", help="audio or video file, or FOLDER#KEY of a prepared corpus")
    parser.add_argument(
        "--expression", type=Path, required=True, metavar="RUN", help="run folder of an expression experiment"
    )
    parser.add_argument(
        "--style", default="", metavar="CLIP", help="video, motion .npz or FOLDER#KEY to take the style from"
    )
    parser.add_argument(
        "--out", type=Path, nargs="+", required=True, metavar="FILE", help="one or more of .mp4 .npz .csv .glb"
    )
    parser.add_argument(
        "--head", choices=("style", "still"), default="style", help="head motion: the style clip's own, or none"
    )
    parser.add_argument(
        "--guidance",
        type=float,
        default=1.0,
        help="intensity of the style: 0 neutral, 1 as referenced, above 1 exaggerated",
    )
    parser.add_argument("--checkpoint", default="best", help="best (by validation), last, or a step number")
    parser.add_argument("--size", type=int, default=512, help="height and width of the video in pixels")
    parser.add_argument("--tracker-model", default=None, help="MediaPipe face_landmarker.task, for a video as style")
    return parser


if __name__ == "__main__":
    sys.exit(main())
