"""Checks of a doctor that do not do what they should."""
