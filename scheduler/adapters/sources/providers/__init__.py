"""One file per feed that we know how to ask and to read; `catalogue.py` lists them."""
