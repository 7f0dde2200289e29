"""Run many trainings as one experiment: a grid over seeds, or a search.

    python sweep.py NAME_OR_FILE [--jobs N] [--seeds 1,2] [--launcher local|slurm] [key=value ...]

The same command again does only what is missing: trials that were never started, cut off, preempted or failed. A trial that was cut off
goes on in its own run folder. The sweep's folder, runs/sweeps/<name>-<hash>, holds the record, each trial's output and the table.
Other commands:

    python sweep.py list                                   the sweep files there are, with their questions
    python sweep.py table FOLDER_OR_NAME                   the table of what is there by now
    python sweep.py trial FOLDER INDEX                     one trial, as a SLURM array task starts it
    python sweep.py trial NAME_OR_FILE key=value ...       one trial, as a W&B sweep agent starts it
    python sweep.py wandb NAME_OR_FILE [--out FILE]        write the W&B sweep definition of a sweep file
    python sweep.py sync RUN_OR_FOLDER ... [--dry-run]     upload what was logged offline, in order of start

docs/SWEEPS.md explains sweep files.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from runtime.compose import question_of
from runtime.sweeps.files import SWEEPS, find_sweep_file, sweep_names
from runtime.sweeps.folder import existing_sweep
from runtime.sweeps.reading import read_sweep
from runtime.sweeps.tables import print_results, write_results


def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    command, parse = COMMANDS.get(given[0] if given else "", (_run, None))
    try:
        if parse is None:
            return command(_run_parser().parse_intermixed_args(given))
        parser = argparse.ArgumentParser(prog=f"sweep.py {given[0]}", description=command.__doc__)
        parse(parser)
        return command(parser.parse_intermixed_args(given[1:]))
    except (ValueError, OSError) as error:
        print(f"sweep.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sweep.py: interrupted", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace) -> int:
    from runtime.sweeps.launch import is_settled, run_local
    from runtime.sweeps.slurm import submit

    sweep = read_sweep(find_sweep_file(options.sweep), options.overrides, options.seeds)
    before = [read_sweep(find_sweep_file(name), options.overrides) for name in sweep.first]
    for each in [one for one in before if not is_settled(one)] + [sweep]:
        if options.launcher == "slurm":
            if each is not sweep:
                print(f"{sweep.name} builds on {each.name}; when that has finished, the same command submits the rest")
            return submit(each, options.jobs)
        status = run_local(each, options.jobs, options.grace, options.gpus)
        if status != 0:
            return status
    return 0


def _list(options: argparse.Namespace) -> int:
    """The files of experiments/sweeps and the question that each answers."""
    print("\n".join(_questions()))
    return 0


def _table(options: argparse.Namespace) -> int:
    """The table of what a sweep has by now; also written to table.md and results.json in its folder."""
    folder = existing_sweep(options.sweep)
    print_results(write_results(folder), folder.sweep)
    return 0


def _trial(options: argparse.Namespace) -> int:
    """One trial: of a sweep's folder by its index (a SLURM array task), or of a sweep file by key=value arguments (a W&B agent)."""
    from runtime.sweeps.launch import run_trial, trial_at
    from runtime.sweeps.wandb_agent import agent_trial

    if len(options.what) == 1 and options.what[0].isdigit():
        folder = existing_sweep(options.sweep)
        sweep = folder.sweep
        trial = trial_at(sweep, int(options.what[0])) if sweep.search is None else None
        return run_trial(folder, trial, options.grace)
    folder, trial = agent_trial(read_sweep(find_sweep_file(options.sweep), options.fixed), options.what)
    return run_trial(folder, trial, options.grace, of_agent=True)


def _wandb(options: argparse.Namespace) -> int:
    """Write the definition of a W&B sweep; register it with `wandb sweep FILE` and start `wandb agent ID` on any machine."""
    from runtime.run_folder import write_atomically
    from runtime.sweeps.wandb_agent import wandb_definition

    sweep = read_sweep(find_sweep_file(options.sweep), options.overrides)
    out = options.out or Path(f"{sweep.name}.wandb.yaml")
    write_atomically(out, wandb_definition(sweep, options.sweep, options.overrides))
    print(
        f"written: {out}\nnext:    wandb sweep {out}   and then, on any machine, the `wandb agent` command that it prints"
    )
    return 0


def _sync(options: argparse.Namespace) -> int:
    """Upload what runs logged to W&B offline, in order of start; what is uploaded already is left out."""
    from runtime.sweeps.offline_sync import offline_segments, upload

    segments = offline_segments(options.folders)
    if options.dry_run or not segments:
        print("\n".join(map(str, segments)) or "nothing to upload")
        return 0
    return upload(segments)


def _run_parser() -> argparse.ArgumentParser:
    files = "\n".join(f"  {line}" for line in _questions())
    parser = argparse.ArgumentParser(
        prog="sweep.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"sweep files:\n{files}\n\nexamples:\n"
        "  python sweep.py infrastructure_check --jobs 2 data.root=data/synthetic\n"
        "  python sweep.py width_and_learning_rate --jobs 4 --gpus 0,1,2,3 trainer.max_steps=500\n"
        "  python sweep.py table width_and_learning_rate",
    )
    parser.add_argument("sweep", metavar="NAME_OR_FILE", help="a file of experiments/sweeps by name, or any sweep file")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="for every trial; another value is another sweep"
    )
    parser.add_argument(
        "--seeds",
        type=_whole_numbers,
        default=None,
        metavar="1,2,...",
        help="in place of the file's (a sweep of its own; runs are shared)",
    )
    parser.add_argument("--jobs", type=_positive, default=1, help="trials at a time (default 1)")
    parser.add_argument(
        "--launcher",
        choices=("local", "slurm"),
        default="local",
        help="slurm: one array job, --jobs of its tasks at a time",
    )
    _grace_argument(parser)
    parser.add_argument(
        "--gpus", type=_names, default=(), metavar="0,1,...", help="split among the jobs by CUDA_VISIBLE_DEVICES"
    )
    return parser


def _questions() -> list[str]:
    names = sweep_names()
    return [f"{name:<{max(map(len, names))}}  {question_of(name, SWEEPS)}" for name in names]


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"received {text!r}, expected a whole number above 0")
    return int(text)


def _whole_numbers(text: str) -> list[int]:
    if not all(part.isdigit() for part in text.split(",")):
        raise argparse.ArgumentTypeError(f"received {text!r}, expected whole numbers such as 1,2,3")
    return [int(part) for part in text.split(",")]


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def _sweep_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sweep", metavar="FOLDER_OR_NAME", help="runs/sweeps/<name>-<hash>, or the name: then the newest"
    )


def _grace_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--grace", type=float, default=120.0, metavar="SECONDS", help="for saving after a stop (default 120)"
    )


def _trial_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sweep", metavar="FOLDER_OR_NAME", help="a sweep's folder with INDEX, or a sweep file with key=value"
    )
    parser.add_argument(
        "what", nargs="+", metavar="INDEX or key=value", help="position in the list of trials, or hyper-parameters"
    )
    parser.add_argument(
        "--fixed", action="append", default=[], metavar="key=value", help="an override of the whole sweep"
    )
    _grace_argument(parser)


def _wandb_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", metavar="NAME_OR_FILE", help="a sweep file")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="for every trial")
    parser.add_argument("--out", type=Path, default=None, help="default: <name>.wandb.yaml here")


def _sync_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folders",
        nargs="+",
        type=Path,
        metavar="RUN_OR_FOLDER",
        help="run folders, sweep folders or offline-run-* folders",
    )
    parser.add_argument("--dry-run", action="store_true", help="only list what would be uploaded")


COMMANDS: dict[str, tuple[Callable[[argparse.Namespace], int], Callable[[argparse.ArgumentParser], None]]] = {
    "list": (_list, lambda parser: None),
    "table": (_table, _sweep_argument),
    "trial": (_trial, _trial_arguments),
    "wandb": (_wandb, _wandb_arguments),
    "sync": (_sync, _sync_arguments),
}


if __name__ == "__main__":
    sys.exit(main())
