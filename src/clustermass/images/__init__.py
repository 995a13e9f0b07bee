"""From photons to images: geometry, cut-outs, exposure, preprocessing."""
