"""Token reduction: every method is a composition of cells, a cell a file.

`score` gives each token a number, `select` says which tokens stay, `schedule` how many and in which layer, `site` where
the others leave, `merge` what becomes of them, and `combine` folds many tokens into few.
"""
