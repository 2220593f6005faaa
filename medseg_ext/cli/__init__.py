"""The command `medseg`: one file a subcommand."""
