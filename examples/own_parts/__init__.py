"""Parts of a recipe outside kcd_pipeline, one module a kind; recipe.yaml names them all.

Commands (in the folder examples/, from which Python imports own_parts):

    kcd-pipeline train-teacher own_parts/recipe.yaml
    kcd-pipeline extract-teacher own_parts/recipe.yaml
    kcd-pipeline distill own_parts/recipe.yaml
    kcd-pipeline report runs/own_parts

docs/how-to/bring-your-own.md explains each of them.
"""
