"""What a site's electricity is like (PUE, tariff, carbon factor), and what work therefore used, cost and emitted."""
