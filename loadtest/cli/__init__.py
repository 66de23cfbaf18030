"""The commands of load tests: a file each."""
