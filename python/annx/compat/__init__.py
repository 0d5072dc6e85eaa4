"""Other libraries' interfaces over annx."""
