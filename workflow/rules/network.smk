# There is one rule for each batch of ensemble.members_per_job members, because outputs can't be functions of wildcards.
# A rule serves all experiments that have its batch; the last batch of an experiment may be smaller. No param depends on
# the batch, so another size re-runs nothing. Checkpoints are no outputs, because Snakemake removes the outputs of killed
# jobs.
for training_rule, (members, experiments) in training_batches().items():

    rule:
        """Train the members that the rule is named after."""
        name:
            training_rule
        input:
            images=realizations("smoothed", "experiment"),
            split=experiment_split,
        output:
            predictions=member_paths(".nc", members),
            weights=member_paths(".safetensors", members),
        log:
            f"{EXPERIMENT}/logs/{training_job(training_rule)}.log",
        benchmark:
            f"{EXPERIMENT}/benchmarks/{training_job(training_rule)}.tsv"
        wildcard_constraints:
            experiment="|".join(experiments),
        conda:
            training_environment()
        resources:
            mem_mb=each_try(2900 + 100 * len(members)),
            runtime=each_try(training_minutes(members)),
            gpu=gpus_per_training(),
        params:
            **settings(
                "selection",
                "train_selection",
                "train_clusters",
                "weighting",
                "control",
                "redshift_noise",
                "network",
                "recipe",
            ),
            seed=config["seed"],
            code=code("train_members", "network.train_members"),
        script:
            "../scripts/train_members.py"
