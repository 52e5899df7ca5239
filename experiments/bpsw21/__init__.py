"""[BPSW21]: two-layer networks by Gauss-Newton, in near-linear time a step."""
