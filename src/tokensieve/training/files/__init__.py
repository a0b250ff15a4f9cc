"""What a training writes: checkpoints, the classifier's folder, its record and its card."""
