"""Speech in, a talking head out: `.mp4` with sound, `.npz` motion, `.csv` ARKit curves or `.glb`; the suffix decides.

    python animate.py SPEECH --expression RUN [--style CLIP ...] --out FILE [FILE ...]
    python animate.py SPEECH --persona FOLDER [--style CLIP] [--sampling nucleus --seed 1] --out FILE [FILE ...]

SPEECH is any audio or video file, or a prepared clip written FOLDER#KEY. CLIP, whose style of expression is taken over, is a video of
one face, a motion `.npz`, or a prepared clip FOLDER#KEY; without one the face speaks in the network's neutral style. Several
styles are rendered side by side into one `.mp4`, or, with --mix SHARE, two become one style between them. A persona, made by adapt.py, speaks
with its own weights and style; --style with it takes the style of a clip instead, with --mix a style between the persona's and the clip's.

The head turns as the persona's pose style has PoseGPT turn it (--head persona, the default where the persona has one), as the style clip's own head,
played forward and back (--head style), or not at all (--head still). Only its rotation is made: the head does not move from its place.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.threads import spin_briefly

if TYPE_CHECKING:
    import numpy as np

    from faces.motion import FaceMotion
    from networks.animation import Manner
    from networks.persona import Persona
    from runtime.run_folder import RunFolder

SUFFIXES = (".mp4", ".npz", ".csv", ".glb")


def main(arguments: list[str] | None = None) -> int:
    spin_briefly()
    options = _parser().parse_args(arguments)
    try:
        _check_outputs(options)
        animate(options)
    except (ValueError, OSError) as error:
        print(f"animate.py: {error}", file=sys.stderr)
        return 2
    return 0


def animate(options: argparse.Namespace) -> list[tuple[str, FaceMotion]]:
    """Generate a motion for each style and write every file of `options.out`; returns (caption, motion) pairs."""
    from networks.animation import head_there_and_back, speak
    from runtime.assemble import face_of
    from speech.audio import check_speech

    audio = _read_speech(options.speech)
    check_speech(audio)
    run, net, persona = _load_network(options)
    face = face_of(run)
    motions = []
    head = _persona_head(options, audio) if _head_of(options) == "persona" else None
    for caption, manner in _manners(options, net, persona, run.data["identity_space"]):
        motion = speak(net, audio, manner, options.guidance)
        if head is not None:
            motion = motion.replace(head=head)
        elif manner.clip is not None and _head_of(options) == "style":
            motion = motion.replace(head=head_there_and_back(manner.clip, len(motion)))
        motions.append((caption, motion))
    for path in options.out:
        _write(motions, path, face, audio, options.size)
        print(f"wrote {path}")
    return motions


def _load_network(options: argparse.Namespace) -> tuple[RunFolder, Any, Persona | None]:
    """The run, its network, and the persona that is selected in it; a persona knows its run and checkpoint."""
    from networks.persona import load_persona, read_record
    from runtime.assemble import load_module
    from runtime.run_folder import existing_run

    if options.persona is None:
        run = existing_run(options.expression)
        return run, load_module(run, options.checkpoint or "best")[0].net, None
    record = read_record(options.persona)
    if "base" not in record:
        if options.expression is None:
            raise ValueError(f"{options.persona} holds a pose style alone; give --expression RUN for the face, too")
        run = existing_run(options.expression)
        return run, load_module(run, options.checkpoint or "best")[0].net, None
    base = record["base"]
    run = existing_run(options.expression or base["run"])
    net = load_module(run, options.checkpoint or base["checkpoint"])[0].net
    return run, net, load_persona(options.persona, net)


def _head_of(options: argparse.Namespace) -> str:
    """What moves the head: as asked, else the persona's pose style where it has one, else the style clip."""
    if options.head is not None:
        return options.head
    if options.persona is None:
        return "style"
    from networks.persona import read_record

    return "persona" if "pose" in read_record(options.persona) else "style"


def _persona_head(options: argparse.Namespace, audio: np.ndarray) -> np.ndarray:
    if options.persona is None:
        raise ValueError("--head persona needs --persona FOLDER, one that adapt.py --pose RUN made")
    from personas.pose_half import head_of_persona

    return head_of_persona(options.persona, audio, options.sampling, options.seed, options.pose)


def _manners(
    options: argparse.Namespace, net: Any, persona: Persona | None, identity_space: str
) -> list[tuple[str, Manner]]:
    """(caption, manner) of every column: the styles that were named, the mixture of two, the persona's own or the neutral one."""
    from networks.animation import Manner, manner_of, mix_manners

    manners = []
    if persona is not None and (not options.style or options.mix is not None):
        manners.append((persona.name, Manner(persona.style, persona.identity, persona.identity_space)))
    for name in options.style:
        manners.append((_caption(name), manner_of(net, _read_style(name, options.tracker_model), identity_space)))
    if options.mix is not None:
        if len(manners) != 2:
            raise ValueError(f"{options.persona} holds a pose style alone, so there is no expression of it to mix")
        (first, one), (second, other) = manners
        return [(f"{first} to {second}, {options.mix:g}", mix_manners(one, other, options.mix))]
    return manners or [("style: neutral", manner_of(net, None))]


def _caption(style: str) -> str:
    return f"style: {Path(style).name.rpartition('#')[2]}"


def _write(motions: list[tuple[str, FaceMotion]], path: Path, face: Any, audio: np.ndarray, size: int) -> None:
    from faces.export import export_motion
    from faces.video import render_motion

    if path.suffix == ".mp4":
        columns = motions if len(motions) > 1 else motions[0][1]
        render_motion(columns, face, path, audio=audio, size=size, progress=_progress(path))
    else:
        export_motion(motions[0][1], path, face_model=face)


def _check_outputs(options: argparse.Namespace) -> None:
    """Before any work: suffixes, folders, and one style for the files that hold one motion."""
    if options.expression is None and options.persona is None:
        raise ValueError("whose network? give --expression RUN, or --persona FOLDER, which knows its run")
    mixed = len(options.style) + (options.persona is not None)
    if options.mix is not None and not (mixed == 2 and 0 <= options.mix <= 1):
        raise ValueError(
            f"--mix {options.mix:g} with {mixed} styles; give a share from 0 to 1 and two styles, or a persona and one style"
        )
    for path in options.out:
        if path.suffix not in SUFFIXES:
            raise ValueError(f"cannot write {path}; the suffix must be one of {', '.join(SUFFIXES)}")
        if not path.parent.is_dir():
            raise ValueError(f"cannot write {path}: the folder {path.parent} does not exist")
        if len(options.style) > 1 and options.mix is None and path.suffix != ".mp4":
            raise ValueError(
                f"{path} holds one motion, but {len(options.style)} styles were given; write an .mp4 or give one style"
            )


def _read_speech(source: str) -> np.ndarray:
    from speech.audio import read_audio

    return _prepared_clip(source).audio if "#" in source else read_audio(source)


def _read_style(source: str, tracker_model: str | None) -> FaceMotion:
    if "#" in source:
        return _prepared_clip(source).motion
    if Path(source).suffix == ".npz":
        from faces.motion import FaceMotion

        return FaceMotion.load(Path(source))
    return _track_style(Path(source), tracker_model)


def _track_style(video: Path, tracker_model: str | None) -> FaceMotion:
    """The longest stretch of a video that would be good enough to train on."""
    from corpora.clip import ClipError
    from corpora.tracker_model import find_tracker_model
    from corpora.video_corpus import TrackingOptions, VideoItem, prepare_video

    item = VideoItem(path=video, speaker=video.stem, source=video.stem, key="style")
    result = prepare_video(item, "style", TrackingOptions(model=find_tracker_model(tracker_model)))
    if not result.clips:
        reasons = "; ".join(f"{drop.reason}: {drop.detail}" for drop in result.dropped)
        raise ClipError(
            f"{video} cannot be a style clip ({reasons}); give a video of one talking face, seen from the front"
        )
    return max((clip.motion for clip in result.clips), key=len)


def _prepared_clip(source: str) -> Any:
    from datamodules.shard_index import ShardIndex

    folder, _, key = source.rpartition("#")
    index = ShardIndex(folder)
    keys = [entry.key for entry in index.entries]
    if key not in keys:
        raise ValueError(f"no clip {key!r} in {folder}; it holds {len(keys)} clips, for example {', '.join(keys[:5])}")
    return index.read(keys.index(key)).clip


def _progress(path: Path) -> Any:
    def show(done: int, total: int) -> None:
        print(
            f"\rrendering {path.name}: {done}/{total} frames",
            end="\n" if done == total else "",
            file=sys.stderr,
            flush=True,
        )

    return show if sys.stderr.isatty() else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="animate.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("speech", help="audio or video file, or FOLDER#KEY of a prepared corpus")
    parser.add_argument(
        "--expression", type=Path, metavar="RUN", help="run folder of an expression experiment; a persona knows its own"
    )
    parser.add_argument("--persona", type=Path, metavar="FOLDER", help="a person's weights and style, made by adapt.py")
    parser.add_argument(
        "--style",
        nargs="+",
        action="extend",
        default=[],
        metavar="CLIP",
        help="video, motion .npz or FOLDER#KEY to take the style from",
    )
    parser.add_argument(
        "--out",
        type=Path,
        nargs="+",
        action="extend",
        required=True,
        metavar="FILE",
        help="one or more of .mp4 .npz .csv .glb",
    )
    parser.add_argument(
        "--head", choices=("persona", "style", "still"), help="head motion: generated, the style clip's own, or none"
    )
    parser.add_argument(
        "--pose", type=Path, metavar="RUN", help="PoseGPT of the persona's head; a persona knows its own"
    )
    parser.add_argument(
        "--sampling",
        choices=("greedy", "nucleus", "sampled"),
        help="of the head's codes (default: the persona's): the likeliest, from the likeliest nine tenths, from all",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of sampling that is not greedy: another head for the same speech"
    )
    parser.add_argument(
        "--guidance",
        type=float,
        default=1.0,
        help="intensity of the style: 0 neutral, 1 as referenced, above 1 exaggerated",
    )
    parser.add_argument(
        "--mix", type=float, default=None, metavar="SHARE", help="one style between two: 0 the first, 1 the second"
    )
    parser.add_argument("--checkpoint", default=None, help="best (by validation; the default), last, or a step number")
    parser.add_argument("--size", type=int, default=512, help="height and width of the video in pixels")
    parser.add_argument("--tracker-model", default=None, help="MediaPipe face_landmarker.task, for a video as style")
    return parser


if __name__ == "__main__":
    sys.exit(main())
