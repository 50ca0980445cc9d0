"""What a machine, and a cluster, has of what Chronovox needs; and what to do where something is lacking."""
