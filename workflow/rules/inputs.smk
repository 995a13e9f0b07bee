"""Functions that return the input files and params of a job for its wildcards. This file has no rules."""


def sky_named_by(wildcard, wildcards):
    """Return the sky that a wildcard names; for the wildcard `experiment`, the sky that the experiment is trained on."""
    return EXPERIMENTS[wildcards.experiment]["sky"] if wildcard == "experiment" else wildcards[wildcard]


def realizations(product, wildcard):
    """Return an input function for a product (such as `images` or `truth`) of all realizations of a sky.

    Images are those of the experiment's image set and preprocessing.
    """

    def paths(wildcards):
        sky, of_images = sky_named_by(wildcard, wildcards), of_set(wildcards.experiment)
        if product in ("catalogue", "exposure") and SKIES[sky]["source"] == "published":
            return []  # the published set has images only
        names = {
            "images": f"images{of_images}.nc",
            "smoothed": f"smoothed{of_images}/{EXPERIMENTS[wildcards.experiment]['preprocessing']}.nc",
        }
        return of_realizations(sky, names.get(product, f"{product}.fits"))

    return paths


def images_of_set(wildcards):
    """Return the image files of all realizations of a sky, for one image set."""
    return of_realizations(wildcards.sky, f"images{wildcards.get('of_set', '')}.nc")


def member_files(suffix):
    """Return an input function for the files with `suffix` of all members of an experiment."""
    return lambda wildcards: expand(
        member_paths(suffix, MEMBERS[wildcards.experiment]), experiment=wildcards.experiment
    )


def unless_observed(path):
    """Return an input function for a file that observed skies lack: no file for them, else `path`."""
    return lambda wildcards: [] if SKIES[wildcards.sky].get("observed") else path


def experiment_split(wildcards):
    return split_of(wildcards.experiment)


def baselines_of(experiment, test_sky=None):
    """Return the file with the baselines of an experiment; experiments with the same clusters share one file."""
    path = TEST_SKY if test_sky else EXPERIMENT
    return f"{path}/baselines.nc".format(experiment=WITH_BASELINES[experiment], test_sky=test_sky)


def baselines_of_experiment(wildcards):
    return baselines_of(wildcards.experiment)


def baselines_of_test_sky(wildcards):
    return baselines_of(wildcards.experiment, wildcards.test_sky)


def sky_files(wildcards):
    """Return all files of the user for a realization of a sky with `source: files`."""
    return input_files(SKIES[wildcards.sky], wildcards.realization)


def published_file(wildcards):
    return PUBLISHED[wildcards.field]["file"]


def candidate_ensembles(wildcards):
    if not CANDIDATES:
        raise WorkflowError("search.candidates is empty; name experiments there, as config/search.yaml does.")
    return expand(f"{EXPERIMENT}/ensemble.nc", experiment=CANDIDATES)


def candidate_split(wildcards):
    """Return the split of the sky on which all candidates of a search are trained."""
    return split_of(CANDIDATES[0]) if CANDIDATES else []


def settings(*keys):
    """Return params with the names `keys`: the settings of an experiment, for network and recipe the whole block."""
    blocks = {"network": config["network"], "recipe": config["training"]["recipes"]}

    def value_of(key):
        def value(wildcards):
            chosen = EXPERIMENTS[wildcards.experiment][key]
            return in_order(blocks[key][chosen] if key in blocks else chosen)

        return value

    return {key: value_of(key) for key in keys}


def cosmology(wildcard):
    """Return a param function for the cosmology of the sky that a wildcard names."""
    return lambda wildcards: cosmology_of(sky_named_by(wildcard, wildcards))


def sky_blocks(wildcards, *names):
    return in_order(blocks(SKIES[wildcards.sky], ("seed", *names)))


def sky_photons(wildcards):
    """Return the settings that determine the photons of a simulated sky."""
    return sky_blocks(wildcards, *PHOTON_BLOCKS)


def sky_block(name):
    """Return a param function for one block of the settings of a sky."""
    return lambda wildcards: in_order(SKIES[wildcards.sky][name])


def sky_matching(wildcards):
    """Return the settings that determine the catalogue of a simulated sky, for given photons.

    With a prior, the field's size depends on the depth, and the catalogue states measured conditions.
    """
    prior = SKIES[wildcards.sky].get("prior")
    drawn = {key.partition(".")[0] for key in prior.get("conditions", ())} if prior else ()
    return sky_blocks(wildcards, *CATALOGUE_BLOCKS, *(("exposure", "absorption", *drawn) if prior else ()))


def column_density(wildcards):
    """Return the measured hydrogen column density of a sky (cm-2), or None if its configuration has none.

    If it differs between realizations, it is in the header of their catalogues, which then counts.
    """
    return SKIES[wildcards.sky].get("absorption", {}).get("nh_cm2")


def files_for_matching(wildcards):
    """Return the files that the matching needs in some skies, by name.

    In a sky with a `population`, nothing is detected. Only the rule `photons` needs labels.
    """
    sky = SKIES[wildcards.sky]
    if "population" in sky:
        return {}
    return files_of(wildcards, "detections", *(("labels",) if sky["matching"]["rule"] == "photons" else ()))


def files_of(wildcards, *names):
    """Return files of the realization that the wildcards name, by name."""
    return {name: path.format(**wildcards) for name, path in realization_files(*names).items()}


def sky_reading(wildcards):
    """Return the settings for reading the files of a sky, without the realizations: another number re-runs nothing."""
    used_elsewhere = ("realizations", "observed", "cosmology")
    return in_order({k: v for k, v in SKIES[wildcards.sky].items() if k not in used_elsewhere})


def sky_realization_files(wildcards):
    """Return the user's files for a realization of a sky with `source: files`, by kind."""
    return in_order(SKIES[wildcards.sky]["realizations"][wildcards.realization])


def image_settings(wildcards):
    """Return the settings for cutting out images of a sky; true centres of observed clusters are unknown."""
    centre = {"centre": "detected"} if SKIES[wildcards.sky].get("observed") else {}
    return in_order({**IMAGES[wildcards.of_set], **centre})


def preprocessing(wildcards):
    """Return the settings of a preprocessing; one that scales images by distance also gets the assumed cosmology.

    This is the `cosmology` of the configuration, as an observer would assume, not that of the sky.
    """
    recipe = config["preprocessing"][wildcards.preprocessing]
    assumed = {key: config["cosmology"][key] for key in ("h0_km_s_mpc", "omega_m")}
    return in_order(recipe | ({"cosmology": assumed} if "scale_to_redshift" in recipe else {}))


def seen_bands():
    """Return the edges (eV) of all energy bands that the experiments' networks use; band images must have these edges."""
    edges = band_edges(config["images"]["bands"])
    recipes = [config["preprocessing"][experiment["preprocessing"]] for experiment in EXPERIMENTS.values()]
    return sorted({edge for recipe in recipes for edge in joined_edges(edges, recipe.get("bands"))})


def preprocessed_half_width(wildcards):
    """Return half of the side of the images that the networks of an experiment get, arcsec."""
    return config["preprocessing"][EXPERIMENTS[wildcards.experiment]["preprocessing"]]["half_width_arcsec"]


def mass_prior(wildcards):
    """Return the mass prior of an experiment; with weighted training masses it is always that of the training."""
    weighted = EXPERIMENTS[wildcards.experiment]["weighting"] != "none"
    return "training" if weighted else config["observed"]["mass_prior"]


def field_realizations(wildcards):
    return realization_names(SKIES[wildcards.field])


def field_is_simulated(wildcards):
    return SKIES[wildcards.field]["source"] == "embedded"


def published_block(wildcards):
    """Return the settings for reading and comparing published masses, without the path: only the file's content counts."""
    return in_order({key: value for key, value in PUBLISHED[wildcards.field].items() if key != "file"})
