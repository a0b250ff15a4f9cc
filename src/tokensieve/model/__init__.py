"""The model, in the order in which a token meets its files: classifier, embed, layer, attention, head."""
