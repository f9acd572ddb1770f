"""Notices to users and organisations, by inbox, e-mail and webhook."""
