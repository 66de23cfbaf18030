"""One module for each entry of `conftest.STORES`: `make` gives its harness."""
