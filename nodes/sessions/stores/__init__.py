"""The stores, each a file or a folder; each fulfils `nodes.sessions.store.Store`."""
