# A simulated field that counts as observed keeps no file with the truth: see simulated_files and matched_files.
for observed, (simulate, detect, match) in {
    False: ("simulate_realization", "detect_sources", "match_sources"),
    True: ("simulate_observed_field", "detect_observed_sources", "match_observed_sources"),
}.items():

    rule:
        """Draw the events of one realization of a simulated sky, with exposure map and truth."""
        name:
            simulate
        output:
            **simulated_files(observed),
        log:
            f"{REALIZATION}/logs/{simulate}.log",
        benchmark:
            f"{REALIZATION}/benchmarks/{simulate}.tsv"
        wildcard_constraints:
            sky=skies_of("embedded", observed),
        conda:
            "../../envs/data.yaml"
        resources:
            mem_mb=each_try(2000),
            runtime=each_try(20),
        params:
            observed=observed,
            sky=sky_photons,
            cosmology=cosmology("sky"),
            code=code("simulate_realization", "simulate.realization"),
        script:
            "../scripts/simulate_realization.py"

    rule:
        """Detect the sources of one realization from its photons alone."""
        name:
            detect
        input:
            events=[f"{REALIZATION}/events.fits"],
            exposure=[f"{REALIZATION}/exposure.fits"],
        output:
            output=temp(f"{REALIZATION}/detections.fits"),
        log:
            f"{REALIZATION}/logs/{detect}.log",
        benchmark:
            f"{REALIZATION}/benchmarks/{detect}.tsv"
        wildcard_constraints:
            sky=skies_of("embedded", observed),
        conda:
            "../../envs/data.yaml"
        resources:
            mem_mb=each_try(2000),
            runtime=each_try(20),
        params:
            **step("ingest.detect_field.detect_field"),
            detection=sky_block("detection"),
            psf=sky_block("psf"),
        script:
            "../scripts/step.py"

    rule:
        """Match the detections of one realization to haloes, and make the catalogue with their redshifts."""
        name:
            match
        input:
            unpack(files_for_matching),
            **realization_files("events", "exposure", "truth"),
        output:
            **matched_files(observed),
        log:
            f"{REALIZATION}/logs/{match}.log",
        benchmark:
            f"{REALIZATION}/benchmarks/{match}.tsv"
        wildcard_constraints:
            sky=skies_of("embedded", observed),
        conda:
            "../../envs/data.yaml"
        resources:
            mem_mb=each_try(2000),
            runtime=each_try(20),
        params:
            **step("catalogues.match_field.match_sources"),
            name="{sky}",
            realization="{realization}",
            sky=sky_matching,
        script:
            "../scripts/step.py"
