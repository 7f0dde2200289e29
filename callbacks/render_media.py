"""Renders what callbacks/media.py saved: `python -m callbacks.render_media FOLDER`. A process of its own, at low priority."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from callbacks.media import PREDICTION, SOUND, TRUTH, VIDEO
from faces import load_face_model
from faces.motion import FaceMotion
from faces.video import render_motion
from speech.audio import read_audio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--face", default="procedural")
    parser.add_argument("--face-path", default="")
    arguments = parser.parse_args()
    os.nice(10)
    folder: Path = arguments.folder
    pair = [(name, FaceMotion.load(folder / file)) for name, file in (("prediction", PREDICTION), ("truth", TRUTH))]
    face = load_face_model(arguments.face, arguments.face_path or None)
    render_motion(pair, face, folder / VIDEO, audio=read_audio(folder / SOUND), size=arguments.size)


if __name__ == "__main__":
    main()
