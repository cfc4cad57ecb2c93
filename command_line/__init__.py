"""The commands, one file per group; what serving and training may not import from each other meets here."""
