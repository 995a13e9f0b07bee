"""Fit the sources of a facet in the order of decreasing likelihood, each together with its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import KDTree

from clustermass.arrays import BoolArray, Float32Array, FloatArray, IntArray
from clustermass.detect.facet_image import FacetImage
from clustermass.detect.maximum_likelihood import EXTENDED_DOF, POINT_DOF, Chosen, Fit, negative_log_q
from clustermass.detect.newton import Trials, best_trial, climb, drop_of
from clustermass.detect.stamps import REACH_ARCSEC, CountImages, Templates, counts_at
from clustermass.detect.wings import Wing

if TYPE_CHECKING:
    from clustermass.config.sky_models import Detection

LEAST_GAIN = 0.5  # extended sources are fitted if one at the place of the point source improves C by this
SPLIT_COST = 15.0  # drop of C by which two point sources must be better than an extended one
LEAST_COUNTS = 0.5  # counts in a stamp from which another source matters there
SAME_ARCSEC = 12.0  # a second point source this near to a known one is the same
_ANGLE, _RADIUS = np.meshgrid(np.arange(8) * np.pi / 4.0, [14.0, 22.0, 32.0])
#: places beside a point source at which a second one is searched for
BESIDE: Trials = (_RADIUS * np.cos(_ANGLE)).ravel(), (_RADIUS * np.sin(_ANGLE)).ravel(), np.zeros(24, np.int64)
#: extents from which fits of extended sources may start
EXTENTS: Trials = np.zeros(4), np.zeros(4), np.array([1, 4, 7, 10])
LAST_ROUND = 7  # sources after more than so many others are fitted at once
WIDE = 6  # number of the model whose counts decide which source is fitted after which


class FacetFits:
    """Fits of the sources in the image of a facet. All arrays have the shape (source,).

    `best` holds the fits, relative to the stamps' central pixels (`pixels`). `place` is the number of the place near
    which each source was found. Pairs of neighbours are listed in two arrays (pair,): the counts of each `source` are
    part of the model in the stamp of its `target`.
    """

    def __init__(
        self,
        image: FacetImage,
        places: tuple[FloatArray, FloatArray],
        level: FloatArray,
        templates: Templates,
        parameters: Detection,
        wings: Sequence[Wing] = (),
        own: IntArray | None = None,
    ) -> None:
        """Fit a point source near each of the `places` in the plane, on the background `level` in counts / arcmin^2.

        `wings` are the profiles of bright clusters. `own` holds, for each place, the index in `wings` of the cluster
        there, or -1 if no such cluster is there. Sources with a DET_LIKE below `det_like_floor` are left out: they
        wouldn't become more likely with other sources in the model.
        """
        self.image, self.templates, self.parameters, self.wings = image, templates, parameters, wings
        self.level = (level * (templates.pixel_arcsec / 60.0) ** 2).astype(np.float32)
        self.place = np.arange(len(level))
        self.target = self.source = np.zeros(0, np.intp)
        self.own = np.full(len(level), -1) if own is None else own
        self.seconds: list[tuple[FloatArray, FloatArray, FloatArray, IntArray]] = []
        self.best = Chosen.empty(len(level))
        self.pixels, self.best.fit.x, self.best.fit.y = self._placed(*places)
        self._fit_points(self.place, *self._model(self.place))
        kept = np.flatnonzero(self.alive())
        kept = kept[np.lexsort((self.pixels[kept], -self.best.det_like[kept]))]
        self._keep(kept)
        self._return_twins(*(at[kept] for at in places))

    def _placed(self, x: FloatArray, y: FloatArray) -> tuple[IntArray, FloatArray, FloatArray]:
        """Return the pixel that contains each place in the plane, and the place's offsets from this pixel's centre."""
        pixels = self.image.pixels(x, y)
        centre_x, centre_y = self.image.centres(pixels)
        return pixels, x - centre_x, y - centre_y

    def _keep(self, rows: IntArray) -> None:
        """Keep only the sources `rows`, in this order."""
        self.best, self.pixels = self.best[rows], self.pixels[rows]
        self.level, self.place, self.own = self.level[rows], self.place[rows], self.own[rows]

    def _return_twins(self, x: FloatArray, y: FloatArray) -> None:
        """Move sources back to where their fits began, (x, y), if the fits ended near a more likely source."""
        one, other, _ = self._near(self.parameters["merge_point_arcsec"])
        twin = np.unique(np.maximum(one, other))
        self.pixels[twin], self.best.fit.x[twin], self.best.fit.y[twin] = self._placed(x[twin], y[twin])

    def _near(self, radius_arcsec: float) -> tuple[IntArray, IntArray, FloatArray]:
        """Return the pairs of sources that are nearer than a radius, each pair once, and their distances in arcsec."""
        places = np.stack(self.positions(), axis=1)
        one, other = KDTree(places).query_pairs(radius_arcsec, output_type="ndarray").T
        return one, other, np.hypot(*(places[one] - places[other]).T)

    def positions(self) -> tuple[FloatArray, FloatArray]:
        """Return the fitted x and y in the facet's plane, in arcsec."""
        x, y = self.image.centres(self.pixels)
        return x + self.best.fit.x, y + self.best.fit.y

    def alive(self) -> BoolArray:
        """Return whether the DET_LIKE of each source is at least `det_like_floor`."""
        return self.best.det_like >= self.parameters["det_like_floor"]

    def fit_in_order(self) -> None:
        """Fit all sources in the order of decreasing likelihood, with those fitted before in the model.

        Each source is fitted as a point source and as an extended one. An extended source is divided into two point
        sources if these explain its counts better. After this, extended sources near more likely ones are dropped, and
        sources with less likely neighbours are fitted again with all sources in the model.
        """
        self._pair()
        before = self.source < self.target
        wide = before & (self._added(np.full(len(self.source), WIDE)) >= LEAST_COUNTS)
        rounds = np.minimum(_rounds(self.target[wide], self.source[wide], len(self.pixels)), LAST_ROUND)
        self.target, self.source = self.target[before], self.source[before]
        for number in range(int(rounds.max(initial=0)) + 1):
            selected = np.flatnonzero(rounds == number)
            if number:
                self._fit(selected, divide=True)
            else:
                self._fit_extended(selected, *self._model(selected), divide=True)
        self._add_seconds()
        self._pair()
        self._drop_parts()
        self._fit_again()

    def _fit_again(self) -> None:
        """Fit sources once more if less likely ones add counts to their stamps. Also fit those from `_add_seconds`."""
        matters = (self._added(self.best.fit.model[self.source]) >= LEAST_COUNTS) & self.alive()[self.source]
        seconds = np.flatnonzero(self.best.fit.delta_c == 0.0)
        again = np.union1d(self.target[matters & (self.source > self.target)], seconds)
        again = again[self.alive()[again]]
        self._fit(again, divide=False)

    def _drop_parts(self) -> None:
        """Drop extended sources near a more likely extended one."""
        extended, like = self.best.ext_like > 0.0, self.best.det_like
        part = extended[self.target] & extended[self.source] & (like[self.source] > like[self.target])
        part &= self.distance < self.parameters["merge_extended_arcsec"]
        self.best.det_like[np.unique(self.target[part])] = 0.0

    def _pair(self) -> None:
        one, other, distance = self._near(self.parameters["cut_radius_arcsec"] + REACH_ARCSEC)
        self.target, self.source = np.concatenate([one, other]), np.concatenate([other, one])
        self.distance = np.tile(distance, 2)

    def _added(self, model: IntArray) -> FloatArray:
        """Return roughly how many counts each pair's source, with the model `model`, adds to the target's stamp."""
        counts = self.best.fit.counts[self.source]
        return self.templates.value(model, self.distance) * counts * len(self.templates.x)

    def _model(self, selected: IntArray) -> tuple[CountImages, Float32Array]:
        """Return the stamps of selected sources, and the counts expected in each entry without the source itself."""
        pairs = np.flatnonzero(np.isin(self.target, selected) & (self.alive() & (self.own < 0))[self.source])
        source, target = self.source[pairs], self.target[pairs]
        stamps = self.image.stamps(self.pixels[selected], self.templates)
        (x, y), (centre_x, centre_y), fit = self.positions(), self.image.centres(self.pixels), self.best.fit
        x, y, number = x[source] - centre_x[target], y[source] - centre_y[target], np.searchsorted(selected, target)
        even = self.templates.value(fit.model[source], np.hypot(x, y)) * fit.counts[source] * len(self.templates.x)
        near = even >= LEAST_COUNTS
        source = source[near]
        added = counts_at(stamps, self.templates, number[near], x[near], y[near], fit.model[source], fit.counts[source])
        background = self.level[selected][stamps.owner] + added
        return stamps, background + self._wings(stamps, selected)

    def _wings(self, stamps: CountImages, selected: IntArray) -> Float32Array:
        """Return the counts that other bright clusters add to each entry of the stamps of selected sources."""
        x, y = self.image.centres(self.pixels[selected])
        added, reach = np.zeros(len(stamps.pixel), np.float32), self.parameters["cut_radius_arcsec"]
        for number, wing in enumerate(self.wings):
            near = (np.hypot(x - wing.x, y - wing.y) < wing.radius[-1] + reach) & (self.own[selected] != number)
            entry = np.flatnonzero(near[stamps.owner])
            owner, pixel = stamps.owner[entry], stamps.pixel[entry]
            added[entry] += wing.at(x[owner] + self.templates.x[pixel], y[owner] + self.templates.y[pixel])
        return added

    def _fit(self, selected: IntArray, divide: bool) -> None:
        """Fit selected sources as point sources and as extended sources, after `_follow` has moved their stamps."""
        self._follow(selected)
        stamps, background = self._model(selected)
        self._fit_points(selected, stamps, background)
        self._fit_extended(selected, stamps, background, divide)

    def _fit_points(self, selected: IntArray, stamps: CountImages, background: Float32Array) -> None:
        """Fit selected sources as point sources."""
        start = self.best.fit[selected]
        start.model[:] = 0
        unknown = start.counts == 0.0
        start.counts[unknown] = (np.add.reduceat(np.append(stamps.counts, 0), stamps.first[:-1]) / 3.0)[unknown]
        self._choose_points(selected, climb(stamps, background, np.arange(len(start)), start, self.templates, False))

    def _follow(self, rows: IntArray) -> None:
        """Centre stamps anew on sources that are farther than `shift_arcsec` from their stamp's centre."""
        fit = self.best.fit
        rows = rows[np.maximum(np.abs(fit.x[rows]), np.abs(fit.y[rows])) > self.parameters["shift_arcsec"]]
        x, y = (at[rows] for at in self.positions())
        self.pixels[rows], fit.x[rows], fit.y[rows] = self._placed(x, y)

    def _fit_extended(self, selected: IntArray, stamps: CountImages, background: Float32Array, divide: bool) -> None:
        """Fit selected point sources as extended, where an extent may improve the fit.

        If `divide`, extended sources are divided into two point sources where these explain the counts better.
        """
        rows = np.flatnonzero(self.best.det_like[selected] >= self.parameters["extent_point_like_min"])
        point = self.best.fit[selected[rows]]
        smallest = replace(point, model=point.model + 1)
        start = best_trial(stamps, background, rows, smallest, self.templates, EXTENTS)
        wide = start.delta_c > point.delta_c + LEAST_GAIN
        rows, point = rows[wide], point[wide]
        fit = climb(stamps, background, rows, start[wide], self.templates, True)
        # a point source may have stayed at a lower maximum
        again = climb(stamps, background, rows, replace(point, x=fit.x, y=fit.y), self.templates, False)
        higher = np.flatnonzero(again.delta_c > point.delta_c)
        point[higher] = again[higher]
        self._choose_points(selected[rows], point)
        ext_like = negative_log_q(self.parameters["ext_dof"], fit.delta_c - point.delta_c)
        likely = np.flatnonzero(ext_like >= self.parameters["ext_like_floor"])
        if divide:
            one = self._divide(selected, stamps, background, rows[likely], point[likely], fit.delta_c[likely])
            likely = likely[one]
        fit = fit[likely]
        chosen = Chosen(fit, negative_log_q(EXTENDED_DOF, fit.delta_c), ext_like[likely])
        self.best[selected[rows[likely]]] = chosen

    def _choose_points(self, selected: IntArray, fit: Fit) -> None:
        self.best[selected] = Chosen(fit, negative_log_q(POINT_DOF, fit.delta_c), np.zeros(len(fit)))

    def _divide(
        self,
        selected: IntArray,
        stamps: CountImages,
        background: Float32Array,
        rows: IntArray,
        first: Fit,
        drop: FloatArray,
    ) -> BoolArray:
        """Divide extended sources into two point sources where these explain the counts better.

        `rows` are the numbers of the sources in `selected`. `first` are their fits as point sources, and `drop` says by
        how much their fits as extended sources lower the C statistic. Two point sources must lower it by at least
        SPLIT_COST more. Returns whether each source remains undivided.
        """

        def beside(fit: Fit) -> Float32Array:
            return background + counts_at(stamps, self.templates, rows, fit.x, fit.y, fit.model, fit.counts)

        other = best_trial(stamps, beside(first), rows, first, self.templates, BESIDE)
        other = climb(stamps, beside(first), rows, other, self.templates, False)
        first = climb(stamps, beside(other), rows, first, self.templates, False)
        other = climb(stamps, beside(first), rows, other, self.templates, False)
        both = other.delta_c + drop_of(stamps, background, rows, first, self.templates)
        likely = negative_log_q(POINT_DOF, other.delta_c) >= self.parameters["det_like_floor"]
        two = likely & (both > drop + SPLIT_COST)
        divided, other = selected[rows[two]], other[two]
        self._choose_points(divided, first[two])
        x, y = self.image.centres(self.pixels[divided])
        self.seconds.append((x + other.x, y + other.y, other.counts, divided))
        return ~two

    def _add_seconds(self) -> None:
        """Add the second point source of each divided source, unless another source is near it."""
        x, y, counts, first = (np.concatenate(values) for values in zip(*self.seconds, strict=True))
        known = np.stack(self.positions(), axis=1)[self.alive()]
        distance, _ = KDTree(known).query(np.stack([x, y], axis=1))
        new = distance > SAME_ARCSEC
        pixels, x, y = self._placed(x[new], y[new])
        added, first = Chosen.empty(len(x)), first[new].astype(np.intp)
        added.fit.x, added.fit.y, added.fit.counts = x, y, counts[new]
        added.det_like[:] = self.parameters["det_like_floor"]  # until it is fitted
        self.best, self.pixels = Chosen.join(self.best, added), np.append(self.pixels, pixels)
        self.level, self.place = np.append(self.level, self.level[first]), np.append(self.place, self.place[first])
        self.own = np.append(self.own, np.full(len(first), -1))


def _rounds(target: IntArray, source: IntArray, number: int) -> IntArray:
    """Return the number of the round in which each source is fitted: after the rounds of all more likely neighbours.

    Sources without such neighbours are fitted in round 0. Sources are numbered in the order of decreasing likelihood,
    and each `source` is more likely than its `target`.
    """
    rounds = [0] * number
    order = np.lexsort((source, target))
    for later, earlier in zip(target[order].tolist(), source[order].tolist(), strict=True):
        rounds[later] = max(rounds[later], rounds[earlier] + 1)
    return np.array(rounds, dtype=np.intp)
