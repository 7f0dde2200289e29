"""What score.py prints of a pose run."""

from __future__ import annotations

from typing import Any

from reports.score_table import WIDTH, interval, number, print_methods, say_bad_clips

SHOWN = (
    *("truth", "reconstruction", "model", "sampled", "greedy", "shuffled_speech", "random_style", "unknown_style"),
    *("template_copy", "random_retrieval", "still"),
)


def print_pose_table(result: dict[str, Any]) -> None:
    """Every metric of every method, with the model's interval; then meaning, information and recognition where there are any."""
    summary = result["summary"]
    print_methods(result, [method for method in SHOWN if method in result["scores"]], "head motion", WIDTH + 20)
    print(f"{summary['num_clips']} clips, {summary['num_speakers']} speakers; {result['averaging']}")
    say_bad_clips(result["scores"].get("model", {}))
    _print_meaning(result.get("meaning", {}))
    for method, found in result.get("information", {}).items():
        print(
            f"units about codes, {method}: {found['plug_in']:.3f} nats, units turned round in time {found['rotated']:.3f} "
            f"(sd {found['rotated_deviation']:.4f}), excess {found['excess']:.4f} of {found['entropy']:.2f}"
        )
    asked = result.get("recognition", {})
    for method, found in asked.items():
        if isinstance(found, dict):
            clips, five = found["clips"], found["clips_top_5"]
            print(
                f"recognised of {asked['speakers']} speakers, {method}: {clips['mean']:.1%} of clips ({interval(clips, '{:.1%}'.format)}), "
                f"among five {five['mean']:.1%}; from all held-out clips of a person {found['people']:.1%}"
            )


def _print_meaning(meaning: dict[str, dict[str, dict[str, float]]]) -> None:
    for method, gestures in meaning.items():
        said = [
            f"{name.replace('_', ' ')} {found['near']:.2f}/s near, {found['elsewhere']:.3f}/s near other words, {number(found['ratio'])}x "
            f"({interval(found)})"
            for name, found in gestures.items()
        ]
        print(f"{method}: {'; '.join(said)}")
