"""Faults at chosen moments: `phases` says where, `program` is the tool with a kill in it, `kills` kills batches and resumes them.

`make faults` kills ten batches in each phase by either signal and prints what was left.
"""
