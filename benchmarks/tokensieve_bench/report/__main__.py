"""`python -m tokensieve_bench.report`."""

from tokensieve_bench.report.pages import main

main()
