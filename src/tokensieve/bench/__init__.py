"""Benchmarks: several subjects on the same documents, taking turns; raw figures as JSON, tables and plots made from it.

Read in this order: `config` (what is measured), `backbone` (the weights that all share), `work` (documents in batches),
`subjects` (who takes part), `turns` and `measure` (in this process), `process` (in one of its own), `run` (all of it),
then `figures`, `table` and `plot` (what follows from a record).
"""
