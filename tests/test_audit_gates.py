from __future__ import annotations

import dataclasses

import pytest
from audits import a_result

from streamanon.audit.gates import DEFAULT, MEASURES, breaches, parse_gates
from streamanon.audit.result import Interval
from streamanon.errors import ConfigError


def test_every_measure_can_be_a_condition() -> None:
    result = a_result()
    for name in MEASURES:
        if name == "intrusion":  # there is no gallery, so it was not measured
            continue
        gates = parse_gates(f"{name}>=0")
        assert breaches(gates, result) == (f"{name}>=0",)
        assert breaches(parse_gates(f"{name}>1000"), result) == ()


def test_several_conditions() -> None:
    gates = parse_gates("leak>0, reid>0.01,found<0.9")
    assert [str(gate) for gate in gates] == ["leak>0", "reid>0.01", "found<0.9"]
    assert parse_gates("never") == []
    assert [str(gate) for gate in parse_gates(DEFAULT)] == ["leak>0"]


@pytest.mark.parametrize("text", ["", "leak", "leak=0", "faces>1", "leak>0;reid>1", "leak>x", "leak>1.2.3"])
def test_what_is_no_condition_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="--fail-on"):
        parse_gates(text)


def test_a_leak_breaches() -> None:
    gates = parse_gates("leak>0")
    result = a_result()
    assert result.leaks.seen
    assert breaches(gates, result) == ("leak>0",)
    clean = dataclasses.replace(result, leaks=dataclasses.replace(result.leaks, seen=0))
    assert breaches(gates, clean) == ()


def test_what_was_not_measured_fails() -> None:
    utility = dataclasses.replace(a_result().utility, faces_found=None)
    assert breaches(parse_gates("found<0.5"), dataclasses.replace(a_result(), utility=utility))


def test_streamanons_own_recogniser_counts_only_where_it_is_alone() -> None:
    result = a_result()
    other, own = result.reidentification
    own = dataclasses.replace(own, recogniser="streamanon encoder", accepted=Interval(0.9, 0.8, 1, 50))
    other = dataclasses.replace(other, accepted=Interval(0.0, 0.0, 0.1, 50))
    gates = parse_gates("reid>0.01")
    assert not breaches(gates, dataclasses.replace(result, reidentification=(other, own)))
    assert breaches(gates, dataclasses.replace(result, reidentification=(own,)))


@pytest.mark.parametrize("name", ["reid", "rank1", "intrusion", "switches"])
def test_no_recogniser_could_say_anything_fails(name: str) -> None:
    result = a_result()
    silent = dataclasses.replace(
        result, reidentification=(), over_time=dataclasses.replace(result.over_time, recogniser=None)
    )
    assert breaches(parse_gates(f"{name}>0.5"), silent) == (f"{name}>0.5",)


def test_what_is_no_number_fails() -> None:
    result = a_result()
    strange = dataclasses.replace(result.utility, landmark_nme=float("nan"))
    assert breaches(parse_gates("nme>0.1"), dataclasses.replace(result, utility=strange))
