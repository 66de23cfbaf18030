"""Experiments: a hypothesis, a real cluster under load, a fault with its undo, and what was lost, as numbers.

An experiment is data (`experiments`), a fault a small object (`faults`). `run` drives one and writes down what happens,
`judge` holds that against the claims, `session` does so for several. Reports read the files that `result` describes.
"""
