"""Manifests for Kubernetes: `setup` makes what an overlay needs, `check` validates one without a cluster."""
