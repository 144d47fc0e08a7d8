"""Files whose bytes are to come: reserving, signing, receiving, completing."""
