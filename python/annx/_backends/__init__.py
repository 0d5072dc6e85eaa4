"""Engines behind one seam, :class:`annx._backends.base.Core`."""
