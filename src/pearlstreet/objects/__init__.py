"""Content-addressed files (blobs), in a folder of the center or in a bucket of an S3 server."""
