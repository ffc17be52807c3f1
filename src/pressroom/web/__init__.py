"""The pages: made by the server, over the same services as the API, of which they import no endpoint."""
