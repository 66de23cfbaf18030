"""The independent prober: a process that sends requests at a fixed rate, however long answers take."""
