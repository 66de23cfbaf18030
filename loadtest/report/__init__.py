"""Results of experiments as one HTML file that opens offline, and as Markdown.

Reads what `loadtest.failover` wrote and nothing else, so that a report can be made again of any folder of results.
Nothing that is imported from here brings matplotlib along: whoever wants plots imports `loadtest.report.plots`.
"""
