"""The page on watching says what there is, all of it and nothing else."""

import re
from pathlib import Path

from pressroom.metrics import Metrics
from pressroom.settings import Settings
from pressroom.traces import ENDPOINTS

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "watch.md").read_text()
SUFFIXES = re.compile(r"_(total|bucket|sum|count|created)$")


def test_every_metric_is_on_the_page_and_every_name_on_the_page_is_a_metric() -> None:
    registered = {family.name for family in Metrics(20).registry.collect()}
    named = set(re.findall(r"\b(?:pressroom|process)_[a-z_]+[a-z]", PAGE))
    assert {SUFFIXES.sub("", name) for name in named} - registered == set()
    assert registered - {SUFFIXES.sub("", name) for name in named} == set()


def test_every_variable_on_the_page_is_read() -> None:
    settings = {f"PRESSROOM_{name.upper()}" for name in Settings.model_fields}
    named = set(re.findall(r"\bPRESSROOM_[A-Z_]+", PAGE))
    assert named <= settings
    assert {"PRESSROOM_LOG_FORMAT", "PRESSROOM_LOG_LEVEL", "PRESSROOM_METRICS_TOKEN"} <= named
    assert set(ENDPOINTS) <= set(re.findall(r"\bOTEL_[A-Z_]+", PAGE))
