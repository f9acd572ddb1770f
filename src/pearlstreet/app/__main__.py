"""`python -m pearlstreet.app` is `pearl`."""

from pearlstreet.app.pearl import main

main()
