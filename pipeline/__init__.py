"""One chunk on one device: archives into Zarr, the model, training, inference on a shard, scores and the report.

Never imports Ray: every stage runs under a debugger on a laptop. Stages meet only in stores on disk.
"""
