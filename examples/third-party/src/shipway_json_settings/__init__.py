"""Settings in JSON files, as a backend and an action of Shipway."""
