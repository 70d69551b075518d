"""Data sets that lie in tables, or in code of the user's own.

Modules
-------
tables         what both kinds of tables share: columns, labels, rows as pictures
hugging_face   a folder of the library `datasets`
hub            fetching such a folder from the Hugging Face hub
parquet        parquet files
own            torch datasets, by `package.module:callable` or as objects
items          the items of one, checked
classes        classes of labels that are numbers or names
"""
