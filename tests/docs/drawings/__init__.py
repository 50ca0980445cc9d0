"""The drawings of `docs/`, in which every number is computed by the code that they tell of; `make docs` makes them."""
