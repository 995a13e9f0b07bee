"""Input functions and params: what the wildcards of a job mean. No rules."""


def sky_named_by(wildcard, wildcards):
    """The sky that a wildcard names; for `experiment`, the sky that it is trained on."""
    return EXPERIMENTS[wildcards.experiment]["sky"] if wildcard == "experiment" else wildcards[wildcard]


def realizations(product, wildcard):
    """Input function: a product of all realizations of a sky, with images cut and smoothed as for the experiment."""

    def paths(wildcards):
        sky, of_images = sky_named_by(wildcard, wildcards), of_set(wildcards.experiment)
        if product in ("catalogue", "exposure") and SKIES[sky]["source"] == "published":
            return []  # published images have neither
        names = {
            "images": f"images{of_images}.nc",
            "smoothed": f"smoothed{of_images}/{EXPERIMENTS[wildcards.experiment]['preprocessing']}.nc",
        }
        return of_realizations(sky, names.get(product, f"{product}.fits"))

    return paths


def images_of_set(wildcards):
    """All images of a sky of one image set."""
    return of_realizations(wildcards.sky, f"images{wildcards.get('of_set', '')}.nc")


def member_files(suffix):
    """Input function: the files of all members of an experiment."""
    return lambda wildcards: expand(
        member_paths(suffix, MEMBERS[wildcards.experiment]), experiment=wildcards.experiment
    )


def unless_observed(path):
    """Input function: a file that an observed sky does not have."""
    return lambda wildcards: [] if SKIES[wildcards.sky].get("observed") else path


def experiment_split(wildcards):
    return split_of(wildcards.experiment)


def baselines_of(experiment, test_sky=None):
    """Baselines don't depend on the networks: experiments with the same clusters share them."""
    path = TEST_SKY if test_sky else EXPERIMENT
    return f"{path}/baselines.nc".format(experiment=WITH_BASELINES[experiment], test_sky=test_sky)


def baselines_of_experiment(wildcards):
    return baselines_of(wildcards.experiment)


def baselines_of_test_sky(wildcards):
    return baselines_of(wildcards.experiment, wildcards.test_sky)


def sky_files(wildcards):
    """All files of the user for a realization of a `files` sky."""
    return input_files(SKIES[wildcards.sky], wildcards.realization)


def published_file(wildcards):
    return PUBLISHED[wildcards.field]["file"]


def candidate_ensembles(wildcards):
    if not CANDIDATES:
        raise WorkflowError("search.candidates is empty; name experiments there, as config/search.yaml does.")
    return expand(f"{EXPERIMENT}/ensemble.nc", experiment=CANDIDATES)


def candidate_split(wildcards):
    """Split of the sky that all candidates are trained on."""
    return split_of(CANDIDATES[0]) if CANDIDATES else []


def settings(*keys):
    """Params with these names: the values of an experiment; for a network or a recipe, its block."""
    blocks = {"network": config["network"], "recipe": config["training"]["recipes"]}

    def value_of(key):
        def value(wildcards):
            chosen = EXPERIMENTS[wildcards.experiment][key]
            return in_order(blocks[key][chosen] if key in blocks else chosen)

        return value

    return {key: value_of(key) for key in keys}


def cosmology(wildcard):
    """Param: the cosmology of a sky, as `sky_named_by` finds it."""
    return lambda wildcards: cosmology_of(sky_named_by(wildcard, wildcards))


def sky_blocks(wildcards, *names):
    return in_order({name: SKIES[wildcards.sky][name] for name in ("seed", *names)})


def sky_photons(wildcards):
    """What shapes a simulated sky's photons."""
    return sky_blocks(wildcards, *PHOTON_BLOCKS)


def sky_detection(wildcards):
    """What shapes a simulated sky's catalogue, given its photons."""
    return sky_blocks(wildcards, *CATALOGUE_BLOCKS)


def sky_reading(wildcards):
    """How the files of a sky are read: the number of realizations doesn't count."""
    used_elsewhere = ("realizations", "observed", "cosmology")
    return in_order({k: v for k, v in SKIES[wildcards.sky].items() if k not in used_elsewhere})


def sky_realization_files(wildcards):
    """The user's files for a realization of a `files` sky, by kind."""
    return in_order(SKIES[wildcards.sky]["realizations"][wildcards.realization])


def image_settings(wildcards):
    """How images of a sky are cut: the true centres of observed clusters are unknown."""
    centre = {"centre": "detected"} if SKIES[wildcards.sky].get("observed") else {}
    return in_order({**IMAGES[wildcards.of_set], **centre})


def preprocessing(wildcards):
    """A preprocessing recipe; one that scales by distance uses the cosmology an observer assumes, not the sky's."""
    recipe = config["preprocessing"][wildcards.preprocessing]
    assumed = {key: config["cosmology"][key] for key in ("h0_km_s_mpc", "omega_m")}
    return in_order(recipe | ({"cosmology": assumed} if "scale_to_redshift" in recipe else {}))


def seen_bands():
    """Edges in eV of the energy bands that the experiments' networks tell apart: band images must have these."""
    edges = band_edges(config["images"]["bands"])
    recipes = [config["preprocessing"][experiment["preprocessing"]] for experiment in EXPERIMENTS.values()]
    return sorted({edge for recipe in recipes for edge in joined_edges(edges, recipe.get("bands"))})


def preprocessed_half_width(wildcards):
    """Half of the side of the box that the networks of an experiment see, arcsec."""
    return config["preprocessing"][EXPERIMENTS[wildcards.experiment]["preprocessing"]]["half_width_arcsec"]


def mass_prior(wildcards):
    """The prior of an experiment's masses; networks with weighted training masses keep that of their training."""
    weighted = EXPERIMENTS[wildcards.experiment]["weighting"] != "none"
    return "training" if weighted else config["observed"]["mass_prior"]


def field_realizations(wildcards):
    return realization_names(SKIES[wildcards.field])


def field_is_simulated(wildcards):
    return SKIES[wildcards.field]["source"] == "embedded"


def published_block(wildcards):
    """How published masses are read and compared: the file's content counts, not its path."""
    return in_order({key: value for key, value in PUBLISHED[wildcards.field].items() if key != "file"})
