from __future__ import annotations

import dataclasses

import pytest
from audits import a_result

from streamanon.audit.gates import DEFAULT, MEASURES, breaches, left_open, parse_gates
from streamanon.audit.result import AuditResult, Interval
from streamanon.commands.audit import describe
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
    assert [str(gate) for gate in parse_gates(DEFAULT)] == ["leak>0", "pictures>0"]


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


def test_switches_between_no_faces_were_not_measured() -> None:
    over_time = dataclasses.replace(a_result().over_time, stability=None, switches=0)
    assert breaches(parse_gates("switches>0"), dataclasses.replace(a_result(), over_time=over_time))


def test_streamanons_own_recogniser_counts_only_where_it_is_alone() -> None:
    result = a_result()
    other, own = result.reidentification
    own = dataclasses.replace(own, recogniser="streamanon encoder", accepted=Interval(0.9, 0.8, 1, 50))
    other = dataclasses.replace(other, accepted=Interval(0.0, 0.0, 0.1, 50))
    gates = parse_gates("reid>0.01")
    assert not breaches(gates, dataclasses.replace(result, reidentification=(other, own)))
    assert breaches(gates, dataclasses.replace(result, reidentification=(own,)))


def few(people: int, hits: int) -> AuditResult:
    """A result with so many people, of whom so many are recognised, in most of their faces or by rank."""
    result = a_result()
    one = dataclasses.replace(
        result.reidentification[0],
        people=people,
        accepted=Interval(max(0.03, hits / people), 0.02, 1.0, 400),
        accepted_people=Interval.of_counts(hits, people),
        rank1=Interval.of_counts(hits, people),
        chance=1 / people,
    )
    return dataclasses.replace(result, reidentification=(one,))


def test_a_few_faces_of_two_people_tell_nothing() -> None:
    gates = parse_gates("reid>0.01,rank1>0.01")
    assert breaches(gates, few(2, 0)) == ()
    assert left_open(gates, few(2, 0)) == ("reid>0.01", "rank1>0.01")
    assert left_open(parse_gates("rank1>0.01"), few(2, 2)) == ("rank1>0.01",)  # by chance, one time in four


def test_people_who_are_recognised_fail_it_however_few() -> None:
    gates = parse_gates("reid>0.01")
    for people, hits in ((1, 1), (2, 2), (5, 1)):
        assert breaches(gates, few(people, hits)) == ("reid>0.01",)
    assert breaches(parse_gates("rank1>0.01"), few(6, 6)) == ("rank1>0.01",)


def test_with_enough_people_every_share_counts() -> None:
    gates = parse_gates("reid>0.01")
    assert breaches(gates, few(20, 0)) == ("reid>0.01",)  # 3 % of the faces
    assert left_open(gates, few(20, 0)) == ()


def test_the_command_says_that_people_are_too_few() -> None:
    result = dataclasses.replace(few(2, 0), failed=(), too_few=("reid>0.01",))
    told = describe(result)
    assert "3.0 % of faces, most faces of 0 of 2 people; 20 or more are needed for reliable shares" in told
    assert "too few people to tell: reid>0.01\npassed" in told
    assert "rank-1" not in told


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
