"""Messages: how options are named for users of the command line."""

from dpst.jobs.messages import with_flags


def test_options_have_flags_on_the_command_line_and_nothing_else_has():
    assert with_flags("`max_size` 9 is too small; use `auto_seg` 3") == "--max_size 9 is too small; use --auto_seg 3"
    for other in ("max_size 9", "`keeps`", "a `b` c", "``", "the look `lut.png`"):
        assert with_flags(other) == other
