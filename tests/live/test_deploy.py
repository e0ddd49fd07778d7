"""What docs/deploy holds is checked by the programs that read it, where they are there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from streamanon.live.metrics import Collector

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"


def test_the_systemd_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "streamanon.service"
    text = (DEPLOY / "streamanon.service").read_text()
    unit.write_text(text.replace("/opt/streamanon/bin/streamanon", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60
    )
    complaints = [line for line in done.stderr.splitlines() if "streamanon.service" in line]
    assert complaints == []
    assert done.returncode == 0, done.stderr


def test_each_metric_of_the_dashboard_exists() -> None:
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    named = set(re.findall(r"streamanon_[a-z_]+", json.dumps(dashboard)))
    named |= set(re.findall(r"streamanon_[a-z_]+", (DEPLOY / "README.md").read_text()))
    known = set()
    for family in Collector({}).collect():
        known |= {family.name, f"{family.name}_total", f"{family.name}_bucket"}
    assert named - known == set()
    assert len(named) > 10


def test_prometheus_takes_its_file() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (prometheus)")
    command = ["promtool", "check", "config", str(DEPLOY / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_other_files_are_yaml() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert compose["services"]["streamanon"]["command"][0] == "live"
    assert yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
