"""Everything goes wrong at once, and afterwards the catalogue is the bucket. ``make chaos`` runs it."""
