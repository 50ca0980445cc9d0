"""The sequence models of the field behind one interface, `mixer.Mixer`: what looks along time, and nothing else.

    mixer(x, boundary, carry) -> y, carry          a run of frames, in parallel where the model can
    mixer.step(x_t, boundary, carry) -> y_t, carry one frame
    mixer.program(chunks, boundary)                a shard among others, see `ssm_ops.carry`

All three give the same, however time is cut. `catalogue.py` names the members, each written from its paper.
`scanned.py` is the base of those whose states are a scan of `ssm_ops`: their shards run side by side. Of all others
what a run of frames does to a carry is known only once it has been run, so their shards run one after the other.
"""
