"""A capacity plan from measurements: what a number of sessions needs, and whether the prediction holds."""
