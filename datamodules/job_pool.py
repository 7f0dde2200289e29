"""Runs preparation jobs in processes, with progress, and turns every way of failing into one sentence."""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from corpora.clip import PrepareJob
from datamodules.errors import ShardError
from datamodules.loader_workers import end_with_parent
from datamodules.staging import StagedJob, run_and_stage

# Numerical libraries sum in another order on another number of threads; with one thread the machine does not
# enter the result.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class PreparationInterrupted(ShardError):
    """The user stopped the preparation; finished jobs stay staged."""


def run_jobs(
    jobs: Sequence[PrepareJob],
    staging: Path,
    *,
    total: int,
    workers: int | None = None,
    progress: bool = True,
) -> None:
    """Run every job and stage its result in `staging`. `total` counts the jobs of earlier calls too.

    Raises ShardError naming the first job that failed, or saying that a worker died; PreparationInterrupted
    on Ctrl-C.
    """
    if not jobs:
        return
    workers = len(os.sched_getaffinity(0)) if workers is None else workers
    done = total - len(jobs)
    try:
        with _progress_bar(total, done, progress) as advance:
            results = _in_this_process(jobs, staging) if workers < 1 else _in_processes(jobs, staging, workers)
            for result in results:
                done += 1
                advance(result)
    except KeyboardInterrupt as error:
        raise PreparationInterrupted(
            f"interrupted: {done} of {total} jobs are done and staged in {staging}; the same command continues"
        ) from error


def _in_this_process(jobs: Sequence[PrepareJob], staging: Path) -> Iterator[StagedJob]:
    for job in jobs:
        try:
            yield run_and_stage(job, staging)
        except Exception as error:
            raise _job_failed(job, _described(error)) from error


def _in_processes(jobs: Sequence[PrepareJob], staging: Path, workers: int) -> Iterator[StagedJob]:
    context = multiprocessing.get_context("spawn")
    before = set(multiprocessing.active_children())
    with _environment(ONE_THREAD):
        pool = ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context, initializer=_prepare_worker)
        try:
            futures = {pool.submit(_run_in_worker, job, staging): job for job in jobs}
            for future in as_completed(futures):
                yield _result(future, futures)
        except (KeyboardInterrupt, GeneratorExit):
            # Running jobs may take minutes more; they have no record yet and are done again. After a failed
            # job they are waited for instead.
            for process in set(multiprocessing.active_children()) - before:
                process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Failure:
    """What a job raised, as text: not every exception survives the way between processes."""

    error: str
    trace: str


def _run_in_worker(job: PrepareJob, staging: Path) -> StagedJob | _Failure:
    try:
        return run_and_stage(job, staging)
    except Exception as error:  # noqa: BLE001 - whatever a corpus reader raises is reported with the job's name
        return _Failure(_described(error), traceback.format_exc())


def _result(future: Future[StagedJob | _Failure], futures: dict[Future[StagedJob | _Failure], PrepareJob]) -> StagedJob:
    job = futures[future]
    try:
        result = future.result()
    except BrokenProcessPool as error:
        raise ShardError(
            f"a worker process died, perhaps for want of memory, while {job.name!r} or a job beside it ran; "
            "finished jobs are staged: run the same command again, with fewer workers if memory is short"
        ) from error
    if isinstance(result, _Failure):
        raise _job_failed(job, result.error) from RuntimeError(f"in the worker:\n{result.trace}")
    return result


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _job_failed(job: PrepareJob, error: str) -> ShardError:
    return ShardError(
        f"job {job.name!r} failed: {error}; the results of finished jobs are kept, "
        "the same command continues after the cause is mended"
    )


def _prepare_worker() -> None:
    # Ctrl-C reaches the whole group; the main process decides. A worker whose main process was killed must
    # not wait for ever.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _progress_bar(total: int, done: int, visible: bool) -> Iterator:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("kept {task.fields[kept]} clips, dropped {task.fields[dropped]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not visible) as progress:
        task = progress.add_task("preparing", total=total, completed=done, kept=0, dropped=0)
        counts = {"kept": 0, "dropped": 0}

        def advance(result: StagedJob) -> None:
            counts["kept"] += len(result.keys)
            counts["dropped"] += len(result.dropped)
            progress.update(task, advance=1, kept=counts["kept"], dropped=counts["dropped"])

        yield advance
