"""Reading what Prometheus would read."""

from __future__ import annotations

from typing import Any

from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

PREFIX = 'pacifica_dispatcher_'


class Scrape:
    """The samples in an answer of ``/metrics``."""

    def __init__(self, text: str) -> None:
        self.families = list(text_string_to_metric_families(text))
        self.samples = [sample for family in self.families for sample in family.samples]

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of the samples called *name*, without the prefix, that have *labels*."""
        return sum(
            sample.value for sample in self.samples
            if sample.name == PREFIX + name and labels.items() <= sample.labels.items()
        )

    def label_names(self) -> dict[str, set[str]]:
        """Return the labels of each sample's name."""
        found: dict[str, set[str]] = {}
        for sample in self.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
        return found


def counted(name: str, **labels: Any) -> float | None:
    """Return what this process has counted so far; ``None`` if Prometheus does not see it yet."""
    return REGISTRY.get_sample_value(PREFIX + name, labels)
