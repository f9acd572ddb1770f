"""What API and console may ask of the domains that run jobs: one service class per noun, with the values that it returns."""
