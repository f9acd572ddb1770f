"""Expected fill of nodes: streams of likely requests, and the value of a node's state under them."""
