"""The ground floor: text, files and other plain helpers. Knows nothing of models, runs or TensorFlow."""
