"""Tables of results, and reports of folders of results.

Nothing that is imported from here brings matplotlib along: plots are in `loadtest.report.plots`.
"""
