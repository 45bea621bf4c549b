"""`python -m bayes_mesa` is `bayes-mesa`."""

from bayes_mesa.interface.cli import main

if __name__ == "__main__":
    main()
