"""Notices: what people and organisations are told of, in their inbox, by e-mail and by webhook."""
