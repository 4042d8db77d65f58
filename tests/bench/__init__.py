"""Measures the gateway beside its peers, in one run: `make bench`.

`scenarios` says what is asked, `upstream`, `ours` and `peers` start what answers, `load` (wrk) and `paced` ask,
`rounds` takes turns between the servers, `report` and `aims` say what came of it.
"""
