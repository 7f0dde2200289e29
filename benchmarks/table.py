"""How every benchmark prints what it measured."""

from __future__ import annotations

import platform

import torch
from rich.console import Console
from rich.table import Table


def print_rows(rows: list[dict]) -> None:
    """Print measurements `{"name", "value", "unit"}`; a value of None shows its unit as the reason."""
    table = Table(title=f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    table.add_column("what")
    table.add_column("measured", justify="right")
    for row in rows:
        value = row["value"]
        table.add_row(
            row["name"],
            row["unit"]
            if value is None
            else f"{value:,.4g} {row['unit']}"
            if value < 1e4
            else f"{value:,.0f} {row['unit']}",
        )
    Console(width=110).print(table)
