"""Puts a stage of Landfall into the cloud, be it AWS or an emulator: ``python -m deploy``. Never packaged."""
