"""The published training set of Krippendorf et al. (2023): a pickle of images and a catalogue, into our own files."""
