"""Files of attempts between the center and nodes that share no folder with it: the center's side (listener, mirror) and the nodes'."""
