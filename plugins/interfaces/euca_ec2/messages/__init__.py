"""What is asked and what is answered, one file per noun.

Each message is a value whose fields stand in the WSDL's order; `parsing` and `rendering` read and write them.  Nothing here knows
about the core, and nothing in `operations` knows how a message is spelt on the wire.
"""
