"""The stores, each a file or a folder; each fulfils `nodes.sessions.store.Store`.

`memory.py` is the shortest to read. CONTRIBUTING.md has the steps for another one; a node takes its kinds from
`nodes/store_kinds.py`. Several stores share `background`, `forks`, `name_lookup`, `receive`, `saved` and `url_options`.
"""
