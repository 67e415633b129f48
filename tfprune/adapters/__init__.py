"""What the engine needs of a framework, a package for each; `loading` is the only way in for models of others.

`layer_traits` is the one table of what is known of layers.
"""
