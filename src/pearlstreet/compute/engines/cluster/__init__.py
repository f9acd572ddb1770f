"""What engines of clusters share: the program on their nodes, the journal of attempts, the layout of the shared folder."""
