"""Source detection on an event list, after eSASS: background, box search, maximum likelihood, matching."""
