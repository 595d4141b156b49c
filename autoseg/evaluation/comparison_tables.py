"""A comparison as tables that a person reads, and its outcome in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from autoseg.evaluation.comparison import Comparison
from autoseg.evaluation.layout import Table, lay_out
from autoseg.evaluation.metrics import DISTANCES
from autoseg.evaluation.overview import TITLES, count_cases, describe_settings, digits, number
from autoseg.evaluation.paired import LOWER_IS_BETTER, MissTest, PairedTest
from autoseg.evaluation.ranking import Ranking
from autoseg.evaluation.statistics import FEWEST_FOR_BCA, FEWEST_PAIRS, SIGNIFICANT


def format_comparison(comparison: Comparison, style: str = "plain") -> str:
    """Return the tables of a comparison: `plain`, `markdown` or `latex`."""
    cases = count_cases(len(comparison.cases), comparison.patients)
    title = f"{cases}; {describe_settings(comparison.settings)}"
    models = tuple(comparison.models.items())
    tables = [Table(title, ("model", "from"), models, text=(1,))]
    for pair in combinations(comparison.models, 2):
        tests = [test for test in comparison.tests if (test.first, test.second) == pair]
        misses = [test for test in comparison.misses if (test.first, test.second) == pair]
        overall = [test for test in comparison.overall if (test.first, test.second) == pair]
        tables += [_pair_table(*pair, [*tests, *overall])] if tests else []
        tables += _miss_table(*pair, misses)
    if not any(test.only_first or test.only_second or test.both for test in comparison.misses):
        tables.append(Table(notes=("No model missed a target, or found one where none is.",)))
    tables += [_ranking_table(ranking) for ranking in comparison.rankings]
    tables.append(Table(notes=(*_outcome(comparison), *comparison.notes)))
    return lay_out(tables, style)


def _pair_table(first: str, second: str, tests: Sequence[PairedTest]) -> Table:
    head = (
        "target", "metric", "n", first, second, f"{second} - {first}", "95 % interval",
        "median", "Hodges-Lehmann", "better/equal/worse", "p", "p (Holm)",
    )  # fmt: skip
    rows = [
        (
            test.target,
            TITLES.get(test.metric, test.metric),
            str(test.n) if test.n == test.of else f"{test.n} of {test.of}",
            number(test.mean_first, test.metric),
            number(test.mean_second, test.metric),
            _signed(test.difference, test.metric),
            "-" if test.ci95 is None
            else f"[{_signed(test.ci95[0], test.metric)}, {_signed(test.ci95[1], test.metric)}]",
            _signed(test.median, test.metric),
            _signed(test.hodges_lehmann, test.metric),
            f"{test.better}/{test.equal}/{test.worse}",
            _p(test.p),
            _p(test.p_holm),
        )
        for test in tests
    ]  # fmt: skip
    notes = []
    for test in tests:
        if test.metric in DISTANCES and test.n < test.of:
            ours, theirs = (
                number(v, test.metric) for v in (test.penalised_first, test.penalised_second)
            )
            notes.append(
                f"  {test.target} {TITLES.get(test.metric, test.metric)}: distances to nothing "
                f"counted at their worst, the means are {ours} ({first}) and {theirs} ({second})"
            )
    return Table(f"{second} - {first}", head, tuple(rows), tuple(notes), text=(1,))


def _miss_table(first: str, second: str, tests: Sequence[MissTest]) -> list[Table]:
    shown = [test for test in tests if test.only_first or test.only_second or test.both]
    if not shown:
        return []
    head = ("target", "what", "of", f"only {first}", f"only {second}", "both", "p", "p (Holm)")
    rows = [
        (t.target, t.kind, str(t.of), str(t.only_first), str(t.only_second), str(t.both),
         _p(t.p), _p(t.p_holm))
        for t in shown
    ]  # fmt: skip
    title = f"wholly missed or falsely found, in patients ({first}, {second}; McNemar's exact test)"
    return [Table(title, head, tuple(rows), text=(1,))]


def _ranking_table(ranking: Ranking) -> Table:
    rows = [
        (model, f"{rank:g}", f"[{low:g}, {high:g}]", f"{score:.2f}", f"{share:.0%}", str(ranking.n))
        for model, rank, (low, high), score, share in zip(
            ranking.models, ranking.ranks, ranking.ranks_ci95, ranking.scores,
            ranking.first_share, strict=True,
        )
    ]  # fmt: skip
    head = ("model", "rank", "95 % interval", "mean rank", "first in", "n")
    notes: tuple[str, ...] = ()
    if ranking.tau_mean is not None and ranking.tau_ci95 is not None:
        low, high = ranking.tau_ci95
        notes = (
            f"  Kendall's tau with the order when other patients are drawn: mean "
            f"{ranking.tau_mean:.2f} (n={ranking.n} patients), 95 % between {low:.2f} and "
            f"{high:.2f}",
        )
    return Table(f"ranking: {ranking.method}", head, tuple(rows), notes)


def _outcome(comparison: Comparison) -> list[str]:
    """Say what was found, and where nothing could be found."""
    tested = [test for test in comparison.tests if test.p_holm is not None]
    few = {test.method for test in comparison.tests if test.method.startswith("none: n")}
    lines = []
    if few:
        lines.append(
            f"Too few patients for a p value ({'; '.join(sorted(few)).replace('none: ', '')}): "
            f"with fewer than {FEWEST_PAIRS} no difference can reach {SIGNIFICANT:g}."
        )
    if any(test.ci95_method == "percentile" for test in comparison.tests):
        lines.append(f"With fewer than {FEWEST_FOR_BCA} patients the intervals are too narrow.")
    kinds = sorted({test.method for test in tested})
    if tested:
        lines.append(
            f"Wilcoxon's signed-rank test ({', '.join(kinds)}), two-sided, p corrected by Holm for "
            f"{len(tested)} tests:"
        )
        lines += _winners([test for test in tested if (test.p_holm or 0.0) < SIGNIFICANT])
    return lines


def _winners(tests: Sequence[PairedTest]) -> list[str]:
    """Say which model is better than which, and in what."""
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for test in tests:
        gain = (test.hodges_lehmann or 0.0) * (-1 if test.metric in LOWER_IS_BETTER else 1)
        pair = (test.second, test.first) if gain > 0 else (test.first, test.second)
        title = TITLES.get(test.metric, test.metric)
        found.setdefault(pair, {}).setdefault(test.target, []).append(title)
    lines = [
        f"  {winner} is better than {loser}: "
        + "; ".join(f"{target} ({', '.join(titles)})" for target, titles in targets.items())
        for (winner, loser), targets in found.items()
    ]
    return lines or [f"  no difference has p < {SIGNIFICANT:g}"]


def _signed(value: float | None, metric: str) -> str:
    if value is None:
        return "-"
    places = digits(metric)
    return f"{value:+.{places}f}" if round(value, places) else f"{0:.{places}f}"


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return "<0.0001" if value < 0.0001 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"
