"""The model, in the order in which a token meets its files: classifier, inputs, layers, layer, attention, head."""
