"""A storm: clients act through every interface while processes and the database are killed, stopped and disconnected.

`python -m bench.storm --help` explains how to run it. `docs/reliability.md` has the results.
"""
