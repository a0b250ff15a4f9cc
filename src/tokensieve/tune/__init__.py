"""Which classifier meets a goal on this machine: candidates are made, measured and chosen."""
