"""Landfall: a catalogue of the files that land in object storage."""
