"""The network, as parts of plain torch: stem, cnn, lstm, attention, head, net.

Every stem and block maps (b t d) and a mask (b t) to the same kind of pair, and
returns zeros at masked steps; so padding never changes an output.
"""
