"""Whether the way through pose codes takes a tracker's jitter out of head motion, and which part of the way does.

    python -m benchmarks.pose_jitter VQVAE [VQVAE ...] [--data FOLDER] [--split test] [--noise 0 0.1 0.25 0.5] [--json FILE]

White noise of so many degrees (standard deviation of each component of the axis-angle vector, seeded by the clip) is added to clean heads of people
whom training never saw. Beside the noisy head: through the network with its latents quantised (`codes`) and as they are (`latents`), so that the
difference is the quantiser's share; and the filter that recordings are prepared with (`corpora/clip_cutting.py`), on the noisy head and after the codes.
Runs of as many codes are taken together. Intervals are over people; ratios are those of each clip.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from corpora.clip_cutting import smooth_head
from faces.motion import FaceMotion
from faces.rotations import axis_angle_to_matrix, geodesic_distance
from metrics.gesture_meaning import DEGREES
from metrics.intervals import speaker_bootstrap
from metrics.motion_error import head_jerk_deg_per_s3
from networks.pose_methods import clip_seed
from networks.pose_vqvae import PoseVQVAE

NOISE_DEG = (0.0, 0.1, 0.25, 0.5)
MEASURES = ("jerk_over_noisy", "jerk_over_clean", "error_deg")


def with_jitter(head: Tensor, noise_deg: float, key: str) -> Tensor:
    """Head rotations `[T, 3]` (axis-angle, radians) and white noise; a clip's noise of another strength is the same, scaled."""
    generator = torch.Generator().manual_seed(clip_seed(key))
    return head + noise_deg / DEGREES * torch.randn(head.shape, generator=generator)


@torch.no_grad()
def ways_through(vqvae: PoseVQVAE, noisy: Tensor) -> dict[str, Tensor]:
    """What becomes of a noisy head `[T, 3]` by each way."""
    frames = torch.tensor([len(noisy)])
    latents = vqvae.encode(noisy[None], frames)
    codes = vqvae.decode(vqvae.tokenize(noisy[None], frames), frames)[0]
    return {
        "noisy": noisy,
        "codes": codes,
        "latents": vqvae.decode_latents(latents, frames)[0],
        "filter": filtered(noisy),
        "codes, then filter": filtered(codes),
    }


def filtered(head: Tensor) -> Tensor:
    """Head rotations `[T, 3]` through the Savitzky-Golay filter of the preparation of recordings."""
    motion = FaceMotion(expression=torch.zeros(len(head), 52).numpy(), head=head.numpy(), space="arkit")
    return torch.from_numpy(smooth_head(motion).head)


def jitter_left(clean: Tensor, noisy: Tensor, ways: dict[str, Tensor]) -> dict[str, dict[str, float]]:
    """For each way its jerk over that of the noisy and of the clean head `[T, 3]`, and its mean angle to the clean head in degrees."""
    jerk_noisy, jerk_clean, truth = _jerk(noisy), _jerk(clean), axis_angle_to_matrix(clean.double())
    return {
        way: {
            "jerk_over_noisy": _jerk(head) / jerk_noisy,
            "jerk_over_clean": _jerk(head) / jerk_clean,
            "error_deg": DEGREES * float(geodesic_distance(axis_angle_to_matrix(head.double()), truth).mean()),
        }
        for way, head in ways.items()
    }


def _jerk(head: Tensor) -> float:
    return float(head_jerk_deg_per_s3(head[None], torch.ones(1, len(head), dtype=torch.bool)))


def measure(
    vqvaes: Sequence[PoseVQVAE], clips: Sequence[tuple[str, str, Tensor]], noise_deg: float
) -> dict[str, dict[str, dict[str, float]]]:
    """`{way: {measure: {mean, low, high}}}` over clips of (key, speaker, head `[T, 3]`) and networks, with 95 % intervals over speakers."""
    found: dict[str, list[dict[str, float]]] = {}
    for vqvae in vqvaes:
        for key, _, clean in clips:
            noisy = with_jitter(clean, noise_deg, key)
            for way, values in jitter_left(clean, noisy, ways_through(vqvae, noisy)).items():
                found.setdefault(way, []).append(values)
    speakers = [speaker for _, speaker, _ in clips] * len(vqvaes)
    return {
        way: {name: _interval([row[name] for row in rows], speakers) for name in MEASURES}
        for way, rows in found.items()
    }


def _interval(values: Sequence[float], speakers: Sequence[str]) -> dict[str, float]:
    interval = speaker_bootstrap(values, speakers)
    return {"mean": interval.mean, "low": interval.low, "high": interval.high}


def _read(
    runs: Iterable[Path], root: str, split: str
) -> tuple[dict[int, list[PoseVQVAE]], list[tuple[str, str, Tensor]]]:
    """The runs' networks by their number of codes, and the split's clips."""
    from reports.subjects import data_like
    from runtime.assemble import load_module
    from runtime.run_folder import existing_run

    networks: dict[int, list[PoseVQVAE]] = {}
    for folder in runs:
        run = existing_run(folder)
        net = load_module(run)[0].net.eval()
        if not isinstance(net, PoseVQVAE):
            raise SystemExit(f"pose_jitter: {folder} is a run of {run.config.run.name}; give runs of pose_vqvae")
        networks.setdefault(net.quantizer.num_codes, []).append(net)
    data = data_like(run, root)
    samples = [data.read_sample(i).clip for i in data.indices(split)]
    clips = [(clip.key, clip.meta.speaker, torch.from_numpy(clip.motion.head.copy())) for clip in samples]
    return dict(sorted(networks.items())), clips


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="VQVAE", help="run folders of pose_vqvae")
    parser.add_argument("--data", default="", metavar="FOLDER", help="prepared corpus (default: that of the last run)")
    parser.add_argument("--split", default="test")
    parser.add_argument("--noise", type=float, nargs="+", default=NOISE_DEG, metavar="DEGREES")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    networks, clips = _read(options.runs, options.data, options.split)
    found: list[dict[str, Any]] = []
    for codes, vqvaes in networks.items():
        for noise in options.noise:
            print(f"{codes} codes ({len(vqvaes)} runs), noise of {noise:g} degrees, {len(clips)} clips")
            ways = measure(vqvaes, clips, noise)
            found.append({"codes": codes, "runs": len(vqvaes), "noise_deg": noise, "ways": ways})
            for way, values in ways.items():
                cells = [f"{name} {v['mean']:.3f} ({v['low']:.3f} to {v['high']:.3f})" for name, v in values.items()]
                print(f"  {way:20s}" + "  ".join(cells), flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
