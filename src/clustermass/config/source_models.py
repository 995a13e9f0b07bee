"""The keys of the sources in a simulated sky (haloes, their gas and richness, AGN): type, range, unit and meaning."""

from typing import Annotated, Literal, NotRequired, TypeAlias

from typing_extensions import TypedDict

from clustermass.config.kinds import Correlation, Positive, Share, key

#: mean amplitude, and its standard deviation, for each of the four principal components of emission profiles
Means: TypeAlias = Annotated[list[Annotated[float, key(ge=-5, le=5)]], key(min_length=4, max_length=4)]
Scatters: TypeAlias = Annotated[list[Annotated[float, key(ge=0, le=5)]], key(min_length=4, max_length=4)]


class Relations(TypedDict):
    """Scaling relations of L500 (0.5-2 keV rest frame) and kT, which are used if `scaling` is relations."""

    log10_amplitude: Annotated[
        float, key("mean of log10(L500 / (erg/s)) at M500c = 2e14 Msun and redshift 0.35", ge=40, le=47)
    ]
    slope: Annotated[float, key("slope d ln L500 / d ln M500c", ge=0, le=4)]
    evolution: Annotated[float, key("mean L500 is proportional to E(z)^2 (1 + z)^this", ge=-5, le=5)]
    scatter: Annotated[float, key("scatter of ln L500 at fixed mass and redshift", gt=0, le=2)]
    temperature_scatter: Annotated[float, key("scatter of ln kT at fixed mass and redshift", ge=0, le=1)]
    correlation: Annotated[Correlation, key("correlation of ln L500 and ln kT at fixed mass and redshift")]
    temperature_shift: NotRequired[
        Annotated[float, key("shift of the mean of ln kT at fixed mass and redshift; without this key 0", ge=-1, le=1)]
    ]


class Clusters(TypedDict):
    """Properties of the haloes and of their hot gas."""

    log10_m500c_min: Annotated[float, key("lower end of the mass function, log10(M500c / Msun)", ge=12, le=15)]
    log10_m500c_max: Annotated[float, key("upper end of the mass function, log10(M500c / Msun)", ge=13, le=16)]
    redshift_min: Annotated[float, key("lowest redshift of a halo", ge=0.003, le=1)]
    redshift_max: Annotated[float, key("highest redshift of a halo", gt=0.003, le=3)]
    flux_min_cgs: Annotated[
        float,
        key("fainter haloes emit nothing [erg/s/cm2, 0.5-2 keV observed, unabsorbed, in R500]", ge=1e-17, le=1e-11),
    ]
    hydrostatic_bias: Annotated[float, key("hydrostatic mass of the gas model / true mass", gt=0.3, le=1.5)]
    hydrostatic_bias_scatter: Annotated[float, key("scatter of ln(hydrostatic_bias) at fixed mass", ge=0, le=0.5)]
    bias_scatter_core_slope: Annotated[
        float,
        key("the scatter is hydrostatic_bias_scatter x exp(-this x component 2 in standard deviations)", ge=-1, le=1),
    ]
    normalisation_dex: Annotated[float, key("shift of log10 luminosity at fixed mass [dex]", ge=-2, le=2)]
    low_mass_slope: Annotated[float, key("slope d ln L / d ln M below low_mass_log10_m500c", ge=0, le=4)]
    low_mass_log10_m500c: Annotated[float, key("log10(hydrostatic mass / Msun) where the slope changes", ge=12, le=16)]
    temperature_scatter_dex: Annotated[float, key("scatter of log10 kT at fixed mass and redshift [dex]", ge=0, le=0.5)]
    extra_luminosity_scatter_dex: Annotated[
        Share, key("extra scatter of log10 L, besides that of the gas profiles (0.2 dex) [dex]")
    ]
    luminosity_temperature_correlation: Annotated[
        Correlation | None,
        key("correlation of ln kT and ln L at fixed mass; null = as measured by Comparat et al. 2020"),
    ]
    scaling: Annotated[
        Literal["profiles", "relations"],
        key("profiles = L500 and kT follow from the keys above; relations = from the block `relations`"),
    ]
    relations: Relations
    component_mean: Annotated[Means, key("mean amplitudes of the four components of ln S(r); the second is the core")]
    component_scale: Annotated[
        Scatters, key("standard deviations of these amplitudes; 1 = as measured by Comparat et al. 2020")
    ]
    shape_radius_scatter: Annotated[
        float, key("scatter of ln(radius by which a profile scales), at fixed L500", ge=0, le=0.5)
    ]
    interpolation: Annotated[
        Literal["power_law", "spline"], key("how ln S(r) is interpolated in ln r between its 13 radii")
    ]
    outskirts_flux_max: Annotated[float, key("largest ratio of flux beyond R500 to flux inside R500", ge=0, le=2)]
    axis_ratio_mean: Annotated[float, key("mean ratio of a halo's minor to its major axis", gt=0.3, le=1)]
    axis_ratio_std: Annotated[float, key("standard deviation of the axis ratio", ge=0, le=0.3)]


class Population(TypedDict):
    """Clusters in place of detected ones: each in the centre of a patch of sky of its own, with an image there."""

    distribution: Annotated[
        Literal["uniform", "mass_function"],
        key("uniform = in log10 mass and redshift; mass_function = as frequent as in the universe"),
    ]
    number: Annotated[int, key("number of clusters in a realization, at most one in each patch", ge=1, le=10**5)]
    log10_m500c_min: Annotated[float, key("lowest log10(M500c / Msun)", ge=12, le=16)]
    log10_m500c_max: Annotated[float, key("highest log10(M500c / Msun)", ge=12, le=16)]
    redshift_min: Annotated[float, key("lowest redshift", ge=0.003, le=3)]
    redshift_max: Annotated[float, key("highest redshift, at most that of the block clusters", gt=0.003, le=3)]
    patch_arcmin: Annotated[
        float, key("side of a patch; photons that a cluster sends farther are left out [arcmin]", ge=10, le=1200)
    ]
    neighbours: Annotated[bool, key("true = other haloes are around the clusters, as many as in a field")]


class Richness(TypedDict):
    """Richness of haloes, the number of red galaxies by which an optical survey confirms clusters."""

    amplitude: Annotated[float, key("mean richness at mass 10^log10_pivot Msun and redshift 0.35", gt=0, le=1000)]
    log10_pivot: Annotated[float, key("log10(M500c / Msun) at which the mean is `amplitude`", ge=12, le=16)]
    slope: Annotated[float, key("slope d ln richness / d ln M", ge=0, le=4)]
    evolution: Annotated[float, key("exponent of (1 + z) in the mean richness", ge=-5, le=5)]
    scatter: Annotated[float, key("scatter of ln richness at fixed mass and redshift", ge=0, le=2)]
    luminosity_correlation: Annotated[
        Correlation, key("correlation of ln richness and ln L at fixed mass and redshift")
    ]
    error: Annotated[float, key("error of a measured richness / sqrt(richness + background)", ge=0, le=10)]
    truth_min: Annotated[
        Positive | None,
        key("haloes of this measured richness are in truth.fits even without photons; null = no halo has a richness"),
    ]


class CentralAgn(TypedDict):
    """AGN in the centres of haloes, in addition to the number counts.

    L is the luminosity at 0.5-2 keV rest frame. The number of AGN per dex is proportional to 1 / ((L / L_break)^faint +
    (L / L_break)^bright).
    """

    fraction: Annotated[Share, key("share of the haloes of 1e14 Msun at redshift 0.35 with an AGN; 0 = none")]
    mass_slope: Annotated[float, key("the share is proportional to M500c to this power", ge=-2, le=3)]
    evolution: Annotated[float, key("the share is proportional to (1 + z) to this power", ge=-5, le=8)]
    log10_luminosity_min: Annotated[float, key("lowest log10(L / (erg/s))", ge=40, le=46)]
    log10_luminosity_max: Annotated[float, key("highest log10(L / (erg/s))", ge=41, le=48)]
    log10_luminosity_break: Annotated[float, key("log10(L_break / (erg/s))", ge=40, le=48)]
    slope_faint: Annotated[float, key("slope of the luminosity function below L_break", ge=-1, le=4)]
    slope_bright: Annotated[float, key("slope of the luminosity function above L_break", ge=0, le=6)]
    offset_r500: Annotated[float, key("scatter of the distance from the centre, per axis [R500c]", ge=0, le=0.5)]


class Agn(TypedDict):
    """Active galactic nuclei, with the soft-band number counts of Moretti et al. 2003."""

    flux_min_cgs: Annotated[float, key("lowest flux [erg/s/cm2, 0.5-2 keV, unabsorbed]", ge=1e-17, le=1e-13)]
    flux_max_cgs: Annotated[float, key("highest flux [erg/s/cm2, 0.5-2 keV, unabsorbed]", ge=1e-14, le=1e-9)]
    photon_index: Annotated[float, key("photon index of the power-law spectrum", ge=0, le=4)]
    normalisation_per_deg2: Annotated[float, key("normalisation of number counts [deg-2]; 0 = no AGN", ge=0, le=1e6)]
    clustered_fraction: Annotated[float, key("share of the AGN that lie around haloes", ge=0, le=1)]
    clustered_evolution: Annotated[
        float, key("an AGN's halo is chosen in proportion to M500c (1 + z)^this", ge=-5, le=8)
    ]
    clustered_r500: Annotated[float, key("largest projected distance of an AGN from its halo [R500c]", gt=0, le=20)]
    central: CentralAgn
