"""Targets that a TOML file describes: any web application with sessions. docs/targets.md has the file."""
