"""Whether the controls hold: what the networks can't see they can't use."""

from collections.abc import Mapping
from typing import Any

from clustermass.paper.evidence import Evidence
from clustermass.paper.tables import Table, text
from clustermass.paper.verdicts import CLEAR, NOT_MEASURED, Measured

#: what each control takes from the data
TAKEN = {
    "shuffled_redshift": "redshifts change places among the clusters",
    "no_energy": "each band holds the mean of all",
    "noise_images": "images are noise; the redshift stays",
}
#: images of noise give the prior if the scatters differ by less: its form is chosen, the networks' is learnt
SAME_AS_PRIOR = 0.03


def controls(evidence: Evidence, settings: Mapping[str, Mapping[str, Any]]) -> Table:
    """Tell of each control whether the networks do as badly as they must.

    Parameters
    ----------
    evidence
        What the run measured.
    settings
        Of each experiment its `control`, "none" for those that are none.
    """
    rows = [
        ["experiment", "what is taken away", "networks", "clusters", "scatter, dex", "÷ with it", "÷ prior", "finding"]
    ]
    for name, setting in settings.items():
        found = evidence.of(name)
        if setting["control"] == "none" or found is None:
            continue
        worse, prior = evidence.scatter_ratio(name), evidence.over(name, "prior")
        finding = _as_prior(prior) if setting["control"] == "noise_images" else _worse(worse)
        numbers = [str(found["ensemble"]["n_members"]), f"{found['n_test']:,}"]
        cells = [text(evidence.test(name, "scatter_dex"), 4), text(worse), text(prior)]
        rows.append([name, TAKEN[setting["control"]], *numbers, *cells, finding])
    return rows


def _worse(ratio: Measured) -> str:
    known = ratio.known()
    if known is None:
        return NOT_MEASURED
    sigmas = (known[0] - 1) / known[1]
    return f"worse at {sigmas:.0f} σ, as it must be" if sigmas >= CLEAR else f"not worse for certain ({sigmas:+.1f} σ)"


def _as_prior(ratio: Measured) -> str:
    if ratio.value is None:
        return NOT_MEASURED
    percent = f"{100 * abs(ratio.value - 1):.1f} %"
    return f"the prior, to {percent}" if abs(ratio.value - 1) < SAME_AS_PRIOR else f"{percent} off the prior"
