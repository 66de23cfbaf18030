"""The stores, one per file; each fulfils `nodes.sessions.store.Store`."""
