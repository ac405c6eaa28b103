"""Lets pytest collect ``bench_*.py``, here and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Collect measurements as the tests they are; a file that is named on the command line is collected anyway."""
    named = parent.session.isinitpath(file_path)
    return pytest.Module.from_parent(parent, path=file_path) if file_path.match('bench_*.py') and not named else None
