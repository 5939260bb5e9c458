"""OAuth 2.0 as far as OpenID4VCI and HAIP need it."""
