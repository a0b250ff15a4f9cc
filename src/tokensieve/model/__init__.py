"""The path of a token, in reading order: classifier, embed, encoder, layer, attention, head."""
