"""A storm: many clients act through every door while processes and the database are killed, frozen and cut off.

`python -m bench.storm --help` says how to run it; `docs/reliability.md` says what it found.
"""
