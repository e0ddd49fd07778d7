"""What docs/deploy holds is checked by the programs that read it, where they are there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

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


def test_the_images_first_process_waits_for_orphans() -> None:
    """A killed output's child of its own would stay as a zombie: they filled the table of processes."""
    text = (DEPLOY / "Dockerfile").read_text()
    assert re.search(r"^RUN apt-get .* tini ", text, re.M)
    assert 'ENTRYPOINT ["tini", "--", "streamanon"]' in text


def _compose() -> dict[str, Any]:
    made: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return made


def test_docker_compose_takes_its_file() -> None:
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed")
    command = ["docker-compose", "-f", str(DEPLOY / "compose.yaml"), "config"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["services"].keys() == _compose()["services"].keys()


def test_the_user_of_the_image_may_write_into_the_volumes() -> None:
    """A volume that is mounted where the image has no folder belongs to root."""
    volumes = _compose()["services"]["streamanon"]["volumes"]
    mounted = {one.split(":")[1] for one in volumes if not one.startswith(".")}
    made = re.search(
        r"^RUN mkdir -p (.*) && chown streamanon (.*)$", (DEPLOY / "Dockerfile").read_text(), re.M
    )
    assert made is not None
    assert mounted == set(made[1].split()) == set(made[2].split())


def test_each_file_that_is_mounted_is_there_and_read_by_its_reader() -> None:
    compose = _compose()
    mounted = {
        source: target
        for one in compose["services"].values()
        for source, target in (volume.split(":")[:2] for volume in one["volumes"])
        if source.startswith(".")
    }
    assert {name for name in mounted if not (DEPLOY / name).exists()} == {"./site.yaml"}  # the user's own
    dashboards = yaml.safe_load((DEPLOY / "grafana-dashboards.yaml").read_text())
    (provider,) = dashboards["providers"]
    assert Path(mounted["./grafana.json"]).parent == Path(provider["options"]["path"])
    (source,) = yaml.safe_load((DEPLOY / "grafana-datasource.yaml").read_text())["datasources"]
    port = compose["services"]["prometheus"]["ports"][0].rpartition(":")[2]
    assert source["url"] == f"http://prometheus:{port}"
    assert compose["services"]["streamanon"]["command"][0] == "live"
