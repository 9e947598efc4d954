"""One module a table, each with one declaration named ``TABLE``; a new module is a new table."""
