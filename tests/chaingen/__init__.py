"""Makes chains for tests: keys that can spend every form, blocks with solved headers, named-block stories.

Start with `builder.ChainBuilder`.
"""
