"""Real faults on real servers, and what they do to users who are logged in."""
