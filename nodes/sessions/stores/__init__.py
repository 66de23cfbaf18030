"""The stores, one a file; each fulfils `nodes.sessions.store.Store`."""
