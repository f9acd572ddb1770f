"""What a file holds, seen without loading it: first rows, tensors, imports of pickles. Files are read by a confined process."""
