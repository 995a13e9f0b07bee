"""How good the predictions are: metrics, bootstrap, test skies, model selection."""
