"""Records -> the tables and pictures of README.md and docs/. `pages.py` says which table is in which page."""
