"""Compare scored runs in one self-contained page.

    python compare.py RUN RUN [RUN ...] [--out report.html]
    python compare.py runs/sweeps/<name>-<hash>                 the finished trials of a sweep
    python compare.py export.csv wandb/offline-run-*            what W&B exports: tables and charts as CSV, offline run folders
    python compare.py RUN RUN --user-study STUDY [--clips 10]   a page for raters instead: ratings, choices, catch trials
    python compare.py --answers STUDY/answers/*.json            what the raters said

Runs (or folders of motion files) must have been scored on one split, with one face: `python score.py RUN RUN ...`. Runs that differ in
nothing but the seed count as one method, the mean of its seeds. The page holds the settings that differ, every metric with intervals over
speakers, paired tests against the baseline with Holm's correction, every clip, training curves, videos where runs rendered them, and
the command that makes each run again. It needs no network, works on a phone and prints. docs/SCORING.md explains the numbers, docs/USER_STUDY.md
the study.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

SPLIT = "test"
VIDEO_MB = 30.0


def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(given)
    command = shlex.join(["python", "compare.py", *given])
    try:
        _check(options)
        if options.answers:
            _analyse_study(options, command)
        elif options.user_study is not None:
            _make_study(options, command)
        else:
            _compare(options, command)
    except (ValueError, OSError) as error:
        print(f"compare.py: {error}", file=sys.stderr)
        return 2
    return 0


def _check(options: argparse.Namespace) -> None:
    """Everything that can be known before any work; `out` gets its default. Raises ValueError with what to do."""
    if bool(options.folders) == bool(options.answers):
        raise ValueError("give runs to compare, or --answers of a user study")
    of_study = _given(options, ("questions", "clips", "raters", "max_seconds", "seed"))
    if of_study and options.answers:
        raise ValueError(
            f"a study has its {' and '.join(of_study)} from when it was made; leave out what --answers does not read"
        )
    if of_study and options.user_study is None:
        raise ValueError(
            f"{' and '.join(of_study)} {'is' if len(of_study) == 1 else 'are'} of a user study; give --user-study STUDY too, or leave it out"
        )
    if options.answers or options.user_study is not None:
        useless = _given(options, ("metrics", "baseline", "out", "video_mb"))
        if useless:
            raise ValueError(
                f"a user study has no {' or '.join(useless)}, those are of the comparison page; leave them out"
            )
        if options.answers and (options.split or options.user_study is not None):
            raise ValueError("--answers are of a study that was made of one split; leave --split and --user-study out")
        return
    if options.video_mb is not None and not options.video_mb >= 0:
        raise ValueError(
            f"--video-mb is how many megabytes of videos the page may hold, 0 for none; received {options.video_mb:g}"
        )
    options.out = options.out or Path("report.html")
    if options.out.is_dir():
        raise ValueError(f"--out {options.out} is a folder; name the page in it, as {options.out / 'report.html'}")
    if not options.out.resolve().parent.is_dir():
        raise ValueError(f"--out {options.out}: there is no folder {options.out.parent}; make it first")


def _given(options: argparse.Namespace, names: Sequence[str]) -> list[str]:
    """Those of the options that somebody typed."""
    return [f"--{name.replace('_', '-')}" for name in names if getattr(options, name) not in (None, "")]


def _compare(options: argparse.Namespace, command: str) -> None:
    from reports.comparison import compare, headline_of
    from reports.entrants import find_folders, group_by_settings, read_entrant
    from reports.report_page import render
    from reports.wandb_exports import is_export
    from runtime.run_folder import write_atomically

    exports = [path for path in options.folders if is_export(path)]
    if exports:
        _compare_exports(options, exports, command)
        return
    split = options.split or SPLIT
    entrants = [read_entrant(folder, split) for folder in find_folders(options.folders)]
    comparison = compare(group_by_settings(entrants), split, options.metrics, options.baseline)
    video_mb = VIDEO_MB if options.video_mb is None else options.video_mb
    write_atomically(options.out, render(comparison, command, video_mb))
    for note in comparison.notes:
        print(f"note: {note}")
    for test in comparison.tests:
        if test.metric == headline_of(comparison):
            print(
                f"{test.method} against {comparison.baseline}: {test.verdict} in {test.metric}, p = {test.holm_speakers:.3g} over speakers after correction"
            )
    print(f"report: {options.out}")


def _compare_exports(options: argparse.Namespace, exports: list[Path], command: str) -> None:
    from reports.export_page import render_exports
    from reports.wandb_exports import compare_exports, read_exports
    from runtime.run_folder import write_atomically

    others = [path for path in options.folders if path not in exports]
    if others:
        raise ValueError(
            f"{exports[0]} is a W&B export and {others[0]} is not; compare exports with exports, scored folders with scored folders"
        )
    useless = _given(options, ("baseline", "split", "video_mb"))
    if useless:
        raise ValueError(
            f"exports of W&B hold no clips: no split, no videos, and nothing to test against a baseline; leave {' and '.join(useless)} out"
        )
    comparison = compare_exports(read_exports(exports), options.metrics)
    write_atomically(options.out, render_exports(comparison, command))
    print(f"{sum(len(m.runs) for m in comparison.methods)} runs share {len(comparison.metrics)} metrics")
    print(f"report: {options.out}")


def _make_study(options: argparse.Namespace, command: str) -> None:
    from reports.entrants import find_folders
    from reports.study_folder import StudyOptions, make_study

    out: Path = options.user_study
    names = ("split", "clips", "raters", "seed", "max_seconds", "questions")
    chosen = StudyOptions(**{name: value for name in names if (value := getattr(options, name)) is not None})
    key = make_study(find_folders(options.folders), out, chosen, command)
    trials, codes = len(key["sheets"][0]), len(key["videos"])
    print(
        f"study: {out}/page (give it to raters; {trials} trials of {codes} videos, about {key['minutes']} minutes each)"
    )
    print(f"keep {out}/key.json; put the saved answers into {out}/answers")


def _analyse_study(options: argparse.Namespace, command: str) -> None:
    from reports.study_analysis import analyse
    from reports.study_answers import read_key, read_raters
    from reports.study_report import RESULTS, print_results, write_results

    key, path = read_key(options.answers)
    result = analyse(key, read_raters(options.answers, key))
    results = path.with_name(RESULTS)
    write_results(result, key, results, command)
    print_results(result, key)
    print(f"results: {results}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="compare.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folders",
        type=Path,
        nargs="*",
        metavar="RUN_OR_SWEEP",
        help="scored runs, motion folders, sweep folders; W&B exports",
    )
    parser.add_argument("--out", type=Path, default=None, help="default: report.html here")
    parser.add_argument("--split", default=None, choices=("train", "val", "test"), help=f"default: {SPLIT}")
    parser.add_argument(
        "--baseline", default="", metavar="RUN", help="what the others are tested against (default: the first)"
    )
    parser.add_argument(
        "--metrics",
        nargs="+",
        action="extend",
        default=None,
        metavar="NAME",
        help="only these; fewer tests to correct for",
    )
    parser.add_argument("--video-mb", type=float, default=None, help="megabytes of videos in the page (default 30)")
    study = parser.add_argument_group("user study")
    study.add_argument(
        "--user-study",
        type=Path,
        default=None,
        metavar="STUDY",
        help="a new folder for the study; the first run is the baseline",
    )
    study.add_argument(
        "--questions",
        nargs="+",
        action="extend",
        default=None,
        metavar="NAME",
        help="of lips, pose, richness (default: those that the methods allow)",
    )
    study.add_argument("--clips", type=int, default=None, help="clips a rater sees by every method (default 10)")
    study.add_argument("--raters", type=int, default=None, help="how many orders to make, one a rater (default 24)")
    study.add_argument(
        "--max-seconds", type=float, default=None, help="clips are cut after so many seconds (default 8)"
    )
    study.add_argument("--seed", type=int, default=None, help="of clips and orders (default 0)")
    study.add_argument(
        "--answers",
        type=Path,
        nargs="+",
        action="extend",
        default=None,
        metavar="FILE",
        help="saved answers, in the study's folder: analyse them",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
