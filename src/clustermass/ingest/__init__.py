"""A user's own field taken in: event lists or band images, catalogue, exposure and truth as the standard files."""
