"""Real faults on real servers, and what they do to whoever is logged in."""
