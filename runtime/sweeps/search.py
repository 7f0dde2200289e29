"""Search with Optuna by ask and tell: a study that any number of machines share, and pruning on what trials log.

Training knows nothing of it: values come from the validation lines of a trial's `metrics.jsonl`, and a pruned trial gets SIGTERM.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

from runtime.sweeps.definition import Dimension, Level, Search, Sweep, SweepError
from runtime.sweeps.folder import DIVERGED, FINISHED, SETTLED, STOPPED, SweepFolder
from runtime.sweeps.found_run import FoundRun
from runtime.sweeps.results import metric_of
from runtime.sweeps.trial_process import Outcome, TrialProcess
from runtime.sweeps.trials import Trial, level_of, make_trials

JOURNAL = "study.journal"
BUSY_S = 5.0
OPENING_TRIES, OPENING_S = 3, 1.0
SAME_AS_RUNNING = "same as a running trial"


class SearchSource:
    """Trials drawn by the study until `search.trials` were drawn or `search.hours` are over, at most `limit` by this process.

    Trials of this folder that were running when their sweep ended are taken up first. The draw of trial n depends on the seed, n and
    what is known by then, so with one job a search repeats itself exactly. `corner` is any trial of the space. Raises SweepError without
    Optuna, where the storage fails, and where files of experiments/ have changed what the study compares.
    """

    def __init__(self, sweep: Sweep, folder: SweepFolder, corner: Trial, limit: int | None = None) -> None:
        assert sweep.search is not None
        self.sweep, self.search, self.folder = sweep, sweep.search, folder
        self.study = open_study(sweep, folder, corner.max_steps)
        self._require_same_configuration(corner)
        self._limit = limit
        self._deadline = None if self.search.hours is None else time.monotonic() + 3600 * self.search.hours
        self._numbers: dict[str, int] = {}  # our trial id -> Optuna's id of it
        self._reported: dict[str, int] = {}
        self.unfinished = self._find_unfinished()
        self._waiting = [(0.0, trial) for trial in self.unfinished]
        self._not_before = 0.0

    def next(self) -> Trial | None:
        while not self._limit_is_reached and self._waiting and self._waiting[0][0] <= time.monotonic():
            _, trial = self._waiting.pop(0)
            if not self._frozen(trial.id).state.is_finished():  # by another machine, in the meantime
                return self._count(trial)
        if self._budget_is_used or time.monotonic() < self._not_before:
            return None
        asked = self._ask()
        return self._count(asked) if asked else None

    def busy(self, trial: Trial) -> None:
        self._waiting.append((time.monotonic() + BUSY_S, trial))
        self._limit = None if self._limit is None else self._limit + 1

    @property
    def exhausted(self) -> bool:
        return self._limit_is_reached or (not self._waiting and self._budget_is_used)

    def should_stop(self, process: TrialProcess) -> bool:
        """Report new validations to the study and ask its pruner."""
        if self.search.pruner["kind"] == "none" or process.tail is None:
            return False
        trial_id = process.trial.id
        new = process.tail.validations[self._reported.get(trial_id, 0) :]
        if not new:
            return False
        self._reported[trial_id] = len(process.tail.validations)
        trial = self._live(trial_id)
        known = self._frozen(trial_id).intermediate_values
        for line in new:
            if line["step"] not in known:
                trial.report(float(line[self.sweep.metric.name]), line["step"])
        return trial.should_prune()

    def ended(self, process: TrialProcess | FoundRun, outcome: Outcome) -> None:
        chosen = process.tail.chosen if process.tail else None
        self._tell(process.trial.id, outcome.status, metric_of(chosen, self.sweep.metric))

    @property
    def best_of_all(self) -> str:
        """The best trial of the study where another machine trained it; its table is in that machine's folder."""
        finished = [trial for trial in self.study.get_trials(deepcopy=False) if trial.value is not None]
        sign = 1 if self.sweep.metric.direction == "min" else -1
        best = min(finished, key=lambda trial: sign * trial.value, default=None)
        if best is None or best.user_attrs.get("folder") == str(self.folder.path.resolve()):
            return ""
        settings = " ".join(f"{name}={value}" for name, value in best.params.items())
        return f"best of all machines: trial {best.number} in {best.user_attrs.get('folder')}, {best.value:.6g} with {settings}"

    @property
    def _limit_is_reached(self) -> bool:
        return self._limit is not None and self._limit < 1

    @property
    def _budget_is_used(self) -> bool:
        if self._limit_is_reached:
            return True
        if self._deadline is not None and time.monotonic() > self._deadline:
            return True
        return drawn(self.study) >= self.search.trials

    def _count(self, trial: Trial) -> Trial:
        self._limit = None if self._limit is None else self._limit - 1
        return trial

    def _ask(self) -> Trial | None:
        """One new trial; None where the study drew what is known or running already, which costs no training."""
        from optuna.trial import TrialState

        self.study.sampler = _sampler(self.search, len(self.study.get_trials(deepcopy=False)))
        asked = self.study.ask({d.name: _distribution(d) for d in self.search.space})
        asked.set_user_attr("folder", str(self.folder.path.resolve()))
        for other in self.study.get_trials(deepcopy=False):
            if other.number == asked.number or other.params != asked.params:
                continue
            if other.state.is_finished():
                values = other.values if other.state == TrialState.COMPLETE else None
                self.study.tell(asked, values, state=other.state)
            else:
                asked.set_user_attr(SAME_AS_RUNNING, other.number)
                self.study.tell(asked, state=TrialState.FAIL)
                self._not_before = time.monotonic() + BUSY_S
            return None
        return self._trial(asked.number, asked._trial_id, asked.params)

    def _require_same_configuration(self, corner: Trial) -> None:
        known = self.study.user_attrs.get("configuration")
        if known is None:
            self.study.set_user_attr("configuration", corner.identity)
        elif known != corner.identity:
            raise SweepError(
                f"the configuration of {self.sweep.experiment} has changed since this search began, so new trials would not compare "
                f"with its {drawn(self.study)} old ones; move {self.folder.path} aside or give the sweep file another name"
            )

    def _find_unfinished(self) -> list[Trial]:
        """Trials of this folder that the study believes to be running: ended ones are told, the others go on."""
        from optuna.trial import TrialState

        attempts, found = self.folder.attempts(), []
        for frozen in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            trial = self._trial(frozen.number, frozen._trial_id, frozen.params) if _is_ours(frozen, self) else None
            if trial is None:
                continue
            attempt = attempts.get(trial.id)
            if attempt is not None and attempt.status in SETTLED:
                self._tell(trial.id, attempt.status, attempt.end.get("metric"))
            else:
                found.append(trial)
        return found

    def _trial(self, number: int, optuna_id: int, params: dict[str, Any]) -> Trial:
        trial_id = f"{number:03d}"
        self._numbers[trial_id] = optuna_id
        chosen: dict[str, Level] = {name: level_of(self.sweep, name, value) for name, value in params.items()}
        return make_trials(self.sweep, [(trial_id, chosen, self.sweep.seeds[0])])[0]

    def _tell(self, trial_id: str, status: str, value: float | None) -> None:
        """A preempted or failed trial stays open in the study, so that the next start of the sweep takes it up."""
        from optuna.trial import TrialState

        states = {FINISHED: TrialState.COMPLETE, STOPPED: TrialState.PRUNED, DIVERGED: TrialState.FAIL}
        if status not in states:
            return
        state = TrialState.FAIL if status == FINISHED and value is None else states[status]
        values = value if state == TrialState.COMPLETE else None
        self.study.tell(self._frozen(trial_id).number, values, state=state, skip_if_finished=True)

    def _live(self, trial_id: str) -> Any:
        from optuna.trial import Trial as OptunaTrial

        return OptunaTrial(self.study, self._numbers[trial_id])

    def _frozen(self, trial_id: str) -> Any:
        return self.study._storage.get_trial(self._numbers[trial_id])


def open_study(sweep: Sweep, folder: SweepFolder, max_steps: int) -> Any:
    """The study of a sweep, made or found: an Optuna journal in its folder, or `search.storage`, an SQLAlchemy URL."""
    try:
        import optuna
        from optuna.storages import JournalStorage, RDBStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise SweepError("a search needs Optuna: pip install 'persona-faces[search]' (or 'optuna>=5,<6')") from error
    assert sweep.search is not None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    url = sweep.search.storage
    for tries_left in reversed(range(OPENING_TRIES)):
        try:
            journal = url == "journal"
            storage = JournalStorage(JournalFileBackend(str(folder.path / JOURNAL))) if journal else RDBStorage(url)
            return optuna.create_study(
                study_name=f"{sweep.name}-{sweep.hash}",
                storage=storage,
                direction="minimize" if sweep.metric.direction == "min" else "maximize",
                sampler=_sampler(sweep.search, 0),
                pruner=_pruner(sweep.search, max_steps),
                load_if_exists=True,
            )
        except Exception as error:  # drivers raise their own errors, without a common class
            if tries_left == 0:
                raise SweepError(
                    f"search.storage {url!r} cannot be used: {str(error).splitlines()[0]}; "
                    "expected journal, sqlite:///FILE or postgresql+psycopg://... with its driver installed"
                ) from error
            time.sleep(OPENING_S)  # of machines that start together only one makes the tables
    raise AssertionError("unreachable")


def drawn(study: Any) -> int:
    """Trials that count into `search.trials`."""
    return sum(SAME_AS_RUNNING not in trial.user_attrs for trial in study.get_trials(deepcopy=False))


def _is_ours(frozen: Any, source: SearchSource) -> bool:
    names = {dimension.name for dimension in source.search.space}
    return frozen.user_attrs.get("folder") == str(source.folder.path.resolve()) and set(frozen.params) == names


def _sampler(search: Search, number: int) -> Any:
    import optuna

    # One seed a trial: machines that share a study must not all begin with the same draws.
    seed = search.sampler["seed"] * 100_003 + number
    if search.sampler["kind"] == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=search.sampler.get("startup_trials", 10))


def _pruner(search: Search, max_steps: int) -> Any:
    from optuna import pruners

    options = search.pruner
    if options["kind"] == "median":
        return pruners.MedianPruner(options.get("startup_trials", 5), options.get("warmup_steps", 0))
    if options["kind"] == "hyperband":
        least = options.get("min_resource", max(1, max_steps // 27))
        return pruners.HyperbandPruner(least, max_steps, options.get("reduction_factor", 3))
    if options["kind"] == "patient":
        return pruners.PatientPruner(None, options.get("patience", 5), float(options.get("min_delta", 0.0)))
    return pruners.NopPruner()


def _distribution(dimension: Dimension) -> Any:
    from optuna import distributions

    if dimension.kind == "choice":
        return distributions.CategoricalDistribution([level.label for level in dimension.levels])
    if dimension.kind == "int":
        return distributions.IntDistribution(int(dimension.low), int(dimension.high))
    return distributions.FloatDistribution(dimension.low, dimension.high, log=dimension.kind == "log")
