"""Files and what text they hold. Each format is one file in this folder; see ``base``."""
