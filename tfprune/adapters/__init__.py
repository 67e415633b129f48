"""What the engine needs of a framework. `loading` is the only way in for models of others."""
