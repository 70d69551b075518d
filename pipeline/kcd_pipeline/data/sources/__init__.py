"""Pictures that are kept in other ways than folders of classes.

Modules
-------
csv_table      CSV files of paths and labels
tables         what parquet and Hugging Face's folders share: columns, labels, rows as pictures
parquet        parquet files
hugging_face   a folder of the library `datasets`
hub            fetching such a folder from the Hugging Face hub
own            torch datasets, by `package.module:callable` or as objects
items          the items of one, checked
labels         labels that are numbers or names, and the classes that they stand for
"""
