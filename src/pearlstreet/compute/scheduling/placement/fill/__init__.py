"""How full a node can be expected to become: streams of likely requests, and what a node's state is worth by them."""
