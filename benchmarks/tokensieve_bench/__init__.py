"""Benchmarks: several contenders on the same documents, in interleaved rounds.

A record holds raw figures as JSON; tables and plots are made from it. Read in this order: `config` (what is measured),
`backbone` (the weights that all share), `work` (documents in batches), `contenders` (who takes part), `cells` (the work
of a config), `rounds` and `measure` (in this process), `process` (in one of its own), `run` (all of it), then
`figures`, `table` and `plot` (what follows from a record).

Beside it stand `runs` (what a config of trainings asks for), `records` (all records, in today's words) and `report`
(the tables and pictures of the pages), which the scripts of benchmarks/ share.
"""
