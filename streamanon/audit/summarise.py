"""From what was measured to what is reported."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from streamanon.audit.gallery import Gallery
from streamanon.audit.leaks import HIDDEN
from streamanon.audit.measure import EmbeddingPair, Measurements
from streamanon.audit.pairing import Times
from streamanon.audit.people import Person
from streamanon.audit.recognisers import Recogniser, similarity
from streamanon.audit.result import (
    Interval,
    Leaks,
    OverTime,
    Reidentification,
    SizeBin,
    Spell,
    TrackResult,
    Utility,
)
from streamanon.types import Float

#: Lower bounds of the bins by face size, px.
SIZES = (0, 10, 20, 40, 80)
#: PSNR of a picture that did not change, dB, and the mean squared error below which none did.
MOST_PSNR_DB, LEAST_ERROR = 99.0, 1e-5
#: Changes of less than this from frame to frame, levels, are noise: no flicker is measured.
LEAST_CHANGE = 0.5
#: A correlation needs so many pairs, and values that vary by more than that (standard deviation).
FEWEST_PAIRS, LEAST_SPREAD = 5, 1e-6
#: Neighbouring samples of one face differ by pose and light, too; a switch is below the threshold by more.
SWITCH_SLACK = 0.1


def summarise_leaks(people: list[Person], measured: Measurements, times: Times) -> Leaks:
    sure = [person for person in people if person.sure]
    tracks = tuple(_track(person, measured, times) for person in sure)
    faces = [
        (face, measured.exposures.get((face.track, face.index), HIDDEN)) for p in sure for face in p.frames
    ]
    bins = []
    for low, high in zip(SIZES, (*SIZES[1:], None), strict=True):
        within = [e.seen for face, e in faces if low <= face.size_px < (high or np.inf)]
        bins.append(SizeBin(low, high, len(within), sum(within)))
    seen_at = {face.index for face, exposure in faces if exposure.seen}
    return Leaks(
        face_frames=len(faces),
        seen=sum(exposure.seen for _, exposure in faces),
        seconds_seen=sum(times.duration_of(index) for index in seen_at),
        tracks=len(sure),
        tracks_seen=sum(track.seen > 0 for track in tracks),
        doubtful_tracks=len(people) - len(sure),
        hidden_frames=measured.missing,
        by_size=tuple(bins),
        per_track=tracks,
    )


def _track(person: Person, measured: Measurements, times: Times) -> TrackResult:
    indices = [face.index for face in person.frames]
    seen = [i for i in indices if measured.exposures.get((person.track, i), HIDDEN).seen]
    return TrackResult(
        person.track, person.size_px, len(indices), len(seen), _spells(indices, times), _spells(seen, times)
    )


def _spells(indices: Sequence[int], times: Times) -> tuple[Spell, ...]:
    """Runs of frames as times; zero is the video's first frame."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    zero = times.seconds[0]
    return tuple(
        Spell(times.seconds[a] - zero, times.seconds[b] - zero + times.duration_of(b)) for a, b in runs
    )


def summarise_recogniser(
    recogniser: Recogniser, embedding_pairs: list[EmbeddingPair], gallery: Gallery | None
) -> Reidentification:
    """``gallery`` holds photos of people, described by this recogniser."""
    by_track = _by_track(embedding_pairs)
    originals = {track: _mean([e.original for e in met]) for track, met in by_track.items()}
    outputs = {track: _mean([e.output for e in met]) for track, met in by_track.items()}
    genuine = [similarity(recogniser, e.original, e.output) for e in embedding_pairs]
    impostor = [
        similarity(recogniser, originals[one], originals[two])
        for one in originals
        for two in originals
        if one < two
    ]
    accepted = sum(value >= recogniser.threshold for value in genuine)
    hits = sum(_finds_itself(recogniser, track, outputs[track], originals) for track in outputs)
    several = len(originals) > 1
    known_again = sum(_mostly_accepted(recogniser, met) for met in by_track.values())
    named = gallery.name_people(recogniser, originals) if gallery else {}
    return Reidentification(
        recogniser=recogniser.name,
        relation=recogniser.relation,
        threshold=recogniser.threshold,
        rank1=Interval.of_counts(hits, len(outputs)) if several else None,
        chance=1 / len(originals) if several else None,
        accepted=Interval.of_counts(accepted, len(genuine)),
        gallery_people=len(gallery.people) if gallery else 0,
        gallery_rank1=_named_again(recogniser, gallery, named, outputs),
        intrusions=_intrusions(recogniser, gallery, named, outputs),
        genuine=tuple(genuine),
        impostor=tuple(impostor),
        people=len(outputs),
        accepted_people=Interval.of_counts(known_again, len(outputs)),
    )


def _mostly_accepted(recogniser: Recogniser, met: list[EmbeddingPair]) -> bool:
    likes = [similarity(recogniser, pair.original, pair.output) for pair in met]
    return sum(like >= recogniser.threshold for like in likes) * 2 > len(likes)


def _finds_itself(recogniser: Recogniser, track: int, output: Float, originals: dict[int, Float]) -> bool:
    """Whether the nearest original is the track's own, or the same person's at another time."""
    best = max(originals, key=lambda other: similarity(recogniser, output, originals[other]))
    same = similarity(recogniser, originals[best], originals[track]) >= recogniser.threshold
    return best == track or same


def _named_again(
    recogniser: Recogniser, gallery: Gallery | None, named: dict[int, str], outputs: dict[int, Float]
) -> Interval | None:
    if gallery is None:
        return None
    hits = sum(gallery.nearest(recogniser, outputs[track])[0] == name for track, name in named.items())
    return Interval.of_counts(hits, len(named))


def _intrusions(
    recogniser: Recogniser, gallery: Gallery | None, named: dict[int, str], outputs: dict[int, Float]
) -> Interval | None:
    """Output people who pass for somebody in the gallery whom they are not."""
    if gallery is None:
        return None
    hits = 0
    for track, output in outputs.items():
        name, value = gallery.nearest(recogniser, output)
        hits += value >= recogniser.threshold and name != named.get(track)
    return Interval.of_counts(hits, len(outputs))


def summarise_utility(measured: Measurements) -> Utility:
    seen = measured.fidelities
    error = float(np.mean(measured.outside_error)) if measured.outside_error else None
    return Utility(
        faces_found=Interval.of_counts(sum(one.found for one in seen), len(seen)),
        landmark_nme=_average(one.nme for one in seen),
        yaw_error_deg=_average(one.yaw for one in seen),
        eye_correlation=_correlation([one.lids for one in seen]),
        mouth_correlation=_correlation([one.lips for one in seen]),
        gaze_error=_average(one.gaze for one in seen),
        skin_delta_e=float(np.median([one.skin for one in seen])) if seen else None,
        psnr_outside=None
        if error is None
        else float(min(MOST_PSNR_DB, 10 * np.log10(255**2 / max(error, LEAST_ERROR)))),
        changed_outside=_average(measured.outside_changed),
    )


def summarise_time(measured: Measurements, recognisers: list[Recogniser]) -> OverTime:
    """By the first recogniser, which is the most independent one."""
    flicker = [there / here for here, there in measured.flicker if here > LEAST_CHANGE]
    first = recognisers[0] if recognisers else None
    stability, before, switches = [], [], 0
    for met in _by_track(measured.embedding_pairs[first.name]).values() if first else ():
        assert first is not None
        steps = [similarity(first, a.output, b.output) for a, b in pairwise(met)]
        stability += steps
        before += [similarity(first, a.original, b.original) for a, b in pairwise(met)]
        switches += sum(step < first.threshold - SWITCH_SLACK for step in steps)
    return OverTime(
        recogniser=first.name if first else None,
        stability=_average(stability),
        stability_original=_average(before),
        switches=switches,
        flicker=float(np.median(flicker)) if flicker else None,
    )


def _by_track(embedding_pairs: Iterable[EmbeddingPair]) -> dict[int, list[EmbeddingPair]]:
    found: dict[int, list[EmbeddingPair]] = defaultdict(list)
    for pair in embedding_pairs:
        found[pair.track].append(pair)
    return found


def _mean(embeddings: Sequence[Float]) -> Float:
    return np.asarray(np.mean(embeddings, axis=0), np.float32)


def _average(values: Iterable[float]) -> float | None:
    kept = [value for value in values if np.isfinite(value)]
    return float(np.mean(kept)) if kept else None


def _correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Pearson's; None for few pairs or for values that do not vary."""
    values = np.array(pairs).reshape(-1, 2)
    if len(values) < FEWEST_PAIRS or min(values.std(axis=0)) < LEAST_SPREAD:
        return None
    return float(np.corrcoef(values.T)[0, 1])
