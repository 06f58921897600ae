"""The hunt for files that break the tool: `seeds` makes good files, `mutators` damage them, `strategies` draw the damage with
hypothesis, `kinds` say what is tried with each, `worker` tries them under limits, `runner` counts and saves what it finds.

A file that is read, or refused with one clear line, is fine. Everything else is a finding: a traceback, a message of several
lines, noise on standard error, a signal, too much time, too much memory, or a result that cannot be written. Findings are
saved in `tests/hostile/found/`, which a plain test tries again ever after.
"""
