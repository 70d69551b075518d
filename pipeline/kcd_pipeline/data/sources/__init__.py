"""Pictures that are kept in other ways than folders of classes."""
