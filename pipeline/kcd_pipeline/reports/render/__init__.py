"""Show a comparison: as tables on the terminal, as one HTML page, or as plain data for JSON.

Import the module that is needed: a page loads Vega-Lite and Jinja2, which a table does not need.
"""
