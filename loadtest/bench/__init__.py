"""The cost of a session: one small application with several session layers, measured in one run."""
