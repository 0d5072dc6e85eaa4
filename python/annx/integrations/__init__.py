"""annx behind the interfaces of other libraries, one module each.

A module needs the extra of its own name: ``pip install 'annx[sklearn]'`` for
`annx.integrations.sklearn`. All use the public classes of annx alone.
"""
