"""Compare scored runs in one self-contained page.

    python compare.py RUN RUN [RUN ...] [--out report.html]
    python compare.py runs/sweeps/<name>-<hash>                 the finished trials of a sweep

Runs (or folders of motion files) must have been scored on one split, with one face: `python score.py RUN RUN ...`. Runs that differ in
nothing but the seed count as one method, the mean of its seeds. The page holds the settings that differ, every metric with intervals over
speakers, paired tests against the baseline with Holm's correction, every clip, training curves, videos where runs rendered them, and
the command that makes each run again. It needs no network, works on a phone and prints. docs/SCORING.md explains the numbers.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(given)
    try:
        _compare(options, shlex.join(["python", "compare.py", *given]))
    except (ValueError, OSError) as error:
        print(f"compare.py: {error}", file=sys.stderr)
        return 2
    return 0


def _compare(options: argparse.Namespace, command: str) -> None:
    from reports.comparison import compare, headline_of
    from reports.entrants import find_folders, group_by_settings, read_entrant
    from reports.report_page import render
    from runtime.run_folder import write_atomically

    entrants = [read_entrant(folder, options.split) for folder in find_folders(options.folders)]
    comparison = compare(group_by_settings(entrants), options.split, options.metrics, options.baseline)
    write_atomically(options.out, render(comparison, command, options.video_mb))
    for test in comparison.tests:
        if test.metric == headline_of(comparison):
            print(
                f"{test.method} against {comparison.baseline}: {test.verdict} in {test.metric}, p = {test.p_speakers:.3g} over speakers"
            )
    print(f"report: {options.out}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="compare.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="RUN_OR_SWEEP", help="scored runs, motion folders, sweep folders"
    )
    parser.add_argument("--out", type=Path, default=Path("report.html"), help="default: report.html here")
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument(
        "--baseline", default="", metavar="RUN", help="what the others are tested against (default: the first)"
    )
    parser.add_argument(
        "--metrics", nargs="+", default=None, metavar="NAME", help="only these; fewer tests to correct for"
    )
    parser.add_argument("--video-mb", type=float, default=30.0, help="megabytes of videos in the page (default 30)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
