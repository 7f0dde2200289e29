"""Speech in, a talking head out: `.mp4` with sound, `.npz` motion, `.csv` ARKit curves or `.glb`; the suffix decides.

    python animate.py SPEECH --expression RUN [--style CLIP ...] --out FILE [FILE ...]
    python animate.py SPEECH --persona FOLDER [--style CLIP] [--sampling nucleus --seed 1] --out FILE [FILE ...]
    python animate.py SPEECH --persona FOLDER --emotion FELT NEUTRAL --out FILE [FILE ...]
    python animate.py SPEECH --persona ONE OTHER --mix SHARE --out FILE [FILE ...]

SPEECH is any audio or video file, or a prepared clip written FOLDER#KEY. CLIP, whose style of expression is taken over, is a video of
one face, a motion `.npz`, or a prepared clip FOLDER#KEY; without one the face speaks in the network's neutral style. Several
styles are rendered side by side into one `.mp4`, or, with --mix SHARE, two become one style between them. A persona, made by adapt.py, speaks
with its own weights and style; --style with it takes the style of a clip instead, with --mix a style between the persona's and the clip's; the shape of
the face stays the persona's. --emotion carries a feeling over: what a clip of somebody in that feeling has over a neutral clip of the same person is
added to the style. Two personas with --mix both answer the speech, and the face is SHARE of the way from the first's answer to the second's.

The head turns as the persona's pose style has PoseGPT turn it (--head persona, the default where the persona has one), as the style clip's own head,
played forward and back (--head style), or not at all (--head still). Only its rotation is made: the head does not move from its place. In a video,
shoulders and chest take --torso-share of it; in a .glb the bust turns rigidly with the head.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.exit_codes import BAD_INPUT, INTERRUPTED
from runtime.threads import spin_briefly

if TYPE_CHECKING:
    import numpy as np

    from faces.motion import FaceMotion

SUFFIXES = (".mp4", ".npz", ".csv", ".glb")
# Beyond this hardly a coefficient is left within its range.
LARGEST_GUIDANCE = 5.0


def main(arguments: list[str] | None = None) -> int:
    spin_briefly()
    options = _parser().parse_args(arguments)
    try:
        _check_outputs(options)
        animate(options)
    except (ValueError, OSError) as error:
        print(f"animate.py: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("animate.py: interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


def animate(options: argparse.Namespace) -> list[tuple[str, FaceMotion]]:
    """Generate a motion for each style and write every file of `options.out`; returns (caption, motion) pairs."""
    from networks.animation import mix_motions
    from personas.manners import StyleWishes
    from personas.speaking import SpeakingWishes, speak_as
    from runtime.assemble import face_of
    from speech.audio import check_speech

    _check_feeling(options.emotion)
    audio = _read_speech(options.speech)
    check_speech(audio)
    mix = options.mix if len(options.persona) < 2 else None
    wishes = SpeakingWishes(
        styles=StyleWishes(options.style, mix, options.emotion, options.tracker_model),
        expression=options.expression,
        checkpoint=options.checkpoint,
        guidance=options.guidance,
        head=options.head,
        pose=options.pose,
        sampling=options.sampling,
        seed=options.seed,
    )
    run, motions = speak_as((options.persona or [None])[0], audio, wishes)
    if len(options.persona) == 2:
        (first, one), (second, other) = *motions, *speak_as(options.persona[1], audio, wishes)[1]
        motions = [(f"{first} to {second}, {options.mix:g}", mix_motions(one, other, options.mix))]
    face = face_of(run)
    if options.torso_share is not None:
        _check_bust(face)
    for path in options.out:
        _write(motions, path, face, audio, options)
        print(f"wrote {path}")
    return motions


def _check_bust(face: Any) -> None:
    from faces.neck_split import has_bust

    if not has_bust(face):
        raise ValueError(f"--torso-share would change nothing: the {face.name} face has no bust")


def _write(
    motions: list[tuple[str, FaceMotion]], path: Path, face: Any, audio: np.ndarray, options: argparse.Namespace
) -> None:
    from faces.export import export_motion
    from faces.neck_split import TORSO_SHARE
    from faces.video import render_motion

    if path.suffix != ".mp4":
        export_motion(motions[0][1], path, face_model=face)
        return
    columns = motions if len(motions) > 1 else motions[0][1]
    share = TORSO_SHARE if options.torso_share is None else options.torso_share
    progress = _progress(path)
    render_motion(columns, face, path, audio=audio, size=options.size, progress=progress, torso_share=share)
    _say_how_the_bust_moves(motions, face, share)


def _say_how_the_bust_moves(motions: list[tuple[str, FaceMotion]], face: Any, torso_share: float) -> None:
    """A line for each motion whose head moves, where the face has a bust."""
    import torch

    from faces.neck_split import has_bust
    from metrics.bust_motion import bust_motion_of

    for caption, motion in motions:
        if has_bust(face) and motion.head.any():
            found = bust_motion_of(face, torch.from_numpy(motion.head), torso_share)
            print(
                f"{caption}: the bust moves {found.mm:.1f} mm, {found.of_head:.0%} of the head (torso share {torso_share:g})"
            )


def _check_outputs(options: argparse.Namespace) -> None:
    """Before any work: styles and numbers that go together, suffixes, folders, and one style for the files that hold one motion."""
    if options.expression is None and not options.persona:
        raise ValueError("whose network? give --expression RUN, or --persona FOLDER, which knows its run")
    people, mixed = len(options.persona), len(options.style) + len(options.persona)
    if people > 2 or (people == 2 and (options.mix is None or options.style)):
        raise ValueError(
            f"{people} personas and {len(options.style)} styles; give one persona, or two without --style and with --mix SHARE"
        )
    if options.mix is not None and not (mixed == 2 and 0 <= options.mix <= 1):
        raise ValueError(
            f"--mix {options.mix:g} with {mixed} styles; give a share from 0 to 1 and two styles, a persona and one style, or two personas"
        )
    if not 0 <= options.guidance <= LARGEST_GUIDANCE:
        raise ValueError(
            f"--guidance {options.guidance:g}; give 0 (neutral) to {LARGEST_GUIDANCE:g}, 1 is the style as it is"
        )
    if options.guidance != 1 and not mixed:
        raise ValueError(f"--guidance {options.guidance:g} is the intensity of a style; give --persona or --style, too")
    if options.torso_share is not None and not 0 <= options.torso_share <= 1:
        raise ValueError(
            f"--torso-share {options.torso_share:g}; give 0 (the bust stands) to 1 (it turns with the head)"
        )
    if options.torso_share is not None and all(path.suffix != ".mp4" for path in options.out):
        raise ValueError("--torso-share is of the bust in a video; write an .mp4 (a .glb turns the bust with the head)")
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
    from datamodules.style_clip import is_prepared, prepared_clip
    from speech.audio import read_audio

    return prepared_clip(source).audio if is_prepared(source) else read_audio(source)


def _check_feeling(clips: list[str]) -> None:
    """Prepared clips know whose they are: between two people the difference is not a feeling."""
    from datamodules.style_clip import is_prepared, prepared_clip

    speakers = [prepared_clip(clip).meta.speaker for clip in clips if is_prepared(clip)]
    if len(set(speakers)) > 1:
        raise ValueError(
            f"--emotion takes two clips of one person, {' and '.join(clips)} are of {' and '.join(speakers)}; give clips of the same speaker"
        )


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
    parser.add_argument(
        "--persona",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FOLDER",
        help="a person's weights and style, made by adapt.py; two with --mix",
    )
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
        "--seed", type=int, help="of sampling that is not greedy: another head for the same speech (default: 0)"
    )
    parser.add_argument(
        "--torso-share",
        type=float,
        metavar="SHARE",
        help="what shoulders and chest of a video take of the head's rotation: 0 nothing, 1 all (default: 0.3)",
    )
    parser.add_argument(
        "--guidance",
        type=float,
        default=1.0,
        help=f"intensity of the style: 0 neutral, 1 as referenced, up to {LARGEST_GUIDANCE:g} exaggerated",
    )
    parser.add_argument(
        "--emotion",
        nargs=2,
        default=[],
        metavar=("FELT", "NEUTRAL"),
        help="two clips of one person, whose feeling is added to the style",
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
