"""What a session costs: the same small application with different session layers, measured in one run."""
