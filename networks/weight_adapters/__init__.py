"""Changes of a frozen network's weights for one person: LoRA, MoLoRA, DoRA, OFT, BOFT and plain fine-tuning behind one interface."""

from networks.weight_adapters.analysis import Report, ReportRow, delta_spectra, deltas, only_pairs, report
from networks.weight_adapters.attaching import (
    attach,
    hold_in_evaluation,
    is_merged,
    merge,
    people_of,
    remove,
    several_people,
    switch,
    train_only,
    unmerge,
)
from networks.weight_adapters.expression import EXPRESSION_METHODS, expression_spec
from networks.weight_adapters.files import base_hash, load_person, person_state, read_metadata, save_person
from networks.weight_adapters.spec import METHODS, AdapterError, AdapterSpec

__all__ = [
    "EXPRESSION_METHODS",
    "METHODS",
    "AdapterError",
    "AdapterSpec",
    "Report",
    "ReportRow",
    "attach",
    "base_hash",
    "delta_spectra",
    "deltas",
    "expression_spec",
    "hold_in_evaluation",
    "is_merged",
    "load_person",
    "merge",
    "only_pairs",
    "people_of",
    "person_state",
    "read_metadata",
    "remove",
    "report",
    "save_person",
    "several_people",
    "switch",
    "train_only",
    "unmerge",
]
