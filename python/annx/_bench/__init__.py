"""Measure annx and its peers: recall, speed, latency, build time, memory.

Used by ``annx bench``; nothing here is promised to stay as it is.
"""
