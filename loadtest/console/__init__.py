"""The console: a page to watch a cluster under load, break it, and see what its users lose.

One process owns cluster, load and page. Four threads share the `Board`: the director (the calling thread) executes
commands one at a time, experiments among them, the sampler publishes a snapshot four times a second, the store's watch
asks the store once a second, and the page serves HTTP in a gevent hub of its own. None of them waits for another one.

A view is a module of `static/` (see `static/views.js`), with a Flask blueprint in `server.create_app` if it needs one.
"""
